"""What a node knows of one case, folded from the events it has learned, in whatever order they reached it.

Nothing here refuses anything: a fact that came is a fact. Whether it has effect is another matter, which
`domain.authority` decides: what its author had no right to write, or wrote on a leg that a directive had taken away
without having seen it, changes nothing (ADR-0003).
"""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from domain.authority import judged
from domain.beginnings import Beginnings, counted_us, with_beginning
from domain.divisions import Division
from domain.events import (
    Accepted,
    AnyEvent,
    CaseId,
    ClaimAmended,
    ClaimId,
    Closed,
    Declined,
    DirectiveAnswered,
    ErasureConfirmed,
    ErasureOrdered,
    EscrowOpened,
    EventId,
    Extended,
    HandedOver,
    KeyDestroyed,
    KeyGranted,
    LegEnded,
    LegId,
    LegOpened,
    MatterClass,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OpeningMode,
    OpinionIssued,
    OrderId,
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
    StreamId,
    TakenOver,
    Unit,
    Unknown,
    Withdrawn,
)
from domain.keys import LAST_COPY_US, Holders, granted, is_second_person
from domain.parts import Claim, Directive, Erasure, Leg, LegEvent, Objection, Order, Paper
from domain.standing import Standing


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """One case as this node knows it; a value, never changed in place. `evolve` makes it.

    registered: null where only a key of it is kept here, or a newer version wrote it. orders: by id; directives: by
    event id. escrow_orders: order and subject of each key taken out of escrow. unknown: streams in which an event of
    a newer version stands. keys: by subject, who was given its key. papers: what is served on the petitioner, by the
    event it was rendered from. settling: every paper and closing, also those that a directive left without effect.
    begun: since when there is the case and each leg. standing: who may write what, and how far each stream is known.
    """

    case: CaseId
    standing: Standing = Standing()
    registered: Registered | None = None
    corrected: RegistrationCorrected | None = None
    claims: Mapping[ClaimId, Claim] = {}
    legs: Mapping[LegId, Leg] = {}
    objections: Mapping[EventId, Objection] = {}
    directives: Mapping[EventId, Directive] = {}
    answered: Mapping[EventId, DirectiveAnswered] = {}
    orders: Mapping[OrderId, Order] = {}
    papers: Mapping[EventId, Paper] = {}
    served: Mapping[EventId, Served] = {}
    closings: tuple[Closed, ...] = ()
    settling: tuple[Paper | Closed, ...] = ()
    withdrawn: Withdrawn | None = None
    rated: Rated | None = None
    keys: Mapping[str, Holders] = {}
    erasures: Mapping[UUID, Erasure] = {}
    escrow_orders: frozenset[tuple[UUID, str]] = frozenset()
    unknown: frozenset[StreamId] = frozenset()
    begun: Beginnings = {}

    @property
    def filed_at(self) -> Division | None:
        """The node where the case was registered, whose petitioner follows it from there."""
        return self.registered.node if self.registered else None

    @property
    def matter_class(self) -> MatterClass | None:
        """The class as last corrected; it decides which endings are lawful."""
        named = self.corrected or self.registered
        return named.matter_class if named else None

    @property
    def present_leg(self) -> Leg | None:
        """The one leg whose unit answers now: from the first leg along every lawful succession."""
        path = self.standing.path
        return self.legs.get(path[-1]) if path else None

    @property
    def accountable(self) -> Unit | None:
        """The one unit that answers for the case now; null only where neither registration nor leg is known."""
        leg = self.present_leg
        if leg is not None:
            return leg.unit
        return self.registered.unit if self.registered else None

    @property
    def pending_leg(self) -> Leg | None:
        """The leg that the present one was handed over to and that its receiver has not opened yet."""
        leg = self.present_leg
        return self.legs.get(leg.handed.next_leg) if leg and leg.handed else None

    @property
    def living_claims(self) -> tuple[Claim, ...]:
        """The claims that have not been dropped."""
        return tuple(claim for claim in self.claims.values() if not claim.is_dropped)

    @property
    def unanswered_claims(self) -> tuple[Claim, ...]:
        """The living claims that neither a paper nor a closing has settled."""
        return tuple(claim for claim in self.living_claims if claim.answer is None and not claim.is_closed)

    @property
    def is_ended(self) -> bool:
        """Whether the present leg is closed with every living claim; one that arrives later opens it again."""
        leg = self.present_leg
        if leg is None or leg.closed is None:
            return False
        return self.withdrawn is not None or all(claim.is_closed for claim in self.living_claims)

    @property
    def standing_objection(self) -> Objection | None:
        """The objection against the present leg that still waits for its ruling."""
        leg = self.present_leg
        return next((o for o in self.objections.values() if o.stands and leg and o.raised.leg == leg.id), None)

    def successor(self, leg: Leg) -> Leg | None:
        """The leg that took custody from `leg`, or null while `leg` itself has it: see `Standing.successor`."""
        after = self.standing.successor(leg.id)
        return self.legs.get(after) if after else None

    def has_accepted(self, leg: Leg) -> bool:
        """Whether this leg accepted a living claim in substance."""
        papers = (self.papers.get(claim.accepted) for claim in self.living_claims if claim.accepted)
        return any(paper is not None and paper.leg == leg.id for paper in papers)

    def has_answered(self, leg: Leg) -> bool:
        """Whether this leg issued a paper that answers a claim, declining included."""
        final = (OpinionIssued, Replied, Declined)
        return any(paper.leg == leg.id and isinstance(paper, final) for paper in self.papers.values())

    def custodians(self, subject: str) -> frozenset[Division]:
        """Every node that was given the subject's key; each signs an erasure."""
        return self.keys.get(subject, Holders()).custodians

    def readers(self, subject: str) -> frozenset[Division]:
        """The custodians who were given the subject's key to read with it, which an escrow is not."""
        return self.keys.get(subject, Holders()).readers

    def is_agreed(self, erasure: Erasure) -> bool:
        """Whether two persons of one custodian want it; a stranger's word erases nothing."""
        ordered = erasure.ordered
        return erasure.confirmed is not None and ordered.node in self.custodians(ordered.subject)

    def due_erasure(self, subject: str) -> Erasure | None:
        """The erasure of a subject that has come into force here, if any; from then on nothing of it may stay."""
        return next((one for one in self.erasures.values() if one.is_due and one.ordered.subject == subject), None)

    def unsigned(self, erasure: Erasure) -> frozenset[Division]:
        """The custodians known here who have not signed the destruction, also those who became it meanwhile."""
        named = erasure.confirmed.custodians if erasure.confirmed else ()
        return self.custodians(erasure.ordered.subject).union(named) - erasure.destroyed_by

    def complete_us(self, erasure: Erasure) -> int | None:
        """From when on nothing of it is left anywhere, backups included; null while anybody has still to sign."""
        if erasure.confirmed is None or self.unsigned(erasure):
            return None
        return max(erasure.destroyed_us, erasure.confirmed.recorded_us) + LAST_COPY_US

    def version_of(self, stream: UUID) -> int:
        """How many events of the stream are known here."""
        return self.standing.version_of(stream)


def evolve(file: CaseFile | None, event: AnyEvent | Unknown, place: int | None = None) -> CaseFile:
    """The file after `event`, which concerns this case. Events of one stream come in order, streams in any order.

    place: of its leaf among its author's (`domain.shards.place`), where known. An event that the file has already, or
    that its author had no right to write, changes nothing; but the versions of a leg go on, as its own node counts
    them. An Unknown one marks its stream, so that nothing is decided on a leg only half understood.
    """
    if event.case is None or event.stream is None or event.version is None:
        raise ValueError("an event that concerns no case has no place in a case file")
    file = file or CaseFile(case=event.case)
    if isinstance(event, SealedRead):
        return file
    standing, is_lawful = judged(file.standing, event, place)
    if standing is file.standing:
        return file
    change = msgspec.structs.replace
    if not is_lawful:
        return change(file, standing=standing)
    if isinstance(event, Unknown):
        return change(file, standing=standing, unknown=file.unknown | {event.stream})
    begun = with_beginning(file.begun, event)
    changed = _fold(change(_note_subjects(file, event), standing=standing, begun=begun), event)
    if standing.path != file.standing.path or standing.is_overtaken(event):
        changed = _without_overtaken(changed)
    return _with_due_erasures(changed)


def has_effect(file: CaseFile | None, event: AnyEvent | Unknown, place: int | None = None) -> bool:
    """Whether `event`, which comes next, has any: see `domain.authority`."""
    standing, is_lawful = judged(file.standing if file else Standing(), event, place)
    return is_lawful and (isinstance(event, Unknown) or not standing.is_overtaken(event))


def must_be_told(file: CaseFile | None, event: AnyEvent, place: int | None = None) -> bool:
    """Whether those below who know the case need `event`, which comes next: what has effect, and what gave somebody a
    leg though a take-over crossed with it. Without that they could not judge what that office did meanwhile, of which
    the petitioner's words count.
    """
    standing, is_lawful = judged(file.standing if file else Standing(), event, place)
    return is_lawful and (
        isinstance(event, HandedOver | LegOpened | ObjectionRuled) or not standing.is_overtaken(event)
    )


def _note_subjects(file: CaseFile, event: AnyEvent) -> CaseFile:
    new = {sealed.subject: Holders() for sealed in event.sealed if sealed.subject not in file.keys}
    return msgspec.structs.replace(file, keys={**file.keys, **new}) if new else file


def _fold(file: CaseFile, event: AnyEvent) -> CaseFile:  # noqa: C901  one line per kind of event
    change = msgspec.structs.replace
    match event:
        case Registered():
            return _with_claims(change(file, registered=event), event.claims)
        case RegistrationCorrected():
            return change(file, corrected=event)
        case ClaimAmended():
            return _with_claims(file, [event.claim], **({"is_dropped": True} if event.change == "dropped" else {}))
        case Withdrawn():
            return change(file, withdrawn=file.withdrawn or event)
        case Rated():
            return change(file, rated=file.rated or event)
        case LegOpened():
            return _opened(file, event)
        case HandedOver():
            return _named(_moved(file, event, handed=event), event, event.to, event.mode)
        case Objected():
            return change(file, objections={**file.objections, event.id: Objection(raised=event)})
        case ObjectionRuled():
            return _ruled(file, event)
        case ObjectionLapsed():
            return _moved(_objection(file, event.objection, lapsed=event.id), event)
        case TakenOver():
            return _named(_directive(file, event), event, event.unit, "taken_over")
        case LegEnded():
            return _leg(file, event.leg, ended_by=event.directive)
        case Accepted(kind="procedural"):
            return _paper(_leg(file, event.leg, procedural=event.id), event)
        case Extended():
            return _paper(_settled(file, event), event)
        case Accepted() | Declined() | Replied() | OpinionIssued():
            return _paper(_moved(_settled(file, event), event), event)
        case Served():
            return change(file, served={event.paper: event, **file.served})
        case Reported():
            return _leg(file, event.leg, report=event.id)
        case Closed():
            file = _moved(_settled(file, event), event, closed=event)
            return change(file, closings=(*file.closings, event), settling=(*file.settling, event))
        case OrderIssued():
            orders = {**file.orders, event.order: Order(issued=event)}
            return change(_directive(file, event), orders=orders)
        case OrderReplied():
            return _order(file, event.order, reply=event.id, reply_us=event.occurred_us, judged=None)
        case OrderJudged():
            return _order(file, event.order, judged=event)
        case DirectiveAnswered():
            return change(file, answered={event.directive: event, **file.answered})
        case EscrowOpened():
            is_custodian = event.node in file.custodians(event.subject)
            opened = file.escrow_orders | {(event.order, event.subject)}
            return change(file, escrow_orders=opened) if is_custodian else file
        case KeyGranted() | ErasureOrdered() | ErasureConfirmed() | KeyDestroyed():
            return _keys(file, event)
        case _:
            return file


def _settled(file: CaseFile, event: Paper | Closed) -> CaseFile:
    """The file with the claims that a paper or a closing is about marked by it."""
    match event:
        case Accepted(kind="substantive"):
            return _with_claims(file, event.claims, accepted=event.id, accepted_us=counted_us(event, file.begun))
        case Extended():
            return _with_claims(file, event.claims, extra_days=event.days)
        case Declined() | Replied():
            return _with_claims(file, event.claims, answer=event.id)
        case OpinionIssued():
            return _with_claims(file, [answer.claim for answer in event.answers], answer=event.id)
        case Closed():
            return _with_claims(file, event.claims, is_closed=True)
        case _:
            return file


def _without_overtaken(file: CaseFile) -> CaseFile:
    """The file without what a leg's node did on it after the point that the directive which took it had seen."""
    lasting = [event for event in file.settling if not file.standing.is_overtaken(event)]
    claims = {claim.id: Claim(id=claim.id, is_dropped=claim.is_dropped) for claim in file.claims.values()}
    papers = {event.id: event for event in lasting if not isinstance(event, Closed)}
    closings = tuple(event for event in lasting if isinstance(event, Closed))
    file = msgspec.structs.replace(file, claims=claims, papers=papers, closings=closings)
    for event in lasting:
        file = _settled(file, event)
    return file


def _with_claims(file: CaseFile, ids: "tuple[ClaimId, ...] | list[ClaimId]", **changes: object) -> CaseFile:
    """The file with these claims changed; one that is not known is noted, a newer version having registered it."""
    changed = {id_: msgspec.structs.replace(file.claims.get(id_, Claim(id=id_)), **changes) for id_ in ids}
    return msgspec.structs.replace(file, claims={**file.claims, **changed})


def _leg(file: CaseFile, id_: LegId, **changes: object) -> CaseFile:
    leg = file.legs.get(id_)
    if leg is None:
        return file
    return msgspec.structs.replace(file, legs={**file.legs, id_: msgspec.structs.replace(leg, **changes)})


def _moved(file: CaseFile, event: LegEvent, **changes: object) -> CaseFile:
    return _leg(file, event.leg, moved_version=event.version, **changes)


def _named(file: CaseFile, event: HandedOver | ObjectionRuled | TakenOver, unit: Unit, mode: OpeningMode) -> CaseFile:
    """The file with the leg that `event` gives to `unit`; its own node opens it."""
    if event.next_leg is None or event.next_leg in file.legs:
        return file
    before = file.legs.get(event.leg)
    leg = Leg(
        id=event.next_leg,
        unit=unit,
        mode=mode,
        from_leg=event.leg,
        sender=before.unit if before else None,
        report_by=event.report_by if isinstance(event, HandedOver) else None,
        named_by=event.id,
    )
    return msgspec.structs.replace(file, legs={**file.legs, leg.id: leg})


def _opened(file: CaseFile, event: LegOpened) -> CaseFile:
    named = file.legs.get(event.leg)
    leg = Leg(
        id=event.leg,
        unit=event.unit,
        mode=named.mode if named else event.mode,
        from_leg=named.from_leg if named else event.from_leg,
        sender=event.sender,
        report_by=event.report_by,
        named_by=named.named_by if named else None,
        opened=event.id,
        opened_us=counted_us(event, file.begun),
        moved_version=event.version,
    )
    return msgspec.structs.replace(file, legs={**file.legs, leg.id: leg})


def _ruled(file: CaseFile, event: ObjectionRuled) -> CaseFile:
    mode: OpeningMode = "returned" if event.by == "sender" else "ruled"
    file = _objection(_directive(file, event), event.objection, ruling=event)
    return _named(file, event, event.holder, mode)


def _objection(file: CaseFile, id_: EventId, **changes: object) -> CaseFile:
    known = file.objections.get(id_)
    if known is None:
        return file
    return msgspec.structs.replace(file, objections={**file.objections, id_: msgspec.structs.replace(known, **changes)})


def _order(file: CaseFile, id_: OrderId, **changes: object) -> CaseFile:
    known = file.orders.get(id_)
    if known is None:
        return file
    return msgspec.structs.replace(file, orders={**file.orders, id_: msgspec.structs.replace(known, **changes)})


def _directive(file: CaseFile, event: Directive) -> CaseFile:
    return msgspec.structs.replace(file, directives={**file.directives, event.id: event})


def _paper(file: CaseFile, event: Paper) -> CaseFile:
    papers = {**file.papers, event.id: event}
    return msgspec.structs.replace(file, papers=papers, settling=(*file.settling, event))


def _keys(file: CaseFile, event: KeyGranted | ErasureOrdered | ErasureConfirmed | KeyDestroyed) -> CaseFile:
    change = msgspec.structs.replace
    if isinstance(event, KeyGranted):
        known = file.keys.get(event.subject)
        holders = granted(known or Holders(), event)
        return file if holders is known else change(file, keys={**file.keys, event.subject: holders})
    if isinstance(event, ErasureOrdered):
        return change(file, erasures={event.erasure: Erasure(ordered=event), **file.erasures})
    erasure = file.erasures.get(event.erasure)
    if erasure is None:
        return file
    if isinstance(event, ErasureConfirmed):
        if is_second_person(erasure.ordered, event):
            erasure = change(erasure, confirmed=erasure.confirmed or event)
    else:
        last_us = max(erasure.destroyed_us, event.recorded_us)
        erasure = change(erasure, destroyed_by=erasure.destroyed_by | {event.custodian}, destroyed_us=last_us)
    return change(file, erasures={**file.erasures, event.erasure: erasure})


def _with_due_erasures(file: CaseFile) -> CaseFile:
    """The file with every agreed erasure in force that finds the matter ended, as this node itself knows it.

    Until then the duty to keep the file holds, whatever a custodian says. What is opened again later takes nothing
    back: the key may be gone.
    """
    if not file.erasures or not file.is_ended:
        return file
    new = [one for one in file.erasures.values() if not one.is_due and file.is_agreed(one)]
    due = {one.ordered.erasure: msgspec.structs.replace(one, is_due=True) for one in new}
    return msgspec.structs.replace(file, erasures={**file.erasures, **due}) if due else file
