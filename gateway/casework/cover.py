"""Writes sealed letters that say nothing, now and then, so that a sealed leaf tells nobody that somebody wrote one.

What one hides and what not: docs/adr/0005-sealed-data.md.
"""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Final

from domain.divisions import Division
from domain.errors import DomainError

MEAN_US: Final = 28 * 86_400 * 1_000_000
"""One in four weeks on average, on every node: a village types far fewer letters, and a city stores all decoys."""

WAIT_US: Final = 86_400 * 1_000_000
"""How long one waits for a registration to stand before."""


class Cover:
    """Safe for threads. Times come from an exponential law, which remembers nothing: so nothing about them is kept,
    a node that was away writes no more than one that was not, and each decoy says no more about the next."""

    def __init__(
        self,
        here: Division,
        nodes: Callable[[], Sequence[Division]],
        send: Callable[[Division], None],
        now_us: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        """nodes: all that have a superior, in order. send: write one as if about an official there; DomainError where
        none can be written. chance: evenly in [0, 1), unpredictable.
        """
        self._here = here
        self._nodes = nodes
        self._send = send
        self._now_us = now_us
        self._chance = chance
        self._lock = threading.Lock()
        self._drawn_us = now_us()
        self._next_us = self._draw(self._drawn_us)
        self._waits_until_us: int | None = None

    def look(self) -> None:
        """Write one if it is time. Every other one waits for a registration first. Raises as the node's writer."""
        now_us = self._now_us()
        with self._lock:
            if now_us < self._drawn_us:  # by a clock that has been set right since
                self._drawn_us, self._next_us, self._waits_until_us = now_us, self._draw(now_us), None
            is_due = now_us >= self._next_us
            is_over = self._waits_until_us is not None and now_us >= self._waits_until_us
            if is_due:
                self._drawn_us, self._next_us = now_us, self._draw(now_us)
            waits = is_due and self._waits_until_us is None and self._chance() < 0.5
            if waits or is_over:
                self._waits_until_us = now_us + WAIT_US if waits else None
        if is_over or (is_due and not waits):
            self._write()

    def before_registration(self) -> None:
        """Write the one that waits, if any: a mixed letter's sealed part stands here. Raises as the node's writer."""
        with self._lock:
            is_waiting, self._waits_until_us = self._waits_until_us is not None, None
        if is_waiting:
            self._write()

    def _write(self) -> None:
        """Every other one about an official of this very node, as real ones often are, where it has a superior."""
        nodes = self._nodes()
        if not nodes:
            return
        about = nodes[int(self._chance() * len(nodes))]
        if self._here in nodes and self._chance() < 0.5:
            about = self._here
        try:
            self._send(about)
        except DomainError:
            return  # nor could a letter about them be handed in

    def _draw(self, now_us: int) -> int:
        return now_us - round(MEAN_US * math.log(1 - self._chance()))
