"""A thread's worth of following: when to look at the ledger, what to do on trouble, and who waits for a position."""

import threading
from collections.abc import Callable, Sequence

import msgspec
import psycopg

from projections.following import Follower, LedgerGap, positions
from projections.projection import Projection, ReadAfter
from projections.tables_postgres import LIVE
from projections.views_postgres import PostgresViews

IDLE_S = 0.5
RETRY_S = 1.0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection is. parked_keys: cases that wait. failure: why the runner cannot go on, without details."""

    projection: str
    pos: int
    parked_keys: int
    failure: str | None


class Runner:
    """Keeps `projections` up to date in PostgreSQL; see `projections.following.Follower`.

    connect: gives an autocommit connection of the runner's own. wait_beyond(pos, timeout_s): returns as soon as
    the ledger has grown past `pos`, or after the timeout. on_trouble: told why `run` stands still, at which
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
        self._conn: psycopg.Connection | None = None
        self._follower: Follower | None = None
        self._pos = 0
        self._failure: str | None = None
        self._moved = threading.Condition()

    def prepare(self) -> Follower:
        """Connect, make missing tables, and learn where to go on."""
        self._conn = self._connect()
        self._follower = Follower(PostgresViews(self._conn), self._read_after, self._projections)
        self._move_to(self._follower.pos)
        return self._follower

    def step(self) -> int:
        """Fold one batch; returns how many events it held, 0 when the ledger has nothing new."""
        follower = self._follower or self.prepare()
        try:
            return follower.step()
        finally:
            self._move_to(follower.pos)

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
        self._follower = None
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
            for name, pos in positions(PostgresViews(conn), self._projections).items()
        ]

    def _move_to(self, pos: int) -> None:
        if pos != self._pos:
            with self._moved:
                self._pos = pos
                self._moved.notify_all()
