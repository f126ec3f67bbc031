"""Chinese first, English by a switch: which language a request wants, and its words."""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
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


@cache
def words(language: Language) -> NullTranslations:
    """The catalog of `language`; Chinese is the source text. Compiled from its .po, which is all that is kept."""
    if language == "zh":
        return NullTranslations()
    catalog = files("gateway") / "locale" / language / "LC_MESSAGES" / "messages.po"
    compiled = BytesIO()
    with catalog.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def N_(text: str) -> str:  # noqa: N802, the name that babel extracts by
    """Mark `text` for the catalogs where it stands; it is translated where it is shown."""
    return text
