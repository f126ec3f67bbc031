"""What a node stores, as tables in memory whose changes are taken back unless they are committed."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from domain.divisions import Division
from domain.events import CaseId, EventId
from gateway.casework.store import Leaf, Letter
from sync.exchange.dispatch import Enclosed
from sync.exchange.downlink import ChildState
from sync.exchange.inbox_store import Parked
from sync.exchange.introducing import Learned as LearnedCertificate
from sync.exchange.returning import Returning
from sync.ledger.batch import KnownCommand
from sync.ledger.rows import FROM_ABOVE, OWN, Head, Row
from sync.proofs.tree import Latest, SignedHead, Tree

HEAD = OWN_ROW = "one"
"""The key of a table that has one row."""

K = TypeVar("K")
V = TypeVar("V")

Undo: TypeAlias = list[Callable[[], object]]
"""How to take back what was done, the last first."""

Point = Literal["connecting", "asking", "committing", "committed"]
At = Callable[[Point], None]
"""Told whenever a node comes to such a point of what it does with its database; what it raises happens there."""


def nothing_happens(_: Point) -> None:
    """On a quiet day."""


class Table(dict[K, V]):
    """A dict that remembers how to take back what is done to it. No value in it is ever changed, only replaced."""

    def __init__(self, undo: Undo) -> None:
        super().__init__()
        self._undo = undo

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self:
            self._undo.append(partial(self._drop, key))
        elif (old := self[key]) is value or old == value:
            return
        else:
            self._undo.append(partial(self._put, key, old))
        self._put(key, value)

    def __delitem__(self, key: K) -> None:
        self._undo.append(partial(self._put, key, self[key]))
        self._drop(key)

    def setdefault(self, key: K, default: V) -> V:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: K) -> V:  # type: ignore[override]
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        for key in [*self]:
            del self[key]

    def fill(self, other: "Table[K, V]") -> None:
        """Hold what another one holds, for good."""
        for key, value in other.items():
            self._put(key, value)

    def _put(self, key: K, value: V) -> None:
        super().__setitem__(key, value)

    def _drop(self, key: K) -> None:
        super().__delitem__(key)


class OrderedTable(Table[K, V]):
    """One that finds a range of its keys without looking at the others."""

    def __init__(self, undo: Undo) -> None:
        super().__init__(undo)
        self.order: list[Any] = []

    def between(self, first: Any, end: Any) -> list[K]:
        """The keys from `first` up to, but without, `end`, in order."""
        return self.order[bisect_left(self.order, first) : bisect_left(self.order, end)]

    def first(self, first: Any, end: Any) -> K | None:
        """The first of them."""
        at = bisect_left(self.order, first)
        return self.order[at] if at < len(self.order) and self.order[at] < end else None

    def last(self, first: Any, end: Any) -> K | None:
        """The last of them."""
        at = bisect_left(self.order, end) - 1
        return self.order[at] if at >= 0 and self.order[at] >= first else None

    def _put(self, key: K, value: V) -> None:
        if key not in self:
            insort(self.order, key)
        super()._put(key, value)

    def _drop(self, key: K) -> None:
        del self.order[bisect_left(self.order, key)]
        super()._drop(key)


class Ledger:
    """The rows in order of position, and where to find them."""

    def __init__(self, undo: Undo) -> None:
        self.rows: list[Row] = []
        self.places: OrderedTable[tuple[int, int], Row] = OrderedTable(undo)
        self.sparse: OrderedTable[tuple[int, int], Row] = OrderedTable(undo)
        self._cases: dict[UUID | None, list[Row]] = {}
        self._topics: dict[str, list[Row]] = {}
        self._streams: dict[UUID, dict[int, Row]] = {}
        self._undo = undo

    def append(self, row: Row) -> None:
        """At the next position, which is the row's."""
        self._undo.append(partial(self._drop, row))
        self._put(row)

    def of_case(self, case: UUID) -> list[Row]:
        """In order of position."""
        return self._cases.get(case, [])

    def of_topic(self, topic: str) -> list[Row]:
        """In order of position."""
        return self._topics.get(topic, [])

    def last_version(self, stream: UUID) -> int | None:
        """Of an own stream, if it has any."""
        return next(reversed(versions)) if (versions := self._streams.get(stream)) else None

    def own(self, stream: UUID, version: int) -> Row | None:
        """That row of an own stream."""
        return self._streams.get(stream, {}).get(version)

    def run(self, log_id: int, first: int, end: int) -> list[Row]:
        """The rows of one log from leaf `first` up to, but without, `end`, by leaf."""
        return [self.places[key] for key in self.places.between((log_id, first), (log_id, end))]

    def fill(self, other: "Ledger") -> None:
        """Hold what another one holds, for good."""
        for row in other.rows:
            self._put(row)

    def _put(self, row: Row) -> None:
        place = (row.log_id, row.seq)
        self.rows.append(row)
        self.places._put(place, row)
        self._cases.setdefault(row.case_id, []).append(row)
        self._topics.setdefault(row.topic, []).append(row)
        if row.via == OWN:
            self._streams.setdefault(row.stream, {})[row.version] = row
        if row.via == FROM_ABOVE:
            self.sparse._put(place, row)

    def _drop(self, row: Row) -> None:
        place = (row.log_id, row.seq)
        self.rows.pop()
        self.places._drop(place)
        self._cases[row.case_id].pop()
        self._topics[row.topic].pop()
        if row.via == OWN:
            del self._streams[row.stream][row.version]
        if row.via == FROM_ABOVE:
            self.sparse._drop(place)


class Standing(NamedTuple):
    """A fault as it stands. evidence is the first one's."""

    child: str
    detail: str
    evidence: bytes
    times: int
    first_us: int
    last_us: int
    healed_us: int | None


class Tables:
    """All that one node stores, and all that outlives its crash. One transaction at a time."""

    def __init__(self) -> None:
        undo: Undo = []
        self._undo = undo
        self._unflushed: Undo = []
        self._lied: Undo | None = None
        self._is_open = False
        self.commits = 0
        # Of the writer. head: at most one, and the mark of whose it is.
        self.ledger = Ledger(undo)
        self.head: Table[str, tuple[Head, object]] = Table(undo)
        self.commands: Table[UUID, KnownCommand] = Table(undo)
        self.logs: Table[str, int] = Table(undo)
        self.own_log: Table[str, int] = Table(undo)
        # Of the exchange.
        self.beside: OrderedTable[tuple[int, int, int], bytes] = OrderedTable(undo)
        self.trees: Table[int, Tree] = Table(undo)
        self.tiles: Table[tuple[int, int, int], bytes] = Table(undo)
        self.heads: OrderedTable[tuple[int, int], SignedHead] = OrderedTable(undo)
        self.cosignatures: OrderedTable[tuple[int, int, str], str] = OrderedTable(undo)
        self.cosigned: OrderedTable[tuple[int, str, int], int] = OrderedTable(undo)
        self.latest: Table[tuple[int, str], Latest] = Table(undo)
        self.enclosures: Table[tuple[int, int], Enclosed] = Table(undo)
        self.tracking: Table[str, int] = Table(undo)
        self.children: Table[Division, ChildState] = Table(undo)
        self.heard_us: Table[Division, int] = Table(undo)
        self.down: OrderedTable[tuple[Division, int], tuple[bytes, int]] = OrderedTable(undo)
        self.parked: Table[tuple[str, int], Parked] = Table(undo)
        self.faults: Table[tuple[str, str], Standing] = Table(undo)
        self.certificates: Table[tuple[Division, int], LearnedCertificate] = Table(undo)
        self.onward: Table[UUID, Division] = Table(undo)
        self.question: Table[bytes, int | None] = Table(undo)
        self.returning: Table[Division, Returning] = Table(undo)
        self.unread: Table[tuple[int, int], tuple[bytes, int]] = Table(undo)
        # Of the casework.
        self.numbers: Table[tuple[str, int], int] = Table(undo)
        self.steward: Table[str, int] = Table(undo)
        self.put_off: Table[int, bool] = Table(undo)
        self.watches: Table[EventId, tuple[CaseId, int]] = Table(undo)
        self.requests: Table[str, tuple[bytes | None, str | None]] = Table(undo)
        self.erased: Table[UUID, bool] = Table(undo)
        self.letters: Table[Leaf, Letter] = Table(undo)

    @contextmanager
    def committing(self, at: At = nothing_happens, *, lazily: bool = False) -> Iterator[None]:
        """What is done in the block is kept, or after an exception nothing of it; told `at` of a commit of anything.

        lazily: see `lose_unflushed`.
        """
        if self._is_open:
            raise RuntimeError("a transaction is open already")
        self._is_open = True
        try:
            yield
            if self._undo:
                at("committing")
        except BaseException:
            take_back(self._undo)
            raise
        finally:
            self._is_open = False
        if self._undo:
            if self._lied is not None:
                self._lied += self._undo
            elif lazily:
                self._unflushed += self._undo
            else:
                self._unflushed.clear()
            self._undo.clear()
            self.commits += 1
            at("committed")

    def lose_unflushed(self) -> bool:
        """As a crash of the database does: what was committed lazily after the last other commit; whether anything."""
        is_any = bool(self._unflushed)
        take_back(self._unflushed)
        return is_any

    @property
    def is_lying(self) -> bool:
        """Whether the disk calls flushed what it will lose."""
        return self._lied is not None

    def begin_to_lie(self) -> None:
        """From the commit on that is under way, if one is, nothing is flushed, and nobody is told so."""
        self._lied = []

    def catch_up(self) -> None:
        """All is flushed after all."""
        self._lied = None

    def lose_what_was_lied_about(self) -> None:
        """As a disk does when its power fails."""
        take_back(self._lied or [])
        self._lied = None

    def copied(self) -> "Tables":
        """What is committed now, as a backup holds it."""
        copy = Tables()
        for name, table in vars(self).items():
            if isinstance(table, Table | Ledger):
                getattr(copy, name).fill(table)
        return copy


def take_back(undo: Undo) -> None:
    """Everything, the last first."""
    while undo:
        undo.pop()()
