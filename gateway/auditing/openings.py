"""The sealed texts that a bundle opens: each what was committed to, none missing or left against an erasure."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from domain.case import CaseFile
from domain.divisions import Division
from gateway.auditing.bundle import OPENINGS, Bundle, FileUnreadable, LogLine, Manifest, OpeningLine
from gateway.auditing.findings import Findings
from gateway.auditing.spill import Spill
from sync.sealed.commitment import Opening, is_opened_by

_TOLD: Final = "update sealed set told = ? where log = ? and seq = ? and part = ?"
_OPENED: Final = 1
_WITHHELD: Final = 2


class _Sealed(NamedTuple):
    """What an event says of one sealed part."""

    case: bytes
    subject: str
    fields: dict[str, str]
    told: int


class OpeningCheck:
    """Compares openings.jsonl with what the events sealed, read, destroyed."""

    def __init__(
        self,
        manifest: Manifest,
        logs: Sequence[LogLine],
        file: Callable[[bytes], CaseFile | None],
        spill: Spill,
        found: Findings,
    ) -> None:
        self._here = Division(manifest.division)
        self._is_whole = manifest.below
        self._logs, self._file, self._spill, self._found = logs, file, spill, found

    def run(self, bundle: Bundle) -> None:
        """All of it."""
        try:
            for number, line in enumerate(bundle.lines(OPENINGS, OpeningLine)):
                self._take(number, line)
        except FileUnreadable as error:
            self._found.add("file_unreadable", index=error.line, detail=str(error))
        self._look_for_missing()
        self._look_for_unnoted()
        self._look_for_salts()

    def _take(self, number: int, line: OpeningLine) -> None:
        sealed = self._sealed(line)
        if sealed is None or sealed.told:
            self._found.add("opening_unasked", index=number, detail=f"log {line.log}, leaf {line.seq}.{line.part}")
            return
        told = _OPENED if line.withheld is None else _WITHHELD
        self._spill.put(_TOLD, (told, line.log, line.seq, line.part))
        if line.withheld is not None:
            if not self._may_be_withheld(line.withheld, sealed):
                self._find("opening_missing", line.log, line.seq, line.withheld)
            return
        if not _fits(line.openings, sealed.fields):
            self._find("opening_wrong", line.log, line.seq, f"part {line.part}")
        if self._is_erased(sealed):
            self._find("opening_after_erasure", line.log, line.seq, f"part {line.part}")
        for opening in line.openings:
            self._spill.put("insert into salt values (?, ?, ?)", (opening.salt, line.log, line.seq))

    def _sealed(self, line: OpeningLine) -> _Sealed | None:
        query = "select case_id, subject, fields, told from sealed where log = ? and seq = ? and part = ?"
        row = next(self._spill.ask(query, (line.log, line.seq, line.part)), None)
        return None if row is None else _Sealed(row[0], row[1], msgspec.json.decode(row[2]), row[3])

    def _may_be_withheld(self, why: str, sealed: _Sealed) -> bool:
        """Whether the events bear out why a text is not shown; with one log alone, as far as that log tells."""
        if why == "erased":
            return self._is_erased(sealed)
        if why == "damaged":
            return False
        file = self._file(sealed.case)
        return not self._is_whole or file is None or self._here not in file.readers(sealed.subject)

    def _is_erased(self, sealed: _Sealed) -> bool:
        file = self._file(sealed.case) if self._is_whole else None
        if file is not None and file.due_erasure(sealed.subject) is not None:
            return True
        query = "select 1 from destroyed where case_id = ? and subject = ?"
        return next(self._spill.ask(query, (sealed.case, sealed.subject)), None) is not None

    def _look_for_missing(self) -> None:
        for log, seq, part in self._spill.ask("select log, seq, part from sealed where told = 0 order by log, seq"):
            self._find("opening_missing", log, seq, f"part {part}")

    def _look_for_unnoted(self) -> None:
        query = (
            "select log, seq, event from sealed where told = ? and event not in (select event from reading)"
            " order by log, seq"
        )
        for log, seq, event in self._spill.ask(query, (_OPENED,)):
            self._find("reading_unnoted", log, seq, f"event {UUID(bytes=event)}")

    def _look_for_salts(self) -> None:
        query = "select min(log), min(seq) from salt group by salt having count(*) > 1"
        for log, seq in self._spill.ask(query):
            self._find("salt_reused", log, seq, "")

    def _find(self, code: str, log: int, seq: int, detail: str) -> None:
        self._found.add(code, self._logs[log].origin, seq, detail)


def _fits(openings: Sequence[Opening], fields: dict[str, str]) -> bool:
    """Whether these are the very texts: every path once, each what its commitment says."""
    if len(openings) != len(fields) or {opening.path for opening in openings} != set(fields):
        return False
    return all(is_opened_by(fields[opening.path], opening) for opening in openings)
