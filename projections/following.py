"""Follows the ledger in batches: decode once, fold every projection, rows and positions in one transaction."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate

from domain.events import TAGS
from projections.authority import Authority, LateDecision, decided_late, in_effect
from projections.projection import LedgerRow, Projection, ReadAfter, decode, table_names
from projections.refold import fold_as_learned
from projections.views import Views

BATCH_EVENTS = 2_000
BATCH_BYTES = 2 << 20
"""What a command waits for at the worst, a fifth of a second, and what a batch holds in memory."""


class LedgerGap(Exception):
    """`read_after` left out a position. Nothing was folded; the ledger needs a look before anything else."""

    def __init__(self, after: int, found: int) -> None:
        super().__init__(
            f"账本第 {after} 位之后读到 {found}，中间缺失，请先核验账本 / after position {after} the ledger "
            f"gave {found}; verify the ledger first"
        )


class Follower:
    """Keeps the rows of `projections` up to date in `views`; nothing is lost if it ends anywhere.

    A batch is whatever the ledger holds, up to BATCH_EVENTS events or BATCH_BYTES of bodies: it never waits to fill
    one. Two followers at once are harmless: positions let one batch in at a time.
    """

    def __init__(self, views: Views, read_after: ReadAfter, projections: Sequence[Projection]) -> None:
        """Makes missing tables, and learns where to go on."""
        self._views = views
        self._read_after = read_after
        self._projections = projections
        self._topics = frozenset[str]().union(*(projection.topics for projection in projections))
        prepare(views, projections)
        self.pos = min(positions(views, projections).values())
        self._left_out = self._skipped()

    def step(self) -> int:
        """Fold one batch; returns how many events it held, 0 when the ledger has nothing new. Raises LedgerGap."""
        rows = batch_after(self._read_after, self.pos) or self._put_back()
        if rows:
            self._go_to(self._fold(rows))
        return len(rows)

    def _go_to(self, pos: int) -> None:
        """What an operator leaves out lies behind whoever follows: it is met again only where views begin anew."""
        if pos < self.pos:
            self._left_out = self._skipped()
        self.pos = pos

    def _skipped(self) -> dict[str, frozenset[int]]:
        return {projection.name: self._views.skipped(projection.name) for projection in self._projections}

    def _fold(self, rows: Sequence[LedgerRow]) -> int:
        """Returns the position reached, which is not that of `rows` where somebody else moved meanwhile."""
        batch = decode(rows, self._topics)
        first, last = batch[0].pos, batch[-1].pos
        decisions: list[LateDecision] = []
        with self._views.transaction():
            reached = positions(self._views, self._projections, lock=True)
            if min(reached.values()) != first - 1:
                return min(reached.values())
            for projection in self._projections:
                left_out = self._left_out[projection.name]
                due = [fact for fact in batch if fact.pos > reached[projection.name] and fact.pos not in left_out]
                late = [decision for decision in decisions if decision.pos > reached[projection.name]]
                fold_as_learned(self._views, self._read_after, projection, due, late)
                if projection.name == Authority.name:
                    batch, decisions = in_effect(self._views, batch), decided_late(self._views, first, last)
            self._views.move(list(reached), last)
        return last

    def _put_back(self) -> Sequence[LedgerRow]:
        """What is to be folded again where a rebuild has had views made anew; nothing else wakes an idle follower."""
        reached = min(positions(self._views, self._projections).values())
        if reached >= self.pos:
            return ()
        self._go_to(reached)
        return batch_after(self._read_after, reached)


def prepare(views: Views, projections: Sequence[Projection]) -> None:
    """Make the live tables that are missing; a projection that is new, or of another shape, starts at position 0.

    So does the one that judges, whichever is asked for: nothing is folded by what an earlier program has judged.
    """
    with views.transaction():
        views.lay_out()
        judge = Authority()
        if views.shape(judge.name) not in (None, shape_of(views, judge)):
            make_anew(views, judge)
        for projection in projections:
            if views.shape(projection.name) != shape_of(views, projection):
                make_anew(views, projection)


def make_anew(views: Views, projection: Projection) -> None:
    """Empty tables as this program makes them, at position 0; whatever they held stands in the ledger."""
    views.make_anew(projection.name, table_names(projection), shape_of(views, projection))


def shape_of(views: Views, projection: Projection) -> str:
    """What its stored rows depend on besides the ledger, in hex: the edition of its fold, how its tables are laid out,
    which events can be read at all, so that those of a newer version find their place after the upgrade, and how events
    are judged."""
    tables = views.layout(table_names(projection))
    readable = " ".join(sorted(TAGS)).encode()
    judge = b"" if projection.name == Authority.name else shape_of(views, Authority()).encode()
    return sha256(b"%d\n%b\n%b\n%b" % (projection.edition, readable, tables, judge)).hexdigest()


def positions(views: Views, projections: Sequence[Projection], *, lock: bool = False) -> dict[str, int]:
    """Position by projection; lock: until the transaction ends nobody else folds."""
    return views.positions([projection.name for projection in projections], lock=lock)


def batch_after(read_after: ReadAfter, pos: int) -> Sequence[LedgerRow]:
    """The next rows within both bounds, at least one if there is any. Raises LedgerGap."""
    rows = read_after(pos, BATCH_EVENTS)
    if rows and rows[-1].pos != pos + len(rows):
        raise LedgerGap(pos, rows[-1].pos)
    sizes = accumulate(len(row.body) for row in rows)
    return rows[: max(1, sum(size <= BATCH_BYTES for size in sizes))]
