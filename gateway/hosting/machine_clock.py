"""The machine's clock, believed only as far as it is borne out: an old machine may wake up in 1970, or in 2031."""

import time
from collections.abc import Callable

from domain.clocks import DAY_US
from gateway.hosting.clock import Clock, HeldClock, SystemClock
from gateway.hosting.clock_doubt import BUILT_US, GAP_DAYS, STEP_US, ClockInDoubt, Doubt


def elapsed_us() -> int:
    """Microseconds by a counter that nobody sets; where the system has one that goes on in suspend, by that."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1000


class MachineClock(HeldClock):
    """Says the machine's moment while it is borne out; in doubt, the moment that is certain, and since when it is so.

    At first it is measured against what the node knows: not before the last recorded moment, nor too long after it
    or the last cosignature. From its first believed moment on it is measured against a counter that nobody sets: a
    step of more than STEP_US, either way, is not believed until it is taken back, a cosignature of the next one up
    speaks for it, or somebody confirms it. Never goes back but by `begin`. Safe for threads; asks nobody.
    """

    def __init__(self, machine: Clock | None = None, elapsed: Callable[[], int] = elapsed_us) -> None:
        """elapsed: microseconds by a counter that nobody sets."""
        super().__init__(machine or SystemClock())
        self._elapsed_us = elapsed
        self._certain_us = self._at_us = self._cosigned_us = 0
        self._is_running = False

    def begin(self, certain_us: int, cosigned_us: int) -> int:
        """Measure against what is certain; gives the latest moment that was said before.

        certain_us: when the node last recorded anything, or what its operator has confirmed since; 0 for never.
        cosigned_us: when the next one up last cosigned the own log, by its own clock; 0 for never.
        """
        with self._lock:
            before_us, self._latest_us = self._latest_us, certain_us
            self._certain_us, self._cosigned_us = certain_us, cosigned_us
            self._is_running = False
        return before_us

    def vouch(self, cosigned_us: int) -> None:
        """The next one up has cosigned at this moment of its clock: up to there the machine's is borne out."""
        with self._lock:
            self._cosigned_us = max(self._cosigned_us, cosigned_us)

    def now_us(self) -> int:
        """UTC microseconds since 1970; in doubt, the moment that is certain."""
        return self._look()[0]

    def sure_us(self) -> int:
        """The same for what is recorded. Raises ClockInDoubt."""
        now_us, doubt = self._look()
        if doubt is not None:
            raise ClockInDoubt(doubt)
        return now_us

    def doubt(self) -> Doubt | None:
        """Why the machine's clock is not believed now; None while it is."""
        return self._look()[1]

    def _look(self) -> tuple[int, Doubt | None]:
        with self._lock:
            machine_us, at_us = self._clock.now_us(), self._elapsed_us()
            if self._is_running:
                self._certain_us += at_us - self._at_us
            self._at_us = at_us
            doubt = self._judge(machine_us)
            if doubt is None:
                self._certain_us, self._is_running = machine_us, True
            self._latest_us = max(self._latest_us, self._certain_us)
            return self._latest_us, doubt

    def _judge(self, machine_us: int) -> Doubt | None:
        known_us = max(self._certain_us, self._cosigned_us)
        if self._is_running:
            is_borne_out = self._certain_us - STEP_US <= machine_us <= known_us + STEP_US
            return None if is_borne_out else Doubt("stepped", machine_us, self._certain_us)
        if machine_us < max(self._certain_us - STEP_US, BUILT_US):
            return Doubt("behind", machine_us, max(self._certain_us, BUILT_US))
        if self._certain_us and machine_us > known_us + GAP_DAYS * DAY_US:
            return Doubt("ahead", machine_us, known_us)
        return None
