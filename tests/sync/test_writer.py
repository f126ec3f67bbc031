import asyncio
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Queue
from uuid import UUID, uuid4

import psycopg
import pytest

from gateway.hosting.postgres_server import SMALL_OFFICE, PostgresServer
from sync.ledger.append import (
    Append,
    Appended,
    BodyTooLarge,
    Busy,
    CommandReused,
    Fenced,
    Learned,
    LedgerError,
    LedgerUnavailable,
    NewEvent,
    StaleVersion,
    WriterClosed,
)
from sync.ledger.connections import ANSWER_S
from sync.ledger.database import Intake
from sync.ledger.database_postgres import _TAKE_UP_AGAIN
from sync.ledger.migrations import migrate
from sync.ledger.reader import Reader
from sync.ledger.rows import FROM_BELOW, Row
from sync.ledger.writer import Writer
from tests.sync.postgres_acts import Sql
from tests.sync.proxy import Cut, CuttingProxy, terminate_writer

LIMIT_S = 20


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def writer(database: str) -> Iterator[Writer]:
    with Writer(database, 1, now_us) as running:
        yield running


@pytest.fixture
def reader(database: str) -> Iterator[Reader]:
    running = Reader(database)
    yield running
    running.close()


def event(stream: UUID, version: int, body: bytes = b"{}", case_id: UUID | None = None) -> NewEvent:
    return NewEvent(stream, version, "leg.opened.v0", case_id, body)


def one(stream: UUID | None = None, version: int = 1) -> Append:
    return Append([event(stream or uuid4(), version)])


def learned(log_id: int, seq: int, body: bytes = b"{}") -> Learned:
    leaf = hashlib.sha256(b"\x00" + body).digest()
    return Learned(log_id, seq, uuid4(), 7, "leg.opened.v0", None, body, leaf)


def held_up(writer: Writer) -> threading.Event:
    """Keeps the writer busy until the event is set, so that what is appended meanwhile goes in one batch."""
    release = threading.Event()
    writer.run(lambda *_: release.wait(LIMIT_S))
    time.sleep(0.05)
    return release


def outcome(future: "Future[Appended]") -> Appended | Exception:
    try:
        return future.result(LIMIT_S)
    except (LedgerError, psycopg.Error) as refusal:
        return refusal


def assert_whole(rows: list[Row]) -> None:
    """Positions and own leaf indexes without gap, clocks not running backwards, leaves that are the bodies' own."""
    assert [row.pos for row in rows] == list(range(1, len(rows) + 1))
    own = [row.seq for row in rows if row.via == 0]
    assert own == list(range(len(own)))
    clocks = [row.known_us for row in rows]
    assert clocks == sorted(clocks)
    assert all(row.leaf == hashlib.sha256(b"\x00" + row.body).digest() for row in rows)


def test_what_was_appended_can_be_read_by_position_and_by_case(writer: Writer, reader: Reader) -> None:
    leg, case = uuid4(), uuid4()
    answer = writer.append(Append([event(leg, 1, b"{1}", case), event(leg, 2, b"{2}")], result=b"ok")).result(LIMIT_S)
    assert answer == Appended(range(1, 3), range(2), b"ok")
    first, second = reader.read(0, 10)
    assert (first.body, first.case_id, first.via, first.topic) == (b"{1}", case, 0, "leg.opened.v0")
    assert reader.read_case(case) == [first]
    assert reader.head()[1:3] == (2, 2)
    assert_whole([first, second])


def test_only_the_stale_append_of_a_batch_is_refused(writer: Writer, reader: Reader) -> None:
    leg = uuid4()
    release = held_up(writer)
    futures = [writer.append(append) for append in (one(leg), one(leg), one(leg, 2), one())]
    release.set()
    kinds = [type(outcome(future)) for future in futures]
    assert kinds == [Appended, StaleVersion, Appended, Appended]
    assert_whole(reader.read(0, 10))


def test_a_writer_that_does_not_know_a_stream_finds_its_version(database: str, writer: Writer) -> None:
    leg = uuid4()
    writer.append(one(leg)).result(LIMIT_S)
    with Writer(database, 1, now_us) as fresh:
        kinds = [type(outcome(fresh.append(one(leg, version)))) for version in (3, 1, 2)]
    assert kinds == [StaleVersion, StaleVersion, Appended]


def test_a_repeated_command_gets_the_first_answer_even_from_another_writer(database: str, writer: Writer) -> None:
    command = Append([event(uuid4(), 1), event(uuid4(), 1)], uuid4(), b"digest", b"first")
    first = writer.append(command).result(LIMIT_S)
    again = Appended(first.positions, first.seqs, b"first", repeated=True)
    assert writer.append(command).result(LIMIT_S) == again
    with Writer(database, 1, now_us) as fresh:
        assert fresh.append(command).result(LIMIT_S) == again


def test_a_command_id_used_for_another_command_is_refused(writer: Writer) -> None:
    command_id = uuid4()
    writer.append(Append([event(uuid4(), 1)], command_id, b"one")).result(LIMIT_S)
    with pytest.raises(CommandReused):
        writer.append(Append([event(uuid4(), 1)], command_id, b"two")).result(LIMIT_S)


def test_a_command_without_events_is_remembered_too(writer: Writer, reader: Reader) -> None:
    command = Append([], uuid4(), b"digest", b"nothing to do")
    assert writer.append(command).result(LIMIT_S).repeated is False
    assert writer.append(command).result(LIMIT_S).result == b"nothing to do"
    assert reader.head().pos == 0


def test_what_stands_beside_commits_with_its_append_and_fails_only_its_append(writer: Writer, database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("create table sealed (id int primary key)")
    release = held_up(writer)
    beside = [Sql("insert into sealed values (%s)", (1,)), Sql("insert into sealed values (%s)", (2,))]
    futures = [
        writer.append(append)
        for append in (
            one(),
            Append([event(uuid4(), 1)], beside=beside),
            Append([event(uuid4(), 1)], beside=beside),
            one(),
        )
    ]
    release.set()
    kinds = [type(outcome(future)) for future in futures]
    assert kinds == [Appended, Appended, psycopg.errors.UniqueViolation, Appended]
    with psycopg.connect(database) as conn:
        assert conn.execute(
            "select array_agg(id order by id), (select max(pos) from ledger) from sealed"
        ).fetchone() == (
            [1, 2],
            3,
        )


def test_statements_alone_are_executed_too(writer: Writer, database: str) -> None:
    beside = [Sql("create table noted (n int)")]
    assert writer.append(Append([], beside=beside)).result(LIMIT_S).positions == range(1, 1)
    with psycopg.connect(database) as conn:
        assert conn.execute("select to_regclass('noted') is null").fetchone() == (False,)


def test_an_event_the_database_refuses_does_not_harm_its_neighbours(writer: Writer) -> None:
    release = held_up(writer)
    bad = Append([NewEvent(uuid4(), 1, "leg\x00", None, b"{}")])
    futures = [writer.append(append) for append in (one(), bad, one(), one())]
    release.set()
    outcomes = [outcome(future) for future in futures]
    assert [isinstance(each, Appended) for each in outcomes] == [True, False, True, True]


def test_an_event_above_the_limit_is_refused_at_once(writer: Writer) -> None:
    assert writer.append(Append([event(uuid4(), 1, b"x" * 65_535)])).result(LIMIT_S).positions == range(1, 2)
    with pytest.raises(BodyTooLarge):
        writer.append(Append([event(uuid4(), 1, b"x" * 65_536)]))


def test_a_full_queue_pushes_back_and_recovers(database: str) -> None:
    with Writer(database, 1, now_us, queue_bytes=2_000) as writer:
        release = held_up(writer)
        futures = [writer.append(one()) for _ in range(7)]
        with pytest.raises(Busy) as busy:
            writer.append(one())
        assert busy.value.retry_s > 0
        release.set()
        assert all(isinstance(outcome(future), Appended) for future in futures)
        assert writer.append(one()).result(LIMIT_S)


def test_a_second_writer_fences_the_first(database: str, writer: Writer, reader: Reader) -> None:
    writer.append(one()).result(LIMIT_S)
    with Writer(database, 1, now_us) as second:
        with pytest.raises(Fenced):
            writer.append(one()).result(LIMIT_S)
        with pytest.raises(Fenced):
            writer.append(one())
        assert second.append(one()).result(LIMIT_S).positions == range(2, 3)
    assert_whole(reader.read(0, 10))


def test_an_idle_writer_learns_that_it_was_fenced_and_tells(database: str) -> None:
    told: Queue[BaseException] = Queue()
    with Writer(database, 1, now_us, on_failure=told.put), Writer(database, 1, now_us) as second:
        assert isinstance(told.get(timeout=LIMIT_S), Fenced)
        assert second.append(one()).result(LIMIT_S)


def test_a_fenced_writer_can_run_no_job_either(database: str, writer: Writer) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("create table said (word text)")
    with Writer(database, 1, now_us), pytest.raises(Fenced):
        writer.run(lambda conn, _: conn.execute("insert into said values ('mine')")).result(LIMIT_S)
    with psycopg.connect(database) as conn:
        assert conn.execute("select count(*) from said").fetchone() == (0,)


def test_many_coroutines_are_answered_each_with_its_own_positions(writer: Writer, reader: Reader) -> None:
    async def everyone() -> list[Appended]:
        return await asyncio.gather(*(writer.append_async(one()) for _ in range(300)))

    answers = asyncio.run(everyone())
    assert sorted(answer.positions[0] for answer in answers) == list(range(1, 301))
    assert_whole(reader.read(0, 1000))


def test_a_coroutine_is_refused_by_its_own_exception(writer: Writer) -> None:
    async def twice(leg: UUID) -> list[Appended | BaseException]:
        return await asyncio.gather(*(writer.append_async(one(leg)) for _ in range(2)), return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(twice(uuid4()))] == [Appended, StaleVersion]


def test_a_clock_that_steps_back_is_held(database: str, reader: Reader) -> None:
    clock = iter([500, 400, 600])
    with Writer(database, 1, lambda: next(clock)) as writer:
        for _ in range(3):
            writer.append(one()).result(LIMIT_S)
    assert [row.known_us for row in reader.read(0, 10)] == [500, 500, 600]


def test_a_job_learns_foreign_events_at_the_next_positions(writer: Writer, reader: Reader) -> None:
    writer.append(one()).result(LIMIT_S)

    def job(_: psycopg.Connection, intake: Intake) -> tuple[range, range]:
        return intake.learn(FROM_BELOW, [learned(2, 0), learned(2, 1)]), intake.learn(FROM_BELOW, [learned(3, 0)])

    assert writer.run(job).result(LIMIT_S) == (range(2, 4), range(4, 5))
    assert writer.append(one()).result(LIMIT_S) == Appended(range(5, 6), range(1, 2), b"")
    rows = reader.read(0, 10)
    assert [(row.log_id, row.seq, row.via) for row in rows] == [(1, 0, 0), (2, 0, 1), (2, 1, 1), (3, 0, 1), (1, 1, 0)]
    assert_whole(rows)


def test_a_job_that_raises_leaves_nothing_and_harms_nobody(writer: Writer, reader: Reader) -> None:
    def job(_: psycopg.Connection, intake: Intake) -> None:
        intake.learn(FROM_BELOW, [learned(2, 0)])
        raise KeyError("no such author")

    failing = writer.run(job)
    with pytest.raises(KeyError):
        failing.result(LIMIT_S)
    assert writer.append(one()).result(LIMIT_S).positions == range(1, 2)
    assert_whole(reader.read(0, 10))


def test_a_lazy_job_does_not_wait_for_the_disk_and_the_next_append_does(writer: Writer) -> None:
    def setting(conn: psycopg.Connection, _: Intake) -> object:
        return conn.execute("show synchronous_commit").fetchone()

    assert writer.run(setting, lazy=True).result(LIMIT_S) == ("off",)
    assert writer.run(setting).result(LIMIT_S) == ("on",)


def test_a_closed_writer_has_written_what_waited_and_takes_no_more(database: str, reader: Reader) -> None:
    with Writer(database, 1, now_us) as writer:
        futures = [writer.append(one()) for _ in range(50)]
    assert all(future.done() for future in futures)
    assert reader.head().pos == 50
    with pytest.raises(WriterClosed):
        writer.append(one())


def test_a_reader_sleeps_until_the_writer_of_its_process_commits(database: str, writer: Writer) -> None:
    reader = Reader(database, writer.tip)
    assert reader.wait_beyond(0, 0.01) == 0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.wait_beyond, 0, LIMIT_S)
        writer.append(one()).result(LIMIT_S)
        assert waiting.result(LIMIT_S) == 1
    reader.close()


def test_a_reader_in_another_process_sees_the_commit_too(writer: Writer, reader: Reader) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.wait_beyond, 0, LIMIT_S)
        writer.append(one()).result(LIMIT_S)
        assert waiting.result(LIMIT_S) == 1


def test_a_tailing_reader_misses_nothing_under_four_writing_threads(writer: Writer, reader: Reader) -> None:
    seen: list[Row] = []
    done = threading.Event()

    def tail() -> None:
        while not (done.is_set() and reader.head().pos == len(seen)):
            seen.extend(reader.read(seen[-1].pos if seen else 0, 500))

    def write(size: int) -> None:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            writer.append(Append([event(uuid4(), 1) for _ in range(size)])).result(LIMIT_S)

    with ThreadPoolExecutor(5) as pool:
        tailing = pool.submit(tail)
        for written in [pool.submit(write, size) for size in (1, 1, 20, 200)]:
            written.result(LIMIT_S)
        done.set()
        tailing.result(LIMIT_S)
    assert len(seen) > 1000
    assert_whole(seen)


@pytest.fixture
def proxy(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CuttingProxy]:
    running = CuttingProxy(database, tmp_path_factory.mktemp("x"))
    yield running
    running.close()


Work = Callable[[Writer], object]


def appended(writer: Writer) -> object:
    return writer.append(Append([event(uuid4(), 1)], uuid4(), b"digest")).result(LIMIT_S).positions


def appended_beside(writer: Writer) -> object:
    create = "create table if not exists aside (n int)"
    return writer.append(Append([event(uuid4(), 1)], beside=[Sql(create)])).result(LIMIT_S).positions


def ran(writer: Writer) -> object:
    return writer.run(lambda _, intake: intake.learn(FROM_BELOW, [learned(2, 0)])).result(LIMIT_S)


@pytest.mark.parametrize("what", ["request", "reply"])
@pytest.mark.parametrize("work", [appended, appended_beside, ran])
def test_a_connection_cut_in_the_middle_of_work_records_it_once(
    proxy: CuttingProxy, reader: Reader, what: Cut, work: Work
) -> None:
    with Writer(proxy.dsn, 1, now_us) as writer:
        writer.append(one()).result(LIMIT_S)
        proxy.cut(what)
        assert work(writer) == range(2, 3)
        assert writer.append(one()).result(LIMIT_S).positions == range(3, 4)
    assert_whole(reader.read(0, 10))


@pytest.mark.parametrize(("what", "runs_due"), [("request", 2), ("reply", 1)])
def test_a_connection_cut_at_a_jobs_commit_records_it_once(
    proxy: CuttingProxy, reader: Reader, what: Cut, runs_due: int
) -> None:
    runs: list[range] = []

    def job(_: psycopg.Connection, intake: Intake) -> range:
        positions = intake.learn(FROM_BELOW, [learned(2, 0)])
        if not runs:
            proxy.cut(what, after=1)  # the writer's own last statement passes, its commit does not
        runs.append(positions)
        return positions

    with Writer(proxy.dsn, 1, now_us) as writer:
        assert writer.run(job).result(LIMIT_S) == range(1, 2)
    assert len(runs) == runs_due
    assert_whole(reader.read(0, 10))


def test_a_writer_that_did_not_hear_that_it_took_up_its_place_again_is_not_fenced(
    proxy: CuttingProxy, database: str, reader: Reader
) -> None:
    with Writer(proxy.dsn, 1, now_us) as writer:
        writer.append(one()).result(LIMIT_S)
        terminate_writer(database)
        time.sleep(0.1)
        proxy.cut("reply", after=2)  # its greeting and its settings pass, its place in the ledger does not
        assert writer.append(one()).result(LIMIT_S).positions == range(2, 3)
    assert_whole(reader.read(0, 10))


def test_a_late_attempt_to_take_up_the_place_again_changes_nothing(database: str, writer: Writer) -> None:
    terminate_writer(database)
    writer.append(one()).result(LIMIT_S)
    with psycopg.connect(database, autocommit=True) as conn:
        (epoch,) = conn.execute("select epoch from head").fetchone() or (0,)
        late = conn.execute(_TAKE_UP_AGAIN, (epoch, writer._database._mark, epoch), binary=True)
        assert late.rowcount == 0
    assert writer.append(one()).result(LIMIT_S).positions == range(2, 3)


def test_a_database_that_accepts_and_says_nothing_holds_callers_no_longer_than_promised(
    proxy: CuttingProxy, database: str
) -> None:
    with Writer(proxy.dsn, 1, now_us) as writer:
        writer.append(one()).result(LIMIT_S)
        proxy.fall_silent()
        terminate_writer(database)
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            writer.append(one()).result(LIMIT_S)
        assert time.monotonic() - began < 2 * ANSWER_S + 1


def test_refusals_before_a_cut_do_not_hide_that_it_was_recorded(proxy: CuttingProxy, reader: Reader) -> None:
    leg = uuid4()
    with Writer(proxy.dsn, 1, now_us) as writer:
        writer.append(one(leg)).result(LIMIT_S)
        for _ in range(3):
            assert isinstance(outcome(writer.append(one(leg, 7))), StaleVersion)
        proxy.cut("reply")
        assert writer.append(one(leg, 2)).result(LIMIT_S).positions == range(2, 3)
    assert_whole(reader.read(0, 10))


def test_a_job_that_fails_after_losing_its_connection_fails_alone(writer: Writer, database: str) -> None:
    def job(conn: psycopg.Connection, _: Intake) -> None:
        terminate_writer(database)
        with suppress(psycopg.OperationalError):
            conn.execute("select 1")
        raise KeyError("no such author")

    failing = writer.run(job)
    with pytest.raises(KeyError):
        failing.result(LIMIT_S)
    assert writer.append(one()).result(LIMIT_S).positions == range(1, 2)


def test_a_terminated_backend_costs_no_append(database: str, writer: Writer, reader: Reader) -> None:
    stop = threading.Event()

    def write() -> int:
        count = 0
        while not stop.is_set():
            writer.append(one()).result(LIMIT_S)
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        counts = [pool.submit(write) for _ in range(8)]
        for _ in range(4):
            time.sleep(0.15)
            terminate_writer(database)
        stop.set()
        total = sum(count.result(LIMIT_S) for count in counts)
    rows = reader.read(0, 1_000_000)
    assert len(rows) == total
    assert_whole(rows)


def test_after_kill_of_the_server_every_acknowledged_append_is_there_once(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "pg", {**SMALL_OFFICE, "shared_buffers": "16MB"})
    server.start()
    migrate(server.dsn())
    acknowledged: list[int] = []
    stop = threading.Event()
    writer = Writer(server.dsn(), 1, now_us, reconnect_s=LIMIT_S)
    writer.start()

    def write() -> None:
        while not stop.is_set():
            with suppress(LedgerUnavailable):
                acknowledged.extend(writer.append(one()).result(LIMIT_S).positions)

    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(write) for _ in range(8)]
        for _ in range(2):
            time.sleep(0.4)
            os.kill(int((server.data / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGKILL)
            server.start()
        time.sleep(0.4)
        stop.set()
        for each in writing:
            each.result(LIMIT_S)
    writer.close()
    reader = Reader(server.dsn())
    rows = reader.read(0, 1_000_000)
    reader.close()
    server.stop()
    assert len(acknowledged) > 100
    assert sorted(acknowledged) == sorted(set(acknowledged))
    assert set(acknowledged) <= {row.pos for row in rows}
    assert_whole(rows)


def test_a_database_that_stays_away_is_reported_as_unknown_outcome(proxy: CuttingProxy) -> None:
    with Writer(proxy.dsn, 1, now_us, reconnect_s=0.2) as writer:
        writer.append(one()).result(LIMIT_S)
        proxy.close()
        proxy.cut("request")
        with pytest.raises(LedgerUnavailable):
            writer.append(one()).result(LIMIT_S)


def test_what_was_stored_unknown_to_its_caller_is_not_taken_for_what_comes_next(
    proxy: CuttingProxy, reader: Reader
) -> None:
    with Writer(proxy.dsn, 1, now_us, reconnect_s=0.2) as writer:
        writer.append(one()).result(LIMIT_S)
        proxy.close()
        proxy.cut("reply")
        stored = one()
        with pytest.raises(LedgerUnavailable):
            writer.append(stored).result(LIMIT_S)
        proxy.reopen()
        new = one()
        assert writer.append(new).result(LIMIT_S).positions == range(3, 4)
    assert [row.stream for row in reader.read(1, 10)] == [stored.events[0].stream, new.events[0].stream]
