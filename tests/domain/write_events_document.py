"""Writes docs/events.md from the shapes themselves: `python tests/domain/write_events_document.py`."""

import inspect
import typing
from pathlib import Path

import msgspec

from domain import events

TARGET = Path(__file__).parents[2] / "docs" / "events.md"

HEAD = """# Events

Every stored shape, written from `domain/events.py` by `tests/domain/write_events_document.py`; a test compares.
All of them open with the envelope: {envelope}.

| tag | what it says | fields of its own |
|---|---|---|
"""


def document() -> str:
    """The whole page."""
    envelope = ", ".join(f"`{field}`" for field in events.Event.__struct_fields__)
    return HEAD.format(envelope=envelope) + "".join(_row(shape) for shape in typing.get_args(events.AnyEvent))


def _row(shape: type[msgspec.Struct]) -> str:
    own = [field for field in shape.__struct_fields__ if field not in events.Event.__struct_fields__]
    says = " ".join(inspect.getdoc(shape).split()).replace("|", "\\|")
    return f"| `{shape.__struct_config__.tag}` | {says} | {', '.join(f'`{f}`' for f in own) or '–'} |\n"


if __name__ == "__main__":
    TARGET.write_text(document(), "utf-8")
