"""The page on which an operator sees how the node, its children and its links are."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.node import Node
from gateway.pages.render import page
from gateway.reading.health import health
from gateway.refusals import NotFound, NotSignedIn, RoleForbidden
from gateway.web.visits import visitor_or_none
from sync.exchange.evidence import name_of

router = APIRouter()

_MAY_TAKE: Final = ("auditor", "operator")


@router.get("/node")
def show(request: Request) -> Response:
    """Sizes, lag, children, faults and views."""
    visitor = visitor_or_none(request)
    if visitor is None:
        raise NotSignedIn
    can_take = visitor.account.role in _MAY_TAKE
    return page(request, "node.html", health=health(request.app.state.node), can_take=can_take)


@router.get("/node/evidence")
def take_evidence(request: Request, kind: str, subject: str) -> Response:
    """What is kept of one fault, as a file that anybody can judge: `huiyin verify evidence`."""
    visitor = visitor_or_none(request)
    if visitor is None:
        raise NotSignedIn
    if visitor.account.role not in _MAY_TAKE:
        raise RoleForbidden
    node: Node = request.app.state.node
    data = node.links.evidence(kind, subject)
    if data is None:
        raise NotFound
    headers = {"content-disposition": f'attachment; filename="{name_of(kind, subject)}"'}
    return Response(data, media_type="application/json", headers=headers)
