"""Sets the cover and the papers of a dossier as PDF: the same bytes for the same words, with the fonts inside."""

from datetime import datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final, Literal

import msgspec
import pylopdf_fonts_zh_cn
import typst
from fontTools.ttLib import TTFont

from domain.clocks import SHANGHAI

SETTER: Final = ", ".join(f"{name} {version(name)}" for name in ("huiyin", "typst", "pylopdf-fonts-zh-cn"))
"""What has set the files: another edition may break lines elsewhere, and then nothing can be compared."""

Template = Literal["cover", "paper"]


def set_pdf(template: Template, data: Any, made_us: int) -> bytes:
    """The PDF (PDF/A-2b) of one template. data: what the template shows, as plain values; never read as markup.

    made_us: the time that stands in the file (UTC microseconds).
    """
    source = (files("gateway.dossier") / f"{template}.typ").read_bytes()
    return typst.compile(
        source,
        font_paths=_fonts(),
        sys_inputs={"data": msgspec.json.encode(_shown(data)).decode()},
        format="pdf",
        pdf_standards="a-2b",
        timestamp=made_us // 1_000_000,
    )


def _shown(data: Any) -> Any:
    """The data with every character that cannot be shown named by its number: nothing stands there as an empty box, and
    nothing turns the text around."""
    if isinstance(data, str):
        return "".join(char if _is_shown(char) else f"［U+{ord(char):04X}］" for char in data)
    if isinstance(data, dict):
        return {name: _shown(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_shown(value) for value in data]
    return data


def _is_shown(char: str) -> bool:
    return char in _glyphs() and (char.isprintable() or char == "\u3000")


@cache
def _glyphs() -> frozenset[str]:
    """Every character that one of the two fonts has."""
    found: set[str] = set()
    for path in (pylopdf_fonts_zh_cn.serif_path(), pylopdf_fonts_zh_cn.sans_path()):
        with TTFont(path, lazy=True) as font:
            found.update(map(chr, font.getBestCmap()))
    return frozenset(found)


@cache
def _fonts() -> typst.Fonts:
    """Those of the package alone: what a machine has installed makes no difference."""
    folder = pylopdf_fonts_zh_cn.serif_path().parent
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[folder])


def local(at_us: int) -> str:
    """A moment (UTC microseconds) in China, to the second; the number where no calendar reaches so far."""
    try:
        return datetime.fromtimestamp(at_us // 1_000_000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return f"{at_us} µs"
