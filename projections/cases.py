"""The case ledger: one row per case as it stands, found by filters; and the names of nodes and units."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row

from projections.case_rows import CaseRow, Status
from projections.custody import node_of
from projections.tables_postgres import LIVE

COUNT_LIMIT: Final = 10_000
"""Counting stops here: a page says "more than 10,000" at once instead of an exact number later."""


class CaseFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a page asks for; null means any. Nothing in it is text that a citizen wrote.

    category: six digits, or their first two or four. nodes: several at once, such as a subtree.
    """

    matter_class: str | None = None
    category: str | None = None
    issue_region: str | None = None
    holder_unit: str | None = None
    holder_nodes: tuple[str, ...] | None = None
    filing_node: str | None = None
    status: Status | None = None
    received_from: date | None = None
    received_to: date | None = None
    number: str | None = None


class After(msgspec.Struct, frozen=True):
    """Where the next page begins: the last case of this one."""

    received_on: date
    case_id: UUID


class CasePage(msgspec.Struct, frozen=True, kw_only=True):
    """Cases, last received first. next: null on the last page. count: of all pages, capped at COUNT_LIMIT + 1."""

    cases: list[CaseRow]
    next: After | None
    count: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node by name; parent: its superior's division, null at the root."""

    division: str
    name: str
    parent: str | None


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """An office by name, and the division of its node."""

    unit: str
    name: str
    node: str


def find(conn: psycopg.Connection, wanted: CaseFilter, *, after: After | None = None, limit: int = 50) -> CasePage:
    """The cases that match, last received first, `limit` at a time, with their number over all pages."""
    conditions, values = _conditions(wanted)
    beyond = ["(received_on, case_id) < (%s, %s)"] if after is not None else []
    place = [after.received_on, after.case_id] if after is not None else []
    with conn.cursor(row_factory=class_row(CaseRow)) as cursor:
        cursor.execute(
            f"select {_COLUMNS} from {LIVE}.case_file {_where([*conditions, *beyond])} "
            "order by received_on desc, case_id desc limit %s",
            [*values, *place, limit + 1],
        )
        found = cursor.fetchall()
    cases = found[:limit]
    following = After(cases[-1].received_on, cases[-1].case_id) if len(found) > limit else None
    return CasePage(cases=cases, next=following, count=count(conn, wanted))


def count(conn: psycopg.Connection, wanted: CaseFilter) -> int:
    """How many cases match; COUNT_LIMIT + 1 stands for more than COUNT_LIMIT."""
    conditions, values = _conditions(wanted)
    row = conn.execute(
        f"select count(*) from (select 1 from {LIVE}.case_file {_where(conditions)} limit {COUNT_LIMIT + 1}) found",
        values,
    ).fetchone()
    return int(row[0]) if row else 0


def case(conn: psycopg.Connection, case_id: UUID) -> CaseRow | None:
    """One case as it stands, or None where this node never learned its registration."""
    with conn.cursor(row_factory=class_row(CaseRow)) as cursor:
        return cursor.execute(f"select {_COLUMNS} from {LIVE}.case_file where case_id = %s", (case_id,)).fetchone()


def nodes(conn: psycopg.Connection) -> list[Node]:
    """Every node known here, by division."""
    with conn.cursor(row_factory=class_row(Node)) as cursor:
        return cursor.execute(f"select division, name, parent from {LIVE}.node order by division").fetchall()


def units(conn: psycopg.Connection, node: str | None = None) -> list[Unit]:
    """The offices of one node, or of all, by code."""
    with conn.cursor(row_factory=class_row(Unit)) as cursor:
        return cursor.execute(
            f"select unit, name, node from {LIVE}.unit where %s::text is null or node = %s order by unit", (node, node)
        ).fetchall()


_COLUMNS = ", ".join(CaseRow.__struct_fields__)
_EXACT = ("matter_class", "issue_region", "holder_unit", "filing_node", "status", "number")


def _conditions(wanted: CaseFilter) -> tuple[list[str], list[Any]]:
    found: list[tuple[str, Any]] = [
        (f"{column} = %s", value) for column in _EXACT if (value := getattr(wanted, column)) is not None
    ]
    if wanted.holder_unit is not None:
        found.append(("holder_node = %s", node_of(wanted.holder_unit)))
    if wanted.holder_nodes is not None:
        found.append(("holder_node = any(%s)", list(wanted.holder_nodes)))
    if wanted.category is not None:
        found += [("category >= %s", wanted.category), ("category < %s", f"{wanted.category}:")]
    if wanted.received_from is not None:
        found.append(("received_on >= %s", wanted.received_from))
    if wanted.received_to is not None:
        found.append(("received_on <= %s", wanted.received_to))
    return [condition for condition, _ in found], [value for _, value in found]


def _where(conditions: Sequence[str]) -> str:
    return f"where {' and '.join(conditions)}" if conditions else ""
