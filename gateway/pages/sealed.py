"""The confidential desk of this organ: sealed letters, opened one by one, each opening recorded before it is shown."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.accounts import Visitor
from gateway.casework.store import Leaf
from gateway.node import Node
from gateway.pages.desk import staff
from gateway.pages.forms import SentForm, visitor_of
from gateway.pages.render import page
from gateway.refusals import NotFound
from gateway.web.visits import visitor_or_none

router = APIRouter()


@router.get("/sealed")
def show(request: Request) -> Response:
    """The letters that wait, without a word of what they say."""
    node: Node = request.app.state.node
    _confidential(visitor_or_none(request))
    return page(request, "sealed.html", waiting=node.denunciations.waiting(), opened=None)


@router.post("/sealed/{log_id}/{seq}")
def read(request: Request, log_id: int, seq: int, form: SentForm) -> Response:
    """One letter, opened."""
    node: Node = request.app.state.node
    visitor = _confidential(visitor_of(request))
    opened = node.denunciations.open(Leaf(log_id, seq), visitor.account.actor)
    return page(request, "sealed.html", waiting=[], opened=opened)


def _confidential(visitor: Visitor | None) -> Visitor:
    """NotFound for everybody else: not even that there is such a desk."""
    found = staff(visitor)
    if not found.account.discipline:
        raise NotFound
    return found
