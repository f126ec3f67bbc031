"""Every command a person or the node itself can give: plain words in, sealed before they are decided on.

A command's free texts are personal data. `texts` names each with the path under which it is sealed; `decide`
never sees them, it only sees the commitments that the sealed store made of them.
"""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from domain.bounds import Category, ExtraDays, Line, PersonCount, Subject
from domain.divisions import Division
from domain.events import (
    CaseId,
    Channel,
    ClaimId,
    DeclineGround,
    Ending,
    ErasureGround,
    EventId,
    LegId,
    MatterClass,
    OrderId,
    OrderTrigger,
    Outcome,
    PaperReply,
    Rating,
    ReadingPurpose,
    ServiceMethod,
    TransferMode,
    Unit,
)

Text = Annotated[str, Meta(min_length=1, max_length=20_000)]
Phone = Annotated[str, Meta(pattern=r"^[0-9+ -]{5,20}$")]


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command"):
    """Base of all commands. occurred_us: when it happened, null for now; never later than now, nor before its cause."""

    occurred_us: int | None = None

    def texts(self) -> dict[str, str]:
        """The free texts by the path under which each is sealed; none by default."""
        return {}


class Petitioner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who petitions; an empty name is an unnamed letter. Everything here is sealed."""

    name: Annotated[str, Meta(max_length=60)] = ""
    phone: Phone | None = None
    id_number: Annotated[str, Meta(pattern=r"^[0-9]{17}[0-9Xx]$")] | None = None
    address: Annotated[str, Meta(max_length=200)] = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim and the id that the caller gave it (a fresh UUIDv7)."""

    claim: ClaimId
    text: Text


class Register(Command, tag="register", frozen=True, kw_only=True):
    """登记. The node gives the case id and the number. received_on: null for the day in China when it happened."""

    channel: Channel
    matter_class: MatterClass
    category: Category
    issue_region: Division
    received_on: date | None = None
    person_count: PersonCount = 1
    petitioner: Petitioner
    title: Line
    body: Text
    claims: Annotated[tuple[Claim, ...], Meta(min_length=1, max_length=20)]

    def texts(self) -> dict[str, str]:
        """Title, body, every claim, and what is known of the petitioner."""
        person = {
            f"petitioner.{field}": value
            for field in ("name", "phone", "id_number", "address")
            if (value := getattr(self.petitioner, field))
        }
        claims = {f"claim.{claim.claim}": claim.text for claim in self.claims}
        return person | {"title": self.title, "body": self.body} | claims


class CorrectRegistration(Command, tag="correct_registration", frozen=True, kw_only=True):
    """更正登记: the whole new classification."""

    case: CaseId
    matter_class: MatterClass
    category: Category
    issue_region: Division
    reason: Text

    def texts(self) -> dict[str, str]:
        """Why it was wrong."""
        return {"reason": self.reason}


class AmendClaim(Command, tag="amend_claim", frozen=True, kw_only=True):
    """诉求变更: add a claim (a fresh id), change the text of one, or drop one."""

    case: CaseId
    claim: ClaimId
    change: Literal["added", "changed", "dropped"]
    text: Text

    def texts(self) -> dict[str, str]:
        """The claim's new text, or why it is dropped."""
        return {f"claim.{self.claim}": self.text}


class AddMaterial(Command, tag="add_material", frozen=True, kw_only=True):
    """补充材料 as text."""

    case: CaseId
    note: Text

    def texts(self) -> dict[str, str]:
        """The material itself."""
        return {"note": self.note}


class Withdraw(Command, tag="withdraw", frozen=True, kw_only=True):
    """撤回, as the petitioner asked."""

    case: CaseId
    reason: Text

    def texts(self) -> dict[str, str]:
        """The petitioner's words."""
        return {"reason": self.reason}


class Rate(Command, tag="rate", frozen=True, kw_only=True):
    """满意度评价 of petition office and responsible unit apart."""

    case: CaseId
    office: Rating
    unit: Rating
    comment: Annotated[str, Meta(max_length=2_000)] = ""

    def texts(self) -> dict[str, str]:
        """The comment, where there is one."""
        return {"comment": self.comment} if self.comment else {}


class HandOver(Command, tag="hand_over", frozen=True, kw_only=True):
    """转送/交办 the leg to a unit here, above or below. report_by: for assign_with_report only."""

    case: CaseId
    leg: LegId
    to: Unit
    mode: TransferMode
    report_by: date | None = None
    reason: Text

    def texts(self) -> dict[str, str]:
        """Why that unit."""
        return {"reason": self.reason}


class OpenLeg(Command, tag="open_leg", frozen=True, kw_only=True):
    """The node itself opens the leg that a directive gave to one of its units."""

    case: CaseId
    directive: EventId


class Object(Command, tag="object", frozen=True, kw_only=True):
    """管辖异议 with reasons and, if known, the unit that should have it."""

    case: CaseId
    leg: LegId
    proposed: Unit | None = None
    reason: Text

    def texts(self) -> dict[str, str]:
        """The detailed reasons (Art. 23(3))."""
        return {"reason": self.reason}


class RuleObjection(Command, tag="rule_objection", frozen=True, kw_only=True):
    """The sender agrees or refuses; a common superior names the holder. holder: required where it is neither side."""

    case: CaseId
    objection: EventId
    agreed: bool
    holder: Unit | None = None
    reason: Text

    def texts(self) -> dict[str, str]:
        """Why."""
        return {"reason": self.reason}


class LapseObjection(Command, tag="lapse_objection", frozen=True, kw_only=True):
    """The node itself notes that five working days of silence ended the objection."""

    case: CaseId
    objection: EventId


class TakeOver(Command, tag="take_over", frozen=True, kw_only=True):
    """收回/提级 of a leg by a superior node for one of its units. last_log, last_size: from this node's witness."""

    case: CaseId
    leg: LegId
    unit: Unit
    reason: Text

    def texts(self) -> dict[str, str]:
        """Why."""
        return {"reason": self.reason}


class AnswerDirective(Command, tag="answer_directive", frozen=True, kw_only=True):
    """The node itself records whether a ruling, take-over or order found the leg as its issuer saw it."""

    case: CaseId
    directive: EventId


class Accept(Command, tag="accept", frozen=True, kw_only=True):
    """受理 of all living claims not yet accepted."""

    case: CaseId
    leg: LegId
    kind: Literal["procedural", "substantive"] = "substantive"


class Decline(Command, tag="decline", frozen=True, kw_only=True):
    """不予受理/不再受理."""

    case: CaseId
    leg: LegId
    ground: DeclineGround
    right_organ: Line
    reason: Text

    def texts(self) -> dict[str, str]:
        """The reason the notice gives."""
        return {"reason": self.reason}


class Extend(Command, tag="extend", frozen=True, kw_only=True):
    """延期, approved by the head of the unit."""

    case: CaseId
    leg: LegId
    days: ExtraDays
    reason: Text

    def texts(self) -> dict[str, str]:
        """The reason told to the petitioner."""
        return {"reason": self.reason}


class AnswerClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to one claim. performer, perform_by: required where the outcome is support."""

    claim: ClaimId
    outcome: Outcome
    law: Line
    text: Text
    performer: Unit | None = None
    perform_by: date | None = None


class IssueOpinion(Command, tag="issue_opinion", frozen=True, kw_only=True):
    """信访处理意见书: facts and one answer for every living claim."""

    case: CaseId
    leg: LegId
    facts: Text
    answers: Annotated[tuple[AnswerClaim, ...], Meta(min_length=1, max_length=20)]

    def texts(self) -> dict[str, str]:
        """Facts and answers."""
        return {"facts": self.facts} | {f"answer.{answer.claim}": answer.text for answer in self.answers}


class Reply(Command, tag="reply", frozen=True, kw_only=True):
    """答复 of a suggestion, a simple matter, or naming the legal procedure."""

    case: CaseId
    leg: LegId
    result: PaperReply
    text: Text

    def texts(self) -> dict[str, str]:
        """The reply."""
        return {"reply": self.text}


class Serve(Command, tag="serve", frozen=True, kw_only=True):
    """送达 of a paper (the event it is rendered from)."""

    case: CaseId
    leg: LegId
    paper: EventId
    method: ServiceMethod
    served_on: date


class Report(Command, tag="report", frozen=True, kw_only=True):
    """办结报告 to the assigner."""

    case: CaseId
    leg: LegId
    text: Text

    def texts(self) -> dict[str, str]:
        """The report."""
        return {"report": self.text}


class Close(Command, tag="close", frozen=True, kw_only=True):
    """办结 with the ending that the class of the matter allows."""

    case: CaseId
    leg: LegId
    ending: Ending


class IssueOrder(Command, tag="issue_order", frozen=True, kw_only=True):
    """督办 of the unit that holds the leg."""

    case: CaseId
    leg: LegId
    trigger: OrderTrigger
    reply_by: date
    demand: Text

    def texts(self) -> dict[str, str]:
        """What is demanded."""
        return {"demand": self.demand}


class ReplyOrder(Command, tag="reply_order", frozen=True, kw_only=True):
    """The supervised unit's reply."""

    case: CaseId
    order: OrderId
    text: Text

    def texts(self) -> dict[str, str]:
        """The reply."""
        return {"reply": self.text}


class JudgeOrder(Command, tag="judge_order", frozen=True, kw_only=True):
    """Take the reply, or send it back with a new date."""

    case: CaseId
    order: OrderId
    accepted: bool
    reply_by: date | None = None
    comment: Text

    def texts(self) -> dict[str, str]:
        """The comment."""
        return {"comment": self.comment}


class NoteReading(Command, tag="note_reading", frozen=True, kw_only=True):
    """The node notes that somebody opened sealed text; given before the text is shown."""

    case: CaseId
    subject: Subject
    events: Annotated[tuple[EventId, ...], Meta(min_length=1, max_length=500)]
    purpose: ReadingPurpose


class OrderErasure(Command, tag="order_erasure", frozen=True, kw_only=True):
    """The first of two persons orders a subject's key destroyed."""

    case: CaseId
    subject: Subject
    ground: ErasureGround


class ConfirmErasure(Command, tag="confirm_erasure", frozen=True, kw_only=True):
    """The second person agrees."""

    case: CaseId
    erasure: UUID


class NoteDestruction(Command, tag="note_destruction", frozen=True, kw_only=True):
    """A custodian's node notes, in the same transaction that destroys them, that its key and ciphertexts are gone."""

    case: CaseId
    erasure: UUID


AnyCommand = (
    Register
    | CorrectRegistration
    | AmendClaim
    | AddMaterial
    | Withdraw
    | Rate
    | HandOver
    | OpenLeg
    | Object
    | RuleObjection
    | LapseObjection
    | TakeOver
    | AnswerDirective
    | Accept
    | Decline
    | Extend
    | IssueOpinion
    | Reply
    | Serve
    | Report
    | Close
    | IssueOrder
    | ReplyOrder
    | JudgeOrder
    | NoteReading
    | OrderErasure
    | ConfirmErasure
    | NoteDestruction
)
