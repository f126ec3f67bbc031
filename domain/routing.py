"""Which nodes below must be sent an event: what a holder, a filer, a ruler or a custodian needs, and nothing else."""

from collections.abc import Iterable, Iterator

from domain.case import CaseFile
from domain.divisions import Division, DivisionUnknown, Topology
from domain.events import (
    Accepted,
    AnyEvent,
    ClaimAmended,
    Closed,
    Declined,
    ErasureConfirmed,
    ErasureOrdered,
    EscrowOpened,
    Extended,
    HandedOver,
    KeyDestroyed,
    KeyGranted,
    LegEnded,
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
from domain.parts import CustodyEvent, node_of


def addressees(file: CaseFile, event: AnyEvent, here: Division, topology: Topology) -> frozenset[Division]:
    """The divisions strictly below `here` that `event` is for. file: the case as known here, this event included.

    Upward everything goes anyway. Who answers, and the milestones that the petitioner may see, go to every node that
    knows the case, superiors in between included, so that none of them shows a duty that has passed to another.
    A division that the topology does not know is left out.
    """
    if isinstance(event, CustodyEvent):
        nodes = frozenset(_custodians(file, event))
    else:
        nodes = _with_superiors(_concerned(file, event), topology)
    return frozenset(node for node in nodes if _is_below(topology, node, here))


def file_receivers(event: AnyEvent, here: Division, topology: Topology) -> frozenset[Division]:
    """The divisions strictly below `here` that need the whole case file before `event`: it gives them the matter,
    or to one below them. Empty for a take-over too: its unit is on the node that records it."""
    receiver = _receiver(event)
    nodes = [] if receiver is None else [receiver]
    return frozenset(node for node in _with_superiors(nodes, topology) if _is_below(topology, node, here))


def key_receivers(event: AnyEvent, here: Division, topology: Topology) -> frozenset[Division]:
    """The divisions strictly below `here` that `event` makes custodians: each needs what was said of the key before.

    So every custodian knows every other, and whichever of them erases knows who has to sign.
    """
    grants = event.grants if isinstance(event, KeyGranted) else ()
    nodes = {grant.custodian for grant in grants if grant.custodian != event.node}
    return frozenset(node for node in nodes if _is_below(topology, node, here))


def _receiver(event: AnyEvent) -> Division | None:
    match event:
        case HandedOver():
            return node_of(event.to)
        case ObjectionRuled(next_leg=next_leg) if next_leg is not None:
            return node_of(event.holder)
        case _:
            return None


def _concerned(file: CaseFile, event: AnyEvent) -> Iterator[Division]:
    match event:
        case ClaimAmended(change="dropped") | Withdrawn():
            # Whoever had the matter must see it end: a custodian destroys nothing of what looks open to it.
            yield from (leg.node for leg in file.legs.values())
            yield from _filer(file)
        case Registered() | RegistrationCorrected() | ClaimAmended() | MaterialAdded() | Rated():
            yield from (leg.node for leg in (file.present_leg, file.pending_leg) if leg is not None)
            yield from _filer(file)
        case LegOpened() | HandedOver() | Objected() | ObjectionLapsed() | ObjectionRuled() | TakenOver() | LegEnded():
            # Who learns a ruling must have learned the objection, which says whose ruling counts.
            yield from (leg.node for leg in file.legs.values())
            yield from _filer(file)
        case Accepted() | Declined() | Extended() | OpinionIssued() | Replied() | Served() | Closed():
            yield from (leg.node for leg in file.legs.values())
            yield from _filer(file)
        case OrderIssued() | OrderJudged():
            yield node_of(event.unit)
        case _:
            # Reports, replies to orders and answers to directives go up; readings and sealed items never come down.
            return


def _custodians(file: CaseFile, event: CustodyEvent) -> Iterator[Division]:
    """Every custodian hears of every other; of an erasure, too, whoever may hold ciphertexts without a key."""
    yield from file.custodians(event.subject)
    match event:
        case KeyGranted():
            yield from (grant.custodian for grant in event.grants)
        case EscrowOpened():
            yield event.receiver
        case ErasureOrdered() | ErasureConfirmed():
            yield from (leg.node for leg in file.legs.values())
            yield from _filer(file)
        case KeyDestroyed():
            return


def _filer(file: CaseFile) -> Iterator[Division]:
    if file.filed_at is not None:
        yield file.filed_at


def _with_superiors(nodes: Iterable[Division], topology: Topology) -> frozenset[Division]:
    return frozenset(step for node in nodes for step in _line(topology, node))


def _line(topology: Topology, node: Division) -> tuple[Division, ...]:
    try:
        return topology.path_up(node)
    except DivisionUnknown:
        return (node,)


def _is_below(topology: Topology, node: Division, here: Division) -> bool:
    return here in _line(topology, node)[1:]
