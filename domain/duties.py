"""Which clocks an event starts and which it stops, read from the event alone, so that a replay gives the same.

A clock starts when its fact happened (`occurred_us`, as claimed: an earlier claim only brings the end nearer) and
stops when the stopping fact was recorded (`recorded_us`): nothing backdated clears what is overdue.
"""

from collections.abc import Iterator
from datetime import date
from uuid import UUID

import msgspec

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


def duty_changes(event: AnyEvent) -> list[DutyChange]:
    """What `event` does to the clocks, closings first."""
    return [*_closed(event), *_extended(event), *_opened(event)]


def _closed(event: AnyEvent) -> Iterator[DutyClosed]:  # noqa: C901  one case per kind of event
    match event:
        case HandedOver():
            yield _close(event, _UNTIL_ROUTED, event.leg, event.case)
        case Declined() | Replied() | OpinionIssued() | Closed():
            yield _close(event, _UNTIL_ROUTED, event.leg, event.case)
            yield _close(event, ("accept_notice", "handle"), *_claims(event))
        case Accepted(kind="substantive"):
            yield _close(event, _UNTIL_ROUTED, event.leg, event.case)
            yield _close(event, ("accept_notice",), *event.claims)
        case ClaimAmended(change="dropped"):
            yield _close(event, ("accept_notice", "handle"), event.claim)
        case LegOpened(from_leg=UUID()):
            yield _close(event, _UNTIL_LEFT, event.from_leg, event.case)
        case TakenOver() | LegEnded():
            yield _close(event, _UNTIL_LEFT, event.leg, event.case)
        case Objected():
            yield _close(event, ("objection",), event.leg)
        case ObjectionRuled():
            yield _close(event, ("objection_ruling",), event.objection)
            if event.next_leg is not None:
                yield _close(event, _UNTIL_LEFT, event.leg)
        case ObjectionLapsed():
            yield _close(event, ("objection_ruling",), event.objection)
        case Reported():
            yield _close(event, ("report_back",), event.leg)
        case OrderReplied():
            yield _close(event, ("supervision_reply",), event.order)
        case DirectiveAnswered(effect="overtaken"):
            yield _close(event, ("supervision_reply",), event.directive)


def _extended(event: AnyEvent) -> list[DutyExtended]:
    if not isinstance(event, Extended):
        return []
    return [DutyExtended(subject=claim, rule="handle", extra_days=event.days) for claim in event.claims]


def _opened(event: AnyEvent) -> Iterator[DutyOpened]:
    match event:
        case Registered():
            rule: RuleId = "register_route" if event.unit.endswith(".office") else "accept_notice_direct"
            yield _open(event, rule, event.id, None, event.unit, day_start_us(event.received_on))
        case LegOpened():
            yield from _opened_with_leg(event)
        case ClaimAmended(change="added"):
            yield _open(event, "accept_notice", event.claim, None, None)
        case Objected():
            ruler = event.sender if node_of(event.sender) == event.ruler else f"{event.ruler}.office"
            yield _open(event, "objection_ruling", event.id, event.leg, ruler, event.recorded_us)
        case Accepted(kind="substantive"):
            for claim in event.claims:
                yield _open(event, "handle", claim, event.leg, None)
        case OrderIssued():
            yield _open(event, "supervision_reply", event.order, event.leg, event.unit, fixed=event.reply_by)
        case OrderJudged(accepted=False):
            yield _open(event, "supervision_reply", event.order, None, event.unit, fixed=event.reply_by)


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
