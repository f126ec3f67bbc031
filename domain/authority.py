"""Who may change a case by which event: one table, and the little that must be known of a case to apply it.

Every node folds what others signed, and one of them may be dishonest or wrong. An event that its author had no right
to write stays in the ledger and in every proof; it has no effect, and time lines say so (无效力).

What is judged by: the events of a case come in causal order, so whoever learns an act of a unit has learned before how
that unit got the matter. Only where the registration itself went elsewhere (a superior that was sent the end of a
story) is the beginning missing; there, what rests on an unknown leg, objection or order is believed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from domain.divisions import Division
from domain.events import (
    Accepted,
    AnyEvent,
    ClaimAmended,
    Closed,
    Declined,
    DirectiveAnswered,
    ErasureConfirmed,
    ErasureOrdered,
    EventId,
    Extended,
    HandedOver,
    KeyDestroyed,
    KeyGranted,
    LegEnded,
    LegId,
    LegOpened,
    MaterialAdded,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OpinionIssued,
    OrderId,
    OrderIssued,
    OrderJudged,
    OrderReplied,
    Rated,
    Registered,
    RegistrationCorrected,
    Replied,
    Reported,
    SealedRead,
    Served,
    StreamId,
    TakenOver,
    Unit,
    Unknown,
    Withdrawn,
)
from domain.parts import LegEvent, node_of


class Hold(msgspec.Struct, frozen=True):
    """A leg as custody goes. is_named: an event of who had the matter, or a directive, gave it.

    directed_by: division and id of the directive that gave it, null for a registration or a hand-over. seen_version:
    how far the directive's author knew the stream of the leg that it took the matter from. is_handed: passed on.
    """

    unit: Unit
    from_leg: LegId | None
    is_named: bool = False
    directed_by: tuple[Division, EventId] | None = None
    seen_version: int = 0
    is_opened: bool = False
    is_handed: bool = False

    @property
    def node(self) -> Division:
        """The division whose node alone writes this leg's stream."""
        return node_of(self.unit)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Who stands where in one case: a value; `judged` makes the next.

    registrar: the node that registered it; null where that is not known here. rulers: by objection, its leg and who
    has to rule. orders: by order, the divisions of its issuer and of the unit ordered. erasures: who ordered each.
    """

    registrar: Division | None = None
    legs: Mapping[LegId, Hold] = {}
    rulers: Mapping[EventId, tuple[LegId, Division]] = {}
    orders: Mapping[OrderId, tuple[Division, Division]] = {}
    erasures: Mapping[StreamId, Division] = {}

    @property
    def path(self) -> tuple[LegId, ...]:
        """The lawful succession, from the first leg to the one whose unit answers now."""
        first = next((id_ for id_, leg in self.legs.items() if leg.from_leg not in self.legs), None)
        path: list[LegId] = []
        while first is not None and first not in path:
            path.append(first)
            first = self.successor(first)
        return tuple(path)

    def successor(self, leg: LegId) -> LegId | None:
        """The leg that took custody from `leg`, or null while `leg` itself has it.

        A directive comes before a hand-over, whichever was learned first, unless the matter was handed to somebody
        above who gave the directive. Of two directives that crossed, the one of the smaller code holds: a superior's
        code is smaller than those below it (GB/T 2260), and where codes do not tell, all nodes still choose alike.
        """
        directed = handed = None
        for id_, hold in self.legs.items():
            if not hold.is_named or hold.from_leg != leg:
                continue
            if hold.directed_by is not None:
                directed = min(directed or (hold.directed_by, id_), (hold.directed_by, id_))
            elif hold.is_opened and handed is None:
                handed = (hold.node, id_)
        if directed is None or (handed is not None and handed[0] < directed[0][0]):
            return handed[1] if handed else None
        return directed[1]

    def meets_petitioner(self, node: Division) -> bool:
        """Whether the petitioner deals with this node: the case was registered there, or given to it."""
        return self.registrar in {None, node} or any(leg.node == node for leg in self.legs.values())

    def is_overtaken(self, event: AnyEvent) -> bool:
        """Whether a directive took away the leg that `event` was written on, not having seen it."""
        if not isinstance(event, _ACTS) or self.registrar is None or event.leg not in self.legs:
            return False
        if not any(leg.directed_by for leg in self.legs.values()):
            return False
        if event.leg not in self.path:
            return True
        after = self.successor(event.leg)
        taken = self.legs[after] if after else None
        return taken is not None and taken.directed_by is not None and event.version > taken.seen_version


def judged(standing: Standing, event: AnyEvent | Unknown) -> tuple[Standing, bool]:
    """The standing after `event`, and whether the event has effect; one without changes nothing."""
    if isinstance(event, Unknown):
        return standing, owns_stream(standing, event)
    rule = AUTHORITY.get(type(event))
    if rule is None or not owns_stream(standing, event) or not rule(standing, event):
        return standing, False
    return _after(standing, event), True


def effects(told: Sequence[AnyEvent | None]) -> list[bool]:
    """Of each event of a case whether it has effect: when it came, and still after all that came later.

    None stands for one that cannot be read; it is taken to have its effect where it can.
    """
    standing, heard = Standing(), []
    for event in told:
        standing, has_effect = (standing, True) if event is None else judged(standing, event)
        heard.append(has_effect)
    return [
        has_effect and not (event is not None and standing.is_overtaken(event))
        for event, has_effect in zip(told, heard, strict=True)
    ]


def owns_stream(standing: Standing, event: AnyEvent | Unknown) -> bool:
    """Whether the author is the one writer of the stream, or the stream is nobody else's that is known."""
    stream = event.stream
    if stream is None or stream == event.case:
        return standing.registrar in {None, event.node}
    if (leg := standing.legs.get(LegId(stream))) is not None:
        return leg.node == event.node
    issuer, _ = standing.orders.get(OrderId(stream), (event.node, None))
    return event.node == issuer == standing.erasures.get(stream, issuer)


_Rule = Callable[[Standing, Any], bool]


def _anybody(_: Standing, __: AnyEvent) -> bool:
    """What moves nothing but itself, or proves itself: a wrapped key opens or does not."""
    return True


def _who_registers(standing: Standing, event: Registered) -> bool:
    """Once per case, by the node of the unit that it names."""
    return standing.registrar is None and event.node == node_of(event.unit) and event.stream == event.case


def _registrar(standing: Standing, event: AnyEvent) -> bool:
    """The node that registered the case."""
    return standing.registrar in {None, event.node}


def _who_met_the_petitioner(standing: Standing, event: AnyEvent) -> bool:
    """What the petitioner says is written down where the case was registered, or where it has been handled."""
    return standing.meets_petitioner(event.node)


def _to_whom_it_was_given(standing: Standing, event: LegOpened) -> bool:
    """A leg that was named: its unit, once. The first one: the registering node. No other leg is opened."""
    if event.stream != event.leg or event.node != node_of(event.unit):
        return False
    named = standing.legs.get(event.leg)
    if named is not None:
        return named.unit == event.unit and not named.is_opened
    return (
        not standing.legs and (event.mode == "registered" or standing.registrar is None) and _registrar(standing, event)
    )


def _writer_of_leg(standing: Standing, event: LegEvent) -> bool:
    """The node of the leg's unit, also after the matter left it: papers are served, reports given, endings noted."""
    leg = standing.legs.get(event.leg)
    if event.stream != event.leg:
        return False
    return standing.registrar is None if leg is None else leg.node == event.node


def _who_has_the_matter(standing: Standing, event: LegEvent) -> bool:
    """The node of the leg's unit until it handed the matter on, or until what the directive that took it had seen."""
    if not _writer_of_leg(standing, event):
        return False
    leg = standing.legs.get(event.leg)
    return leg is None or (not leg.is_handed and not standing.is_overtaken(event))


def _who_objects(standing: Standing, event: Objected) -> bool:
    """Who has the matter, naming who sent it; the sender rules, or in a dispute somebody who is no party to it."""
    leg = standing.legs.get(event.leg)
    sender = standing.legs.get(leg.from_leg) if leg and leg.from_leg else None
    if sender is not None and event.sender != sender.unit:
        return False
    return _who_has_the_matter(standing, event) and (event.ruler == node_of(event.sender) or event.ruler != event.node)


def _ruler(standing: Standing, event: ObjectionRuled) -> bool:
    """The division that the objection names, about the leg that objected."""
    known = standing.rulers.get(event.objection)
    return standing.registrar is None if known is None else known == (event.leg, event.node)


def _who_takes_over(standing: Standing, event: TakenOver) -> bool:
    """For a unit of its own, from the holder in whose log it names a place; that it stands above that log's division
    is checked by the tree of superiors where the event enters a node."""
    leg = standing.legs.get(event.leg)
    if event.node != node_of(event.unit) or event.stream != event.next_leg or event.next_leg in standing.legs:
        return False
    if leg is None:
        return standing.registrar is None
    return event.last_log.split("/")[1:2] == [leg.node] and leg.node != event.node


def _who_orders(standing: Standing, event: OrderIssued) -> bool:
    """About a leg, to the unit that holds it; that the author stands above it is checked as for a take-over."""
    leg = standing.legs.get(event.leg)
    if event.stream != event.order or event.order in standing.orders:
        return False
    return standing.registrar is None if leg is None else leg.unit == event.unit


def _ordered(standing: Standing, event: OrderReplied) -> bool:
    """The node of the unit that the order is addressed to."""
    order = standing.orders.get(event.order)
    return standing.registrar is None if order is None else order[1] == event.node


def _issuer(standing: Standing, event: OrderJudged) -> bool:
    """The node that issued the order, about the unit that it ordered."""
    order = standing.orders.get(event.order)
    return standing.registrar is None if order is None else order == (event.node, node_of(event.unit))


def _node_of_leg(standing: Standing, event: DirectiveAnswered) -> bool:
    """The node of the leg that the directive names."""
    leg = standing.legs.get(event.leg)
    return standing.registrar is None if leg is None else leg.node == event.node


def _who_ordered_erasure(standing: Standing, event: ErasureConfirmed) -> bool:
    """The node where the first person ordered it."""
    return standing.erasures.get(StreamId(event.erasure), event.node) == event.node


def _custodian(_: Standing, event: KeyDestroyed) -> bool:
    """Each for itself."""
    return event.custodian == event.node


AUTHORITY: Final[Mapping[type[Any], _Rule]] = {
    Registered: _who_registers,  # Art. 22: whoever receives it registers it
    RegistrationCorrected: _registrar,
    ClaimAmended: _who_met_the_petitioner,
    MaterialAdded: _who_met_the_petitioner,
    Withdrawn: _who_met_the_petitioner,
    Rated: _who_met_the_petitioner,
    LegOpened: _to_whom_it_was_given,
    HandedOver: _who_has_the_matter,  # Art. 22, 23: one leg, one writer (ADR-0003)
    Accepted: _who_has_the_matter,
    Declined: _who_has_the_matter,
    Extended: _who_has_the_matter,  # Art. 34: the head of the own organ
    OpinionIssued: _who_has_the_matter,
    Replied: _who_has_the_matter,
    Closed: _who_has_the_matter,
    Served: _writer_of_leg,
    Reported: _writer_of_leg,
    LegEnded: _writer_of_leg,
    Objected: _who_objects,  # Art. 23(3)
    ObjectionLapsed: _who_has_the_matter,
    ObjectionRuled: _ruler,  # Art. 23(3): the sender; Art. 24: the common superior
    TakenOver: _who_takes_over,
    OrderIssued: _who_orders,  # Art. 40
    OrderReplied: _ordered,
    OrderJudged: _issuer,
    DirectiveAnswered: _node_of_leg,
    KeyGranted: _anybody,
    SealedRead: _anybody,
    ErasureOrdered: _anybody,
    ErasureConfirmed: _who_ordered_erasure,
    KeyDestroyed: _custodian,
}
"""Every event that concerns a case, and whose node may write it."""

_ACTS: Final = (HandedOver, Accepted, Declined, Extended, OpinionIssued, Replied, Closed, Objected, ObjectionLapsed)


def _after(standing: Standing, event: AnyEvent) -> Standing:
    change = msgspec.structs.replace
    match event:
        case Registered():
            return change(standing, registrar=event.node)
        case LegOpened():
            named = standing.legs.get(event.leg) or Hold(unit=event.unit, from_leg=event.from_leg)
            return _with_leg(standing, event.leg, change(named, is_opened=True))
        case HandedOver():
            left = standing.legs.get(event.leg)
            if left is not None:
                standing = _with_leg(standing, event.leg, change(left, is_handed=True))
            return _named(standing, event.next_leg, Hold(event.to, event.leg, is_named=True))
        case Objected():
            return change(standing, rulers={**standing.rulers, event.id: (event.leg, event.ruler)})
        case ObjectionRuled() if event.next_leg is not None:
            return _named(standing, event.next_leg, _directed(event, event.holder))
        case TakenOver():
            return _named(standing, event.next_leg, _directed(event, event.unit))
        case OrderIssued():
            parties = (event.node, node_of(event.unit))
            return change(standing, orders={**standing.orders, event.order: parties})
        case ErasureOrdered():
            return change(standing, erasures={StreamId(event.erasure): event.node, **standing.erasures})
        case _:
            return standing


def _directed(event: ObjectionRuled | TakenOver, unit: Unit) -> Hold:
    by = (event.node, event.id)
    return Hold(unit, event.leg, is_named=True, directed_by=by, seen_version=event.leg_version)


def _named(standing: Standing, id_: LegId, leg: Hold) -> Standing:
    return standing if id_ in standing.legs else _with_leg(standing, id_, leg)


def _with_leg(standing: Standing, id_: LegId, leg: Hold) -> Standing:
    return msgspec.structs.replace(standing, legs={**standing.legs, id_: leg})
