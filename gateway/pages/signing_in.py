"""The pages on which staff sign in and out, and the way back to where they wanted to go."""

from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from gateway.pages.forms import Problems, SentForm
from gateway.pages.render import page
from gateway.refusals import TooManyAttempts, WrongPassword
from gateway.web.visits import (
    clear_session,
    cookie_token,
    network,
    require_safe_link,
    set_session,
)

router = APIRouter()


def to_login(request: Request) -> Response:
    """To the sign-in page, and from there back to this address where it can be opened again."""
    wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    after = f"?next={quote(wanted, safe='')}" if request.method == "GET" else ""
    return RedirectResponse(f"/login{after}", status_code=303)


@router.get("/login")
def show(request: Request) -> Response:
    """The sign-in form."""
    return page(
        request, "login.html", problems=Problems(), login="", after=_inside(request.query_params.get("next", ""))
    )


@router.post("/login")
def log_in(request: Request, form: SentForm) -> Response:
    """Open a session and go to the page that was wanted, else to the day's duties."""
    require_safe_link(request)
    try:
        signed_in = request.app.state.accounts.log_in(form.get("login"), form.get("password"), network(request))
    except (WrongPassword, TooManyAttempts) as refusal:
        return page(
            request,
            "login.html",
            status=422 if isinstance(refusal, WrongPassword) else refusal.status,
            problems=Problems(refusal),
            login=form.get("login"),
            after=_inside(form.get("next")),
        )
    start = "/accounts" if signed_in.visitor.account.role == "operator" else "/duties"
    response = RedirectResponse(_inside(form.get("next")) or start, status_code=303)
    set_session(request, response, signed_in.token)
    return response


@router.post("/logout")
def log_out(request: Request, form: SentForm) -> Response:
    """End the session."""
    token = cookie_token(request)
    if token is not None:
        request.app.state.accounts.log_out(token)
    response = RedirectResponse("/", status_code=303)
    clear_session(request, response)
    return response


def _inside(address: str) -> str:
    """`address` if it is a path of this site, else nothing."""
    parts = urlsplit(address)
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc
    return address if inside and address.isprintable() else ""
