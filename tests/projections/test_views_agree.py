"""The views in memory say what those in PostgreSQL say, however what is followed is cut up and whatever strikes."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from domain import events
from projections.catalogue import PROJECTIONS
from projections.following import Follower, positions
from projections.projection import LedgerRow
from projections.rebuild import check
from projections.tables import Table
from projections.tables_postgres import LIVE
from projections.views import Views
from projections.views_postgres import PostgresViews
from tests.projections.memory_views import MemoryViews, Struck
from tests.projections.stories import MemoryLedger, a_busy_office
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
