"""The page of one event: its bytes as everybody can read them, and where it is proven."""

from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.events import CaseId, EventId, encode, tag_of
from gateway.pages.desk import staff
from gateway.pages.render import page
from gateway.reading.case_reading import CaseReading
from gateway.reading.event_view import event_view
from gateway.web.visits import visitor_or_none

router = APIRouter()


@router.get("/cases/{case}/events/{event}")
def show(request: Request, case: UUID, event: UUID) -> Response:
    """The event and its proof state."""
    visitor = staff(visitor_or_none(request))
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), visitor.account)
    view = event_view(reading, EventId(event))
    body = msgspec.json.format(encode(view.event), indent=2).decode()
    return page(request, "event.html", view=view, topic=tag_of(view.event), body=body, case_id=case)
