"""The projection `board`: how often a case was passed on or fought over, and when each node was last heard of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

import psycopg

from domain import events
from projections.projection import Fact, topics_of
from projections.store import FOREVER, Row, Store, Table

Kind = Literal["handed_over", "objected", "returned", "ruled", "lapsed", "taken_over"]

HEARD_STEP_US: Final = 600_000_000


class DisputeRow(Row, gc=False, eq=False):
    """One fact. by_unit: who did it. to_unit: who has the case after it, where the event names one."""

    pos: int
    at_us: int
    kind: Kind
    leg: UUID
    by_unit: str
    to_unit: str | None
    known_pos: int = 0
    void_pos: int = FOREVER


DISPUTE: Final = Table("dispute", DisputeRow, key=("case_id", "pos", "void_pos"), live="false")


class Board:
    """See Projection."""

    name = "board"
    edition = 2
    tables = (DISPUTE,)
    other_tables = ("heard", "origin")

    def __init__(self) -> None:
        self.topics = topics_of((*_KINDS, events.NodeOpened))

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """Facts that never change, so nothing is loaded."""
        disputes = store.rows(DISPUTE)
        for fact in batch:
            event = fact.event
            if isinstance(event, events.NodeOpened):
                _open_log(store, fact, event)
            elif type(event) in _KINDS:
                disputes.append(_dispute(fact, event))
        _hear(store, batch)

    def shared_after(self, conn: psycopg.Connection, schema: str, pos: int) -> list[int]:
        """None."""
        return []


_KINDS: Mapping[type[Any], Kind] = {
    events.HandedOver: "handed_over",
    events.Objected: "objected",
    events.ObjectionRuled: "ruled",
    events.ObjectionLapsed: "lapsed",
    events.TakenOver: "taken_over",
}


def _dispute(fact: Fact, event: Any) -> DisputeRow:
    kind, to_unit = _KINDS[type(event)], None
    if isinstance(event, events.HandedOver):
        to_unit = event.to
    elif isinstance(event, events.TakenOver):
        to_unit = event.unit
    elif isinstance(event, events.ObjectionRuled):
        to_unit = event.holder
        if event.by == "sender" and event.next_leg is not None:
            kind = "returned"
    return DisputeRow(fact.key, fact.pos, event.occurred_us, kind, event.leg, event.actor.unit, to_unit)


def _open_log(store: Store, fact: Fact, event: events.NodeOpened) -> None:
    store.conn.execute(
        f"insert into {store.schema}.origin values (%s, %s, %s) on conflict do nothing",
        (fact.log_id, event.node, fact.is_own),
    )


def _hear(store: Store, batch: Sequence[Fact]) -> None:
    """Whatever came of a log says that its node lives, even what is not understood here."""
    steps: dict[tuple[int, int], tuple[int, int, int]] = {}
    for fact in batch:
        step = (fact.log_id, fact.known_us // HEARD_STEP_US)
        first_pos = steps[step][0] if step in steps else fact.pos
        steps[step] = (first_pos, fact.pos, fact.known_us)
    rows = [(*step, *heard) for step, heard in steps.items()]
    with store.conn.cursor() as cursor:
        cursor.execute(
            f"""insert into {store.schema}.heard as known
                select * from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
                on conflict (log_id, step) do update set
                    first_pos = least(known.first_pos, excluded.first_pos),
                    last_pos = greatest(known.last_pos, excluded.last_pos),
                    last_known_us = greatest(known.last_known_us, excluded.last_known_us)""",
            [list(column) for column in zip(*rows, strict=True)],
        )
