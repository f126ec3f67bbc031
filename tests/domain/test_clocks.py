"""The clocks of the law: worked examples, moving over holidays, provisional years, warnings."""

from datetime import UTC, date, datetime, timedelta
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import EARLIEST, EARLIEST_US, LATEST, LATEST_US
from domain.calendar import Notice, seed_calendar
from domain.clocks import (
    DAY_US,
    Deadline,
    DueDateMissing,
    DueDateTooEarly,
    colour,
    day_end_us,
    day_start_us,
    due,
    explain,
    shanghai_date,
    stage,
)
from domain.limits import RULES, RuleId, RuleNotInForce, rule_on

SEED = seed_calendar()
NOON_US = DAY_US // 2


def clock(rule_id: RuleId, start: date, **more: date | int) -> Deadline:
    return due(rule_on(rule_id, start), day_start_us(start) + NOON_US, SEED, **more)  # type: ignore[arg-type]


def utc_us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


# --- counting -------------------------------------------------------------------------------------------


def test_a_matter_accepted_on_1_october_2023_is_to_be_completed_by_30_november() -> None:
    deadline = clock("handle", date(2023, 10, 1))
    assert deadline.due_date == date(2023, 11, 30)
    assert deadline.due_us == utc_us("2023-11-30T16:00:00")
    assert not deadline.provisional
    assert explain(deadline, "zh") == (
        "受理日 2023-10-01（不计入） → 第60日 2023-11-30（周四，工作日）"
        " → 2023-11-30 24:00 截止（《信访工作条例》第34条）"
    )
    assert explain(deadline, "en") == (
        "Accepted 2023-10-01 (not counted) → day 60 2023-11-30 (Thu, working day)"
        " → ends 2023-11-30 24:00 (Regulations on Petition Work, Art. 34)"
    )


def test_the_day_is_that_of_china_whatever_the_day_in_utc() -> None:
    late = utc_us("2023-09-30T16:00:00")
    assert shanghai_date(late) == date(2023, 10, 1)
    assert shanghai_date(late - 1) == date(2023, 9, 30)
    assert due(rule_on("handle", date(2023, 10, 1)), late, SEED) == clock("handle", date(2023, 10, 1))


def test_a_last_day_in_the_national_holiday_moves_behind_it() -> None:
    deadline = clock("register_route", date(2024, 9, 16))
    assert deadline.due_date == date(2024, 10, 8)
    assert "第15日 2024-10-01（周二，放假） → 顺延至 2024-10-08（周二，工作日）" in explain(deadline, "zh")


def test_a_last_day_on_a_worked_sunday_does_not_move() -> None:
    deadline = clock("register_route", date(2025, 1, 11))
    assert deadline.due_date == date(2025, 1, 26)
    assert "2025-01-26（周日，调休上班）" in explain(deadline, "zh")


def test_moving_is_a_switch_of_the_rule() -> None:
    rule = msgspec.structs.replace(rule_on("register_route", date(2024, 9, 16)), rollover=False)
    assert due(rule, day_start_us(date(2024, 9, 16)), SEED).due_date == date(2024, 10, 1)


def test_an_objection_counts_working_days_over_the_spring_festival() -> None:
    deadline = clock("objection", date(2025, 1, 24))
    assert deadline.due_date == date(2025, 2, 7)
    assert "第5个工作日 2025-02-07（周五，工作日），其间不计9天" in explain(deadline, "zh")


def test_an_extension_counts_on_from_the_limit_itself_ninety_days_in_all() -> None:
    # Day 60 is Sunday 2023-12-31: the thirty days follow it, not the working day it would have moved to.
    deadline = clock("handle", date(2023, 11, 1), extra_days=30)
    assert deadline.due_date == date(2023, 11, 1) + timedelta(days=90)
    assert "延期30日至 2024-01-30" in explain(deadline, "zh")


def test_a_date_set_by_the_order_stands_even_on_a_rest_day() -> None:
    deadline = clock("supervision_reply", date(2026, 1, 5), fixed=date(2026, 1, 10))
    assert deadline.due_date == date(2026, 1, 10)
    assert not deadline.provisional


def test_an_order_without_a_date_or_with_one_before_it_is_refused_by_name() -> None:
    with pytest.raises(DueDateMissing) as missing:
        clock("report_back", date(2026, 1, 5))
    assert missing.value.article == "《信访工作条例》第22条第1款第3项"
    with pytest.raises(DueDateTooEarly):
        clock("report_back", date(2026, 1, 5), fixed=date(2026, 1, 4))


# --- the law --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule_id", "kind", "length", "article"),
    [
        ("register_route", "calendar_days", 15, "《信访工作条例》第22条第1款"),
        ("accept_notice", "calendar_days", 15, "《信访工作条例》第23条第3款"),
        ("accept_notice_direct", "calendar_days", 15, "《信访工作条例》第23条"),
        ("objection", "working_days", 5, "《信访工作条例》第23条第3款"),
        ("objection_ruling", "working_days", 5, "《信访工作条例》第23条第3款"),
        ("report_back", "fixed_date", 0, "《信访工作条例》第22条第1款第3项"),
        ("handle", "calendar_days", 60, "《信访工作条例》第34条"),
        ("extension", "calendar_days", 30, "《信访工作条例》第34条"),
        ("review_request", "calendar_days", 30, "《信访工作条例》第35条"),
        ("supervision_reply", "fixed_date", 0, "《信访工作条例》第40条"),
    ],
)
def test_each_limit_of_2022_names_its_article(rule_id: RuleId, kind: str, length: int, article: str) -> None:
    rule = rule_on(rule_id, date(2022, 5, 1))
    assert (rule.kind, rule.length, rule.article) == (kind, length, article)


def test_a_limit_whose_text_was_not_read_says_so() -> None:
    assert "第35条，依据待核" in explain(clock("review_request", date(2026, 3, 2)), "zh")
    assert "source not verified" in explain(clock("review_request", date(2026, 3, 2)), "en")


def test_a_clock_keeps_the_law_of_the_day_it_started() -> None:
    assert clock("handle", date(2022, 4, 30)).rule.article == "《信访条例》第33条"
    assert clock("handle", date(2022, 5, 1)).rule.article == "《信访工作条例》第34条"


def test_every_rule_has_exactly_one_text_on_any_day() -> None:
    changes = (date(2005, 4, 30), date(2005, 5, 1), date(2022, 4, 30), date(2022, 5, 1))
    for day in (date.min, EARLIEST, date(1999, 1, 4), *changes, date(2015, 9, 3), LATEST, date.max):
        in_force = [r.id for r in RULES if r.valid_from <= day and (r.valid_to is None or day <= r.valid_to)]
        assert sorted(in_force) == sorted(get_args(RuleId))


def test_what_is_older_than_any_known_text_counts_by_the_rules_then_in_force_which_are_unverified() -> None:
    deadline = clock("handle", date(1999, 1, 4))
    assert deadline.due_date == date(1999, 3, 5)
    assert "当时有效的规定，依据待核" in explain(deadline, "zh")
    assert "rules then in force, source not verified" in explain(deadline, "en")


def test_where_an_installations_own_rules_have_no_text_there_is_a_named_error() -> None:
    later = msgspec.structs.replace(rule_on("handle", date(2026, 1, 1)), valid_from=date(2027, 1, 1))
    with pytest.raises(RuleNotInForce):
        rule_on("handle", date(2026, 12, 31), [later])


def test_a_later_law_does_not_touch_clocks_that_already_run() -> None:
    shorter = msgspec.structs.replace(rule_on("handle", date(2026, 1, 1)), length=45, valid_from=date(2027, 1, 1))
    until = msgspec.structs.replace(rule_on("handle", date(2026, 1, 1)), valid_to=date(2026, 12, 31))
    assert rule_on("handle", date(2026, 12, 31), [shorter, until]).length == 60
    assert rule_on("handle", date(2027, 1, 1), [shorter, until]).length == 45


# --- provisional years ----------------------------------------------------------------------------------


def test_registering_in_december_gives_a_provisional_date_that_the_notice_moves() -> None:
    rule = rule_on("register_route", date(2026, 12, 17))
    start_us = day_start_us(date(2026, 12, 17))
    before = due(rule, start_us, SEED)
    assert before.due_date == date(2027, 1, 1)
    assert before.provisional
    assert "暂定，待国务院放假通知" in explain(before, "zh")

    notice = Notice(year=2027, off=(date(2027, 1, 1),), working=(), source="test", edition=1)
    after = due(rule, start_us, SEED.with_notice(notice))
    assert after.due_date == date(2027, 1, 4)
    assert not after.provisional
    assert "暂定" not in explain(after, "zh")


def test_working_days_counted_through_an_unpublished_week_are_provisional() -> None:
    assert clock("objection", date(2026, 12, 24)).provisional
    assert not clock("objection", date(2026, 12, 17)).provisional


# --- warnings -------------------------------------------------------------------------------------------


def test_a_sixty_day_clock_turns_yellow_after_day_45_and_red_after_day_60() -> None:
    deadline = clock("handle", date(2023, 10, 1))
    seen = [
        (stage(deadline, moment_us), colour(deadline, moment_us))
        for moment_us in (
            day_end_us(date(2023, 11, 15)) - 1,
            day_end_us(date(2023, 11, 15)),
            day_start_us(date(2023, 11, 30)) - 1,
            day_start_us(date(2023, 11, 30)),
            deadline.due_us - 1,
            deadline.due_us,
        )
    ]
    assert seen == [
        ("running", "green"),
        ("due_soon", "yellow"),
        ("due_soon", "yellow"),
        ("due", "yellow"),
        ("due", "yellow"),
        ("overdue", "red"),
    ]


def test_a_short_clock_warns_three_days_before_its_end() -> None:
    deadline = clock("objection", date(2026, 3, 2))
    assert deadline.due_date == date(2026, 3, 9)
    assert deadline.soon_us == day_start_us(date(2026, 3, 7))


def test_a_row_that_kept_the_two_moments_has_the_same_colour() -> None:
    class Row(msgspec.Struct, frozen=True):
        soon_us: int
        due_us: int

    deadline = clock("handle", date(2023, 10, 1))
    row = Row(deadline.soon_us, deadline.due_us)
    for now_us in (deadline.soon_us - 1, deadline.soon_us, deadline.due_us):
        assert colour(row, now_us) == colour(deadline, now_us)


def test_a_broken_local_promise_is_yellow_long_before_the_law_is_broken() -> None:
    rule = msgspec.structs.replace(rule_on("handle", date(2023, 10, 1)), promise_days=15)
    deadline = due(rule, day_start_us(date(2023, 10, 1)), SEED)
    assert deadline.due_date == date(2023, 11, 30)
    assert deadline.promise_us == day_end_us(date(2023, 10, 16))
    assert colour(deadline, deadline.promise_us - 1) == "green"
    assert colour(deadline, deadline.promise_us) == "yellow"
    assert "本地承诺 2023-10-16 24:00 前" in explain(deadline, "zh")


# --- always ---------------------------------------------------------------------------------------------

STARTS_US = st.integers(EARLIEST_US, LATEST_US)
COUNTED: st.SearchStrategy[RuleId] = st.sampled_from(["register_route", "handle", "objection", "review_request"])


@given(COUNTED, STARTS_US, st.integers(0, 30))
def test_every_counted_clock_ends_at_midnight_after_a_working_day(
    rule_id: RuleId, start_us: int, extra_days: int
) -> None:
    rule = rule_on(rule_id, shanghai_date(start_us))
    deadline = due(rule, start_us, SEED, extra_days=extra_days)
    assert SEED.is_working_day(deadline.due_date)
    assert shanghai_date(deadline.due_us - 1) == deadline.due_date
    assert shanghai_date(deadline.due_us) > deadline.due_date
    assert (deadline.due_date - deadline.start_date).days >= rule.length + extra_days


@given(COUNTED, STARTS_US, st.integers(0, 40 * DAY_US))
def test_a_later_start_never_ends_earlier(rule_id: RuleId, start_us: int, later_us: int) -> None:
    rule = rule_on(rule_id, date(2022, 5, 1))
    assert due(rule, start_us, SEED).due_us <= due(rule, start_us + later_us, SEED).due_us
