"""A node's ledger on PostgreSQL, as its one writer sees it: one connection, fenced by the head row."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from sync.ledger.append import Fenced, Learned
from sync.ledger.batch import ABSENT, Batch, KnownCommand, known_command
from sync.ledger.connections import ANSWER_S, connect
from sync.ledger.rows import Head

# The head row is lock, fence (epoch) and source of positions in one. It stays locked until commit, so positions become
# visible in the order they are given, and a reader that tails them can never miss one.
_APPEND_EVENTS: Final = """
with h as (
    update head set pos = pos + %b, own_size = own_size + %b, recorded_us = %b, turn = turn + 1
    where epoch = %b and pos = %b returning 1
), e as (
    insert into ledger (pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us)
    select %b::bigint + n, %b::int, %b::bigint + n - 1, 0, s, v, t, c, b, l, %b::bigint
    from h, unnest(%b::uuid[], %b::int[], %b::text[], %b::uuid[], %b::bytea[], %b::bytea[])
        with ordinality as u (s, v, t, c, b, l, n)
)"""

_APPEND: Final = _APPEND_EVENTS + " select 1 from h"

_APPEND_WITH_COMMANDS: Final = (
    _APPEND_EVENTS
    + """, k as (
    insert into command (id, digest, result, pos, seq, events)
    select u.* from h, unnest(%b::uuid[], %b::bytea[], %b::bytea[], %b::bigint[], %b::bigint[], %b::int[]) u
)
select 1 from h"""
)

_LEARN: Final = """
with h as (
    update head set pos = pos + %b, recorded_us = %b where epoch = %b and pos = %b returning 1
), e as (
    insert into ledger (pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us)
    select %b::bigint + n, g, q, %b::smallint, s, v, t, c, b, l, %b::bigint
    from h, unnest(%b::int[], %b::bigint[], %b::uuid[], %b::int[], %b::text[], %b::uuid[], %b::bytea[], %b::bytea[])
        with ordinality as u (g, q, s, v, t, c, b, l, n)
)
select 1 from h"""

_STILL_MINE: Final = "select 1 from head where epoch = %b"

_END_JOB: Final = "update head set turn = turn + 1 where epoch = %b and pos = %b returning 1"

_TAKE_OVER: Final = """
update head set writer = %b, epoch = epoch + 1 returning epoch, pos, own_size, recorded_us, turn"""

# Neither an attempt whose answer was lost nor one that arrives late may look like another writer: whose head it is says
# the mark, and an epoch once passed does not come back.
_TAKE_UP_AGAIN: Final = """
update head set epoch = %b where writer = %b and epoch < %b returning epoch, pos, own_size, recorded_us, turn"""

_LAST_VERSIONS: Final = """
select s, (select version from ledger where via = 0 and stream = s order by version desc limit 1)
from unnest(%b::uuid[]) s"""

_COMMANDS: Final = "select id, digest, result, pos, seq, events from command where id = any(%b)"


class PostgresLedger:
    """See sync.ledger.database.LedgerDatabase. A job is given the connection."""

    losses: tuple[type[Exception], ...] = (psycopg.OperationalError, psycopg.InterfaceError)
    refusals: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, dsn: str, log_id: int) -> None:
        """log_id: of the node's own log."""
        self._dsn = dsn
        self._log_id = log_id
        self._mark = uuid4()
        self._conn: psycopg.Connection

    @property
    def is_lost(self) -> bool:
        """Whether psycopg has given the connection up."""
        return self._conn.closed

    def take_over(self) -> Head:
        """The head under an epoch of its own."""
        self._connect()
        (row,) = self._conn.execute(_TAKE_OVER, (self._mark,)).fetchall()
        return Head(*row)

    def take_up_again(self, epoch: int) -> Head | None:
        """The update waits for what the old connection may still be doing to the head row."""
        self._conn.close()
        self._connect()
        row = self._conn.execute(_TAKE_UP_AGAIN, (epoch, self._mark, epoch)).fetchone()
        return None if row is None else Head(*row)

    def is_mine(self, epoch: int) -> bool:
        """One look at the head."""
        return self._conn.execute(_STILL_MINE, (epoch,), binary=True).fetchone() is not None

    def last_versions(self, streams: Collection[UUID]) -> dict[UUID, int]:
        """By the index over own streams."""
        rows = self._query(_LAST_VERSIONS, (list(streams),))
        return {stream: ABSENT if last is None else last for stream, last in rows}

    def known_commands(self, ids: Collection[UUID]) -> dict[UUID, KnownCommand]:
        """By id."""
        return {command_id: known_command(*kept) for command_id, *kept in self._query(_COMMANDS, (list(ids),))}

    def store(self, batch: Batch) -> None:
        """One statement; with what stands beside, one round of several."""
        head, count = batch.head, batch.ending().pos - batch.head.pos
        fence = (count, count, batch.recorded_us, head.epoch, head.pos)
        places = (head.pos, self._log_id, head.own_size, batch.recorded_us)
        statement, params = _APPEND, (*fence, *places, *batch.event_columns())
        if batch.has_commands:
            statement, params = _APPEND_WITH_COMMANDS, (*params, *batch.command_columns())
        with self._conn.cursor(binary=True) as cursor:
            if not batch.beside:
                _unfenced(cursor.execute(statement, params, prepare=True))
                return
            with self._conn.pipeline() as pipeline, self._conn.transaction():
                cursor.execute(statement, params, prepare=True)
                for act in batch.beside:
                    self._conn.execute(*act.statement())
                pipeline.sync()
                _unfenced(cursor)

    @contextmanager
    def transaction(self, *, lazy: bool) -> Iterator[psycopg.Connection]:
        """The connection, in a transaction."""
        with self._conn.transaction():
            if lazy:
                self._conn.execute("set local synchronous_commit = off")
            yield self._conn

    def learn(self, head: Head, recorded_us: int, via: int, rows: Sequence[Learned]) -> None:
        """As one statement. What is there already raises psycopg.errors.UniqueViolation."""
        fence = (len(rows), recorded_us, head.epoch, head.pos)
        columns = [
            [row.log_id for row in rows],
            [row.seq for row in rows],
            [row.stream for row in rows],
            [row.version for row in rows],
            [row.topic for row in rows],
            [row.case_id for row in rows],
            [row.body for row in rows],
            [row.leaf for row in rows],
        ]
        params = (*fence, head.pos, via, recorded_us, *columns)
        with self._conn.cursor(binary=True) as cursor:
            _unfenced(cursor.execute(_LEARN, params, prepare=True))

    def end_turn(self, head: Head) -> None:
        """One more turn of the same epoch at the same position."""
        _unfenced(self._conn.execute(_END_JOB, (head.epoch, head.pos), binary=True))

    def close(self) -> None:
        """Safe to call twice."""
        self._conn.close()

    def _connect(self) -> None:
        conn = connect(self._dsn, autocommit=True, connect_s=int(ANSWER_S), name="huiyin-writer")
        conn.execute("set synchronous_commit = on; set plan_cache_mode = force_generic_plan")
        self._conn = conn

    def _query(self, query: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._conn.cursor(binary=True) as cursor:
            return cursor.execute(query, params, prepare=True).fetchall()


def _unfenced(cursor: psycopg.Cursor[Any]) -> None:
    if cursor.fetchone() is None:
        raise Fenced
