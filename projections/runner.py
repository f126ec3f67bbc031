"""Follows the ledger in batches: decode once, fold every projection, rows and positions in one transaction."""

import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import accumulate

import msgspec
import psycopg

from domain.events import TAGS
from projections.authority import WITHOUT_EFFECT, Authority, LateDecision, decided_late, in_effect
from projections.projection import LedgerRow, Projection, ReadAfter, decode
from projections.refold import fold_as_learned
from projections.store import LIVE, create, table_script

BATCH_EVENTS = 2_000
BATCH_BYTES = 2 << 20
"""What a command waits for at the worst, a fifth of a second, and what a batch holds in memory."""
IDLE_S = 0.5
RETRY_S = 1.0


class LedgerGap(Exception):
    """`read_after` left out a position. Nothing was folded; the ledger needs a look before anything else."""

    def __init__(self, after: int, found: int) -> None:
        super().__init__(
            f"账本第 {after} 位之后读到 {found}，中间缺失，请先核验账本 / after position {after} the ledger "
            f"gave {found}; verify the ledger first"
        )


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection is. parked_keys: cases that wait. failure: why the runner cannot go on, without details."""

    projection: str
    pos: int
    parked_keys: int
    failure: str | None


class Runner:
    """One thread's worth of work that keeps `projections` up to date; nothing is lost if it ends anywhere.

    connect: gives an autocommit connection of the runner's own. wait_beyond(pos, timeout_s): returns as soon as
    the ledger has grown past `pos`, or after the timeout. A batch is whatever the ledger holds, up to
    BATCH_EVENTS events or BATCH_BYTES of bodies: it never waits to fill one. Two runners at once are
    harmless: the rows of `position` let one batch in at a time. on_trouble: told why `run` stands still, at which
    position, and the error, whose own words may hold the number of a case.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        read_after: ReadAfter,
        wait_beyond: Callable[[int, float], int],
        projections: Sequence[Projection],
        on_trouble: Callable[[str, int, Exception], None] = lambda reason, pos, error: None,
    ) -> None:
        self._connect = connect
        self._read_after = read_after
        self._wait_beyond = wait_beyond
        self._projections = projections
        self._on_trouble = on_trouble
        self._topics = frozenset[str]().union(*(projection.topics for projection in projections))
        self._conn: psycopg.Connection | None = None
        self._pos = 0
        self._failure: str | None = None
        self._moved = threading.Condition()

    def prepare(self) -> None:
        """Connect, make missing tables, and learn where to go on."""
        self._conn = self._connect()
        prepare(self._conn, self._projections)
        self._move_to(min(positions(self._conn, self._projections).values()))

    def step(self) -> int:
        """Fold one batch; returns how many events it held, 0 when the ledger has nothing new."""
        if self._conn is None:
            self.prepare()
        rows = batch_after(self._read_after, self._pos) or self._put_back()
        if rows:
            self._move_to(self._fold(rows))
        return len(rows)

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set (noticed within IDLE_S). A failure is told, shown, and tried again."""
        while not stop.is_set():
            try:
                if self.step() == 0:
                    self._wait_beyond(self._pos, IDLE_S)
                self._failure = None
            except Exception as error:
                self._failure = str(error) if isinstance(error, LedgerGap) else type(error).__name__
                self._on_trouble(self._failure, self._pos, error)
                self.close()
                stop.wait(RETRY_S)
        self.close()

    def close(self) -> None:
        """Give up the connection; the next `step` makes a new one."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def wait_for(self, pos: int, timeout_s: float) -> bool:
        """Wait until every projection shows position `pos`; False if it takes longer than `timeout_s`.

        Woken by the commit itself, so a command's answer can be read back at once.
        """
        with self._moved:
            return self._moved.wait_for(lambda: self._pos >= pos, timeout_s)

    def progress(self, conn: psycopg.Connection) -> list[Progress]:
        """Each projection's position, for lag and alarms."""
        parked = conn.execute(f"select projection, count(distinct key) from {LIVE}.parked group by 1")
        waiting: dict[str, int] = dict(parked.fetchall())
        return [
            Progress(projection=name, pos=pos, parked_keys=waiting.get(name, 0), failure=self._failure)
            for name, pos in positions(conn, self._projections).items()
        ]

    def _fold(self, rows: Sequence[LedgerRow]) -> int:
        """Returns the position reached, which is not that of `rows` where somebody else moved meanwhile."""
        conn = self._conn
        if conn is None:
            raise RuntimeError("prepare() comes first")
        batch = decode(rows, self._topics)
        first, last = batch[0].pos, batch[-1].pos
        decisions: list[LateDecision] = []
        with conn.transaction():
            reached = positions(conn, self._projections, lock=True)
            if min(reached.values()) != first - 1:
                return min(reached.values())
            for projection in self._projections:
                due = [fact for fact in batch if fact.pos > reached[projection.name]]
                late = [decision for decision in decisions if decision.pos > reached[projection.name]]
                fold_as_learned(conn, self._read_after, LIVE, projection, due, late)
                if projection.name == Authority.name:
                    batch, decisions = in_effect(conn, batch), decided_late(conn, first, last)
            conn.execute(
                f"update {LIVE}.position set pos = %s where projection = any(%s) and pos < %s",
                (last, list(reached), last),
            )
        return last

    def _put_back(self) -> Sequence[LedgerRow]:
        """What is to be folded again where a rebuild has had views made anew; nothing else wakes an idle runner."""
        reached = () if self._conn is None else positions(self._conn, self._projections).values()
        if min(reached, default=self._pos) >= self._pos:
            return ()
        self._move_to(min(reached))
        return batch_after(self._read_after, self._pos)

    def _move_to(self, pos: int) -> None:
        with self._moved:
            self._pos = pos
            self._moved.notify_all()


def prepare(conn: psycopg.Connection, projections: Sequence[Projection]) -> None:
    """Make the live tables that are missing; a projection that is new, or of another shape, starts at position 0.

    So does the one that judges, whichever is asked for: nothing is folded by what an earlier program has judged.
    """
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(hashtext('huiyin.projections'))")
        for name in ("position", "parked", "skipped", WITHOUT_EFFECT.name):
            create(conn, LIVE, name)
        judge = Authority()
        if _stored_shape(conn, judge) not in (None, shape_of(judge)):
            make_anew(conn, judge)
        for projection in projections:
            if _stored_shape(conn, projection) != shape_of(projection):
                make_anew(conn, projection)


def make_anew(conn: psycopg.Connection, projection: Projection) -> None:
    """Empty tables as this program makes them, at position 0; whatever they held stands in the ledger."""
    for name in table_names(projection):
        conn.execute(f"drop table if exists {LIVE}.{name}")
        create(conn, LIVE, name)
    conn.execute(f"delete from {LIVE}.parked where projection = %s", (projection.name,))
    conn.execute(
        f"insert into {LIVE}.position values (%s, 0, %s) "
        "on conflict (projection) do update set pos = 0, shape = excluded.shape",
        (projection.name, shape_of(projection)),
    )


def _stored_shape(conn: psycopg.Connection, projection: Projection) -> str | None:
    row = conn.execute(f"select shape from {LIVE}.position where projection = %s", (projection.name,)).fetchone()
    return None if row is None else str(row[0])


def shape_of(projection: Projection) -> str:
    """What its stored rows depend on besides the ledger, in hex: the edition of its fold, the text of its tables, which
    events can be read at all, so that those of a newer version find their place after the upgrade, and how events
    are judged."""
    tables = b"".join(map(table_script, table_names(projection)))
    readable = " ".join(sorted(TAGS)).encode()
    judge = b"" if projection.name == Authority.name else shape_of(Authority()).encode()
    return sha256(b"%d\n%b\n%b\n%b" % (projection.edition, readable, tables, judge)).hexdigest()


def table_names(projection: Projection) -> tuple[str, ...]:
    """Every table of the projection."""
    return (*(table.name for table in projection.tables), *projection.other_tables)


def positions(conn: psycopg.Connection, projections: Sequence[Projection], *, lock: bool = False) -> dict[str, int]:
    """Position by projection; lock: until the transaction ends nobody else folds."""
    names = [projection.name for projection in projections]
    return dict(
        conn.execute(
            f"select projection, pos from {LIVE}.position where projection = any(%s) "
            f"order by projection {'for update' if lock else ''}",
            (names,),
        ).fetchall()
    )


def batch_after(read_after: ReadAfter, pos: int) -> Sequence[LedgerRow]:
    """The next rows within both bounds, at least one if there is any. Raises LedgerGap."""
    rows = read_after(pos, BATCH_EVENTS)
    if rows and rows[-1].pos != pos + len(rows):
        raise LedgerGap(pos, rows[-1].pos)
    sizes = accumulate(len(row.body) for row in rows)
    return rows[: max(1, sum(size <= BATCH_BYTES for size in sizes))]
