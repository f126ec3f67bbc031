"""The papers that a case gives rise to (公文), as data for one template; always in Chinese, the language of the law."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

import msgspec

from domain import articles
from domain.case import CaseFile
from domain.clocks import Deadline, shanghai_date
from domain.events import (
    Accepted,
    AnyEvent,
    Declined,
    Extended,
    HandedOver,
    OpinionIssued,
    OrderIssued,
    Replied,
    encode,
)
from domain.parts import Leg
from gateway.catalog import N_
from gateway.reading import labels
from sync.proofs.merkle import leaf_hash

Printable = Accepted | Declined | Extended | OpinionIssued | Replied | HandedOver | OrderIssued

CHECK_DIGITS: Final = 16
_REVIEWED_CLASS: Final = "claim_petition"
_ANONYMOUS: Final = "（未署名）"


class Section(msgspec.Struct, frozen=True):
    """A heading, empty for none, and its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """One paper ready to print. rows: name and value above the text. check: first digits of the event's leaf hash.

    remedy: what the reader can do against it, where the law gives that class of matter a remedy. copies: how many.
    """

    title: str
    number: str
    addressee: str
    rows: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    remedy: str | None
    seal_of: str
    issued_on: date
    check: str
    copies: int = 1


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What a paper takes from around its case. unit_name: unit code -> name. texts: opened text by path.

    review_organ: who reviews the opinions of the organ that issues the paper; empty where this node does not know.

    deadline: the clock that the paper tells of. contact: how to reach the office.
    """

    unit_name: Callable[[str], str]
    review_organ: str
    texts: Mapping[str, str]
    deadline: Deadline | None
    contact: str


def paper(file: CaseFile, event: Printable, desk: Desk) -> Paper:
    """The paper that `event` of the case stands for."""
    match event:
        case Accepted():
            return _acceptance(file, event, desk)
        case Declined():
            return _refusal(file, event, desk)
        case Extended():
            return _extension(file, event, desk)
        case OpinionIssued():
            return _opinion(file, event, desk)
        case Replied():
            return _reply(file, event, desk)
        case HandedOver():
            return _letter(file, event, desk)
        case OrderIssued():
            return _order(file, event, desk)


def name_of(event: Printable) -> str:
    """What the paper is called, in Chinese; the catalog has its English."""
    match event:
        case Accepted():
            return N_("程序性受理告知书") if event.kind == "procedural" else N_("受理告知书")
        case Declined():
            return N_("不再受理告知书") if event.ground == "three_level_final" else N_("不予受理告知书")
        case Extended():
            return N_("延期办理告知书")
        case OpinionIssued():
            return N_("信访事项处理意见书")
        case Replied():
            return N_("信访事项答复书")
        case HandedOver():
            return N_("转送函") if event.mode == "transfer" else N_("交办函")
        case OrderIssued():
            return N_("督办函")


def check_code(event: AnyEvent) -> str:
    """The first digits of the event's leaf hash, in groups of four: what a reader compares with the public log."""
    digits = leaf_hash(encode(event)).hex()[:CHECK_DIGITS].upper()
    return " ".join(digits[start : start + 4] for start in range(0, CHECK_DIGITS, 4))


def _acceptance(file: CaseFile, event: Accepted, desk: Desk) -> Paper:
    leg = file.legs.get(event.leg)
    rows = [*_matter(file, desk), *_route(leg, desk)]
    if event.kind == "procedural":
        body = "您反映的信访事项已收到，现依法转送有权处理的机关、单位办理，由其书面告知您是否受理。"
    else:
        body = "您反映的信访事项，经审查属于本机关（单位）职权范围，现决定予以受理。"
        if desk.deadline is not None:
            rows.append(("办理期限", f"至{_day(desk.deadline.due_date)}（{desk.deadline.rule.article}）"))
    rows.append(("联系方式", desk.contact))
    claims = _claims(file, event.claims, desk)
    return _written(event, desk, event.number, rows, (Section("", (body,)), *claims), leg)


def _refusal(file: CaseFile, event: Declined, desk: Desk) -> Paper:
    leg = file.legs.get(event.leg)
    ticks = tuple(f"{'☑' if code == event.ground else '☐'} {text}" for code, text in labels.GROUNDS.items())
    sections = (
        Section("", (f"您反映的信访事项，依照{event.law or articles.ACCEPT}，本机关（单位）{name_of(event)[:4]}。",)),
        Section("依据", ticks),
        Section("理由", _paragraphs(desk.texts.get("reason"))),
        Section("您可以向以下机关提出", (event.right_organ,)),
    )
    written = _written(event, desk, event.number, [*_matter(file, desk), *_route(leg, desk)], sections, leg)
    return msgspec.structs.replace(written, copies=2)


def _extension(file: CaseFile, event: Extended, desk: Desk) -> Paper:
    leg = file.legs.get(event.leg)
    until = f"，延长至{_day(desk.deadline.due_date)}" if desk.deadline else ""
    body = f"您反映的信访事项情况复杂，依照{event.law or articles.PERIOD}，经批准延长办理期限{event.days}日{until}。"
    sections = (Section("", (body,)), Section("延期理由", _paragraphs(desk.texts.get("reason"))))
    return _written(event, desk, f"{_number(file)}-延期", _matter(file, desk), sections, leg)


def _opinion(file: CaseFile, event: OpinionIssued, desk: Desk) -> Paper:
    leg = file.legs.get(event.leg)
    answers = []
    for number, answer in enumerate(event.answers, start=1):
        said = [
            f"诉求：{desk.texts.get(f'claim.{answer.claim}', '（原文未打开）')}",
            f"处理意见：{labels.OUTCOMES[answer.outcome]}。依据：{answer.law}。",
            *_paragraphs(desk.texts.get(f"answer.{answer.claim}")),
        ]
        if answer.performer is not None and answer.perform_by is not None:
            said.append(f"由{desk.unit_name(answer.performer)}于{_day(answer.perform_by)}前执行。")
        answers.append(Section(f"第{number}项诉求的答复", tuple(said)))
    sections = (Section("查明的事实", _paragraphs(desk.texts.get("facts"))), *answers)
    rows = [*_matter(file, desk), *_route(leg, desk)]
    written = _written(event, desk, event.number, rows, sections, leg)
    title = desk.texts.get("title")
    named = f"关于“{title}”信访事项的处理意见书" if title else written.title
    return msgspec.structs.replace(written, title=named, remedy=_remedy(file, leg, desk))


def _reply(file: CaseFile, event: Replied, desk: Desk) -> Paper:
    leg = file.legs.get(event.leg)
    sections = (Section(f"答复：{labels.REPLIES[event.result]}", _paragraphs(desk.texts.get("reply"))),)
    return _written(event, desk, event.number, [*_matter(file, desk), *_route(leg, desk)], sections, leg)


def _letter(file: CaseFile, event: HandedOver, desk: Desk) -> Paper:
    leg = file.legs.get(event.leg)
    rows = [("信访事项", _number(file)), ("收到日期", _received(file))]
    asked = "请依法办理，并于规定期限内书面告知信访人。"
    if event.report_by is not None:
        rows.append(("报告结果期限", _day(event.report_by)))
        asked = f"请依法办理，并于{_day(event.report_by)}前报送办结报告。"
    sections = (
        Section("", (f"现将上述信访事项{labels.MODES[event.mode][:2]}你单位。{asked}",)),
        Section("理由", _paragraphs(desk.texts.get("reason"))),
    )
    written = _written(event, desk, f"{_number(file)}-{labels.MODES[event.mode][:2]}", rows, sections, leg)
    return msgspec.structs.replace(written, addressee=desk.unit_name(event.to))


def _order(file: CaseFile, event: OrderIssued, desk: Desk) -> Paper:
    rows = [
        ("信访事项", _number(file)),
        ("督办事由", labels.TRIGGERS[event.trigger]),
        ("依据", event.law or articles.SUPERVISE),
        ("回复期限", _day(event.reply_by)),
    ]
    written = _written(
        event, desk, event.number, rows, (Section("督办要求", _paragraphs(desk.texts.get("demand"))),), None
    )
    return msgspec.structs.replace(written, addressee=desk.unit_name(event.unit))


def _written(
    event: Printable,
    desk: Desk,
    number: str,
    rows: list[tuple[str, str]],
    sections: tuple[Section, ...],
    leg: Leg | None,
) -> Paper:
    return Paper(
        title=name_of(event),
        number=number,
        addressee=desk.texts.get("petitioner.name") or _ANONYMOUS,
        rows=tuple(rows),
        sections=sections,
        remedy=None,
        seal_of=desk.unit_name(leg.unit if leg else event.actor.unit),
        issued_on=shanghai_date(event.occurred_us),
        check=check_code(event),
    )


def _matter(file: CaseFile, desk: Desk) -> list[tuple[str, str]]:
    title = desk.texts.get("title", "（原文未打开）")
    return [("信访编号", _number(file)), ("信访事项", title), ("收到日期", _received(file))]


def _route(leg: Leg | None, desk: Desk) -> list[tuple[str, str]]:
    if leg is None or leg.sender is None:
        return []
    rows = [("转送（交办）机关", desk.unit_name(leg.sender))]
    if leg.opened_us is not None:
        rows.append(("转收日期", _day(shanghai_date(leg.opened_us))))
    return rows


def _claims(file: CaseFile, claims: tuple[object, ...], desk: Desk) -> tuple[Section, ...]:
    told = [desk.texts[f"claim.{claim}"] for claim in claims if f"claim.{claim}" in desk.texts]
    numbered = tuple(f"{number}. {text}" for number, text in enumerate(told, start=1))
    return (Section("受理的诉求", numbered),) if numbered else ()


def _remedy(file: CaseFile, leg: Leg | None, desk: Desk) -> str | None:
    """Only matters under Art. 31 ⑥ end in an opinion that can be reviewed under Art. 35."""
    if file.matter_class != _REVIEWED_CLASS or leg is None:
        return None
    organ = desk.review_organ or "原办理机关、单位的上一级机关、单位"
    return f"如不服本处理意见，可以自收到本意见书之日起30日内请求{organ}复查（《信访工作条例》第35条）。"


def _number(file: CaseFile) -> str:
    return file.registered.number if file.registered else str(file.case)[-12:]


def _received(file: CaseFile) -> str:
    return _day(file.registered.received_on) if file.registered else "见登记单位"


def _paragraphs(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ("（原文未打开或已依法删除）",)
    return tuple(line for line in text.split("\n") if line.strip())


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
