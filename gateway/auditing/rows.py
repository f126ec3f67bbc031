"""What a bundle is made of, read from a node's database in one moment, row by row, while the node works on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString, NamedTuple

import psycopg

from sync.ledger.connections import connect
from sync.proofs.merkle import HASH_BYTES
from sync.proofs.note import Verifier
from sync.proofs.postgres_trees import PostgresTrees

FETCHED_ROWS: Final = 500


class HeldLog(NamedTuple):
    """A log as the node keeps it. size: leaves that it holds without a gap, 0 where it has single ones only."""

    id: int
    origin: str
    division: str
    size: int
    frozen: str | None


class LearnedRow(NamedTuple):
    """A row of the ledger. body, path, checkpoint: only of a single leaf, which came from above."""

    log_id: int
    seq: int
    via: int
    known_us: int
    body: bytes | None
    path: bytes | None
    checkpoint: str | None


class Snapshot:
    """Reads as of the moment of its first question. Made by `snapshot`."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn
        self._cursors = 0

    def position(self) -> tuple[int, int]:
        """The last ledger position, and how many own events no checkpoint covers yet."""
        ((pos, own, size),) = self._rows(
            "select head.pos, head.own_size, coalesce(tree.size, 0) from head"
            " left join tree on tree.log_id = head.log_id",
            (),
        )
        return pos, own - size

    def logs(self, *, below: bool) -> list[HeldLog]:
        """Every log that something is known of, the own one first; without `below`, of the others single leaves."""
        found = self._rows(
            "select log.id, origin, log.division, coalesce(size, 0), frozen from log"
            " left join tree on tree.log_id = log.id order by log.division <> ("
            " select own.division from head join log own on own.id = head.log_id), log.id",
            (),
        )
        logs = [HeldLog(*row) for row in found]
        return [log if below or log.division == logs[0].division else log._replace(size=0) for log in logs]

    def leaves(self, log_id: int, size: int) -> Iterator[tuple[bytes, bytes]]:
        """The leaves of a log, in order, each with its hash as it is kept."""
        query: LiteralString = "select body, leaf from ledger where log_id = %s and seq < %s order by seq"
        return self._stream(query, (log_id, size))

    def heads(self, log_id: int, size: int) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
        """The kept heads by size: the signed note, and of each cosignature the key's name and the line."""
        query: LiteralString = """
            select size, note, coalesce((
                select json_agg(json_build_array(witness, line) order by witness) from cosignature
                where cosignature.log_id = checkpoint.log_id and cosignature.size = checkpoint.size), '[]')
            from checkpoint where log_id = %s and size <= %s order by size"""
        return self._stream(query, (log_id, size))

    def cosigned_by(self, log_id: int, key: Verifier) -> int:
        """The largest size of a log that is kept with a cosignature by this very key, or 0."""
        return PostgresTrees(self._conn).cosigned_by(log_id, key)

    def learned(self, whole: Sequence[HeldLog]) -> Iterator[LearnedRow]:
        """The ledger in order: the leaves of the logs that are exported as a whole, and single ones from above."""
        query: LiteralString = """
            select ledger.log_id, ledger.seq, via, known_us,
                case when proof is not null then body end, proof, checkpoint
            from ledger
            left join unnest(%s::int[], %s::bigint[]) as whole (log_id, size)
                on whole.log_id = ledger.log_id and ledger.seq < whole.size
            left join enclosure on whole.size is null and via = 2
                and enclosure.log_id = ledger.log_id and enclosure.seq = ledger.seq
            where whole.size is not null or proof is not null
            order by pos"""
        columns = [log.id for log in whole], [log.size for log in whole]
        return (LearnedRow(*row) for row in self._stream(query, columns))

    def certificates(self) -> list[str]:
        """Every certificate, in the order in which they became known."""
        return [str(text) for (text,) in self._rows("select body from certificate order by num", ())]

    def faults(self) -> Iterator[tuple[Any, ...]]:
        """Every fault, over or not, in the order of bundle.FaultLine."""
        return self._stream(
            "select kind, subject, child, detail, evidence, count, first_us, last_us, healed_us from fault"
            " order by first_us, kind, subject",
            (),
        )

    def sealed(self) -> Iterator[tuple[int, int, bytes]]:
        """Every event that something is sealed beside, in order: log, leaf, its bytes."""
        query: LiteralString = """
            select log_id, seq, body from ledger
            where case_id is not null and position('"sealed":[{"'::bytea in body) > 0 order by pos"""
        return self._stream(query, ())

    def _rows(self, query: LiteralString, params: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._conn.execute(query, params).fetchall()

    def _stream(self, query: LiteralString, params: Sequence[object]) -> Iterator[Any]:
        """Row by row through a cursor of the server."""
        self._cursors += 1
        with self._conn.cursor(f"export_{self._cursors}", binary=True) as cursor:
            cursor.itersize = FETCHED_ROWS
            cursor.execute(query, params)
            yield from cursor


@contextmanager
def snapshot(dsn: str) -> Iterator[Snapshot]:
    """All that is read inside is of one moment, and nothing is written. Raises psycopg.OperationalError."""
    with connect(dsn) as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        yield Snapshot(conn)
        conn.rollback()


def path_in(proof: bytes) -> tuple[bytes, ...]:
    """The hashes of a stored inclusion path."""
    return tuple(proof[at : at + HASH_BYTES] for at in range(0, len(proof), HASH_BYTES))
