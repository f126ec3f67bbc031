"""What comes out alike in every world is worked out once: signatures and certificates that were checked before."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from gateway.casework import desk
from sync.proofs import note
from sync.trust import certificates, statements

_KEPT: Final = 20_000

_verify_line = functools.lru_cache(_KEPT)(note._verify_line)
_parse_lines = functools.lru_cache(_KEPT)(note._parse_lines)
_checked_keys = functools.lru_cache(_KEPT)(statements.checked_keys)


@contextmanager
def swift() -> Iterator[None]:
    """In the block, the pure functions that cost most remember what they gave; what they refuse is refused anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(note, "_verify_line", _verify_line)
        patch.setattr(note, "_parse_lines", _parse_lines)
        patch.setattr(certificates, "checked_keys", _checked_keys)
        patch.setattr(desk, "TURNS", 1)  # nobody waits for a turn where there is one thread
        yield
