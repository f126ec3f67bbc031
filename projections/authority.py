"""The projection `authority`: which events have effect, judged once by `domain.authority` for all that fold them."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from domain.authority import AUTHORITY, judged
from domain.events import AnyEvent, HandedOver, LegOpened, ObjectionLapsed, ObjectionRuled, SealedRead, TakenOver
from domain.shards import place
from domain.standing import Stake, Standing
from projections.projection import Fact, LedgerRow, Projection, decode, topics_of
from projections.store import Rows, Store
from projections.tables import FOREVER, Row, Table
from projections.views import Views


class StandingRow(Row, gc=False, eq=False):
    """See `projections/sql/standing.sql`."""

    body: str


class WithoutEffectRow(Row, gc=False, eq=False):
    """See `projections/sql/without_effect.sql`."""

    pos: int
    topic: str
    node: str
    overtaken: bool
    decided_pos: int
    gone_pos: int


STANDING: Final = Table("standing", StandingRow, key=("case_id",))
WITHOUT_EFFECT: Final = Table(
    "without_effect", WithoutEffectRow, key=("pos", "decided_pos"), live=(("overtaken", True), ("gone_pos", FOREVER))
)

_MOVING: Final = (LegOpened, HandedOver, ObjectionRuled, ObjectionLapsed, TakenOver)
"""After these, what was done before may have lost its effect, or have it again."""


class Losable(msgspec.Struct):
    """An event that may lose its effect by what comes later. is_lost: as it stands now."""

    pos: int
    topic: str
    node: str
    stake: Stake
    is_lost: bool = False


class Judged(msgspec.Struct):
    """What is kept of a case. told: the positions of its events that their authors had the right to write."""

    standing: Standing = Standing()
    losable: list[Losable] = []
    told: list[int] = []


class LateDecision(msgspec.Struct, frozen=True, kw_only=True):
    """At `pos` an event of the case decided whether others before it have effect. told: see `Judged`."""

    pos: int
    case_id: UUID
    told: Sequence[int]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Judged)


class Authority:
    """See Projection. It comes before the others: they are handed what it leaves in effect."""

    name = "authority"
    edition = 6
    tables = (STANDING, WITHOUT_EFFECT)
    other_tables = ()
    topics = topics_of(AUTHORITY)

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """What cannot be read has no effect on who stands where."""
        store.load(fact.case_id for fact in batch)
        rows, void = store.rows(STANDING), store.rows(WITHOUT_EFFECT)
        cases: dict[int, tuple[UUID, Judged]] = {}  # by UUID.int, whose hash is not Python code
        for fact in batch:
            if fact.event is None or fact.case_id is None or type(fact.event) not in AUTHORITY:
                continue
            known = cases.get(fact.case_id.int)
            if known is None:
                known = cases[fact.case_id.int] = (fact.case_id, _stored(rows, fact.case_id))
            _judge(known[1], void, fact, fact.event)
        for case_id, case in cases.values():
            _keep(rows, case_id, case)

    def shared_after(self, views: Views, pos: int) -> list[int]:
        """None."""
        return []


def facts_for(
    views: Views, projection: Projection, rows: Iterable[LedgerRow], judged_at: int | None = None
) -> list[Fact]:
    """The rows as `projection` takes them: decoded, and without the events that have no effect, see `in_effect`."""
    facts = decode(rows, projection.topics)
    return facts if projection.name == Authority.name else in_effect(views, facts, judged_at)


def in_effect(views: Views, facts: Sequence[Fact], judged_at: int | None = None) -> list[Fact]:
    """The same facts in order of position; those without effect keep everything but their event.

    judged_at: the position as of which they are judged, null for each one's own. What was left out of this projection
    has none. What waits here to be judged waits in every other one, too.
    """
    if not facts:
        return []
    void, waiting = views.judged(Authority.name, facts[0].pos, facts[-1].pos, judged_at)
    if not void and not waiting:
        return list(facts)
    return [_as_judged(fact, void, waiting) for fact in facts]


def _as_judged(fact: Fact, void: set[int], waiting: dict[int, UUID]) -> Fact:
    if fact.pos in waiting:
        return msgspec.structs.replace(fact, key=waiting[fact.pos], fault=fact.fault or "not judged yet")
    return msgspec.structs.replace(fact, event=None) if fact.pos in void else fact


def decided_late(live: Views, first_pos: int, last_pos: int, case_id: UUID | None = None) -> list[LateDecision]:
    """What was decided from `first_pos` to `last_pos` about events before, in order; case_id: about that case alone."""
    found = live.decided(first_pos, last_pos, case_id)
    told = {concerned: _told(live, concerned) for concerned in {each for _, each in found}}
    return [LateDecision(pos=pos, case_id=concerned, told=told[concerned]) for pos, concerned in found]


def _told(live: Views, case_id: UUID) -> list[int]:
    """The positions of a case's events as in `Judged`, none where none is judged yet."""
    known = live.needed(STANDING, [case_id])
    return _decoder.decode(known[0].body).told if known else []


def _judge(case: Judged, void: Rows[WithoutEffectRow], fact: Fact, event: AnyEvent) -> None:
    case.standing, is_lawful = judged(case.standing, event, place(fact.log_id, fact.seq))
    if not is_lawful:
        void.append(WithoutEffectRow(fact.key, fact.pos, fact.topic, event.node, False, fact.pos, FOREVER))
        return
    if not isinstance(event, SealedRead):
        case.told.append(fact.pos)
    stake = case.standing.stake(event)
    if stake is not None:
        case.losable.append(Losable(fact.pos, fact.topic, event.node, stake))
    concerned = case.losable if type(event) in _MOVING else case.losable[-1:] if stake is not None else []
    for one in concerned:
        if (is_lost := case.standing.is_lost(one.stake)) != one.is_lost:
            one.is_lost = is_lost
            _decide(void, fact, one)


def _decide(void: Rows[WithoutEffectRow], fact: Fact, one: Losable) -> None:
    if one.is_lost:
        void.add(WithoutEffectRow(fact.key, one.pos, one.topic, one.node, True, fact.pos, FOREVER))
        return
    known = next(row for row in void.of(fact.case_id) if row.pos == one.pos)
    known.gone_pos = fact.pos
    void.retire(known)


def _stored(rows: Rows[StandingRow], case_id: UUID) -> Judged:
    known = rows.of(case_id)
    return _decoder.decode(known[0].body) if known else Judged()


def _keep(rows: Rows[StandingRow], case_id: UUID, case: Judged) -> None:
    body = _encoder.encode(case).decode()
    known = rows.of(case_id)
    if not known:
        rows.add(StandingRow(case_id, body))
    elif known[0].body != body:
        known[0].body = body
        rows.touch(known[0])
