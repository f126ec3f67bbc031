"""The JSON API for staff: signing in, commands, and reading; what a citizen may do is in gateway/web/public_api."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response

from domain.commands import AnyCommand, Register
from domain.divisions import Division
from domain.errors import DomainError
from domain.events import AnyEvent, CaseId, EventId, ReadingPurpose
from domain.steps import Step
from gateway.accounts import Account, AccountRole
from gateway.casework.denunciations import Denunciation
from gateway.casework.readings import WITHHELD, Withheld
from gateway.casework.remit import OVERSEERS, require_staff
from gateway.node import Node
from gateway.reading.case_reading import CaseReading
from gateway.reading.case_view import CaseView
from gateway.reading.duty_list import DutyList, duties_of
from gateway.reading.event_view import EventView, event_view
from gateway.reading.moments import Day, When, point_of_view
from gateway.reading.supervising import BoardView, UnitCases, board_view, unit_cases
from gateway.reading.units import Names
from gateway.reading.unproven import Unproven
from gateway.refusals import InputInvalid, RoleForbidden
from gateway.web.model import REFUSALS, answer, body, gives, takes
from gateway.web.receiving import seal_apart
from gateway.web.visits import (
    SignedInVisitor,
    bearer_token,
    cookie_token,
    network,
    require_role,
    require_safe_link,
)
from projections import cases
from projections.board import About, Lateness
from projections.case_rows import Status
from projections.cases import After, CaseFilter, CasePage
from projections.timeline import Entry

COMMANDS: Final = "/api/commands"
router = APIRouter(prefix="/api", responses=REFUSALS)

PAGE_MAX: Final = 200
BEARER: Final[dict[str, Any]] = {"security": [{"bearer": []}]}

CommandKey = Annotated[
    UUID,
    Header(
        alias="Idempotency-Key",
        description="A fresh UUID for each command; the same one when it is sent again after an unknown outcome",
    ),
]


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants to sign in."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """token: to be sent as `Authorization: Bearer`; given once."""

    token: str
    account: UUID
    role: AccountRole
    unit: str


class MixedLetter(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command", tag="mixed_letter"
):
    """A letter that also says something against an official: two matters, which nothing that is kept joins.

    The denunciation is sealed first, to the organ that manages the official; then the rest is registered.
    """

    register: Register
    denunciation: Denunciation


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A command stands in the ledger; `secured` once the next one up has cosigned it. pos: of its last event.

    repeated: it had been recorded before under the same Idempotency-Key, or nothing was left to do. item: of the
    denunciation that a mixed letter had in it. rating_code: of what was registered, for the petitioner's receipt and
    nobody else, told here alone.
    """

    state: Literal["recorded", "secured"]
    pos: int
    case: CaseId | None
    events: tuple[AnyEvent, ...]
    repeated: bool
    item: UUID | None = None
    rating_code: str | None = None


class WantedTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events' sealed texts to open, and why. The reading is recorded before the texts are answered."""

    events: Annotated[tuple[EventId, ...], msgspec.Meta(min_length=1, max_length=500)]
    purpose: ReadingPurpose


class WithheldText(msgspec.Struct, frozen=True, kw_only=True):
    """An event of which some or all texts cannot be shown, and why, as a word and in both languages."""

    event: EventId
    why: Withheld
    zh: str
    en: str


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """Opened texts by event and path, and what of the events asked for cannot be read here."""

    texts: dict[EventId, dict[str, str]]
    withheld: tuple[WithheldText, ...]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a time line, with whether another than its author is known to have verified it, as in `EventView`.

    unproven: where nobody but the author vouches for the time at which it is said to have happened.
    """

    entry: Entry
    state: Literal["recorded", "secured"]
    unproven: Unproven | None


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """Every step of a case, allowed or with the reason why not."""

    steps: tuple[Step, ...]


class TimeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A case's events in the order in which this node learned them. late: who held it past which due date, how long."""

    lines: tuple[Line, ...]
    late: tuple[Lateness, ...]


DivisionCode = Annotated[str | None, Query(pattern="^[0-9]{12}$", description="A node at or below this one")]

SHAPES: Final[tuple[Any, ...]] = (
    AnyCommand | MixedLetter,
    Credentials,
    Session,
    Recorded,
    WantedTexts,
    Texts,
    Steps,
    TimeLine,
    CaseView,
    CasePage,
    EventView,
    DutyList,
    BoardView,
    UnitCases,
)


@router.post(
    "/login", responses={200: gives(Session, "Signed in")}, openapi_extra=takes(Credentials), response_class=Response
)
def log_in(request: Request, given: Annotated[Credentials, Depends(body(Credentials))]) -> Response:
    """Open a session. A wrong name and a wrong password get the same answer."""
    require_safe_link(request)
    signed_in = request.app.state.accounts.log_in(given.username, given.password, network(request))
    account: Account = signed_in.visitor.account
    return answer(Session(token=signed_in.token, account=account.id, role=account.role, unit=account.unit))


@router.post("/logout", status_code=204, response_class=Response, openapi_extra=BEARER)
def log_out(request: Request, _: SignedInVisitor) -> Response:
    """End the session."""
    request.app.state.accounts.log_out(bearer_token(request) or cookie_token(request) or "")
    return Response(status_code=204)


@router.post(
    COMMANDS.removeprefix(router.prefix),
    status_code=201,
    responses={
        201: gives(Recorded, "Recorded"),
        200: gives(Recorded, "Recorded before under this key, or nothing was left to do"),
    },
    openapi_extra=takes(AnyCommand | MixedLetter) | BEARER,
    response_class=Response,
)
def give_command(
    request: Request,
    visitor: SignedInVisitor,
    key: CommandKey,
    given: Annotated[Any, Depends(body(AnyCommand | MixedLetter))],
) -> Response:
    """Carry out one command, once, however often it is sent under its key."""
    node: Node = request.app.state.node
    item, command = None, given
    if isinstance(given, MixedLetter):
        item, command = seal_apart(node, given.denunciation, key), given.register
    elif isinstance(given, Register):
        seal_apart(node, None, key)
    recorded = msgspec.structs.replace(carry_out(request, node, visitor.account, command, key), item=item)
    return answer(recorded, 200 if recorded.repeated else 201)


def carry_out(request: Request, node: Node, account: Account, command: AnyCommand, key: UUID) -> Recorded:
    """`command` on behalf of `account`, counted in the metrics. Raises NotFound, RoleForbidden, and as the desk."""
    _require_giver(node, account)
    case = getattr(command, "case", None)
    if case is not None and account.role != "citizen":
        CaseReading.for_account(node, case, account)
    tag, outcomes = str(command.__struct_config__.tag), request.app.state.outcomes
    try:
        done = node.desk.do(command, account.actor, node.journal.of_account(account.id, key))
    except DomainError as refusal:
        outcomes.labels(tag, refusal.code).inc()
        refusal.zh, refusal.en = map(Names(node).in_words, (refusal.zh, refusal.en))
        raise
    outcomes.labels(tag, "repeated" if done.repeated else "recorded").inc()
    secured = done.case is not None and CaseReading.of(node, done.case).are_secured(event.id for event in done.events)
    return Recorded(
        state="secured" if secured else "recorded",
        pos=done.pos,
        case=done.case,
        events=done.events,
        repeated=done.repeated,
        rating_code=node.receipts.rating_code(done.case) if isinstance(command, Register) and done.case else None,
    )


@router.get(
    "/cases", responses={200: gives(CasePage, "Cases, last received first")}, openapi_extra=BEARER,
    response_class=Response,
)  # fmt: skip
def list_cases(
    request: Request,
    visitor: SignedInVisitor,
    scope: Literal["held", "filed", "all"] = "held",
    status: Status | None = None,
    matter_class: Annotated[str | None, Query(max_length=40)] = None,
    category: Annotated[str | None, Query(pattern="^[0-9]{2}([0-9]{2}([0-9]{2})?)?$")] = None,
    received_from: Day | None = None,
    received_to: Day | None = None,
    number: Annotated[str | None, Query(max_length=80)] = None,
    after: Annotated[
        str | None,
        Query(pattern=r"^\d{4}-\d{2}-\d{2}_[0-9a-f-]{36}$", description="`received_on`_`case_id` of the last case"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> Response:
    """The case ledger. held: by units of this node; filed: registered here; all: whatever this node has learned."""
    wanted = case_filter(
        request.app.state.node.here,
        visitor.account,
        scope,
        status=status,
        matter_class=matter_class,
        category=category,
        received_from=received_from,
        received_to=received_to,
        number=number,
    )
    with request.app.state.node.pool.connection() as conn:
        return answer(cases.find(conn, wanted, after=_after(after), limit=limit))


def case_filter(here: Division, account: Account, scope: str, **wanted: Any) -> CaseFilter:
    """What the account may ask the case ledger for. Raises RoleForbidden."""
    require_staff(account)
    if scope == "all" and account.role not in OVERSEERS:
        raise RoleForbidden
    places: dict[str, dict[str, Any]] = {"held": {"holder_nodes": (here,)}, "filed": {"filing_node": here}, "all": {}}
    return CaseFilter(**places[scope], **wanted)


@router.get(
    "/cases/{case}", responses={200: gives(CaseView, "The case")}, openapi_extra=BEARER, response_class=Response
)
def show_case(request: Request, visitor: SignedInVisitor, case: UUID) -> Response:
    """Facts, custody, claims and running clocks, without anything that was sealed."""
    return answer(CaseReading.for_account(request.app.state.node, CaseId(case), visitor.account).view())


@router.get(
    "/cases/{case}/timeline", responses={200: gives(TimeLine, "The events")}, openapi_extra=BEARER,
    response_class=Response,
)  # fmt: skip
def show_timeline(
    request: Request, visitor: SignedInVisitor, case: UUID, as_of: When = None, known_by: When = None
) -> Response:
    """Every event of the case across its legs. as_of: what had happened by then; known_by: what was known here then."""
    node: Node = request.app.state.node
    reading = CaseReading.for_account(node, CaseId(case), visitor.account)
    at = point_of_view(node, as_of, known_by)
    entries = reading.timeline(at)
    doubts = reading.unproven(entries)
    lines = (
        Line(
            entry=entry,
            state="secured" if reading.secured(entry.log_id, entry.seq) else "recorded",
            unproven=doubts.get(entry.pos),
        )
        for entry in entries
    )
    return answer(TimeLine(lines=tuple(lines), late=tuple(reading.lateness(at))))


@router.get(
    "/cases/{case}/steps", responses={200: gives(Steps, "The steps")}, openapi_extra=BEARER, response_class=Response
)
def show_steps(request: Request, visitor: SignedInVisitor, case: UUID) -> Response:
    """What this account may do next in the case, and for every other step the reason and the article."""
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), visitor.account)
    return answer(Steps(steps=tuple(reading.steps(visitor.account))))


@router.post(
    "/cases/{case}/read", responses={200: gives(Texts, "The texts")}, openapi_extra=takes(WantedTexts) | BEARER,
    response_class=Response,
)  # fmt: skip
def read_texts(
    request: Request,
    visitor: SignedInVisitor,
    case: UUID,
    key: CommandKey,
    wanted: Annotated[WantedTexts, Depends(body(WantedTexts))],
) -> Response:
    """Open sealed texts. That it was done, by whom and why, is recorded before they are answered."""
    node: Node = request.app.state.node
    reading = CaseReading.for_account(node, CaseId(case), visitor.account)
    opened = reading.open(wanted.events, visitor.account, wanted.purpose, key)
    withheld = (
        WithheldText(event=event, why=why, zh=WITHHELD[why][0], en=WITHHELD[why][1])
        for event, why in opened.withheld.items()
    )
    return answer(Texts(texts=opened.texts, withheld=tuple(withheld)))


@router.get(
    "/cases/{case}/events/{event}", responses={200: gives(EventView, "The event")}, openapi_extra=BEARER,
    response_class=Response,
)  # fmt: skip
def show_event(request: Request, visitor: SignedInVisitor, case: UUID, event: UUID) -> Response:
    """One event of the case, its leaf, and whether it is secured."""
    reading = CaseReading.for_account(request.app.state.node, CaseId(case), visitor.account)
    return answer(event_view(reading, EventId(event)))


@router.get("/duties", responses={200: gives(DutyList, "Duties")}, openapi_extra=BEARER, response_class=Response)
def list_duties(request: Request, visitor: SignedInVisitor) -> Response:
    """The clocks that run for the account's unit, the soonest due first."""
    require_staff(visitor.account)
    return answer(DutyList(duties=duties_of(request.app.state.node, visitor.account.unit)))


@router.get("/board", responses={200: gives(BoardView, "The board")}, openapi_extra=BEARER, response_class=Response)
def show_board(
    request: Request, visitor: SignedInVisitor, node: DivisionCode = None, as_of: When = None, known_by: When = None
) -> Response:
    """How the units of a node and of all below it handle what they hold, with denominators."""
    require_role(visitor, *OVERSEERS)
    here: Node = request.app.state.node
    return answer(board_view(here, node, point_of_view(here, as_of, known_by)))


@router.get(
    "/board/{unit}/{about}", responses={200: gives(UnitCases, "The cases")}, openapi_extra=BEARER,
    response_class=Response,
)  # fmt: skip
def show_board_cases(
    request: Request,
    visitor: SignedInVisitor,
    unit: Annotated[str, Path(pattern=r"^[0-9]{12}\.[a-z0-9_]{1,24}$")],
    about: About,
    as_of: When = None,
    known_by: When = None,
    after: Annotated[str | None, Query(max_length=80)] = None,
) -> Response:
    """The cases behind one number of the board, the most urgent first. after: `next` of the page before."""
    require_role(visitor, *OVERSEERS)
    here: Node = request.app.state.node
    return answer(unit_cases(here, unit, about, point_of_view(here, as_of, known_by), after))


def _require_giver(node: Node, account: Account) -> None:
    """Staff give commands; a player of the demonstration may also speak as the petitioner there, nowhere else."""
    if account.role == "citizen" and node.config.clock.kind == "shared":
        return
    require_staff(account)


def _after(text: str | None) -> After | None:
    if text is None:
        return None
    received_on, _, case = text.partition("_")
    try:
        return After(date.fromisoformat(received_on), UUID(case))
    except ValueError as error:
        raise InputInvalid(
            "“after”应为上一页最后一件的收到日和编号，请按返回的 next 填写",
            '"after" must be what the page before gave as next; correct it',
            field="after",
        ) from error
