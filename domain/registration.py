"""Registering, and what the citizen says afterwards: claims, material, withdrawal, rating."""

from uuid import UUID

from domain import articles
from domain.case import CaseFile
from domain.clocks import day_start_us, shanghai_date
from domain.commands import AddMaterial, AmendClaim, CorrectRegistration, Rate, Register, Withdraw
from domain.context import Context, Pen, Situation
from domain.divisions import division
from domain.events import (
    AnyEvent,
    CaseId,
    ClaimAmended,
    LegId,
    LegOpened,
    MaterialAdded,
    Rated,
    Registered,
    RegistrationCorrected,
    Withdrawn,
)
from domain.refusals import (
    BeforeItsCause,
    CaseEnded,
    CaseWithdrawn,
    ClaimAnswered,
    ClaimRepeated,
    ClaimUnknown,
    InFuture,
    LastClaim,
    NotHandledHere,
    NotRegistrar,
    RatedAlready,
)


def register(command: Register, context: Context) -> list[AnyEvent]:
    """登记: the case, its id being the main event's, and its first leg, held by the registering unit (首问负责)."""
    context.require("citizen", "clerk", "handler")
    ids = tuple(claim.claim for claim in command.claims)
    if len(set(ids)) < len(ids):
        raise ClaimRepeated
    occurred_us = context.now_us if command.occurred_us is None else command.occurred_us
    received_on = command.received_on or shanghai_date(occurred_us)
    if received_on > shanghai_date(context.now_us):
        raise InFuture(field="received_on")
    if occurred_us < day_start_us(received_on):
        raise BeforeItsCause(day_start_us(received_on))
    region = division(command.issue_region)
    pen = Pen(None, command, context)
    envelope = pen.main(law=articles.REGISTER)
    registered = Registered(
        **envelope,
        number=context.number("case.registered.v0"),
        channel=command.channel,
        matter_class=command.matter_class,
        category=command.category,
        issue_region=region,
        received_on=received_on,
        person_count=command.person_count,
        unit=context.actor.unit,
        claims=ids,
    )
    leg = LegId(pen.fresh())
    opened = LegOpened(
        **pen.further(CaseId(registered.id), leg, cause=(registered.id,), law=articles.REGISTER),
        leg=leg,
        unit=context.actor.unit,
        mode="registered",
        from_leg=None,
        sender=None,
        report_by=None,
    )
    return [registered, opened]


def may_correct(file: CaseFile, here: Situation) -> None:
    """The registering unit corrects its own registration, until an answer has been given on it."""
    here.require("clerk", "handler", "leader")
    if file.registered is None or file.registered.unit != here.actor.unit:
        raise NotRegistrar(unit=file.registered.unit if file.registered else file.accountable)
    _may_still_change(file)
    answered = next((claim for claim in file.living_claims if claim.answer), None)
    if answered is not None:
        raise ClaimAnswered(claim=answered.id)


def correct(file: CaseFile, command: CorrectRegistration, context: Context) -> list[AnyEvent]:
    """更正登记; nothing where the classification is the same already."""
    may_correct(file, context)
    region = division(command.issue_region)
    stands = file.corrected or file.registered
    wanted = (command.matter_class, command.category, region)
    if stands and (stands.matter_class, stands.category, stands.issue_region) == wanted:
        return []
    envelope = Pen(file, command, context).main(file.case, law=articles.REGISTER)
    return [
        RegistrationCorrected(
            **envelope, matter_class=command.matter_class, category=command.category, issue_region=region
        )
    ]


def may_amend(file: CaseFile, here: Situation) -> None:
    """The petitioner changes claims for as long as the matter is open; a clerk writes it down for them."""
    here.require("citizen", "clerk", "handler")
    _check_place(file, here)
    _may_still_change(file)


def amend_claim(file: CaseFile, command: AmendClaim, context: Context) -> list[AnyEvent]:
    """诉求变更; nothing where the claim is there, or dropped, already."""
    may_amend(file, context)
    claim = file.claims.get(command.claim)
    if command.change == "added" and claim is not None:
        return []
    if command.change == "dropped" and claim is not None and claim.is_dropped:
        return []
    if command.change != "added":
        if claim is None or claim.is_dropped:
            raise ClaimUnknown(claim=command.claim)
        if claim.answer is not None:
            raise ClaimAnswered(claim=command.claim)
        if command.change == "dropped" and len(file.living_claims) == 1:
            raise LastClaim
    envelope = Pen(file, command, context).main(_stream(file, context))
    return [ClaimAmended(**envelope, claim=command.claim, change=command.change)]


def may_add_material(file: CaseFile, here: Situation) -> None:
    """Material is taken at any time, also after the answer."""
    here.require("citizen", "clerk", "handler")
    _check_place(file, here)


def add_material(file: CaseFile, command: AddMaterial, context: Context) -> list[AnyEvent]:
    """补充材料; the material's id is the event's."""
    may_add_material(file, context)
    envelope = Pen(file, command, context).main(_stream(file, context))
    return [MaterialAdded(**envelope, material=envelope["id"], digest=None, size_bytes=len(command.note.encode()))]


def may_withdraw(file: CaseFile, here: Situation) -> None:
    """The petitioner withdraws while the matter is open; nobody else decides that."""
    here.require("citizen", "clerk")
    _check_place(file, here)
    if file.withdrawn is None and file.is_ended:
        raise CaseEnded


def withdraw(file: CaseFile, command: Withdraw, context: Context) -> list[AnyEvent]:
    """撤回; nothing where it was said before. The holder then closes the matter as withdrawn."""
    may_withdraw(file, context)
    if file.withdrawn is not None:
        return []
    return [Withdrawn(**Pen(file, command, context).main(_stream(file, context)))]


def may_rate(file: CaseFile, here: Situation) -> None:
    """The petitioner rates once, whenever they like; closing never waits for it."""
    here.require("citizen")
    _check_place(file, here)
    if file.rated is not None:
        raise RatedAlready


def rate(file: CaseFile, command: Rate, context: Context) -> list[AnyEvent]:
    """满意度评价; nothing where the same vote was given already."""
    if file.rated is not None and (file.rated.office, file.rated.unit) == (command.office, command.unit):
        context.require("citizen")
        return []
    may_rate(file, context)
    envelope = Pen(file, command, context).main(_stream(file, context), law=articles.EVALUATE)
    return [Rated(**envelope, office=command.office, unit=command.unit)]


def _check_place(file: CaseFile, here: Situation) -> None:
    if not file.standing.meets_petitioner(here.node):
        raise NotHandledHere(holder=file.accountable)


def _may_still_change(file: CaseFile) -> None:
    if file.withdrawn is not None:
        raise CaseWithdrawn
    if file.is_ended:
        raise CaseEnded


def _stream(file: CaseFile, here: Situation) -> UUID | None:
    """The case's own stream on the node that registered it; elsewhere a stream of the event's own."""
    return file.case if here.node == file.filed_at else None
