"""What a node does by itself: opens the legs it is given, answers directives, ends silent objections, destroys keys.

It follows the ledger. Every act is a command under an id made from its cause, so a steward that dies and begins
again from an earlier position does nothing twice. Where an event of a newer version stands in the way, it tries again
when the node has been started anew, such as with the version that understands it.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec
import psycopg
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
from sync.exchange.leaf import UNREADABLE
from sync.exchange.pump import TROUBLE
from sync.ledger.append import CommandReused, StaleVersion
from sync.ledger.reader import Reader, Row
from sync.sealed.custody import Custody
from sync.trust.certificates import CertificateRefused, Enrolment

_ACTS: Final = UUID("3f6d2b0e-8a54-4c0d-9d6b-5b6d1c0f7a21")
_PAGE: Final = 500
_LOOK_AGAIN_S: Final = 1.0
_UPGRADE_LOOK_US: Final = 3_600_000_000

_PASSING: Final = (*TROUBLE, StaleVersion, TimeoutError)

_log = structlog.get_logger("steward")


class Hands(NamedTuple):
    """What the steward works with."""

    desk: Desk
    reader: Reader
    custody: Custody
    denunciations: Denunciations
    forget_calendar: Callable[[], None]
    admit: Callable[[str], Enrolment]
    note_heads: Callable[[], None]
    now_us: Callable[[], int]
    connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


class Steward:
    """One thread's work; what passes by itself is waited for, whatever else it raises is a fault of the program."""

    def __init__(self, here: Division, hands: Hands) -> None:
        self._here = here
        self._hands = hands
        self._erasing = Erasing(here, hands.desk.file, hands.custody, self._do, hands.connect, hands.now_us)
        self._actor = Actor(account=UUID(int=0), role="system", unit=f"{here}.office")
        self._stopping = threading.Event()
        self._put_off_before: list[int] | None = None

    def stop(self) -> None:
        """Let `run` return after what it is doing."""
        self._stopping.set()

    def run(self) -> None:
        """Follow the ledger until stopped."""
        while not self._stopping.is_set():
            try:
                self._step()
            except _PASSING as trouble:
                _log.warning("trouble", part="steward", reason=type(trouble).__name__, again_in_s=_LOOK_AGAIN_S)
                self._stopping.wait(_LOOK_AGAIN_S)

    def _step(self) -> None:
        self._try_again()
        pos = self._position()
        rows = self._hands.reader.read(pos, _PAGE)
        for row in rows:
            if not self._attend(row):
                self._put_off(row.pos)
        if rows:
            self._erasing.learned({row.case_id for row in rows if row.case_id is not None})
            pos = rows[-1].pos
            self._move(pos)
        self._end_silent_objections()
        self._admit_children()
        self._hands.note_heads()
        if len(rows) < _PAGE:
            self._hands.reader.wait_beyond(pos, _LOOK_AGAIN_S)

    def _attend(self, row: Row) -> bool:
        """Do what the event asks for; False where only a newer version of this program can."""
        if row.topic == UNREADABLE:
            return True  # proven, a fault on the board, and without effect
        event = read(row.body)
        if isinstance(event, Unknown):
            return False
        try:
            if isinstance(event, SealedItem):
                self._offer_to_organ(event, row)
            elif isinstance(event, HolidaysNoticed):
                self._hands.forget_calendar()
                self._look_at_all_objections()
            elif event.case is not None:
                self._act_on(event, event.case)
        except UpgradeNeeded:
            return False
        return True

    def _act_on(self, event: AnyEvent, case: CaseId) -> None:
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
                    self._hand_on(case, event)
            case OrderIssued() if node_of(event.unit) == self._here:
                self._answer(case, event.id)
            case Objected() if event.node == self._here:
                self._watch(case, event.id)
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

    def _hand_on(self, case: CaseId, event: TakenOver) -> None:
        """Whoever holds a key, so that a silent holder keeps nothing from who took the case."""
        act = uuid5(_ACTS, f"hand_on/{event.id}")
        self._hands.desk.hand_on_keys(case, event, self._actor, act)

    def _offer_to_organ(self, event: SealedItem, row: Row) -> None:
        with self._hands.connect() as conn:
            part = conn.execute(
                "select body from beside where log_id = %s and seq = %s and part = 0", (row.log_id, row.seq)
            ).fetchone()
        if part is not None:
            self._hands.denunciations.arrived(event.item, bytes(part[0]), row.known_us)

    def _do(self, command: AnyCommand, cause: EventId, beside: list[Any] | None = None) -> None:
        act = uuid5(_ACTS, f"{type(command).__name__}/{cause}")
        try:
            self._hands.desk.do(command, self._actor, act, beside or [])
        except UpgradeNeeded:
            raise
        except DomainError as refusal:
            # The rules had the last word: another event, learned since, made the act unlawful or needless.
            _log.warning("left undone", act=type(command).__name__, cause=str(cause), code=refusal.code)

    # Objections that nobody answers

    def _watch(self, case: CaseId, objection: EventId) -> None:
        with self._hands.connect() as conn:
            conn.execute(
                "insert into web.objection_watch (objection, case_id) values (%s, %s) on conflict do nothing",
                (objection, case),
            )

    def _end_silent_objections(self) -> None:
        """Those whose time has run out, each once; of a new one, first find out when that will be."""
        with self._hands.connect() as conn:
            due = conn.execute(
                "select objection, case_id from web.objection_watch where look_us <= %s", (self._hands.now_us(),)
            ).fetchall()
        for objection, case in due:
            look_us = self._lapse(CaseId(case), EventId(objection))
            with self._hands.connect() as conn:
                if look_us is None:
                    conn.execute("delete from web.objection_watch where objection = %s", (objection,))
                else:
                    conn.execute(
                        "update web.objection_watch set look_us = %s where objection = %s", (look_us, objection)
                    )

    def _lapse(self, case: CaseId, objection: EventId) -> int | None:
        """When to look again, UTC microseconds; None where the objection has ended, now or before."""
        act = uuid5(_ACTS, f"lapse/{objection}")
        try:
            self._hands.desk.do(LapseObjection(case=case, objection=objection), self._actor, act)
        except ObjectionRuns as runs:
            return runs.until_us
        except UpgradeNeeded:
            return self._hands.now_us() + _UPGRADE_LOOK_US
        except DomainError as refusal:
            _log.warning("left undone", act="lapse", cause=str(objection), code=refusal.code)
        return None

    def _look_at_all_objections(self) -> None:
        """A notice of holidays moves the days on which they end."""
        with self._hands.connect() as conn:
            conn.execute("update web.objection_watch set look_us = 0")

    # What needs a newer version of this program

    def _put_off(self, pos: int) -> None:
        _log.warning("put off until the node is upgraded", pos=pos)
        with self._hands.connect() as conn:
            conn.execute("insert into web.steward_later values (%s) on conflict do nothing", (pos,))

    def _try_again(self) -> None:
        """Once in the life of a process, which is one version: attend to what an earlier one had to put off."""
        if self._put_off_before is None:
            self._look_at_all_objections()
            with self._hands.connect() as conn:
                found = conn.execute("select pos from web.steward_later order by pos desc").fetchall()
            self._put_off_before = [int(pos) for (pos,) in found]
        while self._put_off_before:
            pos = self._put_off_before[-1]
            (row,) = self._hands.reader.read(pos - 1, 1)
            if self._attend(row):
                with self._hands.connect() as conn:
                    conn.execute("delete from web.steward_later where pos = %s", (pos,))
            self._put_off_before.pop()

    # Requests that the command line left

    def _admit_children(self) -> None:
        with self._hands.connect() as conn:
            waiting = conn.execute("select request from web.enrolling where bundle is null and refusal is null")
            for (request,) in waiting.fetchall():
                bundle = refusal = None
                try:
                    bundle = msgspec.json.encode(self._hands.admit(request))
                except (DomainError, CertificateRefused, CommandReused) as error:
                    refusal = str(error)
                conn.execute(
                    "update web.enrolling set bundle = %s, refusal = %s where request = %s", (bundle, refusal, request)
                )

    def _position(self) -> int:
        with self._hands.connect() as conn:
            row = conn.execute("select pos from web.steward").fetchone()
        return int(row[0]) if row else 0

    def _move(self, pos: int) -> None:
        with self._hands.connect() as conn:
            conn.execute("update web.steward set pos = greatest(pos, %s)", (pos,))
