"""Which unit answers for a case, and since when: the intervals that lateness is charged to.

The same law as `domain.case` (ADR-0003), kept as one row per interval so that a case need not be read again: a leg
is written by its holder's node alone, and of two that follow one leg `domain.standing.precedence` says which holds.
"""

from typing import Final
from uuid import UUID

from domain import events
from domain.standing import Precedence, precedence
from projections.projection import Fact
from projections.store import Rows
from projections.tables import FOREVER, Row, Table

_DIRECTED = frozenset({"returned", "ruled", "taken_over"})


class CustodyRow(Row, gc=False, eq=False):
    """A unit's custody, from `opened` to `gone`, each by position and by UTC microseconds.

    directed_by: the directive that gave the leg, as division and event id, by which two that crossed are ordered.
    objection: the one that stands against the leg. ruler: the division that has to rule on the last one.
    """

    leg: UUID
    unit: str
    node: str
    mode: str
    from_leg: UUID | None
    directed_by: str | None
    objection: UUID | None
    ruler: str | None
    opened_pos: int
    opened_us: int
    gone_pos: int
    gone_us: int
    known_pos: int = 0
    void_pos: int = FOREVER


CUSTODY: Final = Table("custody", CustodyRow, key=("case_id", "opened_pos", "void_pos"))

CustodyEvent = events.LegOpened | events.TakenOver | events.ObjectionRuled


def node_of(unit: str) -> str:
    """The division of the node that an office works on: what stands before the dot."""
    return unit[:12]


def present(rows: Rows[CustodyRow], case_id: UUID | None) -> CustodyRow | None:
    """The interval that lasts, if any."""
    return next((row for row in rows.of(case_id) if row.gone_pos == FOREVER), None)


def last(rows: Rows[CustodyRow], case_id: UUID | None) -> CustodyRow | None:
    """The interval that lasts, or the one that ended last."""
    legs = rows.of(case_id)
    return present(rows, case_id) or (legs[-1] if legs else None)


def pass_on(rows: Rows[CustodyRow], fact: Fact, event: CustodyEvent) -> CustodyRow | None:
    """Custody after an event that may move it; the new interval, or None where it stays with who has it."""
    match event:
        case events.LegOpened():
            if event.node != node_of(event.unit):
                return None
            directed_by = f"{event.node}/None" if event.mode in _DIRECTED else None
            row = _row(fact.key, event.leg, event.unit, event.mode, event.from_leg, directed_by)
        case events.TakenOver():
            if event.node != node_of(event.unit):
                return None
            row = _row(fact.key, event.next_leg, event.unit, "taken_over", event.leg, f"{event.node}/{event.id}")
        case events.ObjectionRuled():
            if not _rule(rows, fact, event) or event.next_leg is None:
                return None
            mode = "returned" if event.by == "sender" else "ruled"
            row = _row(fact.key, event.next_leg, event.holder, mode, event.leg, f"{event.node}/{event.id}")
    row.opened_pos, row.opened_us = fact.pos, event.occurred_us
    return _open(rows, row)


def object_to(rows: Rows[CustodyRow], case_id: UUID, event: events.Objected) -> None:
    """Note who has to rule on the leg."""
    if (row := of_leg(rows, case_id, event.leg, event.node)) is not None:
        row.objection, row.ruler = event.id, event.ruler
        rows.touch(row)


def lapse(rows: Rows[CustodyRow], case_id: UUID, event: events.ObjectionLapsed) -> None:
    """The objection ended by silence."""
    row = of_leg(rows, case_id, event.leg, event.node)
    if row is not None and row.objection == event.objection:
        row.objection = None
        rows.touch(row)


def of_leg(rows: Rows[CustodyRow], case_id: UUID, leg: UUID, node: str | None = None) -> CustodyRow | None:
    """The latest interval of a leg; node: only if that is the node that writes it."""
    return next((row for row in rows.of(case_id)[::-1] if row.leg == leg and node in (None, row.node)), None)


def end(rows: Rows[CustodyRow], row: CustodyRow, pos: int, at_us: int) -> None:
    """Custody ends here: it passed on, or the case is closed."""
    if row.gone_pos == FOREVER:
        row.gone_pos, row.gone_us = pos, at_us
        rows.touch(row)


def reopen(rows: Rows[CustodyRow], ended: CustodyRow, pos: int, at_us: int) -> CustodyRow:
    """A claim raised after the case was closed: who closed it answers again."""
    row = _row(ended.case_id, ended.leg, ended.unit, ended.mode, ended.from_leg, ended.directed_by)
    row.opened_pos, row.opened_us = pos, at_us
    rows.add(row)
    return row


def _rule(rows: Rows[CustodyRow], fact: Fact, event: events.ObjectionRuled) -> bool:
    """Whether the ruling counts: one by a division that does not have to rule on that leg does not."""
    row = of_leg(rows, fact.key, event.leg)
    if row is None or row.ruler is None:
        return True
    if row.objection == event.objection and row.ruler == event.node:
        row.objection = None
        rows.touch(row)
    return row.ruler == event.node


def _open(rows: Rows[CustodyRow], row: CustodyRow) -> CustodyRow | None:
    legs = rows.of(row.case_id)
    if any(known.leg == row.leg for known in legs):
        return None
    path = _path(legs)
    if path:
        before = next((place for place, known in enumerate(path) if known.leg == row.from_leg), None)
        if before is None or not _displaces(row, path[before + 1 :]):
            return None
        end(rows, path[-1], row.opened_pos, row.opened_us)
    rows.add(row)
    return row


def _displaces(row: CustodyRow, followers: list[CustodyRow]) -> bool:
    """Whether a leg comes before those that already follow the leg it was opened from: see `Standing.successor`."""
    if not followers:
        return True
    if row.directed_by is None and followers[0].directed_by is None:
        return False
    return _precedence(row) < _precedence(followers[0])


def _precedence(row: CustodyRow) -> Precedence:
    division, _, directive = (row.directed_by or "").partition("/")
    return precedence(row.node, (division, directive) if division else None)


def _path(legs: list[CustodyRow]) -> list[CustodyRow]:
    """The lawful succession, from the first leg to the present or last one."""
    by_leg = {row.leg: row for row in legs}
    path: list[CustodyRow] = []
    step = next((row for row in legs if row.gone_pos == FOREVER), legs[-1] if legs else None)
    while step is not None and step not in path:
        path.insert(0, step)
        step = by_leg.get(step.from_leg) if step.from_leg is not None else None
    return path


def _row(case_id: UUID, leg: UUID, unit: str, mode: str, from_leg: UUID | None, directed_by: str | None) -> CustodyRow:
    return CustodyRow(
        case_id=case_id,
        leg=leg,
        unit=unit,
        node=node_of(unit),
        mode=mode,
        from_leg=from_leg,
        directed_by=directed_by,
        objection=None,
        ruler=None,
        opened_pos=0,
        opened_us=0,
        gone_pos=FOREVER,
        gone_us=FOREVER,
    )
