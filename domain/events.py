"""Every stored shape of Huiyin: the bytes of each Struct here are a leaf that must verify for ever.

The names, the order of the fields and their types ARE the storage format (ADR-0002): an event is msgspec JSON
in declaration order, without floats, its tag first. A change of any field is a new tag. Until release 1.0 tags
end in `v0` and may still change, on purpose, together with their golden bytes in `tests/golden`.

Every field is bounded (`domain.bounds`): what goes beyond is no event, so a dishonest or broken node's leaf ends in a
fault of its own instead of in a table or a clock.

No event has a field for free text or for a person: whatever a human wrote is sealed beside the event, and the
event only carries `sealed`, the commitments to it (ADR-0005).
"""

import re
from datetime import date
from typing import Annotated, Literal, NewType
from uuid import UUID

import msgspec

from domain import bounds
from domain.divisions import Division

EventId = NewType("EventId", UUID)
StreamId = NewType("StreamId", UUID)
CaseId = NewType("CaseId", UUID)
LegId = NewType("LegId", UUID)
ClaimId = NewType("ClaimId", UUID)
OrderId = NewType("OrderId", UUID)

Unit = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{12}\.[a-z0-9_]{1,24}(?!\n)$")]
"""An office that can hold a leg: the 12-digit code of the node it works on, a dot, its short name there."""

Claims = Annotated[tuple[ClaimId, ...], bounds.MANY]
Role = Literal["citizen", "clerk", "handler", "leader", "supervisor", "auditor", "operator", "system"]
Channel = Literal["online", "letter", "visit", "phone", "fax", "sms", "mailbox", "hotline"]
MatterClass = Literal[
    "suggestion",  # 建议意见类, Art. 29
    "claim_litigation",  # 申诉求决类 ①, Art. 31
    "claim_arbitration",  # ②
    "claim_party_appeal",  # ③
    "claim_admin_procedure",  # ④
    "claim_duty",  # ⑤
    "claim_petition",  # ⑥: the only one that ends in an opinion under Art. 32
]
Outcome = Literal["support", "explain", "reject"]
Rating = Literal["satisfied", "fairly_satisfied", "dissatisfied"]
ServiceMethod = Literal["in_person", "registered_mail", "online", "phone", "sms", "notice_board"]
Ending = Literal["opinion", "simple_reply", "imported", "declined", "agreement", "withdrawn"]
PaperReply = Literal["adopted", "partly_adopted", "not_adopted", "answered", "procedure_named"]
OrderTrigger = Literal[
    "procedure_breached", "shirking", "perfunctory", "delay", "fraud", "opinion_not_performed", "dissatisfied"
]
DeclineGround = Literal[
    "pending_elsewhere", "npc_or_judicial", "other_procedure", "three_level_final", "not_a_petition"
]
ReadingPurpose = Literal["handle", "serve", "supervise", "audit", "citizen", "export"]
ErasureGround = Literal["retention_ended", "subject_request", "recorded_in_error"]
EscrowGround = Literal["holder_gone", "holder_silent", "key_lost", "lawful_order"]
TransferMode = Literal["transfer", "assign_with_report"]
OpeningMode = Literal["registered", "transfer", "assign_with_report", "returned", "ruled", "taken_over"]


class Actor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who did it: an account by its pseudonym, in which role, for which unit."""

    account: UUID
    role: Role
    unit: Unit


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event that made this one lawful. A receiver that should hold `log` waits until it holds leaf `seq`.

    log: the author's log origin; seq: 0-based leaf index there. Both null where the cause stands in the author's
    own log, whose order already says that it came first."""

    id: EventId
    log: bounds.Origin | None
    seq: bounds.Size | None


class Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was written about one subject, as commitments: path of the text -> base64 of its salted hash.

    subject: pseudonym of the person's file in this case, see `domain.keys.new_subject`. ciphertext: base64 SHA-256 of
    the sealed bytes that travel beside the event, so that a swapped or missing ciphertext shows without any key."""

    subject: bounds.Subject
    fields: Annotated[dict[bounds.SealedPath, bounds.Digest], bounds.FEW]
    ciphertext: bounds.Digest


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """The envelope that every event opens with.

    id: made by `node`, as the id itself says (`domain.ids`), like that of a leg, order or erasure which the event names
    first. stream: the single-writer stream it belongs to; version: 1-based position there. case: the case it concerns,
    if any. node: the author's division. occurred_us: when it happened, as claimed; recorded_us: the author's clock,
    which never runs backwards in a log (both UTC microseconds since 1970). law: the article relied on, where one is."""

    id: EventId
    stream: StreamId
    version: bounds.Version
    case: CaseId | None
    node: bounds.AuthorCode
    actor: Actor
    occurred_us: bounds.InstantUs
    recorded_us: bounds.InstantUs
    cause: Annotated[tuple[Cause, ...], bounds.FEW]
    law: bounds.Line | None
    sealed: Annotated[tuple[Sealed, ...], bounds.FEW]


# --- the case and what the citizen says ---------------------------------------------------------------------------


class Registered(Event, tag="case.registered.v0", frozen=True, kw_only=True):
    """登记. The case stream opens (stream = case = id). claims: one id per claim, its text sealed at `claim.<id>`."""

    number: bounds.Line
    channel: Channel
    matter_class: MatterClass
    category: bounds.Category
    issue_region: bounds.Code
    received_on: date
    person_count: bounds.PersonCount
    unit: Unit
    claims: Claims

    def __post_init__(self) -> None:
        bounds.keep_within(self.received_on)


class RegistrationCorrected(Event, tag="case.corrected.v0", frozen=True, kw_only=True):
    """更正登记. The whole new classification; what stood before stays in the log. Reason sealed at `reason`."""

    matter_class: MatterClass
    category: bounds.Category
    issue_region: bounds.Code


class ClaimAmended(Event, tag="claim.amended.v0", frozen=True, kw_only=True):
    """诉求变更. A claim added on day 40 gets its own acceptance and clock; text sealed at `claim.<id>`."""

    claim: ClaimId
    change: Literal["added", "changed", "dropped"]


class MaterialAdded(Event, tag="material.added.v0", frozen=True, kw_only=True):
    """补充材料. digest: base64 SHA-256 of the sealed attachment, or null where the material is the text at `note`."""

    material: UUID
    digest: bounds.Digest | None
    size_bytes: bounds.SizeBytes


class Withdrawn(Event, tag="case.withdrawn.v0", frozen=True, kw_only=True):
    """撤回. Said by the petitioner; never deletes the file. Reason sealed at `reason`."""


class Rated(Event, tag="case.rated.v0", frozen=True, kw_only=True):
    """满意度评价. Petition office and responsible unit are judged apart, once, whenever the citizen likes."""

    office: Rating
    unit: Rating


# --- custody: one leg, one holder, one writer ---------------------------------------------------------------------


class LegOpened(Event, tag="leg.opened.v0", frozen=True, kw_only=True):
    """A unit holds the case from here (stream = leg). from_leg: the leg before it, null for the first."""

    leg: LegId
    unit: Unit
    mode: OpeningMode
    from_leg: LegId | None
    sender: Unit | None
    report_by: date | None

    def __post_init__(self) -> None:
        bounds.keep_within(self.report_by)


class HandedOver(Event, tag="leg.handed_over.v0", frozen=True, kw_only=True):
    """转送/交办. Written on the sender's leg; the receiver opens `next_leg`. Until it has, the sender answers."""

    leg: LegId
    to: Unit
    mode: TransferMode
    next_leg: LegId
    report_by: date | None

    def __post_init__(self) -> None:
        bounds.keep_within(self.report_by)


class Objected(Event, tag="leg.objected.v0", frozen=True, kw_only=True):
    """管辖异议, within 5 working days (Art. 23(3)); the receiver keeps the matter until the sender agrees.

    sender: who handed it over. ruler: the division that has to rule: the sender's own, or in a dispute the common
    superior's (Art. 24)."""

    leg: LegId
    proposed: Unit | None
    sender: Unit
    ruler: bounds.Code


class ObjectionRuled(Event, tag="objection.ruled.v0", frozen=True, kw_only=True):
    """The sender's answer, or at the second dispute the common superior's (Art. 24). Names the leg's version seen.

    holder: who answers from now on. next_leg: the leg that holder opens; null where the receiver keeps its own."""

    objection: EventId
    leg: LegId
    leg_version: bounds.VersionSeen
    agreed: bool
    by: Literal["sender", "common_superior"]
    holder: Unit
    next_leg: LegId | None


class ObjectionLapsed(Event, tag="objection.lapsed.v0", frozen=True, kw_only=True):
    """Five working days of silence ended the objection; written by the holder of the leg, which keeps it."""

    objection: EventId
    leg: LegId


class TakenOver(Event, tag="leg.taken_over.v0", frozen=True, kw_only=True):
    """收回/提级 by a superior (stream = next_leg = id): what the old holder writes later has no effect.

    last_log, last_size: the old holder's log and its last cosigned size that the superior had then."""

    leg: LegId
    leg_version: bounds.VersionSeen
    last_log: bounds.Origin
    last_size: bounds.Size
    next_leg: LegId
    unit: Unit


class LegEnded(Event, tag="leg.ended.v0", frozen=True, kw_only=True):
    """The old holder's own last word on a leg that a directive took from it: returned, ruled away or taken over."""

    leg: LegId
    directive: EventId


# --- handling -----------------------------------------------------------------------------------------------------


class Accepted(Event, tag="leg.accepted.v0", frozen=True, kw_only=True):
    """受理. Procedural: "sent to X"; substantive: "we handle it", which starts the 60 days (Art. 34)."""

    leg: LegId
    kind: Literal["procedural", "substantive"]
    number: bounds.Line
    claims: Claims


class Declined(Event, tag="leg.declined.v0", frozen=True, kw_only=True):
    """不予受理/不再受理 of these claims, with its ground and where to turn instead; reason sealed at `reason`."""

    leg: LegId
    ground: DeclineGround
    number: bounds.Line
    right_organ: bounds.Line
    claims: Claims


class Extended(Event, tag="leg.extended.v0", frozen=True, kw_only=True):
    """延期, once per claim, at most 30 days, approved by the head of the unit (Art. 34); reason sealed at `reason`."""

    leg: LegId
    days: bounds.ExtraDays
    claims: Claims


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to one claim; its text sealed at `answer.<claim>`. A supporting one says who performs it by when."""

    claim: ClaimId
    outcome: Outcome
    law: bounds.Line
    performer: Unit | None
    perform_by: date | None

    def __post_init__(self) -> None:
        bounds.keep_within(self.perform_by)


class OpinionIssued(Event, tag="opinion.issued.v0", frozen=True, kw_only=True):
    """信访处理意见书 (Art. 32): facts sealed at `facts`, every living claim answered."""

    leg: LegId
    number: bounds.Line
    answers: Annotated[tuple[Answer, ...], bounds.MANY]


class Replied(Event, tag="leg.replied.v0", frozen=True, kw_only=True):
    """答复 where the law asks no formal opinion: a suggestion adopted or not, a simple matter, a procedure named."""

    leg: LegId
    number: bounds.Line
    result: PaperReply
    claims: Claims


class Served(Event, tag="paper.served.v0", frozen=True, kw_only=True):
    """送达 of one paper, which is named by the event it was rendered from. Starts what the law counts from service."""

    leg: LegId
    paper: EventId
    method: ServiceMethod
    served_on: date

    def __post_init__(self) -> None:
        bounds.keep_within(self.served_on)


class Reported(Event, tag="leg.reported.v0", frozen=True, kw_only=True):
    """办结报告 to the assigner (Art. 22(1)); text sealed at `report`."""

    leg: LegId
    number: bounds.Line


class Closed(Event, tag="leg.closed.v0", frozen=True, kw_only=True):
    """办结 of these claims. Answered is not yet resolved (化解): what an opinion promised is still to be performed."""

    leg: LegId
    ending: Ending
    claims: Claims


# --- supervision --------------------------------------------------------------------------------------------------


class OrderIssued(Event, tag="order.issued.v0", frozen=True, kw_only=True):
    """督办函 (Art. 40) with its own reply clock (stream = order = id); demand sealed at `demand`."""

    order: OrderId
    leg: LegId
    leg_version: bounds.VersionSeen
    unit: Unit
    number: bounds.Line
    trigger: OrderTrigger
    reply_by: date

    def __post_init__(self) -> None:
        bounds.keep_within(self.reply_by)


class OrderReplied(Event, tag="order.replied.v0", frozen=True, kw_only=True):
    """The supervised unit's reply, on its own stream (opened by this event); text sealed at `reply`."""

    order: OrderId
    leg: LegId


class OrderJudged(Event, tag="order.judged.v0", frozen=True, kw_only=True):
    """The issuer takes the unit's reply or sends it back with a new date."""

    order: OrderId
    unit: Unit
    reply: EventId
    accepted: bool
    reply_by: date | None

    def __post_init__(self) -> None:
        bounds.keep_within(self.reply_by)


class DirectiveAnswered(Event, tag="directive.answered.v0", frozen=True, kw_only=True):
    """Exactly one per directive received: applied, or overtaken by what the leg's holder had done meanwhile."""

    directive: EventId
    leg: LegId
    effect: Literal["applied", "overtaken"]
    holder: Unit
    leg_version: bounds.VersionSeen


# --- personal data ------------------------------------------------------------------------------------------------


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One custodian of a data key. recipient_key: the id of the public key that it was wrapped to.

    wrapped: base64 SHA-256 of the wrapped key beside the event, so that whoever passes it on sees that it is whole.
    """

    custodian: bounds.Code
    recipient_key: bounds.KeyName
    wrapped: bounds.Digest
    purpose: Literal["handle", "escrow", "access"]


class KeyGranted(Event, tag="key.granted.v0", frozen=True, kw_only=True):
    """A data key was wrapped for these custodians; wrapped key i travels beside as part i, never in a log."""

    subject: bounds.Subject
    grants: Annotated[tuple[Grant, ...], bounds.MANY]


class EscrowOpened(Event, tag="escrow.opened.v0", frozen=True, kw_only=True):
    """Two officers had a subject's key taken out of the escrow for the node that has the matter (stream = id).

    Recorded before the key is touched. order: of the request, the same for each subject of it. request: the request as
    both have signed it (`sync/trust/escrow_request.py`), under the keys that the escrow's `escrow.founded.v0` names.
    """

    order: UUID
    subject: bounds.Subject
    receiver: bounds.Code
    ground: EscrowGround
    request: bounds.CertificateText


class SealedRead(Event, tag="sealed.read.v0", frozen=True, kw_only=True):
    """Somebody opened sealed text: which events' and why."""

    subject: bounds.Subject
    events: Annotated[tuple[EventId, ...], bounds.MANY]
    purpose: ReadingPurpose


class SealedItem(Event, tag="sealed.item.v0", frozen=True, kw_only=True):
    """A sealed letter of unnamed kind to an unnamed organ: neutral, of one size, its bytes padded (Art. 30, 46⑤).
    ciphertext: base64 SHA-256 of the padded sealed bytes beside the event."""

    item: UUID
    ciphertext: bounds.Digest


class ErasureOrdered(Event, tag="erasure.ordered.v0", frozen=True, kw_only=True):
    """The first of two persons orders a subject's key destroyed (stream = erasure = id)."""

    erasure: UUID
    subject: bounds.Subject
    ground: ErasureGround


class ErasureConfirmed(Event, tag="erasure.confirmed.v0", frozen=True, kw_only=True):
    """The second person agrees. custodians: every node whose signed destruction completes it."""

    erasure: UUID
    subject: bounds.Subject
    custodians: Annotated[tuple[bounds.Code, ...], bounds.MANY]


class KeyDestroyed(Event, tag="key.destroyed.v0", frozen=True, kw_only=True):
    """A custodian signs that it has destroyed its wrapped key and its ciphertexts of this subject."""

    erasure: UUID
    subject: bounds.Subject
    custodian: bounds.Code


# --- the node itself ----------------------------------------------------------------------------------------------


class NodeOpened(Event, tag="node.opened.v0", frozen=True, kw_only=True):
    """The first leaf of a log."""

    origin: bounds.Origin
    name: bounds.Line
    parent: bounds.Code | None


class EscrowFounded(Event, tag="escrow.founded.v0", frozen=True, kw_only=True):
    """Whose two signatures open the escrow of this root. key: the id of its public key; first, second: their vkeys."""

    key: bounds.KeyName
    first: bounds.Line
    second: bounds.Line


class ChildEnrolled(Event, tag="node.enrolled.v0", frozen=True, kw_only=True):
    """A node was enrolled below this one. certificate: the signed text (see sync/trust/certificates)."""

    division: bounds.Code
    name: bounds.Line
    certificate: bounds.CertificateText


class KeysRotated(Event, tag="node.key_rotated.v0", frozen=True, kw_only=True):
    """This node's other signing keys, as C2SP vkeys: from this leaf on they sign its log beside those in force, and
    alone once its superior has certified them."""

    log: bounds.SigningKey
    witness: bounds.SigningKey
    intake: bounds.SigningKey


class KeysRevoked(Event, tag="node.key_revoked.v0", frozen=True, kw_only=True):
    """The keys of a node below count no more beyond a size of its log. revocation: the signed text that says which and
    why (see sync/trust/statements)."""

    division: bounds.Code
    revocation: bounds.StatementText


class NodeMoved(Event, tag="node.moved.v0", frozen=True, kw_only=True):
    """A node stands below another superior from here on, as somebody above both places says. certificate: its next one,
    signed, which names the new superior."""

    division: bounds.Code
    name: bounds.Line
    parent: bounds.Code
    certificate: bounds.CertificateText


class UnitOpened(Event, tag="unit.opened.v0", frozen=True, kw_only=True):
    """An office of this node and its name."""

    unit: Unit
    name: bounds.Line


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far another node's log was known: size and base64 root."""

    log: bounds.Origin
    size: bounds.Size
    root: bounds.Digest


class HeadsNoted(Event, tag="node.heads.v0", frozen=True, kw_only=True):
    """What this node knew when, made provable: the heads it had accepted that grew since its last note."""

    heads: Annotated[tuple[Head, ...], bounds.MANY]


class HolidaysNoticed(Event, tag="calendar.noticed.v0", frozen=True, kw_only=True):
    """The State Council's notice for a year: days off on weekdays, working days on weekends. The later notice rules."""

    year: bounds.Year
    off: Annotated[tuple[date, ...], bounds.MANY]
    working: Annotated[tuple[date, ...], bounds.MANY]
    source: bounds.Line
    edition: bounds.Edition

    def __post_init__(self) -> None:
        bounds.keep_within(*self.off, *self.working)


class ShardOpened(Event, tag="log.shard_opened.v0", frozen=True, kw_only=True):
    """The first leaf of every later shard of a log: before, size, root (base64) say which shard ended, and where.

    checkpoint: the signed note of that head with its author's cosignatures, empty for size 0. why: a year was over, or
    the disk was lost: what stood in `before` beyond `size` is lost too, and without effect where it turns up."""

    origin: bounds.Origin
    before: bounds.Origin
    size: bounds.Size
    root: bounds.Digest
    checkpoint: bounds.Note
    why: Literal["year", "lost"]


# fmt: off
AnyEvent = (
    Registered | RegistrationCorrected | ClaimAmended | MaterialAdded | Withdrawn | Rated | LegOpened | HandedOver
    | Objected | ObjectionRuled | ObjectionLapsed | TakenOver | LegEnded | Accepted | Declined | Extended
    | OpinionIssued | Replied | Served | Reported | Closed | OrderIssued | OrderReplied | OrderJudged
    | DirectiveAnswered | KeyGranted | EscrowOpened | SealedRead | SealedItem | ErasureOrdered | ErasureConfirmed
    | KeyDestroyed | NodeOpened | EscrowFounded | ChildEnrolled | UnitOpened | HeadsNoted | HolidaysNoticed
    | KeysRotated | KeysRevoked | NodeMoved | ShardOpened
)
# fmt: on

MAX_LEAF_BYTES = 65_535  # what a C2SP tlog-tiles entry bundle allows

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_CONTROL = re.compile(rb"(?<!\\)(?:\\\\)*\\u00")  # a NUL and its like, which no text column holds
_envelope_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Place(msgspec.Struct):
    case: CaseId | None
    node: Division
    stream: StreamId
    version: Annotated[int, msgspec.Meta(ge=1)]


_place_decoder = msgspec.json.Decoder(_Place)


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a type that this version does not know: stored, proven, forwarded and shown, never dropped.

    case, node, stream, version: as the envelope says, where it still opens every event as `Event` does; else null."""

    tag: str
    body: bytes
    case: CaseId | None = None
    node: Division | None = None
    stream: StreamId | None = None
    version: int | None = None


class NotCanonical(ValueError):
    """Bytes that name a known type but are not what its Struct encodes to. The receiver parks them as a fault."""


def tag_of(event: AnyEvent) -> str:
    """The stored name of the event's type, such as `leg.accepted.v0`."""
    return str(event.__struct_config__.tag)


TAGS: frozenset[str] = frozenset(str(shape.__struct_config__.tag) for shape in AnyEvent.__args__)


def encode(event: AnyEvent) -> bytes:
    """The leaf bytes of an event; ValueError beyond MAX_LEAF_BYTES (long texts are sealed beside, by hash), and for
    one that goes beyond its bounds: recorded, it would be unreadable for ever."""
    body = _encoder.encode(event)
    if len(body) > MAX_LEAF_BYTES:
        raise ValueError(f"a leaf is at most {MAX_LEAF_BYTES} bytes, this one has {len(body)}")
    try:
        decode(body)
    except msgspec.ValidationError as error:
        raise ValueError(f"{tag_of(event)}: nobody could read this event back: {error}") from error
    return body


def decode(body: bytes) -> AnyEvent:
    """The event of bytes this node wrote or already checked. Raises msgspec.ValidationError on a foreign type."""
    event = _decoder.decode(body)
    if b"\\u00" in body and _CONTROL.search(body):
        raise msgspec.ValidationError("a control character stands in a text")
    return event


def read(body: bytes) -> AnyEvent | Unknown:
    """The event in foreign bytes, or Unknown for a newer type; NotCanonical where re-encoding gives other bytes."""
    try:
        event = decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        tag = _tag_in(body)
        if tag is not None and tag not in TAGS:
            return _unknown(tag, body)
        raise NotCanonical(str(error)) from error
    if _encoder.encode(event) != body:
        raise NotCanonical(f"{tag_of(event)}: the bytes are not the canonical ones of this event")
    return event


def _unknown(tag: str, body: bytes) -> Unknown:
    try:
        known = _place_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Unknown(tag=tag, body=body)
    return Unknown(tag=tag, body=body, case=known.case, node=known.node, stream=known.stream, version=known.version)


def _tag_in(body: bytes) -> str | None:
    try:
        tag = msgspec.json.decode(_envelope_decoder.decode(body).get("type", b"null"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return tag if isinstance(tag, str) and 0 < len(tag) <= 64 else None
