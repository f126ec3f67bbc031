"""The words of both languages: Chinese is the source text, English comes from the catalog."""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from domain.clocks import Language


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
