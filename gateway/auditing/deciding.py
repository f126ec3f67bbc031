"""Whether a node's own rules can have led to an event that it wrote: its command given again, to the same decision.

What people wrote is sealed and never matters to the rules, so other words take its place.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Final
from uuid import UUID

import msgspec

from domain.calendar import Calendar
from domain.case import CaseFile
from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    AnswerClaim,
    AnswerDirective,
    AnyCommand,
    Claim,
    Close,
    ConfirmErasure,
    CorrectRegistration,
    Decline,
    Extend,
    HandOver,
    IssueOpinion,
    IssueOrder,
    JudgeOrder,
    LapseObjection,
    NoteDestruction,
    NoteReading,
    Object,
    OpenLeg,
    OrderErasure,
    Petitioner,
    Rate,
    Register,
    Reply,
    ReplyOrder,
    Report,
    RuleObjection,
    Serve,
    TakeOver,
    Withdraw,
)
from domain.context import Context
from domain.decisions import decide
from domain.divisions import Division, Topology
from domain.errors import DomainError
from domain.events import (
    Accepted,
    AnyEvent,
    CaseId,
    ClaimAmended,
    Closed,
    Declined,
    DirectiveAnswered,
    ErasureConfirmed,
    ErasureOrdered,
    Extended,
    HandedOver,
    KeyDestroyed,
    LegOpened,
    MaterialAdded,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OpinionIssued,
    OrderIssued,
    OrderJudged,
    OrderReplied,
    Rated,
    Registered,
    RegistrationCorrected,
    Replied,
    Reported,
    SealedRead,
    Served,
    TakenOver,
    Withdrawn,
)

_WORDS: Final = "…"
_PAPER_OF_THIS: Final = "number"


def why_undecidable(file: CaseFile | None, event: AnyEvent, topology: Topology, calendar: Calendar) -> str | None:
    """Why the rules cannot have led to `event` on what its node knew of the case then; null where they can have.

    Null, too, for what follows from another event or from no command. file: all that the node knew before it.
    """
    command = _command(file, event)
    if command is None:
        return None
    try:
        decided = decide(file, command, _context(event, topology, calendar))
    except DomainError as refusal:
        return refusal.code
    if not decided:
        return "it had taken effect already"
    if decided[0] == event:
        return None
    fields = event.__struct_fields__
    other = [name for name in fields if getattr(decided[0], name, None) != getattr(event, name)]
    return f"decided otherwise: {', '.join(other)}"


def _context(event: AnyEvent, topology: Topology, calendar: Calendar) -> Context:
    places = {cause.id: (cause.log, cause.seq) for cause in event.cause}

    def where(id_: UUID) -> tuple[str, int] | None:
        log, seq = places.get(id_, (None, None))  # type: ignore[call-overload]
        return None if log is None or seq is None else (log, seq)

    return Context(
        now_us=event.recorded_us,
        node=Division(event.node),
        actor=event.actor,
        topology=topology,
        calendar=calendar,
        is_unit=(lambda unit: unit == event.unit) if isinstance(event, LegOpened) else (lambda _: True),
        ids=_ids(event),
        number=lambda _: str(getattr(event, _PAPER_OF_THIS, "")),
        sealed=event.sealed,
        where_known=where,
        last_known=(event.last_log, event.last_size) if isinstance(event, TakenOver) else None,
    )


def _ids(event: AnyEvent) -> Iterator[UUID]:
    yield event.id
    named = getattr(event, "next_leg", None)
    yield from repeat(event.id if named is None else named)


def _command(file: CaseFile | None, event: AnyEvent) -> AnyCommand | None:
    command = _said(file, event)
    is_later = command is not None and event.occurred_us != event.recorded_us
    return msgspec.structs.replace(command, occurred_us=event.occurred_us) if command and is_later else command


def _said(file: CaseFile | None, event: AnyEvent) -> AnyCommand | None:  # noqa: C901  one line per kind of event
    """The command whose main event this is."""
    case = event.case
    if case is None:
        return None
    match event:
        case Registered():
            return Register(
                channel=event.channel,
                matter_class=event.matter_class,
                category=event.category,
                issue_region=Division(event.issue_region),
                received_on=event.received_on,
                person_count=event.person_count,
                petitioner=Petitioner(),
                title=_WORDS,
                body=_WORDS,
                claims=tuple(Claim(claim=claim, text=_WORDS) for claim in event.claims),
            )
        case RegistrationCorrected():
            return CorrectRegistration(
                case=case,
                matter_class=event.matter_class,
                category=event.category,
                issue_region=Division(event.issue_region),
                reason=_WORDS,
            )
        case ClaimAmended():
            return AmendClaim(case=case, claim=event.claim, change=event.change, text=_WORDS)
        case MaterialAdded(digest=None):
            return AddMaterial(case=case, note="x" * min(event.size_bytes, 80_000))
        case Withdrawn():
            return Withdraw(case=case, reason=_WORDS)
        case Rated():
            return Rate(case=case, office=event.office, unit=event.unit)
        case OrderIssued():
            return IssueOrder(case=case, leg=event.leg, trigger=event.trigger, reply_by=event.reply_by, demand=_WORDS)
        case OrderReplied():
            return ReplyOrder(case=case, order=event.order, text=_WORDS)
        case OrderJudged():
            return JudgeOrder(
                case=case, order=event.order, accepted=event.accepted, reply_by=event.reply_by, comment=_WORDS
            )
        case SealedRead() if event.events and len(event.events) <= 500:
            return NoteReading(case=case, subject=event.subject, events=event.events, purpose=event.purpose)
        case ErasureOrdered():
            return OrderErasure(case=case, subject=event.subject, ground=event.ground)
        case ErasureConfirmed():
            return ConfirmErasure(case=case, erasure=event.erasure)
        case KeyDestroyed():
            return NoteDestruction(case=case, erasure=event.erasure)
        case DirectiveAnswered():
            return AnswerDirective(case=case, directive=event.directive)
        case _:
            return _said_on_a_leg(file, event, case)


def _said_on_a_leg(file: CaseFile | None, event: AnyEvent, case: CaseId) -> AnyCommand | None:  # noqa: C901  as above
    match event:
        case LegOpened():
            leg = file.legs.get(event.leg) if file else None
            return OpenLeg(case=case, directive=leg.named_by) if leg is not None and leg.named_by else None
        case HandedOver():
            return HandOver(
                case=case, leg=event.leg, to=event.to, mode=event.mode, report_by=event.report_by, reason=_WORDS
            )
        case Objected():
            return Object(case=case, leg=event.leg, proposed=event.proposed, reason=_WORDS)
        case ObjectionRuled():
            return RuleObjection(
                case=case, objection=event.objection, agreed=event.agreed, holder=event.holder, reason=_WORDS
            )
        case ObjectionLapsed():
            return LapseObjection(case=case, objection=event.objection)
        case TakenOver():
            return TakeOver(case=case, leg=event.leg, unit=event.unit, reason=_WORDS)
        case Accepted():
            return Accept(case=case, leg=event.leg, kind=event.kind)
        case Declined():
            return Decline(case=case, leg=event.leg, ground=event.ground, right_organ=event.right_organ, reason=_WORDS)
        case Extended():
            return Extend(case=case, leg=event.leg, days=event.days, reason=_WORDS)
        case OpinionIssued():
            answers = tuple(
                AnswerClaim(
                    claim=one.claim,
                    outcome=one.outcome,
                    law=one.law,
                    text=_WORDS,
                    performer=one.performer,
                    perform_by=one.perform_by,
                )
                for one in event.answers
            )
            return IssueOpinion(case=case, leg=event.leg, facts=_WORDS, answers=answers)
        case Replied():
            return Reply(case=case, leg=event.leg, result=event.result, text=_WORDS)
        case Served():
            return Serve(case=case, leg=event.leg, paper=event.paper, method=event.method, served_on=event.served_on)
        case Reported():
            return Report(case=case, leg=event.leg, text=_WORDS)
        case Closed():
            return Close(case=case, leg=event.leg, ending=event.ending)
        case _:
            return None
