"""Keeps one part of the exchange going in a thread of its own: waits when idle, backs off in trouble, dies loudly."""

import threading
from collections.abc import Callable
from typing import Final

import psycopg

from sync.exchange.channel import ChannelDown
from sync.ledger.append import Busy, LedgerUnavailable
from sync.proofs.tree import TreeMoved

TROUBLE: Final = (ChannelDown, LedgerUnavailable, Busy, TreeMoved, psycopg.OperationalError, psycopg.InterfaceError)
"""What passes by itself: the pump shows it, waits, and goes on where it was. But see `is_refusal`."""


def is_refusal(error: BaseException) -> bool:
    """Whether the database answered that it cannot hold what it was given: the same bytes will never do.

    A program limit (SQLSTATE class 54, such as a text too long for an index) is an OperationalError by name only.
    """
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return True
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("54")


class Bell:
    """Wakes whoever waits for work in this process. A ring between two waits is not lost."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """There may be work."""
        self._event.set()

    def wait(self, timeout_s: float) -> None:
        """Until the next ring, or the timeout."""
        self._event.wait(timeout_s)
        self._event.clear()


class Pump:
    """Calls `step` again and again until it is stopped."""

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        wait: Callable[[], None],
        on_trouble: Callable[[str, BaseException, float], None],
        *,
        first_delay_s: float = 0.1,
        last_delay_s: float = 30.0,
    ) -> None:
        """step: does some work, False if there was none. wait: sleeps until there may be some, a second at most.

        on_trouble: told the pump's name, what happened, and in how many seconds it goes on; 0 means never: the pump
        has died of a fault of the program, which `failure` keeps.
        """
        self.name = name
        self.failure: BaseException | None = None
        self._step = step
        self._wait = wait
        self._on_trouble = on_trouble
        self._first_delay_s = first_delay_s
        self._last_delay_s = last_delay_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pump-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after its present step."""
        self._stopping.set()

    def join(self) -> None:
        """Return once it has ended."""
        self._thread.join()

    def _run(self) -> None:
        delay_s = self._first_delay_s
        while not self._stopping.is_set():
            try:
                if not self._step():
                    self._wait()
                delay_s = self._first_delay_s
            except BaseException as trouble:
                if not isinstance(trouble, TROUBLE) or is_refusal(trouble):
                    self.failure = trouble
                    self._on_trouble(self.name, trouble, 0)
                    raise
                self._on_trouble(self.name, trouble, delay_s)
                self._stopping.wait(delay_s)
                delay_s = min(2 * delay_s, self._last_delay_s)
