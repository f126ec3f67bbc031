"""What a writer decides: which appends commit together, whose place it is, what became of a commit nobody answered.

No thread, no queue, no clock and no SQL: those are given to it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from sync.ledger.append import Append, Fenced, LedgerUnavailable
from sync.ledger.batch import Batch, KnownCommand, LastVersions
from sync.ledger.database import Intake, Job, LedgerDatabase, Task
from sync.ledger.rows import Head

C = TypeVar("C")
K = TypeVar("K", bound=Task)

_STREAMS_HELD: Final = 100_000  # about 20 MB; the others are asked for when they come


class _InFlight(NamedTuple):
    """What was sent and not answered: if it was stored, the head has had its `turn`, and `finish` is due."""

    turn: int
    finish: Callable[[], None]


class WriterCore(Generic[C, K]):
    """For one thread. One caller's conflict never fails another's; what is answered is committed.

    After a lost connection it looks whether its last transaction is there, and sends it again if not.
    """

    def __init__(
        self,
        database: LedgerDatabase[C],
        now_us: Callable[[], int],
        settle: Callable[[Iterable[tuple[K, object]]], None],
        moved: Callable[[int], None],
        attempts: Callable[[], Iterator[object]],
    ) -> None:
        """now_us: UTC microseconds; a clock that steps back is held at its maximum. moved: told each new last position.

        settle: hands each its result or exception and marks it settled. attempts: one step for each time that a lost
        database is looked for, and waiting in between; where it ends, callers are told.
        """
        self._database = database
        self._now_us = now_us
        self._settle = settle
        self._moved = moved
        self._attempts = attempts
        self._last_versions = LastVersions(_STREAMS_HELD)
        self._in_flight: _InFlight | None = None
        self._head: Head
        self._epoch: int  # the last one asked for

    def begin(self) -> None:
        """Become the node's writer; whoever was it before is fenced. Raises the database's losses."""
        self._head = self._database.take_over()
        self._epoch = self._head.epoch
        self._moved(self._head.pos)

    def look(self) -> None:
        """Nobody asks for anything, and still the node must learn that another has taken its place. Raises Fenced."""
        try:
            is_mine = self._database.is_mine(self._head.epoch)
        except self._database.losses:
            self._reconnect()
        else:
            if not is_mine:
                raise Fenced

    def do(self, tasks: list[K]) -> None:
        """Appends together, or one job: each settled on return. Raises Fenced, with some unsettled."""
        for is_last_try in (False, True):
            # What was in flight when the database went away is settled first: what is sent next has the same turn.
            if self._in_flight is not None and not self._reconnect():
                self._fail(tasks, LedgerUnavailable("the database is still away"))
                return
            try:
                self._perform([task for task in tasks if not task.settled])
            except self._database.losses as lost:
                recovered = self._database.is_lost and self._reconnect()
                if is_last_try or not recovered:
                    self._fail(tasks, LedgerUnavailable(str(lost).strip()))
                    return
            else:
                return

    def _perform(self, tasks: list[K]) -> None:
        if not tasks:
            return
        if isinstance(tasks[0].work, Append):
            self._commit(tasks, careful=False)
        else:
            self._run(tasks[0], tasks[0].work)

    # Appends

    def _commit(self, tasks: list[K], *, careful: bool) -> None:
        """Store these appends together. Careful: look up every stream and command instead of trusting the indexes."""
        batch = self._plan(tasks, careful=careful)
        if batch.doubtful:
            self._commit(tasks, careful=True)
            return
        if batch.is_empty:
            self._settle(zip(tasks, batch.outcomes, strict=True))
            return
        self._in_flight = _InFlight(batch.ending().turn, lambda: self._stored(batch, tasks))
        try:
            self._database.store(batch)
        except self._database.losses:
            raise
        except self._database.refusals as refusal:
            self._in_flight = None
            self._commit_apart(tasks, refusal, careful=careful)
        else:
            self._stored(batch, tasks)

    def _commit_apart(self, tasks: list[K], refusal: Exception, *, careful: bool) -> None:
        """The database refused the batch: find whose fault it is, so that the others are recorded."""
        if not careful:
            self._commit(tasks, careful=True)
        elif len(tasks) == 1:
            self._fail(tasks, refusal)
        else:
            middle = len(tasks) // 2
            self._commit(tasks[:middle], careful=True)
            self._commit(tasks[middle:], careful=True)

    def _plan(self, tasks: list[K], *, careful: bool) -> Batch:
        appends = [task.work for task in tasks if isinstance(task.work, Append)]
        self._load_versions(appends, careful=careful)
        known = self._known_commands(appends) if careful else None
        batch = Batch(self._head, self._recorded_us(), self._last_versions, known)
        for append in appends:
            batch.take(append)
        return batch

    def _load_versions(self, appends: Iterable[Append], *, careful: bool) -> None:
        # A stream that claims to start at 1 needs no look: should it exist, the unique index says so.
        unknown = {
            event.stream
            for append in appends
            for event in append.events
            if (careful or event.version != 1) and self._last_versions.get(event.stream) is None
        }
        if unknown:
            self._last_versions.keep(self._database.last_versions(unknown))

    def _known_commands(self, appends: Iterable[Append]) -> dict[UUID, KnownCommand]:
        return self._database.known_commands([one.command_id for one in appends if one.command_id is not None])

    def _stored(self, batch: Batch, tasks: list[K]) -> None:
        self._move_to(batch.ending())
        self._last_versions.keep(batch.moved)
        self._settle(zip(tasks, batch.outcomes, strict=True))

    # Jobs

    def _run(self, task: K, job: Job[C, Any]) -> None:
        intake = Intake(self._database, self._head, self._recorded_us())
        try:
            with self._database.transaction(lazy=task.lazy) as given:
                result = job(given, intake)
                self._database.end_turn(intake.head)
                ending = intake.head._replace(turn=intake.head.turn + 1)
                self._in_flight = _InFlight(ending.turn, lambda: self._ran(task, ending, result))
        except Fenced:
            raise
        except Exception as failure:
            if self._database.is_lost and isinstance(failure, self._database.losses):
                raise
            self._in_flight = None
            self._fail([task], failure)
        else:
            self._ran(task, ending, result)

    def _ran(self, task: K, ending: Head, result: object) -> None:
        self._move_to(ending)
        self._settle([(task, result)])

    # Its place

    def _reconnect(self) -> bool:
        """Come back after a lost connection and settle what was in flight; False if the database stays away.

        Raises: Fenced.
        """
        head = self._take_up_again()
        if head is None:
            return False
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None and head.turn == in_flight.turn:
            in_flight.finish()
        # Otherwise it is not there, nor perhaps lazy jobs that the disk had not seen: go on from what is.
        self._head = head
        self._last_versions.clear()
        return True

    def _take_up_again(self) -> Head | None:
        """The head under the next epoch, which waits for, and shuts out, what the old connection may still be doing."""
        for _ in self._attempts():
            self._epoch += 1
            try:
                head = self._database.take_up_again(self._epoch)
            except self._database.losses:
                continue
            if head is None:
                raise Fenced
            return head
        return None

    def _recorded_us(self) -> int:
        return max(self._head.recorded_us, self._now_us())

    def _move_to(self, head: Head) -> None:
        self._head = head
        self._in_flight = None
        self._moved(head.pos)

    def _fail(self, tasks: Iterable[K], reason: BaseException) -> None:
        self._settle([(task, reason) for task in tasks if not task.settled])
