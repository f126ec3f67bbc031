"""Who may write a leg: its holder, on its node, while it holds the matter and everything in it is understood."""

from domain.case import CaseFile
from domain.context import Situation
from domain.events import LegId
from domain.parts import Leg
from domain.refusals import (
    AwaitingReceipt,
    CaseEnded,
    CaseWithdrawn,
    LegUnknown,
    NotHolder,
    NotOpened,
    ObjectionStands,
    UpgradeNeeded,
)


def own_leg(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """The leg, if it is this unit's on this node and was opened: LegUnknown, UpgradeNeeded, NotHolder, NotOpened."""
    leg = file.legs.get(leg_id)
    if leg is None:
        raise LegUnknown
    if leg.id in file.unknown:
        raise UpgradeNeeded
    if leg.unit != here.actor.unit or leg.node != here.node:
        raise NotHolder(holder=file.accountable)
    if leg.opened is None:
        raise NotOpened
    return leg


def held_leg(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """`own_leg`, if it also has custody now and is open: NotHolder, AwaitingReceipt, CaseEnded besides."""
    leg = own_leg(file, leg_id, here)
    present = file.present_leg
    if present is None or present.id != leg.id:
        raise NotHolder(holder=file.accountable)
    if leg.handed is not None:
        raise AwaitingReceipt(to=leg.handed.to)
    if file.is_ended:
        raise CaseEnded
    return leg


def leg_in_hand(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """`held_leg`, if it can be worked on: CaseWithdrawn, ObjectionStands besides."""
    leg = held_leg(file, leg_id, here)
    if file.withdrawn is not None:
        raise CaseWithdrawn
    if file.standing_objection is not None:
        raise ObjectionStands
    return leg
