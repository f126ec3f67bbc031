"""The one fenced writer of a node's ledger: a thread that commits together whatever arrived during the last commit."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid4

import psycopg

from sync.ledger.append import Append, Appended, Fenced, Learned, LedgerUnavailable
from sync.ledger.batch import ABSENT, Batch, KnownCommand, LastVersions
from sync.ledger.connections import ANSWER_S, connect
from sync.ledger.reader import Tip
from sync.ledger.rows import Head
from sync.ledger.waiting import Item, Waiting, settle

T = TypeVar("T")

IDLE_LOOK_S: Final = 1.0
"""So often a writer that has nothing to do looks whether it still is the node's writer."""

_STREAMS_HELD: Final = 100_000  # about 20 MB; the others are asked for when they come

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


class Intake:
    """What a job may do to the ledger inside its transaction: learn other nodes' events at the next positions."""

    def __init__(self, conn: psycopg.Connection, head: Head, recorded_us: int) -> None:
        self.head = head
        self.recorded_us = recorded_us
        self._conn = conn

    def learn(self, via: int, rows: Sequence[Learned]) -> range:
        """Insert `rows` in their order, as one statement; returns their positions.

        via: ledger.FROM_BELOW or FROM_ABOVE. What is recorded already must be left out by the caller: a repeated
        (log_id, seq) raises psycopg.errors.UniqueViolation and fails the job. Versions are not checked.
        """
        first = self.head.pos + 1
        if not rows:
            return range(first, first)
        fence = (len(rows), self.recorded_us, self.head.epoch, self.head.pos)
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
        params = (*fence, self.head.pos, via, self.recorded_us, *columns)
        with self._conn.cursor(binary=True) as cursor:
            _unfenced(cursor.execute(_LEARN, params, prepare=True))
        self.head = self.head._replace(pos=self.head.pos + len(rows), recorded_us=self.recorded_us)
        return range(first, first + len(rows))


Job = Callable[[psycopg.Connection, Intake], T]


class _InFlight(NamedTuple):
    """What was sent and not answered: if it was stored, the head has had its `turn`, and `finish` is due."""

    turn: int
    finish: Callable[[], None]


class Writer:
    """Appends this node's events and learns others', one transaction after the other, in one thread.

    One caller's conflict never fails another's. What is answered is flushed to disk. After a lost connection it looks
    whether its last transaction is there, and sends it again if not. `tip` advances after each commit.
    """

    def __init__(
        self,
        dsn: str,
        log_id: int,
        now_us: Callable[[], int],
        tip: Tip | None = None,
        *,
        queue_bytes: int = 16 << 20,
        reconnect_s: float = ANSWER_S,
        on_failure: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """log_id: of the node's own log. now_us: UTC microseconds; a clock that steps back is held at its maximum.

        queue_bytes: above this many waiting, callers get Busy. reconnect_s: how long a lost database is waited for
        before callers are told; the next one makes the writer look again.
        on_failure: told, in the writer's thread, why it has stopped by itself: Fenced, or a fault of the program.
        """
        self.tip = Tip() if tip is None else tip
        self._dsn = dsn
        self._log_id = log_id
        self._now_us = now_us
        self._reconnect_s = reconnect_s
        self._on_failure = on_failure
        self._waiting = Waiting(queue_bytes)
        self._last_versions = LastVersions(_STREAMS_HELD)
        self._in_flight: _InFlight | None = None
        self._mark = uuid4()
        self._thread = threading.Thread(target=self._main, name="ledger-writer", daemon=True)
        self._conn: psycopg.Connection
        self._head: Head
        self._epoch: int  # the last one asked for

    def start(self) -> None:
        """Become the node's writer; whoever was it before is fenced. Raises psycopg.OperationalError."""
        self._conn = self._connect()
        (row,) = self._conn.execute(_TAKE_OVER, (self._mark,)).fetchall()
        self._head = Head(*row)
        self._epoch = self._head.epoch
        self.tip.advance(self._head.pos)
        self._waiting.open()
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then stop. Later calls raise WriterClosed."""
        self._waiting.close()
        self._thread.join()
        self._conn.close()

    def __enter__(self) -> "Writer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, append: Append) -> "Future[Appended]":
        """Queue an append; the future holds its Appended once it is durable, or why it was refused.

        Future raises: StaleVersion, CommandReused, LedgerUnavailable, Fenced, or the psycopg.Error of a statement
        beside it. Raises at once: BodyTooLarge, Busy, WriterClosed, Fenced.
        """
        future: Future[Appended] = self._waiting.put(Item(append))
        return future

    async def append_async(self, append: Append) -> Appended:
        """The same for asyncio. A caller that is cancelled may still have been recorded."""
        answer: Appended = await self._waiting.put(Item(append, asyncio.get_running_loop()))
        return answer

    def run(self, job: Job[T], *, lazy: bool = False) -> "Future[T]":
        """Run `job(conn, intake)` in the writer's thread, in a transaction of its own that takes part in the fence.

        An exception of the job rolls everything back and comes out of the future. A job may run twice: when the
        connection is lost before it is committed. lazy: do not wait for the disk; a crash of the database then takes
        back the job's rows and position together, so nothing outside may be told before a later `run` or append,
        whose flush covers it, has been answered.
        """
        future: Future[T] = self._waiting.put(Item(job, lazy=lazy))
        return future

    def _main(self) -> None:
        while (items := self._waiting.take(IDLE_LOOK_S)) is not None:
            try:
                if items:
                    self._do(items)
                else:
                    self._look()
            except BaseException as failure:  # whatever it is, no caller may wait for ever
                self._waiting.give_up(failure)
                self._fail(items, failure)
                self._on_failure(failure)
                return

    def _look(self) -> None:
        """Nobody asks for anything, and still the node must learn that another has taken its place. Raises Fenced."""
        try:
            mine = self._conn.execute(_STILL_MINE, (self._head.epoch,), binary=True).fetchone()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._reconnect()
        else:
            if mine is None:
                raise Fenced

    def _do(self, items: list[Item]) -> None:
        for is_last_try in (False, True):
            # What was in flight when the database went away is settled first: what is sent next has the same turn.
            if self._in_flight is not None and not self._reconnect():
                self._fail(items, LedgerUnavailable("the database is still away"))
                return
            try:
                self._perform([item for item in items if not item.settled])
            except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
                recovered = self._conn.closed and self._reconnect()
                if is_last_try or not recovered:
                    self._fail(items, LedgerUnavailable(str(lost).strip()))
                    return
            else:
                return

    def _perform(self, items: list[Item]) -> None:
        if not items:
            return
        if isinstance(items[0].work, Append):
            self._commit(items, careful=False)
        else:
            self._run(items[0], items[0].work)

    # Appends

    def _commit(self, items: list[Item], *, careful: bool) -> None:
        """Store these appends together. Careful: look up every stream and command instead of trusting the indexes."""
        batch = self._plan(items, careful=careful)
        if batch.doubtful:
            self._commit(items, careful=True)
            return
        if batch.is_empty:
            settle(zip(items, batch.outcomes, strict=True))
            return
        try:
            self._store(batch, items)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as refusal:
            self._in_flight = None
            self._commit_apart(items, refusal, careful=careful)
        else:
            self._stored(batch, items)

    def _commit_apart(self, items: list[Item], refusal: psycopg.Error, *, careful: bool) -> None:
        """The database refused the batch: find whose fault it is, so that the others are recorded."""
        if not careful:
            self._commit(items, careful=True)
        elif len(items) == 1:
            self._fail(items, refusal)
        else:
            middle = len(items) // 2
            self._commit(items[:middle], careful=True)
            self._commit(items[middle:], careful=True)

    def _plan(self, items: list[Item], *, careful: bool) -> Batch:
        appends = [item.work for item in items if isinstance(item.work, Append)]
        self._load_versions(appends, careful=careful)
        known = self._known_commands(appends) if careful else None
        batch = Batch(self._head, self._recorded_us(), self._last_versions, known)
        for append in appends:
            batch.take(append)
        return batch

    def _load_versions(self, appends: Iterable[Append], *, careful: bool) -> None:
        # A stream that claims to start at 1 needs no look: should it exist, the unique index says so.
        unknown = {
            event.stream
            for append in appends
            for event in append.events
            if (careful or event.version != 1) and self._last_versions.get(event.stream) is None
        }
        if unknown:
            found = self._query(_LAST_VERSIONS, (list(unknown),))
            self._last_versions.keep({stream: ABSENT if last is None else last for stream, last in found})

    def _known_commands(self, appends: Iterable[Append]) -> dict[UUID, KnownCommand]:
        ids = [append.command_id for append in appends if append.command_id is not None]
        return {
            command_id: KnownCommand(digest, Appended(range(pos, pos + events), range(seq, seq + events), result))
            for command_id, digest, result, pos, seq, events in self._query(_COMMANDS, (ids,))
        }

    def _store(self, batch: Batch, items: list[Item]) -> None:
        head, ending = self._head, batch.ending()
        count = ending.pos - head.pos
        fence = (count, count, batch.recorded_us, head.epoch, head.pos)
        places = (head.pos, self._log_id, head.own_size, batch.recorded_us)
        statement, params = _APPEND, (*fence, *places, *batch.event_columns())
        if batch.has_commands:
            statement, params = _APPEND_WITH_COMMANDS, (*params, *batch.command_columns())
        self._in_flight = _InFlight(ending.turn, lambda: self._stored(batch, items))
        with self._conn.cursor(binary=True) as cursor:
            if not batch.beside:
                _unfenced(cursor.execute(statement, params, prepare=True))
                return
            with self._conn.pipeline() as pipeline, self._conn.transaction():
                cursor.execute(statement, params, prepare=True)
                for beside, values in batch.beside:
                    self._conn.execute(beside, values)
                pipeline.sync()
                _unfenced(cursor)

    def _stored(self, batch: Batch, items: list[Item]) -> None:
        self._moved_to(batch.ending())
        self._last_versions.keep(batch.moved)
        settle(zip(items, batch.outcomes, strict=True))

    # Jobs

    def _run(self, item: Item, job: Job[Any]) -> None:
        intake = Intake(self._conn, self._head, self._recorded_us())
        try:
            with self._conn.transaction():
                if item.lazy:
                    self._conn.execute("set local synchronous_commit = off")
                result = job(self._conn, intake)
                ending = intake.head._replace(turn=intake.head.turn + 1)
                _unfenced(self._conn.execute(_END_JOB, (ending.epoch, ending.pos), binary=True))
                self._in_flight = _InFlight(ending.turn, lambda: self._ran(item, ending, result))
        except Fenced:
            raise
        except Exception as failure:
            if self._conn.closed and isinstance(failure, (psycopg.OperationalError, psycopg.InterfaceError)):
                raise
            self._in_flight = None
            self._fail([item], failure)
        else:
            self._ran(item, ending, result)

    def _ran(self, item: Item, ending: Head, result: object) -> None:
        self._moved_to(ending)
        settle([(item, result)])

    # Connection

    def _connect(self) -> psycopg.Connection:
        conn = connect(self._dsn, autocommit=True, connect_s=int(ANSWER_S), name="huiyin-writer")
        conn.execute("set synchronous_commit = on; set plan_cache_mode = force_generic_plan")
        return conn

    def _reconnect(self) -> bool:
        """Come back after a lost connection and settle what was in flight; False if the database stays away.

        Raises: Fenced.
        """
        head = self._take_up_again()
        if head is None:
            return False
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None and head.turn == in_flight.turn:
            in_flight.finish()
        # Otherwise it is not there, nor perhaps lazy jobs that the disk had not seen: go on from what is.
        self._head = head
        self._last_versions.clear()
        return True

    def _take_up_again(self) -> Head | None:
        """The head under the next epoch, which waits for, and shuts out, what the old connection may still be doing."""
        deadline = time.monotonic() + self._reconnect_s
        while True:
            self._conn.close()
            self._epoch += 1
            try:
                self._conn = self._connect()
                row = self._conn.execute(_TAKE_UP_AGAIN, (self._epoch, self._mark, self._epoch)).fetchone()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or not self._waiting.is_open:
                    return None
                time.sleep(0.1)
            else:
                if row is None:
                    raise Fenced
                return Head(*row)

    def _query(self, query: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._conn.cursor(binary=True) as cursor:
            return cursor.execute(query, params, prepare=True).fetchall()

    def _recorded_us(self) -> int:
        return max(self._head.recorded_us, self._now_us())

    def _moved_to(self, head: Head) -> None:
        self._head = head
        self._in_flight = None
        self.tip.advance(head.pos)

    def _fail(self, items: Iterable[Item], reason: BaseException) -> None:
        settle([(item, reason) for item in items if not item.settled])


def _unfenced(cursor: psycopg.Cursor[Any]) -> None:
    if cursor.fetchone() is None:
        raise Fenced
