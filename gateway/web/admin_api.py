"""The operator's part of the JSON API: accounts, sessions, units, and the node's health."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.accounts import Account, Accounts, Duties, NewAccount, SessionRow
from gateway.node import Node
from gateway.reading.health import Health, health
from gateway.reading.units import UnitName, known_units
from gateway.web.api import BEARER, CommandKey
from gateway.web.model import REFUSALS, answer, body, gives, takes
from gateway.web.units import NewUnit, open_unit
from gateway.web.visits import SignedInVisitor, require_role

router = APIRouter(prefix="/api/admin", responses=REFUSALS)


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    """Every account of the node."""

    accounts: list[Account]


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Every session that is still good."""

    sessions: list[SessionRow]


class UnitList(msgspec.Struct, frozen=True, kw_only=True):
    """Every office that a matter can be given to from here."""

    units: list[UnitName]


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A password to set."""

    password: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


SHAPES: Final[tuple[Any, ...]] = (
    AccountList,
    Account,
    NewAccount,
    Duties,
    NewPassword,
    SessionList,
    UnitList,
    NewUnit,
    UnitName,
    Health,
)


def _operators(visitor: SignedInVisitor) -> UUID:
    require_role(visitor, "operator")
    return visitor.account.id


def _registry(request: Request) -> Accounts:
    found: Accounts = request.app.state.accounts
    return found


Operator = Annotated[UUID, Depends(_operators)]
Registry = Annotated[Accounts, Depends(_registry)]


@router.get("/accounts", responses={200: gives(AccountList, "Accounts")}, openapi_extra=BEARER, response_class=Response)
def list_accounts(_: Operator, registry: Registry) -> Response:
    """Every account, open ones first."""
    return answer(AccountList(accounts=registry.all()))


@router.post(
    "/accounts", status_code=201, responses={201: gives(Account, "Opened")}, openapi_extra=takes(NewAccount) | BEARER,
    response_class=Response,
)  # fmt: skip
def open_account(
    operator: Operator, registry: Registry, new: Annotated[NewAccount, Depends(body(NewAccount))]
) -> Response:
    """Open an account."""
    return answer(registry.open(new, operator), 201)


@router.put(
    "/accounts/{account}/duties", responses={200: gives(Account, "Changed")}, openapi_extra=takes(Duties) | BEARER,
    response_class=Response,
)  # fmt: skip
def assign(
    operator: Operator, registry: Registry, account: UUID, duties: Annotated[Duties, Depends(body(Duties))]
) -> Response:
    """Give an account another role or unit, from its next request on."""
    return answer(registry.assign(account, duties, operator))


@router.put("/accounts/{account}/password", status_code=204, openapi_extra=takes(NewPassword) | BEARER)
def set_password(
    operator: Operator, registry: Registry, account: UUID, new: Annotated[NewPassword, Depends(body(NewPassword))]
) -> Response:
    """Set a password and end the account's sessions."""
    registry.set_password(account, new.password, operator)
    return Response(status_code=204)


@router.delete("/accounts/{account}", status_code=204, openapi_extra=BEARER)
def close_account(operator: Operator, registry: Registry, account: UUID) -> Response:
    """Close an account; what it did stays its own."""
    registry.close(account, operator)
    return Response(status_code=204)


@router.get("/sessions", responses={200: gives(SessionList, "Sessions")}, openapi_extra=BEARER, response_class=Response)
def list_sessions(_: Operator, registry: Registry) -> Response:
    """Who is signed in."""
    return answer(SessionList(sessions=registry.sessions()))


@router.delete("/sessions/{session}", status_code=204, openapi_extra=BEARER)
def end_session(operator: Operator, registry: Registry, session: UUID) -> Response:
    """End a session."""
    registry.revoke(session, operator)
    return Response(status_code=204)


@router.get("/units", responses={200: gives(UnitList, "Units")}, openapi_extra=BEARER, response_class=Response)
def list_units(request: Request, _: SignedInVisitor) -> Response:
    """Every office that a matter can be given to from here; for every account."""
    found = sorted(known_units(request.app.state.node).items())
    return answer(UnitList(units=[UnitName(unit=unit, name=name) for unit, name in found]))


@router.post(
    "/units", status_code=201, responses={201: gives(UnitName, "Opened or renamed")},
    openapi_extra=takes(NewUnit) | BEARER, response_class=Response,
)  # fmt: skip
def change_unit(
    request: Request,
    visitor: SignedInVisitor,
    key: CommandKey,
    new: Annotated[NewUnit, Depends(body(NewUnit))],
) -> Response:
    """Open an office of this node, or give one another name."""
    require_role(visitor, "operator")
    node: Node = request.app.state.node
    open_unit(node, new, visitor.account.actor, key)
    return answer(UnitName(unit=f"{node.here}.{new.short}", name=new.name), 201)


@router.get("/health", responses={200: gives(Health, "Health")}, openapi_extra=BEARER, response_class=Response)
def show_health(request: Request, visitor: SignedInVisitor) -> Response:
    """The node, its children, the standing faults and its views; for every account that works here."""
    require_role(visitor, "operator", "supervisor", "auditor", "leader", "clerk", "handler")
    return answer(health(request.app.state.node))
