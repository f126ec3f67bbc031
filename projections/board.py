"""The board of an upper tier: how the units below handle what they hold, with denominators, down to single cases.

Units are compared on how they handle, never on how much is brought to them. A node that has been silent since
before a date ran out is shown as such: its silence is a reason to ring it up, and no lateness.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final, Literal
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from domain.limits import RuleId
from projections.board_fold import HEARD_STEP_US
from projections.duties import MUST, running
from projections.moment import Moment, began, believed, lasts
from projections.tables_postgres import LIVE

BOUNCES: Final = 2
"""So many objections, returns, rulings and take-overs make a bouncing case; handing over by itself makes none."""


class UnitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One unit at a moment. Every count stands beside what it is a part of.

    cases: it holds; bouncing: of these. duties: clocks running for it; overdue, due_soon, unheard: of these, each in
    one of them only. unheard: run out by the clock, but its node has been silent since before. orders: supervision
    orders it was ever given; unanswered: of these. stopped: clocks it stopped in the period; stopped_late: of these.
    heard_us: when its node was last heard of, null for never.
    """

    unit: str
    name: str | None
    node: str
    heard_us: int | None
    cases: int
    bouncing: int
    duties: int
    overdue: int
    due_soon: int
    unheard: int
    orders: int
    unanswered: int
    stopped: int
    stopped_late: int


class NodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A node below, and the time since which nothing is known of it; null where it was never heard of."""

    division: str
    name: str
    parent: str | None
    heard_us: int | None


class CaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """One case on the way from a unit's numbers to single events.

    rule, due_on, due_us: its most urgent clock that the question is about, if any. held_us: since when the unit
    has it.
    """

    case_id: UUID
    number: str | None
    category: str | None
    received_on: date | None
    unit: str
    held_us: int | None
    bounces: int
    rule: RuleId | None
    due_on: date | None
    due_us: int | None


class After(msgspec.Struct, frozen=True):
    """The last line of a page. rank_us: what the lines are ordered by."""

    rank_us: int
    case_id: UUID


class CasePage(msgspec.Struct, frozen=True):
    """Some lines, and where the rest begins, if there is more."""

    cases: list[CaseLine]
    next: After | None


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """Time past a due date that one unit answers for, because it held the case in it. UTC microseconds."""

    case_id: UUID
    subject: UUID
    rule: RuleId
    unit: str
    from_us: int
    to_us: int


About = Literal["cases", "bouncing", "duties", "overdue", "due_soon", "unheard", "unanswered"]


def subtree(conn: psycopg.Connection, division: str, at: Moment) -> list[NodeLine]:
    """The node itself and every node below it as enrolled, each with the time since which nothing is known of it."""
    query = f"""with recursive below as (
            select division, name, parent from {LIVE}.node where division = %(division)s
            union
            select n.division, n.name, n.parent from {LIVE}.node n join below on n.parent = below.division
        ), {_heard("select division from below")}
        select division, name, parent, heard_us from below left join heard on heard.node = division
        order by division"""
    with conn.cursor(row_factory=class_row(NodeLine)) as cursor:
        return cursor.execute(query, {"division": division} | at.values()).fetchall()


def units(conn: psycopg.Connection, nodes: Sequence[str], at: Moment, since_us: int) -> list[UnitLine]:
    """Every unit of these nodes by code, the quiet ones too. since_us: start of the period of `stopped`."""
    query = f"""with {_heard("select unnest(%(nodes)s::text[])")},
        held as ({_HELD}),
        clocks as (
            select r.unit, count(*) as duties,
                count(*) filter (where {_ABOUT["overdue"]}) as overdue,
                count(*) filter (where {_ABOUT["due_soon"]}) as due_soon,
                count(*) filter (where {_ABOUT["unheard"]}) as unheard,
                count(*) filter (where {_ABOUT["unanswered"]}) as unanswered
            from ({running(f"{MUST} and", f"{MUST} and")}) r
                left join heard on heard.node = left(r.unit, 12)
            group by r.unit
        ),
        cases as (
            select unit, count(*) as cases, count(*) filter (where {_BOUNCES} >= {BOUNCES}) as bouncing
            from held group by unit
        ),
        orders as (
            select d.unit, count(distinct d.subject) as orders from {LIVE}.duty d
            where d.node = any(%(nodes)s) and d.rule = 'supervision_reply' and {began("d")} group by d.unit
        ),
        done as (
            select unit, count(*) as stopped, count(*) filter (where gone_us > due_us) as stopped_late
            from ({_STOPPED}) s group by unit
        ),
        known as (
            select unit from {LIVE}.unit where node = any(%(nodes)s)
            union select unit from clocks union select unit from cases union select unit from orders
            union select unit from done
        )
        select unit, u.name, left(unit, 12) as node, heard.heard_us,
            {", ".join(f"coalesce({column}, 0) as {column}" for column in _COUNTS)}
        from known left join {LIVE}.unit u using (unit) left join heard on heard.node = left(unit, 12)
            left join clocks using (unit) left join cases using (unit) left join orders using (unit)
            left join done using (unit)
        order by unit"""
    with conn.cursor(row_factory=class_row(UnitLine)) as cursor:
        return cursor.execute(query, {"nodes": list(nodes), "since_us": since_us} | at.values()).fetchall()


def cases_of(
    conn: psycopg.Connection, unit: str, about: About, at: Moment, *, after: After | None = None, limit: int = 50
) -> CasePage:
    """The cases behind one number of a unit, the most urgent or longest held first. after: the last one shown."""
    is_held = about in {"cases", "bouncing"}
    query = f"""with {_heard("select left(%(unit)s, 12)")},
        held as ({_HELD} and c.unit = %(unit)s),
        clocks as (
            select distinct on (case_id) case_id, rule, due_on, due_us
            from ({running(f"{MUST} and d.unit = %(unit)s and", f"{MUST} and c.unit = %(unit)s and")}) r
                left join heard on heard.node = left(r.unit, 12)
            where {_ABOUT[about]} order by case_id, due_us
        ),
        lines as (
            select case_id, f.number, f.category, f.received_on, %(unit)s as unit, held.opened_us as held_us,
                {_BOUNCES} as bounces, clocks.rule, clocks.due_on, clocks.due_us,
                coalesce({"held.opened_us" if is_held else "clocks.due_us"}, 0) as rank_us
            from {"held left join clocks" if is_held else "clocks left join held"} using (case_id)
                left join {LIVE}.case_file f using (case_id)
        )
        select {", ".join(CaseLine.__struct_fields__)} from lines
        where (rank_us, case_id) > (%(rank_us)s, %(case_id)s) and bounces >= %(bounces)s
        order by rank_us, case_id limit %(limit)s"""
    values = {
        "unit": unit,
        "nodes": [unit[:12]],
        "limit": limit + 1,
        "bounces": BOUNCES if about == "bouncing" else 0,
        "rank_us": -1 if after is None else after.rank_us,
        "case_id": UUID(int=0) if after is None else after.case_id,
    }
    with conn.cursor(row_factory=class_row(CaseLine)) as cursor:
        found = cursor.execute(query, values | at.values()).fetchall()
    if len(found) <= limit:
        return CasePage(found, None)
    last = found[limit - 1]
    return CasePage(found[:limit], After((last.held_us if is_held else last.due_us) or 0, last.case_id))


def lateness(conn: psycopg.Connection, case_id: UUID, at: Moment) -> list[Lateness]:
    """Who held a case on each of its late days, clock by clock; one without a unit is cut where custody passed on."""
    stands = f"d.case_id = %(case_id)s and {MUST} and {began('d')} and d.due_us < %(as_of_us)s and ({_STANDS})"
    query = f"""select * from (
            select d.case_id, d.subject, d.rule, d.unit, d.due_us as from_us, {_end("d")} as to_us
            from {LIVE}.duty d where d.unit is not null and {stands}
            union all
            select d.case_id, d.subject, d.rule, c.unit,
                greatest(d.due_us, c.opened_us), least({_end("d")}, {_end("c")})
            from {LIVE}.duty d join {LIVE}.custody c on c.case_id = d.case_id and {began("c", "opened")}
            where d.unit is null and {stands}
        ) late where to_us > from_us order by subject, rule, from_us"""
    with conn.cursor(row_factory=class_row(Lateness)) as cursor:
        return cursor.execute(query, {"case_id": case_id} | at.values()).fetchall()


def total(lines: Iterable[UnitLine]) -> dict[str, int]:
    """The counts of several units added up, such as of a subtree."""
    summed = dict.fromkeys(_COUNTS, 0)
    for line in lines:
        for column in _COUNTS:
            summed[column] += getattr(line, column)
    return summed


_COUNTS: Final = (
    "cases",
    "bouncing",
    "duties",
    "overdue",
    "due_soon",
    "unheard",
    "orders",
    "unanswered",
    "stopped",
    "stopped_late",
)

_SILENT = "(heard.is_own is not true and (heard.heard_us is null or heard.heard_us < r.due_us))"
_ABOUT: Final[dict[About, str]] = {
    "cases": "true",
    "bouncing": "true",
    "duties": "true",
    "overdue": f"r.due_us <= %(as_of_us)s and not {_SILENT}",
    "unheard": f"r.due_us <= %(as_of_us)s and {_SILENT}",
    "due_soon": "r.due_us > %(as_of_us)s and r.soon_us <= %(as_of_us)s",
    "unanswered": "r.rule = 'supervision_reply'",
}

_HELD: Final = f"""select c.case_id, c.unit, c.opened_us from {LIVE}.custody c
    where c.node = any(%(nodes)s) and {lasts("c", "opened")}"""

_BOUNCES: Final = f"""(select count(*) from {LIVE}.dispute x
    where x.case_id = held.case_id and x.kind in ('objected', 'returned', 'ruled', 'taken_over')
        and {believed("x")} and x.pos <= %(pos)s and x.at_us <= %(as_of_us)s)"""

# The unit that held the case when a clock of whoever holds it was stopped: custody that ends with the same
# event still counts.
_STOPPED: Final = f"""select d.unit, d.gone_us, d.due_us from {LIVE}.duty d
    where {MUST} and d.node = any(%(nodes)s) and d.is_stopped and d.gone_us > %(since_us)s
        and d.gone_us <= %(as_of_us)s and d.gone_pos <= %(pos)s and {believed("d")}
    union all
    select c.unit, d.gone_us, d.due_us from {LIVE}.duty d
    join {LIVE}.custody c on c.case_id = d.case_id and c.opened_pos < d.gone_pos and c.gone_pos >= d.gone_pos
    where {MUST} and d.node is null and d.is_stopped and d.gone_us > %(since_us)s
        and d.gone_us <= %(as_of_us)s and d.gone_pos <= %(pos)s and c.node = any(%(nodes)s)
        and {believed("d")} and {believed("c")}"""


def _heard(nodes: str) -> str:
    """SQL: when each of these nodes was last heard of at the moment; within a step of ten minutes, its beginning."""
    return f"""heard as (
        select o.node, bool_or(o.is_own) as is_own, max(h.heard_us) as heard_us
        from {LIVE}.origin o left join lateral (
            select case when last_pos <= %(pos)s then last_known_us else step * {HEARD_STEP_US} end as heard_us
            from {LIVE}.heard where log_id = o.log_id and first_pos <= %(pos)s order by step desc limit 1
        ) h on true
        where o.node in ({nodes}) group by o.node
    )"""


# It was stopped, and not only replaced by a newer version; or it still ran at the moment.
_STANDS: Final = "d.is_stopped or d.gone_pos > %(pos)s or d.gone_us > %(as_of_us)s"


def _end(table: str) -> str:
    return f"case when {table}.gone_pos <= %(pos)s then least({table}.gone_us, %(as_of_us)s) else %(as_of_us)s end"
