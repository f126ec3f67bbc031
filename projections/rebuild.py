"""Builds a projection anew beside the live one, to compare the two at one position or to take its place."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg

from projections.authority import WITHOUT_EFFECT, Authority, LateDecision, decided_late, facts_for
from projections.catalogue import PROJECTIONS
from projections.parking import Gate, is_poison, skipped
from projections.projection import LedgerRow, Projection, ReadAfter
from projections.refold import fold_as_learned, fold_case
from projections.runner import LedgerGap, batch_after, make_anew, positions, prepare, table_names
from projections.store import LIVE, Store, add_indexes, create

BESIDE: Final = "views_beside"
"""The schema that a rebuild fills. One rebuild at a time; what a broken one left is dropped by the next."""

PAGE_EVENTS: Final = 2_000
MEMORY_ROWS: Final = 400_000
"""Rows kept before they are written out: about 200 MB."""

_SWITCH_LIMIT: Final = "10s"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first row, by key, that is not the same on both sides, as JSON text; null where a side has none."""

    table: str
    live: str | None
    rebuilt: str | None


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A projection as rebuilt. pos: the ledger position compared or switched at. difference: None where equal."""

    projection: str
    pos: int
    difference: Difference | None


class RebuildBusy(Exception):
    """Another rebuild is under way in this database. Wait until it has ended; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("另一次重建正在进行，请等它结束 / another rebuild is under way; wait until it has ended")


def check(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection) -> Rebuilt:
    """Build beside, compare at one position with what is live, and drop what was built. The live one serves on.

    conn: autocommit, of its own. read_after: called from another thread, a page ahead. Skipped events are left out
    on both sides. Raises RebuildBusy.
    """
    with _alone(conn):
        prepare(conn, [projection])
        build(conn, read_after, projection, positions(conn, [projection])[projection.name])
        with conn.transaction():
            conn.execute("set transaction isolation level repeatable read")
            pos = positions(conn, [projection])[projection.name]
            _catch_up(conn, read_after, projection, pos)
            tables = (*table_names(projection), "parked")
            found = (_difference(conn, table, projection.name) for table in tables)
            difference = next((each for each in found if each is not None), None)
            conn.execute(f"drop schema {BESIDE} cascade")
    return Rebuilt(projection=projection.name, pos=pos, difference=difference)


def switch(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection) -> Rebuilt:
    """Build beside as far as events are judged, and put it in the place of the live one, in one transaction.

    Where the projection that judges comes out otherwise, all the others are made anew.
    Raises RebuildBusy; psycopg.errors.LockNotAvailable where readers hold the live tables for longer than ten
    seconds: nothing has changed then, and calling it again is safe.
    """
    with _alone(conn):
        prepare(conn, [projection])
        build(conn, read_after, projection, _judged_pos(conn, projection))
        with conn.transaction():
            conn.execute(f"set local lock_timeout = '{_SWITCH_LIMIT}'")
            live_pos = positions(conn, [projection], lock=True)[projection.name]
            _catch_up(conn, read_after, projection, live_pos)
            pos = max(_position(conn), live_pos)
            is_otherwise = projection.name == Authority.name and _judges_otherwise(conn, live_pos)
            for table in table_names(projection):
                conn.execute(f"drop table {LIVE}.{table}")
                conn.execute(f"alter table {BESIDE}.{table} set schema {LIVE}")
            conn.execute(f"delete from {LIVE}.parked where projection = %s", (projection.name,))
            conn.execute(f"insert into {LIVE}.parked select * from {BESIDE}.parked")
            conn.execute(f"update {LIVE}.position set pos = %s where projection = %s", (pos, projection.name))
            conn.execute(f"drop schema {BESIDE} cascade")
            if is_otherwise:
                _make_others_anew(conn)
    return Rebuilt(projection=projection.name, pos=pos, difference=None)


def build(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, upto: int | None = None) -> None:
    """Fill BESIDE with `projection` up to position `upto`, or to the ledger's end.

    Memory is bounded by MEMORY_ROWS and two pages, time is linear. The indexes come after the first memory full. A
    memory full with an event that cannot be folded, or rows that one key is too few for, takes the everyday path,
    which parks it. The few cases in which something was decided late come once more at the end, one by one.
    """
    with conn.transaction():
        conn.execute(f"drop schema if exists {BESIDE} cascade")
        for name in ("position", "parked"):
            create(conn, BESIDE, name)
        for name in table_names(projection):
            create(conn, BESIDE, name, indexed=False)
        conn.execute(f"insert into {BESIDE}.position values (%s, 0, '')", (projection.name,))
    is_done = False
    while not is_done:
        try:
            with conn.transaction():
                is_done = not _fold_memory_full(conn, read_after, projection, upto)
        except _Poisoned as poisoned:
            with conn.transaction():
                if _position(conn) == 0:
                    _index(conn, projection)
                _catch_up(conn, read_after, projection, poisoned.last_pos)
    _fold_late_cases(conn, read_after, projection)


class _Poisoned(Exception):
    """An event up to there cannot be folded, or not beside another; memory is worthless from there on."""

    def __init__(self, last_pos: int) -> None:
        super().__init__(last_pos)
        self.last_pos = last_pos


def _fold_memory_full(
    conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, upto: int | None
) -> bool:
    """Fold until the memory is full or the pages are at an end; returns whether there may be more."""
    start = pos = _position(conn)
    store = Store(conn, BESIDE, projection.tables, empty=start == 0)
    gate = Gate(conn, BESIDE, projection.name)
    left_out = skipped(conn, projection)
    try:
        for rows in _pages(read_after, start, upto):
            pos = rows[-1].pos
            facts = [fact for fact in facts_for(conn, projection, rows) if fact.pos not in left_out]
            if flowing := gate.flowing(facts):
                projection.fold(flowing, store)
            if len(store) > MEMORY_ROWS:
                break
        store.flush()
        if start == 0:
            _index(conn, projection)
    except Exception as error:
        if is_poison(error) and not isinstance(error, LedgerGap):
            raise _Poisoned(pos) from error
        raise
    _move(conn, pos)
    return pos > start


def _pages(read_after: ReadAfter, pos: int, upto: int | None) -> Iterator[Sequence[LedgerRow]]:
    """Large pages up to `upto` or the end, each read while the one before is being folded."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_page, read_after, pos, upto)
        while rows := coming.result():
            coming = reader.submit(_page, read_after, rows[-1].pos, upto)
            yield rows


def _page(read_after: ReadAfter, pos: int, upto: int | None) -> Sequence[LedgerRow]:
    limit = PAGE_EVENTS if upto is None else min(PAGE_EVENTS, upto - pos)
    rows = read_after(pos, limit) if limit > 0 else ()
    if rows and rows[-1].pos != pos + len(rows):
        raise LedgerGap(pos, rows[-1].pos)
    return rows


def _catch_up(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, upto: int) -> None:
    """The everyday path: small batches, each event that cannot be folded parked with its case, and late decisions
    where they stand."""
    left_out = skipped(conn, projection)
    pos = _position(conn)
    while pos < upto:
        rows = [row for row in batch_after(read_after, pos) if row.pos <= upto]
        pos = rows[-1].pos
        facts = [fact for fact in facts_for(conn, projection, rows) if fact.pos not in left_out]
        late = _decided_late(conn, projection, rows[0].pos, pos)
        fold_as_learned(conn, read_after, BESIDE, projection, facts, late)
    _move(conn, pos)


def _judged_pos(conn: psycopg.Connection, projection: Projection) -> int | None:
    """How far it is known which events have effect; null for the projection that judges, and where none does."""
    if projection.name == Authority.name:
        return None
    row = conn.execute(f"select pos from {LIVE}.position where projection = %s", (Authority.name,)).fetchone()
    return int(row[0]) if row else None


def _judges_otherwise(conn: psycopg.Connection, upto: int) -> bool:
    """Whether other events up to a position are without effect, or wait to be judged, than live."""
    judged = (
        f"select pos, decided_pos, case when gone_pos <= %(upto)s then gone_pos end as gone_pos "
        f"from {schema}.{WITHOUT_EFFECT.name} where decided_pos <= %(upto)s union all "
        f"select pos, null, null from {schema}.parked where projection = %(name)s and pos <= %(upto)s"
        for schema in (LIVE, BESIDE)
    )
    unlike = (
        f"select from ({' union all '.join(judged)}) both_sides "
        "group by pos, decided_pos, gone_pos having count(*) = 1 limit 1"
    )
    return conn.execute(unlike, {"upto": upto, "name": Authority.name}).fetchone() is not None


def _make_others_anew(conn: psycopg.Connection) -> None:
    followed = positions(conn, PROJECTIONS)
    for projection in PROJECTIONS:
        if projection.name in followed and projection.name != Authority.name:
            make_anew(conn, projection)


def _fold_late_cases(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection) -> None:
    """Those of which memory holds, beside, only how their events were judged when they were learned."""
    pos = _position(conn)
    by_case: dict[UUID, list[LateDecision]] = {}
    for decision in _decided_late(conn, projection, 1, pos):
        by_case.setdefault(decision.case_id, []).append(decision)
    for case_id, decisions in by_case.items():
        with conn.transaction():
            fold_case(conn, read_after, BESIDE, projection, case_id, decisions, pos)


def _decided_late(
    conn: psycopg.Connection, projection: Projection, first_pos: int, last_pos: int
) -> list[LateDecision]:
    """None for the projection that judges, nor where none does."""
    return [] if _judged_pos(conn, projection) is None else decided_late(conn, first_pos, last_pos)


def _position(conn: psycopg.Connection) -> int:
    (pos,) = conn.execute(f"select pos from {BESIDE}.position").fetchone() or (0,)
    return int(pos)


def _move(conn: psycopg.Connection, pos: int) -> None:
    conn.execute(f"update {BESIDE}.position set pos = %s where pos < %s", (pos, pos))


def _index(conn: psycopg.Connection, projection: Projection) -> None:
    conn.execute("set local maintenance_work_mem = '256MB'")
    for name in table_names(projection):
        add_indexes(conn, BESIDE, name)


@contextmanager
def _alone(conn: psycopg.Connection) -> Iterator[None]:
    key = "hashtext('huiyin.rebuild')"
    if conn.execute(f"select pg_try_advisory_lock({key})").fetchone() != (True,):
        raise RebuildBusy
    try:
        yield
    finally:
        conn.execute(f"select pg_advisory_unlock({key})")


def _difference(conn: psycopg.Connection, table: str, projection: str) -> Difference | None:
    """Compare by digest; only where it differs, row by row."""
    live, rebuilt = f"{LIVE}.{table}", f"{BESIDE}.{table}"
    if table == "parked":
        live = f"(select * from {live} where projection = '{projection}')"
    if _digest(conn, live) == _digest(conn, rebuilt):
        return None
    key = ", ".join(_key_columns(conn, rebuilt))
    row = conn.execute(
        f"""select to_jsonb(l)::text, to_jsonb(r)::text
            from {live} l full join {rebuilt} r using ({key})
            where to_jsonb(l) is distinct from to_jsonb(r) order by {key} limit 1"""
    ).fetchone()
    if row is None:
        return None
    return Difference(table=table, live=row[0], rebuilt=row[1])


def _key_columns(conn: psycopg.Connection, table: str) -> list[str]:
    """The columns of the table's unique index."""
    cursor = conn.execute(
        """select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
           where indrelid = %s::regclass and indisunique order by attnum""",
        (table,),
    )
    return [name for (name,) in cursor]


def _digest(conn: psycopg.Connection, table: str) -> Any:
    """Count and an order-free digest of every row's text."""
    return conn.execute(f"select count(*), sum(hashtextextended(t::text, 0)::numeric) from {table} t").fetchone()
