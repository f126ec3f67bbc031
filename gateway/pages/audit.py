"""The auditor's pages: a case's or an office's history step by step, forwards and backwards, and as of any moment."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from domain.clocks import DAY_US, SHANGHAI
from domain.divisions import Division, DivisionInvalid, division
from domain.events import CaseId
from gateway.accounts import Visitor
from gateway.casework.remit import OVERSEERS
from gateway.catalog import N_
from gateway.dossier.of_node import dossier_of
from gateway.dossier.shape import zipped
from gateway.node import Node
from gateway.pages.desk import staff
from gateway.pages.forms import Problems, SentForm, visitor_of
from gateway.pages.render import page, translator
from gateway.reading import labels
from gateway.reading.case_reading import CaseReading
from gateway.reading.history import How, Step, UnitHistory
from gateway.reading.knowing import case_history
from gateway.reading.moments import moment_us
from gateway.reading.office_history import office_history
from gateway.reading.picture import LEFT, WIDTH, draw
from gateway.reading.supervising import require_here_or_below
from gateway.reading.units import known_units
from gateway.reading.wording import detail_of
from gateway.refusals import InputInvalid, NotFound
from gateway.web.visits import require_role, visitor_or_none
from projections import cases

router = APIRouter()

AROUND: Final = 10
"""So many steps before and after the present one are listed and drawn; the others are a page away."""

NAMED: Final = 5
"""So many of the steps that a tier did not know are named; the rest are counted."""

LISTED: Final = 30
"""So many cases and clocks of an office are listed; the rest are counted."""

PERIOD_US: Final = 90 * DAY_US

HOW: Final[dict[How, str]] = {
    "wrote": N_("由其写下"),
    "order": N_("按本节点账本次序"),
    "note": N_("至迟：它登记了其后的日志进度"),
    "cosigned": N_("至迟：它会签了其后的检查点"),
    "cause": N_("至迟：它所写的一步以此为由"),
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a history the page stands. number: of the present step, from 0; -1 before the first. at_us: the moment
    that is looked at. first: the number of the first step listed. links: first, previous, next, last: their addresses,
    without those that lead nowhere. at: the moment as it was typed, else empty."""

    number: int
    count: int
    at_us: int
    first: int
    end: int
    links: Mapping[str, str]
    at: str


@router.get("/audit")
def index(request: Request) -> Response:
    """Which case or office is to be looked at."""
    _overseer(request)
    node: Node = request.app.state.node
    query = request.query_params
    problems = Problems()
    if query.get("unit"):
        asked = {name: query[name] for name in ("from", "to") if query.get(name)}
        return RedirectResponse(_address(f"/audit/units/{query['unit'][:40]}", **asked), status_code=303)
    if query.get("case"):
        found = _find(node, query["case"].strip()[:80])
        if found is not None:
            return RedirectResponse(f"/audit/cases/{found}", status_code=303)
        problems = Problems(_unknown_case())
    units = sorted(known_units(node).items())
    return page(
        request,
        "audit.html",
        status=422 if problems else 200,
        problems=problems,
        units=[(code, name) for code, name in units if _is_seen(node, code)],
        case=query.get("case", "")[:80],
    )


@router.get("/audit/cases/{case}")
def show_case(request: Request, case: UUID) -> Response:
    """A case at a step, or at a moment: what had happened, who answered, what each tier knew."""
    visitor = _overseer(request)
    node: Node = request.app.state.node
    reading = CaseReading.for_account(node, CaseId(case), visitor.account)
    history = case_history(node, case)
    place, problems = _place(request, history.steps)
    file = history.file(place.at_us)
    views = history.views(place.at_us)
    listed = history.steps[place.first : place.end]
    return page(
        request,
        "audit_case.html",
        status=422 if problems else 200,
        problems=problems,
        case=case,
        number=reading.view().number or str(case),
        place=place,
        step=_told(request, reading, history.steps[place.number], place.number) if place.number >= 0 else None,
        accountable=file.accountable if file else None,
        legs=list(file.legs.values()) if file else [],
        clocks=history.clocks(place.at_us, node.around.calendar()),
        tiers=[_tier(request, reading, history.steps, tier, place, view) for tier, view in views.items()],
        listed=[_told(request, reading, step, number) for number, step in enumerate(listed, place.first)],
        drawn=_drawn(node, listed, history.tiers, place),
        unit_name=reading.names.unit,
        can_take=visitor.account.role == "auditor",
    )


@router.get("/audit/units/{unit}")
def show_unit(request: Request, unit: str) -> Response:
    """An office, or a division, over a period: what it did and was given, and at each step what it answered for."""
    visitor = _overseer(request)
    node: Node = request.app.state.node
    code, name = _office(node, unit)
    from_us, to_us, problems = _period(request, node.clock.now_us())
    found = office_history(node, unit, from_us, to_us)
    history = found.history
    place, misplaced = _place(request, history.steps)
    problems = problems or misplaced
    listed = history.steps[place.first : place.end]
    reading = _Reading(node, visitor)
    kept = {name: request.query_params[name][:40] for name in ("from", "to") if request.query_params.get(name)}
    held, clocks = history.held(place.at_us), history.clocks(place.at_us, node.around.calendar())
    return page(
        request,
        "audit_unit.html",
        status=422 if problems else 200,
        problems=problems,
        unit=unit,
        name=name,
        from_us=from_us,
        to_us=to_us - 1,
        place=place,
        step=reading.told(request, history.steps[place.number], place.number) if place.number >= 0 else None,
        held=[(one.case, _number(one.case, history)) for one in held[:LISTED]],
        held_count=len(held),
        clocks=[(case, _number(case, history), clock) for case, clock in clocks[:LISTED]],
        clock_count=len(clocks),
        listed=[reading.told(request, step, number) for number, step in enumerate(listed, place.first)],
        drawn=_drawn(node, listed, _tiers(listed), place),
        is_cut=found.is_cut,
        kept=kept,
        at_text=_typed(place.at_us),
        number_of=lambda case: _number(case, history),
        code=code,
    )


@router.post("/audit/cases/{case}/evidence")
def take_case(request: Request, case: UUID, form: SentForm) -> Response:
    """The evidence of a case for a court, as one file; with sealed texts each reading is recorded before."""
    visitor = staff(visitor_of(request))
    require_role(visitor, "auditor")
    node: Node = request.app.state.node
    CaseReading.for_account(node, CaseId(case), visitor.account)
    files = dossier_of(node, CaseId(case), visitor.account, with_texts=bool(form.get("openings")))
    headers = {"content-disposition": f'attachment; filename="huiyin-{case}.zip"'}
    return Response(zipped(files), media_type="application/zip", headers=headers)


# --- what is asked for ----------------------------------------------------------------------------------------------


def _overseer(request: Request) -> Visitor:
    visitor = staff(visitor_or_none(request))
    require_role(visitor, *OVERSEERS)
    return visitor


def _find(node: Node, text: str) -> UUID | None:
    """A case by its id or its number."""
    try:
        return UUID(text) if node.files.get(CaseId(UUID(text))) is not None else None
    except ValueError:
        pass
    with node.pool.connection() as conn:
        found = cases.find(conn, cases.CaseFilter(number=text), limit=1).cases
    return found[0].case_id if found else None


def _unknown_case() -> InputInvalid:
    return InputInvalid(
        "没有这件事项，请核对信访编号后重试", "there is no such case; check its number and try again", field="case"
    )


def _place(request: Request, steps: Sequence[Step]) -> tuple[Place, Problems]:
    """The step or the moment that the address names; else the first step."""
    query, problems = request.query_params, Problems()
    number, at = _number_in(query.get("step", ""), len(steps)), query.get("at", "")[:40]
    at_us = steps[number].at_us if steps else 0
    if at:
        try:
            at_us = moment_us(at, "at")
            number = sum(step.at_us <= at_us for step in steps) - 1
        except InputInvalid as refusal:
            problems = Problems(refusal)
    first = max(0, min(number - AROUND, len(steps) - 2 * AROUND - 1))
    end = min(len(steps), first + 2 * AROUND + 1)
    before = number if at else number - 1  # the step itself was recorded before the moment that was typed
    ways = {"first": 0, "previous": before, "next": number + 1, "last": len(steps) - 1}
    kept = {name: query[name][:40] for name in ("from", "to") if query.get(name)}
    links = {
        name: _address(request.url.path, **kept, step=str(to + 1))
        for name, to in ways.items()
        if 0 <= to < len(steps) and (at or to != number)
    }
    return Place(number=number, count=len(steps), at_us=at_us, first=first, end=end, links=links, at=at), problems


def _number_in(text: str, count: int) -> int:
    number = int(text[:6]) if text.isascii() and text.isdigit() else 1
    return min(max(number, 1), count) - 1


def _typed(at_us: int) -> str:
    """A moment as an address names it: to the microsecond, in China's time."""
    return datetime.fromtimestamp(at_us / 1_000_000, SHANGHAI).replace(microsecond=at_us % 1_000_000).isoformat()[:26]


def _address(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _office(node: Node, unit: str) -> tuple[Division, str]:
    """The division and the name of an office or a division. NotFound for what is not here or below."""
    code, dot, office = unit.partition(".")
    try:
        found = division(code)
    except DivisionInvalid:
        raise NotFound from None
    require_here_or_below(node, found)
    if dot and unit not in known_units(node):
        raise NotFound
    return found, known_units(node)[unit] if office else node.around.name_of(found)


def _is_seen(node: Node, unit: str) -> bool:
    try:
        require_here_or_below(node, division(unit[:12]))
    except NotFound:
        return False
    return True


def _period(request: Request, now_us: int) -> tuple[int, int, Problems]:
    """[from, to) in UTC microseconds; by default the last 90 days."""
    query = request.query_params
    try:
        to_us = moment_us(query["to"][:40], "to") if query.get("to") else now_us
        from_us = moment_us(query["from"][:40], "from") if query.get("from") else to_us - PERIOD_US
    except InputInvalid as refusal:
        return now_us - PERIOD_US, now_us + 1, Problems(refusal)
    return from_us, to_us + 1, Problems()


# --- what is shown --------------------------------------------------------------------------------------------------


class _Reading:
    """Tells steps of any case."""

    def __init__(self, node: Node, visitor: Visitor) -> None:
        self._node, self._account = node, visitor.account
        self._readings: dict[UUID, CaseReading] = {}

    def told(self, request: Request, step: Step, number: int) -> dict[str, Any]:
        """One step, with the case that it belongs to."""
        case = step.event.case or UUID(int=0)
        if case not in self._readings:
            self._readings[case] = CaseReading.for_account(self._node, CaseId(case), self._account)
        return _told(request, self._readings[case], step, number) | {"case": case}


def _told(request: Request, reading: CaseReading, step: Step, number: int) -> dict[str, Any]:
    """A step in words."""
    _, name, event = translator(request), reading.names.unit, step.said_to
    role = _(labels.ROLES.get(event.actor.role, event.actor.role)) if event else ""
    return {
        "number": number,
        "id": event.id if event else None,
        "tag": step.tag,
        "detail": detail_of(event, name, _) if event else "",
        "by": name(event.actor.unit) + _("（%s）") % role if event else str(step.event.node or ""),
        "law": event.law if event else None,
        "recorded_us": step.recorded_us,
        "occurred_us": step.occurred_us,
        "has_effect": step.has_effect,
        "log": step.log,
        "seq": step.seq,
        "known": [
            (tier, reading.node.around.name_of(tier), knew.at_us, _(HOW[knew.how]))
            for tier, knew in sorted(step.known.items(), key=lambda found: found[1].at_us)
        ],
    }


def _tier(
    request: Request, reading: CaseReading, steps: Sequence[Step], tier: Division, place: Place, view: Any
) -> dict[str, Any]:
    _ = translator(request)
    knew = steps[place.number].known.get(tier) if place.number >= 0 else None
    return {
        "name": reading.node.around.name_of(tier),
        "known": view.known,
        "happened": view.known + len(view.missing),  # others may stand at the moment of this step
        "accountable": view.accountable,
        "missing": [(number, steps[number].tag) for number in view.missing[:NAMED]],
        "more": max(0, len(view.missing) - NAMED),
        "is_sure": view.is_sure,
        "knew_us": knew.at_us if knew else None,
        "how": _(HOW[knew.how]) if knew else "",
    }


def _drawn(node: Node, steps: Sequence[Step], tiers: Sequence[Division], place: Place) -> dict[str, Any]:
    return {
        "picture": draw(steps, tiers, place.first, place.number, place.at_us),
        "width": WIDTH,
        "left": LEFT,
        "names": {tier: node.around.name_of(tier) for tier in tiers},
        "rows": [
            (number, step.tag, [step.known.get(tier) for tier in tiers])
            for number, step in enumerate(steps, place.first)
        ],
        "tiers": tiers,
    }


def _tiers(steps: Sequence[Step]) -> list[Division]:
    return sorted({tier for step in steps for tier in step.known})


def _number(case: UUID, history: UnitHistory) -> str:
    """What people call a case: its number, or the end of its id where its registration is not known here."""
    file = history.cases[case].file(1 << 62)
    return file.registered.number if file and file.registered else str(case)[-12:]
