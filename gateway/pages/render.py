"""Turns a template and values into a page in the language that the request wants."""

from collections.abc import Callable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from domain.articles import in_english
from domain.clocks import Language, shanghai_date, shanghai_time
from domain.errors import DomainError
from domain.limits import RuleId, rule_on
from gateway.catalog import words
from gateway.languages import COOKIE, chosen
from gateway.reading import labels
from gateway.web.visits import visitor_or_none


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page of `template`. Every template also sees language, visitor, node, path and the label tables."""
    language = chosen(request)
    if values.get("problems"):
        request.state.refused = values["problems"].errors[0].code
    node = request.app.state.node
    visitor = request.state.visitor if hasattr(request.state, "visitor") else visitor_or_none(request)
    html = (
        environment(language)
        .get_template(template)
        .render(
            {
                "language": language,
                "visitor": visitor,
                "csrf": visitor.csrf if visitor else "",
                "role": visitor.account.role if visitor else None,
                "node_name": node.config.node.name,
                "node_division": node.config.node.division,
                "simulated": node.config.clock.kind == "shared",
                "path": request.url.path,
                "query": request.url.query,
                "now_us": node.clock.now_us(),
            }
            | values
        )
    )
    response = HTMLResponse(html, status_code=status)
    if request.query_params.get("lang") == language:
        response.set_cookie(COOKIE, language, max_age=31_536_000, path="/", samesite="lax", httponly=True)
    return response


def refusal_page(language: Language, refusal: DomainError, status: int, request_id: str) -> HTMLResponse:
    """A page that says what was wrong, what to do next, and the id to quote; needs no database."""
    html = (
        environment(language)
        .get_template("refusal.html")
        .render(language=language, refusal=refusal, status=status, request_id=request_id)
    )
    return HTMLResponse(html, status_code=status)


def translator(request: Request) -> Callable[[str], str]:
    """What turns Chinese into the language of the request."""
    return words(chosen(request)).gettext


def rule_name(rule: RuleId, at_us: int, request: Request) -> str:
    """What a clock is called, as the law in force on that day in China calls it."""
    found = rule_on(rule, shanghai_date(at_us))
    return found.zh if chosen(request) == "zh" else found.en


@cache
def environment(language: Language) -> Environment:
    """The Jinja environment of one language: strict about names, every value escaped."""
    found = Environment(
        loader=FileSystemLoader(str(files("gateway") / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    catalog = words(language)
    found.install_gettext_translations(catalog, newstyle=True)  # type: ignore[attr-defined]
    found.globals |= {
        "labels": labels,
        "options": lambda table, *codes: [(code, catalog.gettext(table[code])) for code in codes or table],
    }
    found.filters |= {
        "moment": moment,
        "second": second,
        "day": day,
        "label": lambda code, table: catalog.gettext(table.get(code, code)),
        "article": lambda article: article if language == "zh" else in_english(article),
        "said": lambda error: error.zh if language == "zh" else error.en,
        "short": lambda key: str(key)[-8:],
        "lines": _lines,
    }
    return found


def moment(at_us: int | None) -> str:
    """A moment (UTC microseconds) as date and minute in China; a dash for none."""
    return "—" if at_us is None else shanghai_time(at_us)


def second(at_us: int | None) -> str:
    """A moment (UTC microseconds) as date, minute and second in China; a dash for none."""
    return "—" if at_us is None else f"{shanghai_time(at_us)}:{at_us // 1_000_000 % 60:02d}"


def day(value: date | int | None) -> str:
    """A date, or the date in China of a moment in UTC microseconds; a dash for none."""
    if value is None:
        return "—"
    return value.isoformat() if isinstance(value, date) else moment(value)[:10]


def _lines(text: str) -> Markup:
    return Markup("<br>").join(text.split("\n"))
