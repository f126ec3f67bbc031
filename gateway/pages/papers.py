"""The papers of a case, to be printed: opening what is written on them is recorded like any other reading."""

from typing import Final
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.clocks import Deadline
from domain.events import (
    Accepted,
    AnyEvent,
    CaseId,
    ClaimAmended,
    Declined,
    EventId,
    Extended,
    OpinionIssued,
    Registered,
    Replied,
)
from gateway.casework.readings import TextWithheld
from gateway.pages.desk import staff
from gateway.pages.forms import SentForm, visitor_of
from gateway.pages.render import page
from gateway.reading.case_reading import CaseReading
from gateway.reading.case_view import deadline_of
from gateway.reading.papers import Desk, Printable, name_of, paper
from gateway.refusals import NotFound

router = APIRouter()

_SERVED: Final = (Accepted, Declined, Extended, OpinionIssued, Replied)
"""What is served on the petitioner; letters between offices are not."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A paper of the case. served: method and date, empty while it is not. serve: whether the petitioner gets it."""

    event: EventId
    name: str
    number: str
    served: str
    serve: bool


def printable(reading: CaseReading) -> list[Listed]:
    """The papers of the case in the order in which their events were learned."""
    return [_listed(reading, event) for event in reading.events if isinstance(event, Printable)]


@router.post("/cases/{case}/papers/{event}")
def show(request: Request, case: UUID, event: UUID, form: SentForm) -> Response:
    """One paper with its texts opened, ready to print."""
    account = staff(visitor_of(request)).account
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), account)
    found = next((one for one in reading.events if one.id == event), None)
    if not isinstance(found, Printable):
        raise NotFound
    wanted = [one.id for one in reading.events if isinstance(one, Registered | ClaimAmended) and one.sealed]
    wanted += [found.id] if found.sealed else []
    opened = reading.open(wanted, account, "serve", uuid4())
    if opened.withheld:
        raise TextWithheld(next(iter(opened.withheld.values())))
    texts = {path: text for found_texts in opened.texts.values() for path, text in found_texts.items()}
    node = reading.node
    desk = Desk(
        unit_name=reading.names.unit,
        review_organ=node.config.node.review_organ if found.node == node.here else "",
        texts=texts,
        deadline=_deadline(reading, found),
        contact=f"{reading.names.unit(found.actor.unit)}（{node.config.url}）",
    )
    return page(request, "paper.html", paper=paper(reading.file, found, desk), case_id=case)


def _listed(reading: CaseReading, event: Printable) -> Listed:
    served = reading.file.served.get(event.id)
    return Listed(
        event=event.id,
        name=name_of(event),
        number=getattr(event, "number", ""),
        served=served.served_on.isoformat() if served else "",
        serve=isinstance(event, _SERVED),
    )


def _deadline(reading: CaseReading, event: AnyEvent) -> Deadline | None:
    """The handling period that an acceptance starts or an extension moves."""
    if not isinstance(event, Accepted | Extended) or not event.claims:
        return None
    claim = reading.file.claims.get(event.claims[0])
    if claim is None or not claim.accepted_us:
        return None
    extra_days = claim.extra_days if isinstance(event, Extended) else 0
    return deadline_of("handle", claim.accepted_us, reading.node.around.calendar(), None, extra_days)
