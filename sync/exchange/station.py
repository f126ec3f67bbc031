"""Who exchanges and when: what every part of the exchange is told about its own node and the present moment."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from domain.divisions import Division
from sync.proofs.note import Signer


class Station(msgspec.Struct, frozen=True):
    """This node: its division, the origin of its own log, its log key and its witness key.

    beside: further log keys that sign checkpoints while one follows the other. papers: its certificates, superiors
    first, once it has had other keys.
    """

    here: Division
    origin: str
    signer: Signer
    cosigner: Signer
    beside: tuple[Signer, ...] = ()
    papers: tuple[str, ...] = ()


class Moment(NamedTuple):
    """now_us: the clock that everything is stamped with. elapsed_s: one that never jumps, for waiting."""

    now_us: int
    elapsed_s: float


class Asked:
    """When something was last asked for, so that one gap is not asked for with every record. May be lost."""

    def __init__(self, every_s: float = 5.0) -> None:
        self._every_s = every_s
        self._last_s: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def may_ask(self, what: str, elapsed_s: float) -> bool:
        """Whether to ask now; True at most once per interval."""
        last = self._last_s.get(what)
        if last is not None and elapsed_s - last < self._every_s:
            return False
        self._last_s[what] = elapsed_s
        return True

    def times(self, what: str) -> int:
        """How often the same was asked for again so far."""
        return self._times.get(what, 0)

    def tried(self, times: Mapping[str, int]) -> None:
        """How often by now, once that is committed; 0 for what came, or will be done without."""
        self._times = {what: count for what, count in {**self._times, **times}.items() if count}
