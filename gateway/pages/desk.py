"""The clerk's pages: today's duties, the case ledger, and the one screen that registers a matter."""

from collections.abc import Callable
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.clocks import shanghai_date
from domain.errors import DomainError
from gateway.accounts import Visitor
from gateway.casework.remit import OVERSEERS, require_staff
from gateway.catalog import N_
from gateway.node import Node
from gateway.pages.citizen import receipt_page
from gateway.pages.forms import FormInvalid, Given, Problems, SentForm, visitor_of
from gateway.pages.registering import apart_of, key_of, register_command
from gateway.pages.render import page, translator
from gateway.reading import labels
from gateway.reading.duty_list import duties_of
from gateway.reading.units import Names
from gateway.refusals import InputInvalid, NotSignedIn
from gateway.web.api import carry_out, case_filter
from gateway.web.receiving import registered_case, seal_apart
from gateway.web.strict import convert
from gateway.web.visits import require_role, visitor_or_none
from projections import cases
from projections.cases import COUNT_LIMIT, After, CasePage

router = APIRouter()

PAGE_SIZE: Final = 30
_SCOPES: Final = {"held": N_("本节点在办"), "filed": N_("本节点登记"), "all": N_("本级及下级全部")}
_FILTERS: Final = ("status", "matter_class", "category", "number")
_DATES: Final = ("received_from", "received_to")


def staff(visitor: Visitor | None) -> Visitor:
    """The visitor, who works on cases. NotSignedIn, RoleForbidden."""
    if visitor is None:
        raise NotSignedIn
    require_staff(visitor.account)
    return visitor


@router.get("/duties")
def show_duties(request: Request) -> Response:
    """What runs for the visitor's unit, the soonest due first, each clock with its colour in words."""
    node: Node = request.app.state.node
    visitor = staff(visitor_or_none(request))
    found = duties_of(node, visitor.account.unit)
    colours = [duty.clock.colour for duty in found]
    return page(
        request,
        "duties.html",
        duties=found,
        counts={colour: colours.count(colour) for colour in ("red", "yellow", "green")},
        today=shanghai_date(node.clock.now_us()),
        unit_name=Names(node).unit,
        category=_category_name(request),
    )


@router.get("/cases")
def list_cases(request: Request) -> Response:
    """The case ledger with its filters, which are the address itself."""
    node: Node = request.app.state.node
    visitor = staff(visitor_or_none(request))
    given = Given((name, text) for name, text in request.query_params.items() if text)
    scope = given.get("scope", "all" if visitor.account.role in OVERSEERS else "held")
    problems, found = Problems(), CasePage(cases=[], next=None, count=0)
    try:
        wanted = case_filter(node.here, visitor.account, scope if scope in _SCOPES else "held", **_filters(given))
        with node.pool.connection() as conn:
            found = cases.find(conn, wanted, after=_after(given), limit=PAGE_SIZE)
    except InputInvalid as refusal:
        problems = Problems(refusal)
    _ = translator(request)
    return page(
        request,
        "cases.html",
        status=422 if problems else 200,
        problems=problems,
        found=found,
        given=Given(given | {"scope": scope}),
        scopes=[(code, _(text)) for code, text in _SCOPES.items() if code in _scopes_of(visitor)],
        categories=[(code[:2], _(text)) for code, text in labels.CATEGORIES.items()],
        category=_category_name(request),
        count_limit=COUNT_LIMIT,
        next_page=_next_page(given, found),
        unit_name=Names(node).unit,
    )


@router.get("/register")
def register_form(request: Request) -> Response:
    """The registration form."""
    visitor = staff(visitor_or_none(request))
    require_role(visitor, "clerk", "handler")
    return _register_page(request, Problems(), Given())


@router.post("/register")
def register(request: Request, form: SentForm) -> Response:
    """Register what a petitioner brought, by whatever channel, and show the receipt to hand over."""
    node: Node = request.app.state.node
    visitor = staff(visitor_of(request))
    item = None
    try:
        command, apart = register_command(form, {}), apart_of(form)
        item = seal_apart(node, apart, key_of(form))
        recorded = carry_out(request, node, visitor.account, command, key_of(form))
    except (DomainError, FormInvalid) as refusal:
        return _register_page(request, Problems(refusal), Given(form.fields), item)
    node.await_views(recorded.pos)
    case = registered_case(recorded.events)
    return receipt_page(request, case, back=f"/cases/{case}", item=item)


def _register_page(request: Request, problems: Problems, given: Given, item: UUID | None = None) -> Response:
    """item: of the part that was sealed already, though the rest was refused."""
    node: Node = request.app.state.node
    today = shanghai_date(node.clock.now_us())
    return page(
        request,
        "register.html",
        status=422 if problems else 200,
        problems=problems,
        given=given,
        key=given.get("key") or uuid4(),
        today=today.isoformat(),
        units=node.around.offices(),
        item=item,
    )


def _category_name(request: Request) -> Callable[[str], str]:
    """What the first level of a category is called."""
    _ = translator(request)
    return lambda code: _(labels.CATEGORIES.get(f"{code[:2]}0000", code))


def _scopes_of(visitor: Visitor) -> tuple[str, ...]:
    return ("held", "filed", "all") if visitor.account.role in OVERSEERS else ("held", "filed")


def _filters(given: dict[str, str]) -> dict[str, Any]:
    wanted: dict[str, Any] = {name: given[name] for name in _FILTERS if name in given}
    for name in _DATES:
        if name in given:
            wanted[name] = convert({name: given[name]}, dict[str, date])[name]
    return wanted


def _after(given: dict[str, str]) -> After | None:
    received_on, _, case = given.get("after", "").partition("_")
    if not case:
        return None
    found: After = convert({"received_on": received_on, "case_id": case}, After)
    return found


def _next_page(given: dict[str, str], found: CasePage) -> str | None:
    if found.next is None:
        return None
    after = f"{found.next.received_on.isoformat()}_{found.next.case_id}"
    return f"/cases?{urlencode(given | {'after': after})}"
