"""The views in PostgreSQL: one schema a side, over one connection."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg

from projections import tables_postgres as sql
from projections.tables import FOREVER, R, S, Shared, Table
from projections.tables_postgres import BESIDE, LIVE
from projections.views import Difference, ParkedKey, RebuildBusy, Waiting

_SWAP_LIMIT: Final = "10s"


class PostgresViews:
    """See `projections.views.Views`. conn: autocommit, and nobody else's meanwhile."""

    def __init__(self, conn: psycopg.Connection[Any], schema: str = LIVE) -> None:
        self.conn = conn
        self._schema = schema

    @property
    def beside(self) -> "PostgresViews":
        """In the other schema."""
        return PostgresViews(self.conn, BESIDE)

    def transaction(self) -> AbstractContextManager[object]:
        """A savepoint, where one has begun."""
        return self.conn.transaction()

    @contextmanager
    def steady(self) -> Iterator[None]:
        """By its isolation level."""
        with self.conn.transaction():
            self.conn.execute("set transaction isolation level repeatable read")
            yield

    @contextmanager
    def swapping(self) -> Iterator[None]:
        """Raises psycopg.errors.LockNotAvailable where readers hold a table for longer than ten seconds."""
        with self.conn.transaction():
            self.conn.execute(f"set local lock_timeout = '{_SWAP_LIMIT}'")
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """By a lock that the server gives back should the connection end."""
        key = "hashtext('huiyin.rebuild')"
        if self.conn.execute(f"select pg_try_advisory_lock({key})").fetchone() != (True,):
            raise RebuildBusy
        try:
            yield
        finally:
            self.conn.execute(f"select pg_advisory_unlock({key})")

    def is_poison(self, error: Exception) -> bool:
        """A program limit (SQLSTATE class 54, such as a text too long for an index) is an OperationalError by name."""
        by_event = psycopg.DataError | psycopg.IntegrityError | psycopg.errors.CardinalityViolation
        if not isinstance(error, psycopg.Error) or isinstance(error, by_event):
            return True
        return (error.sqlstate or "").startswith("54")

    def lay_out(self) -> None:
        """What the views are followed by, and what the judge's word is asked of whichever views are kept."""
        self.conn.execute("select pg_advisory_xact_lock(hashtext('huiyin.projections'))")
        for name in ("position", "parked", "skipped", "without_effect"):
            sql.create(self.conn, self._schema, name)

    def layout(self, tables: Sequence[str]) -> bytes:
        """The text of the scripts that make them."""
        return b"".join(map(sql.table_script, tables))

    def shape(self, projection: str) -> str | None:
        """As stored."""
        row = self._row("select shape from {schema}.position where projection = %s", projection)
        return None if row is None else str(row[0])

    def make_anew(self, projection: str, tables: Sequence[str], shape: str) -> None:
        """The tables as this program makes them."""
        for name in tables:
            self.conn.execute(f"drop table if exists {self._schema}.{name}")
            sql.create(self.conn, self._schema, name)
        self._do("delete from {schema}.parked where projection = %s", projection)
        self._do(
            "insert into {schema}.position values (%s, 0, %s) "
            "on conflict (projection) do update set pos = 0, shape = excluded.shape",
            projection,
            shape,
        )

    def positions(self, projections: Sequence[str], *, lock: bool = False) -> dict[str, int]:
        """Locked row by row, in order of name."""
        rows = self._rows(
            "select projection, pos from {schema}.position where projection = any(%s) order by projection"
            + (" for update" if lock else ""),
            list(projections),
        )
        return dict(rows)

    def move(self, projections: Sequence[str], pos: int) -> None:
        """In one statement."""
        self._do(
            "update {schema}.position set pos = %s where projection = any(%s) and pos < %s", pos, list(projections), pos
        )

    def needed(self, table: Table[R], case_ids: Sequence[UUID]) -> list[R]:
        """In binary."""
        with self.conn.cursor(binary=True) as cursor:
            found = cursor.execute(sql.select_needed(self._schema, table), (case_ids,))
            return [table.row(*values) for values in found]

    def believed(self, table: Table[R], case_id: UUID) -> list[R]:
        """In binary."""
        with self.conn.cursor(binary=True) as cursor:
            found = cursor.execute(sql.select_believed(self._schema, table), (case_id,))
            return [table.row(*values) for values in found]

    def forget(self, table: Table[R], case_id: UUID) -> None:
        """In one statement."""
        self.conn.execute(sql.delete_believed(self._schema, table), (case_id,))

    def clear(self, table: Table[R], case_id: UUID) -> None:
        """In one statement."""
        self.conn.execute(f"delete from {self._schema}.{table.name} where case_id = %s", (case_id,))

    def add(self, table: Table[R], rows: Sequence[R]) -> None:
        """By COPY."""
        with self.conn.cursor() as cursor, cursor.copy(sql.copy_new(self._schema, table)) as copy:
            copy.set_types(sql.column_types(table))
            for row in rows:
                copy.write_row(msgspec.structs.astuple(row))

    def change(self, table: Table[R], rows: Sequence[R]) -> None:
        """One array per column."""
        self.conn.execute(sql.upsert(self._schema, table), _columns(rows))

    def merge(self, table: Shared[S], rows: Sequence[S]) -> None:
        """One array per column."""
        self.conn.execute(sql.merge(self._schema, table), _columns(rows))

    def every(self, table: Shared[S]) -> list[S]:
        """In binary."""
        with self.conn.cursor(binary=True) as cursor:
            return [table.row(*values) for values in cursor.execute(sql.select_every(self._schema, table))]

    def cases_with_clocks(self, since: date) -> list[UUID]:
        """Of the table `duty`."""
        rows = self._rows(
            "select distinct case_id from {schema}.duty "
            f"where gone_pos = {FOREVER} and (provisional or due_on >= %s) order by case_id",
            since,
        )
        return [case_id for (case_id,) in rows]

    def waiting(self, projection: str, keys: Sequence[UUID] | None = None) -> dict[UUID, int]:
        """In binary: this is asked before every batch."""
        query = f"""select key, min(pos) from {self._schema}.parked
            where projection = %s and (%s or key = any(%s)) group by key"""
        with self.conn.cursor(binary=True) as cursor:
            return dict(cursor.execute(query, (projection, keys is None, list(keys or ()))))

    def park(self, projection: str, waiting: Waiting) -> None:
        """One row."""
        self._do(
            "insert into {schema}.parked (projection, pos, key, topic, reason, known_us) values (%s,%s,%s,%s,%s,%s)",
            projection,
            waiting.pos,
            waiting.key,
            waiting.topic,
            waiting.reason,
            waiting.known_us,
        )

    def unpark(self, projection: str, key: UUID) -> list[int]:
        """In one statement."""
        rows = self._rows(
            "delete from {schema}.parked where projection = %s and key = %s returning pos", projection, key
        )
        return sorted(pos for (pos,) in rows)

    def unpark_first(self, projection: str, key: UUID) -> Waiting | None:
        """In one statement."""
        row = self._row(
            "delete from {schema}.parked where projection = %s and pos = "
            "(select min(pos) from {schema}.parked where projection = %s and key = %s) "
            "returning pos, key, topic, reason, known_us",
            projection,
            projection,
            key,
        )
        return None if row is None else Waiting(**dict(zip(Waiting.__struct_fields__, row, strict=True)))

    def parked(self) -> list[ParkedKey]:
        """Counted by the database."""
        rows = self._rows(
            """select distinct on (projection, key) projection, key, pos, topic, reason, known_us,
                      count(*) over (partition by projection, key)
               from {schema}.parked order by projection, key, pos"""
        )
        names = ParkedKey.__struct_fields__
        found = [ParkedKey(**dict(zip(names, row, strict=True))) for row in rows]
        return sorted(found, key=lambda each: (each.since_us, each.pos))

    def skip(self, projection: str, skipped: Waiting, account: UUID) -> None:
        """Beside the views, where no rebuild reaches it."""
        self.conn.execute(
            f"insert into {LIVE}.skipped (projection, pos, key, topic, reason, account) values (%s,%s,%s,%s,%s,%s)",
            (projection, skipped.pos, skipped.key, skipped.topic, skipped.reason, account),
        )

    def skipped(self, projection: str) -> frozenset[int]:
        """By projection."""
        rows = self.conn.execute(f"select pos from {LIVE}.skipped where projection = %s", (projection,))
        return frozenset(pos for (pos,) in rows)

    def judged(
        self, judge: str, first_pos: int, last_pos: int, judged_at: int | None
    ) -> tuple[set[int], dict[int, UUID]]:
        """In one question, which is asked for every batch of every view."""
        found = self.conn.execute(
            f"""select pos, null::uuid from {LIVE}.without_effect
                where pos between %(first)s and %(last)s and decided_pos <= coalesce(%(judged_at)s::bigint, pos)
                    and gone_pos > coalesce(%(judged_at)s::bigint, pos) union all
                select pos, null::uuid from {LIVE}.skipped
                where projection = %(name)s and pos between %(first)s and %(last)s union all
                select pos, key from {LIVE}.parked
                where projection = %(name)s and pos between %(first)s and %(last)s""",
            {"name": judge, "first": first_pos, "last": last_pos, "judged_at": judged_at},
        ).fetchall()
        return {pos for pos, key in found if key is None}, {pos: key for pos, key in found if key is not None}

    def decided(self, first_pos: int, last_pos: int, case_id: UUID | None) -> list[tuple[int, UUID]]:
        """What has lost its effect, and what has it again."""
        return self.conn.execute(
            f"""select decided_pos, case_id from {LIVE}.without_effect
                where decided_pos between %(first)s and %(last)s and pos < decided_pos
                    and (%(case_id)s::uuid is null or case_id = %(case_id)s) union
                select gone_pos, case_id from {LIVE}.without_effect
                where gone_pos between %(first)s and %(last)s and (%(case_id)s::uuid is null or case_id = %(case_id)s)
                order by 1""",
            {"first": first_pos, "last": last_pos, "case_id": case_id},
        ).fetchall()

    def begin(self, projection: str, tables: Sequence[str]) -> None:
        """The indexes are left out, so that many rows come in quickly."""
        self.drop()
        for name in ("position", "parked"):
            sql.create(self.conn, self._schema, name)
        for name in tables:
            sql.create(self.conn, self._schema, name, indexed=False)
        self._do("insert into {schema}.position values (%s, 0, '')", projection)

    def index(self, tables: Sequence[str]) -> None:
        """With the memory that it takes."""
        self.conn.execute("set local maintenance_work_mem = '256MB'")
        for name in tables:
            sql.add_indexes(self.conn, self._schema, name)

    def drop(self) -> None:
        """With its schema."""
        self.conn.execute(f"drop schema if exists {self._schema} cascade")

    def difference(self, projection: str, table: str) -> Difference | None:
        """Compare by digest; only where it differs, row by row."""
        here, beside = f"{self._schema}.{table}", f"{BESIDE}.{table}"
        if table == "parked":
            here = f"(select * from {here} where projection = '{projection}')"
        if self._digest(here) == self._digest(beside):
            return None
        key = ", ".join(sql.key_columns(self.conn, BESIDE, table))
        row = self._row(
            f"""select to_jsonb(l)::text, to_jsonb(r)::text from {here} l full join {beside} r using ({key})
                where to_jsonb(l) is distinct from to_jsonb(r) order by {key} limit 1"""
        )
        return None if row is None else Difference(table=table, live=row[0], rebuilt=row[1])

    def judges_otherwise(self, judge: str, upto_pos: int) -> bool:
        """What is on one side only."""
        sides = (
            f"select pos, decided_pos, case when gone_pos <= %(upto)s then gone_pos end as gone_pos "
            f"from {schema}.without_effect where decided_pos <= %(upto)s union all "
            f"select pos, null, null from {schema}.parked where projection = %(name)s and pos <= %(upto)s"
            for schema in (self._schema, BESIDE)
        )
        unlike = (
            f"select from ({' union all '.join(sides)}) both_sides "
            "group by pos, decided_pos, gone_pos having count(*) = 1 limit 1"
        )
        return self.conn.execute(unlike, {"upto": upto_pos, "name": judge}).fetchone() is not None

    def take_in(self, projection: str, tables: Sequence[str], pos: int) -> None:
        """Whole tables, so that readers wait for moments only."""
        for name in tables:
            self.conn.execute(f"drop table {self._schema}.{name}")
            self.conn.execute(f"alter table {BESIDE}.{name} set schema {self._schema}")
        self._do("delete from {schema}.parked where projection = %s", projection)
        self._do(f"insert into {{schema}}.parked select * from {BESIDE}.parked")
        self._do("update {schema}.position set pos = %s where projection = %s", pos, projection)
        self.conn.execute(f"drop schema {BESIDE} cascade")

    def _do(self, query: str, *values: object) -> None:
        self.conn.execute(query.format(schema=self._schema), values)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.conn.execute(query.format(schema=self._schema), values).fetchall()

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return self.conn.execute(query.format(schema=self._schema), values).fetchone()

    def _digest(self, table: str) -> Any:
        """Count and an order-free digest of every row's text."""
        return self._row(f"select count(*), sum(hashtextextended(t::text, 0)::numeric) from {table} t")


def _columns(rows: Sequence[msgspec.Struct]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(msgspec.structs.astuple, rows), strict=True)]
