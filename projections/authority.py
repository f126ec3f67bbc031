"""The projection `authority`: which events have effect, judged once by `domain.authority` for all that fold them."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec
import psycopg

from domain.authority import AUTHORITY, judged
from domain.standing import Standing
from projections.projection import Fact, LedgerRow, Projection, decode, topics_of
from projections.store import LIVE, Row, Rows, Store, Table


class StandingRow(Row, gc=False, eq=False):
    """See `projections/sql/standing.sql`."""

    body: str


class WithoutEffectRow(Row, gc=False, eq=False):
    """An event without effect. node: its author's division."""

    pos: int
    topic: str
    node: str


STANDING: Final = Table("standing", StandingRow, key=("case_id",))
WITHOUT_EFFECT: Final = Table("without_effect", WithoutEffectRow, key=("pos",), live="false")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Standing)


class Authority:
    """See Projection. It comes before the others: they are handed what it leaves in effect."""

    name = "authority"
    edition = 2
    tables = (STANDING, WITHOUT_EFFECT)
    other_tables = ()
    topics = topics_of(AUTHORITY)

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """What cannot be read has no effect on who stands where."""
        store.load(fact.case_id for fact in batch)
        rows, void = store.rows(STANDING), store.rows(WITHOUT_EFFECT)
        before: dict[UUID, Standing] = {}
        after: dict[UUID, Standing] = {}
        for fact in batch:
            event, case_id = fact.event, fact.case_id
            if event is None or case_id is None or type(event) not in AUTHORITY:
                continue
            if case_id not in after:
                before[case_id] = after[case_id] = _stored(rows, case_id)
            after[case_id], is_lawful = judged(after[case_id], event, fact.seq)
            if not is_lawful or after[case_id].is_overtaken(event):
                void.append(WithoutEffectRow(case_id, fact.pos, fact.topic, event.node))
        for case_id, standing in after.items():
            if standing is not before[case_id]:
                _keep(rows, case_id, standing)

    def shared_after(self, conn: psycopg.Connection, schema: str, pos: int) -> list[int]:
        """None."""
        return []


def facts_for(conn: psycopg.Connection, projection: Projection, rows: Iterable[LedgerRow]) -> list[Fact]:
    """The rows as `projection` takes them: decoded, and without the events that have no effect."""
    facts = decode(rows, projection.topics)
    return facts if projection.name == Authority.name else in_effect(conn, facts)


def in_effect(conn: psycopg.Connection, facts: Sequence[Fact]) -> list[Fact]:
    """The same facts in order of position; those without effect keep everything but their event.

    What was left out of this projection has none. What waits here to be judged waits in every other one, too.
    """
    if not facts:
        return []
    void, waiting = _void_and_waiting(conn, facts[0].pos, facts[-1].pos)
    return [_as_judged(fact, void, waiting) for fact in facts]


def _void_and_waiting(conn: psycopg.Connection, first_pos: int, last_pos: int) -> tuple[set[int], dict[int, UUID]]:
    """Positions without effect, and positions not judged yet with the key that they wait under."""
    found = conn.execute(
        f"""select pos, null::uuid from {LIVE}.without_effect where pos between %(first)s and %(last)s union all
            select pos, null::uuid from {LIVE}.skipped
            where projection = %(name)s and pos between %(first)s and %(last)s union all
            select pos, key from {LIVE}.parked where projection = %(name)s and pos between %(first)s and %(last)s""",
        {"name": Authority.name, "first": first_pos, "last": last_pos},
    ).fetchall()
    return {pos for pos, key in found if key is None}, {pos: key for pos, key in found if key is not None}


def _as_judged(fact: Fact, void: set[int], waiting: dict[int, UUID]) -> Fact:
    if fact.pos in waiting:
        return msgspec.structs.replace(fact, key=waiting[fact.pos], fault=fact.fault or "not judged yet")
    return msgspec.structs.replace(fact, event=None) if fact.pos in void else fact


def _stored(rows: Rows[StandingRow], case_id: UUID) -> Standing:
    known = rows.of(case_id)
    return _decoder.decode(known[0].body) if known else Standing()


def _keep(rows: Rows[StandingRow], case_id: UUID, standing: Standing) -> None:
    body = _encoder.encode(standing).decode()
    if known := rows.of(case_id):
        known[0].body = body
        rows.touch(known[0])
    else:
        rows.add(StandingRow(case_id, body))
