"""The views in memory, for simulations: whole transactions, no thread, no clock, no database; and how to strike."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from projections.duty_fold import DUTY
from projections.tables import FOREVER, Live, R, S, Shared, Table
from projections.views import Difference, ParkedKey, RebuildBusy, Views, Waiting

LIVE: Final = "live"
BESIDE: Final = "beside"
COMMON: Final = "common"

Key = tuple[Any, ...]
Values = tuple[Any, ...]


class Refused(Exception):
    """What no table takes: a key that is there or comes twice, a NUL in a text, a number beyond 64 bits."""


class Rows:
    """One table: its rows by key, and of a table by case the rows of each case too."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Values] = {}
        self.by_case: dict[int, dict[Key, Values]] = {}

    def copy(self) -> "Rows":
        """Another, which does not change with this one."""
        copied = Rows()
        copied.by_key = dict(self.by_key)
        copied.by_case = {case: dict(rows) for case, rows in self.by_case.items()}
        return copied


class Column(NamedTuple):
    """Where a row has which value."""

    place: int
    value: Any


Side = dict[str, Rows]
Image = dict[str, Side]
"""Everything that is committed, by side and table."""


class Disk:
    """What outlives a crash, and the log by which what was not committed, or not flushed, is undone."""

    def __init__(self, on_commit: Callable[[str], None], flushes: bool) -> None:
        self.sides: Image = {LIVE: {}, BESIDE: {}, COMMON: {}}
        self.is_rebuilt = False
        self._on_commit = on_commit
        self.flushes = flushes
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._depth = 0

    def put(self, where: dict[Any, Any], key: Any, value: Any) -> None:
        """Set one entry, for as long as its transaction is not undone."""
        self._undo.append((where, key, where.get(key)))
        where[key] = value

    def remove(self, where: dict[Any, Any], key: Any) -> None:
        """Remove one entry that is there."""
        self._undo.append((where, key, where.pop(key)))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See Views; `on_commit` is called around those that changed something and are in no other."""
        begun, outermost = len(self._undo), self._depth == 0
        self._depth += 1
        try:
            yield
            is_commit = outermost and len(self._undo) > begun
            if is_commit:
                self._on_commit("before")
        except BaseException:
            self._back_to(begun)
            raise
        finally:
            self._depth -= 1
        if is_commit:
            if self.flushes:
                self._undo.clear()
            self._on_commit("after")

    def flush(self) -> None:
        """Whatever was committed stays."""
        self._undo.clear()

    def lose(self) -> None:
        """Whatever was committed since the last flush was never written."""
        self._back_to(0)

    def image(self) -> Image:
        """A copy of everything."""
        return {side: {name: rows.copy() for name, rows in tables.items()} for side, tables in self.sides.items()}

    def _back_to(self, mark: int) -> None:
        while len(self._undo) > mark:
            where, key, before = self._undo.pop()
            if before is None:
                where.pop(key, None)
            else:
                where[key] = before


class MemoryViews:
    """See Views. What it gives is in one order for one history, and nothing that is given is held by it.

    Other than PostgreSQL it holds a text of any length in an index, and shows rows at once to whoever looks.
    """

    def __init__(
        self,
        on_commit: Callable[[str], None] = lambda moment: None,
        *,
        flushes: bool = True,
        disk: Disk | None = None,
        side: str = LIVE,
    ) -> None:
        """on_commit: told "before" and "after" each commit of anything; what it raises is a crash there.

        flushes: a commit is on the disk when it returns. Without that `flush` brings it there, and `lose` takes back
        what was not. disk, side: of views that are there already.
        """
        self.disk = disk or Disk(on_commit, flushes)
        self._side = side

    # --- for who simulates ------------------------------------------------------------------------------------------

    def rows(self, table: Table[R]) -> list[R]:
        """Every row, in order of key."""
        return [table.row(*values) for _, values in sorted(self._table(table.name).by_key.items())]

    def begin_to_lie(self) -> None:
        """From now on nothing is flushed, until `catch_up`; `lose` takes it back."""
        self.disk.flushes = False

    def catch_up(self) -> None:
        """All is flushed, now and from now on."""
        self.disk.flushes = True
        self.disk.flush()

    def flush(self) -> None:
        """See Disk."""
        self.disk.flush()

    def lose(self) -> None:
        """See Disk."""
        self.disk.lose()

    def image(self) -> Image:
        """What a backup holds."""
        return self.disk.image()

    def restore(self, image: Image) -> None:
        """Be as the backup was; it may be restored again."""
        self.disk.flush()
        self.disk.sides = {side: {name: rows.copy() for name, rows in tables.items()} for side, tables in image.items()}

    # --- Views ------------------------------------------------------------------------------------------------------

    @property
    def beside(self) -> "MemoryViews":
        return MemoryViews(disk=self.disk, side=BESIDE)

    def transaction(self) -> AbstractContextManager[object]:
        return self.disk.transaction()

    def steady(self) -> AbstractContextManager[object]:
        return self.disk.transaction()

    def swapping(self) -> AbstractContextManager[object]:
        return self.disk.transaction()

    @contextmanager
    def alone(self) -> Iterator[None]:
        if self.disk.is_rebuilt:
            raise RebuildBusy
        self.disk.is_rebuilt = True
        try:
            yield
        finally:
            self.disk.is_rebuilt = False

    def is_poison(self, error: Exception) -> bool:
        return True

    def lay_out(self) -> None:
        """A table is there as soon as somebody looks."""

    def layout(self, tables: Sequence[str]) -> bytes:
        return " ".join(tables).encode()

    def shape(self, projection: str) -> str | None:
        found = self._table("position").by_key.get((projection,))
        return None if found is None else str(found[1])

    def make_anew(self, projection: str, tables: Sequence[str], shape: str) -> None:
        for name in tables:
            self.disk.put(self.disk.sides[self._side], name, Rows())
        self._drop_parked(projection)
        self.disk.put(self._table("position").by_key, (projection,), (0, shape))

    def positions(self, projections: Sequence[str], *, lock: bool = False) -> dict[str, int]:
        known = self._table("position").by_key
        return {name: known[(name,)][0] for name in sorted(projections) if (name,) in known}

    def move(self, projections: Sequence[str], pos: int) -> None:
        known = self._table("position").by_key
        for name in projections:
            if (name,) in known and known[(name,)][0] < pos:
                self.disk.put(known, (name,), (pos, known[(name,)][1]))

    def needed(self, table: Table[R], case_ids: Sequence[UUID]) -> list[R]:
        if table.live is None:
            return []
        wanted, by_case = _columns(table, table.live), self._table(table.name).by_case
        found = [
            entry
            for case_id in case_ids
            for entry in by_case.get(case_id.int, {}).items()
            if all(entry[1][place] == value for place, value in wanted)
        ]
        return [table.row(*values) for _, values in sorted(found)]

    def believed(self, table: Table[R], case_id: UUID) -> list[R]:
        return [table.row(*values) for _, values in self._believed(table, case_id)]

    def forget(self, table: Table[R], case_id: UUID) -> None:
        rows = self._table(table.name)
        for key, _ in self._believed(table, case_id):
            self.disk.remove(rows.by_key, key)
            self.disk.remove(rows.by_case[case_id.int], key)

    def clear(self, table: Table[R], case_id: UUID) -> None:
        rows = self._table(table.name)
        if case_id.int in rows.by_case:
            for key in rows.by_case[case_id.int]:
                self.disk.remove(rows.by_key, key)
            self.disk.remove(rows.by_case, case_id.int)

    def add(self, table: Table[R], rows: Sequence[R]) -> None:
        there = self._table(table.name)
        for row in rows:
            key = _key(table, row)
            if key in there.by_key:
                raise Refused(f"{table.name} has a row of key {key}")
            self._put(there, row.case_id, key, _storable(row))

    def change(self, table: Table[R], rows: Sequence[R]) -> None:
        keys = [_key(table, row) for row in rows]
        _all_different(table.name, keys)
        there = self._table(table.name)
        for key, row in zip(keys, rows, strict=True):
            self._put(there, row.case_id, key, _storable(row))

    def merge(self, table: Shared[S], rows: Sequence[S]) -> None:
        keys = [_key(table, row) for row in rows]
        if table.newest or table.least or table.greatest:
            _all_different(table.name, keys)
        there = self._table(table.name).by_key
        for key, row in zip(keys, rows, strict=True):
            values = _storable(row)
            known = there.get(key)
            merged = values if known is None else _merged(table, known, values)
            if merged != known:
                self.disk.put(there, key, merged)

    def every(self, table: Shared[S]) -> list[S]:
        return [table.row(*values) for _, values in sorted(self._table(table.name).by_key.items())]

    def cases_with_clocks(self, since: date) -> list[UUID]:
        columns = ("gone_pos", "provisional", "due_on")
        gone_pos, provisional, due_on = (DUTY.columns.index(column) for column in columns)
        running = (row for row in self._table(DUTY.name).by_key.values() if row[gone_pos] == FOREVER)
        return sorted({row[0] for row in running if row[provisional] or row[due_on] >= since})

    def waiting(self, projection: str, keys: Sequence[UUID] | None = None) -> dict[UUID, int]:
        if not self._table("parked").by_key:
            return {}
        found = {waiting.key: waiting.pos for waiting in self._parked(projection)[::-1]}
        return found if keys is None else {key: pos for key, pos in found.items() if key in keys}

    def park(self, projection: str, waiting: Waiting) -> None:
        parked = self._table("parked").by_key
        if (projection, waiting.pos) in parked:
            raise Refused(f"{waiting.pos} is parked already in {projection}")
        self.disk.put(parked, (projection, waiting.pos), _storable(waiting))

    def unpark(self, projection: str, key: UUID) -> list[int]:
        freed = [waiting.pos for waiting in self._parked(projection) if waiting.key == key]
        for pos in freed:
            self.disk.remove(self._table("parked").by_key, (projection, pos))
        return freed

    def unpark_first(self, projection: str, key: UUID) -> Waiting | None:
        first = next((waiting for waiting in self._parked(projection) if waiting.key == key), None)
        if first is not None:
            self.disk.remove(self._table("parked").by_key, (projection, first.pos))
        return first

    def parked(self) -> list[ParkedKey]:
        found: dict[tuple[str, UUID], list[Waiting]] = {}
        for projection in sorted({name for name, _ in self._table("parked").by_key}):
            for waiting in self._parked(projection):
                found.setdefault((projection, waiting.key), []).append(waiting)
        listed = [_parked_key(projection, waiting) for (projection, _), waiting in found.items()]
        return sorted(listed, key=lambda each: (each.since_us, each.pos))

    def skip(self, projection: str, skipped: Waiting, account: UUID) -> None:
        there = self.disk.sides[COMMON].setdefault("skipped", Rows()).by_key
        self.disk.put(there, (projection, skipped.pos), (skipped.key, skipped.topic, skipped.reason, account))

    def skipped(self, projection: str) -> frozenset[int]:
        there = self.disk.sides[COMMON].get("skipped")
        return frozenset(pos for name, pos in there.by_key if name == projection) if there else frozenset()

    def judged(
        self, judge: str, first_pos: int, last_pos: int, judged_at: int | None
    ) -> tuple[set[int], dict[int, UUID]]:
        live = self._live()
        void = {pos for pos in live.skipped(judge) if first_pos <= pos <= last_pos}
        for pos, decided_pos, gone_pos, _ in live._void():
            if first_pos <= pos <= last_pos:
                at = pos if judged_at is None else judged_at
                if decided_pos <= at < gone_pos:
                    void.add(pos)
        waiting = {each.pos: each.key for each in live._parked(judge) if first_pos <= each.pos <= last_pos}
        return void, waiting

    def decided(self, first_pos: int, last_pos: int, case_id: UUID | None) -> list[tuple[int, UUID]]:
        found: set[tuple[int, UUID]] = set()
        for pos, decided_pos, gone_pos, concerned in self._live()._void():
            if case_id in (None, concerned):
                decisions = [decided_pos] if pos < decided_pos else []
                found |= {(at, concerned) for at in (*decisions, gone_pos) if first_pos <= at <= last_pos}
        return sorted(found)

    def begin(self, projection: str, tables: Sequence[str]) -> None:
        self.disk.put(self.disk.sides, self._side, {})
        self.disk.put(self._table("position").by_key, (projection,), (0, ""))

    def index(self, tables: Sequence[str]) -> None:
        """Rows are found as they are."""

    def drop(self) -> None:
        self.disk.put(self.disk.sides, self._side, {})

    def difference(self, projection: str, table: str) -> Difference | None:
        here, beside = self._table(table).by_key, self.beside._table(table).by_key
        if table == "parked":
            here = {key: values for key, values in here.items() if key[0] == projection}
        if here == beside:
            return None
        key = min(key for key in here.keys() | beside.keys() if here.get(key) != beside.get(key))
        return Difference(table=table, live=_json(here.get(key)), rebuilt=_json(beside.get(key)))

    def judges_otherwise(self, judge: str, upto_pos: int) -> bool:
        return self._judgements(judge, upto_pos) != self.beside._judgements(judge, upto_pos)

    def take_in(self, projection: str, tables: Sequence[str], pos: int) -> None:
        beside = self.disk.sides[BESIDE]
        for name in tables:
            self.disk.put(self.disk.sides[self._side], name, beside.get(name) or Rows())
        self._drop_parked(projection)
        for key, values in self.beside._table("parked").by_key.items():
            self.disk.put(self._table("parked").by_key, key, values)
        known = self._table("position").by_key
        self.disk.put(known, (projection,), (pos, known[(projection,)][1]))
        self.disk.put(self.disk.sides, BESIDE, {})

    # --- within -----------------------------------------------------------------------------------------------------

    def _live(self) -> "MemoryViews":
        return self if self._side == LIVE else MemoryViews(disk=self.disk)

    def _table(self, name: str) -> Rows:
        side = self.disk.sides[self._side]
        found = side.get(name)
        if found is None:
            found = side[name] = Rows()
        return found

    def _put(self, there: Rows, case_id: UUID, key: Key, values: Values) -> None:
        self.disk.put(there.by_key, key, values)
        rows = there.by_case.get(case_id.int)
        if rows is None:
            rows = {}
            self.disk.put(there.by_case, case_id.int, rows)
        self.disk.put(rows, key, values)

    def _believed(self, table: Table[Any], case_id: UUID) -> list[tuple[Key, Values]]:
        wanted, rows = _columns(table, table.believed), self._table(table.name).by_case.get(case_id.int, {})
        return sorted(entry for entry in rows.items() if all(entry[1][place] == value for place, value in wanted))

    def _parked(self, projection: str) -> list[Waiting]:
        names = Waiting.__struct_fields__
        found = sorted((key, values) for key, values in self._table("parked").by_key.items() if key[0] == projection)
        return [Waiting(**dict(zip(names, values, strict=True))) for _, values in found]

    def _drop_parked(self, projection: str) -> None:
        parked = self._table("parked").by_key
        for key in [key for key in parked if key[0] == projection]:
            self.disk.remove(parked, key)

    def _void(self) -> list[tuple[int, int, int, UUID]]:
        """Position, since when and until when without effect, and case, as `authority` keeps it."""
        rows = self._table("without_effect").by_key.values()
        return [(pos, decided_pos, gone_pos, case_id) for case_id, pos, _, _, _, decided_pos, gone_pos in rows]

    def _judgements(self, judge: str, upto_pos: int) -> set[tuple[int, int | None, int | None]]:
        waiting: set[tuple[int, int | None, int | None]]
        waiting = {(each.pos, None, None) for each in self._parked(judge) if each.pos <= upto_pos}
        void = (each for each in self._void() if each[1] <= upto_pos)
        return waiting | {(pos, at, gone if gone <= upto_pos else None) for pos, at, gone, _ in void}


class Struck:
    """Views that are struck between any two statements: `strike` is told each before it is done, and may raise.

    What it raised is no poison. The places are the names of the methods, and "commit" and "committed".
    """

    def __init__(self, views: Views, strike: Callable[[str], None], raised: list[BaseException] | None = None) -> None:
        self._views = views
        self._strike = strike
        self._raised: list[BaseException] = [] if raised is None else raised

    @property
    def beside(self) -> "Struck":
        return Struck(self._views.beside, self._strike, self._raised)

    def is_poison(self, error: Exception) -> bool:
        return not any(error is one for one in self._raised) and self._views.is_poison(error)

    def transaction(self) -> AbstractContextManager[object]:
        return self._within(self._views.transaction())

    def steady(self) -> AbstractContextManager[object]:
        return self._within(self._views.steady())

    def swapping(self) -> AbstractContextManager[object]:
        return self._within(self._views.swapping())

    def alone(self) -> AbstractContextManager[object]:
        return self._views.alone()

    def __getattr__(self, name: str) -> Any:
        statement = getattr(self._views, name)

        def struck(*values: Any, **named: Any) -> Any:
            self._before(name)
            return statement(*values, **named)

        return struck

    @contextmanager
    def _within(self, transaction: AbstractContextManager[object]) -> Iterator[None]:
        with transaction:
            yield
            self._before("commit")
        self._before("committed")

    def _before(self, place: str) -> None:
        try:
            self._strike(place)
        except BaseException as error:
            self._raised.append(error)
            raise


def _columns(table: Table[Any], conditions: Live) -> list[Column]:
    return [Column(table.columns.index(column), value) for column, value in conditions]


def _parked_key(projection: str, waiting: Sequence[Waiting]) -> ParkedKey:
    first = waiting[0]
    return ParkedKey(
        projection=projection,
        key=first.key,
        pos=first.pos,
        topic=first.topic,
        reason=first.reason,
        since_us=first.known_us,
        event_count=len(waiting),
    )


def _key(table: Table[Any] | Shared[Any], row: Any) -> Key:
    return tuple([getattr(row, column) for column in table.key])


def _storable(row: msgspec.Struct) -> Values:
    values = msgspec.structs.astuple(row)
    for value in values:
        if type(value) is str and "\0" in value:
            raise Refused("a text holds a NUL")
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise Refused("a number is beyond 64 bits")
    return values


def _all_different(name: str, keys: Collection[Key]) -> None:
    if len(set(keys)) < len(keys):
        raise Refused(f"rows of {name} have one key")


def _merged(table: Shared[Any], known: Values, values: Values) -> Values:
    columns = table.columns
    if table.newest is not None:
        place = columns.index(table.newest)
        return values if values[place] > known[place] else known
    merged = list(known)
    for column in table.least:
        merged[columns.index(column)] = min(known[columns.index(column)], values[columns.index(column)])
    for column in table.greatest:
        merged[columns.index(column)] = max(known[columns.index(column)], values[columns.index(column)])
    return tuple(merged)


def _json(values: Values | None) -> str | None:
    return None if values is None else msgspec.json.encode(values).decode()
