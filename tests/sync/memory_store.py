"""The exchange's store in memory, for simulations: whole transactions, no thread, no clock of its own, no database."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TypeVar
from uuid import UUID

from domain.divisions import Division
from sync.exchange.checkpoints import SEALED, Outline
from sync.exchange.dispatch import Enclosed
from sync.exchange.inbox_store import Part
from sync.exchange.leaf import certificate_in, known
from sync.exchange.outbox import Sendable
from sync.ledger.append import Learned
from sync.ledger.database import Intake
from sync.ledger.rows import FROM_ABOVE, OWN, Row
from tests.sync.memory_ledger import Answer, MemoryWriter
from tests.sync.memory_links import MemoryLinks
from tests.sync.memory_tables import At, Tables, nothing_happens
from tests.sync.memory_trees import NO_END

T = TypeVar("T")


class MemoryTx(MemoryLinks):
    """One transaction, which reads what it writes."""

    def __init__(self, tables: Tables, intake: Intake | None = None) -> None:
        """intake: where it takes part in the order of the ledger."""
        super().__init__(tables)
        self._intake = intake

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
        return self._taking_part().head.own_size

    def learn(self, via: int, rows: Sequence[Learned]) -> None:
        self._taking_part().learn(via, rows)

    def _taking_part(self) -> Intake:
        if self._intake is None:
            raise RuntimeError("this transaction does not take part in the order of the ledger")
        return self._intake

    def read(self, after_pos: int, limit: int) -> list[Row]:
        return self.tables.ledger.rows[after_pos : after_pos + limit]

    def read_case(self, case_id: UUID, upto_pos: int) -> list[Row]:
        return self.read_cases([case_id], upto_pos)

    def read_cases(self, case_ids: Sequence[UUID], upto_pos: int) -> list[Row]:
        rows = [row for case in set(case_ids) for row in self.tables.ledger.of_case(case) if row.pos <= upto_pos]
        return sorted(rows, key=lambda row: row.pos)

    def outline(self, after_pos: int, limit: int) -> list[Outline]:
        return [self._outlined(row) for row in self.read(after_pos, limit)]

    def _outlined(self, row: Row) -> Outline:
        parts = self.parts([(row.log_id, row.seq, row.seq + 1)]).get(row.log_id, []) if row.via == OWN else []
        size_bytes = len(row.body) + sum(len(part.body) for part in parts)
        return Outline(row.pos, row.log_id, row.seq, row.via, row.leaf, size_bytes)

    def known_leaves(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        rows = self.tables.ledger.places
        return {(log_id, seq): rows[log_id, seq].leaf for log_id, seq in places if (log_id, seq) in rows}

    def sparse(self, sizes: Mapping[int, int]) -> dict[tuple[int, int], bytes]:
        rows = self.tables.ledger.sparse
        keys = [key for log_id, size in sizes.items() for key in rows.between((log_id, size), (log_id, NO_END))]
        return {key: rows[key].leaf for key in keys}

    def certificates_said(self, division: Division, origin: str, size: int) -> list[str]:
        logs = {log_id: name for name, log_id in self.tables.logs.items() if name.split("/")[1] == division}
        rows = [
            row
            for log_id, name in sorted(logs.items())
            for row in self.tables.ledger.run(log_id, 0, size if name == origin else NO_END)
        ]
        return [text for row in rows if (text := certificate_in(known(row.body))) is not None]

    def origins(self, log_ids: Iterable[int]) -> dict[int, str]:
        wanted = set(log_ids)
        return {log_id: origin for origin, log_id in self.tables.logs.items() if log_id in wanted}

    def enclosed(self, log_id: int, seq: int) -> Enclosed | None:
        return self.tables.enclosures.get((log_id, seq))

    def sendable(self, after_pos: int, limit: int) -> list[Sendable]:
        rows = filter(self._is_sendable, self.tables.ledger.rows[after_pos : self.position(SEALED)])
        return [Sendable(row.pos, row.log_id, row.seq, row.body) for row in islice(rows, limit)]

    def _is_sendable(self, row: Row) -> bool:
        tree = self.tables.trees.get(row.log_id)
        if tree is None or row.via == FROM_ABOVE:
            return False
        return tree.acked_size <= row.seq < tree.size and tree.refused is None

    def leaves(self, log_id: int, first: int, end: int) -> list[bytes]:
        return [row.body for row in self.tables.ledger.run(log_id, first, end)]

    def parts(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[Part]]:
        beside = self.tables.beside
        keys = {key for log_id, first, end in spans for key in beside.between((log_id, first, 0), (log_id, end, 0))}
        found: dict[int, list[Part]] = {}
        for key in sorted(keys):
            found.setdefault(key[0], []).append(Part(*key, beside[key]))
        return found

    def keep_parts(self, parts: Sequence[Part]) -> None:
        for log_id, seq, part, body in parts:
            self.tables.beside.setdefault((log_id, seq, part), body)


class MemoryStore:
    """One node's store beside its writer, over the same tables."""

    def __init__(self, tables: Tables, writer: MemoryWriter, at: At = nothing_happens) -> None:
        """at: told before and after each commit of anything beside the ledger."""
        self._tables = tables
        self._writer = writer
        self._at = at

    @contextmanager
    def transaction(self) -> Iterator[MemoryTx]:
        with self._tables.committing(self._at):
            yield MemoryTx(self._tables)

    def learning(self, job: Callable[[MemoryTx], T]) -> T:
        return self.learning_soon(job).result()

    def learning_soon(self, job: Callable[[MemoryTx], T]) -> Answer[T]:
        return self._writer.run(lambda tables, intake: job(MemoryTx(tables, intake)))
