"""The projection `board`: how often a case was passed on or fought over, and when each node was last heard of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from domain import events
from projections.projection import Fact, topics_of
from projections.store import Store
from projections.tables import FOREVER, Row, Shared, SharedRow, Table
from projections.views import Views

Kind = Literal["handed_over", "objected", "returned", "ruled", "lapsed", "taken_over"]

HEARD_STEP_US: Final = 600_000_000


class DisputeRow(Row, gc=False, eq=False):
    """One fact. by_unit: who did it. to_unit: who has the case after it, where the event names one."""

    pos: int
    at_us: int
    kind: Kind
    leg: UUID
    by_unit: str
    to_unit: str | None
    known_pos: int = 0
    void_pos: int = FOREVER


class OriginRow(SharedRow, frozen=True, gc=False):
    """Which node writes which log."""

    log_id: int
    node: str
    is_own: bool


class HeardRow(SharedRow, frozen=True, gc=False):
    """What came of a log within one step of HEARD_STEP_US of this node's clock."""

    log_id: int
    step: int
    first_pos: int
    last_pos: int
    last_known_us: int


DISPUTE: Final = Table("dispute", DisputeRow, key=("case_id", "pos", "void_pos"), live=None)
ORIGIN: Final = Shared("origin", OriginRow, key=("log_id",))
HEARD: Final = Shared(
    "heard", HeardRow, key=("log_id", "step"), least=("first_pos",), greatest=("last_pos", "last_known_us")
)


class Board:
    """See Projection."""

    name = "board"
    edition = 3
    tables = (DISPUTE,)
    other_tables = (HEARD, ORIGIN)

    def __init__(self) -> None:
        self.topics = topics_of((*_KINDS, events.NodeOpened, events.ShardOpened))

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """Facts that never change, so nothing is loaded."""
        disputes = store.rows(DISPUTE)
        for fact in batch:
            event = fact.event
            if isinstance(event, events.NodeOpened | events.ShardOpened):
                store.views.merge(ORIGIN, [OriginRow(fact.log_id, event.node, fact.is_own)])
            elif type(event) in _KINDS:
                disputes.append(_dispute(fact, event))
        _hear(store.views, batch)

    def shared_after(self, views: Views, pos: int) -> list[int]:
        """None."""
        return []


_KINDS: Mapping[type[Any], Kind] = {
    events.HandedOver: "handed_over",
    events.Objected: "objected",
    events.ObjectionRuled: "ruled",
    events.ObjectionLapsed: "lapsed",
    events.TakenOver: "taken_over",
}


def _dispute(fact: Fact, event: Any) -> DisputeRow:
    kind, to_unit = _KINDS[type(event)], None
    if isinstance(event, events.HandedOver):
        to_unit = event.to
    elif isinstance(event, events.TakenOver):
        to_unit = event.unit
    elif isinstance(event, events.ObjectionRuled):
        to_unit = event.holder
        if event.by == "sender" and event.next_leg is not None:
            kind = "returned"
    return DisputeRow(fact.key, fact.pos, event.occurred_us, kind, event.leg, event.actor.unit, to_unit)


def _hear(views: Views, batch: Sequence[Fact]) -> None:
    """Whatever came of a log says that its node lives, even what is not understood here."""
    steps: dict[tuple[int, int], tuple[int, int, int]] = {}
    for fact in batch:
        step = (fact.log_id, fact.known_us // HEARD_STEP_US)
        first_pos = steps[step][0] if step in steps else fact.pos
        steps[step] = (first_pos, fact.pos, fact.known_us)
    views.merge(HEARD, [HeardRow(*step, *heard) for step, heard in steps.items()])
