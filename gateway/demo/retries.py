"""When something that keeps dying is started again: soon at first, later and later, and after enough not at all."""

import math
from collections.abc import Callable
from typing import Final

WAITS_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before each start in a row; after the last of them it is given up."""

STEADY_S: Final = 60.0
"""What ran so long and then died begins with the first wait again."""


class Retries:
    """By name, and without a clock of its own."""

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        """elapsed_s: a clock that never jumps."""
        self._elapsed_s = elapsed_s
        self._fell: dict[str, int] = {}
        self._began_s: dict[str, float] = {}

    def begins(self, name: str) -> None:
        """It is started now."""
        self._began_s[name] = self._elapsed_s()

    def falls(self, name: str) -> float:
        """It has died: in how many seconds it may be started again; infinity once it is given up."""
        now_s = self._elapsed_s()
        if now_s - self._began_s.get(name, -math.inf) >= STEADY_S:
            self._fell[name] = 0
        count = self._fell.get(name, 0)
        self._fell[name] = count + 1
        return WAITS_S[count] if count < len(WAITS_S) else math.inf
