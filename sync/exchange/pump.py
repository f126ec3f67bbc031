"""Keeps one part of the exchange going in a thread of its own: waits when idle, backs off in trouble, dies loudly."""

import threading
from collections.abc import Callable


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
        passes: Callable[[BaseException], bool],
        *,
        first_delay_s: float = 0.1,
        last_delay_s: float = 30.0,
    ) -> None:
        """step: does some work, False if there was none. wait: sleeps until there may be some, a second at most.

        on_trouble: told the pump's name, what happened, and in how many seconds it goes on; 0 means never: the pump
        has died of a fault of the program, which `failure` keeps.
        passes: whether a trouble passes by itself: then the pump tells it, waits, and goes on where it was.
        """
        self.name = name
        self.failure: BaseException | None = None
        self._step = step
        self._wait = wait
        self._on_trouble = on_trouble
        self._passes = passes
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
                if not self._passes(trouble):
                    self.failure = trouble
                    self._on_trouble(self.name, trouble, 0)
                    return
                self._on_trouble(self.name, trouble, delay_s)
                self._stopping.wait(delay_s)
                delay_s = min(2 * delay_s, self._last_delay_s)
