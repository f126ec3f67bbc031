"""One case as a person or a program reads it: facts, custody, claims, clocks, and what can be done next."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Literal
from uuid import UUID

import msgspec

from domain.authority import judged
from domain.calendar import Calendar
from domain.case import CaseFile
from domain.clocks import Colour, Deadline, Stage, colour, due, shanghai_date, stage
from domain.clocks import Step as Said
from domain.divisions import Division
from domain.duties import DutyClosed, DutyExtended, DutyOpened, duty_changes
from domain.events import (
    AnyEvent,
    CaseId,
    Channel,
    ClaimId,
    EventId,
    LegId,
    MatterClass,
    OpeningMode,
    Unit,
)
from domain.limits import OPTIONS, RuleId, rule_on
from domain.parts import Claim, Erasure, node_of
from domain.sealed import is_erasure_ordered, unconfirmed_erasure
from domain.standing import Standing
from domain.supervision import order_to_judge, order_to_reply

ClaimState = Literal["open", "accepted", "answered", "closed", "dropped"]


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """A running clock in both languages. days: whole days left, negative when overdue. derivation: how it was counted.

    due_us: the first moment that is too late (UTC microseconds). unit: who answers.
    """

    rule: RuleId
    zh: str
    en: str
    article: str
    article_en: str
    unit: Unit | None
    start_date: date
    due_date: date
    due_us: int
    days: int
    stage: Stage
    colour: Colour
    provisional: bool
    derivation: tuple[Said, ...]


class ClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """A claim by its id and how far it has come."""

    claim: ClaimId
    state: ClaimState


class LegView(msgspec.Struct, frozen=True, kw_only=True):
    """One unit's custody; opened_us is null until that unit's node has opened it."""

    leg: LegId
    unit: Unit
    unit_name: str
    mode: OpeningMode
    opened_us: int | None
    present: bool
    closed: bool


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure and who has still to sign it. complete_us: from when on no backup holds it either; null until then.

    due: whether this node has known the matter to be ended since two persons agreed; nothing is destroyed here before.
    """

    erasure: UUID
    ordered_us: int
    confirmed_us: int | None
    due: bool
    waiting_for: tuple[Division, ...]
    complete_us: int | None


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A case without anything that was sealed."""

    case: CaseId
    number: str | None
    channel: Channel | None
    matter_class: MatterClass | None
    category: str | None
    issue_region: Division | None
    received_on: date | None
    person_count: int | None
    filed_at: Division | None
    holder: Unit | None
    holder_name: str | None
    ended: bool
    withdrawn: bool
    claims: tuple[ClaimView, ...]
    legs: tuple[LegView, ...]
    clocks: tuple[ClockView, ...]
    papers: tuple[EventId, ...]
    erasures: tuple[ErasureView, ...]


def case_view(file: CaseFile, clocks: tuple[ClockView, ...], name: Callable[[str], str]) -> CaseView:
    """`file` for reading. name: unit code -> its name."""
    registered, classed = file.registered, file.corrected or file.registered
    present = file.present_leg
    return CaseView(
        case=file.case,
        number=registered.number if registered else None,
        channel=registered.channel if registered else None,
        matter_class=file.matter_class,
        category=classed.category if classed else None,
        issue_region=classed.issue_region if classed else None,
        received_on=registered.received_on if registered else None,
        person_count=registered.person_count if registered else None,
        filed_at=file.filed_at,
        holder=file.accountable,
        holder_name=name(file.accountable) if file.accountable else None,
        ended=file.is_ended,
        withdrawn=file.withdrawn is not None,
        claims=tuple(ClaimView(claim=claim.id, state=_state(claim)) for claim in file.claims.values()),
        legs=tuple(
            LegView(
                leg=leg.id,
                unit=leg.unit,
                unit_name=name(leg.unit),
                mode=leg.mode,
                opened_us=leg.opened_us,
                present=present is not None and leg.id == present.id,
                closed=leg.closed is not None,
            )
            for leg in file.legs.values()
        ),
        clocks=clocks,
        papers=tuple(file.papers),
        erasures=tuple(_erasure(file, erasure) for erasure in file.erasures.values()),
    )


def _erasure(file: CaseFile, erasure: Erasure) -> ErasureView:
    return ErasureView(
        erasure=erasure.ordered.erasure,
        ordered_us=erasure.ordered.recorded_us,
        confirmed_us=erasure.confirmed.recorded_us if erasure.confirmed else None,
        due=erasure.is_due,
        waiting_for=tuple(sorted(file.unsigned(erasure))),
        complete_us=file.complete_us(erasure),
    )


def running_clocks(
    file: CaseFile, events: Iterable[AnyEvent], calendar: Calendar, now_us: int
) -> tuple[ClockView, ...]:
    """The clocks of a case that run at `now_us`, the first to end first. events: all of the case, as learned."""
    running: dict[tuple[UUID, RuleId], tuple[DutyOpened, int]] = {}
    for event in in_effect(file, events):
        for change in duty_changes(event, file.begun):
            match change:
                case DutyOpened():
                    running.setdefault((change.subject, change.rule), (change, 0))
                case DutyExtended():
                    if found := running.get((change.subject, change.rule)):
                        opened, days = found
                        running[change.subject, change.rule] = (opened, days + change.extra_days)
                case DutyClosed():
                    running = {name: found for name, found in running.items() if not change.stops(*name)}
    deadlines = [_deadline(opened, days, calendar) for opened, days in running.values()]
    views = {
        clock_view(deadline, unit, now_us, file)
        for deadline, unit in deadlines
        if deadline.rule.id not in OPTIONS or deadline.due_us > now_us
    }
    return tuple(sorted(views, key=lambda view: (view.due_us, view.rule)))


def in_effect(file: CaseFile, events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    """Those of the case's events, in the order learned, that have effect by what is known now."""
    standing = Standing()
    for event in events:
        standing, is_lawful = judged(standing, event)
        if is_lawful and not file.standing.is_overtaken(event):
            yield event


def clock_view(deadline: Deadline, unit: Unit | None, now_us: int, file: CaseFile | None = None) -> ClockView:
    """`deadline` as it stands at `now_us`; a clock of no unit of its own is the present holder's."""
    rule = deadline.rule
    return ClockView(
        rule=rule.id,
        zh=rule.zh,
        en=rule.en,
        article=rule.article,
        article_en=rule.article_en,
        unit=unit or (file.accountable if file else None),
        start_date=deadline.start_date,
        due_date=deadline.due_date,
        due_us=deadline.due_us,
        days=(deadline.due_date - shanghai_date(now_us)).days,
        stage=stage(deadline, now_us),
        colour=colour(deadline, now_us),
        provisional=deadline.provisional,
        derivation=deadline.derivation,
    )


def deadline_of(rule: RuleId, start_us: int, calendar: Calendar, fixed: date | None, extra_days: int) -> Deadline:
    """The deadline of a clock that a projection or an event tells of. Raises RuleNotInForce, DueDateMissing."""
    return due(rule_on(rule, shanghai_date(start_us)), start_us, calendar, fixed, extra_days)


def targets(file: CaseFile, command: str, unit: Unit) -> tuple[tuple[str, UUID | str], ...]:
    """What a command of `unit` is about, as domain/steps asks for it: leg, objection, order, erasure."""
    here = node_of(unit)
    found: dict[str, UUID | str | None] = {}
    if command in _ABOUT_A_LEG and (leg := file.present_leg):
        found["leg"] = leg.id
    if command == "rule_objection" and (objection := file.standing_objection):
        found["objection"] = objection.raised.id
    if command == "reply_order":
        found["order"] = order_to_reply(file, unit)
    if command == "judge_order":
        found["order"] = order_to_judge(file, unit)
    if command == "order_erasure":
        held = (subject for subject in file.keys if here in file.custodians(subject))
        found["subject"] = next((subject for subject in held if not is_erasure_ordered(file, subject, here)), None)
    if command == "confirm_erasure":
        found["erasure"] = unconfirmed_erasure(file, here)
    return tuple((name, value) for name, value in found.items() if value is not None)


_ABOUT_A_LEG = frozenset(
    {
        "hand_over",
        "object",
        "take_over",
        "accept",
        "decline",
        "extend",
        "issue_opinion",
        "reply",
        "serve",
        "report",
        "close",
        "issue_order",
    }
)


def _deadline(opened: DutyOpened, extra_days: int, calendar: Calendar) -> tuple[Deadline, Unit | None]:
    return deadline_of(opened.rule, opened.start_us, calendar, opened.fixed, extra_days), opened.unit


def _state(claim: Claim) -> ClaimState:
    if claim.is_dropped:
        return "dropped"
    if claim.is_closed:
        return "closed"
    if claim.answer is not None:
        return "answered"
    return "accepted" if claim.accepted is not None else "open"
