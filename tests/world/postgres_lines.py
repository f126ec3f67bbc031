"""The very adapters of a node on PostgreSQL, each over one connection that is lost where fate has it: at a commit.

In service a pool and a thread find the database again; here a node does when it is asked for the next thing.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from gateway.casework.store_postgres import PostgresCasework
from sync.exchange.store_postgres import PostgresStore, PostgresTx
from sync.ledger.batch import Batch, KnownCommand
from sync.ledger.connections import connect
from sync.ledger.database_postgres import PostgresLedger
from sync.ledger.reader import Reader
from sync.ledger.rows import Head
from tests.sync.memory_ledger import ConnectionLost, MemoryWriter
from tests.sync.memory_tables import At, Point, nothing_happens

Rows = list[tuple[Any, ...]]


def strike(at: At, point: Point, cut: Callable[[], object]) -> None:
    """Tell `at` of a point. Where it raises anything, the connection ends there: nobody rolls back or commits any more.

    Raises what `at` raised, but what psycopg raises for a lost connection.
    """
    try:
        at(point)
    except ConnectionLost as lost:
        cut()
        raise psycopg.OperationalError("the connection is lost") from lost
    except BaseException:
        cut()
        raise


class Line:
    """One connection, made when it is needed and made again after it was lost. In the place of a pool."""

    def __init__(self, dsn: str, at: At = nothing_happens) -> None:
        self._dsn = dsn
        self._at = at
        self._conn: psycopg.Connection[Any] | None = None

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """As of a pool whose connections commit each statement by itself."""
        if self._conn is None or self._conn.closed:
            self._conn = connect(self._dsn, autocommit=True)
        yield self._conn

    def ask(self, query: LiteralString, params: Sequence[object] = ()) -> Rows:
        """The rows."""
        with self.connection() as conn:
            return conn.execute(query, params).fetchall()

    def come_to(self, point: Point) -> None:
        """See `strike`."""
        strike(self._at, point, self.close)

    def close(self) -> None:
        """As the other end sees it when a process dies. Safe to call twice."""
        if self._conn is not None:
            self._conn.close()


class LineLedger(PostgresLedger):
    """The writer's own connection."""

    def __init__(self, dsn: str, log_id: int, at: At) -> None:
        super().__init__(dsn, log_id)
        self._at = at

    def take_up_again(self, epoch: int) -> Head | None:
        self._come_to("connecting")
        head = super().take_up_again(epoch)
        self._come_to("committed")
        return head

    def is_mine(self, epoch: int) -> bool:
        self._come_to("asking")
        return super().is_mine(epoch)

    def last_versions(self, streams: Collection[UUID]) -> dict[UUID, int]:
        self._come_to("asking")
        return super().last_versions(streams)

    def known_commands(self, ids: Collection[UUID]) -> dict[UUID, KnownCommand]:
        self._come_to("asking")
        return super().known_commands(ids)

    def store(self, batch: Batch) -> None:
        with self._conn.transaction():
            super().store(batch)
            self._come_to("committing")
        self._come_to("committed")

    @contextmanager
    def transaction(self, *, lazy: bool) -> Iterator[psycopg.Connection]:
        with super().transaction(lazy=lazy) as conn:
            yield conn
            self._come_to("committing")
        self._come_to("committed")

    def _come_to(self, point: Point) -> None:
        strike(self._at, point, self.close)


class LineStore(PostgresStore):
    """The exchange's."""

    def __init__(self, line: Line, writer: MemoryWriter | None = None) -> None:
        """Without a writer only what lies beside the ledger can be written."""
        self._line = line
        self._pool, self._writer = line, writer  # type: ignore[assignment]

    @contextmanager
    def transaction(self) -> Iterator[PostgresTx]:
        with super().transaction() as tx:
            yield tx
            self._line.come_to("committing")
        self._line.come_to("committed")


class LineCasework(PostgresCasework):
    """What the casework keeps."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.connection)
        self._line = line

    def _execute(self, statement: LiteralString, params: Sequence[object] = ()) -> None:
        with self._line.connection() as conn, conn.transaction():
            super()._execute(statement, params)
            self._line.come_to("committing")
        self._line.come_to("committed")


class LineReader(Reader):
    """Reads the ledger."""

    def __init__(self, line: Line) -> None:
        self._tip = None
        self._pool = line  # type: ignore[assignment]
