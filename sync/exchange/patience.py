"""When a sender looks after what it has on a lane unanswered, and whether it must send that again."""

from typing import Final

from sync.exchange.channel import Extent

FIRST_LOOK_S: Final = 1.0
LOOK_LIMIT_S: Final = 60.0
"""A lane whose reader is away is looked at ever more seldom, once a minute in the end."""

RETRY_LIMIT_S: Final = 10_800.0


class Patience:
    """One sender's knowledge of one lane; may be lost at any moment, and then begins with looking at the lane.

    What the lane still holds is waited for, however long the reader is away: a copy behind it would tell the reader
    nothing. Sent again is what left the lane without an answer (read and lost on the way back, or forgotten by the
    channel), at first after `retry_s`, doubling up to `limit_s`; and at once what stood in a lane that was made anew.
    Nobody knows what a sender had sent before it lost its memory: it sends nothing until the lane was read that far.
    """

    def __init__(self, retry_s: float, limit_s: float = RETRY_LIMIT_S) -> None:
        self._retry_s = self._patience_s = retry_s
        self._limit_s = limit_s
        self._last = 0
        self._has_left = True
        self._wait_s = FIRST_LOOK_S
        self._look_s = 0.0
        self._read_first: int | None = None
        self.may_send = False

    def wants_look(self, elapsed_s: float) -> bool:
        """Whether it is time to look at the lane, if anything is on its way or to be sent."""
        return elapsed_s >= self._look_s

    def look(self, extent: Extent, oldest: int, elapsed_s: float) -> bool:
        """Whether to begin (again) behind what is acknowledged. oldest: the first offset that is unanswered."""
        if not self.may_send:
            self.may_send = self._is_read(extent)
            if not self.may_send:
                self._look_again(elapsed_s)
            return self.may_send
        if extent.last >= self._last and extent.first <= oldest:
            self._has_left = False
            self._look_again(elapsed_s)
            return False
        if extent.last >= self._last and not self._has_left:
            self._watch(elapsed_s)  # just read: its answer is on its way
            return False
        self._patience_s = min(2 * self._patience_s, self._limit_s)
        return True

    def published(self, offset: int, elapsed_s: float, *, is_first: bool) -> bool:
        """The lane has taken something, up to `offset`; whether it turned out to be made anew.

        is_first: nothing was on its way before.
        """
        is_anew = 0 < offset <= self._last
        self._last = offset or self._last
        if is_first:
            self._watch(elapsed_s)
        return is_anew

    def answered(self, elapsed_s: float) -> None:
        """The oldest that was on its way is acknowledged."""
        self._patience_s = self._retry_s
        self._watch(elapsed_s)
        if not self.may_send:
            self._look_s = elapsed_s

    def block(self, elapsed_s: float) -> None:
        """The lane takes no more: nothing is sent until it was read as far as it goes now."""
        self.may_send, self._read_first, self._wait_s = False, None, FIRST_LOOK_S
        self._look_s = elapsed_s

    def _is_read(self, extent: Extent) -> bool:
        if self._read_first is None:
            self._read_first = extent.last
        self._last = extent.last
        return extent.first > self._read_first or extent.last < self._read_first

    def _watch(self, elapsed_s: float) -> None:
        self._has_left, self._wait_s = True, FIRST_LOOK_S
        self._look_s = elapsed_s + self._patience_s

    def _look_again(self, elapsed_s: float) -> None:
        self._look_s = elapsed_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, LOOK_LIMIT_S)
