"""Supervision (督办): an order to the unit that holds the matter, its reply, and what the issuer makes of it."""

from collections.abc import Callable

from domain import articles
from domain.case import CaseFile
from domain.clocks import shanghai_date
from domain.commands import IssueOrder, JudgeOrder, ReplyOrder
from domain.context import Context, Pen, Situation
from domain.events import AnyEvent, LegId, OrderId, OrderIssued, OrderJudged, OrderReplied, OrderTrigger, Unit
from domain.parts import Leg, Order
from domain.refusals import CaseEnded, LegUnknown, NotHolder, NotSuperior, Refusal

_AFTER_THE_END: frozenset[OrderTrigger] = frozenset({"opinion_not_performed", "dissatisfied", "fraud"})


class OrderUnknown(Refusal):
    """No such order in this case. Open the case again."""

    code = "order_unknown"
    says = ("本件没有该督办函，请重新打开事项", "the case has no such order; open the case again")
    about = "order"


class NotOrdered(Refusal):
    """The order is addressed to another unit. That unit replies."""

    code = "not_ordered"
    says = ("该督办函发给{unit}，请由该单位回复", "the order is addressed to {unit}; that unit replies")
    rests_on = articles.SUPERVISE


class NotIssuer(Refusal):
    """Only the unit that issued the order judges the reply."""

    code = "not_issuer"
    says = ("督办回复由发函单位{unit}审核，请等待", "{unit}, which issued the order, judges the reply; wait for it")
    rests_on = articles.SUPERVISE


class OrderAnswered(Refusal):
    """A reply has been given and was not sent back. Wait for its judgement."""

    code = "order_answered"
    says = ("督办函已回复，请等待审核", "the order has been replied to; wait for the judgement")
    rests_on = articles.SUPERVISE


class ReplyMissing(Refusal):
    """There is no reply to judge. Wait for one, or chase the unit."""

    code = "reply_missing"
    says = ("尚无待审核的回复，请等待或催办", "there is no reply to judge; wait for one or chase the unit")
    rests_on = articles.SUPERVISE


class ReplyDateWrong(Refusal):
    """An order, or a reply sent back, needs a date from today on; a reply taken has none. Correct the date."""

    code = "reply_date_wrong"
    says = (
        "须写明今日起的回复日期；回复被采纳时不写",
        "name a date from today on; leave it out where the reply is taken",
    )
    rests_on = articles.SUPERVISE
    about = "reply_by"


def may_order(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """A supervisor of a superior, or of another unit on the holder's node, orders the unit that has the matter."""
    here.require("supervisor")
    leg = file.legs.get(leg_id)
    if leg is None:
        raise LegUnknown
    if leg != file.present_leg:
        raise NotHolder(holder=file.accountable)
    is_above = leg.node == here.node or here.topology.is_below(leg.node, here.node)
    if not is_above or leg.unit == here.actor.unit:
        raise NotSuperior(unit=leg.unit)
    return leg


def issue_order(file: CaseFile, command: IssueOrder, context: Context) -> list[AnyEvent]:
    """督办函, its id being the event's; after the end of a matter only for what may go wrong then.

    Nothing where the same unit's order for the same reason and date still waits for its reply.
    """
    leg = may_order(file, command.leg, context)
    if any(_is_waiting(order, command, context) for order in file.orders.values()):
        return []
    if file.is_ended and command.trigger not in _AFTER_THE_END:
        raise CaseEnded
    if command.reply_by < shanghai_date(context.now_us):
        raise ReplyDateWrong
    envelope = Pen(file, command, context).main(cause=(leg.opened or leg.named_by,), law=articles.SUPERVISE)
    return [
        OrderIssued(
            **envelope,
            order=OrderId(envelope["id"]),
            leg=leg.id,
            leg_version=file.version_of(leg.id),
            unit=leg.unit,
            number=context.number("order.issued.v0"),
            trigger=command.trigger,
            reply_by=command.reply_by,
        )
    ]


def may_reply_order(file: CaseFile, order_id: OrderId | None, here: Situation) -> Order:
    """The unit that was ordered replies, or the one that opened the leg in its place; again where it was sent back."""
    here.require("handler", "leader")
    order = _order(file, order_id)
    leg = file.legs.get(order.issued.leg)
    if here.actor.unit not in {order.issued.unit, leg.unit if leg else None}:
        raise NotOrdered(unit=order.issued.unit)
    if order.judged is not None and order.judged.accepted:
        raise OrderAnswered
    if order.reply is not None and order.judged is None:
        raise OrderAnswered
    return order


def reply_order(file: CaseFile, command: ReplyOrder, context: Context) -> list[AnyEvent]:
    """The reply, on a stream of its own: the order's belongs to its issuer."""
    order = may_reply_order(file, command.order, context)
    cause = order.judged.id if order.judged else order.issued.id
    envelope = Pen(file, command, context).main(cause=(cause,), law=articles.SUPERVISE)
    return [OrderReplied(**envelope, order=command.order, leg=order.issued.leg)]


def may_judge(file: CaseFile, order_id: OrderId | None, here: Situation) -> Order:
    """The unit that issued the order judges a reply that it has not judged yet."""
    here.require("supervisor")
    order = _order(file, order_id)
    if order.issued.actor.unit != here.actor.unit:
        raise NotIssuer(unit=order.issued.actor.unit)
    if order.reply is None or order.judged is not None:
        raise ReplyMissing
    return order


def order_to_reply(file: CaseFile, unit: Unit) -> OrderId | None:
    """The first order that waits for a reply of `unit`; where none does, the latest that is not settled."""
    return _first(file, lambda order: order.issued.unit == unit and (order.reply is None or order.judged is not None))


def order_to_judge(file: CaseFile, unit: Unit) -> OrderId | None:
    """The first order of `unit` with a reply that it has not judged; where none has, the latest that is not settled."""
    return _first(
        file,
        lambda order: order.issued.actor.unit == unit and order.reply is not None and order.judged is None,
    )


def judge_order(file: CaseFile, command: JudgeOrder, context: Context) -> list[AnyEvent]:
    """Take the reply, or send it back with a new date; nothing where it was judged just so."""
    context.require("supervisor")
    known = file.orders.get(command.order)
    is_issuer = known is not None and known.issued.actor.unit == context.actor.unit
    if known and is_issuer and known.judged and _is_same(known.judged, command):
        return []
    order = may_judge(file, command.order, context)
    is_dated = command.reply_by is not None and command.reply_by >= shanghai_date(context.now_us)
    if is_dated if command.accepted else not is_dated:
        raise ReplyDateWrong
    if order.reply is None:
        raise ReplyMissing
    envelope = Pen(file, command, context).main(command.order, cause=(order.reply,), law=articles.SUPERVISE)
    return [
        OrderJudged(
            **envelope,
            order=command.order,
            unit=order.issued.unit,
            reply=order.reply,
            accepted=command.accepted,
            reply_by=command.reply_by,
        )
    ]


def _is_waiting(order: Order, command: IssueOrder, here: Situation) -> bool:
    issued = order.issued
    asked = (here.actor.unit, command.leg, command.trigger, command.reply_by)
    return order.reply is None and (issued.actor.unit, issued.leg, issued.trigger, issued.reply_by) == asked


def _is_same(judged: OrderJudged, command: JudgeOrder) -> bool:
    return (judged.accepted, judged.reply_by) == (command.accepted, command.reply_by)


def _order(file: CaseFile, order_id: OrderId | None) -> Order:
    order = file.orders.get(order_id) if order_id else None
    if order is None:
        raise OrderUnknown
    return order


def _first(file: CaseFile, waits: Callable[[Order], bool]) -> OrderId | None:
    unsettled = [id_ for id_, order in file.orders.items() if not (order.judged and order.judged.accepted)]
    latest = unsettled[-1] if unsettled else None
    return next((id_ for id_ in unsettled if waits(file.orders[id_])), latest)
