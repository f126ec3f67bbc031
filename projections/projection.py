"""What the ledger hands to projections, and what a projection promises in return."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec

from domain import events
from domain.events import AnyEvent
from projections.store import Store
from projections.tables import Shared, Table
from projections.views import Views


class LedgerRow(Protocol):
    """One row of the ledger; `known_us` never runs backwards along `pos`, which is gapless from 1."""

    @property
    def pos(self) -> int: ...
    @property
    def log_id(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def via(self) -> int: ...
    @property
    def stream(self) -> UUID: ...
    @property
    def topic(self) -> str: ...
    @property
    def case_id(self) -> UUID | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def known_us(self) -> int: ...


_OF_THE_NODE = frozenset(
    {
        events.SealedItem,
        events.NodeOpened,
        events.ShardOpened,
        events.ChildEnrolled,
        events.KeysRotated,
        events.KeysRevoked,
        events.NodeMoved,
        events.UnitOpened,
        events.HeadsNoted,
        events.HolidaysNoticed,
    }
)
"""What concerns no case by its kind. Any other event that names none, as a dishonest node may sign it, says nothing."""

ReadAfter = Callable[[int, int], Sequence[LedgerRow]]
"""read_after(pos, limit): the committed rows with a higher position, in order, at most `limit`."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """A ledger row, decoded once for all projections.

    (log_id, seq): the leaf. is_own: this node wrote it. is_from_below: a subordinate did. key: what is parked together:
    the case, the stream of an event that concerns none, or one of its own for what cannot be read. event: None where
    no projection reads events of this type, or where it has no effect. fault: why the body cannot be read, if so.
    """

    pos: int
    log_id: int
    seq: int
    is_own: bool
    is_from_below: bool
    key: UUID
    case_id: UUID | None
    topic: str
    known_us: int
    event: AnyEvent | None
    fault: str | None


class Projection(Protocol):
    """Tables that are a pure function of the ledger: no clock, no chance, nothing but what `fold` is given.

    name: what operators call it. edition: raised whenever `fold` gives other rows for the same events, so that a
    node makes them anew. tables: those by case. other_tables: those that are not. topics: the event types whose content
    `fold` reads.
    """

    @property
    def name(self) -> str: ...
    @property
    def edition(self) -> int: ...
    @property
    def tables(self) -> tuple[Table[Any], ...]: ...
    @property
    def other_tables(self) -> tuple[Shared[Any], ...]: ...
    @property
    def topics(self) -> frozenset[str]: ...

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """Fold events in order of position. May raise on any event, after which the store is thrown away."""

    def shared_after(self, views: Views, pos: int) -> list[int]:
        """Positions after `pos` of folded events that concern every case, and so one whose events come late."""


def table_names(projection: Projection) -> tuple[str, ...]:
    """Every table of the projection."""
    return (*(table.name for table in projection.tables), *(table.name for table in projection.other_tables))


def topics_of(shapes: Iterable[type[events.Event]]) -> frozenset[str]:
    """The stored names of these event types."""
    return frozenset(str(shape.__struct_config__.tag) for shape in shapes)


def decode(rows: Iterable[LedgerRow], topics: frozenset[str]) -> list[Fact]:
    """The rows as projections take them, their events decoded where the type is one of `topics`."""
    return [_fact_of(row, topics) for row in rows]


def _fact_of(row: LedgerRow, topics: frozenset[str]) -> Fact:
    event, fault, case_id = None, None, row.case_id
    key = case_id or row.stream
    if row.topic in topics:
        try:
            event = events.decode(row.body)
            case_id = event.case  # the ledger has none for a type that was unknown when it came
            key = case_id or event.stream
            event = event if case_id is not None or type(event) in _OF_THE_NODE else None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            fault = f"undecodable: {error}"
    elif row.topic not in events.TAGS:
        fault = "undecodable" if row.topic == "?" else f"unknown event type {row.topic}"
    if fault is not None:
        key = UUID(int=row.pos)  # whatever case its bytes name: what is not understood has no effect on the others
    is_own, is_from_below = row.via == 0, row.via == 1
    place = (row.pos, row.log_id, row.seq)
    return Fact(*place, is_own, is_from_below, key, case_id, row.topic, row.known_us, event, fault)
