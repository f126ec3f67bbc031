from datetime import date

import psycopg
import pytest

from domain import events
from domain.bounds import EARLIEST, LATEST
from domain.clocks import DAY_US, day_start_us
from projections import cases, duties, retrying
from projections.duties import Duty
from projections.duty_fold import Duties
from projections.moment import Moment
from projections.rebuild import check
from projections.runner import Runner
from projections.views_postgres import PostgresViews
from tests.projections.conftest import Follow
from tests.projections.stories import BUREAU, HOUR_US, OFFICE, START_US, WATER, Ledger, Story, an_id

FAR_US = day_start_us(date(2040, 1, 1))


def at(as_of_us: int = FAR_US, pos: int = 1_000_000) -> Moment:
    return Moment(as_of_us=as_of_us, pos=pos)


def rules(found: list[Duty]) -> set[tuple[str, str | None]]:
    return {(duty.rule, duty.unit) for duty in found}


def test_a_unit_sees_its_own_clocks_and_those_of_the_cases_it_holds(follow: Follow, conn: psycopg.Connection) -> None:
    follow(Story("a").registered().accepted(1, OFFICE), Story("b").registered(unit=WATER))
    assert rules(duties.of_unit(conn, OFFICE, at())) == {("handle", OFFICE)}
    assert rules(duties.of_unit(conn, WATER, at())) == {("accept_notice_direct", WATER)}


def test_an_extension_that_names_a_claim_twice_extends_its_clock_once(
    follow: Follow, conn: psycopg.Connection, ledger: Ledger
) -> None:
    story = Story("a").registered().accepted(1, OFFICE)
    twice = (story.claim(0), story.claim(0))
    story.tell(events.Extended, OFFICE, story.leg(1), leg=story.leg(1), claims=twice, days=30)
    follow(story)
    assert conn.execute("select extra_days from views.duty where rule = 'handle' order by 1").fetchall() == [
        (0,),
        (30,),
    ]
    assert check(PostgresViews(conn), ledger.read, Duties()).difference is None


def test_the_clock_of_a_case_goes_with_whoever_holds_it(follow: Follow, conn: psycopg.Connection) -> None:
    story = Story("a").registered().accepted(1, OFFICE).handed_over(1, OFFICE, WATER)
    follow(story)
    (before,) = duties.of_unit(conn, OFFICE, at())
    follow(story.opened(2, WATER, mode="transfer"))
    assert duties.of_unit(conn, OFFICE, at()) == []
    after = next(duty for duty in duties.of_unit(conn, WATER, at()) if duty.rule == "handle")
    assert (after.subject, after.due_us) == (before.subject, before.due_us)


def test_colour_follows_the_moment_asked_and_not_the_row(follow: Follow, conn: psycopg.Connection) -> None:
    follow(Story("a").registered().accepted(1, OFFICE))
    (duty,) = duties.of_unit(conn, OFFICE, at())
    assert [duty.colour(now) for now in (duty.start_us, duty.soon_us, duty.due_us - 1, duty.due_us)] == [
        "green",
        "yellow",
        "yellow",
        "red",
    ]


def test_an_extension_moves_the_end_and_the_past_still_shows_the_old_one(
    follow: Follow, conn: psycopg.Connection
) -> None:
    story = Story("a").registered().accepted(1, OFFICE)
    follow(story)
    (before,) = duties.of_case(conn, story.case, at())
    story.now_us += 40 * DAY_US
    extended = story.tell(events.Extended, OFFICE, story.leg(1), leg=story.leg(1), days=30, claims=(story.claim(0),))
    follow(story)
    (after,) = duties.of_case(conn, story.case, at())
    assert (after.extra_days, after.start_us) == (30, before.start_us)
    assert (before.due_on, after.due_on) == (date(2026, 5, 6), date(2026, 6, 1))
    assert duties.of_case(conn, story.case, at(as_of_us=extended.occurred_us - 1)) == [before]
    assert duties.of_case(conn, story.case, at(pos=3)) == [before]


def test_what_was_learned_late_had_happened_but_was_not_known(follow: Follow, conn: psycopg.Connection) -> None:
    story = Story("a").registered().accepted(1, OFFICE)
    follow(story, Story("meanwhile").registered())
    closed = story.closed(1, OFFICE).told[-1]
    follow(story)
    for as_of_us, pos, runs in [
        (closed.recorded_us - 1, 6, True),  # known now: not yet stopped then
        (closed.recorded_us, 6, False),  # known now: stopped
        (closed.recorded_us, 5, True),  # as known before it was learned: still running
        (START_US + 2 * HOUR_US - 1, 6, False),  # before it was accepted
    ]:
        found = [duty.rule for duty in duties.of_case(conn, story.case, at(as_of_us, pos)) if duty.rule == "handle"]
        assert (found == ["handle"]) == runs, (as_of_us, pos)


def test_backdating_stops_no_clock_before_it_was_recorded(follow: Follow, conn: psycopg.Connection) -> None:
    story = Story("a").registered().accepted(1, OFFICE)
    story.now_us += 90 * DAY_US
    story.closed(1, OFFICE, at=START_US + 50 * DAY_US)
    follow(story)
    (late,) = duties.of_case(conn, story.case, at(as_of_us=START_US + 80 * DAY_US))
    assert late.stage(START_US + 80 * DAY_US) == "overdue"


def test_a_reply_sent_back_starts_the_clock_of_an_order_anew(follow: Follow, conn: psycopg.Connection) -> None:
    story, order = Story("a").registered(), events.OrderId(an_id("order", by=WATER))
    told = {"leg": story.leg(1), "order": order}
    issue = {"leg_version": 1, "unit": OFFICE, "number": "督-1", "trigger": "delay", "reply_by": date(2026, 4, 1)}
    story.tell(events.OrderIssued, WATER, order, **told, **issue)
    reply = story.tell(events.OrderReplied, OFFICE, an_id("reply"), **told)
    follow(story)
    assert "supervision_reply" not in {duty.rule for duty in duties.of_unit(conn, OFFICE, at())}
    judged = {"order": order, "reply": reply.id, "accepted": False, "reply_by": date(2026, 4, 9), "unit": OFFICE}
    story.tell(events.OrderJudged, WATER, order, **judged)
    follow(story)
    (again,) = [duty for duty in duties.of_unit(conn, OFFICE, at()) if duty.rule == "supervision_reply"]
    assert again.due_on == date(2026, 4, 9)


@pytest.mark.parametrize("day", [EARLIEST, date(1999, 1, 4), date(2004, 11, 9), date(2005, 4, 30), LATEST])
def test_a_case_of_any_plausible_day_has_its_clocks_in_every_view(
    follow: Follow, conn: psycopg.Connection, day: date
) -> None:
    start_us = day_start_us(day)
    old = Story("old", start_us).registered(received_on=day, claims=2).handed_over(1, OFFICE, WATER)
    old.opened(2, WATER, mode="transfer").accepted(2, WATER, claims=[0])
    follow(old)
    assert PostgresViews(conn).parked() == []
    found = duties.of_case(conn, old.case, at(as_of_us=day_start_us(LATEST) + DAY_US))
    assert {duty.rule for duty in found} == {"handle"}
    assert cases.case(conn, old.case) is not None


def a_notice(story: Story, edition: int = 1, off: tuple[date, ...] = (date(2027, 1, 4),)) -> None:
    fields = {"year": 2027, "off": off, "working": (), "source": "国办发明电", "edition": edition}
    story.tell(events.HolidaysNoticed, OFFICE, an_id("calendar"), case=None, **fields)


@pytest.fixture
def december() -> Story:
    """A case accepted so that its last day is 2027-01-04, before any notice for that year."""
    return Story("december", day_start_us(date(2026, 11, 5)) - HOUR_US).registered().accepted(1, OFFICE)


def test_a_holiday_notice_recomputes_what_was_provisional_and_the_past_stays_as_it_was(
    follow: Follow, conn: psycopg.Connection, december: Story
) -> None:
    follow(december)
    (before,) = duties.of_case(conn, december.case, at())
    assert (before.due_on, before.provisional) == (date(2027, 1, 4), True)
    a_notice(december)
    follow(december)
    (after,) = duties.of_case(conn, december.case, at())
    assert (after.due_on, after.provisional) == (date(2027, 1, 5), False)
    assert duties.of_case(conn, december.case, at(pos=3)) == [before]
    assert duties.of_case(conn, december.case, at(as_of_us=december.now_us - 1)) == [before]


def test_a_notice_learned_before_the_case_gives_one_version(
    follow: Follow, conn: psycopg.Connection, december: Story
) -> None:
    early = Story("calendar")
    a_notice(early)
    follow(early, december)
    (duty,) = duties.of_case(conn, december.case, at())
    assert (duty.due_on, duty.set_pos) == (date(2027, 1, 5), 4)


def test_a_notice_in_the_middle_of_a_batch_or_of_a_rebuild_gives_the_same_rows(
    ledger: Ledger, runner: Runner, conn: psycopg.Connection, december: Story
) -> None:
    later = Story("later", december.now_us).registered().accepted(1, OFFICE)
    first = december.take()
    a_notice(december)
    a_notice(december, edition=2, off=(date(2027, 1, 4), date(2027, 1, 5)))
    ledger.append([*first, *december.take()[:1], *later.take(), *december.take()])
    while runner.step():
        pass
    assert check(PostgresViews(conn), ledger.read, Duties()).difference is None


def test_a_notice_after_what_was_judged_late_moves_the_clocks_of_that_case_in_a_rebuild_too(
    follow: Follow, ledger: Ledger, conn: psycopg.Connection, december: Story
) -> None:
    seen = december.version_of(december.leg(1))
    december.closed(1, OFFICE)
    taken = events.LegId(an_id("taken", by=BUREAU))
    place = {"leg_version": seen, "last_log": f"x/{OFFICE[:12]}/1", "last_size": 0}
    december.tell(events.TakenOver, BUREAU, taken, leg=december.leg(1), next_leg=taken, unit=BUREAU, **place)
    a_notice(december)
    follow(december)
    (handle,) = [duty for duty in duties.of_case(conn, december.case, at()) if duty.rule == "handle"]
    assert handle.due_on == date(2027, 1, 5)
    assert check(PostgresViews(conn), ledger.read, Duties()).difference is None


def test_a_parked_case_that_is_retried_after_a_notice_gets_the_rows_of_a_rebuild(
    ledger: Ledger, runner: Runner, conn: psycopg.Connection, december: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = len(december.told) + 1
    december.rated()
    told = december.take()
    extended = Story("other", december.now_us).registered()
    a_notice(extended)
    december.now_us = extended.now_us
    december.closed(1, OFFICE)
    ledger.append([*told[:3], *told[3:], *extended.take(), *december.take()])
    real = Duties.fold

    def choke(self: Duties, batch: list, store: object) -> None:  # type: ignore[type-arg]
        if any(fact.pos == poison for fact in batch):
            raise ZeroDivisionError
        real(self, batch, store)  # type: ignore[arg-type]

    monkeypatch.setattr(Duties, "fold", choke)
    while runner.step():
        pass
    assert [waiting.pos for waiting in PostgresViews(conn).parked()] == [poison]
    assert check(PostgresViews(conn), ledger.read, Duties()).difference is None
    monkeypatch.setattr(Duties, "fold", real)
    assert retrying.retry(PostgresViews(conn), ledger.read, Duties(), december.case) is None
    assert check(PostgresViews(conn), ledger.read, Duties()).difference is None


def test_what_is_dated_back_starts_no_clock_of_another_office_before_its_cause(
    follow: Follow, conn: psycopg.Connection, ledger: Ledger, runner: Runner
) -> None:
    story = Story("a").registered(unit=WATER).handed_over(1, WATER, OFFICE).opened(2, OFFICE, mode="transfer")
    given_us = story.told[2].occurred_us
    year_us = 365 * DAY_US
    story.tell(events.ClaimAmended, WATER, story.case, claim=story.claim(1), change="added", at=START_US - year_us)
    story.accepted(2, OFFICE, at=START_US - year_us)
    follow(story)
    starts = {duty.rule: duty.start_us for duty in duties.of_case(conn, story.case, at())}
    assert starts == {"accept_notice": day_start_us(date(2026, 3, 2)), "handle": given_us}
    assert check(PostgresViews(conn), ledger.read, Duties()).difference is None
