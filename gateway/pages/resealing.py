"""A denunciation that was taken in as an ordinary petition: sealed upward after all, with who has read it."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.errors import DomainError
from domain.events import AnyEvent, CaseId, SealedRead
from gateway.casework.denunciations import Denunciation
from gateway.casework.readings import Opened, TextWithheld
from gateway.pages.case import RESEALERS, purpose_of
from gateway.pages.desk import staff
from gateway.pages.forms import FormInvalid, Given, Problems, SentForm, require, visitor_of
from gateway.pages.registering import key_of
from gateway.pages.render import moment, page
from gateway.reading import labels
from gateway.reading.case_reading import CaseReading
from gateway.reading.wording import in_order, text_name
from gateway.web.visits import require_role, visitor_or_none

router = APIRouter()

LETTER_CHARS: Final = 18_000
"""So much of it goes into one letter, which takes 20 000."""


@router.get("/cases/{case}/reseal")
def show(request: Request, case: UUID) -> Response:
    """The question which official it is about."""
    visitor = staff(visitor_or_none(request))
    require_role(visitor, *RESEALERS)
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), visitor.account)
    return _page(request, reading, Problems(), Given(), ())


@router.post("/cases/{case}/reseal")
def reseal(request: Request, case: UUID, form: SentForm) -> Response:
    """Seal all that is written in the case, and who has read it, to the organ that manages the official.

    The reading that this takes is recorded like any other, and nothing else of it.
    """
    visitor = staff(visitor_of(request))
    require_role(visitor, *RESEALERS)
    node, account, key = request.app.state.node, visitor.account, key_of(form)
    reading = CaseReading.for_account(node, CaseId(case), account)
    try:
        require(form, {"accused_unit": "被反映人所在单位"})
        opened = reading.open(reading.with_text(), account, purpose_of(account), uuid5(key, "read"))
        letters = letters_of(CaseReading.of(node, CaseId(case)), opened, form.get("accused_unit"))
        items = [node.denunciations.file(letter, uuid5(key, str(number))) for number, letter in enumerate(letters)]
    except (DomainError, FormInvalid) as refusal:
        return _page(request, reading, Problems(refusal), Given(form.fields), ())
    return _page(request, reading, Problems(), Given(), tuple(items))


def letters_of(reading: CaseReading, opened: Opened, accused_unit: str) -> list[Denunciation]:
    """All of it in as many letters as it takes. Raises TextWithheld where nothing of it can be read here."""
    if not opened.texts and opened.withheld:
        raise TextWithheld(next(iter(opened.withheld.values())))
    text = "\n".join((*_heading(reading), *_written(reading, opened), *_read_by(reading.events)))
    parts = [text[at : at + LETTER_CHARS] for at in range(0, len(text), LETTER_CHARS)]
    counted = [f"（{number}/{len(parts)}）\n{part}" for number, part in enumerate(parts, 1)]
    return [Denunciation(accused_unit=accused_unit, text=part) for part in (counted if len(parts) > 1 else parts)]


def _heading(reading: CaseReading) -> Iterator[str]:
    registered = reading.file.registered
    yield "本件曾误作一般信访事项登记，现转为密件。"
    if registered is not None:
        yield f"原登记：{registered.number}，{moment(registered.recorded_us)}，{reading.names.unit(registered.unit)}"


def _written(reading: CaseReading, opened: Opened) -> Iterator[str]:
    numbers = {str(claim): number for number, claim in enumerate(reading.file.claims, start=1)}
    for event in reading.events:
        for path, text in in_order(opened.texts.get(event.id, {})).items():
            yield f"【{text_name(path, numbers, str)}】{text}"
    if opened.withheld:
        yield f"（另有{len(opened.withheld)}条记录的原文不能在转送的节点打开）"


def _read_by(events: tuple[AnyEvent, ...]) -> Iterator[str]:
    """Whoever opened any of it, with the first time; the last is whoever seals it now."""
    first: dict[UUID, SealedRead] = {}
    for event in events:
        if isinstance(event, SealedRead):
            first.setdefault(event.actor.account, event)
    yield "【此前查阅过原文的人员】"
    for event in first.values():
        role = labels.ROLES.get(event.actor.role, event.actor.role)
        yield f"{moment(event.recorded_us)} {event.actor.unit} {role} {event.actor.account}"


def _page(
    request: Request, reading: CaseReading, problems: Problems, given: Given, items: tuple[UUID, ...]
) -> Response:
    return page(
        request,
        "reseal.html",
        status=422 if problems else 200,
        problems=problems,
        given=given,
        items=items,
        case=reading.file.case,
        key=given["key"] or uuid4(),
        units=request.app.state.node.around.offices(),
    )
