"""The tables of the views in PostgreSQL: how they are made, and the statements that read and write their rows."""

from datetime import date
from functools import cache
from importlib.resources import files
from types import NoneType
from typing import Any, Final, get_args, get_type_hints
from uuid import UUID

import psycopg

from projections.tables import Live, Shared, Table

LIVE: Final = "views"
"""The schema that pages and API read."""
BESIDE: Final = "views_beside"
"""The schema that a rebuild fills. One rebuild at a time; what a broken one left is dropped by the next."""

_TYPES: Final = {UUID: "uuid", int: "bigint", str: "text", bool: "boolean", date: "date"}


@cache
def column_types(table: Table[Any] | Shared[Any]) -> list[str]:
    """The type of each column, in order."""
    hints = get_type_hints(table.row)
    return [_sql_type(hints[column]) for column in table.columns]


@cache
def select_needed(schema: str, table: Table[Any]) -> str:
    """Rows of the given cases that can still change."""
    live = "false" if table.live is None else _all_of(table.live)
    return (
        f"select {', '.join(table.columns)} from {schema}.{table.name} where case_id = any(%s) and {live} "
        f"order by {', '.join(table.key)}"
    )


@cache
def select_believed(schema: str, table: Table[Any]) -> str:
    """Rows of one case that are believed now."""
    return (
        f"select {', '.join(table.columns)} from {schema}.{table.name} "
        f"where case_id = %s and {_all_of(table.believed)} order by {', '.join(table.key)}"
    )


@cache
def delete_believed(schema: str, table: Table[Any]) -> str:
    """The rows that `select_believed` gives."""
    return f"delete from {schema}.{table.name} where case_id = %s and {_all_of(table.believed)}"


@cache
def copy_new(schema: str, table: Table[Any]) -> str:
    """Rows that are known to be new, streamed."""
    return f"copy {schema}.{table.name} ({', '.join(table.columns)}) from stdin (format binary)"


@cache
def upsert(schema: str, table: Table[Any]) -> str:
    """Rows that are known to be there, handed over as one array per column."""
    values = ", ".join(f"{column} = excluded.{column}" for column in table.columns if column not in table.key)
    return f"{_insert_arrays(schema, table)} do update set {values}"


@cache
def merge(schema: str, table: Shared[Any]) -> str:
    """Rows of different keys, handed over as one array per column, taken in as their table says."""
    if table.newest is not None:
        values = ", ".join(f"{column} = excluded.{column}" for column in table.columns if column not in table.key)
        newer = f"excluded.{table.newest} > known.{table.newest}"
        return f"{_insert_arrays(schema, table)} do update set {values} where {newer}"
    kept = [f"{column} = least(known.{column}, excluded.{column})" for column in table.least]
    kept += [f"{column} = greatest(known.{column}, excluded.{column})" for column in table.greatest]
    return f"{_insert_arrays(schema, table)} do {'update set ' + ', '.join(kept) if kept else 'nothing'}"


@cache
def select_every(schema: str, table: Shared[Any]) -> str:
    """Every row."""
    return f"select {', '.join(table.columns)} from {schema}.{table.name} order by {', '.join(table.key)}"


def create(conn: psycopg.Connection, schema: str, name: str, *, indexed: bool = True) -> None:
    """Make table `name` in `schema` unless it is there; indexed=False leaves out what `add_indexes` adds."""
    conn.execute(f"create schema if not exists {schema}")
    if conn.execute("select to_regclass(%s)", (f"{schema}.{name}",)).fetchone() == (None,):
        conn.execute(f"set local search_path to {schema}")
        conn.execute(_statements(name)[0])
        conn.execute("set local search_path to default")
        if indexed:
            add_indexes(conn, schema, name)


def add_indexes(conn: psycopg.Connection, schema: str, name: str) -> None:
    """Make the indexes of a table that was created without them, and let the planner know its rows."""
    conn.execute(f"set local search_path to {schema}")
    for statement in _statements(name)[1:]:
        conn.execute(statement)
    conn.execute(f"analyze {name}")
    conn.execute("set local search_path to default")


def key_columns(conn: psycopg.Connection, schema: str, name: str) -> list[str]:
    """The columns of the table's unique index."""
    cursor = conn.execute(
        """select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
           where indrelid = %s::regclass and indisunique order by attnum""",
        (f"{schema}.{name}",),
    )
    return [name for (name,) in cursor]


def table_script(name: str) -> bytes:
    """The SQL that makes a table and its indexes."""
    return (files("projections") / "sql" / f"{name}.sql").read_bytes()


def _statements(name: str) -> list[bytes]:
    return [part for part in table_script(name).split(b";\n") if part.strip()]


def _insert_arrays(schema: str, table: Table[Any] | Shared[Any]) -> str:
    arrays = ", ".join(f"%b::{kind}[]" for kind in column_types(table))
    return (
        f"insert into {schema}.{table.name} as known ({', '.join(table.columns)}) select * from unnest({arrays}) "
        f"on conflict ({', '.join(table.key)})"
    )


def _all_of(conditions: Live) -> str:
    return " and ".join(f"{column} = {str(value).lower()}" for column, value in conditions) or "true"


def _sql_type(hint: Any) -> str:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] or [hint]
    return "text" if isinstance(kinds[0], str) else _TYPES[kinds[0]]  # the words of a Literal
