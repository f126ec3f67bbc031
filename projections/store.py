"""The rows of one projection while events are folded: loaded by case, changed in memory, written together."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, cast
from uuid import UUID

from projections.tables import R, Table
from projections.views import Views


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
        """A row that the views do not hold and that `of` shall give."""
        self._live.setdefault(row.case_id.int, []).append(row)
        self._new.append(row)

    def append(self, row: R) -> None:
        """A row that the views do not hold and that never changes."""
        self._new.append(row)

    def touch(self, row: R) -> None:
        """Note that `row` was changed in place."""
        if id(row) in self._stored:
            self._changed[id(row)] = row

    def retire(self, row: R) -> None:
        """Note that `row` was changed for the last time."""
        self.touch(row)
        self._live[row.case_id.int].remove(row)

    def load(self, views: Views, cases: list[UUID]) -> None:
        """Fetch what can still change of `cases`, none of which was loaded before."""
        for row in views.needed(self.table, cases):
            self._live.setdefault(row.case_id.int, []).append(row)
            self._stored[id(row)] = row

    def write(self, views: Views) -> None:
        """Write what is new or changed, and forget everything."""
        if self._new:
            views.add(self.table, self._new)
        if self._changed:
            views.change(self.table, list(self._changed.values()))
        self._live, self._new, self._changed, self._stored = {}, [], {}, {}


class Store:
    """The tables of one projection on one side, for the length of a batch or, while rebuilding, of a memory full.

    empty: the tables hold no rows yet, so what is not in memory is nowhere.
    only: the one case that a fold may touch, in a retry.
    """

    def __init__(
        self, views: Views, tables: Sequence[Table[Any]], *, empty: bool = False, only: UUID | None = None
    ) -> None:
        self.views = views
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
                rows.load(self.views, missing)
            self._cases |= asked.keys()

    def flush(self) -> None:
        """Write everything and forget it, so that memory stays bounded."""
        for rows in self._rows.values():
            rows.write(self.views)
        self._cases.clear()
        self._all_in_memory = False
