"""Who has the matter: hand-over, its receipt, take-over, and the answers to directives; exactly one unit always."""

from datetime import date

from domain import articles
from domain.case import CaseFile
from domain.clocks import shanghai_date
from domain.commands import AnswerDirective, HandOver, OpenLeg, TakeOver
from domain.context import Context, Pen, Situation
from domain.divisions import Division
from domain.events import (
    AnyEvent,
    DirectiveAnswered,
    HandedOver,
    LegEnded,
    LegId,
    LegOpened,
    OrderIssued,
    Role,
    TakenOver,
)
from domain.holding import leg_in_hand
from domain.parts import Directive, Leg, node_of
from domain.refusals import (
    AssignUpward,
    CaseEnded,
    DirectiveUnknown,
    HandOverLateral,
    HandOverToSelf,
    LegUnknown,
    MustFinish,
    NotHolder,
    NotSuperior,
    ReportDateWrong,
    ReportOwed,
    UnitNotHere,
    UpgradeNeeded,
)

_SENDERS: tuple[Role, ...] = ("clerk", "handler", "leader")


def may_hand_over(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """The holder passes the matter on until it has accepted it in substance."""
    here.require(*_SENDERS)
    leg = leg_in_hand(file, leg_id, here)
    if file.has_accepted(leg):
        raise MustFinish
    return leg


def hand_over(file: CaseFile, command: HandOver, context: Context) -> list[AnyEvent]:
    """转送/交办 to a unit of this node, above or below; nothing where just this is on its way already."""
    context.require(*_SENDERS)
    known = file.legs.get(command.leg)
    if known and known.unit == context.actor.unit and _is_same_hand_over(known.handed, command):
        return []
    leg = may_hand_over(file, command.leg, context)
    _check_receiver(leg, command, context)
    _check_report(leg, command, shanghai_date(context.now_us))
    pen = Pen(file, command, context)
    envelope = pen.main(leg.id, cause=(leg.opened,), law=articles.ROUTE)
    next_leg = LegId(pen.fresh())
    return [
        HandedOver(
            **envelope,
            leg=leg.id,
            to=command.to,
            mode=command.mode,
            next_leg=next_leg,
            report_by=command.report_by,
        )
    ]


def open_leg(file: CaseFile, command: OpenLeg, context: Context) -> list[AnyEvent]:
    """The receiving node opens the leg that a directive named; nothing where it did, or where it came too late.

    Where there is no such unit on this node, its first office has the matter: somebody must.
    """
    context.require("system")
    leg = next((leg for leg in file.legs.values() if leg.named_by == command.directive), None)
    if leg is None:
        raise DirectiveUnknown
    if leg.node != context.node:
        raise UnitNotHere(unit=leg.unit, node=context.node)
    awaited = {one.id for one in (file.present_leg, file.pending_leg) if one}
    if leg.opened is not None or leg.id not in awaited:
        return []
    envelope = Pen(file, command, context).main(leg.id, cause=(leg.named_by,), law=articles.ROUTE)
    return [
        LegOpened(
            **envelope,
            leg=leg.id,
            unit=leg.unit if context.is_unit(leg.unit) else f"{context.node}.office",
            mode=leg.mode,
            from_leg=leg.from_leg,
            sender=leg.sender,
            report_by=_report_by(file, leg, context),
        )
    ]


def may_take_over(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """A leader of a superior takes the matter from whoever holds it, opened or not."""
    here.require("leader")
    leg = file.legs.get(leg_id)
    if leg is None:
        raise LegUnknown
    if leg.id in file.unknown:
        raise UpgradeNeeded
    if not here.topology.is_below(leg.node, here.node):
        raise NotSuperior(unit=leg.unit)
    if file.present_leg != leg:
        raise NotHolder(holder=file.accountable)
    if file.is_ended:
        raise CaseEnded
    return leg


def take_over(file: CaseFile, command: TakeOver, context: Context) -> list[AnyEvent]:
    """收回/提级 for a unit of this node, which answers from now on."""
    leg = may_take_over(file, command.leg, context)
    if node_of(command.unit) != context.node:
        raise UnitNotHere(unit=command.unit, node=context.node)
    context.require_unit(command.unit, "unit")
    if context.last_known is None:
        raise ValueError("a take-over names the holder's log and its last cosigned size")
    envelope = Pen(file, command, context).main(cause=(leg.opened or leg.named_by,), law=articles.DISPUTE)
    return [
        TakenOver(
            **envelope,
            leg=leg.id,
            leg_version=file.version_of(leg.id),
            last_log=context.last_known[0],
            last_size=context.last_known[1],
            next_leg=LegId(envelope["id"]),
            unit=command.unit,
        )
    ]


def answer_directive(file: CaseFile, command: AnswerDirective, context: Context) -> list[AnyEvent]:
    """Whether a directive found the leg as its issuer saw it, once, and the end of each leg it left without effect.

    A take-over or an agreed ruling moves custody in any case (ADR-0003); `overtaken` tells its issuer what happened
    meanwhile, so that it decides again. An order is overtaken where the unit no longer has the matter.
    """
    context.require("system")
    directive = file.directives.get(command.directive)
    if directive is None:
        raise DirectiveUnknown
    pen = Pen(file, command, context)
    events: list[AnyEvent] = []
    leg = file.legs.get(directive.leg)
    if leg is not None and leg.node == context.node and directive.id not in file.answered:
        events.append(
            DirectiveAnswered(
                **pen.main(cause=(directive.id,)),
                directive=directive.id,
                leg=leg.id,
                effect="applied" if _finds_as_seen(file, directive, leg) else "overtaken",
                holder=file.accountable or leg.unit,
                leg_version=file.version_of(leg.id),
            )
        )
    for lost in _left_without_effect(file, context.node):
        if lost.id in file.unknown:
            raise UpgradeNeeded
        envelope = pen.further(file.case, lost.id, cause=(directive.id,))
        events.append(LegEnded(**envelope, leg=lost.id, directive=directive.id))
    return events


def _is_same_hand_over(handed: HandedOver | None, command: HandOver) -> bool:
    asked = (command.to, command.mode, command.report_by)
    return handed is not None and (handed.to, handed.mode, handed.report_by) == asked


def _check_receiver(leg: Leg, command: HandOver, here: Situation) -> None:
    if command.to == leg.unit:
        raise HandOverToSelf
    to = node_of(command.to)
    is_above = here.topology.is_below(here.node, to) if to != here.node else False
    if to != here.node and not is_above and not here.topology.is_below(to, here.node):
        raise HandOverLateral(to=command.to)
    here.require_unit(command.to, "to")
    if is_above and command.mode == "assign_with_report":
        raise AssignUpward


def _check_report(leg: Leg, command: HandOver, today: date) -> None:
    if command.mode == "transfer":
        if leg.report_by is not None:
            raise ReportOwed
        if command.report_by is not None:
            raise ReportDateWrong
        return
    if command.report_by is None or command.report_by < today:
        raise ReportDateWrong
    if leg.report_by is not None and command.report_by > max(leg.report_by, today):
        raise ReportDateWrong


def _report_by(file: CaseFile, leg: Leg, here: Situation) -> date | None:
    """The report still owed for the matter, and to somebody else than the new holder or those below it."""
    if leg.mode in {"transfer", "assign_with_report"} or leg.from_leg is None:
        return leg.report_by
    before = file.legs.get(leg.from_leg)
    if leg.mode == "returned" and before is not None and before.from_leg is not None:
        before = file.legs.get(before.from_leg)
    if before is None or before.sender is None:
        return None
    is_owed_above = here.topology.is_below(here.node, node_of(before.sender))
    return before.report_by if leg.mode != "taken_over" or is_owed_above else None


def _finds_as_seen(file: CaseFile, directive: Directive, leg: Leg) -> bool:
    if isinstance(directive, OrderIssued):
        return file.present_leg == leg
    after = file.successor(leg)
    has_effect = directive.next_leg is None or (after is not None and after.named_by == directive.id)
    return has_effect and leg.moved_version <= directive.leg_version


def _left_without_effect(file: CaseFile, node: Division) -> list[Leg]:
    """The legs this node opened that are neither present nor handed on nor closed: a directive took them."""
    present = file.present_leg
    return [
        leg
        for leg in file.legs.values()
        if leg.node == node and leg.opened and leg != present and not (leg.handed or leg.closed or leg.ended_by)
    ]
