"""The supervisor's board: units side by side with denominators, at any moment, down to cases and single events."""

from typing import Final, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.accounts import Visitor
from gateway.casework.remit import OVERSEERS
from gateway.catalog import N_
from gateway.node import Node
from gateway.pages.desk import staff
from gateway.pages.forms import Problems
from gateway.pages.render import page, rule_name, translator
from gateway.reading.moments import point_of_view
from gateway.reading.supervising import PAGE_SIZE, UnitCases, board_view, unit_cases
from gateway.reading.units import Names
from gateway.refusals import InputInvalid, NotFound
from gateway.web.visits import require_role, visitor_or_none
from projections.board import About
from projections.moment import Moment

router = APIRouter()

ABOUT: Final = {
    "cases": N_("在办"),
    "bouncing": N_("反复流转"),
    "duties": N_("运行中的时限"),
    "overdue": N_("已逾期"),
    "due_soon": N_("临期"),
    "unheard": N_("失联后到期"),
    "unanswered": N_("督办未回复"),
}


@router.get("/board")
def show(request: Request) -> Response:
    """How the units of a node and of all below it handle what they hold."""
    _overseer(visitor_or_none(request))
    node: Node = request.app.state.node
    at, problems = _moment(node, request)
    view = board_view(node, request.query_params.get("node") or None, at)
    by_node = {line.division: [unit for unit in view.units if unit.node == line.division] for line in view.nodes}
    return page(
        request,
        "board.html",
        status=422 if problems else 200,
        problems=problems,
        view=view,
        by_node=by_node,
        unit_name=Names(node).unit,
        point=_point(request),
        **_asked(request),
    )


@router.get("/board/{unit}/{about}")
def show_cases(request: Request, unit: str, about: str) -> Response:
    """The cases behind one number of a unit, the most urgent or longest held first."""
    _overseer(visitor_or_none(request))
    if about not in ABOUT:
        raise NotFound
    node: Node = request.app.state.node
    at, problems = _moment(node, request)
    found = unit_cases(node, unit, cast("About", about), at, request.query_params.get("after", "")[:80])
    _ = translator(request)
    return page(
        request,
        "board_cases.html",
        status=422 if problems else 200,
        problems=problems,
        found=found,
        about=_(ABOUT[about]),
        rule_name=lambda case: _rule_name(case, request),
        unit_name=Names(node).unit,
        limit=PAGE_SIZE,
        point=_point(request),
        next_page=_next_page(request, found),
        **_asked(request),
    )


def _next_page(request: Request, found: UnitCases) -> str | None:
    if found.next is None:
        return None
    asked = {name: text for name, text in _asked(request).items() if text}
    return f"{request.url.path}?{urlencode(asked | {'after': found.next})}"


def _overseer(visitor: Visitor | None) -> Visitor:
    found = staff(visitor)
    require_role(found, *OVERSEERS)
    return found


def _moment(node: Node, request: Request) -> tuple[Moment | None, Problems]:
    try:
        return point_of_view(node, **_asked(request)), Problems()
    except InputInvalid as refusal:
        return None, Problems(refusal)


def _asked(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "")[:40] for name in ("as_of", "known_by")}


def _point(request: Request) -> str:
    """The point of view as the tail of a link, so that drilling down keeps it."""
    kept = {name: text for name, text in _asked(request).items() if text}
    return f"?{urlencode(kept)}" if kept else ""


def _rule_name(case: object, request: Request) -> str:
    rule, due_us = getattr(case, "rule", None), getattr(case, "due_us", None)
    if rule is None or due_us is None:
        return ""
    return rule_name(rule, due_us, request)
