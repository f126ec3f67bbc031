"""What each unit has to do by when: its running clocks at any moment, with their colour."""

from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from domain.clocks import Colour, Stage, colour, stage
from domain.limits import OPTIONS, RuleId
from projections.custody import node_of
from projections.moment import Moment, lasts
from projections.tables_postgres import LIVE


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """One running clock. unit: who answers at the moment asked; null where this node does not know who holds the case.

    due_on: the last day in China. due_us: its end, exclusive. soon_us, promise_us: see `domain.clocks.Deadline`.
    provisional: a holiday notice still to come may move it. number, matter_class, category: the case's; null where its
    registration is not known here. With rule, start_us, fixed and extra_days, `domain.clocks.due` prints how it was
    computed.
    """

    case_id: UUID
    number: str | None
    matter_class: str | None
    category: str | None
    subject: UUID
    rule: RuleId
    leg: UUID | None
    unit: str | None
    start_us: int
    fixed: date | None
    extra_days: int
    due_on: date
    due_us: int
    soon_us: int
    promise_us: int | None
    provisional: bool
    set_pos: int

    def stage(self, now_us: int) -> Stage:
        """running, due_soon, due or overdue at `now_us`."""
        return stage(self, now_us)

    def colour(self, now_us: int) -> Colour:
        """green, yellow or red at `now_us`."""
        return colour(self, now_us)


def of_unit(conn: psycopg.Connection, unit: str, at: Moment, *, limit: int = 200) -> list[Duty]:
    """The clocks that run for a unit, the soonest due first: its own, and those of the cases that it holds."""
    found = running("d.unit = %(unit)s and", "c.unit = %(unit)s and")
    query = f"{found} order by due_us, subject, rule limit %(limit)s"
    return _duties(conn, query, {"nodes": [node_of(unit)], "unit": unit, "limit": limit} | at.values())


def of_case(conn: psycopg.Connection, case_id: UUID, at: Moment) -> list[Duty]:
    """The clocks that run in a case, the soonest due first."""
    query = f"""select {_columns("coalesce(d.unit, c.unit)")} from {LIVE}.duty d
        left join {LIVE}.case_file f on f.case_id = d.case_id
        left join {LIVE}.custody c on c.case_id = d.case_id and {lasts("c", "opened")}
        where d.case_id = %(case_id)s and {_RUNS} order by due_us, subject, rule"""
    return _duties(conn, query, {"case_id": case_id} | at.values())


_OPTIONS: Final = ", ".join(f"'{rule}'" for rule in sorted(OPTIONS))
MUST: Final = f"d.rule not in ({_OPTIONS})"
"""SQL: clock `d` is a duty, and not only a period in which its unit may do something."""

_RUNS: Final = f"{lasts('d')} and ({MUST} or d.due_us > %(as_of_us)s)"


def running(own: str = "", held: str = "") -> str:
    """SQL: the clocks that run at the moment for units of %(nodes)s: their own, and of the cases that they hold.

    own, held: further conditions on duty `d` and on custody `c`, ending in `and`.
    """
    return f"""select {_columns("d.unit")} from {LIVE}.duty d
        left join {LIVE}.case_file f on f.case_id = d.case_id
        where {own} d.node = any(%(nodes)s) and {_RUNS}
        union all
        select {_columns("c.unit")} from {LIVE}.custody c
        join {LIVE}.duty d on d.case_id = c.case_id and d.unit is null and {_RUNS}
        left join {LIVE}.case_file f on f.case_id = d.case_id
        where {held} c.node = any(%(nodes)s) and {lasts("c", "opened")}"""


def _columns(unit: str) -> str:
    own = {name: f"f.{name}" for name in ("number", "matter_class", "category")} | {"unit": unit}
    return ", ".join(f"{own.get(name, f'd.{name}')} as {name}" for name in Duty.__struct_fields__)


def _duties(conn: psycopg.Connection, query: str, values: dict[str, Any]) -> list[Duty]:
    with conn.cursor(row_factory=class_row(Duty)) as cursor:
        return cursor.execute(query, values).fetchall()
