"""What is done to sealed parts beside events, in the transaction that records those: kept, destroyed, excused."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

import msgspec

from domain.events import TAGS, CaseId

Statement = tuple[LiteralString, Sequence[object]]
"""SQL and its parameters: see `sync.ledger.append.Act`."""

# A part is put to its own event by stream and version, because the writer gives the leaf index later.
_KEEP: LiteralString = """
insert into beside (log_id, seq, part, body)
select log_id, seq, n - 1, part
from ledger, unnest(%s::bytea[]) with ordinality as given (part, n) where via = 0 and stream = %s and version = %s"""

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


class PartsBeside(msgspec.Struct, frozen=True):
    """Put `parts` beside an own event of the same append.

    parts: sealed texts in the order of the event's `sealed`, wrapped keys in the order of its `grants`.
    """

    stream: UUID
    version: int
    parts: Sequence[bytes]

    def statement(self) -> Statement:
        """One row for each part."""
        return _KEEP, (list(self.parts), self.stream, self.version)


class Destruction(msgspec.Struct, frozen=True):
    """Delete every wrapped key and sealed text of a subject here, and no leaf.

    It belongs into the append of the KeyDestroyed that says so. Afterwards `Custody.forget` drops what is cached.
    """

    case: CaseId
    subject: str

    def statement(self) -> Statement:
        """Found by what the events of the case say."""
        return _DESTROY, _about(self.case, self.subject)


class Excuse(msgspec.Struct, frozen=True):
    """End the faults of parts of an erased subject that never came: who sent them had erased them.

    It belongs after each destruction here, which is repeated for whatever comes of the case.
    """

    case: CaseId
    subject: str
    now_us: int

    def statement(self) -> Statement:
        """Found by what the events of the case say."""
        return _EXCUSE, (*_about(self.case, self.subject), self.now_us)


def _about(case: CaseId, subject: str) -> tuple[object, ...]:
    said = f'"{subject}"'
    return case, sorted(TAGS), said, said
