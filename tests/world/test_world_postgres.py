"""A county, a township and two villages on real PostgreSQL, under what can befall them: the same promises are kept."""

from collections import Counter

import pytest

from gateway.hosting.postgres_server import PostgresServer
from tests.world.planted import Planted, planted
from tests.world.planted_postgres import PLANTED_IN_SQL
from tests.world.postgres_machine import PostgresWorlds
from tests.world.run import Lived, lived

TURNS = 40
SEEDS = (1, 2)


def let_live(postgres: PostgresServer, seed: int) -> Lived:
    with PostgresWorlds(postgres) as worlds:
        return lived(seed, TURNS, begin=worlds.begin)


@pytest.mark.timeout(900)
def test_whatever_befalls_nodes_on_postgresql_every_promise_is_kept_once_they_have_healed(
    postgres: PostgresServer,
) -> None:
    found = [let_live(postgres, seed) for seed in SEEDS]

    assert {one.seed: one.broken for one in found if one.broken} == {}
    assert all(one.commands > 10 for one in found)
    struck = _struck(found)
    for kind in ("power_cut", "connection_lost"):
        assert struck[kind, "committing"] > 3
        assert struck[kind, "committed"] > 3


def _struck(found: list[Lived]) -> Counter[tuple[str, str]]:
    """How often each kind of fault struck at each point, whatever the node was at."""
    struck = Counter[tuple[str, str]]()
    for one in found:
        for strike, times in one.struck.items():
            struck[strike.kind, strike.where.rpartition(": ")[2]] += times
    return struck


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", PLANTED_IN_SQL, ids=lambda fault: fault.name)
def test_a_fault_planted_in_an_adapter_is_found(postgres: PostgresServer, fault: Planted) -> None:
    with planted(fault):
        assert let_live(postgres, SEEDS[0]).broken
