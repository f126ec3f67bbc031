"""The clocks of the law as data, and the arithmetic that turns one into a deadline a clerk can check by hand.

Counting follows Civil Code 201 and 203: the day it starts is not counted; a last day that is not worked
moves to the next working day; the last day ends at 24:00. The petition regulation has no counting rule of
its own, so the moving is a switch of each rule. Days are calendar days unless a rule says working days.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal, Protocol

import msgspec

from domain.calendar import Calendar, DayKind
from domain.errors import DomainError

# One offset, no zone database: China has one zone, and its last summer time ended in 1991, before any
# table this project carries. Every tier computes the same second, whatever its machine has installed.
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")

RuleId = Literal[
    "register_route",
    "accept_notice",
    "accept_notice_direct",
    "objection",
    "objection_ruling",
    "report_back",
    "handle",
    "extension",
    "review_request",
    "supervision_reply",
]
Kind = Literal["calendar_days", "working_days", "fixed_date"]
Language = Literal["zh", "en"]
Stage = Literal["running", "due_soon", "due", "overdue"]
Colour = Literal["green", "yellow", "red"]

# What the supervising tier does when a clock enters a stage, each once: 临期提示提醒→到期催办督办→逾期问效问责.
WARNINGS: dict[Stage, tuple[str, str]] = {
    "due_soon": ("临期提醒", "due-soon reminder"),
    "due": ("到期催办", "chasing on the last day"),
    "overdue": ("逾期问责", "accountability when overdue"),
}
COLOURS: dict[Stage, Colour] = {"running": "green", "due_soon": "yellow", "due": "yellow", "overdue": "red"}
SOON_DAYS_MIN = 3

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)
_ONE_US = timedelta(microseconds=1)


class RuleNotInForce(DomainError):
    """No text of this rule was in force on that day. Check the date the clock starts from."""

    code = "rule_not_in_force"

    def __init__(self, rule_id: RuleId, day: date) -> None:
        super().__init__(
            f"{day}当日没有适用的期限规定（{rule_id}），请核对起算日期",
            f"no rule for {rule_id} was in force on {day}; check the date from which it counts",
            field="start",
        )


class DueDateMissing(DomainError):
    """The length of this clock is what the order says, and none was given. Ask for the date."""

    code = "due_date_missing"

    def __init__(self, rule: "Rule") -> None:
        super().__init__(
            f"“{rule.zh}”的期限由交办或督办机关指定，请填写截止日期",
            f'"{rule.en}" ends on a date set by whoever orders it; enter that date',
            field="due_date",
            article=rule.article,
        )


class DueDateTooEarly(DomainError):
    """The date set lies before the order itself. Choose a later one."""

    code = "due_date_too_early"

    def __init__(self, rule: "Rule", start: date, fixed: date) -> None:
        super().__init__(
            f"截止日期{fixed}早于起算日{start}，请改为{start}或之后的日期",
            f"the due date {fixed} is before the start {start}; choose {start} or later",
            field="due_date",
            article=rule.article,
        )


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One time limit as one law has it. A change in law is a further Rule with its own dates.

    length: days of `kind`; 0 for fixed_date, whose date comes with each order. rollover: a last day that
    is not worked moves on (Civil Code 203). source: whether the number was read in a text of the law.
    promise_days: a local promise, shorter than the limit, in the same kind of days. start_zh, start_en:
    what the clock counts from. valid_from, valid_to: first and last day on which it may start.
    """

    id: RuleId
    zh: str
    en: str
    article: str
    article_en: str
    kind: Kind
    length: int
    rollover: bool
    source: Literal["verified", "unverified"]
    start_zh: str
    start_en: str
    valid_from: date
    valid_to: date | None = None
    promise_days: int | None = None


class Step(msgspec.Struct, frozen=True):
    """One line of a derivation."""

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

    start_date is not counted; due_date is the last day in Asia/Shanghai. due_us: the end of that day,
    exclusive (overdue from then on). soon_us: when it becomes due soon. promise_us: the end of the local
    promise, if there is one. provisional: a holiday notice still to come may move it.
    """

    rule: Rule
    start_date: date
    due_date: date
    due_us: int
    soon_us: int
    promise_us: int | None
    provisional: bool
    derivation: tuple[Step, ...]


def rule_on(rule_id: RuleId, day: date, rules: Iterable[Rule] | None = None) -> Rule:
    """The text of `rule_id` in force on the day (Asia/Shanghai) its clock starts; RuleNotInForce.

    A clock keeps the text it started under. rules: RULES, unless an installation has its own.
    """
    for rule in RULES if rules is None else rules:
        if rule.id == rule_id and rule.valid_from <= day and (rule.valid_to is None or day <= rule.valid_to):
            return rule
    raise RuleNotInForce(rule_id, day)


def due(
    rule: Rule, start_us: int, calendar: Calendar, fixed: date | None = None, extra_days: int = 0
) -> Deadline:
    """The deadline of a clock that started at `start_us` (UTC microseconds), as `calendar` knows the years.

    fixed: the date an order set, for rules of kind fixed_date only. extra_days: an approved extension, in
    the rule's own kind of days, counted on from the limit before any moving. Called again with a newer
    calendar it gives the newer date. Raises DueDateMissing, DueDateTooEarly.
    """
    start = shanghai_date(start_us)
    limit = _fixed_limit(rule, start, fixed) if rule.kind == "fixed_date" else _count(rule, start, rule.length, calendar)
    extended = _count(rule, limit, extra_days, calendar)
    last = _rolled(rule, extended, calendar)
    steps = [Step(f"{rule.start_zh} {start}（不计入）", f"{rule.start_en} {start} (not counted)")]
    steps.append(_limit_step(rule, start, limit, calendar))
    if extra_days:
        steps.append(_extension_step(extra_days, extended, calendar))
    if last != extended:
        steps.append(Step(f"顺延至 {_day_zh(last, calendar)}", f"moved to {_day_en(last, calendar)}"))
    provisional = _is_provisional(rule, start, last, calendar)
    if provisional:
        steps.append(Step("暂定，待国务院放假通知", "provisional until the State Council's holiday notice"))
    promise_us = None
    if rule.promise_days is not None:
        promised = min(_rolled(rule, _count(rule, start, rule.promise_days, calendar), calendar), last)
        promise_us = day_start_us(promised + _ONE_DAY)
        steps.append(Step(f"本地承诺 {promised} 前", f"promised locally by {promised}"))
    steps.append(_end_step(rule, last))
    soon_us = _soon_us(start, last)
    return Deadline(
        rule=rule,
        start_date=start,
        due_date=last,
        due_us=day_start_us(last + _ONE_DAY),
        soon_us=soon_us if promise_us is None else min(soon_us, promise_us),
        promise_us=promise_us,
        provisional=provisional,
        derivation=tuple(steps),
    )
