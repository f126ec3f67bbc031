"""Where wrapped keys and sealed parts lie in a node's database: beside their events, in the same transaction."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from domain.events import TAGS, CaseId, ErasureConfirmed, ErasureOrdered, KeyGranted, Registered, decode
from sync.sealed.custody import Placed

Statement = tuple[LiteralString, Sequence[object]]
"""SQL and its parameters, as `sync.ledger.append.Append.beside` takes it."""

_CUSTODY_TOPICS = [
    str(shape.__struct_config__.tag) for shape in (Registered, KeyGranted, ErasureOrdered, ErasureConfirmed)
]

# A part is put to its own event by stream and version, because the writer gives the leaf index later.
_KEEP: LiteralString = """
insert into beside (log_id, seq, part, body)
select log_id, seq, %s, %s from ledger where via = 0 and stream = %s and version = %s"""

# No hostile event may stop an erasure: only types that this program knows are parsed, and subjects are compared as
# JSON text, never unescaped. A sealed text of a newer type stays, unreadable without its key.
_DESTROY: LiteralString = """
with matter as materialized (
    select log_id, seq, topic, convert_from(body, 'UTF8')::json as event from ledger
    where case_id = %s and topic = any(%s)
), doomed as (
    select log_id, seq, n - 1 as part
    from matter, json_array_elements(event -> 'sealed') with ordinality as sealed (said, n)
    where (said -> 'subject')::text = %s
    union all
    select log_id, seq, part
    from matter join beside using (log_id, seq)
    where topic = 'key.granted.v0' and (event -> 'subject')::text = %s
)
delete from beside using doomed
where beside.log_id = doomed.log_id and beside.seq = doomed.seq and beside.part = doomed.part"""


class PostgresCases:
    """Reads custody events and parts; what another transaction has not committed does not exist."""

    def __init__(self, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        """connect: such as `psycopg_pool.ConnectionPool.connection`."""
        self._connect = connect

    def custody_events(self, case: CaseId) -> list[Placed]:
        """See sync.sealed.custody.CaseReader."""
        with self._connect() as conn:
            rows = conn.execute(
                "select log_id, seq, body from ledger where case_id = %s and topic = any(%s) order by pos",
                (case, _CUSTODY_TOPICS),
            ).fetchall()
        return [Placed(log_id, seq, decode(body)) for log_id, seq, body in rows]

    def part(self, log_id: int, seq: int, part: int) -> bytes | None:
        """See sync.sealed.custody.CaseReader."""
        with self._connect() as conn:
            row = conn.execute(
                "select body from beside where log_id = %s and seq = %s and part = %s", (log_id, seq, part)
            ).fetchone()
        return None if row is None else bytes(row[0])


def keep_parts(stream: UUID, version: int, parts: Sequence[bytes]) -> list[Statement]:
    """Statements that put `parts` beside an own event of the same append.

    parts: sealed texts in the order of the event's `sealed`, wrapped keys in the order of its `grants`.
    """
    return [(_KEEP, (number, part, stream, version)) for number, part in enumerate(parts)]


def destruction(case: CaseId, subject: str) -> Statement:
    """The statement that deletes every wrapped key and sealed text of a subject here, and no leaf.

    It belongs into the append of the KeyDestroyed that says so. Afterwards `Custody.forget` drops what is cached.
    """
    said = f'"{subject}"'
    return _DESTROY, (case, sorted(TAGS), said, said)
