"""What a node does by itself: opens the legs it is given, answers directives, ends silent objections, destroys keys.

It follows the ledger. Every act is a command under an id made from what it does, so a steward that dies and begins
again from an earlier position does nothing twice. An event that it cannot attend to holds up no other: what another
node wrote to no good end stands among the faults and is tried again every hour; what only a newer version reads, once
the process has been started anew. What is new comes first.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec
import structlog

from domain.commands import AnswerDirective, AnyCommand, LapseObjection, OpenLeg
from domain.divisions import Division
from domain.errors import DomainError
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    ErasureConfirmed,
    EventId,
    HandedOver,
    HolidaysNoticed,
    KeyDestroyed,
    KeyGranted,
    Objected,
    ObjectionRuled,
    OrderIssued,
    SealedItem,
    TakenOver,
    Unknown,
    read,
)
from domain.parts import node_of
from domain.refusals import ObjectionRuns, UpgradeNeeded
from gateway.casework.denunciations import Denunciations
from gateway.casework.desk import Desk
from gateway.casework.erasing import Erasing
from gateway.casework.journal import Journal
from gateway.casework.kept_keys import KeptKeys
from gateway.casework.later import Later
from gateway.casework.store import CaseworkStore, Leaf
from gateway.hosting.clock_doubt import ClockInDoubt
from sync.exchange.faults import Fault
from sync.exchange.leaf import UNREADABLE
from sync.exchange.store import Store
from sync.ledger.append import Act, BodyTooLarge, CommandReused, StaleVersion
from sync.ledger.reading import LedgerReader
from sync.ledger.rows import Row
from sync.sealed.custody import CaseReader, Custody
from sync.sealed.sealing import SealBroken
from sync.trust.certificates import CertificateRefused
from sync.trust.keys import CommandId

_PAGE: Final = 500
_LOOK_AGAIN_S: Final = 1.0
_STALE_TRIES: Final = 3
_LATER_US: Final = 3_600_000_000

_CONTAINED: Final = (
    DomainError,
    StaleVersion,
    CommandReused,
    BodyTooLarge,
    SealBroken,
    ValueError,
    LookupError,
)
"""What another node's words can bring about. Anything else that does not pass by itself is a fault of the program."""

UNATTENDED: Final = "unattended"
"""The kind of the fault that names such a leaf."""

GRANT_BROKEN: Final = "grant_broken"
"""The kind of the fault that names a grant to this node with nothing beside it that opens: its author's doing."""

Outcome = Literal["done", "failed", "newer"]
"""newer: it waits for a newer version of this program."""

_log = structlog.get_logger("steward")


class Faults(Protocol):
    """The board of faults."""

    def fault(self, fault: Fault) -> None:
        """Let it stand."""

    def heal(self, kind: str, subjects: Sequence[str]) -> None:
        """They are over, those that stood."""


class Stopping(Protocol):
    """How it is told to stop, and waits meanwhile, such as a threading.Event."""

    def set(self) -> None:
        """Stop after the present act."""

    def is_set(self) -> bool:
        """Whether it was told to."""

    def wait(self, timeout: float) -> object:
        """Until it is, or for so many seconds."""


class Hands(NamedTuple):
    """What the steward works with.

    exchange: where frames and letters wait. each_hour: what else is done then. passing: what passes by itself, and is
    waited for.
    """

    desk: Desk
    journal: Journal
    reader: LedgerReader
    cases: CaseReader
    custody: Custody
    store: CaseworkStore
    exchange: Store
    denunciations: Denunciations
    faults: Faults
    origin: Callable[[int], str]
    forget_calendar: Callable[[], None]
    carry_out: Callable[[str], bytes]
    note_heads: Callable[[], None]
    look_at_cover: Callable[[], None]
    each_hour: Callable[[], None]
    now_us: Callable[[], int]
    passing: tuple[type[Exception], ...]


class Steward:
    """One thread's work. What passes by itself is waited for; what comes of a row is a fault of that row alone."""

    def __init__(self, here: Division, hands: Hands, stopping: Stopping) -> None:
        self._here = here
        self._hands = hands
        self._passing: tuple[type[Exception], ...] = (*hands.passing, StaleVersion, TimeoutError, ClockInDoubt)
        self._store = store = hands.store
        self._erasing = Erasing(here, hands.desk.file, hands.custody, self._do, store, hands.exchange, hands.now_us)
        self._kept_keys = KeptKeys(here, hands.cases, hands.exchange, hands.faults.fault, hands.origin)
        self._actor = Actor(account=UUID(int=0), role="system", unit=f"{here}.office")
        self._stopping = stopping
        self._later = Later(store)
        self._put_off_before: list[int] = []
        self._cases_before: list[UUID] = []
        self._newer_before: tuple[int, int] | None = None
        self._has_begun = False
        self._again_us = 0
        self._pos = 0

    def stop(self) -> None:
        """Let `run` return after what it is doing."""
        self._stopping.set()

    def run(self) -> None:
        """Follow the ledger until stopped."""
        while not self._stopping.is_set():
            try:
                is_done = self.step()
                if is_done:
                    self._hands.reader.wait_beyond(self._pos, _LOOK_AGAIN_S)
            except self._passing as trouble:
                _log.warning("trouble", part="steward", reason=type(trouble).__name__, again_in_s=_LOOK_AGAIN_S)
                self._stopping.wait(_LOOK_AGAIN_S)

    def step(self) -> bool:
        """A bounded piece of work; whether nothing is left for now. Raises what passes by itself."""
        pos = self._pos = self._store.position()
        self._take_up(pos)
        rows = self._hands.reader.read(pos, _PAGE)
        done = self._go_through(rows)
        if done:
            self._pos = done[-1].pos
            self._store.move(self._pos)
        self._end_silent_objections()
        self._admit_children()
        self._hands.note_heads()
        self._hands.look_at_cover()
        return len(rows) < _PAGE and not self._try_again()

    def _go_through(self, rows: Sequence[Row]) -> list[Row]:
        """Attend to each and keep what has to be tried again; those that were come to before it was told to stop."""
        done: list[Row] = []
        for row in rows:
            if self._stopping.is_set():
                break
            match self._attend(row):
                case "failed":
                    self._put_off(row.pos)
                case "newer":
                    self._later.newer_at(row.pos)
            done.append(row)
        self._destroy_again({row.case_id: row.pos for row in done if row.case_id is not None})
        return done

    def _attend(self, row: Row) -> Outcome:
        """Do what the event asks for."""
        if row.topic == UNREADABLE:
            return "done"  # proven, a fault on the board, and without effect
        subject = f"{self._hands.origin(row.log_id)}#{row.seq}"
        return self._contained(subject, lambda: self._answer_row(row))

    def _contained(self, subject: str, act: Callable[[], None]) -> Outcome:
        """Whether `act` could be done. Why it failed stands on the board of faults."""
        try:
            self._in_turn(act)
        except UpgradeNeeded:
            return "newer"
        except _CONTAINED as error:
            # Its name alone: the words may tell what a sealed letter must not.
            _log.error("not attended to", subject=subject, error=type(error).__name__)
            self._hands.faults.fault(Fault(UNATTENDED, subject, "", type(error).__name__))
            return "failed"
        return "done"

    def _in_turn(self, act: Callable[[], None]) -> None:
        """Somebody else's write in between passes by itself: once more, on what stands there then."""
        for _ in range(_STALE_TRIES - 1):
            try:
                act()
            except StaleVersion:
                self._stopping.wait(_LOOK_AGAIN_S)
            else:
                return
        act()

    def _answer_row(self, row: Row) -> None:
        event = read(row.body)
        if isinstance(event, Unknown):
            raise UpgradeNeeded
        if isinstance(event, SealedItem):
            self._offer_to_organ(event, row)
        elif isinstance(event, HolidaysNoticed):
            self._hands.forget_calendar()
            self._store.look_at_all()  # the days on which they end have moved
        elif event.case is not None:
            self._act_on(event, event.case, row)

    def _destroy_again(self, cases: Mapping[UUID, int]) -> bool:
        """cases: each with the position of an event of it, by which it is tried again. Whether all could be done."""
        if not cases:
            return True
        try:
            self._erasing.learned(cases)
            failed = set[UUID]()
        except _CONTAINED:
            failed = {
                case for case in cases if self._contained(_case(case), partial(self._erasing.learned, {case})) != "done"
            }
        for case in failed:
            self._put_off(cases[case])
        self._hands.faults.heal(UNATTENDED, [_case(case) for case in cases if case not in failed])
        return not failed

    def _act_on(self, event: AnyEvent, case: CaseId, row: Row) -> None:
        match event:
            case HandedOver() if node_of(event.to) == self._here:
                self._do(OpenLeg(case=case, directive=event.id), event.id)
            case ObjectionRuled():
                if event.next_leg is not None and node_of(event.holder) == self._here:
                    self._do(OpenLeg(case=case, directive=event.id), event.id)
                self._answer(case, event.id)
            case TakenOver():
                if node_of(event.unit) == self._here:
                    self._do(OpenLeg(case=case, directive=event.id), event.id)
                else:
                    self._answer(case, event.id)
                    self._hand_on(case, event, row)
            case OrderIssued() if node_of(event.unit) == self._here:
                self._answer(case, event.id)
            case Objected() if event.node == self._here:
                self._store.watch(case, event.id)
            case KeyGranted() if event.node != self._here:
                self._pass_on(case, event, row)
                self._kept_keys.look(case, event)
            case KeyDestroyed():
                self._kept_keys.look(case, event)
            case ErasureConfirmed():
                self._erasing.confirmed(case)
            case _:
                return

    def _answer(self, case: CaseId, directive: EventId) -> None:
        file = self._hands.desk.file(case)
        known = file.directives.get(directive) if file else None
        leg = file.legs.get(known.leg) if file and known else None
        if leg is not None and leg.node == self._here:
            self._do(AnswerDirective(case=case, directive=directive), directive)

    def _hand_on(self, case: CaseId, event: TakenOver, row: Row) -> None:
        """Whoever holds a key, so that a silent holder keeps nothing from who took the case.

        By the leaf, not by the event's id, which another event may bear too.
        """
        act = self._hands.journal.of_node(f"hand_on/{row.log_id}/{row.seq}")
        self._hands.desk.hand_on_keys(case, event, self._actor, act)

    def _pass_on(self, case: CaseId, event: KeyGranted, row: Row) -> None:
        """Keys that a take-over asked for may come when the matter has long been handed on."""
        if self._hands.custody.is_broken(row.log_id, row.seq, event):
            subject = f"{self._hands.origin(row.log_id)}#{row.seq}"
            self._hands.faults.fault(Fault(GRANT_BROKEN, subject, "", "what lies beside this grant opens nothing"))
        if any(grant.custodian == self._here for grant in event.grants):
            act = self._hands.journal.of_node(f"pass_on/{row.log_id}/{row.seq}")
            self._hands.desk.pass_keys_on(case, event, self._actor, act)

    def _offer_to_organ(self, event: SealedItem, row: Row) -> None:
        part = self._hands.cases.part(row.log_id, row.seq, 0)
        if part is not None:
            self._hands.denunciations.arrived(Leaf(row.log_id, row.seq), event.item, part, row.known_us)

    def _do(self, command: AnyCommand, cause: EventId, beside: Sequence[Act] = ()) -> None:
        try:
            self._hands.desk.do(command, self._actor, self._id_of(command), beside)
        except UpgradeNeeded:
            raise
        except DomainError as refusal:
            # The rules had the last word: another event, learned since, made the act unlawful or needless.
            _log.warning("left undone", act=type(command).__name__, cause=str(cause), code=refusal.code)

    def _id_of(self, command: AnyCommand) -> CommandId:
        """A command of the node's own is the same command wherever it comes from: what it says is its name."""
        return self._hands.journal.of_node(msgspec.json.encode(command).decode())

    # Objections that nobody answers

    def _end_silent_objections(self) -> None:
        """Those whose time has run out, each once; of a new one, first find out when that will be."""
        for objection, case in self._store.due(self._hands.now_us()):
            subject = f"objection {objection}"
            if self._contained(subject, partial(self._end_if_silent, case, objection)) == "done":
                self._hands.faults.heal(UNATTENDED, [subject])
            else:
                self._store.look_at(objection, self._hands.now_us() + _LATER_US)

    def _end_if_silent(self, case: CaseId, objection: EventId) -> None:
        look_us = self._lapse(case, objection)
        if look_us is not None:
            self._store.look_at(objection, look_us)
        else:
            self._store.unwatch(objection)

    def _lapse(self, case: CaseId, objection: EventId) -> int | None:
        """When to look again, UTC microseconds; None where the objection has ended, now or before."""
        lapse = LapseObjection(case=case, objection=objection)
        try:
            self._hands.desk.do(lapse, self._actor, self._id_of(lapse))
        except ObjectionRuns as runs:
            return runs.until_us
        except UpgradeNeeded:
            raise
        except DomainError as refusal:
            _log.warning("left undone", act="lapse", cause=str(objection), code=refusal.code)
        return None

    # What could not be attended to

    def _put_off(self, pos: int) -> None:
        _log.warning("put off", pos=pos)
        self._later.put_off(pos)

    def _take_up(self, pos: int) -> None:
        """Find what to try again: every hour what failed; once in a process, which may be newer, what it did not read.

        pos: up to where an earlier process came.
        """
        if not self._has_begun:
            first = self._later.newer_from()
            self._newer_before = None if first is None else (first - 1, pos)
            self._has_begun = True
        now_us = self._hands.now_us()
        if not self._again_us - _LATER_US <= now_us < self._again_us:  # nor after a clock that was an hour ahead
            self._again_us = now_us + _LATER_US
            self._store.look_at_all()
            self._cases_before = list(self._erasing.waiting())
            self._put_off_before = self._later.put_off_before()
            self._hands.each_hour()

    def _try_again(self) -> bool:
        """Some of it; whether there is more."""
        for _ in range(_PAGE):
            if self._stopping.is_set():
                return False
            if self._cases_before:
                case = self._cases_before.pop()
                self._contained(_case(case), partial(self._erasing.learned, {case}))
            elif self._put_off_before:
                self._try_row_again(self._put_off_before[-1])
                self._put_off_before.pop()
            else:
                return self._read_again()
        return True

    def _try_row_again(self, pos: int) -> None:
        (row,) = self._hands.reader.read(pos - 1, 1)
        outcome = self._attend(row)
        if outcome == "newer":
            self._later.newer_at(pos)
        if outcome != "failed":
            self._hands.faults.heal(UNATTENDED, [f"{self._hands.origin(row.log_id)}#{row.seq}"])
        if self._destroy_again({row.case_id: pos} if row.case_id else {}) and outcome != "failed":
            self._later.settled(pos)

    def _read_again(self) -> bool:
        """The next page of what an earlier process may not have understood; whether there is more."""
        if self._newer_before is None:
            return False
        after, upto = self._newer_before
        rows = [row for row in self._hands.reader.read(after, _PAGE) if row.pos <= upto]
        done = self._go_through(rows)
        if len(done) == len(rows) < _PAGE:
            self._later.gone_through()
            self._newer_before = None
            return False
        self._newer_before = (done[-1].pos if done else after, upto)
        return True

    # Requests that the command line left

    def _admit_children(self) -> None:
        for request in self._store.requests():
            bundle = refusal = None
            try:
                bundle = self._hands.carry_out(request)
            except (DomainError, CertificateRefused, CommandReused, msgspec.DecodeError) as error:
                refusal = str(error)
            self._store.answer(request, bundle, refusal)


def _case(case: UUID) -> str:
    return f"case {case}"
