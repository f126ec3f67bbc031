"""Which clocks an event starts and which it stops, read from the events alone, so that a replay gives the same.

A clock starts when its fact happened (`occurred_us`, as claimed: an earlier claim only brings the end nearer), though
not before what the fact followed from (`domain.beginnings`: another office may have to answer by then), and stops when
the stopping fact was recorded (`recorded_us`): nothing backdated clears what is overdue.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.beginnings import Beginnings, as_counted
from domain.clocks import day_start_us
from domain.events import (
    Accepted,
    AnyEvent,
    CaseId,
    ClaimAmended,
    ClaimId,
    Closed,
    Declined,
    DirectiveAnswered,
    Event,
    Extended,
    HandedOver,
    LegEnded,
    LegId,
    LegOpened,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OpinionIssued,
    OrderIssued,
    OrderJudged,
    OrderReplied,
    Registered,
    Replied,
    Reported,
    TakenOver,
    Unit,
)
from domain.limits import RuleId
from domain.parts import node_of


class DutyOpened(msgspec.Struct, frozen=True, kw_only=True):
    """A clock that starts, or that starts anew after it was stopped.

    subject: the claim, leg, order, objection or registration that it counts for; with `rule` it names the clock on
    every node. unit: who answers, null for whichever unit holds the case. fixed: the date set, for rules of kind
    fixed_date, never before the start. The end is `clocks.due` of rule, start and date.
    """

    subject: UUID
    rule: RuleId
    case: CaseId
    leg: LegId | None
    unit: Unit | None
    start_us: int
    fixed: date | None = None


class DutyExtended(msgspec.Struct, frozen=True, kw_only=True):
    """The clock named by `subject` and `rule` runs so many days longer, from the same start."""

    subject: UUID
    rule: RuleId
    extra_days: int


class DutyClosed(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever clocks of these rules run for these subjects stop at `at_us`."""

    subjects: tuple[UUID, ...]
    rules: tuple[RuleId, ...]
    at_us: int

    def stops(self, subject: UUID, rule: RuleId) -> bool:
        """Whether the clock of that name is among them."""
        return rule in self.rules and subject in self.subjects


DutyChange = DutyOpened | DutyExtended | DutyClosed

_UNTIL_ROUTED: tuple[RuleId, ...] = ("register_route", "accept_notice", "accept_notice_direct", "objection")
_UNTIL_LEFT: tuple[RuleId, ...] = (*_UNTIL_ROUTED, "report_back")


def duty_changes(event: AnyEvent, begun: Beginnings) -> list[DutyChange]:
    """What `event` does to the clocks, closings first. begun: of its case, from the events before it."""
    told = _CHANGES.get(type(event))
    return [] if told is None else list(told(as_counted(event, begun)))


def _registered(event: Registered) -> Iterator[DutyChange]:
    rule: RuleId = "register_route" if event.unit.endswith(".office") else "accept_notice_direct"
    yield _open(event, rule, event.id, None, event.unit, day_start_us(event.received_on))


def _claim_amended(event: ClaimAmended) -> Iterator[DutyChange]:
    if event.change == "dropped":
        yield _close(event, ("accept_notice", "handle"), event.claim)
    elif event.change == "added":
        yield _open(event, "accept_notice", event.claim, None, None)


def _leg_opened(event: LegOpened) -> Iterator[DutyChange]:
    if event.from_leg is not None:
        yield _close(event, _UNTIL_LEFT, event.from_leg, event.case)
    yield from _opened_with_leg(event)


def _handed_over(event: HandedOver) -> Iterator[DutyChange]:
    yield _close(event, _UNTIL_ROUTED, event.leg, event.case)


def _left(event: TakenOver | LegEnded) -> Iterator[DutyChange]:
    yield _close(event, _UNTIL_LEFT, event.leg, event.case)


def _objected(event: Objected) -> Iterator[DutyChange]:
    yield _close(event, ("objection",), event.leg)
    ruler = event.sender if node_of(event.sender) == event.ruler else f"{event.ruler}.office"
    yield _open(event, "objection_ruling", event.id, event.leg, ruler, event.recorded_us)


def _ruled(event: ObjectionRuled) -> Iterator[DutyChange]:
    yield _close(event, ("objection_ruling",), event.objection)
    if event.next_leg is not None:
        yield _close(event, _UNTIL_LEFT, event.leg)


def _lapsed(event: ObjectionLapsed) -> Iterator[DutyChange]:
    yield _close(event, ("objection_ruling",), event.objection)


def _accepted(event: Accepted) -> Iterator[DutyChange]:
    if event.kind != "substantive":
        return
    yield _close(event, _UNTIL_ROUTED, event.leg, event.case)
    yield _close(event, ("accept_notice",), *event.claims)
    for claim in event.claims:
        yield _open(event, "handle", claim, event.leg, None)


def _extended(event: Extended) -> Iterator[DutyChange]:
    for claim in dict.fromkeys(event.claims):
        yield DutyExtended(subject=claim, rule="handle", extra_days=event.days)


def _answered(event: Declined | Replied | OpinionIssued | Closed) -> Iterator[DutyChange]:
    yield _close(event, _UNTIL_ROUTED, event.leg, event.case)
    yield _close(event, ("accept_notice", "handle"), *_claims(event))


def _reported(event: Reported) -> Iterator[DutyChange]:
    yield _close(event, ("report_back",), event.leg)


def _ordered(event: OrderIssued) -> Iterator[DutyChange]:
    yield _open(event, "supervision_reply", event.order, event.leg, event.unit, fixed=event.reply_by)


def _order_replied(event: OrderReplied) -> Iterator[DutyChange]:
    yield _close(event, ("supervision_reply",), event.order)


def _order_judged(event: OrderJudged) -> Iterator[DutyChange]:
    if not event.accepted and event.reply_by is not None:  # without a date nothing can be late
        yield _open(event, "supervision_reply", event.order, None, event.unit, fixed=event.reply_by)


def _directive_answered(event: DirectiveAnswered) -> Iterator[DutyChange]:
    if event.effect == "overtaken":
        yield _close(event, ("supervision_reply",), event.directive)


_CHANGES: Final[Mapping[type[Any], Callable[[Any], Iterator[DutyChange]]]] = {
    Registered: _registered,
    ClaimAmended: _claim_amended,
    LegOpened: _leg_opened,
    HandedOver: _handed_over,
    TakenOver: _left,
    LegEnded: _left,
    Objected: _objected,
    ObjectionRuled: _ruled,
    ObjectionLapsed: _lapsed,
    Accepted: _accepted,
    Extended: _extended,
    Declined: _answered,
    Replied: _answered,
    OpinionIssued: _answered,
    Closed: _answered,
    Reported: _reported,
    OrderIssued: _ordered,
    OrderReplied: _order_replied,
    OrderJudged: _order_judged,
    DirectiveAnswered: _directive_answered,
}

WITH_CLOCK: Final = tuple(_CHANGES)
"""The events that start, extend or stop a clock."""


def _opened_with_leg(event: LegOpened) -> Iterator[DutyOpened]:
    if event.mode == "returned":
        yield _open(event, "register_route", event.leg, event.leg, event.unit)
    elif event.mode != "registered":
        yield _open(event, "accept_notice", event.leg, event.leg, event.unit)
    if event.mode in {"transfer", "assign_with_report"}:
        yield _open(event, "objection", event.leg, event.leg, event.unit)
    if event.report_by is not None:
        yield _open(event, "report_back", event.leg, event.leg, event.unit, fixed=event.report_by)


def _open(
    event: Event,
    rule: RuleId,
    subject: UUID,
    leg: LegId | None,
    unit: Unit | None,
    start_us: int | None = None,
    fixed: date | None = None,
) -> DutyOpened:
    """A date that had passed before the matter arrived starts its clock on that date: it was late on arrival."""
    if event.case is None:
        raise ValueError("an event with a clock concerns a case")
    start = event.occurred_us if start_us is None else start_us
    if fixed is not None:
        start = min(start, day_start_us(fixed))
    return DutyOpened(subject=subject, rule=rule, case=event.case, leg=leg, unit=unit, start_us=start, fixed=fixed)


def _close(event: Event, rules: tuple[RuleId, ...], *subjects: UUID | None) -> DutyClosed:
    known = tuple(subject for subject in subjects if subject is not None)
    return DutyClosed(subjects=known, rules=rules, at_us=event.recorded_us)


def _claims(event: Declined | Replied | OpinionIssued | Closed) -> tuple[ClaimId, ...]:
    return tuple(a.claim for a in event.answers) if isinstance(event, OpinionIssued) else event.claims
