"""The views in memory say what those in PostgreSQL say, however what is followed is cut up and whatever strikes."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from domain import events
from projections import retrying
from projections.catalogue import PROJECTIONS
from projections.following import Follower, positions
from projections.projection import LedgerRow, Projection
from projections.rebuild import check, switch
from projections.retrying import NotParked
from projections.tables import Table
from projections.tables_postgres import LIVE
from projections.views import ParkedKey, Views
from projections.views_postgres import PostgresViews
from tests.projections.memory_views import MemoryViews, Struck
from tests.projections.stories import MemoryLedger, a_busy_office
from tests.projections.stumbling import Stumbling
from tests.projections.test_known_by import a_history

Content = dict[str, list[tuple[Any, ...]]]


class PowerCut(Exception):
    """The node died there."""


def a_ledger(seed: int, cases: int = 8) -> MemoryLedger:
    """Directives that cross, an office at work, and leaves that nobody can read."""
    chance = random.Random(seed)
    told: list[events.AnyEvent | bytes] = [*a_history(chance).told, *a_busy_office(chance, cases)]
    for _ in range(2):
        told.insert(chance.randrange(len(told)), b'{"type":"leg.imagined.v7"}')
    ledger = MemoryLedger()
    ledger.append(told)
    return ledger


def follow(views: Views, ledger: MemoryLedger, chance: random.Random, strikes: float, views_kept: Any) -> int:
    """Follow to the end in batches of any size, beginning anew wherever the power is cut; how often it was."""
    cuts = 0

    def strike(place: str) -> None:
        if chance.random() < strikes:
            raise PowerCut(place)

    def read_some(pos: int, limit: int) -> Sequence[LedgerRow]:
        return ledger.read(pos, chance.randint(1, 40))

    while True:
        try:
            follower = Follower(Struck(views, strike), read_some, views_kept)
            while follower.step():
                pass
        except PowerCut:
            cuts += 1
            continue
        return cuts


def content(views: Views) -> Content:
    """Every row of every view, of the time before too, what waits, and how far each has come."""
    found: Content = {"parked": [msgspec.structs.astuple(each) for each in views.parked()]}
    for projection in PROJECTIONS:
        for table in projection.tables:
            found[table.name] = sorted(every_row(views, table), key=repr)
        for shared in projection.other_tables:
            found[shared.name] = [msgspec.structs.astuple(row) for row in views.every(shared)]
    found["positions"] = list(positions(views, PROJECTIONS).items())
    return found


def every_row(views: Views, table: Table[Any]) -> list[tuple[Any, ...]]:
    if isinstance(views, MemoryViews):
        return [msgspec.structs.astuple(row) for row in views.rows(table)]
    assert isinstance(views, PostgresViews)
    return views.conn.execute(f"select {', '.join(table.columns)} from {LIVE}.{table.name}").fetchall()


class Life:
    """What stands in a ledger is learned bit by bit, with mistakes, retries, decisions to leave out, and rebuilds.

    What happens depends on the seed alone; `strikes`, how often the power is cut, shall change nothing that matters.
    """

    def __init__(self, views: Views, ledger: MemoryLedger, seed: int, strikes: float) -> None:
        self._views, self._ledger, self._known = views, ledger, MemoryLedger()
        self._chance, self._power, self._strikes = random.Random(seed), random.Random(seed + 1), strikes
        places = range(1, len(ledger.rows))
        self._stumbling = [Stumbling(each, self._chance.sample(places, 3)) for each in PROJECTIONS]

    def live(self) -> None:
        while len(self._known.rows) < len(self._ledger.rows):
            self._known.rows = self._ledger.rows[: len(self._known.rows) + self._chance.randint(1, 20)]
            follow(self._views, self._known, self._power, self._strikes, self._stumbling)
            if self._chance.random() < 0.3:
                self._chance.choice(self._stumbling).bad.clear()
            if parked := self._views.parked():
                self._act(self._chance.choice(parked))
        for each in self._stumbling:
            each.bad.clear()
        for one in self._views.parked() * 2:
            self._whatever_strikes(lambda views, one=one: self._retry(views, one))  # type: ignore[misc]
        follow(self._views, self._known, self._power, 0.0, PROJECTIONS)

    def _act(self, one: ParkedKey) -> None:
        """An operator looks at what is parked."""
        deed, view = self._chance.random(), self._chance.choice(self._stumbling)
        if deed < 0.2:
            self._whatever_strikes(lambda views: self._skip(views, one))
        elif deed < 0.8:
            self._whatever_strikes(lambda views: self._retry(views, one))
        else:
            self._whatever_strikes(lambda views: switch(views, self._known.read, view))

    def _retry(self, views: Views, one: ParkedKey) -> None:
        retrying.retry(views, self._known.read, self._named(one.projection), one.key)

    def _skip(self, views: Views, one: ParkedKey) -> None:
        retrying.skip(views, self._known.read, self._named(one.projection), one.key, "left out", UUID(int=0))

    def _named(self, name: str) -> Projection:
        return next(each for each in self._stumbling if each.name == name)

    def _whatever_strikes(self, do: Callable[[Views], object]) -> None:
        """Again and again; what was done before a cut is not there to be done again."""
        while True:
            with suppress(PowerCut):
                with suppress(NotParked):
                    do(Struck(self._views, self._strike))
                return

    def _strike(self, place: str) -> None:
        if self._power.random() < self._strikes:
            raise PowerCut(place)


def differences(views: Views, ledger: MemoryLedger) -> list[object]:
    return [check(views, ledger.read, projection).difference for projection in PROJECTIONS]


NONE: list[object] = [None] * len(PROJECTIONS)
_CUTS = 0.01


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_into_batches_and_any_power_cut_in_memory_leaves_the_rows_of_a_rebuild(seed: int) -> None:
    ledger, at_once, struck = a_ledger(seed), MemoryViews(), MemoryViews()
    follow(at_once, ledger, random.Random(seed), 0.0, PROJECTIONS)
    follow(struck, ledger, random.Random(seed + 1), _CUTS, PROJECTIONS)
    assert content(struck) == content(at_once)
    assert differences(struck, ledger) == NONE


@pytest.mark.parametrize("seed", range(3))
def test_power_cuts_at_any_statement_leave_the_same_rows_in_postgresql_and_in_memory(
    conn: psycopg.Connection, seed: int
) -> None:
    ledger, kept, in_memory = a_ledger(seed), PostgresViews(conn), MemoryViews()
    cuts = follow(kept, ledger, random.Random(seed), _CUTS, PROJECTIONS)
    follow(in_memory, ledger, random.Random(seed + 9), _CUTS, PROJECTIONS)
    assert cuts > 0
    assert content(kept) == content(in_memory)
    assert differences(kept, ledger) == differences(in_memory, ledger) == NONE


@pytest.mark.parametrize("seed", range(20))
def test_mistakes_retries_and_rebuilds_in_memory_leave_the_rows_of_a_rebuild_whatever_strikes(seed: int) -> None:
    ledger, views = a_ledger(seed), MemoryViews()
    Life(views, ledger, seed, _CUTS).live()
    assert differences(views, ledger) == NONE


@pytest.mark.parametrize("seed", range(2))
def test_mistakes_retries_and_rebuilds_leave_the_same_rows_in_postgresql_and_in_memory(
    conn: psycopg.Connection, seed: int
) -> None:
    ledger, kept, in_memory = a_ledger(seed), PostgresViews(conn), MemoryViews()
    Life(kept, ledger, seed, 0.0).live()
    Life(in_memory, ledger, seed, 0.0).live()
    assert content(kept) == content(in_memory)
    assert differences(kept, ledger) == differences(in_memory, ledger) == NONE
