"""Chinese first, English by a switch: which language a request wants."""

from typing import Final

from starlette.requests import HTTPConnection

from domain.clocks import Language

COOKIE: Final = "lang"
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")


def chosen(request: HTTPConnection) -> Language:
    """The language of the address (`?lang=`), else of the cookie, else Chinese."""
    for wish in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if wish in LANGUAGES:
            return wish
    return "zh"
