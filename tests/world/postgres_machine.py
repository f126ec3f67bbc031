"""A node of a world that keeps everything in a real PostgreSQL database, through the adapters of a node in service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import psycopg

from domain.divisions import Division
from domain.shards import shard_of
from gateway import accounts
from gateway.hosting.postgres_server import PostgresServer
from gateway.hosting.trouble import TROUBLE
from projections.views_postgres import PostgresViews
from sync.exchange.exchange import Exchange
from sync.exchange.store import Store
from sync.ledger.reader import register_log
from sync.sealed.custody_postgres import PostgresCases
from tests.gateway.memory_node import MemoryNode
from tests.sync.memory_ledger import MemoryWriter
from tests.sync.memory_tables import At, Point, Tables, nothing_happens
from tests.sync.seeded_hpke import seeded_hpke
from tests.world.machine import Machine, PowerCut, flat
from tests.world.postgres_lines import Line, LineCasework, LineLedger, LineReader, LineStore
from tests.world.seen import seen, stored
from tests.world.world import RATES, World

TREE: Final = tuple(map(Division, ("410221000000", "410221100000", "410221100201", "410221100202")))
"""A county, a township and two villages."""

NOT_HERE: Final = ("lost_flush", "old_backup")
"""A server that loses what it flushed, and a database from a backup, are not made here."""

OFTEN: Final = {kind: 0.0 if kind in NOT_HERE else rate for kind, rate in RATES.items()} | {
    "power_cut": 0.008,
    "connection_lost": 0.008,
    "second_instance": 0.03,
}
"""How often each kind of fault strikes in a world that is small and does not live long."""


class PostgresMachine(Machine):
    """`tables` is what the database holds now. What `start` makes is all that uses a connection."""

    passing = TROUBLE

    def __init__(self, dsn: str, *given: Any) -> None:
        """dsn: of its own database, migrated. given: as of `Machine`."""
        self._dsn = dsn
        self._open: list[Callable[[], None]] = []
        self._eye = Line(dsn)
        self._before = (0, b"")
        super().__init__(*given)

    # --- life -------------------------------------------------------------------------------------------------------

    def open_tables(self) -> None:
        """Over connections of its own, as `gateway.node` puts them together."""
        self._hang_up()
        with psycopg.connect(self._dsn) as conn:
            log_id = register_log(conn, self.origin, self.here, shard_of(self.origin) or 1)
        self.database = LineLedger(self._dsn, log_id, self._at)
        self.writer = MemoryWriter(self.database, self.clock.now_us)
        self._open.append(self.database.close)
        self.store = LineStore(self._line(self._at), self.writer)
        self.reader = LineReader(self._line())
        self.case_reader = PostgresCases(self._line().connection)
        self.kept = LineCasework(self._line(self._at))
        with self._line().connection() as conn:
            self.views = PostgresViews(conn)

    def crash(self) -> None:
        """The program is gone, and with it its connections."""
        self.is_on = False
        MemoryNode.crash(self)
        self._hang_up()

    @contextmanager
    def left_running(self) -> Iterator[tuple[Exchange, MemoryWriter]]:
        """With its connections."""
        first, self._open = self._open, []
        try:
            yield self.exchange, self.writer
        finally:
            _close(first)

    def close(self) -> None:
        """For good."""
        self.crash()
        self._eye.close()

    def catch_up(self) -> None:
        """The server flushes what it says."""

    def _line(self, at: At = nothing_happens) -> Line:
        line = Line(self._dsn, at)
        self._open.append(line.close)
        return line

    def _hang_up(self) -> None:
        _close(self._open)
        self._seen = None

    def _unstruck(self) -> Store:
        return LineStore(self._line())

    def _ask_before_writing(self) -> None:
        raise AssertionError(f"{self.here}: the database lacks what had left the node")

    # --- what befalls -----------------------------------------------------------------------------------------------

    def _come_to(self, point: Point) -> None:
        self._seen = None
        super()._come_to(point)

    def _lie(self, point: Point) -> None:
        """It does not."""

    def _strike_views(self, place: str) -> None:
        try:
            super()._strike_views(place)
        except PowerCut:
            self.views.conn.close()
            raise

    def _look_back(self) -> None:
        size, before = self._before
        ((now, again, all_of_it),) = self._eye.ask(
            "select count(*), coalesce(sha256(string_agg(leaf, '' order by pos) filter (where pos <= %s)), ''),"
            " coalesce(sha256(string_agg(leaf, '' order by pos)), '') from ledger",
            (size,),
        )
        if bytes(again) != before:
            self._complain(f"{self.here}: a commit took back what had been committed")
        self._before = (now, bytes(all_of_it))

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def tables(self) -> Tables:
        """Read whole, once after each commit."""
        if self._seen is None:
            self._seen = seen(self._eye)
        return self._seen

    @tables.setter
    def tables(self, tables: Tables) -> None:
        self._seen: Tables | None = tables

    @property
    def progress(self) -> int:
        """By what its parts say of themselves."""
        return self.moves

    @property
    def state(self) -> str:
        """Not told apart."""
        return "a version behind" if self.is_older else ""

    def stored(self) -> Iterator[bytes]:
        """Every column of every table."""
        for value in stored(self._eye):
            yield from flat(value)
            yield repr(value).encode()


class PostgresWorlds:
    """Worlds on one server, whose databases it makes. Use as a context."""

    _numbers = count(1)

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._machines: list[PostgresMachine] = []

    def begin(self, seed: int, tell: Callable[[str], None]) -> World:
        """A world of this seed that was founded and has come to rest."""
        name = f"world_{next(self._numbers)}"

        def make(division: Division, *given: Any) -> PostgresMachine:
            self._postgres.create_database(f"{name}_{division}", template="template_node")
            dsn = self._postgres.dsn(f"{name}_{division}")
            accounts.prepare(dsn)
            self._machines.append(PostgresMachine(dsn, division, *given))
            return self._machines[-1]

        with seeded_hpke(seed):
            world = World(seed, tell, tree=TREE, rates=OFTEN, make=make)
            world.fate.calm = True
            world.rest()
            world.fate.calm = False
        return world

    def __enter__(self) -> "PostgresWorlds":
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self._machines:
            machine.close()


def _close(ends: list[Callable[[], None]]) -> None:
    while ends:
        ends.pop()()
