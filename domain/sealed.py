"""Personal data: every reading is noted, and a key is destroyed only when two persons and every custodian agree."""

from uuid import UUID

from domain.case import CaseFile
from domain.commands import ConfirmErasure, NoteDestruction, NoteReading, OrderErasure
from domain.context import Context, Pen, Situation
from domain.divisions import Division
from domain.events import AnyEvent, ErasureConfirmed, ErasureOrdered, KeyDestroyed, SealedRead
from domain.parts import Erasure
from domain.refusals import Refusal


class SubjectUnknown(Refusal):
    """Nothing is sealed here under this subject. Check it."""

    code = "subject_unknown"
    says = ("本件没有该当事人的密封内容，请核对", "nothing is sealed under this subject in this case; check it")
    about = "subject"


class SubjectErased(Refusal):
    """The key was destroyed. What was sealed cannot be read any more, by anybody."""

    code = "subject_erased"
    says = ("该当事人的密钥已销毁，内容无法再读取", "the subject's key is destroyed; the content can no longer be read")
    about = "subject"


class RetentionHolds(Refusal):
    """The file must be kept while the matter is open, whatever the ground. Correct what is wrong, erase at the end."""

    code = "retention_holds"
    says = (
        "本件未办结，负有保存义务；登记有误的请先更正，办结后方可销毁",
        "the matter is open and its file must be kept; correct what was recorded in error, erase after the end",
    )


class KeyNotHere(Refusal):
    """Only who holds a subject's key can have it destroyed. Ask an office that handles or handled the case."""

    code = "key_not_here"
    says = (
        "本机关不持有该当事人的密钥，请由持有密钥的机关办理",
        "this office holds no key of this person; have an office that holds one order it",
    )
    about = "subject"


class ErasureUnknown(Refusal):
    """No such erasure in this case. Open the case again."""

    code = "erasure_unknown"
    says = ("本件没有该销毁令，请重新打开事项", "the case has no such erasure; open the case again")
    about = "erasure"


class ErasureElsewhere(Refusal):
    """Both persons sign on the node where the erasure was ordered. Confirm it there."""

    code = "erasure_elsewhere"
    says = (
        "销毁须在{node}确认，请到该节点办理",
        "the erasure is confirmed on {node}, where it was ordered; do it there",
    )


class SecondPersonNeeded(Refusal):
    """Nobody confirms an own order. Ask a second person."""

    code = "second_person_needed"
    says = ("不能确认本人发起的销毁，请由另一人确认", "nobody confirms an own erasure order; ask a second person")


class NotCustodian(Refusal):
    """This node is no custodian of a confirmed erasure. Nothing is to be destroyed here."""

    code = "not_custodian"
    says = (
        "本节点不是该销毁令确认的保管者，无需销毁",
        "this node is no custodian in a confirmed erasure; nothing to destroy",
    )


def note_reading(file: CaseFile, command: NoteReading, context: Context) -> list[AnyEvent]:
    """Who opens what, and why; recorded before the text is shown, each time."""
    context.require("citizen", "clerk", "handler", "leader", "supervisor", "auditor", "operator", "system")
    _check_subject(file, command.subject)
    envelope = Pen(file, command, context).main()
    return [SealedRead(**envelope, subject=command.subject, events=command.events, purpose=command.purpose)]


def may_order_erasure(file: CaseFile, here: Situation) -> None:
    """The first person orders once the matter has ended: until then the duty to keep its file holds."""
    here.require("leader", "supervisor")
    _check_retention(file)


def order_erasure(file: CaseFile, command: OrderErasure, context: Context) -> list[AnyEvent]:
    """The order of the first person; nothing while one for this subject is on its way."""
    context.require("leader", "supervisor")
    if is_erasure_ordered(file, command.subject, context.node):
        return []
    _check_subject(file, command.subject)
    if context.node not in file.custodians(command.subject):
        raise KeyNotHere
    may_order_erasure(file, context)
    envelope = Pen(file, command, context).main()
    return [ErasureOrdered(**envelope, erasure=envelope["id"], subject=command.subject, ground=command.ground)]


def is_erasure_ordered(file: CaseFile, subject: str, node: Division) -> bool:
    """Whether an order of `node` for this subject is on its way, or another custodian's on which two persons agree.

    What somebody else merely ordered, and perhaps never confirms, hinders nobody.
    """
    orders = [one for one in file.erasures.values() if one.ordered.subject == subject]
    return any(one.ordered.node == node or file.is_agreed(one) for one in orders)


def unconfirmed_erasure(file: CaseFile, node: Division) -> UUID | None:
    """The latest order that waits for a second person: one of `node`, where it can be confirmed, before any other."""
    waiting = [one.ordered for one in file.erasures.values() if one.confirmed is None]
    own = [ordered for ordered in waiting if ordered.node == node]
    return next((ordered.erasure for ordered in reversed(own or waiting)), None)


def may_confirm_erasure(file: CaseFile, erasure_id: UUID | None, here: Situation) -> Erasure:
    """The second person, on the same node, is somebody else."""
    here.require("leader", "supervisor")
    erasure = _erasure(file, erasure_id)
    if erasure.ordered.node != here.node:
        raise ErasureElsewhere(node=erasure.ordered.node)
    if erasure.ordered.actor.account == here.actor.account:
        raise SecondPersonNeeded
    if erasure.confirmed is None:
        _check_retention(file)  # the matter may have been opened again since the order
    return erasure


def confirm_erasure(file: CaseFile, command: ConfirmErasure, context: Context) -> list[AnyEvent]:
    """The agreement, naming every custodian known, each of whom has to sign; nothing where it was given."""
    erasure = may_confirm_erasure(file, command.erasure, context)
    if erasure.confirmed is not None:
        return []
    ordered = erasure.ordered
    custodians = tuple(sorted(file.custodians(ordered.subject)))
    envelope = Pen(file, command, context).main(command.erasure, cause=(ordered.id,))
    return [ErasureConfirmed(**envelope, erasure=command.erasure, subject=ordered.subject, custodians=custodians)]


def note_destruction(file: CaseFile, command: NoteDestruction, context: Context) -> list[AnyEvent]:
    """A custodian's signature that its wrapped key and ciphertexts are gone; nothing where it signed before.

    Who was given the key while the erasure was under way signs, too, though the confirmation does not name it. Nobody
    destroys before its own file says that the matter has ended, whoever says so.
    """
    context.require("system")
    erasure = _erasure(file, command.erasure)
    if context.node in erasure.destroyed_by:
        return []
    if erasure.confirmed is None or context.node not in file.unsigned(erasure):
        raise NotCustodian
    if not erasure.is_due:
        raise RetentionHolds
    envelope = Pen(file, command, context).main(cause=(erasure.confirmed.id,))
    subject = erasure.ordered.subject
    return [KeyDestroyed(**envelope, erasure=command.erasure, subject=subject, custodian=context.node)]


def _check_subject(file: CaseFile, subject: str) -> None:
    if subject not in file.keys:
        raise SubjectUnknown
    if file.due_erasure(subject) is not None:
        raise SubjectErased


def _check_retention(file: CaseFile) -> None:
    if not file.is_ended:
        raise RetentionHolds


def _erasure(file: CaseFile, erasure_id: UUID | None) -> Erasure:
    erasure = file.erasures.get(erasure_id) if erasure_id else None
    if erasure is None:
        raise ErasureUnknown
    return erasure
