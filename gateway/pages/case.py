"""The case page: facts, custody, time line and clocks on one side, the next lawful steps as forms on the other."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from domain.clocks import DAY_US, shanghai_date
from domain.errors import DomainError
from domain.events import CaseId, ReadingPurpose
from domain.ids import maker_of
from domain.steps import Step
from gateway.accounts import Account, AccountRole
from gateway.casework.readings import WITHHELD, Opened
from gateway.casework.remit import OVERSEERS
from gateway.languages import chosen
from gateway.node import Node
from gateway.pages.command_forms import CLAIM_FIELDS, FORMS, command_of
from gateway.pages.desk import staff
from gateway.pages.forms import FormInvalid, Given, Problems, SentForm, visitor_of
from gateway.pages.papers import printable
from gateway.pages.registering import key_of
from gateway.pages.render import page, rule_name, translator
from gateway.reading import labels
from gateway.reading.case_reading import CaseReading
from gateway.reading.case_view import ErasureView, targets
from gateway.reading.moments import point_of_view
from gateway.reading.units import known_units
from gateway.reading.wording import Words, detail_of, in_order, text_name
from gateway.web.api import carry_out
from gateway.web.visits import visitor_or_none
from projections.board import Lateness
from projections.timeline import Entry

router = APIRouter()

_OF_ANOTHER: Final = frozenset({"role_not_allowed", "unit_not_here"})
"""Refusals that say only that a step is another person's: no news on a case page."""


RESEALERS: Final[tuple[AccountRole, ...]] = ("clerk", "handler", "leader")
"""Who says of a case that it is a denunciation: gateway/pages/resealing."""


class ShownStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step with the ids that its form carries along."""

    command: str
    article: str | None
    target: tuple[tuple[str, Any], ...]


def purpose_of(account: Account) -> ReadingPurpose:
    """Why somebody in this role opens sealed text."""
    if account.role == "auditor":
        return "audit"
    return "supervise" if account.role in OVERSEERS else "handle"


@router.get("/cases/{case}")
def show(request: Request, case: UUID) -> Response:
    """The case as it stands, or as it stood at `as_of` and was known here at `known_by`."""
    visitor = staff(visitor_or_none(request))
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), visitor.account)
    return _page(request, reading, visitor.account)


@router.post("/cases/{case}/read")
def read(request: Request, case: UUID, form: SentForm) -> Response:
    """The case with its sealed texts opened. Shown at once: no address leads to opened text."""
    account = staff(visitor_of(request)).account
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), account)
    opened = reading.open(reading.with_text(), account, purpose_of(account), uuid4())
    return _page(request, CaseReading.of(reading.node, CaseId(case)), account, opened=opened)


@router.post("/cases/{case}/steps")
def step(request: Request, case: UUID, form: SentForm) -> Response:
    """Take one step; back to the case, or the form again with what to correct."""
    node: Node = request.app.state.node
    account = staff(visitor_of(request)).account
    reading = CaseReading.for_account(node, CaseId(case), account)
    try:
        recorded = carry_out(request, node, account, command_of(form, reading.file), key_of(form))
    except (DomainError, FormInvalid) as refusal:
        given, failed = Given(form.fields), form.get("command")
        return _page(request, reading, account, problems=Problems(refusal), failed=failed, given=given)
    node.await_views(recorded.pos)
    return RedirectResponse(f"/cases/{case}?done=1", status_code=303)


def _page(
    request: Request,
    reading: CaseReading,
    account: Account,
    *,
    problems: Problems | None = None,
    failed: str = "",
    given: Given | None = None,
    opened: Opened | None = None,
) -> Response:
    node, file, _ = reading.node, reading.file, translator(request)
    query = request.query_params
    at = point_of_view(node, query.get("as_of"), query.get("known_by"))
    numbers = {str(claim): number for number, claim in enumerate(file.claims, start=1)}
    shown = opened or Opened({}, {})
    said = {path: text for found in shown.texts.values() for path, text in found.items()}
    entries = reading.timeline(at)
    doubts = reading.unproven(entries)
    lines = [_line(reading, entry, shown, numbers, request) | {"unproven": doubts.get(entry.pos)} for entry in entries]
    steps, papers = reading.steps(account), printable(reading)
    return page(
        request,
        "case.html",
        status=422 if problems else 200,
        file=file,
        view=reading.view(),
        number=file.registered.number if file.registered else _("本节点未登记的事项"),
        status_word=_status(reading),
        facts=_facts(request, reading),
        timeline=lines,
        late=[_late(piece, reading, request) for piece in reading.lateness(at)],
        unsecured=not all(line["secured"] for line in lines),
        lawful=[_shown(step, reading, account) for step in steps if step.allowed and step.command in FORMS],
        unlawful=[step for step in steps if not step.allowed and step.code not in _OF_ANOTHER],
        forms=FORMS,
        claim_fields=CLAIM_FIELDS,
        claim_options=[(str(claim.id), f"{_('诉求')}{numbers[str(claim.id)]}") for claim in file.living_claims],
        claim_number=lambda claim: numbers[str(claim)],
        claim_text=lambda claim: said.get(f"claim.{claim}", ""),
        paper_options=[(str(paper.event), f"{paper.name} {paper.number}") for paper in papers if paper.serve],
        papers=papers,
        units=sorted(known_units(node).items()),
        unit_name=reading.names.unit,
        fresh=uuid4,
        may_read=opened is None and bool(reading.with_text()),
        may_reseal=bool(reading.with_text()) and account.role in RESEALERS,
        opened=opened is not None,
        problems=problems or Problems(),
        failed=failed,
        given=given or Given(),
        done="done" in query,
        as_of=query.get("as_of", ""),
        known_by=query.get("known_by", ""),
    )


def _shown(step: Step, reading: CaseReading, account: Account) -> ShownStep:
    target = targets(reading.file, step.command, account.actor.unit)
    return ShownStep(command=step.command, article=step.article, target=target)


def _line(
    reading: CaseReading, entry: Entry, opened: Opened, numbers: Mapping[str, int], request: Request
) -> dict[str, Any]:
    _, name = translator(request), reading.names.unit
    id_ = entry.event.id if entry.event and maker_of(entry.event.id) == entry.event.node else None
    texts = in_order(opened.texts.get(id_, {})) if id_ else {}
    withheld = opened.withheld.get(id_) if id_ else None
    role = _(labels.ROLES.get(entry.role, entry.role)) if entry.role else ""
    return {
        "id": id_,
        "topic": entry.tag,
        "detail": detail_of(entry.event, name, _) if entry.event else "",
        "at_us": entry.at_us,
        "by": name(entry.unit) + _("（%s）") % role if entry.unit else "",
        "law": entry.law,
        "has_effect": entry.has_effect,
        "secured": reading.secured(entry.log_id, entry.seq),
        "withheld": WITHHELD[withheld][0 if chosen(request) == "zh" else 1] if withheld else "",
        "texts": [(text_name(path, numbers, _), text) for path, text in texts.items()],
    }


def _late(piece: Lateness, reading: CaseReading, request: Request) -> dict[str, Any]:
    return {
        "rule": rule_name(piece.rule, piece.from_us, request),
        "unit": reading.names.unit(piece.unit),
        "from_us": piece.from_us,
        "to_us": piece.to_us,
        "days": -(-(piece.to_us - piece.from_us) // DAY_US),
    }


def _status(reading: CaseReading) -> str:
    file = reading.file
    if file.is_ended:
        return "closed"
    if file.withdrawn is not None:
        return "withdrawn"
    if file.standing_objection is not None:
        return "disputed"
    if file.pending_leg is not None and file.pending_leg.opened is None:
        return "handed_over"
    if not file.unanswered_claims:
        return "answered"
    return "accepted" if any(claim.accepted for claim in file.living_claims) else "received"


def _facts(request: Request, reading: CaseReading) -> list[tuple[str, str]]:
    view, _ = reading.view(), translator(request)
    category = view.category or ""
    region = reading.node.around.name_of(view.issue_region) if view.issue_region else ""
    pairs = [
        (_("收到日"), view.received_on.isoformat() if view.received_on else ""),
        (_("渠道"), _(labels.CHANNELS.get(view.channel or "", ""))),
        (_("类别"), _(labels.MATTERS.get(view.matter_class or "", ""))),
        (_("内容分类"), _(labels.CATEGORIES.get(f"{category[:2]}0000", category))),
        (_("问题属地"), region),
        (_("人数"), str(view.person_count or "")),
        (_("登记节点"), reading.node.around.name_of(view.filed_at) if view.filed_at else ""),
        (_("诉求"), _claims(view.claims, _)),
        (_("个人信息删除"), "；".join(_erasure(one, reading, _) for one in view.erasures)),
    ]
    return [(name, value) for name, value in pairs if value]


def _erasure(one: ErasureView, reading: CaseReading, _: Words) -> str:
    if one.confirmed_us is None:
        return _("待另一人确认")
    if not one.due:
        return _("已确认，事项办结后销毁")
    if one.complete_us is None:
        return _("待销毁：%s") % "、".join(map(reading.node.around.name_of, one.waiting_for))
    return _("均已销毁，备份最迟%s清除") % shanghai_date(one.complete_us)


def _claims(claims: Any, _: Any) -> str:
    return "；".join(f"{number}. {_(labels.CLAIM_STATES[claim.state])}" for number, claim in enumerate(claims, start=1))
