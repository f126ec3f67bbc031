"""What a parent gives back to a child that lost its disk: all that it holds of it and below it, as it learned it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from domain.divisions import Division
from domain.shards import shard_before
from sync.exchange.dispatch import DISPATCHED, Dispatch, DispatchStore
from sync.exchange.downlink import pack
from sync.exchange.inbox_store import Part
from sync.exchange.introducing import IntroducingStore, introductions
from sync.exchange.station import Station
from sync.exchange.succession import ENDED
from sync.exchange.wire import Beside, Cosigned, Item, Returned, ReturnedAll
from sync.ledger.rows import FROM_BELOW, Row
from sync.proofs.tree import SignedHead, Tree
from sync.trust.certificates import Directory

_PAGE = 500


class Returning(NamedTuple):
    """A child that is being given back what it lost. pos: up to where everything is on its way."""

    child: Division
    nonce: bytes
    pos: int


class ReturningStore(DispatchStore, IntroducingStore, Protocol):
    """One transaction over the ledger and the downward sequences."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held."""

    def returning(self) -> list[Returning]:
        """In order of child."""

    def moved_return(self, child: Division, pos: int) -> None:
        """Up to here everything is on its way."""

    def end_return(self, child: Division) -> None:
        """All is."""

    def head_upto(self, log_id: int, seq: int) -> int:
        """The size of the largest signed head that does not cover leaf `seq`, or 0."""

    def leaves(self, log_id: int, first: int, end: int) -> list[bytes]:
        """The bodies of leaves [first, end) of one log."""


class BeginningStore(Protocol):
    """What it takes to begin."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held."""

    def freeze(self, log_id: int, reason: str) -> None:
        """Take no more of this log."""

    def begin_return(self, child: Division, nonce: bytes) -> bool:
        """The child has lost all that it had, and what it was told before is kept no longer; False where that is known.

        nonce: of its question; with another one it has lost it again.
        """


def begin(store: BeginningStore, child: Division, nonce: bytes, directory: Directory) -> None:
    """End the shard that the child has lost, where it is certified for the next one and has not begun it."""
    known = directory.division(child)
    before = None if known is None else shard_before(known.certificate.origin)
    if known is None or before is None or known.certificate.origin in store.trees([known.certificate.origin]):
        return
    if not store.begin_return(child, nonce):
        return
    tree = store.trees([before]).get(before)
    if tree is not None and tree.frozen is None:
        store.freeze(tree.log_id, ENDED)


class GivingBack:
    """Goes through the ledger for one child. The case files it holds are a cache of the ledger."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._dispatch = Dispatch(station)

    def step(self, store: ReturningStore, one: Returning, directory: Directory, now_us: int) -> bool:
        """Give back the next page; True while there was any row."""
        if one.pos == 0:
            self._say(store, one.child, introductions(store, directory), directory, now_us)
        done = store.position(DISPATCHED)
        rows = [row for row in store.read(one.pos, _PAGE) if row.pos <= done]
        if not rows:
            self._end(store, one, directory, now_us)
            return False
        page = _Page(store, one.child, directory)
        items: list[Item] = []
        for run in page.runs(rows):
            frame = page.returned(run[0])
            items += [] if frame is None else [frame]
            items += self._dispatch.again(store, directory, one.child, run)
        self._say(store, one.child, items, directory, now_us)
        store.moved_return(one.child, rows[-1].pos)
        return True

    def _end(self, store: ReturningStore, one: Returning, directory: Directory, now_us: int) -> None:
        known = directory.division(one.child)
        log = "" if known is None else shard_before(known.certificate.origin) or ""
        tree = store.trees([log]).get(log)
        items: list[Item] = []
        if tree is not None:
            lines = store.cosignature_lines(tree.log_id, tree.size)
            items += [Cosigned(log, tree.size, tree.frontier.root(), line) for line in lines]
        items.append(ReturnedAll(one.nonce, log, 0 if tree is None else tree.size))
        self._say(store, one.child, items, directory, now_us)
        store.end_return(one.child)

    def _say(
        self, store: ReturningStore, child: Division, items: list[Item], directory: Directory, now_us: int
    ) -> None:
        for letter in pack(items, directory):
            store.enqueue(child, letter, now_us)


class _Page:
    def __init__(self, store: ReturningStore, child: Division, directory: Directory) -> None:
        self._store = store
        self._child = child
        self._directory = directory
        self._given: set[tuple[int, int]] = set()
        self._origins: dict[int, str] = {}

    def runs(self, rows: Sequence[Row]) -> list[list[Row]]:
        """The rows in order, cut before each that opens a frame of the child's part of the tree."""
        self._origins = self._store.origins({row.log_id for row in rows})
        runs: list[list[Row]] = [[]]
        for row in rows:
            if self._is_childs(row) and runs[-1]:
                runs.append([])
            runs[-1].append(row)
        return runs

    def returned(self, row: Row) -> Returned | None:
        """The frame that `row` lies in, once."""
        if not self._is_childs(row):
            return None
        head = self._store.head_beyond(row.log_id, row.seq)
        if head is None or (row.log_id, head.size) in self._given:
            return None
        self._given.add((row.log_id, head.size))
        return self._frame(row.log_id, self._store.head_upto(row.log_id, row.seq), head)

    def _frame(self, log_id: int, first: int, head: SignedHead) -> Returned:
        parts: list[Part] = self._store.parts([(log_id, first, head.size)]).get(log_id, [])
        beside = [Beside(part.seq, part.part, part.body) for part in parts]
        entries = self._store.leaves(log_id, first, head.size)
        return Returned(self._origins[log_id], first, head.note, entries, beside)

    def _is_childs(self, row: Row) -> bool:
        author = self._directory.division_of(self._origins[row.log_id])
        is_within = author is not None and self._child in self._directory.topology.path_up(author)
        return row.via == FROM_BELOW and is_within
