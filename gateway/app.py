"""Assembles the HTTP side of a node: routes, the gate before them, and how every refusal is told."""

import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute
from prometheus_client import Counter
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from domain.errors import DomainError
from gateway.accounts import Accounts
from gateway.auditor_tokens import AuditorTokens
from gateway.hosting import logs
from gateway.languages import chosen
from gateway.node import Node
from gateway.pages import (
    administration,
    audit,
    board,
    case,
    citizen,
    desk,
    events,
    health,
    papers,
    resealing,
    sealed,
    signing_in,
)
from gateway.pages.render import refusal_page
from gateway.refusals import InputInvalid, KeyMissing, NotFound, NotSignedIn, Refusal, status_by_code, status_of
from gateway.web import admin_api, api, machine, public_api, tlog
from gateway.web.gate import Gate
from gateway.web.model import Error, answer, components
from gateway.web.refused import RefusedRequests
from sync.ledger.append import Busy, LedgerError, LedgerUnavailable

_MACHINE_PATHS = (
    "/api/",
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/policy",
    "/certificate",
    "/static/",
    "/tlog",
)
RETRY_S = 5
"""What Retry-After says when nobody knows how long it takes."""

_METHODS = ("GET", "POST", "PUT", "DELETE")

_log = structlog.get_logger("web")


class MethodWrong(Refusal):
    """The route exists, but not for this method. See the OpenAPI."""

    code = "method_not_allowed"
    status = 405


class Unavailable(Refusal):
    """The database did not answer in time; whether a command was recorded is unknown. Repeat it under its own key."""

    code = "unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "数据库暂时没有应答，操作是否已记录尚不确定，请稍后用同一编号重试",
            "the database does not answer and the outcome is unknown; repeat the request under the same key",
            retry_after_s=RETRY_S,
        )


def build_app(node: Node, now_us: Callable[[], int] | None = None) -> FastAPI:
    """The application for a started `node`. now_us: the machine's clock, for sessions (UTC microseconds)."""
    app = FastAPI(
        title="Huiyin",
        version="0.1.0",
        summary="信访事项多级同步服务 / petitions, provable at every step",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.node = node
    app.state.accounts = Accounts(node.pool, node.here, now_us or _machine_us)
    app.state.auditor_tokens = AuditorTokens(node.pool, app.state.accounts, now_us or _machine_us)
    app.state.outcomes = Counter(
        "huiyin_commands", "Commands by what came of them", ("command", "outcome"), registry=node.metrics
    )
    node.metrics.register(machine.NodeGauges(node.status))
    app.state.refused = RefusedRequests(node.metrics)
    app.add_middleware(
        Gate, registry=node.metrics, render=_render, shared_names=_shared_names(), refused=app.state.refused
    )
    app.add_exception_handler(DomainError, _on_refusal)  # type: ignore[arg-type]
    app.add_exception_handler(LedgerError, _on_ledger)  # type: ignore[arg-type]
    for outage in (TimeoutError, psycopg.OperationalError, psycopg.InterfaceError):
        app.add_exception_handler(outage, _on_outage)
    app.add_exception_handler(RequestValidationError, _on_invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http)  # type: ignore[arg-type]
    app.include_router(machine.router)
    for part in (api, public_api, admin_api, tlog):
        app.include_router(part.router)
    for page in (
        citizen,
        signing_in,
        desk,
        case,
        papers,
        events,
        board,
        audit,
        sealed,
        resealing,
        health,
        administration,
    ):
        app.include_router(page.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=str(files("gateway") / "static"), check_dir=False))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _shared_names() -> dict[str, str]:
    """The names in metrics and logs of routes that must not be told apart.

    That a denunciation was handed in at this hour, or read, is known to nobody who watches the node: to be filing is
    to be any visitor, to be reading one is to be any member of staff. With names of their own for ordinary filings,
    the number of cases taken from theirs would be the number of denunciations.
    """
    groups = {"public": (citizen, public_api), "staff": (desk, case, papers, sealed, resealing)}
    return {api.COMMANDS: "staff"} | {
        route.path: name
        for name, parts in groups.items()
        for part in parts
        for route in part.router.routes
        if isinstance(route, APIRoute)
    }


def _machine_us() -> int:
    return time.time_ns() // 1000


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        parts = found.setdefault("components", {})
        parts["schemas"] = parts.get("schemas", {}) | components(
            api.SHAPES + public_api.SHAPES + admin_api.SHAPES + tlog.SHAPES
        )
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "The token that /api/login answers"},
            "auditor": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token that an operator made for an auditor",
            },
        }
        app.openapi_schema = found
    return app.openapi_schema


def _render(scope: Scope, refusal: DomainError, request_id: str) -> Response:
    """A refusal as JSON for programs and as a page for people."""
    status = status_of(refusal)
    scope["state"]["refused"] = refusal.code
    if scope["path"].startswith(_MACHINE_PATHS):
        error = Error(
            code=refusal.code,
            zh=refusal.zh,
            en=refusal.en,
            field=refusal.field,
            article=refusal.article,
            request_id=request_id,
        )
        response = answer(error, status)
    else:
        language = chosen(HTTPConnection(scope))
        response = refusal_page(language, refusal, status, request_id)
    retry_after_s = getattr(refusal, "retry_after_s", None)
    if retry_after_s is not None:
        response.headers["retry-after"] = str(int(retry_after_s))
    if status == NotSignedIn.status:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _on_refusal(request: Request, error: DomainError) -> Response:
    if isinstance(error, NotSignedIn) and not request.url.path.startswith(_MACHINE_PATHS):
        request.state.refused = error.code
        return signing_in.to_login(request)
    return _render(request.scope, error, request.state.request_id)


def _on_ledger(request: Request, error: LedgerError) -> Response:
    """The ledger's own refusals, which know neither field nor article."""
    status = status_by_code(error.code)
    away_s = RETRY_S if status == Unavailable.status else None
    refusal = Refusal(error.zh, error.en, retry_after_s=error.retry_s if isinstance(error, Busy) else away_s)
    refusal.code, refusal.status = error.code, status  # type: ignore[misc]
    if isinstance(error, LedgerUnavailable):
        _log.error("outage", error=error.code, reason=error.reason)
    return _render(request.scope, refusal, request.state.request_id)


def _on_outage(request: Request, error: Exception) -> Response:
    _log.error("outage", error=type(error).__name__, frames=logs.frames(error)[-1:])  # not what was being filed
    return _render(request.scope, Unavailable(), request.state.request_id)


def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    field = str(first["loc"][-1]) if first["loc"] else None
    if field == "Idempotency-Key" and first["type"] == "missing":
        return _render(request.scope, KeyMissing(), request.state.request_id)
    refusal = InputInvalid(
        f"“{field}”不符合要求，请按说明更正", f'"{field}" is not as required ({first["msg"]}); correct it', field=field
    )
    return _render(request.scope, refusal, request.state.request_id)


def _on_http(request: Request, error: HTTPException) -> Response:
    refusal: Refusal = NotFound()
    if error.status_code == MethodWrong.status:
        refusal = MethodWrong("此地址不支持该请求方法，请查看接口说明", "this address does not take that method")
    response = _render(request.scope, refusal, request.state.request_id)
    if isinstance(refusal, MethodWrong):
        response.headers["allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """What this address takes, over all routes that share it."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
