"""The exchange's store on PostgreSQL: one transaction, with or without a part in the order of the ledger."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import psycopg

from domain.divisions import Division
from sync.exchange.checkpoints import SEALED, Outline
from sync.exchange.dispatch import Enclosed
from sync.exchange.inbox_store import Part
from sync.exchange.leaf import CERTIFYING, certificate_in, known
from sync.exchange.outbox import Sendable
from sync.exchange.postgres_links import PostgresLinks
from sync.exchange.store import NotStorable
from sync.ledger.append import Learned
from sync.ledger.connections import open_pool
from sync.ledger.database import Intake
from sync.ledger.rows import Row
from sync.ledger.writer import Writer
from sync.proofs.merkle import HASH_BYTES
from sync.proofs.postgres_trees import PostgresTrees, columns

T = TypeVar("T")

_SENDABLE: LiteralString = """
select ledger.pos, ledger.log_id, ledger.seq, ledger.body
from ledger join tree on tree.log_id = ledger.log_id
where ledger.pos > %b
  and ledger.pos <= (select coalesce(max(notification_id), 0) from tracking where application_name = %b)
  and ledger.via <> 2 and ledger.seq >= tree.acked_size and ledger.seq < tree.size and tree.refused is null
order by ledger.pos limit %b"""

_OUTLINE: LiteralString = """
select pos, log_id, seq, via, leaf, octet_length(body) + coalesce((
    select sum(octet_length(beside.body)) from beside where via = 0 and log_id = ledger.log_id and seq = ledger.seq
), 0)::int
from ledger where pos > %b order by pos limit %b"""

_ROW: LiteralString = "select pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us from ledger "


class PostgresTx(PostgresTrees, PostgresLinks):
    """One transaction. Given an Intake it takes part in the order of the ledger; without one it only reads that."""

    def __init__(self, conn: psycopg.Connection[Any], intake: Intake | None = None) -> None:
        super().__init__(conn)
        self._intake = intake

    def position(self, name: str) -> int:
        """As committed."""
        rows = self.rows("select notification_id from tracking where application_name = %b", (name,))
        return int(rows[0][0]) if rows else 0

    def claim(self, name: str) -> int:
        """Locked until commit, so that whoever else moves it waits."""
        rows = self.rows("select notification_id from tracking where application_name = %b for update", (name,))
        return int(rows[0][0]) if rows else 0

    def move(self, name: str, pos: int) -> None:
        """Keep how far it has come."""
        self.do(
            "insert into tracking (application_name, notification_id) values (%b, %b)"
            " on conflict (application_name) do update set notification_id = excluded.notification_id",
            (name, pos),
        )

    def read_cases(self, case_ids: Sequence[UUID], upto_pos: int) -> list[Row]:
        """Every row of these cases up to a position, in order."""
        if not case_ids:
            return []
        rows = self.rows(_ROW + "where case_id = any(%b) and pos <= %b order by pos", (list(case_ids), upto_pos))
        return [Row._make(row) for row in rows]

    def outline(self, after_pos: int, limit: int) -> list[Outline]:
        """Rows beyond a position, without their bodies."""
        return [Outline(*row) for row in self.rows(_OUTLINE, (after_pos, limit))]

    def read(self, after_pos: int, limit: int) -> list[Row]:
        """Rows beyond a position, in order."""
        return [Row._make(row) for row in self.rows(_ROW + "where pos > %b order by pos limit %b", (after_pos, limit))]

    def read_case(self, case_id: UUID, upto_pos: int) -> list[Row]:
        """Every row of a case up to a position, in order."""
        rows = self.rows(_ROW + "where case_id = %b and pos <= %b order by pos", (case_id, upto_pos))
        return [Row._make(row) for row in rows]

    @property
    def own_size(self) -> int:
        """Events in this node's own log."""
        return self._taking_part().head.own_size

    def learn(self, via: int, rows: Sequence[Learned]) -> None:
        """Append to the ledger."""
        self._taking_part().learn(via, rows)

    def known_leaves(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Leaf hashes by place."""
        rows = self.rows(
            "select log_id, seq, leaf from ledger"
            " join unnest(%b::int[], %b::bigint[]) as place (log_id, seq) using (log_id, seq)",
            columns(places, 2),
        )
        return {(log_id, seq): bytes(leaf) for log_id, seq, leaf in rows}

    def sparse(self, sizes: Mapping[int, int]) -> dict[tuple[int, int], bytes]:
        """What is known beyond the sizes of trees."""
        rows = self.rows(
            "select ledger.log_id, seq, leaf from unnest(%b::int[], %b::bigint[]) as held (log_id, size)"
            " join ledger on ledger.log_id = held.log_id and seq >= held.size where via = 2",
            (list(sizes), list(sizes.values())),
        )
        return {(log_id, seq): bytes(leaf) for log_id, seq, leaf in rows}

    def certificates_said(self, division: Division, origin: str, size: int) -> list[str]:
        """In order of log and leaf."""
        rows = self.rows(
            "select body from ledger join log on log.id = ledger.log_id"
            " where division = %b and topic = any(%b) and (origin <> %b or seq < %b) order by log_id, seq",
            (division, sorted(CERTIFYING), origin, size),
        )
        return [text for (body,) in rows if (text := certificate_in(known(bytes(body)))) is not None]

    def origins(self, log_ids: Iterable[int]) -> dict[int, str]:
        """By id."""
        return dict(self.rows("select id, origin from log where id = any(%b)", (list(log_ids),)))

    def enclosed(self, log_id: int, seq: int) -> Enclosed | None:
        """How a leaf that came from above is proven."""
        rows = self.rows(
            "select addressed, proof, checkpoint from enclosure where log_id = %b and seq = %b", (log_id, seq)
        )
        if not rows:
            return None
        addressed, proof, checkpoint = rows[0]
        path = [bytes(proof[i : i + HASH_BYTES]) for i in range(0, len(proof), HASH_BYTES)]
        return Enclosed(addressed, path, checkpoint)

    def sendable(self, after_pos: int, limit: int) -> list[Sendable]:
        """What the parent does not hold."""
        return [Sendable(*row) for row in self.rows(_SENDABLE, (after_pos, SEALED, limit))]

    def leaves(self, log_id: int, first: int, end: int) -> list[bytes]:
        """Bodies in order of seq."""
        query: LiteralString = "select body from ledger where log_id = %b and seq >= %b and seq < %b order by seq"
        return [bytes(body) for (body,) in self.rows(query, (log_id, first, end))]

    def parts(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[Part]]:
        """By log."""
        rows = self.rows(
            "select beside.log_id, seq, part, body from unnest(%b::int[], %b::bigint[], %b::bigint[])"
            " as span (log_id, first, last) join beside"
            " on beside.log_id = span.log_id and seq >= span.first and seq < span.last order by 1, 2, 3",
            columns(spans, 3),
        )
        found: dict[int, list[Part]] = {}
        for part in map(Part._make, rows):
            found.setdefault(part.log_id, []).append(part)
        return found

    def keep_parts(self, parts: Sequence[Part]) -> None:
        """What is there already stays."""
        self.do(
            "insert into beside (log_id, seq, part, body)"
            " select * from unnest(%b::int[], %b::bigint[], %b::smallint[], %b::bytea[]) on conflict do nothing",
            columns(parts, 4),
        )

    def _taking_part(self) -> Intake:
        if self._intake is None:
            raise RuntimeError("this transaction does not take part in the order of the ledger")
        return self._intake


class PostgresStore:
    """Where transactions come from: the node's one writer for what enters the ledger, a small pool for the rest."""

    def __init__(self, dsn: str, writer: Writer, *, max_connections: int = 4) -> None:
        """dsn: the node's database, the same that `writer` writes."""
        self._writer = writer
        self._pool = open_pool(dsn, "exchange", max_connections, autocommit=False)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    def learning(self, job: Callable[[PostgresTx], T]) -> T:
        """Run `job` in the order of the ledger; its rows are on the disk on return. It may run twice: see Writer.run.

        Raises what the job raised, then nothing of it is stored; NotStorable, LedgerUnavailable, Fenced, WriterClosed.
        """
        return self.learning_soon(job).result()

    def learning_soon(self, job: Callable[[PostgresTx], T]) -> "Future[T]":
        """The same without waiting: jobs run in the order given."""

        def stored(conn: psycopg.Connection[Any], intake: Intake) -> T:
            try:
                return job(PostgresTx(conn, intake))
            except psycopg.Error as error:
                if is_refusal(error):
                    raise NotStorable(str(error)) from error
                raise

        return self._writer.run(stored)

    @contextmanager
    def transaction(self) -> Iterator[PostgresTx]:
        """A transaction beside the ledger; committed at the end of the block. Raises psycopg.OperationalError."""
        with self._pool.connection() as conn, conn.transaction():
            yield PostgresTx(conn)


def is_refusal(error: BaseException) -> bool:
    """Whether the database answered that it cannot hold what it was given: the same bytes will never do.

    A program limit (SQLSTATE class 54, such as a text too long for an index) is an OperationalError by name only.
    """
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return True
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("54")
