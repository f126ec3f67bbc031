"""A bundle verified from its files alone: every check in turn, every finding kept, in bounded memory."""

from collections.abc import Callable, Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from gateway.auditing.bundle import (
    CERTIFICATES,
    FAULTS,
    LOGS,
    MAX_LOGS,
    Bundle,
    BundleUnreadable,
    FaultLine,
    FileUnreadable,
    LogLine,
    Manifest,
    division_in,
)
from gateway.auditing.cases import Cases
from gateway.auditing.findings import Finding, Findings
from gateway.auditing.forks import proven_lie
from gateway.auditing.heads import US, read_heads
from gateway.auditing.leaves import LogCheck, Tiles, check_streams
from gateway.auditing.manifest import check_files, check_manifest, read_manifest
from gateway.auditing.openings import OpeningCheck
from gateway.auditing.order import Order
from gateway.auditing.spill import Spill
from gateway.auditing.tiers import Side, Tiers, compare_sides
from gateway.auditing.trusting import Pins, Trust, build_trust
from sync.exchange.convicting import ByRoot
from sync.trust.statements import MAX_SKEW_US

_S = TypeVar("_S")

Progress = Callable[[str, int, int], None]
"""Told the stage (`files`, `leaves`, `order`), how much of it is done now, and of how much in all (0: not known)."""


class LogTold(msgspec.Struct, frozen=True):
    """What was seen of one log. cosigned_size: leaves under a head that all whom its policy demands have cosigned, or,
    where it has none, a superior; witnesses: the names of the keys that have cosigned any."""

    origin: str
    size: int
    cosigned_size: int
    witnesses: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    """What an audit of one bundle found. untold: by (code, log), how many more findings there are than are listed."""

    manifest: Manifest
    logs: tuple[LogTold, ...]
    leaves: int
    findings: tuple[Finding, ...]
    untold: tuple[tuple[str, str, int], ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing graver than a notice was found."""
        return all(finding.severity == "notice" for finding in self.findings)


class _Seen(NamedTuple):
    report: Report
    trust: Trust
    side: Side


def verify_bundles(
    folders: Sequence[Path], pins: Pins, progress: Progress, room: Path | None = None
) -> tuple[list[Report], tuple[Finding, ...]]:
    """Verify each bundle by itself, then every two of them against each other: a report for each, and what differs.

    room: where the temporary file may lie. Raises BundleUnreadable, PolicyInvalid.
    """
    seen = [_verify(Bundle(folder), pins, progress, room) for folder in folders]
    between = Findings()
    for one, other in combinations(seen, 2):
        compare_sides(one.side, other.side, one.trust, between)
    return [one.report for one in seen], tuple(between)


def _verify(bundle: Bundle, pins: Pins, progress: Progress, room: Path | None) -> _Seen:
    if not bundle.folder.is_dir():
        raise BundleUnreadable("没有这个目录", "there is no such folder")
    manifest, note = read_manifest(bundle)
    found = Findings()
    said_us = manifest.made_us
    check_files(bundle, manifest, found, lambda done: progress("files", done, 0))
    logs = _distinct(_list(bundle, LOGS, LogLine, found), found)
    certificates = _list(bundle, CERTIFICATES, str, found)
    trust = build_trust(certificates, manifest, bundle, logs, pins, found)
    check_manifest(note, trust.speakers(manifest), found)
    manifest = _scoped(manifest, logs, found)
    with Spill(room) as spill:
        audit = _Audit(bundle, manifest, logs, trust, spill, found, progress)
        told = audit.run()
    if audit.newest_us > said_us + MAX_SKEW_US:
        found.add("made_earlier", detail=f"{(audit.newest_us - said_us) // US} s before the newest that it holds")
    untold = tuple((code, log, count) for (code, log), count in sorted(found.untold().items()))
    report = Report(manifest, told, sum(log.size for log in told), tuple(found), untold)
    whole = {log.origin: log for log in logs if log.folder is not None}
    side = Side(manifest, bundle, whole, audit.tiles, max(said_us, audit.newest_us))
    return _Seen(report, trust, side)


def _scoped(manifest: Manifest, logs: Sequence[LogLine], found: Findings) -> Manifest:
    """The manifest, whose word that it is of one node alone counts only where no other's log is here as a whole."""
    others = [log.origin for log in logs if log.folder is not None and division_in(log.origin) != manifest.division]
    if manifest.below or not others:
        return manifest
    found.add("scope_false", others[0])
    return msgspec.structs.replace(manifest, below=True)


class _Audit:
    """The checks that go through the leaves of one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        manifest: Manifest,
        logs: Sequence[LogLine],
        trust: Trust,
        spill: Spill,
        found: Findings,
        progress: Progress,
    ) -> None:
        self._bundle, self._manifest, self._logs, self._trust = bundle, manifest, logs, trust
        self._spill, self._found, self._progress = spill, found, progress
        self._total = sum(log.size for log in logs if log.folder is not None)
        self._statements: list[tuple[str, int, str]] = []
        self.tiles = Tiles(bundle)
        self.newest_us = 0

    def run(self) -> tuple[LogTold, ...]:
        told = [self._log(number, log) for number, log in enumerate(self._logs) if log.folder is not None]
        if self._manifest.origin not in {log.origin for log in told}:
            self._found.add("log_hidden", self._manifest.origin, detail="the log of the node that made the bundle")
        check_streams(self._spill, self._logs, self._found)
        self._certificates()
        self._history()
        self._faults()
        return tuple(told)

    def _log(self, number: int, log: LogLine) -> LogTold:
        if self._trust.directory.division_of(log.origin) is None:
            self._found.add("log_uncertified", log.origin)
        heads = read_heads(self._bundle, log, self._trust, self._found)
        directory, is_simulated = self._trust.directory, self._trust.is_simulated(log.origin)
        check = LogCheck(number, log, heads, directory, self.tiles, self._spill, self._found, is_simulated=is_simulated)
        check.run(lambda done: self._progress("leaves", done, self._total))
        self._statements += [(log.origin, seq, text) for seq, text in check.statements]
        if not is_simulated:
            self.newest_us = max(self.newest_us, max(heads.times_s, default=0) * US)
        return LogTold(log.origin, log.size, heads.covered_size, tuple(sorted(heads.witnesses)))

    def _certificates(self) -> None:
        """What superiors have logged about those below them must stand among the certificates: from here on it does."""
        directory = self._trust.directory
        grown, _ = directory.adding_what_holds(text for _, _, text in self._statements)
        for log, seq, text in self._statements:
            issuer, author = grown.issuer_of(text), grown.division_of(log)
            if directory.issuer_of(text) is None and issuer is not None and author == issuer:
                self._found.add("certificate_left_out", log, seq)
        self._trust = self._trust.knowing(grown)

    def _history(self) -> None:
        order = Order(self._bundle, self._logs, self.tiles, self._trust, self._found)
        tiers = Tiers(self._manifest, self._logs, self._trust, self._spill, self._found)
        cases = Cases(self._manifest, self._logs, self._trust.directory.topology, self._spill, self._found)
        for learned in order:
            tiers.take(learned, order)
            cases.take(learned)
            self._progress("order", 1, self._total)
        tiers.compare(self.tiles)
        tiers.look_for_silent()
        if not self._manifest.below:
            self._found.add("cases_not_judged")
        if self._manifest.openings:
            OpeningCheck(self._manifest, self._logs, cases.file, self._spill, self._found).run(self._bundle)

    def _faults(self) -> None:
        trusted = ByRoot(self._trust.directory)
        try:
            for number, fault in enumerate(self._bundle.lines(FAULTS, FaultLine)):
                lie = proven_lie(fault, trusted)
                if lie is None:
                    self._found.add("fault_kept", "", number, f"{fault.kind} {fault.subject}")
                elif (fault.kind, fault.subject) == ("fork", lie.log):
                    self._found.add("fork", lie.log, number, f"{fault.kind} {fault.subject}")
                else:
                    self._found.add("lie_proven", lie.log, number, f"{lie.code}: {', '.join(lie.liars)}")
        except FileUnreadable as error:
            self._found.add("file_unreadable", index=error.line, detail=str(error))


def _list(bundle: Bundle, path: str, shape: type[_S], found: Findings) -> list[_S]:
    """A list that is held in memory: as many entries as there are nodes. What cannot be read ends it, and is found."""
    read: list[_S] = []
    try:
        read.extend(islice(bundle.lines(path, shape), MAX_LOGS))
    except FileUnreadable as error:
        found.add("file_unreadable", index=error.line, detail=str(error))
    return read


def _distinct(logs: Sequence[LogLine], found: Findings) -> list[LogLine]:
    """Each log, and each folder, once."""
    origins = [log.origin for log in logs]
    folders = [log.folder for log in logs if log.folder is not None]
    if len(set(origins)) == len(origins) and len(set(folders)) == len(folders):
        return list(logs)
    found.add("file_unreadable", detail=f"{LOGS}: a log or a folder is listed twice")
    return []
