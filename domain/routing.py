"""Which nodes below must be sent an event: what a holder, a filer, a ruler or a custodian needs, and nothing else."""

from collections.abc import Iterator

from domain.case import CaseFile
from domain.divisions import Division, DivisionUnknown, Topology
from domain.events import (
    Accepted,
    AnyEvent,
    ClaimAmended,
    Closed,
    Declined,
    ErasureConfirmed,
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
    Rated,
    Registered,
    RegistrationCorrected,
    Replied,
    Served,
    TakenOver,
    Withdrawn,
)
from domain.parts import node_of


def addressees(file: CaseFile, event: AnyEvent, here: Division, topology: Topology) -> frozenset[Division]:
    """The divisions strictly below `here` that `event` is for. file: the case as known here, this event included.

    Upward everything goes anyway. A division that the topology does not know is left out.
    """
    return frozenset(node for node in _concerned(file, event, here, topology) if _is_below(topology, node, here))


def file_receiver(event: AnyEvent) -> Division | None:
    """The node that is given the matter by `event` and needs the whole case file with it; null for all others.

    A take-over is for a unit of the node that records it, which has the file.
    """
    match event:
        case HandedOver():
            return node_of(event.to)
        case ObjectionRuled(next_leg=next_leg) if next_leg is not None:
            return node_of(event.holder)
        case _:
            return None


def opens_file(event: AnyEvent) -> bool:
    """Whether the whole case file goes along, to `file_receiver`."""
    return file_receiver(event) is not None


def _concerned(file: CaseFile, event: AnyEvent, here: Division, topology: Topology) -> Iterator[Division]:  # noqa: C901
    match event:
        case RegistrationCorrected() | ClaimAmended() | MaterialAdded() | Withdrawn() | Rated() | Registered():
            yield from _holders(file)
            yield from _filer(file)
        case HandedOver():
            yield node_of(event.to)
            yield from _filer(file)
        case LegOpened():
            if event.sender is not None:
                yield node_of(event.sender)
            yield from _filer(file)
        case LegEnded() | Accepted() | Declined() | Extended() | OpinionIssued() | Replied() | Served() | Closed():
            yield from _filer(file)
        case Objected():
            yield event.ruler
            yield node_of(event.sender)
        case ObjectionLapsed():
            objection = file.objections.get(event.objection)
            if objection is not None:
                yield objection.raised.ruler
                yield node_of(objection.raised.sender)
        case ObjectionRuled() | TakenOver():
            yield from _taken_from(file, event, here, topology)
            yield from _filer(file)
        case OrderIssued() | OrderJudged():
            yield node_of(event.unit)
        case KeyGranted():
            yield from (grant.custodian for grant in event.grants)
        case ErasureConfirmed():
            yield from event.custodians
        case KeyDestroyed():
            erasure = file.erasures.get(event.erasure)
            if erasure is not None:
                yield erasure.ordered.node
        case _:
            # Reports, replies to orders and answers to directives go up; readings and sealed items never come down.
            return


def _holders(file: CaseFile) -> Iterator[Division]:
    for leg in (file.present_leg, file.pending_leg):
        if leg is not None:
            yield leg.node


def _filer(file: CaseFile) -> Iterator[Division]:
    if file.filed_at is not None:
        yield file.filed_at


def _taken_from(
    file: CaseFile, event: ObjectionRuled | TakenOver, here: Division, topology: Topology
) -> Iterator[Division]:
    """Whoever has the leg or may have got it meanwhile, and its new holder and sender.

    A hand-over that this node has not heard of went straight up or down from the leg's node: those above it get the
    directive from here, those below from that node, which knows them.
    """
    yield node_of(event.holder if isinstance(event, ObjectionRuled) else event.unit)
    leg = file.legs.get(event.leg)
    if leg is None:
        return
    yield from _line(topology, leg.node)
    if leg.sender is not None:
        yield node_of(leg.sender)
    yield from (file.legs[id_].node for id_ in _derived(file, leg.id))


def _derived(file: CaseFile, leg: LegId) -> Iterator[LegId]:
    for other in file.legs.values():
        if other.from_leg == leg and other.id != leg:
            yield other.id
            yield from _derived(file, other.id)


def _line(topology: Topology, node: Division) -> tuple[Division, ...]:
    try:
        return topology.path_up(node)
    except DivisionUnknown:
        return (node,)


def _is_below(topology: Topology, node: Division, here: Division) -> bool:
    return here in _line(topology, node)[1:]
