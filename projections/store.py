"""The rows of one projection while events are folded: loaded by case, changed in memory, written together."""

from collections.abc import Iterable, Sequence
from datetime import date
from importlib.resources import files
from types import NoneType
from typing import Any, Final, Generic, TypeVar, cast, get_args, get_type_hints
from uuid import UUID

import msgspec
import psycopg

LIVE: Final = "views"
"""The schema that pages and API read."""

FOREVER: Final = 2**63 - 1
"""Stands in `gone_pos` and `gone_us` of whatever has not ended yet, so that one comparison answers for both."""

_TYPES: Final = {UUID: "uuid", int: "bigint", str: "text", bool: "boolean", date: "date"}


class Row(msgspec.Struct, gc=False, eq=False):
    """One row of a table, its fields in the order of the columns. Mutable, because a fold is its only owner."""

    case_id: UUID


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """A table of rows by case, as `projections/sql/<name>.sql` makes it.

    row: the Struct whose fields are the columns in order. key: columns of its unique index. live: SQL saying
    which rows a fold still needs; only these are ever loaded, so that a long case costs no more than a short one.
    has_history: rows with `known_pos` and `void_pos` are believed from the one position up to the other, by what
    this node had learned of what has effect; a fold sees those only that are believed now.
    """

    def __init__(self, name: str, row: type[R], *, key: tuple[str, ...], live: str = "true") -> None:
        self.name = name
        self.row = row
        self._key = key
        self._columns = row.__struct_fields__
        self.has_history = "void_pos" in self._columns
        self._believed = f"void_pos = {FOREVER}" if self.has_history else "true"
        self._live = f"{live} and {self._believed}"
        hints = get_type_hints(row)
        self.types = [_sql_type(hints[column]) for column in self._columns]

    def select(self, schema: str) -> str:
        """Rows of the given cases that can still change."""
        columns = ", ".join(self._columns)
        return (
            f"select {columns} from {schema}.{self.name} where case_id = any(%s) and {self._live} "
            f"order by {', '.join(self._key)}"
        )

    def believed(self, conn: psycopg.Connection, schema: str, case_id: UUID) -> list[R]:
        """The rows of a case that are believed now, also those that a fold no longer needs."""
        columns = ", ".join(self._columns)
        query = f"select {columns} from {schema}.{self.name} where case_id = %s and {self._believed}"
        with conn.cursor(binary=True) as cursor:
            return [self.row(*values) for values in cursor.execute(query, (case_id,))]

    def forget(self, conn: psycopg.Connection, schema: str, case_id: UUID) -> None:
        """Delete the rows that `believed` gives."""
        conn.execute(f"delete from {schema}.{self.name} where case_id = %s and {self._believed}", (case_id,))

    def copy(self, schema: str) -> str:
        """Rows that are known to be new, streamed."""
        return f"copy {schema}.{self.name} ({', '.join(self._columns)}) from stdin (format binary)"

    def upsert(self, schema: str) -> str:
        """Rows that are known to be there, handed over as one array per column."""
        values = ", ".join(f"{column} = excluded.{column}" for column in self._columns if column not in self._key)
        arrays = ", ".join(f"%b::{kind}[]" for kind in self.types)
        return (
            f"insert into {schema}.{self.name} ({', '.join(self._columns)}) select * from unnest({arrays}) "
            f"on conflict ({', '.join(self._key)}) do update set {values}"
        )


class Rows(Generic[R]):
    """The rows of one table that a fold has loaded or made."""

    def __init__(self, table: Table[R]) -> None:
        self.table = table
        self._live: dict[int, list[R]] = {}  # by UUID.int, whose hash is not Python code
        self._new: list[R] = []
        self._changed: dict[int, R] = {}
        self._stored: dict[int, R] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._stored)

    def of(self, case_id: UUID | None) -> list[R]:
        """The rows of a case that a fold still needs, oldest first."""
        return self._live.get(case_id.int, []) if case_id is not None else []

    def every(self) -> list[R]:
        """All rows in memory that `of` would give."""
        return [row for rows in self._live.values() for row in rows]

    def add(self, row: R) -> None:
        """A row that the database does not hold and that `of` shall give."""
        self._live.setdefault(row.case_id.int, []).append(row)
        self._new.append(row)

    def append(self, row: R) -> None:
        """A row that the database does not hold and that never changes."""
        self._new.append(row)

    def touch(self, row: R) -> None:
        """Note that `row` was changed in place."""
        if id(row) in self._stored:
            self._changed[id(row)] = row

    def retire(self, row: R) -> None:
        """Note that `row` was changed for the last time."""
        self.touch(row)
        self._live[row.case_id.int].remove(row)

    def load(self, conn: psycopg.Connection, schema: str, cases: list[UUID]) -> None:
        """Fetch what can still change of `cases`, none of which was loaded before."""
        with conn.cursor(binary=True) as cursor:
            for values in cursor.execute(self.table.select(schema), (cases,)):
                row = self.table.row(*values)
                self._live.setdefault(row.case_id.int, []).append(row)
                self._stored[id(row)] = row

    def write(self, conn: psycopg.Connection, schema: str) -> None:
        """Write what is new or changed, and forget everything."""
        if self._new:
            with conn.cursor() as cursor, cursor.copy(self.table.copy(schema)) as copy:
                copy.set_types(self.table.types)
                for row in self._new:
                    copy.write_row(msgspec.structs.astuple(row))
        if self._changed:
            rows = map(msgspec.structs.astuple, self._changed.values())
            conn.execute(self.table.upsert(schema), [list(column) for column in zip(*rows, strict=True)])
        self._live, self._new, self._changed, self._stored = {}, [], {}, {}


class Store:
    """The tables of one projection in one schema, for the length of a batch or, while rebuilding, of a memory full.

    empty: the tables hold no rows yet, so what is not in memory is nowhere.
    only: the one case that a fold may touch, in a retry.
    """

    def __init__(
        self,
        conn: psycopg.Connection,
        schema: str,
        tables: Sequence[Table[Any]],
        *,
        empty: bool = False,
        only: UUID | None = None,
    ) -> None:
        self.conn = conn
        self.schema = schema
        self.only = only
        self._rows: dict[str, Rows[Any]] = {table.name: Rows(table) for table in tables}
        self._cases: set[int] = set()  # as UUID.int, like the keys of `Rows`
        self._all_in_memory = empty

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def rows(self, table: Table[R]) -> Rows[R]:
        """The rows of `table`."""
        return cast("Rows[R]", self._rows[table.name])

    def load(self, cases: Iterable[UUID | None]) -> None:
        """Make every row that a fold may need of `cases` available in `rows(...).of`."""
        if self._all_in_memory:
            return
        asked = {case_id.int: case_id for case_id in cases if case_id is not None}
        missing = [case_id for number, case_id in asked.items() if number not in self._cases]
        if missing:
            for rows in self._rows.values():
                rows.load(self.conn, self.schema, missing)
            self._cases |= asked.keys()

    def flush(self) -> None:
        """Write everything and forget it, so that memory stays bounded."""
        for rows in self._rows.values():
            rows.write(self.conn, self.schema)
        self._cases.clear()
        self._all_in_memory = False


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


def table_script(name: str) -> bytes:
    """The SQL that makes a table and its indexes."""
    return (files("projections") / "sql" / f"{name}.sql").read_bytes()


def _statements(name: str) -> list[bytes]:
    return [part for part in table_script(name).split(b";\n") if part.strip()]


def _sql_type(hint: Any) -> str:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] or [hint]
    return "text" if isinstance(kinds[0], str) else _TYPES[kinds[0]]  # the words of a Literal
