"""Cases folded as every node folds them: what was written without right, what was erased, by whom, and what remains."""

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.authority import judged
from domain.calendar import Calendar, Notice, seed_calendar
from domain.case import CaseFile, evolve
from domain.divisions import Topology
from domain.errors import DomainError
from domain.events import (
    AnyEvent,
    CaseId,
    ErasureConfirmed,
    HolidaysNoticed,
    KeyDestroyed,
    SealedRead,
    Unknown,
    read,
    tag_of,
)
from domain.keys import is_second_person
from domain.standing import Standing
from gateway.auditing.bundle import LogLine, Manifest
from gateway.auditing.deciding import why_undecidable
from gateway.auditing.findings import Findings
from gateway.auditing.order import OWN, Learned
from gateway.auditing.spill import Spill, States

SAME_MOMENT_US: Final = 5_000_000
"""So long a node may have known nothing yet, in the middle of a decision, of what it had just learned."""

_SEALED: Final = "insert or ignore into sealed values (?, ?, ?, ?, ?, ?, ?, 0)"
_READING: Final = "insert or ignore into reading values (?)"
_DESTROYED: Final = "insert or ignore into destroyed values (?, ?)"


class CaseState(msgspec.Struct, frozen=True):
    """A case as it is known by then. foreign_us: when the node last learned something of it from another (UTC us)."""

    file: CaseFile
    foreign_us: int


class Cases:
    """Every case of a bundle, folded in the order in which its node learned the events."""

    def __init__(
        self, manifest: Manifest, logs: Sequence[LogLine], topology: Topology, spill: Spill, found: Findings
    ) -> None:
        self._manifest, self._logs, self._spill, self._found = manifest, logs, spill, found
        self._topology = topology
        self._calendar = seed_calendar()
        self._states: States[CaseState] = States(spill, CaseState)

    def file(self, case: bytes) -> CaseFile | None:
        """A case by the 16 bytes of its id, as it is known by now."""
        state = self._states.get(case)
        return state.file if state else None

    def take(self, learned: Learned) -> None:
        """Fold one leaf, and note what may have to be opened of it."""
        event = self._event(learned)
        if isinstance(event, HolidaysNoticed):
            self._calendar = _with_notice(self._calendar, event)
        if event is None or event.case is None or event.stream is None or event.version is None:
            return
        if not isinstance(event, Unknown):
            self._note(learned, event, event.case)
        if self._manifest.below:
            self._fold(learned, event, event.case)

    def _event(self, learned: Learned) -> AnyEvent | Unknown | None:
        if learned.leaf.event is not None or learned.leaf.fault is not None:
            return learned.leaf.event
        return read(learned.body)  # of a newer type

    def _fold(self, learned: Learned, event: AnyEvent | Unknown, case: CaseId) -> None:
        state = self._states.get(case.bytes)
        file = state.file if state else None
        _, is_lawful = judged(file.standing if file else Standing(), event, learned.seq)
        if not is_lawful:
            tag = event.tag if isinstance(event, Unknown) else tag_of(event)
            self._find("without_right", learned, f"{tag} of case {case}")
        elif isinstance(event, ErasureConfirmed | KeyDestroyed) and self._is_erasure_wrong(learned, event, file):
            pass  # found by its own name
        elif learned.via == OWN and not isinstance(event, Unknown):
            self._check_decision(learned, event, state)
        foreign_us = learned.known_us if learned.via != OWN else state.foreign_us if state else 0
        self._states.put(case.bytes, CaseState(evolve(file, event, learned.seq), foreign_us))

    def _check_decision(self, learned: Learned, event: AnyEvent, state: CaseState | None) -> None:
        """The node's own events, which it decided on just what is known here; unless something of the case came at the
        same moment, of which nobody can tell whether it was known by then."""
        why = why_undecidable(state.file if state else None, event, self._topology, self._calendar)
        if why is not None and (state is None or event.recorded_us - state.foreign_us > SAME_MOMENT_US):
            self._find("not_decidable", learned, f"{tag_of(event)}: {why}")

    def _is_erasure_wrong(
        self, learned: Learned, event: ErasureConfirmed | KeyDestroyed, file: CaseFile | None
    ) -> bool:
        """Two persons of one node agree first; only then does any custodian destroy."""
        known = file.erasures.get(event.erasure) if file else None
        if isinstance(event, ErasureConfirmed):
            is_wrong, code = known is not None and not is_second_person(known.ordered, event), "one_person"
        else:
            is_wrong, code = known is None or known.confirmed is None, "destroyed_unordered"
        if is_wrong:
            self._find(code, learned, f"erasure {event.erasure}")
        return is_wrong

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


def _with_notice(calendar: Calendar, event: HolidaysNoticed) -> Calendar:
    """The calendar with a notice, as every node takes it in; one that contradicts itself changes nothing."""
    try:
        return calendar.with_notice(
            Notice(year=event.year, off=event.off, working=event.working, source=event.source, edition=event.edition)
        )
    except DomainError:
        return calendar
