import random
from collections.abc import Sequence

import msgspec
import psycopg
import pytest

from projections import cases, rebuild
from projections.cases import CaseFilter
from projections.duty_fold import DUTY, Duties
from projections.following import positions
from projections.pages_ahead import ahead
from projections.projection import Fact
from projections.rebuild import Pages, check, in_turn, switch
from projections.runner import Runner
from projections.store import Store
from projections.tables_postgres import BESIDE
from projections.views import RebuildBusy
from projections.views_postgres import PostgresViews
from tests.projections.conftest import ALL, AUTHORITY, CASES, DUTIES, Follow
from tests.projections.stories import OFFICE, Ledger, Story, a_busy_office


@pytest.fixture
def busy(ledger: Ledger, runner: Runner) -> int:
    """A ledger of some hundred events that the live projections have read; its last position."""
    last = ledger.append(a_busy_office(random.Random(3), cases=80))
    while runner.step():
        pass
    return last


@pytest.mark.parametrize("pages", [in_turn, ahead])
@pytest.mark.parametrize("memory_rows", [1, 50, 1_000_000])
def test_a_rebuild_of_any_memory_size_equals_the_live_one(
    busy: int, ledger: Ledger, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, memory_rows: int, pages: Pages
) -> None:
    monkeypatch.setattr(rebuild, "PAGE_EVENTS", 37)
    monkeypatch.setattr(rebuild, "MEMORY_ROWS", memory_rows)
    for projection in ALL:
        assert check(PostgresViews(conn), ledger.read, projection, pages).difference is None
    assert conn.execute("select to_regnamespace(%s)", (BESIDE,)).fetchone() == (None,)


def test_check_names_the_first_row_that_differs(busy: int, ledger: Ledger, conn: psycopg.Connection) -> None:
    row = conn.execute("select case_id from views.case_file order by case_id limit 1").fetchone()
    conn.execute("update views.case_file set status = 'closed' where case_id = %s", row)
    difference = check(PostgresViews(conn), ledger.read, CASES).difference
    assert difference is not None
    assert difference.table == "case_file"
    assert difference.live is not None
    assert '"status": "closed"' in difference.live
    assert row is not None
    assert str(row[0]) in (difference.rebuilt or "")


def test_a_row_that_only_the_live_one_has_is_a_difference(busy: int, ledger: Ledger, conn: psycopg.Connection) -> None:
    conn.execute("delete from views.claim where ctid = (select min(ctid) from views.claim)")
    difference = check(PostgresViews(conn), ledger.read, CASES).difference
    assert difference is not None
    assert (difference.table, difference.live) == ("claim", None)


def test_switching_mends_the_live_tables_and_following_goes_on(
    busy: int, ledger: Ledger, conn: psycopg.Connection, follow: Follow
) -> None:
    before = cases.count(conn, CaseFilter())
    conn.execute("truncate views.case_file")
    assert switch(PostgresViews(conn), ledger.read, CASES).pos == busy
    assert cases.count(conn, CaseFilter()) == before
    follow(Story("after").registered().accepted(1, OFFICE))
    assert cases.count(conn, CaseFilter()) == before + 1
    assert check(PostgresViews(conn), ledger.read, CASES).difference is None


def test_a_switched_table_keeps_every_index(busy: int, ledger: Ledger, conn: psycopg.Connection) -> None:
    query = "select indexname, replace(indexdef, 'views.', '') from pg_indexes where schemaname = 'views' order by 1"
    before = conn.execute(query).fetchall()
    for projection in ALL:
        switch(PostgresViews(conn), ledger.read, projection)
    assert conn.execute(query).fetchall() == before


def test_events_that_come_during_a_rebuild_are_in_it(
    busy: int, ledger: Ledger, conn: psycopg.Connection, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = rebuild.build
    stories = iter([Story("meanwhile").registered(), Story("later").registered()])

    def build_while_the_node_works(*args: object) -> None:
        built(*args)  # type: ignore[arg-type]
        follow(next(stories))

    monkeypatch.setattr(rebuild, "build", build_while_the_node_works)
    checked = check(PostgresViews(conn), ledger.read, CASES)
    assert (checked.pos, checked.difference) == (busy + 2, None)
    assert switch(PostgresViews(conn), ledger.read, CASES).pos == positions(PostgresViews(conn), ALL)[CASES.name]


def test_two_rebuilds_at_once_do_not_mix(busy: int, ledger: Ledger, conn: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("select pg_advisory_lock(hashtext('huiyin.rebuild'))")
        with pytest.raises(RebuildBusy):
            check(PostgresViews(conn), ledger.read, CASES)
        other.execute("select pg_advisory_unlock(hashtext('huiyin.rebuild'))")
    assert check(PostgresViews(conn), ledger.read, CASES).difference is None


def test_a_switch_may_run_ahead_of_the_live_position_and_the_runner_goes_on_from_there(
    ledger: Ledger, conn: psycopg.Connection, follow: Follow
) -> None:
    last = ledger.append(a_busy_office(random.Random(5), cases=20))
    assert switch(PostgresViews(conn), ledger.read, AUTHORITY).pos == last
    assert switch(PostgresViews(conn), ledger.read, DUTIES).pos == last
    follow(Story("after").registered().accepted(1, OFFICE))
    assert set(positions(PostgresViews(conn), ALL).values()) == {last + 3}
    assert [check(PostgresViews(conn), ledger.read, projection).difference for projection in ALL] == [None] * len(ALL)


def test_what_a_broken_rebuild_left_behind_does_not_stop_the_next(
    busy: int, ledger: Ledger, conn: psycopg.Connection
) -> None:
    rebuild.build(PostgresViews(conn), ledger.read, CASES)
    assert check(PostgresViews(conn), ledger.read, CASES).difference is None


class Doubling(Duties):
    """A fold with a mistake: an acceptance of this number leaves a clock's row twice."""

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        super().fold(batch, store)
        if any(getattr(fact.event, "number", "") == "poison" for fact in batch):
            store.rows(DUTY).add(msgspec.structs.replace(store.rows(DUTY).every()[-1]))


def test_two_rows_of_one_key_park_their_event_in_a_rebuild_as_they_do_live(
    database: str, ledger: Ledger, conn: psycopg.Connection
) -> None:
    views = [*ALL[:2], Doubling(), *ALL[3:]]
    ledger.append(Story("good").registered().accepted(1, OFFICE).take())
    ledger.append(Story("bad").registered().accepted(1, OFFICE, number="poison").take())
    runner = Runner(lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, views)
    while runner.step():
        pass
    runner.close()
    assert [(each.projection, each.pos) for each in PostgresViews(conn).parked()] == [("duties", 6)]
    assert [check(PostgresViews(conn), ledger.read, view).difference for view in views] == [None] * len(views)
