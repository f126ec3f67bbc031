import random
import threading
import time
from collections.abc import Sequence

import psycopg
import pytest

from projections import following
from projections import runner as running
from projections.case_fold import Cases
from projections.duty_fold import Duties
from projections.following import LedgerGap, positions
from projections.projection import Fact, LedgerRow, Projection
from projections.rebuild import check
from projections.runner import Runner
from projections.store import Store
from projections.views_postgres import PostgresViews
from tests.projections.conftest import ALL, Follow
from tests.projections.stories import OFFICE, WATER, Ledger, Story, a_busy_office


class Killed(Cases):
    """A projection whose database connection dies, again and again, after it has written and before it commits."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        super().fold(batch, store)
        store.flush()
        if self._chance.random() < 0.4:
            store.views.conn.execute("select pg_terminate_backend(pg_backend_pid())")


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_into_batches_and_any_kill_leaves_the_rows_of_a_rebuild(
    database: str, ledger: Ledger, conn: psycopg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    told = a_busy_office(chance, cases=40)
    last = ledger.append(told)

    def read_some(pos: int, limit: int) -> Sequence[LedgerRow]:
        return ledger.read(pos, chance.randint(1, 60))

    killed = Runner(
        lambda: psycopg.connect(database, autocommit=True),
        read_some,
        ledger.wait_beyond,
        [Killed(chance) if projection.name == "cases" else projection for projection in ALL],
    )
    kills = 0
    while positions_of(conn) < last:
        try:
            killed.step()
        except psycopg.OperationalError:
            kills += 1
            killed.close()
    killed.close()
    assert kills > 0
    for projection in ALL:
        checked = check(PostgresViews(conn), ledger.read, projection)
        assert (checked.pos, checked.difference) == (last, None)


def positions_of(conn: psycopg.Connection) -> int:
    try:
        return min(positions(PostgresViews(conn), ALL).values())
    except psycopg.errors.UndefinedTable:
        return 0


def test_two_runners_at_once_fold_every_event_once(database: str, ledger: Ledger, conn: psycopg.Connection) -> None:
    last = ledger.append(a_busy_office(random.Random(7), cases=60))
    lock = threading.Lock()

    def read(pos: int, limit: int) -> Sequence[LedgerRow]:
        with lock:
            return ledger.read(pos, 20)

    def follow_to_the_end() -> None:
        one = Runner(lambda: psycopg.connect(database, autocommit=True), read, ledger.wait_beyond, ALL)
        while one.step():
            pass
        one.close()

    threads = [threading.Thread(target=follow_to_the_end) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [check(PostgresViews(conn), ledger.read, projection).difference for projection in ALL] == [None for _ in ALL]
    assert set(positions(PostgresViews(conn), ALL).values()) == {last}


def test_a_command_is_read_back_within_milliseconds_of_its_commit(ledger: Ledger, database: str) -> None:
    grown = threading.Condition()

    def wait_beyond(pos: int, timeout_s: float) -> int:
        with grown:
            grown.wait(timeout_s)
        return pos

    stop = threading.Event()
    follower = Runner(lambda: psycopg.connect(database, autocommit=True), ledger.read, wait_beyond, ALL)
    follower.prepare()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    waits = []
    for number in range(20):
        time.sleep(0.01)
        pos = ledger.append(Story(f"case {number}").registered().take())
        started = time.perf_counter()
        with grown:
            grown.notify_all()
        assert follower.wait_for(pos, timeout_s=60)
        waits.append(time.perf_counter() - started)
    stop.set()
    with grown:
        grown.notify_all()
    thread.join()
    assert sorted(waits)[10] < running.IDLE_S / 2, "woken, and not by its own look; about 4 ms on a quiet machine"


def test_waiting_for_what_never_comes_ends_with_the_timeout(runner: Runner) -> None:
    assert not runner.wait_for(1, timeout_s=0.01)


def test_a_gap_in_the_ledger_stops_the_runner_by_name(ledger: Ledger, runner: Runner) -> None:
    ledger.append(Story("a").registered().take())
    ledger.conn.execute("delete from ledger where pos = 1")
    with pytest.raises(LedgerGap):
        runner.step()


def test_a_batch_keeps_its_bound_in_bytes_and_always_moves(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append(Story("a").registered().accepted(1, OFFICE).take())
    monkeypatch.setattr(following, "BATCH_BYTES", 10)
    assert [row.pos for row in following.batch_after(ledger.read, 0)] == [1]
    monkeypatch.setattr(following, "BATCH_BYTES", 1_000_000)
    assert [row.pos for row in following.batch_after(ledger.read, 0)] == [1, 2, 3]


def test_a_projection_added_later_catches_up_from_the_start_without_touching_the_others(
    database: str, ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    follow(Story("a").registered().handed_over(1, OFFICE, WATER))
    before = conn.execute("select * from views.case_file").fetchall()
    extra = Named()
    later = Runner(lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, [*ALL, extra])
    assert later.step() == 3
    later.close()
    assert (extra.seen, conn.execute("select * from views.case_file").fetchall()) == ([1, 2, 3], before)


class Named(Cases):
    """A second projection, without tables of its own."""

    name = "added later"
    tables = ()
    other_tables = ()

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        self.seen += [fact.pos for fact in batch]


_: Projection = Named()


class Later(Duties):
    """The same tables, folded by a newer program that counts otherwise."""

    edition = Duties.edition + 1


def test_a_view_that_a_newer_program_folds_otherwise_is_made_anew_and_the_others_stay(
    database: str, ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    follow(Story("a").registered().accepted(1, OFFICE))
    conn.execute("alter table views.duty drop column due_us")
    newer = Runner(
        lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, [ALL[0], Later()]
    )
    newer.prepare()
    assert positions(PostgresViews(conn), ALL)["duties"] == 0
    assert positions(PostgresViews(conn), ALL)["cases"] == positions(PostgresViews(conn), ALL)["board"] > 0
    while newer.step():
        pass
    newer.close()
    assert check(PostgresViews(conn), ledger.read, Later()).difference is None
    assert conn.execute("select count(*) from views.duty where due_us > 0").fetchone() != (0,)


def test_why_the_views_stand_still_is_told_and_shown_without_the_words_of_the_error(
    database: str, ledger: Ledger, conn: psycopg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    stop, told = threading.Event(), list[tuple[str, int]]()

    def read(pos: int, limit: int) -> Sequence[LedgerRow]:
        raise psycopg.ProgrammingError("DETAIL: Failing row contains (410221-2026-17)")

    def on_trouble(reason: str, pos: int, error: Exception) -> None:
        told.append((reason, pos))
        stop.set()

    runner = Runner(lambda: psycopg.connect(database, autocommit=True), read, ledger.wait_beyond, ALL, on_trouble)
    runner.run(stop)
    assert told == [("ProgrammingError", 0)]
    assert {progress.failure for progress in runner.progress(conn)} == {"ProgrammingError"}
    assert capfd.readouterr() == ("", "")
