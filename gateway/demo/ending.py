"""How a demo is ended: the first Ctrl-C lets go of everything in order, the second one kills what still runs."""

import os
import signal
import threading
from collections.abc import Callable

from gateway.loading import EXIT_INTERRUPTED


class Interrupted(Exception):
    """Somebody asked the demo to end. What was founded and recorded stays; run it again to go on."""


class Ending:
    """The wish to end, as the threads of a demo share it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._kill: Callable[[], None] = lambda: None

    def listen(self) -> None:
        """Take SIGINT and SIGTERM from now on. Main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def kills(self, kill: Callable[[], None]) -> None:
        """kill: what a second signal calls before the process ends on the spot; it must not wait for anything."""
        self._kill = kill

    def check(self) -> None:
        """Raises Interrupted once the end was asked for."""
        if self.asked.is_set():
            raise Interrupted

    def _hear(self, *_: object) -> None:
        if self.asked.is_set():
            self._kill()
            os._exit(EXIT_INTERRUPTED)
        self.asked.set()
