"""Where wrapped keys and sealed parts lie in a node's database: beside their events, in the same transaction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg

from domain.events import TAGS, CaseId, NotCanonical, SealedRead, read
from sync.sealed.custody import Told

Statement = tuple[LiteralString, Sequence[object]]
"""SQL and its parameters, as `sync.ledger.append.Append.beside` takes it."""

_READING: Final = str(SealedRead.__struct_config__.tag)

# A part is put to its own event by stream and version, because the writer gives the leaf index later.
_KEEP: LiteralString = """
insert into beside (log_id, seq, part, body)
select log_id, seq, %s, %s from ledger where via = 0 and stream = %s and version = %s"""

# No hostile event may stop an erasure: only types that this program knows are parsed, and subjects are compared as
# JSON text, never unescaped. A sealed text of a newer type stays, unreadable without its key.
_OF_SUBJECT: LiteralString = """
with matter as materialized (
    select log_id, seq, topic, convert_from(body, 'UTF8')::json as event from ledger
    where case_id = %s and topic = any(%s)
), doomed as (
    select log_id, seq, n - 1 as part
    from matter, json_array_elements(event -> 'sealed') with ordinality as sealed (said, n)
    where (said -> 'subject')::text = %s
    union all
    select log_id, seq, n - 1 as part
    from matter, json_array_elements(event -> 'grants') with ordinality as granted (said, n)
    where topic = 'key.granted.v0' and (event -> 'subject')::text = %s
)"""

_DESTROY: LiteralString = f"""{_OF_SUBJECT}
delete from beside using doomed
where beside.log_id = doomed.log_id and beside.seq = doomed.seq and beside.part = doomed.part"""

_EXCUSE: LiteralString = f"""{_OF_SUBJECT}
update fault set healed_us = %s from doomed join log on log.id = doomed.log_id
where fault.kind = 'part_missing' and fault.healed_us is null
and fault.subject = log.origin || '#' || doomed.seq || '.' || doomed.part"""


class PostgresCases:
    """Reads custody events and parts; what another transaction has not committed does not exist."""

    def __init__(self, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        """connect: such as `psycopg_pool.ConnectionPool.connection`."""
        self._connect = connect

    def case_events(self, case: CaseId) -> list[Told]:
        """See sync.sealed.custody.CaseReader."""
        with self._connect() as conn:
            rows = conn.execute(
                "select log_id, seq, body from ledger where case_id = %s and topic <> %s order by pos",
                (case, _READING),
            ).fetchall()
        return list(_told(rows))

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
    return _DESTROY, _about(case, subject)


def excuse(case: CaseId, subject: str, now_us: int) -> Statement:
    """The statement that ends the faults of parts of an erased subject that never came: who sent them had erased them.

    It belongs after each destruction here, which is repeated for whatever comes of the case.
    """
    return _EXCUSE, (*_about(case, subject), now_us)


def _about(case: CaseId, subject: str) -> tuple[object, ...]:
    said = f'"{subject}"'
    return case, sorted(TAGS), said, said


def _told(rows: Iterable[tuple[int, int, bytes]]) -> Iterator[Told]:
    for log_id, seq, body in rows:
        try:
            event = read(body)
        except NotCanonical:
            continue  # a fault of its own, and without effect
        if event.case is not None and event.stream is not None and event.version is not None:
            yield Told(log_id, seq, event)
