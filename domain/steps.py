"""The next steps on a case page: each command with whether the rules would let this person give it now, or why not.

Nothing is ruled here: every line asks the same function that `decide` asks first. A step shown as allowed can still
be refused for what is filled in, never for who, where, or how far the matter is.
"""

from collections.abc import Callable
from uuid import UUID

import msgspec

from domain import articles
from domain.case import CaseFile
from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    Close,
    Command,
    ConfirmErasure,
    CorrectRegistration,
    Decline,
    Extend,
    HandOver,
    IssueOpinion,
    IssueOrder,
    JudgeOrder,
    Object,
    OrderErasure,
    Rate,
    Reply,
    ReplyOrder,
    Report,
    RuleObjection,
    Serve,
    TakeOver,
    Withdraw,
)
from domain.context import Situation
from domain.custody import may_hand_over, may_take_over
from domain.errors import DomainError
from domain.events import EventId, LegId, OrderId
from domain.handling import (
    may_accept,
    may_close,
    may_extend,
    may_issue_opinion,
    may_reply,
    may_report,
    may_serve,
)
from domain.objections import may_object, may_rule
from domain.registration import may_add_material, may_amend, may_correct, may_rate, may_withdraw
from domain.sealed import may_confirm_erasure, may_order_erasure, unconfirmed_erasure
from domain.supervision import may_judge, may_order, may_reply_order, order_to_judge, order_to_reply


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command by its tag (such as `hand_over`). code, why_zh, why_en: of the refusal, null where it is allowed.

    article: what the refusal rests on, or the step itself.
    """

    command: str
    allowed: bool
    article: str | None
    code: str | None = None
    why_zh: str | None = None
    why_en: str | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What the page is about: a leg, and the objection, orders and erasure that are waiting, if any."""

    leg: LegId
    objection: EventId | None
    to_reply: OrderId | None
    to_judge: OrderId | None
    erasure: UUID | None


_Ask = Callable[[CaseFile, _Asked, Situation], object]

_STEPS: tuple[tuple[type[Command], _Ask, str | None], ...] = (
    (HandOver, lambda file, it, here: may_hand_over(file, it.leg, here), articles.ROUTE),
    (Object, lambda file, it, here: may_object(file, it.leg, here), articles.OBJECT),
    (RuleObjection, lambda file, it, here: may_rule(file, it.objection, here), articles.OBJECT),
    (Accept, lambda file, it, here: may_accept(file, it.leg, here), articles.ACCEPT),
    (Decline, lambda file, it, here: may_accept(file, it.leg, here), articles.ACCEPT),
    (Extend, lambda file, it, here: may_extend(file, it.leg, here), articles.PERIOD),
    (IssueOpinion, lambda file, it, here: may_issue_opinion(file, it.leg, here), articles.OPINION),
    (Reply, lambda file, it, here: may_reply(file, it.leg, here), articles.CLASSES),
    (Serve, lambda file, it, here: may_serve(file, it.leg, here), None),
    (Report, lambda file, it, here: may_report(file, it.leg, here), articles.REPORT),
    (Close, lambda file, it, here: may_close(file, it.leg, here), None),
    (AmendClaim, lambda file, _, here: may_amend(file, here), None),
    (AddMaterial, lambda file, _, here: may_add_material(file, here), None),
    (CorrectRegistration, lambda file, _, here: may_correct(file, here), articles.REGISTER),
    (Withdraw, lambda file, _, here: may_withdraw(file, here), None),
    (Rate, lambda file, _, here: may_rate(file, here), articles.EVALUATE),
    (TakeOver, lambda file, it, here: may_take_over(file, it.leg, here), articles.DISPUTE),
    (IssueOrder, lambda file, it, here: may_order(file, it.leg, here), articles.SUPERVISE),
    (ReplyOrder, lambda file, it, here: may_reply_order(file, it.to_reply, here), articles.SUPERVISE),
    (JudgeOrder, lambda file, it, here: may_judge(file, it.to_judge, here), articles.SUPERVISE),
    (OrderErasure, lambda file, _, here: may_order_erasure(file, here), None),
    (ConfirmErasure, lambda file, it, here: may_confirm_erasure(file, it.erasure, here), None),
)


def lawful_steps(file: CaseFile, here: Situation, leg: LegId | None = None) -> list[Step]:
    """Every step a person can take on the case, for `here`'s actor, in the order of a case page.

    leg: which leg the page shows; by default the present one. Orders: the first that waits for the actor's unit.
    """
    asked = _asked(file, leg, here)
    return [] if asked is None else [_step(file, asked, here, *line) for line in _STEPS]


def _asked(file: CaseFile, leg: LegId | None, here: Situation) -> _Asked | None:
    present = file.present_leg
    leg_id = leg or (present.id if present else None)
    if leg_id is None:
        return None
    objection = file.standing_objection
    return _Asked(
        leg=leg_id,
        objection=objection.raised.id if objection else None,
        to_reply=order_to_reply(file, here.actor.unit),
        to_judge=order_to_judge(file, here.actor.unit),
        erasure=unconfirmed_erasure(file, here.node),
    )


def _step(
    file: CaseFile, asked: _Asked, here: Situation, command: type[Command], ask: _Ask, article: str | None
) -> Step:
    tag = str(command.__struct_config__.tag)
    try:
        ask(file, asked, here)
    except DomainError as refusal:
        return Step(
            command=tag,
            allowed=False,
            article=refusal.article,
            code=refusal.code,
            why_zh=refusal.zh,
            why_en=refusal.en,
        )
    return Step(command=tag, allowed=True, article=article)
