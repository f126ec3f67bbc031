"""Reading a node's ledger: committed rows in the order this node learned them, by position, case, stream or log."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import BaseRowFactory, tuple_row
from psycopg_pool import PoolTimeout

from domain.shards import NUMBERS, log_id_of
from sync.ledger.batch import KnownCommand, known_command
from sync.ledger.connections import open_pool
from sync.ledger.rows import Head, Row

T = TypeVar("T")


class Tip:
    """The last committed position as this process knows it; readers sleep on it instead of polling."""

    def __init__(self, pos: int = 0) -> None:
        self._pos = pos
        self._moved = threading.Condition()

    def advance(self, pos: int) -> None:
        """Called by the writer after each commit. Never goes back."""
        with self._moved:
            if pos > self._pos:
                self._pos = pos
                self._moved.notify_all()

    def wait_beyond(self, pos: int, timeout_s: float) -> int:
        """The last position as soon as it is greater than `pos`, or whatever it is after the timeout."""
        with self._moved:
            self._moved.wait_for(lambda: self._pos > pos, timeout_s)
            return self._pos


_COLUMNS: Final = "select pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us from ledger "
OF_CASES: Final = _COLUMNS + "where case_id = any(%b::uuid[]) order by pos"
_POLL_S: Final = 0.05


class Reader:
    """See sync.ledger.reading.LedgerReader. From any thread, over a few pooled connections."""

    def __init__(self, dsn: str, tip: Tip | None = None, *, max_connections: int = 4) -> None:
        """tip: the Tip that this process's writer advances; without one, `wait_beyond` polls the head."""
        self._tip = tip
        self._pool = open_pool(dsn, "ledger", max_connections, autocommit=True)

    def close(self) -> None:
        """Give the connections back; later reads raise psycopg_pool.PoolClosed."""
        self._pool.close()

    def read(self, after_pos: int, limit: int) -> list[Row]:
        """At most `limit` rows with pos > after_pos, in order, without gaps: what is not here is not committed."""
        return self._rows(_COLUMNS + "where pos > %b order by pos limit %b", (after_pos, limit))

    def read_cases(self, case_ids: Sequence[UUID]) -> list[Row]:
        """The rows of all of these cases, in order of position."""
        return self._rows(OF_CASES, (list(case_ids),))

    def read_case(self, case_id: UUID, after_pos: int = 0) -> list[Row]:
        """Every row of one case with pos > after_pos, own and learned, in the order learned."""
        return self._rows(_COLUMNS + "where case_id = %b and pos > %b order by pos", (case_id, after_pos))

    def of_topic(self, topic: LiteralString, after_pos: int = 0) -> list[Row]:
        """Every row of one type of event with pos > after_pos, in order."""
        # Written out: a plan made for any topic would pass over the indexes that are made for one.
        return self._rows(_COLUMNS + "where topic = '" + topic + "' and pos > %b order by pos", (after_pos,))

    def head(self) -> Head:
        """The head as committed."""
        return Head(*self.fetch("select epoch, pos, own_size, recorded_us, turn from head")[0])

    def size_of(self, log_id: int) -> int:
        """The index after the last leaf of a log that is known here."""
        ((size,),) = self.fetch("select coalesce(max(seq) + 1, 0) from ledger where log_id = %b", (log_id,))
        return int(size)

    def wait_beyond(self, pos: int, timeout_s: float) -> int:
        """Sleep until a position > pos is committed or the timeout is over; returns the last position known."""
        if self._tip is not None:
            return self._tip.wait_beyond(pos, timeout_s)
        deadline = time.monotonic() + timeout_s
        while (last := self.head().pos) <= pos and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return last

    def command(self, command_id: UUID) -> KnownCommand | None:
        """How this command was answered, if it was recorded."""
        rows = self.fetch("select digest, result, pos, seq, events from command where id = %b", (command_id,))
        return known_command(*rows[0]) if rows else None

    def filed(self, leaf: bytes) -> UUID | None:
        """The case that was registered here by the event with this leaf hash."""
        query: LiteralString = "select case_id from ledger where leaf = %b and via = 0 and topic = 'case.registered.v0'"
        rows = self.fetch(query, (leaf,))
        return rows[0][0] if rows else None

    def origin(self, log_id: int) -> str:
        """The origin of a log by its id here. LookupError for an id that was not given."""
        rows = self.fetch("select origin from log where id = %b", (log_id,))
        return str(rows[0][0])

    def held(self, division: str) -> tuple[str, int] | None:
        """The newest log of a division of which a tree is kept, and the size of that; None where there is none."""
        query: LiteralString = (
            "select origin, size from log join tree on tree.log_id = log.id where division = %b order by shard desc"
        )
        rows = self.fetch(query, (division,))
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def fetch(self, query: LiteralString, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of any other read, prepared and binary; placeholders are `%b`."""
        return self._fetch(tuple_row, query, params)

    def _rows(self, query: LiteralString, params: Sequence[object]) -> list[Row]:
        return self._fetch(_ledger_row, query, params)

    def _fetch(self, rows: BaseRowFactory[T], query: LiteralString, params: Sequence[object]) -> list[T]:
        try:
            return self._fetch_once(rows, query, params)
        except PoolTimeout:
            raise
        except psycopg.OperationalError:
            self._pool.check()  # the server was restarted: replace the dead connections, then ask once more
            return self._fetch_once(rows, query, params)

    def _fetch_once(self, rows: BaseRowFactory[T], query: LiteralString, params: Sequence[object]) -> list[T]:
        with self._pool.connection() as conn, conn.cursor(binary=True, row_factory=rows) as cursor:
            return cursor.execute(query, params, prepare=True).fetchall()


def _ledger_row(_: object) -> Callable[[Sequence[Any]], Row]:
    return Row._make


def register_log(conn: psycopg.Connection, origin: str, division: str, shard: int) -> int:
    """The id of the log with this origin, given now if it has none.

    Ids belong to this node alone and order an author's shards (`domain.shards.log_id_of`). Call it from the writer's
    thread (`Writer.run`) or before the writer starts, so that no two callers give the same id.
    """
    found = conn.execute("select id from log where origin = %s", (origin,)).fetchone()
    if found is not None:
        return int(found[0])
    ((number,),) = conn.execute("select coalesce(max(id & %s), 0) + 1 from log", (NUMBERS,)).fetchall()
    log_id = log_id_of(shard, number)
    conn.execute(
        "insert into log (id, origin, division, shard) values (%s, %s, %s, %s)", (log_id, origin, division, shard)
    )
    return log_id


def own_log(conn: psycopg.Connection) -> tuple[int, str] | None:
    """Id and origin of the log that this node writes now; None in a database that is no node's yet."""
    row = conn.execute("select log.id, log.origin from head join log on log.id = head.log_id").fetchone()
    return None if row is None else (int(row[0]), str(row[1]))
