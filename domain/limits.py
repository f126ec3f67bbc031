"""The time limits of the law as data: each with its article, its dates of validity and how well it is known."""

from collections.abc import Iterable
from datetime import date
from typing import Final, Literal, get_args

import msgspec

from domain.errors import DomainError

RuleId = Literal[
    "register_route",
    "accept_notice",
    "accept_notice_direct",
    "objection",
    "objection_ruling",
    "report_back",
    "handle",
    "extension",
    "perform",
    "review_request",
    "supervision_reply",
]
Kind = Literal["calendar_days", "working_days", "fixed_date"]

OPTIONS: Final[frozenset[RuleId]] = frozenset({"objection", "review_request"})
"""Periods in which something may be done, not must: once they have run out the option is gone and nobody is late."""


class RuleNotInForce(DomainError):
    """An installation's own rules have no text for that day; RULES have one for every day. Check the date."""

    code = "rule_not_in_force"

    def __init__(self, rule_id: RuleId, day: date) -> None:
        super().__init__(
            f"{day}当日没有适用的期限规定（{rule_id}），请核对起算日期",
            f"no rule for {rule_id} was in force on {day}; check the date from which it counts",
            field="start",
        )


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One time limit as one law has it. A change in law is a further Rule with its own dates.

    length: days of `kind`; 0 for fixed_date, whose date comes with each order. rollover: a last day that
    is not worked moves on (Civil Code 203; the petition regulation is silent, so it is a switch). source:
    whether number and article were read in a text of that law. promise_days: a local promise, shorter than
    the limit, in the same kind of days. start_zh, start_en: what the clock counts from. valid_from,
    valid_to: first and last day on which a clock may start under it.
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


def rule_on(rule_id: RuleId, day: date, rules: Iterable[Rule] | None = None) -> Rule:
    """The text of `rule_id` in force on the day (Asia/Shanghai) on which its clock starts.

    A clock keeps the text it started under. rules: an installation's own, instead of RULES, where RuleNotInForce may be
    raised.
    """
    for rule in RULES if rules is None else rules:
        if rule.id == rule_id and rule.valid_from <= day and (rule.valid_to is None or day <= rule.valid_to):
            return rule
    raise RuleNotInForce(rule_id, day)


class _Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What the regulations of 2005 and 2022 have in common for one rule, and where each says it.

    article, article_2005: article, paragraph, item; none where that text names no such limit.
    """

    zh: str
    en: str
    start: tuple[str, str]
    kind: Kind
    length: int
    article: tuple[int, ...]
    article_2005: tuple[int, ...]
    verified: bool


_RECEIVED = ("收到日", "Received")

_LIMITS: dict[RuleId, _Limit] = {
    "register_route": _Limit(
        zh="登记并转送、交办",
        en="register and route",
        start=_RECEIVED,
        kind="calendar_days",
        length=15,
        article=(22, 1),
        article_2005=(21,),
        verified=True,
    ),
    "accept_notice": _Limit(
        zh="受理告知（转送、交办事项）",
        en="notice on a matter transferred or assigned",
        start=_RECEIVED,
        kind="calendar_days",
        length=15,
        article=(23, 3),
        article_2005=(21,),
        verified=True,
    ),
    "accept_notice_direct": _Limit(
        zh="受理告知（直接提出事项）",
        en="notice on a matter submitted directly",
        start=_RECEIVED,
        kind="calendar_days",
        length=15,
        article=(23,),
        article_2005=(22,),
        verified=False,
    ),
    "objection": _Limit(
        zh="提出异议",
        en="jurisdiction objection",
        start=_RECEIVED,
        kind="working_days",
        length=5,
        article=(23, 3),
        article_2005=(),
        verified=True,
    ),
    # The sender must verify and agree, says the article, and sets no limit: five working days is this
    # project's default, after which silence ends the objection and the receiver keeps the matter.
    "objection_ruling": _Limit(
        zh="答复异议",
        en="ruling on an objection",
        start=("异议日", "Objected"),
        kind="working_days",
        length=5,
        article=(23, 3),
        article_2005=(),
        verified=False,
    ),
    "report_back": _Limit(
        zh="报送办结报告",
        en="completion report to the assigner",
        start=("交办日", "Assigned"),
        kind="fixed_date",
        length=0,
        article=(22, 1, 3),
        article_2005=(21,),
        verified=True,
    ),
    "handle": _Limit(
        zh="办结",
        en="completion",
        start=("受理日", "Accepted"),
        kind="calendar_days",
        length=60,
        article=(34,),
        article_2005=(33,),
        verified=True,
    ),
    # The most that one extension may add to "handle": its days are handed to `due` as extra_days.
    "extension": _Limit(
        zh="延期",
        en="extension",
        start=("原期限届满日", "Original limit"),
        kind="calendar_days",
        length=30,
        article=(34,),
        article_2005=(33,),
        verified=True,
    ),
    # A supporting opinion names who performs it by when; whoever issued it urges them (Art. 32). Nothing starts this
    # clock as long as no event says that it was performed: a clock that cannot stop would accuse whoever did perform.
    "perform": _Limit(
        zh="执行支持意见",
        en="performance of a supporting opinion",
        start=("出具意见日", "Issued"),
        kind="fixed_date",
        length=0,
        article=(32,),
        article_2005=(32,),
        verified=False,
    ),
    "review_request": _Limit(
        zh="申请复查",
        en="request for review",
        start=("送达日", "Served"),
        kind="calendar_days",
        length=30,
        article=(35,),
        article_2005=(34,),
        verified=False,
    ),
    "supervision_reply": _Limit(
        zh="回复督办",
        en="reply to a supervision order",
        start=("督办日", "Ordered"),
        kind="fixed_date",
        length=0,
        article=(40,),
        article_2005=(36,),
        verified=False,
    ),
}


def _article(law_zh: str, law_en: str, numbers: tuple[int, ...]) -> tuple[str, str]:
    zh = "".join(f"第{number}{part}" for number, part in zip(numbers, "条款项", strict=False))
    en = "".join(f"({number})" for number in numbers[1:])
    return f"{law_zh}{zh}", f"{law_en}, Art. {numbers[0]}{en}"


class _Era(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which one text of all limits was in force. law_zh, law_en: null where none is known to this project."""

    law_zh: str | None = None
    law_en: str | None = None
    is_2022: bool = False
    valid_from: date
    valid_to: date | None


_ERAS = (
    _Era(
        law_zh="《信访工作条例》",
        law_en="Regulations on Petition Work",
        is_2022=True,
        valid_from=date(2022, 5, 1),
        valid_to=None,
    ),
    _Era(
        law_zh="《信访条例》",
        law_en="Petition Regulations of 2005",
        valid_from=date(2005, 5, 1),
        valid_to=date(2022, 4, 30),
    ),
    _Era(valid_from=date.min, valid_to=date(2005, 4, 30)),
)


def _rule(rule_id: RuleId, era: _Era) -> Rule:
    limit = _LIMITS[rule_id]
    numbers = limit.article if era.is_2022 else limit.article_2005
    if era.law_zh and era.law_en and numbers:
        article, article_en = _article(era.law_zh, era.law_en, numbers)
    else:
        article, article_en = "当时有效的规定", "rules then in force"
    return Rule(
        id=rule_id,
        zh=limit.zh,
        en=limit.en,
        article=article,
        article_en=article_en,
        kind=limit.kind,
        length=limit.length,
        rollover=limit.kind == "calendar_days",
        source="verified" if era.is_2022 and limit.verified else "unverified",
        start_zh=limit.start[0],
        start_en=limit.start[1],
        valid_from=era.valid_from,
        valid_to=era.valid_to,
    )


# 《信访工作条例》(in force since 2022-05-01), and for clocks that started before, 《信访条例》 (2005-05-01 to
# 2022-04-30), which old case files cite; of the latter no text was at hand, so all of it is unverified. What is dated
# before either counts by the same lengths: no slip of the pen, and no letter from an attic, leaves a case unreadable.
RULES: tuple[Rule, ...] = tuple(_rule(rule_id, era) for era in _ERAS for rule_id in get_args(RuleId))
