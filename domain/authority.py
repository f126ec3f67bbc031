"""Who may change a case by which event: one table.

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
    Unknown,
    Withdrawn,
)
from domain.parts import LegEvent, Paper, node_of
from domain.standing import Dispute, Hold, Standing

LAPSE_AT_LEAST_US: Final = 5 * 86_400 * 1_000_000
"""Five working days of silence end an objection (ADR-0003); none are shorter than as many days."""


def judged(standing: Standing, event: AnyEvent | Unknown, seq: int | None = None) -> tuple[Standing, bool]:
    """The standing after `event`, and whether its author had the right to write it; if not, it changes nothing.

    seq: its leaf index in its author's log, where known. Whether it has effect besides, `Standing.is_overtaken` says,
    of the standing as it is by then.
    """
    if not owns_stream(standing, event):
        return standing, False
    if isinstance(event, SealedRead) or event.stream is None or event.version is None or event.node is None:
        return standing, True
    if event.version <= standing.version_of(event.stream) and not isinstance(event, Registered):
        return standing, False
    after, is_lawful = standing, isinstance(event, Unknown)
    if not isinstance(event, Unknown) and (rule := AUTHORITY.get(type(event))) and rule(standing, event):
        after, is_lawful = _after(standing, event), True
    if is_lawful or event.stream in standing.legs:
        after = _noted(after, event.stream, event.node, event.version, seq)
    return after, is_lawful


def effects(told: Sequence[tuple[AnyEvent | None, int | None]]) -> list[bool]:
    """Of each event of a case, and its leaf index, whether it has effect after all that came later.

    None stands for one that cannot be read; it is taken to have its effect where it can.
    """
    standing, heard = Standing(), []
    for event, seq in told:
        standing, is_lawful = (standing, True) if event is None else judged(standing, event, seq)
        heard.append(is_lawful)
    return [
        is_lawful and not (event is not None and standing.is_overtaken(event))
        for (event, _), is_lawful in zip(told, heard, strict=True)
    ]


def owns_stream(standing: Standing, event: AnyEvent | Unknown) -> bool:
    """Whether the author is the one writer of the stream, or the stream is nobody else's that is known."""
    if event.stream is None or event.stream == event.case:
        return standing.registrar in {None, event.node}
    writer = standing.streams.get(event.stream)
    return writer is None or writer[0] == event.node


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
    """A leg that was named: its unit or the first office there, once. The first leg: the registering node. No other."""
    if event.stream != event.leg or event.node != node_of(event.unit):
        return False
    named = standing.legs.get(event.leg)
    if named is not None:
        is_theirs = event.unit in {named.unit, f"{named.node}.office"}
        return is_theirs and not named.is_opened
    return (
        not standing.legs
        and not standing.is_taken(event.leg)
        and (event.mode == "registered" or standing.registrar is None)
        and _registrar(standing, event)
    )


def _writer_of_leg(standing: Standing, event: LegEvent) -> bool:
    """The node of the leg's unit, also after the matter left it: papers are served, reports given, endings noted."""
    leg = standing.legs.get(event.leg)
    if event.stream != event.leg:
        return False
    return standing.registrar is None if leg is None else leg.node == event.node


def _who_has_the_matter(standing: Standing, event: LegEvent) -> bool:
    """The node of the leg's unit until it handed the matter on."""
    leg = standing.legs.get(event.leg)
    return _writer_of_leg(standing, event) and not (leg is not None and leg.is_handed)


def _who_hands_over(standing: Standing, event: HandedOver) -> bool:
    """Who has the matter, naming a leg that is none yet."""
    return _who_has_the_matter(standing, event) and _is_new_leg(standing, event.next_leg)


def _is_new_leg(standing: Standing, id_: LegId) -> bool:
    """An id that nothing else bears, so that nobody else's stream is given away with it."""
    return not standing.is_taken(id_) or (standing.registrar is None and id_ in standing.legs)


def _who_issues_papers(standing: Standing, event: Paper) -> bool:
    """Who has the matter."""
    return _who_has_the_matter(standing, event) and event.id not in standing.papers


def _who_serves(standing: Standing, event: Served) -> bool:
    """Whose paper it is."""
    paper = standing.papers.get(event.paper)
    is_own = standing.registrar is None if paper is None else paper[0] == event.leg
    return is_own and _writer_of_leg(standing, event)


def _who_objects(standing: Standing, event: Objected) -> bool:
    """Who has the matter, naming who sent it; the sender rules, or in a dispute somebody who is no party to it."""
    leg = standing.legs.get(event.leg)
    sender = standing.legs.get(leg.from_leg) if leg and leg.from_leg else None
    if event.id in standing.disputes or (sender is not None and event.sender != sender.unit):
        return False
    return _who_has_the_matter(standing, event) and (event.ruler == node_of(event.sender) or event.ruler != event.node)


def _whose_objection_lapses(standing: Standing, event: ObjectionLapsed) -> bool:
    """Who raised it, after five days at the least: no five working days are shorter."""
    known = standing.disputes.get(event.objection)
    is_due = known is None or (known.leg == event.leg and event.recorded_us >= known.raised_us + LAPSE_AT_LEAST_US)
    return is_due and _who_has_the_matter(standing, event)


def _ruler(standing: Standing, event: ObjectionRuled) -> bool:
    """The division that the objection names, once, about the leg that objected."""
    known = standing.disputes.get(event.objection)
    if event.next_leg is not None and not _is_new_leg(standing, event.next_leg):
        return False
    if known is None:
        return standing.registrar is None
    return (known.leg, known.ruler, known.ruled) == (event.leg, event.node, None)


def _who_takes_over(standing: Standing, event: TakenOver) -> bool:
    """For a unit of its own, from the holder in whose log it names a place; that it stands above that log's division
    is checked by the tree of superiors where the event enters a node."""
    leg = standing.legs.get(event.leg)
    if event.node != node_of(event.unit) or event.stream != event.next_leg or standing.is_taken(event.next_leg):
        return False
    if leg is None:
        return standing.registrar is None
    return event.last_log.split("/")[1:2] == [leg.node] and leg.node != event.node


def _who_orders(standing: Standing, event: OrderIssued) -> bool:
    """About a leg, to the unit that holds it; that the author stands above it is checked as for a take-over."""
    leg = standing.legs.get(event.leg)
    if event.stream != event.order or standing.is_taken(event.order):
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


def _who_orders_erasure(standing: Standing, event: ErasureOrdered) -> bool:
    """In a stream of its own, which nothing else is."""
    return event.stream == event.erasure and not standing.is_taken(event.erasure)


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
    HandedOver: _who_hands_over,  # Art. 22, 23: one leg, one writer (ADR-0003)
    Accepted: _who_issues_papers,
    Declined: _who_issues_papers,
    Extended: _who_issues_papers,  # Art. 34: the head of the own organ
    OpinionIssued: _who_issues_papers,
    Replied: _who_issues_papers,
    Closed: _who_has_the_matter,
    Served: _who_serves,
    Reported: _writer_of_leg,
    LegEnded: _writer_of_leg,
    Objected: _who_objects,  # Art. 23(3)
    ObjectionLapsed: _whose_objection_lapses,
    ObjectionRuled: _ruler,  # Art. 23(3): the sender; Art. 24: the common superior
    TakenOver: _who_takes_over,
    OrderIssued: _who_orders,  # Art. 40
    OrderReplied: _ordered,
    OrderJudged: _issuer,
    DirectiveAnswered: _node_of_leg,
    KeyGranted: _anybody,
    SealedRead: _anybody,
    ErasureOrdered: _who_orders_erasure,
    ErasureConfirmed: _who_ordered_erasure,
    KeyDestroyed: _custodian,
}
"""Every event that concerns a case, and whose node may write it."""


def _after(standing: Standing, event: AnyEvent) -> Standing:
    change = msgspec.structs.replace
    match event:
        case Registered():
            return change(standing, registrar=event.node)
        case LegOpened():
            named = standing.legs.get(event.leg) or Hold(unit=event.unit, from_leg=event.from_leg)
            return _with_leg(standing, event.leg, change(named, unit=event.unit, is_opened=True))
        case HandedOver():
            left = standing.legs.get(event.leg)
            if left is not None:
                standing = _with_leg(standing, event.leg, change(left, is_handed=True))
            return _named(standing, event.next_leg, Hold(event.to, event.leg, is_named=True))
        case Objected():
            raised = Dispute(event.leg, event.version, event.recorded_us, event.ruler)
            return change(standing, disputes={**standing.disputes, event.id: raised})
        case ObjectionLapsed():
            return _with_dispute(standing, event.objection, lapsed_us=event.recorded_us)
        case ObjectionRuled():
            return _ruled(standing, event)
        case TakenOver():
            taken = Hold(event.unit, event.leg, is_named=True, directed_by=(event.node, event.id))
            seen = change(taken, seen_version=event.leg_version, seen_size=event.last_size)
            return _named(standing, event.next_leg, seen)
        case OrderIssued():
            parties = (event.node, node_of(event.unit))
            return change(standing, orders={**standing.orders, event.order: parties})
        case ErasureOrdered():
            return change(standing, erasures={StreamId(event.erasure): event.node, **standing.erasures})
        case _ if isinstance(event, Paper):
            return change(standing, papers={**standing.papers, event.id: (event.leg, event.version)})
        case _:
            return standing


def _ruled(standing: Standing, event: ObjectionRuled) -> Standing:
    """A ruling has seen the objection, whatever else it says."""
    known = standing.disputes.get(event.objection)
    standing = _with_dispute(standing, event.objection, ruled=event.id, ruled_us=event.recorded_us)
    if event.next_leg is None:
        return standing
    seen = max(event.leg_version, known.version if known else 0)
    by = (event.node, event.id)
    leg = Hold(event.holder, event.leg, is_named=True, directed_by=by, objection=event.objection, seen_version=seen)
    return _named(standing, event.next_leg, leg)


def _with_dispute(standing: Standing, objection: EventId, **changes: object) -> Standing:
    known = standing.disputes.get(objection)
    if known is None:
        return standing
    disputes = {**standing.disputes, objection: msgspec.structs.replace(known, **changes)}
    return msgspec.structs.replace(standing, disputes=disputes)


def _named(standing: Standing, id_: LegId, leg: Hold) -> Standing:
    if id_ in standing.legs:
        return standing
    streams = {**standing.streams, StreamId(id_): (leg.node, 0)}
    return msgspec.structs.replace(_with_leg(standing, id_, leg), streams=streams)


def _with_leg(standing: Standing, id_: LegId, leg: Hold) -> Standing:
    return msgspec.structs.replace(standing, legs={**standing.legs, id_: leg})


def _noted(standing: Standing, stream: StreamId, node: Division, version: int, seq: int | None) -> Standing:
    """The standing after one more event of a stream."""
    leg = standing.legs.get(LegId(stream))
    if leg is not None and seq is not None:
        leg = msgspec.structs.replace(leg, leaves=(*leg.leaves, (version, seq)))
        standing = _with_leg(standing, LegId(stream), leg)
    return msgspec.structs.replace(standing, streams={**standing.streams, stream: (node, version)})
