"""A node's ledger in memory: what its very writer writes to, that writer without its thread, and the reader."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from uuid import UUID

from sync.exchange.store import NotStorable
from sync.ledger.append import Append, Appended, Fenced, Learned
from sync.ledger.batch import ABSENT, Batch, KnownCommand, known_command
from sync.ledger.core import WriterCore
from sync.ledger.database import Job, LedgerDatabase, Task
from sync.ledger.rows import OWN, Head, Row
from sync.proofs.tree import OWN_LOG
from tests.sync.memory_acts import carry_out
from tests.sync.memory_tables import HEAD, OWN_ROW, At, Point, Tables, nothing_happens

T = TypeVar("T")


class ConnectionLost(Exception):
    """What a test raises at a point to cut the connection there."""


class MemoryLedger:
    """See sync.ledger.database.LedgerDatabase. A job is given the tables."""

    losses: tuple[type[Exception], ...] = (ConnectionLost,)
    refusals: tuple[type[Exception], ...] = (NotStorable,)

    def __init__(self, tables: Tables, at: At = nothing_happens) -> None:
        """at: told of each point; the connection is lost where it raises ConnectionLost."""
        self.tables = tables
        self.is_lost = True
        self._at = at
        self._mark = object()

    def take_over(self) -> Head:
        with self.tables.committing(self._come_to):
            self._connect()
            return self._become(self._head.epoch + 1)

    def take_up_again(self, epoch: int) -> Head | None:
        with self.tables.committing(self._come_to):
            self._connect()
            head, mark = self.tables.head[HEAD]
            return self._become(epoch) if mark is self._mark and head.epoch < epoch else None

    def is_mine(self, epoch: int) -> bool:
        self._ask()
        return self._head.epoch == epoch

    def last_versions(self, streams: Collection[UUID]) -> dict[UUID, int]:
        self._ask()
        found = {stream: self.tables.ledger.last_version(stream) for stream in streams}
        return {stream: ABSENT if last is None else last for stream, last in found.items()}

    def known_commands(self, ids: Collection[UUID]) -> dict[UUID, KnownCommand]:
        self._ask()
        return {one: self.tables.commands[one] for one in ids if one in self.tables.commands}

    def store(self, batch: Batch) -> None:
        with self._committing():
            self._fence(batch.head)
            own = self.tables.own_log.get(OWN_ROW, OWN_LOG)
            places = enumerate(zip(*batch.event_columns(), strict=True), batch.head.own_size)
            rows = [Learned(own, seq, *event) for seq, event in places]
            self._insert(batch.head, batch.recorded_us, OWN, rows)
            for command_id, *kept in zip(*batch.command_columns(), strict=True):
                self._keep_command(command_id, known_command(*kept))
            for act in batch.beside:
                carry_out(act, self.tables)
            self._move(batch.ending())

    @contextmanager
    def transaction(self, *, lazy: bool) -> Iterator[Tables]:
        with self._committing(lazily=lazy):
            yield self.tables

    def learn(self, head: Head, recorded_us: int, via: int, rows: Sequence[Learned]) -> None:
        self._fence(head)
        self._insert(head, recorded_us, via, rows)
        self._move(head._replace(pos=head.pos + len(rows), recorded_us=recorded_us))

    def end_turn(self, head: Head) -> None:
        self._fence(head)
        self._move(head._replace(turn=head.turn + 1))

    def close(self) -> None:
        self.is_lost = True

    def crash(self) -> bool:
        """The database dies and is back at once: connections end; whether anything not flushed was lost with it."""
        self.is_lost = True
        return self.tables.lose_unflushed()

    @contextmanager
    def _committing(self, *, lazily: bool = False) -> Iterator[None]:
        if self.is_lost:
            raise ConnectionLost
        with self.tables.committing(self._come_to, lazily=lazily):
            yield

    def _come_to(self, point: Point) -> None:
        try:
            self._at(point)
        except ConnectionLost:
            self.is_lost = True
            raise

    def _connect(self) -> None:
        self._come_to("connecting")
        self.is_lost = False

    def _ask(self) -> None:
        if self.is_lost:
            raise ConnectionLost
        self._come_to("asking")

    @property
    def _head(self) -> Head:
        head, _ = self.tables.head.get(HEAD, (Head(0, 0, 0, 0, 0), None))
        return head

    def _become(self, epoch: int) -> Head:
        head = self._head._replace(epoch=epoch)
        self.tables.head[HEAD] = (head, self._mark)
        return head

    def _fence(self, head: Head) -> None:
        if (self._head.epoch, self._head.pos) != (head.epoch, head.pos):
            raise Fenced

    def _move(self, head: Head) -> None:
        self.tables.head[HEAD] = (head, self._mark)

    def _insert(self, head: Head, recorded_us: int, via: int, rows: Sequence[Learned]) -> None:
        ledger = self.tables.ledger
        for pos, new in enumerate(rows, head.pos + 1):
            if (new.log_id, new.seq) in ledger.places:
                raise NotStorable(f"leaf {new.seq} of log {new.log_id} is there already")
            if via == OWN and ledger.own(new.stream, new.version) is not None:
                raise NotStorable(f"version {new.version} of the stream is there already")
            if "\0" in new.topic:
                raise NotStorable("no text holds a NUL")
            what = (new.stream, new.version, new.topic, new.case_id, new.body, new.leaf)
            ledger.append(Row(pos, new.log_id, new.seq, via, *what, recorded_us))

    def _keep_command(self, command_id: UUID, command: KnownCommand) -> None:
        if command_id in self.tables.commands:
            raise NotStorable("the command is there already")
        self.tables.commands[command_id] = command


class Answer(Task, Generic[T]):
    """A task that is simply done: what came of it, at once."""

    __slots__ = ("_outcome",)
    _outcome: Any

    def settle(self, outcome: object) -> None:
        if not self.settled:
            self.settled, self._outcome = True, outcome

    def result(self, _: float | None = None) -> T:
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


class MemoryWriter:
    """A node's writer without queue and thread: each call is committed, or refused, before it returns."""

    def __init__(
        self,
        database: LedgerDatabase[Any],
        now_us: Callable[[], int],
        attempts: Callable[[], Iterator[object]] | None = None,
    ) -> None:
        """Becomes the node's writer. attempts: see WriterCore; once, where it is not said."""
        self._failure: Fenced | None = None
        self._core: WriterCore[Any, Answer[Any]] = WriterCore(
            database, now_us, _settle, lambda _: None, attempts or (lambda: iter([None]))
        )
        self._core.begin()

    def append(self, append: Append) -> Answer[Appended]:
        return self.append_all([append])[0]

    def append_all(self, appends: Iterable[Append]) -> list[Answer[Appended]]:
        """As what has waited together is committed together."""
        tasks: list[Answer[Any]] = [_task(one) for one in appends]
        self._do(tasks)
        return tasks

    def run(self, job: Job[Any, T], *, lazy: bool = False) -> Answer[T]:
        task: Answer[T] = Answer(job, lazy=lazy)
        self._do([task])
        return task

    def look(self) -> None:
        """As when nobody has asked for anything for a while."""
        self._core.look()

    def _do(self, tasks: list[Answer[Any]]) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._core.do(tasks)
        except Fenced as failure:
            self._failure = failure
            _settle((task, failure) for task in tasks)


class MemoryReader:
    """See sync.ledger.reading.LedgerReader."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self, after_pos: int, limit: int) -> list[Row]:
        return self._tables.ledger.rows[after_pos : after_pos + limit]

    def read_case(self, case_id: UUID, after_pos: int = 0) -> list[Row]:
        return [row for row in self._tables.ledger.of_case(case_id) if row.pos > after_pos]

    def head(self) -> Head:
        return self._tables.head[HEAD][0]

    def wait_beyond(self, pos: int, timeout_s: float) -> int:
        return self.head().pos

    def of_topic(self, topic: str, after_pos: int = 0) -> list[Row]:
        return [row for row in self._tables.ledger.of_topic(topic) if row.pos > after_pos]

    def command(self, command_id: UUID) -> KnownCommand | None:
        return self._tables.commands.get(command_id)

    def filed(self, leaf: bytes) -> UUID | None:
        rows = self._tables.ledger.of_topic("case.registered.v0")
        return next((row.case_id for row in rows if row.leaf == leaf and row.via == OWN), None)

    def origin(self, log_id: int) -> str:
        return list(self._tables.logs)[log_id - 1]

    def held(self, division: str) -> tuple[str, int] | None:
        trees = (self._tables.trees.get(log_id) for log_id in self._tables.logs.values())
        of = [tree for tree in trees if tree is not None and tree.origin.split("/")[-2] == division]
        newest = max(of, key=lambda tree: int(tree.origin.split("/")[-1]), default=None)
        return (newest.origin, newest.size) if newest else None


def _task(append: Append) -> Answer[Appended]:
    append.body_bytes()
    return Answer(append)


def _settle(outcomes: Iterable[tuple[Answer[Any], object]]) -> None:
    for task, outcome in outcomes:
        task.settle(outcome)
