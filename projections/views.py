"""What following, folding and rebuilding ask of the place where views are kept: PostgreSQL in service."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import Protocol
from uuid import UUID

import msgspec

from projections.tables import R, S, Shared, Table


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One parked event. reason: why, on the first of a key; empty on those that wait behind it."""

    pos: int
    key: UUID
    topic: str
    reason: str
    known_us: int


class ParkedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A case (or, for an event of no case, its stream) that waits: since which event, why, and how much of it.

    since_us: when this node learned the first event that waits, UTC microseconds.
    """

    projection: str
    key: UUID
    pos: int
    topic: str
    reason: str
    since_us: int
    event_count: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first row, by key, that is not the same on both sides, as JSON text; null where a side has none."""

    table: str
    live: str | None
    rebuilt: str | None


class RebuildBusy(Exception):
    """Another rebuild is under way in this database. Wait until it has ended; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("另一次重建正在进行，请等它结束 / another rebuild is under way; wait until it has ended")


class Views(Protocol):
    """The rows of all projections, read and written over one connection.

    There are two sides: the live one, which pages read, and the one that a rebuild fills; what is said of rows,
    positions and parked events is said of one side. Everything but `alone` happens inside a transaction. What the
    place raises while it is away is its own affair: whoever runs the views knows it, and tries again.
    """

    @property
    def beside(self) -> "Views":
        """The side that a rebuild fills, over the same connection."""

    def transaction(self) -> AbstractContextManager[object]:
        """Committed whole at its end; an exception out of it leaves nothing. One within another is undone alone."""

    def steady(self) -> AbstractContextManager[object]:
        """A transaction that sees one state of both sides from its beginning to its end."""

    def swapping(self) -> AbstractContextManager[object]:
        """A transaction that gives up after some seconds where somebody holds a table that it has to have alone."""

    def alone(self) -> AbstractContextManager[object]:
        """For a whole rebuild. Raises RebuildBusy while somebody else is in it."""

    def is_poison(self, error: Exception) -> bool:
        """Whether an error came of what was folded or written, which the next time would end the same way.

        False for all that is no event's fault: a lost connection, a missing table.
        """

    def lay_out(self) -> None:
        """Make what every projection needs, where it is missing. Nobody else is here until the transaction ends."""

    def layout(self, tables: Sequence[str]) -> bytes:
        """How tables are laid out here: where that is another than it was, their rows are made anew."""

    def shape(self, projection: str) -> str | None:
        """As `make_anew` was told; null for a projection that was never made."""

    def make_anew(self, projection: str, tables: Sequence[str], shape: str) -> None:
        """Empty tables, nothing parked, and position 0."""

    def positions(self, projections: Sequence[str], *, lock: bool = False) -> dict[str, int]:
        """By name, of those that were made. lock: until the transaction ends nobody else folds them."""

    def move(self, projections: Sequence[str], pos: int) -> None:
        """Forward to `pos`; whoever is further on stays there."""

    def needed(self, table: Table[R], case_ids: Sequence[UUID]) -> list[R]:
        """The rows of some cases that can still change, in order of key: see `Table.live`."""

    def believed(self, table: Table[R], case_id: UUID) -> list[R]:
        """The rows of a case that are believed now, also those that a fold no longer needs."""

    def forget(self, table: Table[R], case_id: UUID) -> None:
        """Delete the rows that `believed` gives."""

    def clear(self, table: Table[R], case_id: UUID) -> None:
        """Delete every row of a case."""

    def add(self, table: Table[R], rows: Sequence[R]) -> None:
        """New rows. A key that is there is poison."""

    def change(self, table: Table[R], rows: Sequence[R]) -> None:
        """Rows that take the place of those of the same key. One key twice is poison."""

    def merge(self, table: Shared[S], rows: Sequence[S]) -> None:
        """Rows of different keys, each taken in as its table says."""

    def every(self, table: Shared[S]) -> list[S]:
        """All rows, in order of key."""

    def cases_with_clocks(self, since: date) -> list[UUID]:
        """Cases in which a clock runs that ends on `since` or later, or whose end a notice still to come may move."""

    def waiting(self, projection: str, keys: Sequence[UUID] | None = None) -> dict[UUID, int]:
        """The keys that events are parked under, of these, or of all, each with the first position parked."""

    def park(self, projection: str, waiting: Waiting) -> None:
        """One event, not parked yet."""

    def unpark(self, projection: str, key: UUID) -> list[int]:
        """Park nothing under `key` any more; the positions of what was, in order."""

    def unpark_first(self, projection: str, key: UUID) -> Waiting | None:
        """The same for the first event of a key alone, which is given back."""

    def parked(self) -> list[ParkedKey]:
        """Every key that waits, the longest waiting first."""

    def skip(self, projection: str, skipped: Waiting, account: UUID) -> None:
        """Leave out an event for good, for the reason it gives, as this operator decided."""

    def skipped(self, projection: str) -> frozenset[int]:
        """The positions of what was left out. The live side answers, whichever is asked."""

    def judged(
        self, judge: str, first_pos: int, last_pos: int, judged_at: int | None
    ) -> tuple[set[int], dict[int, UUID]]:
        """Of these positions, those without effect or left out by `judge`; and those parked there, with their keys.

        judged_at: the position as of which they are judged, null for each one's own. The live side answers.
        """

    def decided(self, first_pos: int, last_pos: int, case_id: UUID | None) -> list[tuple[int, UUID]]:
        """At which of these positions an event decided about the effect of one before, and of which case; in order.

        case_id: of that case alone. The live side answers, whichever is asked.
        """

    def begin(self, projection: str, tables: Sequence[str]) -> None:
        """Beside: empty tables, not indexed, at position 0; what an earlier rebuild has left is gone."""

    def index(self, tables: Sequence[str]) -> None:
        """Beside: what else searching in tables needs, once most rows are there."""

    def drop(self) -> None:
        """Beside: all of it."""

    def difference(self, projection: str, table: str) -> Difference | None:
        """Between a table here and the one beside, or what the projection has parked, if that is the table `parked`."""

    def judges_otherwise(self, judge: str, upto_pos: int) -> bool:
        """Whether up to a position other events are without effect here than beside, or wait to be judged."""

    def take_in(self, projection: str, tables: Sequence[str], pos: int) -> None:
        """What is beside takes the place of the tables here and of what is parked, at `pos`; nothing is left beside."""
