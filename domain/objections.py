"""Objections (管辖异议): the receiver keeps the matter until the sender agrees, or a superior rules otherwise."""

from typing import Literal

from domain import articles
from domain.case import CaseFile
from domain.clocks import due, shanghai_date
from domain.commands import LapseObjection, Object, RuleObjection
from domain.context import Context, Pen, Situation
from domain.divisions import Division, DivisionUnknown
from domain.events import (
    AnyEvent,
    EventId,
    LegId,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    Role,
    Unit,
)
from domain.holding import leg_in_hand
from domain.limits import RuleId, rule_on
from domain.parts import Leg, Objection, node_of
from domain.refusals import (
    NotHolder,
    NotTheRuler,
    ObjectionImpossible,
    ObjectionRuns,
    ObjectionSettled,
    ObjectionTooLate,
    ObjectionUnknown,
    RulingHolderWrong,
    UpgradeNeeded,
)

_RULERS: tuple[Role, ...] = ("handler", "leader")


def may_object(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """The receiver of a transfer objects within five working days, before accepting, and not against a ruling."""
    here.require(*_RULERS)
    leg = leg_in_hand(file, leg_id, here)
    earlier = [objection for objection in file.objections.values() if objection.raised.leg == leg.id]
    was_ruled = any(objection.ruling and objection.ruling.by == "common_superior" for objection in earlier)
    is_transfer = leg.mode in {"transfer", "assign_with_report"} and leg.sender is not None
    if not is_transfer or was_ruled or leg.procedural or file.has_accepted(leg) or file.has_answered(leg):
        raise ObjectionImpossible
    if leg.opened_us is not None and here.now_us >= _end_us("objection", leg.opened_us, here):
        raise ObjectionTooLate
    return leg


def object_to(file: CaseFile, command: Object, context: Context) -> list[AnyEvent]:
    """管辖异议. The sender rules; where organs dispute, the superior they have in common does at once (Art. 24)."""
    leg = may_object(file, command.leg, context)
    if leg.sender is None:
        raise ObjectionImpossible
    rival = _rival(file, leg)
    ruler = _common_superior(rival, leg.unit, context) if rival else None
    envelope = Pen(file, command, context).main(leg.id, cause=(leg.opened,), law=articles.OBJECT)
    return [
        Objected(
            **envelope,
            leg=leg.id,
            proposed=command.proposed,
            sender=leg.sender,
            ruler=ruler or node_of(leg.sender),
        )
    ]


def may_rule(file: CaseFile, objection_id: EventId | None, here: Situation) -> Objection:
    """The sender rules, or the superior named in the objection, while it stands and its time has not run out."""
    here.require(*_RULERS)
    objection = file.objections.get(objection_id) if objection_id else None
    if objection is None:
        raise ObjectionUnknown
    raised = objection.raised
    ended_us = _end_us("objection_ruling", raised.recorded_us, here)
    if objection != file.standing_objection or here.now_us >= ended_us:
        raise ObjectionSettled
    if here.node != raised.ruler or (raised.ruler == node_of(raised.sender) and here.actor.unit != raised.sender):
        raise NotTheRuler(ruler=raised.sender if raised.ruler == node_of(raised.sender) else raised.ruler)
    return objection


def rule_objection(file: CaseFile, command: RuleObjection, context: Context) -> list[AnyEvent]:
    """The ruling; whoever it names answers from now on. Nothing where the same ruling stands already."""
    context.require(*_RULERS)
    known = file.objections.get(command.objection)
    if known and known.ruling and _is_same_ruling(known.ruling, command, context):
        return []
    raised = may_rule(file, command.objection, context).raised
    leg = file.legs[raised.leg]
    rival = _rival(file, leg, before=raised)
    by: Literal["sender", "common_superior"] = "common_superior"
    if context.actor.unit == raised.sender and rival in {None, raised.sender}:
        by = "sender"
    holder = _holder(command, leg.unit, raised.sender, by, context)
    pen = Pen(file, command, context)
    envelope = pen.main(cause=(raised.id,), law=articles.OBJECT if by == "sender" else articles.DISPUTE)
    return [
        ObjectionRuled(
            **envelope,
            objection=raised.id,
            leg=leg.id,
            leg_version=file.version_of(leg.id),
            agreed=command.agreed,
            by=by,
            holder=holder,
            next_leg=LegId(pen.fresh()) if holder != leg.unit else None,
        )
    ]


def lapse_objection(file: CaseFile, command: LapseObjection, context: Context) -> list[AnyEvent]:
    """Five working days of silence ended the objection; nothing where it ended otherwise."""
    context.require("system")
    objection = file.objections.get(command.objection)
    if objection is None:
        raise ObjectionUnknown
    leg = file.legs[objection.raised.leg]
    if leg.node != context.node:
        raise NotHolder(holder=leg.unit)
    if objection != file.standing_objection:
        return []
    if leg.id in file.unknown:
        raise UpgradeNeeded
    end_us = _end_us("objection_ruling", objection.raised.recorded_us, context)
    if context.now_us < end_us:
        raise ObjectionRuns(end_us)
    envelope = Pen(file, command, context).main(leg.id, cause=(objection.raised.id,), law=articles.OBJECT)
    return [ObjectionLapsed(**envelope, objection=objection.raised.id, leg=leg.id)]


def _rival(file: CaseFile, leg: Leg, before: Objected | None = None) -> Unit | None:
    """The other organ of a dispute: a sender that refused once, or another unit that objected before; else null."""
    known = list(file.objections.values())
    earlier = known[: [one.raised for one in known].index(before)] if before else known
    if any(one.raised.leg == leg.id and one.ruling and not one.ruling.agreed for one in earlier):
        return leg.sender
    others = [file.legs[one.raised.leg].unit for one in earlier if one.raised.leg in file.legs]
    return next((unit for unit in reversed(others) if unit != leg.unit), None)


def _common_superior(rival: Unit, unit: Unit, here: Situation) -> Division | None:
    """Null where nobody stands above both, or where this node does not know the rival's line."""
    try:
        return here.topology.common_superior(node_of(rival), node_of(unit))
    except DivisionUnknown:
        return None


def _holder(command: RuleObjection, objector: Unit, sender: Unit, by: str, here: Situation) -> Unit:
    if not command.agreed:
        wanted, lawful = command.holder or objector, command.holder in {None, objector}
    elif by == "sender":
        wanted, lawful = sender, command.holder in {None, sender}
    else:
        wanted = command.holder or sender
        lawful = wanted != objector and here.node in here.topology.path_up(node_of(wanted))
    if not lawful:
        raise RulingHolderWrong
    if wanted not in {objector, sender}:
        here.require_unit(wanted, "holder")
    return wanted


def _is_same_ruling(ruling: ObjectionRuled, command: RuleObjection, here: Situation) -> bool:
    is_own = ruling.actor.unit == here.actor.unit
    return is_own and ruling.agreed == command.agreed and command.holder in {None, ruling.holder}


def _end_us(rule: RuleId, start_us: int, here: Situation) -> int:
    return due(rule_on(rule, shanghai_date(start_us)), start_us, here.calendar).due_us
