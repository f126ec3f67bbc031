"""Recording commands: the database's own rates, the stock eventsourcing recorder, and the group-committing writer."""

import asyncio
import gc
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
import uvloop
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from psycopg.conninfo import conninfo_to_dict

from bench.report import Line
from gateway.hosting.postgres_server import PostgresServer
from sync.ledger.append import Append, Learned, NewEvent
from sync.ledger.database import Intake
from sync.ledger.migrations import migrate
from sync.ledger.rows import FROM_BELOW
from sync.ledger.writer import Writer

SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "2"))
BODY: Final = os.urandom(150).hex().encode()  # 300 bytes, the size of a small event
TOPIC: Final = "leg.accepted.v0"

_RAW: Final = """insert into ledger (pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us)
select * from unnest(%b::bigint[], %b::int[], %b::bigint[], %b::smallint[], %b::uuid[], %b::int[], %b::text[],
    %b::uuid[], %b::bytea[], %b::bytea[], %b::bigint[])"""

_ids = itertools.count(1)
_databases = itertools.count(1)


class Rate(NamedTuple):
    """Events per second, and the 99th percentile of a call in milliseconds."""

    per_s: float
    p99_ms: float


def measure(server: PostgresServer) -> Iterator[Line]:
    """Every line against the limit and the peer of this same run. Each figure takes BENCH_SECONDS (2)."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)  # as a node does: young garbage is most of it, and full collections are the tail
    single = raw_inserts(server, 1)
    many = raw_inserts(server, 1_000)
    stock = {threads: stock_recorder(server, threads) for threads in (1, 4, 64)}
    best = max(stock.values())
    yield Line("database: 1 row a commit", limit=single.per_s, p99_ms=single.p99_ms)
    yield Line("database: unnest of 1,000 rows a commit", limit=many.per_s, p99_ms=many.p99_ms)
    for threads, rate in stock.items():
        yield Line(f"stock recorder, {threads} threads", peer=rate.per_s, peer_p99_ms=rate.p99_ms)
    yield _line("1 caller (peer: 1 thread)", single, stock[1], callers(server, 1))
    yield _line("64 callers (peer: 64 threads)", many, stock[64], callers(server, 64))
    yield _line("256 callers (peer: its best)", many, best, callers(server, 256))
    yield _line("64 callers with command ids", many, stock[64], callers(server, 64, with_command=True))
    yield _line("64 threads, blocking", many, stock[64], blocking_callers(server, 64))
    yield _line("learned from below, 500 a job", many, best, learning(server, 500))


def _line(path: str, limit: Rate, peer: Rate, ours: Rate) -> Line:
    return Line(path, limit.per_s, peer.per_s, ours.per_s, ours.p99_ms, peer.p99_ms)


def raw_inserts(server: PostgresServer, rows: int) -> Rate:
    """Rows into the same table with the same indexes, by one connection, without head, versions or answers."""
    with psycopg.connect(database(server), autocommit=True) as conn, conn.cursor(binary=True) as cursor:
        last = 0

        def insert() -> int:
            nonlocal last
            numbers = list(range(last, last + rows))
            last += rows
            stream = [_uuid()] * rows
            columns = ([1] * rows, numbers, [0] * rows, stream, numbers, [TOPIC] * rows, stream)
            cursor.execute(_RAW, (numbers, *columns, [BODY] * rows, [BODY[:32]] * rows, [last] * rows), prepare=True)
            return rows

        return rate([insert])


def stock_recorder(server: PostgresServer, threads: int) -> Rate:
    """The library's PostgreSQL recorder with a connection a thread (64 threads share 16), one event a call."""
    known = conninfo_to_dict(database(server))
    env = {f"POSTGRES_{key.upper()}": str(known[key]) for key in ("dbname", "host", "port", "user")}
    env |= {"PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_PASSWORD": "x"}
    env |= {"POSTGRES_POOL_SIZE": str(min(threads, 16)), "POSTGRES_MAX_OVERFLOW": "0"}
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(env)
    recorder: ApplicationRecorder = factory.application_recorder()

    def worker() -> Callable[[], int]:
        stream, versions = _uuid(), itertools.count(1)

        def insert() -> int:
            recorder.insert_events([StoredEvent(stream, next(versions), TOPIC, BODY)])
            return 1

        return insert

    try:
        return rate([worker() for _ in range(threads)])
    finally:
        factory.close()


def callers(server: PostgresServer, count: int, *, with_command: bool = False) -> Rate:
    """Coroutines of one event loop that each append one event, wait until it is durable, and append the next."""
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)  # what uvicorn runs on
    with Writer(database(server), 1, _now_us) as writer, loop:
        return loop.run(_coroutines(writer, count, with_command))


async def _coroutines(writer: Writer, count: int, with_command: bool) -> Rate:
    waits: list[float] = []
    started = time.perf_counter()
    until = started + SECONDS

    async def caller() -> None:
        appends = _stream_of_appends(with_command)
        begin = time.perf_counter()
        while begin < until:
            await writer.append_async(next(appends))
            end = time.perf_counter()
            waits.append(end - begin)
            begin = end

    await asyncio.gather(*(caller() for _ in range(count)))
    return Rate(len(waits) / (time.perf_counter() - started), _p99_ms(waits))


def blocking_callers(server: PostgresServer, count: int) -> Rate:
    """The same from threads."""
    with Writer(database(server), 1, _now_us) as writer:

        def worker() -> Callable[[], int]:
            appends = _stream_of_appends(with_command=False)

            def append() -> int:
                writer.append(next(appends)).result()
                return 1

            return append

        return rate([worker() for _ in range(count)])


def learning(server: PostgresServer, rows: int) -> Rate:
    """Another node's events, a frame a transaction, as the inbox stores them after verifying."""
    with Writer(database(server), 1, _now_us) as writer:
        seqs = itertools.count()

        def frame(_: psycopg.Connection, intake: Intake) -> int:
            stream = _uuid()
            intake.learn(FROM_BELOW, [_learned(stream, next(seqs)) for _ in range(rows)])
            return rows

        return rate([lambda: writer.run(frame).result()])


def rate(workers: list[Callable[[], int]]) -> Rate:
    """Each worker in a thread of its own, over and over until the time is up; a worker returns how many it did."""
    waits: list[float] = []
    done: list[int] = []
    start = threading.Barrier(len(workers) + 1)

    def work(once: Callable[[], int]) -> None:
        start.wait()
        begin = time.perf_counter()
        until = begin + SECONDS
        while begin < until:
            done.append(once())
            end = time.perf_counter()
            waits.append(end - begin)
            begin = end

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return Rate(sum(done) / (time.perf_counter() - started), _p99_ms(waits))


def _p99_ms(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100] * 1_000


def _stream_of_appends(with_command: bool) -> Iterator[Append]:
    """One caller's work: one event after the other in a stream of its own."""
    stream = _uuid()
    for version in itertools.count(1):
        events = [NewEvent(stream, version, TOPIC, stream, BODY)]
        yield Append(events, _uuid(), BODY[:32], b"ok") if with_command else Append(events)


def _learned(stream: UUID, seq: int) -> Learned:
    return Learned(2, seq, stream, seq, TOPIC, stream, BODY, BODY[:32])


def _uuid() -> UUID:
    """Growing as UUIDv7 do, and cheap, so that the generator is not what is measured."""
    return UUID(int=next(_ids) << 64)


def _now_us() -> int:
    return time.time_ns() // 1_000


def database(server: PostgresServer) -> str:
    """The DSN of a fresh, empty ledger; a checkpoint first, so that no line pays for the one before."""
    name = f"append_{next(_databases)}"
    server.create_database(name)
    migrate(server.dsn(name))
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute("checkpoint")
    return server.dsn(name)
