"""Handling: accept or decline, extend, answer every claim, serve, report, and close by the ending the law gives."""

from collections.abc import Iterable
from datetime import date

from domain import articles
from domain.case import CaseFile
from domain.clocks import due, shanghai_date
from domain.commands import Accept, AnswerClaim, Close, Decline, Extend, IssueOpinion, Reply, Report, Serve
from domain.context import Context, Pen, Situation
from domain.endings import ENDINGS, REPLIES, check_ending, named
from domain.events import (
    Accepted,
    Answer,
    AnyEvent,
    ClaimId,
    Closed,
    Declined,
    Ending,
    Extended,
    LegId,
    MatterClass,
    OpinionIssued,
    Replied,
    Reported,
    Role,
    Served,
)
from domain.holding import held_leg, leg_in_hand, own_leg
from domain.limits import rule_on
from domain.parts import Claim, Leg, Paper
from domain.refusals import (
    CaseUnknown,
    ClaimAnswered,
    ClaimRepeated,
    ClaimUnknown,
    NotHolder,
    ObjectionStands,
    Refusal,
)
from domain.refusals_of_papers import (
    AcceptedAlready,
    ClaimUnanswered,
    ExtensionTooLate,
    ExtensionTooLong,
    ExtensionUsed,
    NotAccepted,
    NotSimple,
    PaperNotLawful,
    PaperUnknown,
    PerformanceMissing,
    ReportGiven,
    ReportNotAsked,
    ServedAlready,
    ServiceDateWrong,
    ServiceMissing,
)

EXTENSION_DAYS_MAX = 30
COLLECTIVE_MIN = 5

_HANDLERS: tuple[Role, ...] = ("handler", "leader")
_SERVERS: tuple[Role, ...] = ("clerk", "handler")


def may_accept(file: CaseFile, leg_id: LegId, here: Situation) -> tuple[Leg, tuple[ClaimId, ...]]:
    """The holder accepts, or declines, every claim that it has neither accepted nor answered yet."""
    here.require(*_HANDLERS)
    leg = leg_in_hand(file, leg_id, here)
    claims = tuple(claim.id for claim in file.unanswered_claims if claim.accepted is None)
    if not claims:
        raise AcceptedAlready
    return leg, claims


def accept(file: CaseFile, command: Accept, context: Context) -> list[AnyEvent]:
    """受理. A claim added later is accepted by a further one, and has its own clock from then."""
    leg, claims = may_accept(file, command.leg, context)
    if command.kind == "procedural" and (leg.procedural is not None or file.has_accepted(leg)):
        raise AcceptedAlready
    envelope = Pen(file, command, context).main(leg.id, cause=(leg.opened,), law=articles.ACCEPT)
    number = context.number("leg.accepted.v0")
    return [Accepted(**envelope, leg=leg.id, kind=command.kind, number=number, claims=claims)]


def decline(file: CaseFile, command: Decline, context: Context) -> list[AnyEvent]:
    """不予受理/不再受理 of what has not been accepted."""
    leg, claims = may_accept(file, command.leg, context)
    envelope = Pen(file, command, context).main(leg.id, cause=(leg.opened,), law=articles.ACCEPT)
    return [
        Declined(
            **envelope,
            leg=leg.id,
            ground=command.ground,
            number=context.number("leg.declined.v0"),
            right_organ=command.right_organ,
            claims=claims,
        )
    ]


def may_extend(file: CaseFile, leg_id: LegId, here: Situation) -> tuple[Leg, tuple[Claim, ...]]:
    """The head of the unit extends, once, each claim that is running and not yet overdue."""
    here.require("leader")
    leg = leg_in_hand(file, leg_id, here)
    running = [claim for claim in file.unanswered_claims if claim.accepted]
    if not running:
        raise NotAccepted
    unextended = [claim for claim in running if claim.extra_days == 0]
    if not unextended:
        raise ExtensionUsed
    in_time = tuple(claim for claim in unextended if here.now_us < _handled_by_us(claim, here))
    if not in_time:
        raise ExtensionTooLate
    return leg, in_time


def extend(file: CaseFile, command: Extend, context: Context) -> list[AnyEvent]:
    """延期, at most 30 days on top of the 60."""
    leg, claims = may_extend(file, command.leg, context)
    if not 1 <= command.days <= EXTENSION_DAYS_MAX:
        raise ExtensionTooLong
    cause = dict.fromkeys(claim.accepted for claim in claims)
    envelope = Pen(file, command, context).main(leg.id, cause=cause, law=articles.PERIOD)
    return [Extended(**envelope, leg=leg.id, days=command.days, claims=tuple(claim.id for claim in claims))]


def may_issue_opinion(file: CaseFile, leg_id: LegId, here: Situation) -> tuple[Leg, tuple[Claim, ...]]:
    """The holder answers accepted claims of class ⑥; a claim nobody has accepted or declined stands in the way."""
    here.require(*_HANDLERS)
    leg = leg_in_hand(file, leg_id, here)
    if _class_of(file) != "claim_petition":
        raise PaperNotLawful(**named(REPLIES[_class_of(file)]))
    return leg, _accepted_and_unanswered(file)


def issue_opinion(file: CaseFile, command: IssueOpinion, context: Context) -> list[AnyEvent]:
    """信访处理意见书. What was accepted together is answered together; what has its own clock may have its own."""
    leg, open_claims = may_issue_opinion(file, command.leg, context)
    _check_answers(file, command.answers, open_claims, shanghai_date(context.now_us))
    for index, answer in enumerate(command.answers):
        if answer.performer is not None:
            context.require_unit(answer.performer, f"answers[{index}].performer")
    cause = dict.fromkeys(file.claims[answer.claim].accepted for answer in command.answers)
    envelope = Pen(file, command, context).main(leg.id, cause=cause, law=articles.OPINION)
    answers = tuple(
        Answer(
            claim=answer.claim,
            outcome=answer.outcome,
            law=answer.law,
            performer=answer.performer,
            perform_by=answer.perform_by,
        )
        for answer in command.answers
    )
    return [OpinionIssued(**envelope, leg=leg.id, number=context.number("opinion.issued.v0"), answers=answers)]


def may_reply(file: CaseFile, leg_id: LegId, here: Situation) -> tuple[Leg, tuple[Claim, ...]]:
    """The holder replies where no opinion is due. Classes ⑤ and ⑥ are accepted first; ⑥ only in simple matters."""
    here.require(*_HANDLERS)
    leg = leg_in_hand(file, leg_id, here)
    if _class_of(file) == "claim_petition":
        persons = file.registered.person_count if file.registered else 1
        if leg.report_by is not None or persons >= COLLECTIVE_MIN:
            raise NotSimple
    if _class_of(file) in {"claim_petition", "claim_duty"}:
        return leg, _accepted_and_unanswered(file)
    if not file.unanswered_claims:
        raise AcceptedAlready
    return leg, file.unanswered_claims


def reply(file: CaseFile, command: Reply, context: Context) -> list[AnyEvent]:
    """答复 to every claim still unanswered."""
    leg, claims = may_reply(file, command.leg, context)
    if command.result not in REPLIES[_class_of(file)]:
        raise PaperNotLawful(**named(REPLIES[_class_of(file)]))
    law = articles.SUGGESTION if _class_of(file) == "suggestion" else articles.CLASSES
    envelope = Pen(file, command, context).main(leg.id, cause=(leg.opened,), law=law)
    return [
        Replied(
            **envelope,
            leg=leg.id,
            number=context.number("leg.replied.v0"),
            result=command.result,
            claims=tuple(claim.id for claim in claims),
        )
    ]


def may_serve(file: CaseFile, leg_id: LegId, here: Situation) -> tuple[Leg, dict[str, Paper]]:
    """The unit serves its own papers, also after the matter has gone on. Gives those not served yet, by event id."""
    here.require(*_SERVERS)
    leg = own_leg(file, leg_id, here)
    papers = {str(id_): paper for id_, paper in file.papers.items() if paper.leg == leg.id}
    if not papers:
        raise PaperUnknown
    unserved = {id_: paper for id_, paper in papers.items() if paper.id not in file.served}
    if not unserved:
        raise ServedAlready
    return leg, unserved


def serve(file: CaseFile, command: Serve, context: Context) -> list[AnyEvent]:
    """送达; nothing where just this was recorded. The first service counts."""
    context.require(*_SERVERS)
    known = file.served.get(command.paper)
    if known and (known.leg, known.method, known.served_on) == (command.leg, command.method, command.served_on):
        return []
    paper = file.papers.get(command.paper)
    if paper is None or paper.leg != command.leg:
        own_leg(file, command.leg, context)
        raise PaperUnknown
    leg, unserved = may_serve(file, command.leg, context)
    if str(command.paper) not in unserved:
        raise ServedAlready
    if not shanghai_date(paper.occurred_us) <= command.served_on <= shanghai_date(context.now_us):
        raise ServiceDateWrong
    envelope = Pen(file, command, context).main(leg.id, cause=(command.paper,))
    return [Served(**envelope, leg=leg.id, paper=command.paper, method=command.method, served_on=command.served_on)]


def may_report(file: CaseFile, leg_id: LegId, here: Situation) -> Leg:
    """The holder of an assigned matter reports, once a paper was served or the matter ended without one."""
    here.require(*_HANDLERS)
    leg = own_leg(file, leg_id, here)
    if file.present_leg != leg or leg.handed is not None:
        raise NotHolder(holder=file.accountable)
    if leg.report_by is None:
        raise ReportNotAsked
    if leg.report is not None:
        raise ReportGiven
    is_agreed = leg.closed is not None and leg.closed.ending == "agreement"
    final = {claim.answer for claim in file.living_claims if claim.answer}
    if file.withdrawn is None and not is_agreed and not (final and final <= file.served.keys()):
        raise ServiceMissing
    return leg


def report(file: CaseFile, command: Report, context: Context) -> list[AnyEvent]:
    """办结报告 to whoever assigned the matter."""
    leg = may_report(file, command.leg, context)
    envelope = Pen(file, command, context).main(leg.id, cause=(leg.opened,), law=articles.REPORT)
    return [Reported(**envelope, leg=leg.id, number=context.number("leg.reported.v0"))]


def may_close(file: CaseFile, leg_id: LegId, here: Situation) -> tuple[Leg, tuple[Ending, ...]]:
    """The holder closes. Gives every ending that is lawful now; raises what stands in the way of the usual one."""
    here.require(*_HANDLERS)
    leg = held_leg(file, leg_id, here)
    if file.standing_objection is not None:
        raise ObjectionStands
    usual: tuple[Ending, ...] = ("withdrawn",) if file.withdrawn else ENDINGS[_class_of(file)]
    found: list[Ending] = []
    obstacles: list[Refusal] = []
    for ending in usual:
        try:
            check_ending(file, leg, _class_of(file), ending)
            found.append(ending)
        except Refusal as obstacle:
            obstacles.append(obstacle)
    if not found:
        raise obstacles[0]
    return leg, tuple(found)


def close(file: CaseFile, command: Close, context: Context) -> list[AnyEvent]:
    """办结 of every living claim; nothing where it is closed so already."""
    context.require(*_HANDLERS)
    known = file.legs.get(command.leg)
    if file.is_ended and known and known.closed and known.closed.ending == command.ending:
        own_leg(file, command.leg, context)
        return []
    leg = held_leg(file, command.leg, context)
    if file.standing_objection is not None:
        raise ObjectionStands
    check_ending(file, leg, _class_of(file), command.ending)
    claims = tuple(claim.id for claim in file.living_claims if not claim.is_closed)
    papers = dict.fromkeys(claim.answer for claim in file.living_claims if not claim.is_closed)
    cause = (file.withdrawn.id,) if file.withdrawn else tuple(papers)
    envelope = Pen(file, command, context).main(leg.id, cause=cause)
    return [Closed(**envelope, leg=leg.id, ending=command.ending, claims=claims)]


def _class_of(file: CaseFile) -> MatterClass:
    if file.matter_class is None:
        raise CaseUnknown
    return file.matter_class


def _handled_by_us(claim: Claim, here: Situation) -> int:
    rule = rule_on("handle", shanghai_date(claim.accepted_us))
    return due(rule, claim.accepted_us, here.calendar).due_us


def _accepted_and_unanswered(file: CaseFile) -> tuple[Claim, ...]:
    if not file.unanswered_claims:
        raise AcceptedAlready
    if any(claim.accepted is None for claim in file.unanswered_claims):
        raise NotAccepted
    return file.unanswered_claims


def _check_answers(file: CaseFile, answers: Iterable[AnswerClaim], claims: tuple[Claim, ...], today: date) -> None:
    given = [answer.claim for answer in answers]
    if len(set(given)) < len(given):
        raise ClaimRepeated(field="answers")
    for id_ in given:
        known = file.claims.get(id_)
        if known is None or known.is_dropped:
            raise ClaimUnknown(claim=id_, field="answers")
        if known not in claims:
            raise ClaimAnswered(claim=id_, field="answers")
    together = {file.claims[id_].accepted for id_ in given}
    for claim in claims:
        if claim.accepted in together and claim.id not in given:
            raise ClaimUnanswered(claim=claim.id)
    for answer in answers:
        if answer.outcome == "support" and (not answer.performer or not answer.perform_by or answer.perform_by < today):
            raise PerformanceMissing(claim=answer.claim)
