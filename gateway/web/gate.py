"""The first thing every request meets: its id, the limits on its body, safe headers, one log line, one metric."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.hosting import logs
from gateway.refusals import BodyTooLarge, BodyTooSlow, ContentTypeWrong, Refusal, TextUnsafe
from gateway.web.refused import RULE, RefusedRequests

BODY_LIMIT_BYTES: Final = 1_048_576
BODY_WAIT_S: Final = 20.0
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_SAFE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS: Final = "max-age=31536000"
_CODED_CONTROL = re.compile(rb"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)

_log = structlog.get_logger("web")


Render = Callable[[Scope, Refusal, str], Response]
"""How a refusal looks to this caller: request scope, refusal, request id."""


class Gate:
    """ASGI middleware. Inside it, `request.state.body` is the whole body and `request.state.request_id` its id."""

    def __init__(
        self,
        app: ASGIApp,
        registry: CollectorRegistry,
        render: Render,
        shared_names: Mapping[str, str],
        refused: RefusedRequests,
    ) -> None:
        """shared_names: route template -> the name it has in metrics and logs, where that must not tell which it is."""
        self._refused = refused
        self._app = app
        self._render = render
        self._shared_names = shared_names
        self._requests = Counter(
            "huiyin_http_requests", "Requests by route template", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "huiyin_http_request_seconds", "Seconds until answered", ("route",), registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status = time.monotonic(), 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _set_headers(scope, MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            _check_address(scope)
            scope["state"]["body"] = await _whole_body(scope, receive)
            await self._app(scope, _replay(scope["state"]["body"], receive), answered)
        except Refusal as refusal:
            await self._render(scope, refusal, request_id)(scope, receive, answered)
        except Exception as error:  # whatever it was, the caller gets an id and the operator gets the place
            frames = logs.frames(error)
            shown = frames[-1:] if _path(scope) in self._shared_names else frames
            _log.error("unexpected", error=type(error).__name__, frames=shown)
            if status:
                raise
            await self._render(scope, _unexpected(request_id), request_id)(scope, receive, answered)
        finally:
            self._note(scope, status, time.monotonic() - started)
            structlog.contextvars.clear_contextvars()

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        hidden = _path(scope) in self._shared_names
        route = self._shared_names.get(_path(scope), _path(scope))
        method = scope["method"] if scope["method"] in _WITH_BODY | {"GET", "HEAD", "OPTIONS"} else "OTHER"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if status >= 400 or method not in {"GET", "HEAD"}:
            ms = {} if hidden else {"ms": round(seconds * 1000)}
            _log.info("request", method=method, route=route, status=status, **ms)
        code = scope["state"].get("refused", RULE if 400 <= status < 500 else None)
        if code is not None:
            self._refused.note(code, route, scope["state"]["request_id"], status, hidden=hidden)


def _path(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or "unrouted"


class Unexpected(Refusal):
    """Something failed inside; nothing is half done. Try again, and quote the request id to the operator."""

    code = "unexpected"
    status = 500


def _unexpected(request_id: str) -> Unexpected:
    return Unexpected(
        f"系统内部出错，未作任何记录，请稍后重试；如仍出错请将编号 {request_id} 告知管理员",
        f"something failed inside and nothing was recorded; retry later, or tell the operator the id {request_id}",
    )


def _check_address(scope: Scope) -> None:
    """TextUnsafe for control characters: no text has them, and some of what reads an address stops at them."""
    if _CODED_CONTROL.search(scope["query_string"]) or not scope["path"].isprintable():
        raise TextUnsafe(
            "网址中含有控制字符，请检查后重新输入", "the address has control characters; check it and type it again"
        )


async def _whole_body(scope: Scope, receive: Receive) -> bytes:
    if scope["method"] not in _WITH_BODY:
        return b""
    headers = Headers(scope=scope)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ContentTypeWrong(headers.get("content-type", "application/json").split(";")[0])
    declared = headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > BODY_LIMIT_BYTES:
        raise BodyTooLarge(BODY_LIMIT_BYTES)
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            return await _read(receive)
    except TimeoutError:
        raise BodyTooSlow from None


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyTooSlow  # the caller hung up: half a form must not be taken for a whole one
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT_BYTES:
            raise BodyTooLarge(BODY_LIMIT_BYTES)
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _set_headers(scope: Scope, headers: MutableHeaders, request_id: str) -> None:
    for name, value in _SAFE_HEADERS.items():
        headers[name] = value
    headers["x-request-id"] = request_id
    if scope.get("scheme") == "https":
        headers["strict-transport-security"] = _HSTS
    if not scope["path"].startswith("/static/"):
        headers.setdefault("cache-control", "no-store")  # unless the route knows better: a tile of a log never changes
