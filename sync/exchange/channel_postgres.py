"""The channel of a small place: lanes in a PostgreSQL that both ends of a link reach."""

import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from domain.keys import LAST_COPY_US
from sync.exchange.channel import LANE_BYTES, ChannelDown, Delivered, Extent, LaneFull, LaneReset, check_sizes
from sync.exchange.wire import MAX_RECORD_BYTES
from sync.ledger.connections import connect

POLL_S = 1.0
"""A wake-up can be lost with its connection, never a record: a waiting reader looks again after so long."""

_BELL = "huiyin_channel"
_LOCK_KEY = 0x4875_6979_6368  # one maker of the tables at a time
_PAGE = 256

_PLAIN, _DEFLATED = b"\0", b"\1"
_PLAIN_BYTES = 1_000

_TABLES = """
create schema if not exists channel;
create table if not exists channel.lane (name text primary key, last bigint not null) with (fillfactor = 50);
alter table channel.lane add column if not exists kept_bytes bigint not null default 0;
create table if not exists channel.record (
    lane text not null,
    pos bigint not null,
    body bytea not null,
    primary key (lane, pos)
);
alter table channel.record alter column body set storage external;
alter table channel.record add column if not exists at timestamptz not null default now();
"""

_IS_MADE = "select 1 from pg_attribute where attrelid = to_regclass('channel.record') and attname = 'at'"

# The lane's row stays locked to the commit, so no reader can see a later offset before an earlier one. A full lane
# gives no row, and nothing is stored.
_PUBLISH = """
with numbered as (
    insert into channel.lane values (%(lane)b::text, %(count)b::bigint, %(size)b::bigint)
    on conflict (name) do update
    set last = channel.lane.last + excluded.last, kept_bytes = channel.lane.kept_bytes + excluded.kept_bytes
    where channel.lane.kept_bytes = 0 or channel.lane.kept_bytes + excluded.kept_bytes <= %(room)b::bigint
    returning last
), stored as (
    insert into channel.record (lane, pos, body)
    select %(lane)b::text, numbered.last - %(count)b::bigint + ordinality, body
    from numbered, unnest(%(bodies)b::bytea[]) with ordinality as u (body, ordinality)
)
select last, pg_notify(%(bell)b::text, %(lane)b::text) from numbered
"""

_TRIM = """
with gone as (
    delete from channel.record where lane = %(lane)s and pos <= %(upto)s returning octet_length(body) as size
)
update channel.lane set kept_bytes = greatest(0, kept_bytes - (select sum(size) from gone))
where name = %(lane)s and exists (select from gone)
"""

_OUTDATED = """
select max(pos) from channel.record where lane = %s and at < now() - %s * interval '1 microsecond'
"""

_EXTENT = """
select coalesce((select min(pos) from channel.record where lane = lane.name), last + 1), last
from channel.lane where name = %s
"""

_FETCH = """
select wanted.lane, kept.pos, kept.body
from unnest(%(lanes)s::text[], %(offsets)s::bigint[]) as wanted (lane, pos),
lateral (
    select pos, body, sum(octet_length(body)) over (order by pos) as filled
    from (
        select pos, body from channel.record where lane = wanted.lane and pos > wanted.pos order by pos limit %(page)s
    ) as page
) as kept
where kept.filled <= %(share)s or kept.filled = octet_length(kept.body)
order by wanted.lane, kept.pos
"""

_RESET = """
select wanted.lane
from unnest(%(lanes)s::text[], %(offsets)s::bigint[]) as wanted (lane, pos)
left join channel.lane on name = wanted.lane
where wanted.pos > coalesce(last, 0)
"""


class PostgresChannel:
    """A Channel (see its contract) on two connections to `dsn`, made when first used and again after a failure.

    It makes its own tables, in a schema `channel`, so its database may be a node's own or one of their own.
    """

    def __init__(self, dsn: str, lane_bytes: int = LANE_BYTES, kept_us: int = LAST_COPY_US) -> None:
        """dsn: a PostgreSQL 15 to 18. lane_bytes: as stored, what one lane takes unread. kept_us: for how long."""
        self._dsn = dsn
        self._kept_us = kept_us
        self._lane_bytes = lane_bytes
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer: psycopg.Connection[Any] | None = None
        self._reader: psycopg.Connection[Any] | None = None

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        """Append; durable on return."""
        check_sizes(lane, records)
        if not records:
            return 0
        bodies = [_pack(record) for record in records]
        values = {"lane": lane, "count": len(records), "size": sum(map(len, bodies)), "bodies": bodies, "bell": _BELL}
        with self._writing, self._on_writer() as conn:
            row = conn.execute(_PUBLISH, values | {"room": self._lane_bytes}).fetchone()
        if row is None:
            raise LaneFull(lane)
        return int(row[0])

    def fetch(self, after: Mapping[str, int], max_bytes: int, wait_s: float) -> list[Delivered]:
        """What lies beyond the offsets of `after`."""
        deadline = time.monotonic() + wait_s
        with self._reading, self._on_reader() as conn:
            while True:
                _drain(conn)
                found = _look(conn, after, max_bytes)
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                _wait(conn, after, min(left, POLL_S))

    def trim(self, lane: str, upto: int) -> None:
        """Delete what was dealt with."""
        with self._writing, self._on_writer() as conn:
            conn.execute(_TRIM, {"lane": lane, "upto": upto})

    def extent(self, lane: str) -> Extent:
        """First and last offset, after forgetting what has grown too old."""
        with self._writing, self._on_writer() as conn:
            ((upto,),) = conn.execute(_OUTDATED, (lane, self._kept_us)).fetchall()
            if upto is not None:
                conn.execute(_TRIM, {"lane": lane, "upto": upto})
            row = conn.execute(_EXTENT, (lane,)).fetchone()
        return Extent(*row) if row else Extent(1, 0)

    def close(self) -> None:
        """Give the connections back."""
        for conn in (self._writer, self._reader):
            if conn is not None:
                conn.close()
        self._writer = self._reader = None

    @contextmanager
    def _on_writer(self) -> Iterator[psycopg.Connection[Any]]:
        with _named_failure():
            self._writer = _open(self._dsn, self._writer)
            yield self._writer

    @contextmanager
    def _on_reader(self) -> Iterator[psycopg.Connection[Any]]:
        with _named_failure():
            fresh = _open(self._dsn, self._reader)
            if fresh is not self._reader:
                fresh.execute(f"listen {_BELL}")
            self._reader = fresh
            yield fresh


def _open(dsn: str, conn: psycopg.Connection[Any] | None) -> psycopg.Connection[Any]:
    if conn is not None and not conn.closed:
        return conn
    fresh: psycopg.Connection[Any] = connect(dsn, autocommit=True, connect_s=5)
    if fresh.execute(_IS_MADE).fetchone() is None:
        with fresh.transaction():
            fresh.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
            fresh.execute(_TABLES)
    return fresh


def _look(conn: psycopg.Connection[Any], after: Mapping[str, int], max_bytes: int) -> list[Delivered]:
    if not after:
        return []
    values = {
        "lanes": list(after),
        "offsets": list(after.values()),
        "page": _PAGE,
        "share": max_bytes // len(after),
    }
    rows = conn.execute(_FETCH, values, binary=True).fetchall()
    if not rows and (reset := conn.execute(_RESET, values).fetchone()):
        raise LaneReset(reset[0])
    return [Delivered(lane, pos, _unpack(bytes(kept))) for lane, pos, kept in rows]


def _pack(record: bytes) -> bytes:
    """Deflated where that pays: what is written here is written to the WAL, its chunks and their index."""
    return _DEFLATED + zlib.compress(record, 1) if len(record) > _PLAIN_BYTES else _PLAIN + record


def _unpack(kept: bytes) -> bytes:
    """The record; no bytes at all for what no `_pack` has made, which no reader takes for a record."""
    if kept[:1] == _PLAIN:
        return kept[1:]
    unfolding = zlib.decompressobj()
    try:
        record = unfolding.decompress(kept[1:], MAX_RECORD_BYTES)
    except zlib.error:
        return b""
    return record if unfolding.eof and kept[:1] == _DEFLATED else b""


def _drain(conn: psycopg.Connection[Any]) -> None:
    """Forget rings that came before the look that follows: what they announced will be seen by it."""
    for _ in conn.notifies(timeout=0):
        pass


def _wait(conn: psycopg.Connection[Any], lanes: Mapping[str, int], wait_s: float) -> None:
    for ring in conn.notifies(timeout=wait_s):
        if ring.payload in lanes:
            return


@contextmanager
def _named_failure() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise ChannelDown(
            f"通道数据库没有应答，稍后自动重试 / the channel's database does not answer: {error}"
        ) from error
