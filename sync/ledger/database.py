"""What a node's one writer asks of the database that keeps its ledger, whatever that is: PostgreSQL in service."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sync.ledger.append import Append, Learned
from sync.ledger.batch import Batch, KnownCommand
from sync.ledger.rows import Head

T = TypeVar("T")
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class LedgerDatabase(Protocol[C_co]):
    """One connection at a time. What is committed is whole and flushed; what is not has never been.

    C: what a job is given to work with inside its transaction.
    losses: what is raised where the connection is gone, or may be: whether a commit took effect is then unknown.
    refusals: what is raised for what cannot be stored; nothing of it is. A loss is none, even if its type is one.
    """

    losses: tuple[type[Exception], ...]
    refusals: tuple[type[Exception], ...]

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection any more."""

    def take_over(self) -> Head:
        """Connect, and become the node's writer under the next epoch: whoever was it is fenced. Raises losses."""

    def take_up_again(self, epoch: int) -> Head | None:
        """Connect anew under `epoch`, one that was never asked for; waits for what the old connection still does.

        None where another has become the writer meanwhile. Raises losses.
        """

    def is_mine(self, epoch: int) -> bool:
        """Whether nobody took over since this epoch. Raises losses."""

    def last_versions(self, streams: Collection[UUID]) -> dict[UUID, int]:
        """The last version of each of these own streams, ABSENT for one that has none. Raises losses."""

    def known_commands(self, ids: Collection[UUID]) -> dict[UUID, KnownCommand]:
        """Those of these commands that were recorded. Raises losses."""

    def store(self, batch: Batch) -> None:
        """Commit events, commands, what stands beside, and the head, from `batch.head` to `batch.ending()`.

        Raises Fenced where the head is no more that of the batch; losses, refusals.
        """

    def transaction(self, *, lazy: bool) -> AbstractContextManager[C_co]:
        """Of a job: committed at the end of the block, nothing of it after an exception. Raises losses.

        lazy: not flushed. A crash of the database may take it back, together with all that was committed lazily since.
        """

    def learn(self, head: Head, recorded_us: int, via: int, rows: Sequence[Learned]) -> None:
        """In a job: rows at the positions after `head`, which moves. Raises Fenced, losses, refusals."""

    def end_turn(self, head: Head) -> None:
        """In a job, last: count the turn of who stands at `head`. Raises Fenced, losses."""

    def close(self) -> None:
        """Let the connection go."""


class Intake:
    """What a job may do to the ledger inside its transaction: learn other nodes' events at the next positions."""

    def __init__(self, database: LedgerDatabase[object], head: Head, recorded_us: int) -> None:
        self.head = head
        self.recorded_us = recorded_us
        self._database = database

    def learn(self, via: int, rows: Sequence[Learned]) -> range:
        """Insert `rows` in their order; returns their positions.

        via: ledger.FROM_BELOW or FROM_ABOVE. What is recorded already must be left out by the caller: a repeated
        (log_id, seq) is refused by the database and fails the job. Versions are not checked.
        """
        first = self.head.pos + 1
        if rows:
            self._database.learn(self.head, self.recorded_us, via, rows)
            self.head = self.head._replace(pos=self.head.pos + len(rows), recorded_us=self.recorded_us)
        return range(first, first + len(rows))


Job = Callable[[C, Intake], T]


class Task:
    """An append or a job. lazy: see `LedgerDatabase.transaction`. settled: whoever asked has the answer."""

    __slots__ = ("lazy", "settled", "work")

    def __init__(self, work: Append | Callable[..., Any], *, lazy: bool = False) -> None:
        self.work = work
        self.lazy = lazy
        self.settled = False
