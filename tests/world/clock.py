"""The clock of one node of a world."""

from collections.abc import Callable


class Clock:
    """The world's time, and how far this clock is off."""

    def __init__(self, world_us: Callable[[], int]) -> None:
        self._world_us = world_us
        self._start_us = world_us()
        self.off_us = 0

    def now_us(self) -> int:
        """What its hands say, UTC microseconds."""
        return self._world_us() + self.off_us

    def elapsed_s(self) -> float:
        """By a counter that nobody sets."""
        return (self._world_us() - self._start_us) / 1e6
