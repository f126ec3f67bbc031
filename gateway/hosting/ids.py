"""A node's fresh ids, made from its clock and the machine's randomness: they sort by time and name the node."""

import os
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

from domain.divisions import Division
from domain.ids import REST_BITS, new_id


class Ids:
    """Safe for threads. One process makes no id twice, though its clock stand still or run backwards.

    Within a millisecond the 34 bits beside the node's code count up from a random number (RFC 9562, 6.2), and go on in
    the next one when they are through. Two processes of one node, as before and after a restart, can only clash in
    the same millisecond: of n and m ids made there, with a chance of (n + m) / 2**34.
    """

    def __init__(self, maker: Division, random: Callable[[int], bytes] = os.urandom) -> None:
        """random: gives that many unpredictable bytes."""
        self._maker = maker
        self._random = random
        self._last = 0  # millisecond and rest as one number
        self._lock = threading.Lock()

    def fresh(self, now_us: int) -> UUID:
        """One id of this moment (UTC microseconds), or of the last id's where that was later."""
        with self._lock:
            at_ms = now_us // 1000
            if at_ms > self._last >> REST_BITS:
                self._last = at_ms << REST_BITS | int.from_bytes(self._random(8)) >> 64 - REST_BITS
            else:
                self._last += 1
            return new_id(self._maker, self._last >> REST_BITS, self._last & (1 << REST_BITS) - 1)

    def stream(self, now_us: int) -> Iterator[UUID]:
        """As many as are needed."""
        while True:
            yield self.fresh(now_us)
