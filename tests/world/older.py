"""A program of an earlier version, which does not know every event yet, as far as the other nodes can tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec
import pytest

from domain import events
from domain.events import AnyEvent
from projections import following
from sync.sealed import acts

MISSING: Final = frozenset({"material.added.v0", "leg.extended.v0", "case.rated.v0"})
"""The events that it lacks."""

STEPS: Final = frozenset({"add_material", "extend", "rate"})
"""The steps that it does not offer."""

_SHAPES: Final[tuple[Any, ...]] = AnyEvent.__args__
_TAGS: Final = events.TAGS - MISSING
_decoder: Final[Any] = msgspec.json.Decoder(
    reduce(or_, (shape for shape in _SHAPES if shape.__struct_config__.tag in _TAGS))
)


@contextmanager
def older_program() -> Iterator[None]:
    """What runs in the block is of the earlier version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_decoder", _decoder)
        for module in (events, following, acts):
            patch.setattr(module, "TAGS", _TAGS)
        yield
