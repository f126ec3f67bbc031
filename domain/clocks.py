"""From a rule and the moment it starts to a deadline that a clerk can check by hand, and its warnings.

Counting follows Civil Code 201 and 203: the day it starts is not counted, a last day that is not worked
moves to the next working day, and the last day ends at 24:00 in China.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Literal, Protocol

import msgspec

from domain.calendar import Calendar, DayKind
from domain.errors import DomainError
from domain.limits import Rule

Language = Literal["zh", "en"]
Stage = Literal["running", "due_soon", "due", "overdue"]
Colour = Literal["green", "yellow", "red"]

COLOURS: Mapping[Stage, Colour] = MappingProxyType(
    {"running": "green", "due_soon": "yellow", "due": "yellow", "overdue": "red"}
)
SOON_DAYS_MIN = 3
SOON_SHARE = 4

# One offset and no zone database: China has one zone, and its last summer time ended in 1991, before any
# table carried here. So every tier computes the same second, whatever its machine has installed.
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")
DAY_US = 86_400_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)
_WEEKDAYS = (tuple("一二三四五六日"), ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_KINDS: Mapping[DayKind, tuple[str, str]] = MappingProxyType(
    {
        "weekday": ("工作日", "working day"),
        "make_up": ("调休上班", "working day in exchange"),
        "weekend": ("休息日", "weekend"),
        "holiday": ("放假", "public holiday"),
    }
)


class DueDateMissing(DomainError):
    """The length of this clock is what the order says, and none was given. Ask for the date."""

    code = "due_date_missing"

    def __init__(self, rule: Rule) -> None:
        super().__init__(
            f"“{rule.zh}”的期限由交办或督办机关指定，请填写截止日期",
            f'"{rule.en}" ends on a date set by whoever orders it; enter that date',
            field="due_date",
            article=rule.article,
        )


class DueDateTooEarly(DomainError):
    """The date set lies before the order itself. Choose a later one."""

    code = "due_date_too_early"

    def __init__(self, rule: Rule, start: date, fixed: date) -> None:
        super().__init__(
            f"截止日期{fixed}早于起算日{start}，请改为{start}或之后的日期",
            f"the due date {fixed} is before the start {start}; choose {start} or later",
            field="due_date",
            article=rule.article,
        )


class Step(msgspec.Struct, frozen=True):
    """One step of a derivation, in both languages."""

    zh: str
    en: str


class Clock(Protocol):
    """Anything that runs out: a Deadline, or a row that kept the same two moments (UTC microseconds)."""

    @property
    def soon_us(self) -> int: ...
    @property
    def due_us(self) -> int: ...


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """When a clock runs out, and how that was computed. Moments are UTC microseconds.

    start_date is not counted; due_date is the last day in China. due_us: the end of that day, exclusive
    (overdue from then on). soon_us: when it becomes due soon. promise_us: the end of the local promise,
    where there is one. provisional: a holiday notice still to come may move it.
    """

    rule: Rule
    start_date: date
    due_date: date
    due_us: int
    soon_us: int
    promise_us: int | None
    provisional: bool
    derivation: tuple[Step, ...]


def due(rule: Rule, start_us: int, calendar: Calendar, fixed: date | None = None, extra_days: int = 0) -> Deadline:
    """The deadline of a clock that started at `start_us` (UTC microseconds), as `calendar` knows the years.

    fixed: the date an order set, read for rules of kind fixed_date only. extra_days: an approved
    extension, in the rule's own kind of days, counted on from the limit before that is moved. Asked again
    with a newer calendar, it gives the newer date. Raises DueDateMissing, DueDateTooEarly.
    """
    start = shanghai_date(start_us)
    limit = _limit(rule, start, calendar, fixed)
    extended = _count(rule, limit, extra_days, calendar)
    last = _moved(rule, extended, calendar)
    promise = _promise(rule, start, last, calendar)
    promise_us = None if promise is None else day_end_us(promise)
    soon_us = day_end_us(last) - max(SOON_DAYS_MIN, -(-(last - start).days // SOON_SHARE)) * DAY_US
    provisional = _is_provisional(rule, start, extended, last, calendar)
    said = [_start_step(rule, start), _limit_step(rule, start, limit, calendar)]
    said += _change_steps(extra_days, limit, extended, last, calendar)
    said += _end_steps(rule, last, promise, provisional)
    return Deadline(
        rule=rule,
        start_date=start,
        due_date=last,
        due_us=day_end_us(last),
        soon_us=soon_us if promise_us is None else min(soon_us, promise_us),
        promise_us=promise_us,
        provisional=provisional,
        derivation=tuple(said),
    )


def explain(deadline: Deadline, language: Language) -> str:
    """The derivation as one line for a notice or a page: steps joined by arrows."""
    return " → ".join(step.zh if language == "zh" else step.en for step in deadline.derivation)


def stage(clock: Clock, now_us: int) -> Stage:
    """Where a clock stands at `now_us` (UTC microseconds).

    due_soon: the last quarter of its days or its last three, whichever is longer (day 46 of 60, where
    practice lights yellow), or a broken local promise; a clock of three days or fewer is due soon at once.
    due: the last day. overdue: from 24:00 of the last day on.
    """
    if now_us >= clock.due_us:
        return "overdue"
    if now_us >= clock.due_us - DAY_US:
        return "due"
    return "due_soon" if now_us >= clock.soon_us else "running"


def colour(clock: Clock, now_us: int) -> Colour:
    """The light of `stage`: green while running, yellow when due soon or due, red when overdue."""
    return COLOURS[stage(clock, now_us)]


def shanghai_date(moment_us: int) -> date:
    """The calendar day in China at a moment in UTC microseconds."""
    return (_EPOCH + timedelta(microseconds=moment_us)).astimezone(SHANGHAI).date()


def shanghai_time(moment_us: int) -> str:
    """A moment in UTC microseconds as date and minute in China."""
    return (_EPOCH + timedelta(microseconds=moment_us)).astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def day_start_us(day: date) -> int:
    """00:00 of `day` in China, in UTC microseconds."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    return (midnight - _EPOCH) // timedelta(microseconds=1)


def day_end_us(day: date) -> int:
    """24:00 of `day` in China, in UTC microseconds: the first moment that is too late."""
    return day_start_us(day) + DAY_US


def _limit(rule: Rule, start: date, calendar: Calendar, fixed: date | None) -> date:
    if rule.kind != "fixed_date":
        return _count(rule, start, rule.length, calendar)
    if fixed is None:
        raise DueDateMissing(rule)
    if fixed < start:
        raise DueDateTooEarly(rule, start, fixed)
    return fixed


def _count(rule: Rule, start: date, days: int, calendar: Calendar) -> date:
    if rule.kind == "working_days":
        return calendar.add_working_days(start, days)
    return start + days * _ONE_DAY


def _moved(rule: Rule, day: date, calendar: Calendar) -> date:
    if rule.rollover and not calendar.is_working_day(day):
        return calendar.next_working_day(day)
    return day


def _promise(rule: Rule, start: date, last: date, calendar: Calendar) -> date | None:
    if rule.promise_days is None:
        return None
    return min(last, _moved(rule, _count(rule, start, rule.promise_days, calendar), calendar))


def _is_provisional(rule: Rule, start: date, extended: date, last: date, calendar: Calendar) -> bool:
    """Whether any day that was asked for its kind may still change: all counted ones, or just the end."""
    if rule.kind == "working_days":
        asked_from = start + _ONE_DAY
    elif rule.rollover:
        asked_from = extended
    else:
        return False
    return any(calendar.is_provisional(asked_from + n * _ONE_DAY) for n in range((last - asked_from).days + 1))


def _start_step(rule: Rule, start: date) -> Step:
    return Step(f"{rule.start_zh} {start}（不计入）", f"{rule.start_en} {start} (not counted)")


def _limit_step(rule: Rule, start: date, limit: date, calendar: Calendar) -> Step:
    day = _named(limit, calendar)
    if rule.kind == "fixed_date":
        return Step(f"指定日期 {day.zh}", f"date set {day.en}")
    if rule.kind == "calendar_days":
        return Step(f"第{rule.length}日 {day.zh}", f"day {rule.length} {day.en}")
    free = (limit - start).days - rule.length
    return Step(
        f"第{rule.length}个工作日 {day.zh}，其间不计{free}天",
        f"working day {rule.length} {day.en}, {free} days between not counted",
    )


def _change_steps(extra_days: int, limit: date, extended: date, last: date, calendar: Calendar) -> list[Step]:
    steps = []
    if extended != limit:
        day = _named(extended, calendar)
        steps.append(Step(f"延期{extra_days}日至 {day.zh}", f"extended by {extra_days} days to {day.en}"))
    if last != extended:
        day = _named(last, calendar)
        steps.append(Step(f"顺延至 {day.zh}", f"moved on to {day.en}"))
    return steps


def _end_steps(rule: Rule, last: date, promise: date | None, provisional: bool) -> list[Step]:
    steps = []
    if promise is not None:
        steps.append(Step(f"本地承诺 {promise} 24:00 前", f"promised locally by {promise} 24:00"))
    if provisional:
        steps.append(Step("暂定，待国务院放假通知", "provisional until the State Council's holiday notice"))
    doubt_zh, doubt_en = ("", "") if rule.source == "verified" else ("，依据待核", ", source not verified")
    steps.append(
        Step(f"{last} 24:00 截止（{rule.article}{doubt_zh}）", f"ends {last} 24:00 ({rule.article_en}{doubt_en})")
    )
    return steps


def _named(day: date, calendar: Calendar) -> Step:
    """A date with what a clerk would look up beside it: its weekday, and whether it is worked."""
    kind_zh, kind_en = _KINDS[calendar.kind(day)]
    weekday = day.weekday()
    return Step(f"{day}（周{_WEEKDAYS[0][weekday]}，{kind_zh}）", f"{day} ({_WEEKDAYS[1][weekday]}, {kind_en})")
