"""Who may change a case by which event: one table.

Every node folds what others signed, and one of them may be dishonest or wrong. An event that its author had no right
to write stays in the ledger and in every proof; it has no effect, and time lines say so (无效力).

What is judged by: the events of a case come in causal order, so whoever learns an act of a unit has learned before how
that unit got the matter. Nothing has effect before the registration is known, but what concerns a key: a mere custodian
is sent no more of a case.

Every id of a node names it (`domain.ids`), and only an own one counts: of the event, and so of the case, take-over,
order or erasure that it opens, and of the leg that it names. What one node says, no other can have said before it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.events import (
    Accepted,
    AnyEvent,
    ClaimAmended,
    Closed,
    Declined,
    DirectiveAnswered,
    ErasureConfirmed,
    ErasureOrdered,
    EscrowOpened,
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
from domain.ids import maker_of
from domain.parts import CustodyEvent, LegEvent, Paper, node_of
from domain.shards import place_in
from domain.standing import Dispute, Hold, Standing

LAPSE_AT_LEAST_US: Final = 5 * 86_400 * 1_000_000
"""Five working days of silence end an objection (ADR-0003); none are shorter than as many days."""


def judged(standing: Standing, event: AnyEvent | Unknown, place: int | None = None) -> tuple[Standing, bool]:
    """The standing after `event`, and whether its author had the right to write it; if not, it changes nothing.

    place: of its leaf among its author's (`domain.shards.place`), where known. Whether it has effect besides,
    `Standing.is_overtaken` says, of the standing as it is by then.
    """
    if not (_bears_own_id(event) and owns_stream(standing, event)):
        return standing, False
    if isinstance(event, SealedRead) or event.stream is None or event.version is None or event.node is None:
        return standing, True
    if standing.was_told(event.stream, event.version):
        return standing, False
    if isinstance(event, Unknown):
        after, is_lawful = _begun(standing, event), True
    elif (rule := _rule_for(standing, event)) and rule(standing, event):
        after, is_lawful = _after(standing, event), True
    else:
        after, is_lawful = standing, False
    if is_lawful or event.stream in standing.legs:
        after = _noted(after, event.stream, event.version, place)
    return after, is_lawful


def effects(told: Sequence[tuple[AnyEvent | None, int | None]]) -> list[bool]:
    """Of each event of a case, and its place, whether it has effect after all that came later.

    None stands for one that cannot be read; it is taken to have its effect where it can.
    """
    standing, heard = Standing(), []
    for event, place in told:
        standing, is_lawful = (standing, True) if event is None else judged(standing, event, place)
        heard.append(is_lawful)
    return [
        is_lawful and not (event is not None and standing.is_overtaken(event))
        for (event, _), is_lawful in zip(told, heard, strict=True)
    ]


def owns_stream(standing: Standing, event: AnyEvent | Unknown) -> bool:
    """Whether the author is the one writer of the stream: who was given the leg that it is, else who made its id."""
    if event.stream is None:
        return True
    leg = standing.legs.get(LegId(event.stream)) if event.stream != event.case else None
    if leg is not None:
        return leg.node == event.node
    return maker_of(event.stream) == event.node


def _bears_own_id(event: AnyEvent | Unknown) -> bool:
    return isinstance(event, Unknown) or maker_of(event.id) == event.node


_Rule = Callable[[Standing, Any], bool]


def _opens(standing: Standing, event: AnyEvent, id_: UUID) -> bool:
    """Whether the event opens a stream that bears its own id, which its author has given to nothing else."""
    return event.stream == event.id == id_ and not standing.is_taken(id_)


def _anybody(_: Standing, __: AnyEvent) -> bool:
    """What moves nothing but itself, or proves itself: a wrapped key opens or does not."""
    return True


def _in_a_stream_of_its_own(_: Standing, event: AnyEvent) -> bool:
    """The same, once."""
    return event.stream == event.id


def _who_registers(standing: Standing, event: Registered) -> bool:
    """Once per case, which bears its id, by the node of the unit that it names."""
    is_first = standing.registrar is None and event.stream == event.case == event.id
    return is_first and event.node == node_of(event.unit)


def _registrar(_: Standing, event: RegistrationCorrected) -> bool:
    """The node that registered the case, in its stream."""
    return event.stream == event.case


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
    is_first = not standing.legs and event.mode == "registered" and event.from_leg is None
    return is_first and not standing.is_taken(event.leg) and standing.registrar == event.node


def _writer_of_leg(standing: Standing, event: LegEvent) -> bool:
    """The node of the leg's unit, also after the matter left it: papers are served, reports given, endings noted."""
    leg = standing.legs.get(event.leg)
    return event.stream == event.leg and leg is not None and leg.node == event.node


def _who_has_the_matter(standing: Standing, event: LegEvent) -> bool:
    """The node of the leg's unit until it handed the matter on."""
    leg = standing.legs.get(event.leg)
    return _writer_of_leg(standing, event) and not (leg is not None and leg.is_handed)


def _who_hands_over(standing: Standing, event: HandedOver) -> bool:
    """Who has the matter, naming a leg that is none yet."""
    return _who_has_the_matter(standing, event) and _is_new_leg(standing, event, event.next_leg)


def _is_new_leg(standing: Standing, event: AnyEvent, id_: LegId) -> bool:
    """An id of the author's own that it has given to nothing else."""
    return maker_of(id_) == event.node and not standing.is_taken(id_)


def _who_issues_papers(standing: Standing, event: Paper) -> bool:
    """Who has the matter."""
    return _who_has_the_matter(standing, event) and event.id not in standing.papers


def _who_serves(standing: Standing, event: Served) -> bool:
    """Whose paper it is."""
    paper = standing.papers.get(event.paper)
    return paper is not None and paper[0] == event.leg and _writer_of_leg(standing, event)


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
    if known is None or known.leg != event.leg or event.recorded_us < known.raised_us + LAPSE_AT_LEAST_US:
        return False
    return _who_has_the_matter(standing, event)


def _ruler(standing: Standing, event: ObjectionRuled) -> bool:
    """The division that the objection names, once, about the leg that objected."""
    known = standing.disputes.get(event.objection)
    if event.next_leg is not None and not _is_new_leg(standing, event, event.next_leg):
        return False
    return known is not None and (known.leg, known.ruler, known.ruled) == (event.leg, event.node, None)


def _who_takes_over(standing: Standing, event: TakenOver) -> bool:
    """For a unit of its own, from the holder in whose log it names a place; that it stands above that log's division
    is checked by the tree of superiors where the event enters a node."""
    leg = standing.legs.get(event.leg)
    if leg is None or event.node != node_of(event.unit) or not _opens(standing, event, event.next_leg):
        return False
    return event.last_log.split("/")[1:2] == [leg.node] and leg.node != event.node


def _who_orders(standing: Standing, event: OrderIssued) -> bool:
    """About a leg, to a unit of the node that has it; that the author stands above it is checked as for a take-over.

    The unit itself may have changed meanwhile: a leg given to one that is not is opened by the first office there.
    """
    leg = standing.legs.get(event.leg)
    return leg is not None and leg.node == node_of(event.unit) and _opens(standing, event, event.order)


def _ordered(standing: Standing, event: OrderReplied) -> bool:
    """The node of the unit that the order is addressed to."""
    return standing.orders.get(event.order) == event.node


def _issuer(standing: Standing, event: OrderJudged) -> bool:
    """The node that issued the order, about the unit that it ordered."""
    return maker_of(event.order) == event.node and standing.orders.get(event.order) == node_of(event.unit)


def _node_of_leg(standing: Standing, event: DirectiveAnswered) -> bool:
    """The node of the leg that the directive names."""
    leg = standing.legs.get(event.leg)
    return leg is not None and leg.node == event.node


def _who_orders_erasure(standing: Standing, event: ErasureOrdered) -> bool:
    """Anybody, in a stream of its own."""
    return _opens(standing, event, event.erasure)


def _who_ordered_erasure(_: Standing, event: ErasureConfirmed) -> bool:
    """The node where the first person ordered it."""
    return maker_of(event.erasure) == event.node


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
    EscrowOpened: _in_a_stream_of_its_own,  # the request in it bears the officers' signatures, or proves nothing
    SealedRead: _anybody,
    ErasureOrdered: _who_orders_erasure,
    ErasureConfirmed: _who_ordered_erasure,
    KeyDestroyed: _custodian,
}
"""Every event that concerns a case, and whose node may write it."""


def _rule_for(standing: Standing, event: AnyEvent) -> _Rule | None:
    is_begun = standing.registrar is not None or isinstance(event, Registered | CustodyEvent)
    return AUTHORITY.get(type(event)) if is_begun else None


def _begun(standing: Standing, event: Unknown) -> Standing:
    """The standing with who registered the case, where a registration of a newer version says no more than that."""
    is_beginning = standing.registrar is None and event.stream == event.case
    return msgspec.structs.replace(standing, registrar=event.node) if is_beginning else standing


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
            seen = change(taken, seen_version=event.leg_version, seen_place=place_in(event.last_log, event.last_size))
            return _named(standing, event.next_leg, seen)
        case OrderIssued():
            return change(standing, orders={**standing.orders, event.order: node_of(event.unit)})
        case ErasureOrdered():
            return change(standing, erasures=(*standing.erasures, event.erasure))
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
    versions = {**standing.versions, StreamId(id_): 0}
    return msgspec.structs.replace(_with_leg(standing, id_, leg), versions=versions)


def _with_leg(standing: Standing, id_: LegId, leg: Hold) -> Standing:
    return msgspec.structs.replace(standing, legs={**standing.legs, id_: leg})


def _noted(standing: Standing, stream: StreamId, version: int, place: int | None) -> Standing:
    """The standing after one more event of a stream."""
    leg = standing.legs.get(LegId(stream))
    if leg is not None and place is not None:
        leg = msgspec.structs.replace(leg, leaves=(*leg.leaves, (version, place)))
        standing = _with_leg(standing, LegId(stream), leg)
    return standing.told(stream, version)
