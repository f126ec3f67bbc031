"""Folds events as they were judged when they were learned, and a case anew where one of them decided about the effect
of those before it; what the views had said until then stays for whoever asks what this node knew.

What a case's rows come out as depends on its own events and their positions alone, and not on batches, on retries or
on whether they were followed or rebuilt.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from projections.authority import LateDecision, facts_for
from projections.parking import fold_or_park
from projections.projection import Fact, Projection, ReadAfter
from projections.store import Rows
from projections.tables import Row, Table
from projections.views import Views


def fold_as_learned(
    views: Views,
    read_after: ReadAfter,
    projection: Projection,
    facts: Sequence[Fact],
    decisions: Iterable[LateDecision],
    only: UUID | None = None,
) -> None:
    """Fold `facts`, each judged as at its own position, into `views`, inside the caller's transaction.

    decisions: those at positions of `facts` or between them, in order. only: the one case that may be touched.
    """
    begin = 0
    for decision in decisions:
        end = bisect_left(facts, decision.pos, key=_position)
        if begin < end:
            fold_or_park(views, projection, facts[begin:end], only)
        if only is None and views.waiting(projection.name, [decision.case_id]):
            _catch_up(views, read_after, projection, decision)
        else:
            _judge_anew(views, read_after, projection, decision)
        begin = bisect_right(facts, decision.pos, key=_position)
    if begin < len(facts):
        fold_or_park(views, projection, facts[begin:], only)


def fold_case(
    views: Views,
    read_after: ReadAfter,
    projection: Projection,
    case_id: UUID,
    decisions: Sequence[LateDecision],
    upto_pos: int,
) -> None:
    """Fold what is parked of a case, or, where something was decided late, the whole of it from its first event.

    decisions: every one about this case up to `upto_pos`, how far `views` are folded, in order. case_id: or another key
    that events are parked under. Inside the caller's transaction.
    """
    if decisions:
        for table in projection.tables:
            views.clear(table, case_id)
    told = decisions[-1].told if decisions else ()
    facts = _facts(views, read_after, projection, case_id, told, upto_pos)
    fold_as_learned(views, read_after, projection, facts, decisions, only=case_id)


def _catch_up(views: Views, read_after: ReadAfter, projection: Projection, decision: LateDecision) -> None:
    """A case that waited may go on with this decision: then from its first event, as if it had never waited."""
    case_id = decision.case_id
    decisions = [
        LateDecision(pos=pos, case_id=case_id, told=decision.told) for pos, _ in views.decided(1, decision.pos, case_id)
    ]
    fold_case(views, read_after, projection, case_id, decisions, decision.pos)


def _judge_anew(views: Views, read_after: ReadAfter, projection: Projection, decision: LateDecision) -> None:
    """The case up to and with the event that decided, as judged since; rows that this leaves as they are stay."""
    case_id, pos = decision.case_id, decision.pos
    before = {table.name: views.believed(table, case_id) for table in projection.tables if table.has_history}
    for table in projection.tables:
        views.forget(table, case_id)
    facts = _facts(views, read_after, projection, case_id, decision.told, pos, judged_at=pos)
    fold_or_park(views, projection, facts, only=case_id)
    for table in projection.tables:
        if table.has_history:
            _believe(views, table, case_id, before[table.name], pos)


def _believe(views: Views, table: Table[Any], case_id: UUID, before: Sequence[Any], pos: int) -> None:
    """Of the rows `before`, those that are there no longer end at `pos`; those that were not there begin at `pos`."""
    gone = {_content(row): row for row in before}
    rows = Rows(table)
    for row in views.believed(table, case_id):
        same = gone.pop(_content(row), None)
        row.known_pos = pos if same is None else same.known_pos
        rows.append(row)
    for row in gone.values():
        row.void_pos = pos
        rows.append(row)
    views.forget(table, case_id)
    rows.write(views)


def _content(row: Row) -> tuple[Any, ...]:
    return msgspec.structs.astuple(msgspec.structs.replace(row, known_pos=0, void_pos=0))


def _facts(
    views: Views,
    read_after: ReadAfter,
    projection: Projection,
    case_id: UUID,
    told: Sequence[int],
    upto_pos: int,
    judged_at: int | None = None,
) -> list[Fact]:
    """The events of a case up to a position with what is parked of it, which is parked no longer, and what concerns
    every case."""
    own = {*told, *views.unpark(projection.name, case_id)}
    shared = projection.shared_after(views, min(own)) if own else ()
    wanted = sorted(pos for pos in {*own, *shared} - views.skipped(projection.name) if pos <= upto_pos)
    return facts_for(views, projection, [read_after(pos - 1, 1)[0] for pos in wanted], judged_at)


def _position(fact: Fact) -> int:
    return fact.pos
