"""The one fenced writer of a node's ledger: a thread that commits together whatever arrived during the last commit."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Final, TypeVar

import psycopg

from sync.ledger.append import Append, Appended
from sync.ledger.connections import ANSWER_S
from sync.ledger.core import WriterCore
from sync.ledger.database import Job
from sync.ledger.database_postgres import PostgresLedger
from sync.ledger.reader import Tip
from sync.ledger.waiting import Item, Waiting, settle

T = TypeVar("T")

IDLE_LOOK_S: Final = 1.0
"""So often a writer that has nothing to do looks whether it still is the node's writer."""

_LOOK_AGAIN_S: Final = 0.1


class Writer:
    """Appends this node's events and learns others', one transaction after the other, in one thread.

    What it decides says `sync.ledger.core`. What is answered is flushed to disk. `tip` advances after each commit.
    """

    def __init__(
        self,
        dsn: str,
        log_id: int,
        now_us: Callable[[], int],
        tip: Tip | None = None,
        *,
        queue_bytes: int = 16 << 20,
        reconnect_s: float = ANSWER_S,
        on_failure: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """log_id: of the node's own log. now_us: UTC microseconds; a clock that steps back is held at its maximum.

        queue_bytes: above this many waiting, callers get Busy. reconnect_s: how long a lost database is waited for
        before callers are told; the next one makes the writer look again.
        on_failure: told, in the writer's thread, why it has stopped by itself: Fenced, or a fault of the program.
        """
        self.tip = Tip() if tip is None else tip
        self._reconnect_s = reconnect_s
        self._on_failure = on_failure
        self._waiting = Waiting(queue_bytes)
        self._database = PostgresLedger(dsn, log_id)
        self._core: WriterCore[psycopg.Connection, Item] = WriterCore(
            self._database, now_us, settle, self.tip.advance, self._attempts
        )
        self._thread = threading.Thread(target=self._main, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Become the node's writer; whoever was it before is fenced. Raises psycopg.OperationalError."""
        self._core.begin()
        self._waiting.open()
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then stop. Later calls raise WriterClosed."""
        self._waiting.close()
        self._thread.join()
        self._database.close()

    def __enter__(self) -> "Writer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, append: Append) -> "Future[Appended]":
        """Queue an append; the future holds its Appended once it is durable, or why it was refused.

        Future raises: StaleVersion, CommandReused, LedgerUnavailable, Fenced, or the psycopg.Error of an act
        beside it. Raises at once: BodyTooLarge, Busy, WriterClosed, Fenced.
        """
        future: Future[Appended] = self._waiting.put(Item(append))
        return future

    async def append_async(self, append: Append) -> Appended:
        """The same for asyncio. A caller that is cancelled may still have been recorded."""
        answer: Appended = await self._waiting.put(Item(append, asyncio.get_running_loop()))
        return answer

    def run(self, job: Job[psycopg.Connection, T], *, lazy: bool = False) -> "Future[T]":
        """Run `job(conn, intake)` in the writer's thread, in a transaction of its own that takes part in the fence.

        An exception of the job rolls everything back and comes out of the future. A job may run twice: when the
        connection is lost before it is committed. lazy: do not wait for the disk; a crash of the database then takes
        back the job's rows and position together, so nothing outside may be told before a later `run` or append,
        whose flush covers it, has been answered.
        """
        future: Future[T] = self._waiting.put(Item(job, lazy=lazy))
        return future

    def _main(self) -> None:
        while (items := self._waiting.take(IDLE_LOOK_S)) is not None:
            try:
                if items:
                    self._core.do(items)
                else:
                    self._core.look()
            except BaseException as failure:  # whatever it is, no caller may wait for ever
                self._waiting.give_up(failure)
                settle([(item, failure) for item in items if not item.settled])
                self._on_failure(failure)
                return

    def _attempts(self) -> Iterator[None]:
        """One for each time that a lost database is looked for."""
        deadline = time.monotonic() + self._reconnect_s
        yield
        while time.monotonic() <= deadline and self._waiting.is_open:
            time.sleep(_LOOK_AGAIN_S)
            yield
