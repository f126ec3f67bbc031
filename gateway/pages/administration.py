"""The operator's pages: who may sign in, in which role and unit, and who is signed in now."""

from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from domain.errors import DomainError
from gateway.accounts import Accounts, Duties, NewAccount, Visitor
from gateway.auditor_tokens import AuditorTokens, Made, NewToken, TokenNamed
from gateway.node import Node
from gateway.pages.forms import Form, Given, Problems, SentForm, visitor_of
from gateway.pages.registering import key_of
from gateway.pages.render import page
from gateway.reading.units import own_units
from gateway.refusals import NotSignedIn, RoleForbidden
from gateway.web.strict import convert
from gateway.web.units import NewUnit, open_unit
from gateway.web.visits import visitor_or_none

router = APIRouter()


@router.get("/accounts")
def accounts(request: Request) -> Response:
    """Every account, and the form that opens one."""
    _operator(visitor_or_none(request))
    return _accounts(request, Problems(), Given())


@router.post("/accounts")
def open_account(request: Request, form: SentForm) -> Response:
    """Open an account."""
    operator = _operator(visitor_of(request))
    try:
        new = convert(
            _values(form, "login", "name", "password", "role", "unit", "discipline"), NewAccount, strict=False
        )
        _registry(request).open(new, operator.account.id)
    except DomainError as refusal:
        return _accounts(request, Problems(refusal), Given(form.fields))
    return _back("/accounts")


@router.get("/accounts/{account}")
def account(request: Request, account: UUID) -> Response:
    """One account with the forms that change it."""
    _operator(visitor_or_none(request))
    return _account(request, account, Problems())


@router.post("/accounts/{account}")
def change_account(request: Request, account: UUID, form: SentForm) -> Response:
    """Give another role or unit, set a password, close, make or revoke a token: whichever button was pressed."""
    operator = _operator(visitor_of(request)).account.id
    registry = _registry(request)
    try:
        match form.get("act"):
            case "assign":
                registry.assign(
                    account, convert(_values(form, "role", "unit", "discipline"), Duties, strict=False), operator
                )
            case "password":
                registry.set_password(account, form.get("password"), operator)
            case "close":
                registry.close(account, operator)
            case "token":
                asked: NewToken = convert(_values(form, "days"), NewToken, strict=False)
                return _account(request, account, Problems(), _tokens(request).make(account, asked.days, operator))
            case "revoke":
                ended: TokenNamed = convert(_values(form, "token"), TokenNamed)
                _tokens(request).revoke(ended.token, operator)
                return _back(f"/accounts/{account}")
            case _:
                pass
    except DomainError as refusal:
        return _account(request, account, Problems(refusal))
    return _back("/accounts")


@router.get("/units")
def units(request: Request) -> Response:
    """The offices of this node, and the form that opens or renames one."""
    _operator(visitor_or_none(request))
    return _units(request, Problems(), Given())


@router.post("/units")
def change_unit(request: Request, form: SentForm) -> Response:
    """Open an office, or give one another name."""
    operator = _operator(visitor_of(request))
    node: Node = request.app.state.node
    try:
        new = convert(_values(form, "short", "name"), NewUnit)
        pos = open_unit(node, new, operator.account.actor, key_of(form))
    except DomainError as refusal:
        return _units(request, Problems(refusal), Given(form.fields))
    node.await_views(pos)
    return _back("/units")


@router.get("/sessions")
def sessions(request: Request) -> Response:
    """Who is signed in."""
    _operator(visitor_or_none(request))
    return page(request, "sessions.html", sessions=_registry(request).sessions())


@router.post("/sessions/{session}")
def end_session(request: Request, session: UUID, form: SentForm) -> Response:
    """End one session."""
    operator = _operator(visitor_of(request))
    _registry(request).revoke(session, operator.account.id)
    return _back("/sessions")


def _operator(visitor: Visitor | None) -> Visitor:
    if visitor is None:
        raise NotSignedIn
    if visitor.account.role != "operator":
        raise RoleForbidden
    return visitor


def _registry(request: Request) -> Accounts:
    found: Accounts = request.app.state.accounts
    return found


def _tokens(request: Request) -> AuditorTokens:
    found: AuditorTokens = request.app.state.auditor_tokens
    return found


def _values(form: Form, *names: str) -> dict[str, Any]:
    return {name: text for name in names if (text := form.get(name))}


def _accounts(request: Request, problems: Problems, given: Given) -> Response:
    return page(
        request,
        "accounts.html",
        status=422 if problems else 200,
        accounts=_registry(request).all(),
        units=_own_units(request),
        problems=problems,
        given=given,
    )


def _account(request: Request, account: UUID, problems: Problems, made: Made | None = None) -> Response:
    """made: a token to show, this once."""
    found = _registry(request).account(account)
    return page(
        request,
        "account.html",
        status=422 if problems else 200,
        account=found,
        units=_own_units(request),
        tokens=[(row, _tokens(request).is_good(row)) for row in _tokens(request).all(account)],
        made=made,
        problems=problems,
    )


def _units(request: Request, problems: Problems, given: Given) -> Response:
    return page(
        request,
        "units.html",
        status=422 if problems else 200,
        units=_own_units(request),
        problems=problems,
        given=given,
        key=uuid4(),
    )


def _own_units(request: Request) -> list[tuple[str, str]]:
    return sorted(own_units(request.app.state.node).items())


def _back(to: str) -> Response:
    return RedirectResponse(to, status_code=303)
