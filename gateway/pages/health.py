"""The page on which an operator sees how the node, its children and its links are."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.pages.render import page
from gateway.reading.health import health
from gateway.refusals import NotSignedIn
from gateway.web.visits import visitor_or_none

router = APIRouter()


@router.get("/node")
def show(request: Request) -> Response:
    """Sizes, lag, children, faults and views."""
    if visitor_or_none(request) is None:
        raise NotSignedIn
    return page(request, "node.html", health=health(request.app.state.node))
