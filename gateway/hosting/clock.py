"""The clocks a node can run on: the machine's, or the one clock that all nodes of a demo share."""

import mmap
import os
import struct
import threading
import time
from pathlib import Path
from typing import Protocol

from gateway.hosting.clock_doubt import Doubt
from gateway.hosting.config import ConfigInvalid


class Clock(Protocol):
    """Where a node takes its time from."""

    def now_us(self) -> int:
        """UTC microseconds since 1970."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        """UTC microseconds since 1970."""
        return time.time_ns() // 1000


class HeldClock:
    """A clock that never goes back: where the one below it does, this one stands until it is overtaken.

    Safe for threads. What a node records, learns and decides is stamped by it, so that a later event never bears an
    earlier moment, whatever happens to the machine's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest_us = 0
        self._lock = threading.Lock()

    def now_us(self) -> int:
        """UTC microseconds since 1970, never less than before."""
        now_us = self._clock.now_us()
        with self._lock:
            self._latest_us = max(self._latest_us, now_us)
            return self._latest_us

    def sure_us(self) -> int:
        """The same for what is recorded: a demo's clock is never in doubt, the machine's may be (MachineClock)."""
        return self.now_us()

    def doubt(self) -> Doubt | None:
        """Why what is recorded has to wait, if it has to."""
        return None

    def hold(self, at_us: int) -> None:
        """Never say less than `at_us` from now on: what an earlier process recorded last."""
        with self._lock:
            self._latest_us = max(self._latest_us, at_us)


class SharedClock:
    """A simulated clock that every process of a demo reads from one small file, so that a jump is seen at once.

    The file holds one signed 64-bit number, the offset to the machine's clock in microseconds: simulated time goes
    on at the pace of real time between jumps and survives every process. Only a policy that says `simulated`
    (sync/proofs/policy) accepts what was stamped by it.
    """

    def __init__(self, path: Path, start_us: int | None = None) -> None:
        """Open the clock at `path`; `start_us` sets the time of a clock that does not exist yet."""
        if not path.exists():
            if start_us is None:
                raise ConfigInvalid(
                    f"{path} 没有演示时钟，请先启动演示，或将 clock.kind 改为 system / "
                    f"no shared clock at {path}; start the demo first, or set clock.kind to system"
                )
            offset = start_us - SystemClock().now_us()
            draft = path.with_suffix(".new")
            draft.write_bytes(struct.pack("=q", offset))
            draft.replace(path)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        # Not struct.pack_into: it clears the bytes before it writes them, and a reader in between would see the
        # machine's own time.
        self._offset_us = memoryview(self._memory).cast("q")

    def now_us(self) -> int:
        """UTC microseconds since 1970, simulated."""
        # One aligned load and store of 8 bytes: a reader sees the offset before or after a jump, never half of it.
        return time.time_ns() // 1000 + self._offset_us[0]

    def advance_to(self, moment_us: int) -> None:
        """Jump forward to `moment_us`; never back. Only the demo's own process may call it."""
        offset = moment_us - time.time_ns() // 1000
        if offset > self._offset_us[0]:
            self._offset_us[0] = offset

    def save(self) -> None:
        """Return once the offset is on disk."""
        self._memory.flush()
        os.sync()
