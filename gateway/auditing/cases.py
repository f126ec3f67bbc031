"""Cases folded as every node folds them: what was written without right, what was erased, by whom, and what remains."""

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.authority import judged
from domain.case import CaseFile, evolve
from domain.events import (
    AnyEvent,
    CaseId,
    ErasureConfirmed,
    KeyDestroyed,
    NotCanonical,
    SealedRead,
    Unknown,
    read,
    tag_of,
)
from domain.keys import is_second_person
from domain.standing import Standing
from gateway.auditing.bundle import LogLine, Manifest
from gateway.auditing.findings import Findings
from gateway.auditing.order import Learned
from gateway.auditing.spill import Spill, States

_SEALED: Final = "insert or ignore into sealed values (?, ?, ?, ?, ?, ?, ?, 0)"
_READING: Final = "insert or ignore into reading values (?)"
_DESTROYED: Final = "insert or ignore into destroyed values (?, ?)"


class Cases:
    """Every case of a bundle, folded in the order in which its node learned the events."""

    def __init__(self, manifest: Manifest, logs: Sequence[LogLine], spill: Spill, found: Findings) -> None:
        self._manifest, self._logs, self._spill, self._found = manifest, logs, spill, found
        self.files: States[CaseFile] = States(spill, CaseFile)

    def take(self, learned: Learned) -> None:
        """Fold one leaf, and note what may have to be opened of it."""
        event = self._event(learned)
        if event is None or event.case is None or event.stream is None or event.version is None:
            return
        if not isinstance(event, Unknown):
            self._note(learned, event, event.case)
        if self._manifest.below:
            self._fold(learned, event, event.case)

    def _event(self, learned: Learned) -> AnyEvent | Unknown | None:
        if learned.leaf.event is not None or learned.leaf.fault is not None:
            return learned.leaf.event
        try:
            return read(learned.body)
        except NotCanonical:
            return None

    def _fold(self, learned: Learned, event: AnyEvent | Unknown, case: CaseId) -> None:
        file = self.files.get(case.bytes)
        _, is_lawful = judged(file.standing if file else Standing(), event, learned.seq)
        if not is_lawful:
            tag = event.tag if isinstance(event, Unknown) else tag_of(event)
            self._find("without_right", learned, f"{tag} of case {case}")
        elif isinstance(event, ErasureConfirmed | KeyDestroyed):
            self._check_erasure(learned, event, file)
        self.files.put(case.bytes, evolve(file, event, learned.seq))

    def _check_erasure(self, learned: Learned, event: ErasureConfirmed | KeyDestroyed, file: CaseFile | None) -> None:
        """Two persons of one node agree first; only then does any custodian destroy."""
        known = file.erasures.get(event.erasure) if file else None
        if isinstance(event, ErasureConfirmed):
            if known is not None and not is_second_person(known.ordered, event):
                self._find("one_person", learned, f"erasure {event.erasure}")
        elif known is None or known.confirmed is None:
            self._find("destroyed_unordered", learned, f"erasure {event.erasure}")

    def _note(self, learned: Learned, event: AnyEvent, case: CaseId) -> None:
        """What the bundle's node must be able to open, has noted to have read, has destroyed."""
        if not self._manifest.openings:
            return
        is_here = event.node == self._manifest.division
        if isinstance(event, SealedRead) and is_here and event.purpose == "audit":
            for read_event in event.events:
                self._spill.put(_READING, (read_event.bytes,))
        if isinstance(event, KeyDestroyed) and is_here:
            self._spill.put(_DESTROYED, (case.bytes, event.subject))
        for part, sealed in enumerate(event.sealed):
            fields = msgspec.json.encode(sealed.fields)
            row = (learned.log, learned.seq, part, event.id.bytes, case.bytes, sealed.subject, fields)
            self._spill.put(_SEALED, row)

    def _find(self, code: str, learned: Learned, detail: str) -> None:
        self._found.add(code, self._logs[learned.log].origin, learned.seq, detail)
