"""Working days with 调休, against two independent tables, and what a new notice changes."""

import runpy
from datetime import date, timedelta
from pathlib import Path

import chinese_calendar
import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import Calendar, Notice, NoticeConflict, NoticeInvalid, seed_calendar

SEED = seed_calendar()
ANY_DAY = st.dates(date(2004, 1, 1), date(2030, 12, 31))
NOTICE_2027 = Notice(
    year=2027,
    off=(date(2027, 1, 1), date(2027, 2, 8), date(2027, 2, 9)),
    working=(date(2027, 2, 20),),
    source="test",
    edition=1,
)


def days(first: int, last: int) -> list[date]:
    start = date(first, 1, 1)
    return [start + timedelta(days=n) for n in range((date(last, 12, 31) - start).days + 1)]


def test_every_day_2004_to_2026_agrees_with_chinesecalendar() -> None:
    assert [d for d in days(2004, 2026) if SEED.is_working_day(d) != chinese_calendar.is_workday(d)] == []


def test_every_day_2010_to_2026_agrees_with_holidays() -> None:
    table = holidays.country_holidays("CN", years=range(2010, 2027))
    assert [d for d in days(2010, 2026) if SEED.is_working_day(d) != table.is_working_day(d)] == []


def test_the_carried_table_is_what_its_command_prints() -> None:
    here = Path(__file__).parent
    printed = runpy.run_path(str(here / "write_holidays.py"))["module_text"]()
    assert (here.parents[1] / "domain" / "holidays.py").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (date(2025, 1, 26), "make_up"),
        (date(2026, 10, 10), "make_up"),
        (date(2025, 1, 28), "holiday"),
        (date(2026, 10, 1), "holiday"),
        (date(2026, 10, 11), "weekend"),
        (date(2026, 10, 12), "weekday"),
    ],
)
def test_a_day_says_why_it_is_worked_or_not(day: date, kind: str) -> None:
    assert SEED.kind(day) == kind
    assert SEED.is_working_day(day) == (kind in {"weekday", "make_up"})


def test_five_working_days_cross_the_spring_festival() -> None:
    # Sunday 26 and Monday 27 January are worked, then eight days are free.
    assert SEED.add_working_days(date(2025, 1, 24), 2) == date(2025, 1, 27)
    assert SEED.add_working_days(date(2025, 1, 24), 3) == date(2025, 2, 5)
    assert SEED.add_working_days(date(2025, 1, 24), 5) == date(2025, 2, 7)
    assert SEED.next_working_day(date(2025, 1, 27)) == date(2025, 2, 5)


def test_a_year_without_a_notice_goes_by_weekday_and_says_so() -> None:
    assert SEED.is_working_day(date(2027, 10, 1))
    assert SEED.is_provisional(date(2027, 10, 1))
    assert not SEED.is_working_day(date(2027, 10, 2))
    assert not SEED.is_provisional(date(2026, 10, 1))


def test_the_last_week_of_december_waits_for_the_next_notice() -> None:
    assert not SEED.is_provisional(date(2026, 12, 24))
    assert SEED.is_provisional(date(2026, 12, 31))
    assert not SEED.with_notice(NOTICE_2027).is_provisional(date(2026, 12, 31))


def test_a_notice_settles_its_year_and_leaves_the_old_calendar_as_it_was() -> None:
    known = SEED.with_notice(NOTICE_2027)
    assert not known.is_working_day(date(2027, 2, 8))
    assert known.is_working_day(date(2027, 2, 20))
    assert not known.is_provisional(date(2027, 2, 8))
    assert SEED.is_working_day(date(2027, 2, 8))


def test_a_notice_may_reach_back_into_the_december_before() -> None:
    notice = Notice(year=2027, off=(date(2026, 12, 31),), working=(date(2026, 12, 26),), source="test", edition=1)
    known = SEED.with_notice(notice)
    assert not known.is_working_day(date(2026, 12, 31))
    assert known.is_working_day(date(2026, 12, 26))


def test_the_higher_edition_rules_in_whatever_order_they_arrive() -> None:
    second = Notice(year=2027, off=(date(2027, 1, 4),), working=(), source="test", edition=2)
    forward = SEED.with_notice(NOTICE_2027).with_notice(second)
    assert forward == SEED.with_notice(second).with_notice(NOTICE_2027)
    assert not forward.is_working_day(date(2027, 1, 4))
    assert forward.is_working_day(date(2027, 2, 8))


def test_the_same_notice_twice_changes_nothing_even_if_one_copy_lists_the_weekends() -> None:
    once = SEED.with_notice(NOTICE_2027)
    with_weekends = Notice(
        year=2027, off=(*NOTICE_2027.off, date(2027, 1, 2)), working=NOTICE_2027.working, source="other", edition=1
    )
    assert once.with_notice(NOTICE_2027) is once
    assert once.with_notice(with_weekends) is once


def test_two_tables_under_one_edition_are_a_conflict() -> None:
    other = Notice(year=2027, off=(date(2027, 3, 1),), working=(), source="test", edition=1)
    with pytest.raises(NoticeConflict):
        SEED.with_notice(NOTICE_2027).with_notice(other)


@pytest.mark.parametrize(
    ("off", "working"),
    [
        ((date(2026, 11, 30),), ()),
        ((date(2028, 1, 1),), ()),
        ((), (date(2027, 3, 1),)),
        ((date(2027, 2, 20),), (date(2027, 2, 20),)),
    ],
)
def test_a_notice_that_contradicts_itself_is_refused(off: tuple[date, ...], working: tuple[date, ...]) -> None:
    with pytest.raises(NoticeInvalid):
        Notice(year=2027, off=off, working=working, source="test", edition=1)


def test_without_any_notice_everything_is_provisional() -> None:
    bare = Calendar.of([])
    assert bare.is_working_day(date(2025, 10, 1))
    assert bare.is_provisional(date(2025, 10, 1))


@given(ANY_DAY, st.integers(1, 60))
def test_counting_working_days_ends_on_one_and_passes_exactly_that_many(day: date, count: int) -> None:
    end = SEED.add_working_days(day, count)
    assert SEED.is_working_day(end)
    passed = [day + timedelta(days=n) for n in range(1, (end - day).days + 1)]
    assert sum(map(SEED.is_working_day, passed)) == count


@given(ANY_DAY, st.integers(0, 40), st.integers(0, 40), st.integers(0, 30))
def test_counting_is_additive_and_never_runs_backwards(day: date, count: int, more: int, later: int) -> None:
    assert SEED.add_working_days(SEED.add_working_days(day, count), more) == SEED.add_working_days(day, count + more)
    assert SEED.add_working_days(day, count) <= SEED.add_working_days(day + timedelta(days=later), count)
