"""What the events of a case say in a few words, and what each opened text is called."""

from collections.abc import Callable, Mapping

from domain.events import (
    Accepted,
    AnyEvent,
    ClaimAmended,
    Closed,
    Declined,
    DirectiveAnswered,
    Extended,
    HandedOver,
    LegOpened,
    ObjectionRuled,
    OpinionIssued,
    OrderIssued,
    Rated,
    Registered,
    Replied,
    Served,
    TakenOver,
)
from gateway.catalog import N_
from gateway.reading import labels

Words = Callable[[str], str]

_TEXTS: Mapping[str, str] = {
    "title": N_("主题"),
    "petitioner.name": N_("姓名"),
    "petitioner.phone": N_("电话"),
    "petitioner.id_number": N_("身份证号"),
    "petitioner.address": N_("地址"),
    "body": N_("事情经过"),
    "reason": N_("理由"),
    "facts": N_("查明的事实"),
    "reply": N_("答复内容"),
    "report": N_("报告内容"),
    "demand": N_("督办要求"),
    "comment": N_("意见"),
    "note": N_("材料内容"),
}


def text_name(path: str, claims: Mapping[str, int], _: Words) -> str:
    """What the text sealed at `path` is. claims: claim id -> its number on the page."""
    kind, _dot, claim = path.partition(".")
    if kind == "claim":
        return f"{_('诉求')}{claims.get(claim, '')}"
    if kind == "answer":
        return f"{_('答复')}{claims.get(claim, '')}"
    return _(_TEXTS.get(path, path))


def in_order(texts: Mapping[str, str]) -> dict[str, str]:
    """The texts of one event by path, in the order in which a reader wants them."""
    order = {path: place for place, path in enumerate(_TEXTS)}
    return dict(sorted(texts.items(), key=lambda found: (order.get(found[0], len(order)), found[0])))


def detail_of(event: AnyEvent, unit_name: Callable[[str], str], _: Words) -> str:  # noqa: C901  one line per event
    """The event's own facts in a few words; empty where its name says it all."""
    match event:
        case Registered():
            return f"{event.number} · {_(labels.CHANNELS[event.channel])}"
        case LegOpened():
            return f"{unit_name(event.unit)} · {_(labels.OPENINGS[event.mode])}"
        case HandedOver():
            by = f" · {event.report_by}" if event.report_by else ""
            return f"{_(labels.MODES[event.mode])} → {unit_name(event.to)}{by}"
        case TakenOver():
            return f"→ {unit_name(event.unit)}"
        case ObjectionRuled():
            return f"{_('同意') if event.agreed else _('不同意')} → {unit_name(event.holder)}"
        case Accepted():
            return f"{_(labels.KINDS[event.kind])} · {event.number}"
        case Declined():
            return f"{_(labels.GROUNDS[event.ground])} · {event.number}"
        case Extended():
            return _("%s日") % event.days
        case OpinionIssued():
            kinds = "、".join(_(labels.OUTCOMES[answer.outcome]) for answer in event.answers)
            return f"{event.number} · {kinds}"
        case Replied():
            return f"{event.number} · {_(labels.REPLIES[event.result])}"
        case Served():
            return f"{_(labels.METHODS[event.method])} · {event.served_on}"
        case Closed():
            return _(labels.ENDINGS[event.ending])
        case OrderIssued():
            return f"{event.number} · {_(labels.TRIGGERS[event.trigger])} · {event.reply_by}"
        case DirectiveAnswered():
            return _(labels.EFFECTS[event.effect])
        case ClaimAmended():
            return _(labels.CHANGES[event.change])
        case Rated():
            return f"{_(labels.RATINGS[event.office])} / {_(labels.RATINGS[event.unit])}"
        case _:
            return ""
