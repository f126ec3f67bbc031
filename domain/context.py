"""What a decision is taken with: who acts, where and when, and the pen that writes the envelope of its events."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypedDict
from uuid import UUID

import msgspec

from domain.calendar import Calendar
from domain.case import CaseFile
from domain.commands import Command
from domain.divisions import Division, Topology
from domain.events import Actor, CaseId, Cause, EventId, Role, Sealed, StreamId, Unit
from domain.parts import node_of
from domain.refusals import BeforeItsCause, InFuture, RoleNotAllowed, UnitNotHere, UnitUnknown


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, on which node, when (UTC microseconds), by which tree of superiors and which calendar.

    is_unit: whether it is known here that there is such a unit; the first office of a known node always is.
    """

    now_us: int
    node: Division
    actor: Actor
    topology: Topology
    calendar: Calendar
    is_unit: Callable[[Unit], bool] = lambda _: True

    def require(self, *roles: Role) -> None:
        """Raises RoleNotAllowed unless the actor has one of `roles`, UnitNotHere if the unit is another node's."""
        if self.actor.role not in roles:
            raise RoleNotAllowed(role=self.actor.role, roles=roles)
        if node_of(self.actor.unit) != self.node:
            raise UnitNotHere(unit=self.actor.unit, node=self.node)

    def require_unit(self, unit: Unit, field: str) -> None:
        """Raises UnitUnknown, about the field, for what is no unit known here."""
        if not self.is_unit(unit):
            raise UnitUnknown(unit=unit, office=f"{node_of(unit)}.office", field=field)


class Context(Situation, frozen=True, kw_only=True):
    """A situation, and what the node's side supplies for the events.

    ids: fresh UUIDv7s; the first becomes the main event's id, under which its texts were sealed (and the id of the
    case, order, erasure or material that it opens). sealed: the main event's commitments. number: the next number of
    a paper, by the tag of the event it is rendered from; asked only once nothing can refuse any more. where_known:
    log origin and leaf index of another node's event, null for one of this node's. last_known: of a leg's node, the
    log and its last cosigned size, for a take-over.
    """

    ids: Iterator[UUID]
    number: Callable[[str], str]
    sealed: tuple[Sealed, ...] = ()
    where_known: Callable[[EventId], tuple[str, int] | None] = lambda _: None
    last_known: tuple[str, int] | None = None


class Envelope(TypedDict):
    """The fields of `Event`, to be unpacked into one."""

    id: EventId
    stream: StreamId
    version: int
    case: CaseId | None
    node: Division
    actor: Actor
    occurred_us: int
    recorded_us: int
    cause: tuple[Cause, ...]
    law: str | None
    sealed: tuple[Sealed, ...]


def alone(
    id_: UUID, node: Division, actor: Actor, now_us: int, case: CaseId | None = None, cause: tuple[Cause, ...] = ()
) -> Envelope:
    """Of an event that happens as it is recorded, in a stream of its own that bears its id; nothing sealed in it."""
    return Envelope(
        id=EventId(id_),
        stream=StreamId(id_),
        version=1,
        case=case,
        node=node,
        actor=actor,
        occurred_us=now_us,
        recorded_us=now_us,
        cause=cause,
        law=None,
        sealed=(),
    )


class Pen:
    """Writes the envelopes of one command's events.

    Raises InFuture for what is said to happen after now, BeforeItsCause before what it follows from.
    """

    def __init__(self, file: CaseFile | None, command: Command, context: Context) -> None:
        if command.occurred_us is not None and command.occurred_us > context.now_us:
            raise InFuture(field="occurred_us")
        self._file = file
        self._context = context
        self._claimed_us = command.occurred_us
        self._occurred_us = context.now_us if command.occurred_us is None else command.occurred_us

    def fresh(self) -> UUID:
        """A fresh id for something that the events name."""
        return next(self._context.ids)

    def main(
        self, stream: UUID | None = None, cause: Iterable[EventId | None] = (), law: str | None = None
    ) -> Envelope:
        """The main event's envelope: the first id, all that was sealed. No stream: one of its own, named as the id.

        To be asked before anything else of this pen, and once.
        """
        causes = tuple(event for event in cause if event is not None)
        if self._file is not None:
            self._check_order(self._file, causes)
        id_ = EventId(self.fresh())
        case = self._file.case if self._file else CaseId(id_)
        return self._envelope(id_, case, stream or id_, causes, law, self._context.sealed)

    def further(
        self, case: CaseId, stream: UUID, cause: Iterable[EventId | None] = (), law: str | None = None
    ) -> Envelope:
        """The envelope of an event that follows from the main one."""
        return self._envelope(EventId(self.fresh()), case, stream, cause, law, ())

    def _check_order(self, file: CaseFile, causes: Iterable[EventId]) -> None:
        known = (file.begun.get(file.case), *(_happened_us(file, event) for event in causes))
        since_us = max((moment for moment in known if moment is not None), default=None)
        if self._claimed_us is not None and since_us is not None and self._claimed_us < since_us:
            raise BeforeItsCause(since_us)

    def _envelope(
        self,
        id_: EventId,
        case: CaseId,
        stream: UUID,
        cause: Iterable[EventId | None],
        law: str | None,
        sealed: tuple[Sealed, ...],
    ) -> Envelope:
        return Envelope(
            id=id_,
            stream=StreamId(stream),
            version=(self._file.version_of(stream) if self._file else 0) + 1,
            case=case,
            node=self._context.node,
            actor=self._context.actor,
            occurred_us=self._occurred_us,
            recorded_us=self._context.now_us,
            cause=tuple(self._cause(event) for event in cause if event is not None),
            law=law,
            sealed=sealed,
        )

    def _cause(self, event: EventId) -> Cause:
        log, seq = self._context.where_known(event) or (None, None)
        return Cause(id=event, log=log, seq=seq)


def _happened_us(file: CaseFile, event: EventId) -> int | None:
    """When an event from which others follow happened; of the opening of a leg, when the leg was given to its unit.

    What was done on paper between the two is rightly dated before its node opened the leg. Null: not known here.
    """
    for leg in file.legs.values():
        if event in {leg.opened, leg.named_by}:
            return file.begun.get(leg.id, file.begun.get(file.case))
    for order in file.orders.values():
        if event == order.reply:
            return order.reply_us
        if order.judged is not None and event == order.judged.id:
            return order.judged.occurred_us
    objection = file.objections.get(event)
    known = file.papers.get(event) or file.directives.get(event) or (objection.raised if objection else None)
    return known.occurred_us if known else None
