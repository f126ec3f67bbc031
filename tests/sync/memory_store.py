"""The exchange's store in memory, for simulations: whole transactions, no thread, no clock of its own, no database."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Generic, TypeVar
from uuid import UUID

from domain.divisions import Division
from sync.exchange.checkpoints import SEALED, Outline
from sync.exchange.dispatch import Enclosed
from sync.exchange.inbox_store import Part
from sync.exchange.outbox import Sendable
from sync.exchange.store import NotStorable
from sync.ledger.append import Learned, NewEvent
from sync.ledger.rows import FROM_ABOVE, OWN, Row
from sync.proofs.merkle import leaf_hash
from sync.proofs.tree import OWN_LOG
from sync.trust.certificates import read_certificate
from tests.sync.memory_links import MemoryLinks
from tests.sync.memory_trees import Tables

T = TypeVar("T")


class MemoryTx(MemoryLinks):
    """One transaction over a snapshot of its own."""

    def __init__(self, tables: Tables, learning_us: int | None) -> None:
        """learning_us: when it learns, where it takes part in the order of the ledger, else null."""
        super().__init__(tables)
        self._learning_us = learning_us

    def together(self) -> AbstractContextManager[object]:
        return nullcontext()

    def position(self, name: str) -> int:
        return self.tables.tracking.get(name, 0)

    def claim(self, name: str) -> int:
        return self.position(name)

    def move(self, name: str, pos: int) -> None:
        self.tables.tracking[name] = pos

    @property
    def own_size(self) -> int:
        self._take_part()
        return sum(row.via == OWN for row in self.tables.ledger)

    def learn(self, via: int, rows: Sequence[Learned]) -> None:
        now_us, held = self._take_part(), {(row.log_id, row.seq) for row in self.tables.ledger}
        for new in rows:
            if (new.log_id, new.seq) in held:
                raise NotStorable(f"leaf {new.seq} of log {new.log_id} is there already")
            held.add((new.log_id, new.seq))
            what = (new.stream, new.version, new.topic, new.case_id, new.body, new.leaf)
            self.tables.ledger.append(Row(len(self.tables.ledger) + 1, new.log_id, new.seq, via, *what, now_us))

    def _take_part(self) -> int:
        if self._learning_us is None:
            raise RuntimeError("this transaction does not take part in the order of the ledger")
        return self._learning_us

    def read(self, after_pos: int, limit: int) -> list[Row]:
        return self.tables.ledger[after_pos : after_pos + limit]

    def read_case(self, case_id: UUID, upto_pos: int) -> list[Row]:
        return self.read_cases([case_id], upto_pos)

    def read_cases(self, case_ids: Sequence[UUID], upto_pos: int) -> list[Row]:
        return [row for row in self.tables.ledger[:upto_pos] if row.case_id in case_ids]

    def outline(self, after_pos: int, limit: int) -> list[Outline]:
        return [self._outlined(row) for row in self.read(after_pos, limit)]

    def _outlined(self, row: Row) -> Outline:
        parts = self.parts([(row.log_id, row.seq, row.seq + 1)]).get(row.log_id, []) if row.via == OWN else []
        size_bytes = len(row.body) + sum(len(part.body) for part in parts)
        return Outline(row.pos, row.log_id, row.seq, row.via, row.leaf, size_bytes)

    def known_leaves(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        return {(row.log_id, row.seq): row.leaf for row in self.tables.ledger if (row.log_id, row.seq) in places}

    def sparse(self, sizes: Mapping[int, int]) -> dict[tuple[int, int], bytes]:
        rows = (row for row in self.tables.ledger if row.via == FROM_ABOVE and row.log_id in sizes)
        return {(row.log_id, row.seq): row.leaf for row in rows if row.seq >= sizes[row.log_id]}

    def origins(self, log_ids: Iterable[int]) -> dict[int, str]:
        wanted = set(log_ids)
        return {log_id: origin for origin, log_id in self.tables.logs.items() if log_id in wanted}

    def enclosed(self, log_id: int, seq: int) -> Enclosed | None:
        return self.tables.enclosures.get((log_id, seq))

    def sendable(self, after_pos: int, limit: int) -> list[Sendable]:
        rows = [row for row in self.tables.ledger[after_pos : self.position(SEALED)] if self._is_sendable(row)]
        return [Sendable(row.pos, row.log_id, row.seq, row.body) for row in rows[:limit]]

    def _is_sendable(self, row: Row) -> bool:
        tree = self.tables.trees.get(row.log_id)
        if tree is None or row.via == FROM_ABOVE:
            return False
        return tree.acked_size <= row.seq < tree.size and tree.refused is None

    def leaves(self, log_id: int, first: int, end: int) -> list[bytes]:
        rows = [row for row in self.tables.ledger if row.log_id == log_id and first <= row.seq < end]
        return [row.body for row in sorted(rows, key=lambda row: row.seq)]

    def parts(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[Part]]:
        found: dict[int, list[Part]] = {}
        for (log_id, seq, part), body in sorted(self.tables.beside.items()):
            if any(log_id == log and first <= seq < end for log, first, end in spans):
                found.setdefault(log_id, []).append(Part(log_id, seq, part, body))
        return found

    def keep_parts(self, parts: Sequence[Part]) -> None:
        for log_id, seq, part, body in parts:
            self.tables.beside.setdefault((log_id, seq, part), body)


class _Stored(Generic[T]):
    """What a job gave, or how it failed."""

    def __init__(self, given: T | None, failure: BaseException | None) -> None:
        self._given = given
        self._failure = failure

    def result(self) -> T:
        if self._failure is not None:
            raise self._failure
        return self._given  # type: ignore[return-value]


class MemoryStore:
    """One node's store. `tables` is what is committed, and all that outlives a crash of the node."""

    def __init__(self, now_us: Callable[[], int], on_commit: Callable[[], None] = lambda: None) -> None:
        """on_commit: called before and after each commit of anything; what it raises is a crash there."""
        self.tables = Tables()
        self._now_us = now_us
        self._on_commit = on_commit

    @contextmanager
    def transaction(self) -> Iterator[MemoryTx]:
        with self._committing(None) as tx:
            yield tx

    def learning(self, job: Callable[[MemoryTx], T]) -> T:
        with self._committing(self._now_us()) as tx:
            return job(tx)

    def learning_soon(self, job: Callable[[MemoryTx], T]) -> _Stored[T]:
        try:
            return _Stored(self.learning(job), None)
        except Exception as failure:  # it is whoever asks for the result who is to know
            return _Stored(None, failure)

    def append(
        self,
        events: Sequence[NewEvent],
        parts: Sequence[bytes] = (),
        organ: Division | None = None,
        certificate: str | None = None,
    ) -> None:
        """What a node's writer does: own events, of the last the parts beside it, the organ below, the certificate."""
        with self._committing(self._now_us()) as tx:
            size = tx.own_size
            for seq, event in enumerate(events, size):
                what = (event.stream, event.version, event.topic, event.case_id, event.body, leaf_hash(event.body))
                tx.learn(OWN, [Learned(OWN_LOG, seq, *what)])
            tx.keep_parts([Part(OWN_LOG, size + len(events) - 1, part, body) for part, body in enumerate(parts)])
            if certificate is not None:
                read = read_certificate(certificate)
                tx.keep_certificate(read.division, read.serial, certificate)
            if organ is not None:
                tx.tables.onward[events[-1].stream] = organ

    @contextmanager
    def _committing(self, learning_us: int | None) -> Iterator[MemoryTx]:
        tx = MemoryTx(self.tables.snapshot(), learning_us)
        yield tx
        if tx.tables != self.tables:
            self._on_commit()
            self.tables = tx.tables
            self._on_commit()
