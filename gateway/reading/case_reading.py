"""Puts together what API and pages show of one case, from the node's ledger as it stands now."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from domain.case import CaseFile
from domain.events import AnyEvent, CaseId, EventId, ReadingPurpose
from domain.steps import Step
from gateway.accounts import Account
from gateway.casework.case_files import CaseInHand, Place
from gateway.casework.readings import Opened
from gateway.casework.remit import may_see
from gateway.node import Node
from gateway.reading.case_view import CaseView, ClockView, case_view, running_clocks
from gateway.reading.following import Followed, followed
from gateway.reading.supervising import whole_view
from gateway.reading.units import Names
from gateway.reading.unproven import Unproven, unproven
from gateway.refusals import NotFound
from projections.board import Lateness, lateness
from projections.moment import Moment
from projections.timeline import Entry, timeline


class CaseReading:
    """One case in the hands of one reader, loaded once for a request."""

    def __init__(self, node: Node, known: CaseInHand) -> None:
        self.node = node
        self.file: CaseFile = known.file
        self.events: tuple[AnyEvent, ...] = known.events
        self.names = Names(node)
        self._places = known.places
        self._own_log, self._secured_size = node.own_log, node.links.secured_size()

    @classmethod
    def of(cls, node: Node, case: CaseId) -> "CaseReading":
        """The case, whoever asks. NotFound where nothing is known of it."""
        known = node.files.get(case)
        if known is None:
            raise NotFound
        return cls(node, known)

    @classmethod
    def for_account(cls, node: Node, case: CaseId, account: Account) -> "CaseReading":
        """The case, if it is here and concerns the account; NotFound otherwise, the same for both."""
        found = cls.of(node, case)
        if not may_see(found.file, account, node.here):
            raise NotFound
        return found

    @classmethod
    def for_petitioner(cls, node: Node, leaf: bytes) -> "CaseReading":
        """The case whose registration has this leaf hash. Raises ReceiptUnknown."""
        return cls.of(node, node.receipts.find(leaf))

    def clocks(self) -> tuple[ClockView, ...]:
        """The clocks that run now."""
        return running_clocks(self.file, self.events, self.node.around.calendar(), self.node.clock.now_us())

    def view(self) -> CaseView:
        """The case without anything sealed."""
        return case_view(self.file, self.clocks(), self.names.unit)

    def followed(self) -> Followed:
        """The petitioner's view."""
        return followed(self.file, self.events, self.clocks(), self.names.unit, self.is_secured)

    def timeline(self, at: Moment | None = None) -> list[Entry]:
        """Every event, of types unknown here too; at: only what had happened and was known by then."""
        return timeline(self.node.reader.read_case, self.file.case, at)

    def unproven(self, entries: Sequence[Entry]) -> dict[int, Unproven]:
        """By position, which of these happened at a time that only their author vouches for."""
        return unproven(self.node.links, entries)

    def lateness(self, at: Moment | None = None) -> list[Lateness]:
        """Who held the case on each of its late days, clock by clock; at: as it stood then."""
        with self.node.pool.connection() as conn:
            return lateness(conn, self.file.case, whole_view(self.node, at))

    def steps(self, account: Account) -> list[Step]:
        """What the account may do next, and why not the rest."""
        steps = self.node.desk.steps(self.file, account.actor)
        return [msgspec.structs.replace(step, **self._why(step)) for step in steps]

    def _why(self, step: Step) -> dict[str, str]:
        told = {"why_zh": step.why_zh, "why_en": step.why_en}
        return {name: self.names.in_words(text) for name, text in told.items() if text is not None}

    def is_secured(self, event: EventId) -> bool:
        """Whether somebody besides its author is known to have verified it; see `secured`."""
        place = self.place(event)
        return self.secured(place.log_id, place.seq)

    def secured(self, log_id: int, seq: int) -> bool:
        """The same of a leaf: an own one is cosigned by the next one up and by whom else the policy of the log demands,
        another's was verified before it came here.

        Whether that node's parent has cosigned it is not told here: what comes from above is sent as it is sealed.
        """
        return log_id != self._own_log or seq < self._secured_size

    def place(self, event: EventId) -> Place:
        """Where an event of the case stands."""
        return self._places[event]

    def are_secured(self, events: Iterable[EventId]) -> bool:
        """Whether all of them are."""
        return all(map(self.is_secured, events))

    def with_text(self) -> tuple[EventId, ...]:
        """The events of the case that have sealed text beside them."""
        return tuple(event.id for event in self.events if event.sealed)

    def open(self, events: Iterable[EventId], account: Account, purpose: ReadingPurpose, key: UUID) -> Opened:
        """Their sealed texts, once the reading stands in the ledger. NotFound for an event of another case."""
        wanted = tuple(events)
        if not {event.id for event in self.events}.issuperset(wanted):
            raise NotFound
        return self.node.readings.texts(self.file.case, wanted, account.actor, purpose, key)
