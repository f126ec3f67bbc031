"""The bounded queue before the writer, and the waking of those who wait in it."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Final

from sync.ledger.append import Append, Busy, Fenced, WriterClosed
from sync.ledger.database import Task

BATCH_EVENTS: Final = 1_000
BATCH_BYTES: Final = 1 << 20
_ITEM_BYTES: Final = 256  # what waiting costs beside the bodies
_RETRY_S: Final = 1


class Item(Task):
    """A task, and whom to wake with its outcome: a thread's Future, or the loop's own."""

    __slots__ = ("future", "loop", "size_bytes")

    def __init__(
        self, work: Append | Callable[..., Any], loop: asyncio.AbstractEventLoop | None = None, *, lazy: bool = False
    ) -> None:
        """Raises: BodyTooLarge."""
        super().__init__(work, lazy=lazy)
        self.size_bytes = _ITEM_BYTES
        if isinstance(work, Append):
            self.size_bytes += len(work.result) + work.body_bytes()
        self.loop = loop
        self.future: Any = Future() if loop is None else loop.create_future()


class Waiting:
    """First come, first served. Full at `limit_bytes`; closed until `open`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self.is_open = False
        self.failure: BaseException | None = None

    def open(self) -> None:
        """Let items in."""
        self.is_open = True

    def put(self, item: Item) -> Any:
        """Queue the item; returns its future. Raises: Busy, WriterClosed, Fenced."""
        with self._changed:
            if isinstance(self.failure, Fenced):
                raise Fenced
            if not self.is_open:
                raise WriterClosed from self.failure
            if self._bytes + item.size_bytes > self._limit_bytes and self._items:
                raise Busy(_RETRY_S)
            self._bytes += item.size_bytes
            self._items.append(item)
            self._changed.notify()
        return item.future

    def take(self, idle_s: float) -> list[Item] | None:
        """Sleep until something is there: the appends in front up to the limits, or one job.

        [] after `idle_s` without anything; None at the end.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or not self.is_open, idle_s)
            if not self._items and not self.is_open:
                return None
            items: list[Item] = []
            events = size_bytes = 0
            while self._items:
                item = self._items[0]
                events += len(item.work.events) if isinstance(item.work, Append) else BATCH_EVENTS + 1
                size_bytes += item.size_bytes
                if items and (events > BATCH_EVENTS or size_bytes > BATCH_BYTES):
                    break
                items.append(self._items.popleft())
                self._bytes -= item.size_bytes
            return items

    def close(self) -> None:
        """Let nothing more in; what waits can still be taken."""
        with self._changed:
            self.is_open = False
            self._changed.notify()

    def give_up(self, failure: BaseException) -> None:
        """Close, and tell everyone in the queue why."""
        with self._changed:
            self.failure = failure
            self.is_open = False
            waiting = list(self._items)
            self._items.clear()
        settle([(item, failure) for item in waiting])


def settle(outcomes: Iterable[tuple[Item, object]]) -> None:
    """Wake each with its result or exception; those of one event loop by a single call into it, however many."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Any, object]]] = {}
    for item, outcome in outcomes:
        item.settled = True
        if item.loop is None:
            _answer(item.future, outcome)
        else:
            by_loop.setdefault(item.loop, []).append((item.future, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(_answer_all, answers)


def _answer_all(answers: Iterable[tuple[Any, object]]) -> None:
    for future, outcome in answers:
        if not future.done():
            _answer(future, outcome)


def _answer(future: Any, outcome: object) -> None:
    with suppress(InvalidStateError):  # cancelled by its caller
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
