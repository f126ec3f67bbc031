"""Who sends a request: the session behind its cookie or bearer token, and the proof that our own page sent it."""

import hmac
import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.responses import Response

from gateway.accounts import ABSOLUTE_US, AccountRole, Visitor
from gateway.refusals import CrossSite, InsecureConnection, NotSignedIn, RoleForbidden

SECURE_COOKIE: Final = "__Host-huiyin"
LOOPBACK_COOKIE: Final = "huiyin"
CSRF_HEADER: Final = "x-csrf-token"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def network(request: Request) -> str:
    """The peer's address as the server saw it; forwarded headers count only where uvicorn was told to trust them."""
    return request.client.host if request.client else "unknown"


def is_secure(request: Request) -> bool:
    """Whether the request came over https."""
    return request.url.scheme == "https"


def require_safe_link(request: Request) -> None:
    """InsecureConnection unless the link is https or does not leave the machine."""
    if not is_secure(request) and not _is_loopback(request.url.hostname or ""):
        raise InsecureConnection


def set_session(request: Request, response: Response, token: str) -> None:
    """Give the browser the session's cookie."""
    secure = is_secure(request)
    response.set_cookie(
        SECURE_COOKIE if secure else LOOPBACK_COOKIE,
        token,
        max_age=ABSOLUTE_US // 1_000_000,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def clear_session(request: Request, response: Response) -> None:
    """Take the cookie back."""
    secure = is_secure(request)
    name = SECURE_COOKIE if secure else LOOPBACK_COOKIE
    response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")


def cookie_token(request: Request) -> str | None:
    """The session token in the cookie that fits the link."""
    return request.cookies.get(SECURE_COOKIE if is_secure(request) else LOOPBACK_COOKIE)


def bearer_token(request: Request) -> str | None:
    """The session token in the Authorization header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def check_origin(request: Request, *, required: bool) -> None:
    """CrossSite where an unsafe request came from another site; where `required`, also when nothing tells."""
    if request.method in SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise CrossSite
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise CrossSite
    if required and site is None and origin is None:
        raise CrossSite


def check_csrf(visitor: Visitor, given: str | None) -> None:
    """CrossSite unless `given` is the token that this session's pages carry."""
    if given is None or not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise CrossSite


def visitor_or_none(request: Request) -> Visitor | None:
    """Who is signed in by cookie, for pages; None for everybody else."""
    token = cookie_token(request)
    if token is None:
        return None
    try:
        found: Visitor = request.app.state.accounts.visitor(token)
    except NotSignedIn:
        return None
    return found


def signed_in(request: Request) -> Visitor:
    """Who calls the API. NotSignedIn; CrossSite for an unsafe request by cookie without origin and CSRF header."""
    bearer = bearer_token(request)
    token = bearer or cookie_token(request)
    if token is None:
        raise NotSignedIn
    visitor: Visitor = request.app.state.accounts.visitor(token)
    if bearer is None and request.method not in SAFE:
        check_origin(request, required=True)
        check_csrf(visitor, request.headers.get(CSRF_HEADER))
    return visitor


def require_role(visitor: Visitor, *roles: AccountRole) -> None:
    """RoleForbidden unless the visitor has one of `roles`."""
    if visitor.account.role not in roles:
        raise RoleForbidden


SignedInVisitor = Annotated[Visitor, Depends(signed_in)]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
