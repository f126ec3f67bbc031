"""The judge of what has effect changes its mind, or cannot make it up: no view goes by anything else than its word."""

from collections.abc import Sequence

import psycopg
import pytest

from domain import authority as law
from domain import events
from projections import authority, retrying
from projections.authority import Authority
from projections.following import positions
from projections.projection import Fact
from projections.rebuild import check, switch
from projections.runner import Runner
from projections.store import Store
from projections.views_postgres import PostgresViews
from tests.projections.conftest import ALL, AUTHORITY, CASES, Follow
from tests.projections.stories import OFFICE, WATER, Ledger, Story, an_id

STRANGER = "410223000000.office"
ACCOUNT = an_id("operator")


class Undecided(Authority):
    """A judge with a mistake: it cannot judge an acceptance that carries this number, nor a take-over."""

    is_mended = False

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        poison = (
            isinstance(one.event, events.TakenOver) or getattr(one.event, "number", "") == "poison" for one in batch
        )
        if not self.is_mended and any(poison):
            raise ZeroDivisionError("cannot judge poison")
        super().fold(batch, store)


def a_case_that_a_stranger_withdraws(number: str = "受-1") -> Story:
    story = Story("told").registered(claims=2).handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    story.accepted(2, WATER, claims=(0, 1), number=number)
    story.tell(events.Withdrawn, STRANGER, an_id("withdrawn", by=STRANGER))
    return story


def everything_has_effect(standing: law.Standing, *_: object) -> tuple[law.Standing, bool]:
    return standing, True


def follow_anew(database: str, ledger: Ledger, judge: Authority) -> None:
    runner = Runner(
        lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, [judge, *ALL[1:]]
    )
    while runner.step():
        pass
    runner.close()


def statuses(conn: psycopg.Connection) -> list[str]:
    return [status for (status,) in conn.execute("select status from views.case_file order by status")]


def assert_every_view_is_as_if_built_anew(conn: psycopg.Connection, ledger: Ledger) -> None:
    assert [check(PostgresViews(conn), ledger.read, projection).difference for projection in ALL] == [None] * len(ALL)


def test_when_a_newer_program_judges_otherwise_every_view_is_made_anew(
    database: str, ledger: Ledger, follow: Follow, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(authority, "judged", everything_has_effect)
        follow(a_case_that_a_stranger_withdraws())
    assert statuses(conn) == ["withdrawn"]
    monkeypatch.setattr(Authority, "edition", Authority.edition + 1)
    follow_anew(database, ledger, Authority())
    assert statuses(conn) == ["accepted"]
    assert_every_view_is_as_if_built_anew(conn, ledger)


def test_a_view_switched_by_a_newer_program_does_not_go_by_the_older_ones_judgements(
    database: str, ledger: Ledger, follow: Follow, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(authority, "judged", everything_has_effect)
        follow(a_case_that_a_stranger_withdraws())
    monkeypatch.setattr(Authority, "edition", Authority.edition + 1)
    switch(PostgresViews(conn), ledger.read, CASES)
    follow_anew(database, ledger, Authority())
    assert statuses(conn) == ["accepted"]
    assert_every_view_is_as_if_built_anew(conn, ledger)


def test_a_judge_built_anew_that_judges_otherwise_has_the_other_views_made_anew(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as mistaken:
        mistaken.setattr(authority, "judged", everything_has_effect)
        follow(a_case_that_a_stranger_withdraws())
    switch(PostgresViews(conn), ledger.read, AUTHORITY)
    follow()
    assert statuses(conn) == ["accepted"]
    assert_every_view_is_as_if_built_anew(conn, ledger)


def test_a_judge_built_anew_that_judges_the_same_leaves_the_other_views_alone(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    follow(a_case_that_a_stranger_withdraws())
    before = positions(PostgresViews(conn), ALL)
    switch(PostgresViews(conn), ledger.read, AUTHORITY)
    assert positions(PostgresViews(conn), ALL) == before


def test_a_case_that_cannot_be_judged_waits_in_every_view_and_goes_on_in_all_when_it_can(
    database: str, ledger: Ledger, conn: psycopg.Connection
) -> None:
    judge = Undecided()
    story = a_case_that_a_stranger_withdraws("poison")
    ledger.append([*story.take(), *Story("other").registered().take()])
    follow_anew(database, ledger, judge)
    assert {(each.projection, each.key, each.event_count) for each in PostgresViews(conn).parked()} == {
        (projection.name, story.case, 2) for projection in ALL
    }
    assert statuses(conn) == ["received", "registered"]
    assert [check(PostgresViews(conn), ledger.read, view).difference for view in [judge, *ALL[1:]]] == [None] * len(ALL)
    still = retrying.retry(PostgresViews(conn), ledger.read, CASES, story.case)
    assert still is not None
    assert still.event_count == 2
    judge.is_mended = True
    assert retrying.retry(PostgresViews(conn), ledger.read, judge, story.case) is None
    assert PostgresViews(conn).parked() == []
    assert statuses(conn) == ["accepted", "registered"]
    assert_every_view_is_as_if_built_anew(conn, ledger)


def test_what_the_judge_was_told_to_leave_out_has_no_effect_in_any_view(
    database: str, ledger: Ledger, conn: psycopg.Connection
) -> None:
    story = a_case_that_a_stranger_withdraws("poison")
    ledger.append(story.take())
    follow_anew(database, ledger, Undecided())
    assert (
        retrying.skip(PostgresViews(conn), ledger.read, AUTHORITY, story.case, "agreed with the county", ACCOUNT)
        is None
    )
    assert PostgresViews(conn).parked() == []
    assert statuses(conn) == ["received"]
    assert_every_view_is_as_if_built_anew(conn, ledger)


def test_what_is_judged_late_undoes_in_every_view_what_was_folded_before(
    database: str, ledger: Ledger, conn: psycopg.Connection
) -> None:
    judge = Undecided()
    story = Story("judged late").registered().handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    seen = story.accepted(2, WATER).version_of(story.leg(2))
    story.closed(2, WATER)
    bureau = "410200000000.bureau"
    taken = an_id("taken", by=bureau)
    fields = {"leg_version": seen, "last_log": "x/410221000000/1", "last_size": 0}
    story.tell(events.TakenOver, bureau, taken, leg=story.leg(2), next_leg=taken, unit=bureau, **fields)
    ledger.append(story.take())
    follow_anew(database, ledger, judge)
    assert statuses(conn) == ["closed"]
    judge.is_mended = True

    assert retrying.retry(PostgresViews(conn), ledger.read, judge, story.case) is None

    assert statuses(conn) == ["received"]
    assert PostgresViews(conn).parked() == []
    assert_every_view_is_as_if_built_anew(conn, ledger)
