from collections.abc import Iterator, Sequence
from uuid import UUID

import psycopg
import pytest

from domain import events
from projections import cases, following, retrying
from projections.case_fold import Cases
from projections.projection import Fact
from projections.rebuild import check, switch
from projections.retrying import NotParked
from projections.runner import Runner
from projections.store import Store
from projections.views_postgres import PostgresViews
from tests.projections.stories import OFFICE, WATER, Ledger, Story, an_id

ACCOUNT = an_id("operator")


class Choking(Cases):
    """A projection with a mistake: it cannot fold an event that carries this number, or lets the database say so."""

    is_mended = False
    statement = ""

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        if not self.is_mended and any(getattr(fact.event, "number", "") == "poison" for fact in batch):
            if self.statement:
                store.views.conn.execute(self.statement)
            raise ZeroDivisionError("cannot fold poison")
        super().fold(batch, store)


@pytest.fixture
def choking() -> Choking:
    return Choking()


@pytest.fixture
def follower(database: str, ledger: Ledger, choking: Choking) -> Iterator[Runner]:
    made = Runner(lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, [choking])
    yield made
    made.close()


@pytest.fixture
def poisoned(ledger: Ledger, follower: Runner) -> tuple[Story, list[Story]]:
    """A case whose acceptance cannot be folded, among forty others whose can; some of its life came later."""
    bad = Story("bad").registered().accepted(1, OFFICE, number="poison").handed_over(1, OFFICE, WATER)
    good = [Story(f"good {number}").registered().accepted(1, OFFICE) for number in range(40)]
    for number, story in enumerate([*good[:20], bad, *good[20:]]):
        ledger.append(story.take(), known_us=number)
    while follower.step():
        pass
    ledger.append(bad.opened(2, WATER, mode="transfer").take(), known_us=99)
    while follower.step():
        pass
    return bad, good


def status(conn: psycopg.Connection, case: UUID) -> str:
    row = cases.case(conn, case)
    assert row is not None
    return row.status


def test_a_poison_event_parks_its_case_with_all_that_follows_and_the_rest_flows(
    poisoned: tuple[Story, list[Story]], conn: psycopg.Connection
) -> None:
    bad, good = poisoned
    (waiting,) = PostgresViews(conn).parked()
    assert (waiting.key, waiting.topic, waiting.event_count) == (bad.case, "leg.accepted.v0", 3)
    assert (waiting.reason, waiting.since_us) == ("ZeroDivisionError: cannot fold poison", 20)
    assert status(conn, bad.case) == "registered"
    assert {status(conn, story.case) for story in good} == {"accepted"}


def test_a_mended_projection_takes_the_parked_case_in_by_retry(
    poisoned: tuple[Story, list[Story]], choking: Choking, ledger: Ledger, conn: psycopg.Connection
) -> None:
    bad, _ = poisoned
    still = retrying.retry(PostgresViews(conn), ledger.read, choking, bad.case)
    assert still is not None
    assert still.event_count == 3
    choking.is_mended = True
    assert retrying.retry(PostgresViews(conn), ledger.read, choking, bad.case) is None
    assert status(conn, bad.case) == "received"
    assert check(PostgresViews(conn), ledger.read, choking).difference is None


def test_skipping_leaves_out_one_event_for_good_and_rebuilds_remember_it(
    poisoned: tuple[Story, list[Story]], choking: Choking, ledger: Ledger, conn: psycopg.Connection
) -> None:
    bad, _ = poisoned
    assert retrying.skip(PostgresViews(conn), ledger.read, choking, bad.case, "agreed with the county", ACCOUNT) is None
    assert status(conn, bad.case) == "received"
    kept = conn.execute("select topic, reason, account from views.skipped").fetchall()
    assert kept == [("leg.accepted.v0", "agreed with the county", ACCOUNT)]
    choking.is_mended = True
    assert check(PostgresViews(conn), ledger.read, choking).difference is None


def test_retrying_or_skipping_what_is_not_parked_is_refused(
    poisoned: tuple[Story, list[Story]], choking: Choking, ledger: Ledger, conn: psycopg.Connection
) -> None:
    with pytest.raises(NotParked):
        retrying.retry(PostgresViews(conn), ledger.read, choking, an_id("nothing"))
    with pytest.raises(NotParked):
        retrying.skip(PostgresViews(conn), ledger.read, choking, an_id("nothing"), "why", ACCOUNT)


def test_a_rebuild_parks_what_the_live_one_parked(
    poisoned: tuple[Story, list[Story]], choking: Choking, ledger: Ledger, conn: psycopg.Connection
) -> None:
    before = PostgresViews(conn).parked()
    assert check(PostgresViews(conn), ledger.read, choking).difference is None
    switch(PostgresViews(conn), ledger.read, choking)
    assert PostgresViews(conn).parked() == before


def test_an_event_of_a_newer_version_waits_alone_and_the_case_goes_on(
    ledger: Ledger, follower: Runner, conn: psycopg.Connection
) -> None:
    story, other = Story("newer").registered(), Story("other").registered()
    newer = f'{{"type":"leg.imagined.v7","case":"{story.case}","stream":"{story.leg(1)}"}}'.encode()
    ledger.append([*story.take(), newer, *story.accepted(1, OFFICE).take(), *other.take()])
    while follower.step():
        pass
    (waiting,) = PostgresViews(conn).parked()
    assert (waiting.pos, waiting.reason, waiting.event_count) == (3, "unknown event type leg.imagined.v7", 1)
    assert (status(conn, story.case), status(conn, other.case)) == ("accepted", "registered")
    assert follower.progress(conn)[0].parked_keys == 1


def test_an_event_that_could_not_be_read_is_folded_in_its_place_after_the_upgrade(
    database: str, ledger: Ledger, choking: Choking, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follows() -> None:
        made = Runner(lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, [choking])
        made.prepare()
        while made.step():
            pass
        made.close()

    story = Story("newer").registered().handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    with monkeypatch.context() as older:
        older.setattr(events, "TAGS", events.TAGS - {"leg.handed_over.v0"})
        older.setattr(following, "TAGS", events.TAGS)
        older.setattr(choking, "topics", choking.topics - {"leg.handed_over.v0"})
        ledger.append(story.accepted(2, WATER).take())
        follows()
        assert [waiting.topic for waiting in PostgresViews(conn).parked()] == ["leg.handed_over.v0"]
    follows()
    assert PostgresViews(conn).parked() == []
    assert check(PostgresViews(conn), ledger.read, choking).difference is None


def test_bytes_that_are_no_event_hold_up_nothing_but_themselves(
    ledger: Ledger, follower: Runner, conn: psycopg.Connection
) -> None:
    story = Story("a").registered()
    ledger.append([b"\x00\xff", *story.take(), b"[" * 5_000])
    while follower.step():
        pass
    assert [(waiting.pos, waiting.event_count) for waiting in PostgresViews(conn).parked()] == [(1, 1), (4, 1)]
    assert status(conn, story.case) == "registered"


@pytest.mark.parametrize(
    ("refused", "reason"),
    [("select chr(0)", "null character"), ("select repeat('x', 1 << 30)", "requested length too large")],
)
def test_what_the_database_refuses_of_an_event_is_poison_too(
    ledger: Ledger, follower: Runner, choking: Choking, conn: psycopg.Connection, refused: str, reason: str
) -> None:
    choking.statement = refused
    bad, good = Story("bad").registered(number="poison"), Story("good").registered()
    ledger.append([*bad.take(), *good.take()])
    while follower.step():
        pass
    (waiting,) = PostgresViews(conn).parked()
    assert waiting.key == bad.case
    assert reason in waiting.reason
    assert status(conn, good.case) == "registered"
