"""A case's time line across all its legs, read from the ledger itself."""

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from domain import events
from domain.authority import effects
from domain.events import AnyEvent, Role
from domain.shards import place
from projections.moment import Moment
from projections.projection import LedgerRow, decode

ReadCase = Callable[[UUID], Sequence[LedgerRow]]
"""read_case(case): every row of one case, in the order learned."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a case, and who by office did it; never which person. Moments are UTC microseconds.

    (log_id, seq): the leaf, by which the gateway says recorded or secured. via: 0 own, 1 from below, 2 from above.
    occurred_us: as claimed; recorded_us: its author's clock; known_us: when this node learned it. event: None for
    a type that this version does not know, of which only tag and known_us are shown. has_effect: false where the
    author had no right to say it, or said it on a leg that a directive had taken away (see `domain.authority`).
    """

    pos: int
    log_id: int
    seq: int
    via: int
    tag: str
    known_us: int
    node: str | None
    unit: str | None
    role: Role | None
    occurred_us: int | None
    recorded_us: int | None
    law: str | None
    has_effect: bool
    event: AnyEvent | None

    @property
    def at_us(self) -> int:
        """When it happened, as claimed; of an event of an unknown type, when it was learned."""
        return self.known_us if self.occurred_us is None else self.occurred_us


def timeline(read_case: ReadCase, case_id: UUID, at: Moment | None = None) -> list[Entry]:
    """Every event of the case in the order learned; at: only what had happened and was known by then."""
    rows = [row for row in read_case(case_id) if at is None or row.pos <= at.pos]
    facts = decode(rows, events.TAGS)
    heard = effects([(fact.event, place(row.log_id, row.seq)) for row, fact in zip(rows, facts, strict=True)])
    entries = [_entry(row, fact.event, has_effect) for row, fact, has_effect in zip(rows, facts, heard, strict=True)]
    if at is None:
        return entries
    return [entry for entry in entries if entry.at_us <= at.as_of_us]


def _entry(row: LedgerRow, event: AnyEvent | None, has_effect: bool) -> Entry:
    return Entry(
        pos=row.pos,
        log_id=row.log_id,
        seq=row.seq,
        via=row.via,
        tag=row.topic,
        known_us=row.known_us,
        node=event.node if event else None,
        unit=event.actor.unit if event else None,
        role=event.actor.role if event else None,
        occurred_us=event.occurred_us if event else None,
        recorded_us=event.recorded_us if event else None,
        law=event.law if event else None,
        has_effect=has_effect,
        event=event,
    )
