"""The one door to the rules: what follows from a command, given what this node knows of the case."""

from typing import assert_never

from domain import custody, handling, objections, registration, sealed, supervision
from domain.case import CaseFile
from domain.clocks import shanghai_date
from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    AnswerDirective,
    AnyCommand,
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
from domain.events import AnyEvent
from domain.plausible import check_class, check_days, check_identity, check_words
from domain.refusals import CaseUnknown


def decide(file: CaseFile | None, command: AnyCommand, context: Context) -> list[AnyEvent]:  # noqa: C901  one line each
    """The events of `command`, the main one first; [] where it took effect already, so that a repeat is harmless.

    file: this node's file of the case, null for `Register` and for a case unknown here. The events' versions follow
    those in the file: the caller appends them only if the streams stand there still. Raises a child of DomainError
    that says what to do next; nothing has happened then.
    """
    check_words(command)
    check_class(command)
    check_days(command)
    check_identity(command, shanghai_date(context.now_us))
    if isinstance(command, Register):
        return registration.register(command, context)
    if file is None:
        raise CaseUnknown
    match command:
        case CorrectRegistration():
            return registration.correct(file, command, context)
        case AmendClaim():
            return registration.amend_claim(file, command, context)
        case AddMaterial():
            return registration.add_material(file, command, context)
        case Withdraw():
            return registration.withdraw(file, command, context)
        case Rate():
            return registration.rate(file, command, context)
        case HandOver():
            return custody.hand_over(file, command, context)
        case OpenLeg():
            return custody.open_leg(file, command, context)
        case TakeOver():
            return custody.take_over(file, command, context)
        case AnswerDirective():
            return custody.answer_directive(file, command, context)
        case Object():
            return objections.object_to(file, command, context)
        case RuleObjection():
            return objections.rule_objection(file, command, context)
        case LapseObjection():
            return objections.lapse_objection(file, command, context)
        case Accept():
            return handling.accept(file, command, context)
        case Decline():
            return handling.decline(file, command, context)
        case Extend():
            return handling.extend(file, command, context)
        case IssueOpinion():
            return handling.issue_opinion(file, command, context)
        case Reply():
            return handling.reply(file, command, context)
        case Serve():
            return handling.serve(file, command, context)
        case Report():
            return handling.report(file, command, context)
        case Close():
            return handling.close(file, command, context)
        case IssueOrder():
            return supervision.issue_order(file, command, context)
        case ReplyOrder():
            return supervision.reply_order(file, command, context)
        case JudgeOrder():
            return supervision.judge_order(file, command, context)
        case NoteReading():
            return sealed.note_reading(file, command, context)
        case OrderErasure():
            return sealed.order_erasure(file, command, context)
        case ConfirmErasure():
            return sealed.confirm_erasure(file, command, context)
        case NoteDestruction():
            return sealed.note_destruction(file, command, context)
        case _:
            assert_never(command)
