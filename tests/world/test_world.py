"""Two hundred small cities under everything that can befall them: nothing is lost, doubled, disordered or hidden."""

import functools
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.world.__main__ import never_struck
from tests.world.fate import Strike
from tests.world.history import broken
from tests.world.planted import PLANTED, planted
from tests.world.run import Lived, lived
from tests.world.world import World, first_morning

TURNS = 120
SHARE = 25
FIRSTS = range(1, 201, SHARE)

OPEN = {108: "refused_above", 131: "does not hold it once", 146: "does not hold it once"}
"""Seeds in which a promise is not kept, and what shows it: docs/roadmap.md. Whoever mends one takes it out here."""


@functools.cache
def share(first: int) -> list[Lived]:
    """The worlds of so many seeds."""
    return [lived(seed, TURNS) for seed in range(first, first + SHARE)]


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("first", FIRSTS)
def test_whatever_befalls_a_city_every_promise_is_kept_once_it_has_healed(first: int) -> None:
    found = share(first)

    assert {one.seed: one.broken for one in found if one.broken and one.seed not in OPEN} == {}
    assert [one.seed for one in found if one.seed in OPEN and OPEN[one.seed] not in "".join(one.broken)] == []
    assert sum(one.commands for one in found) > SHARE * 20
    assert sum(one.days for one in found) > SHARE * 20


@pytest.mark.timeout(1_500)
def test_every_kind_of_fault_struck_at_every_kind_of_output() -> None:
    struck = sum((one.struck for first in FIRSTS for one in share(first)), Counter[Strike]())

    assert never_struck(struck) == [], "what never struck was not tested"


def test_a_seed_is_the_same_city_in_every_process() -> None:
    told = [_digest(seed) for seed in ("0", "1")]

    assert told[0] == told[1] == lived(7, 60).digest


def _digest(hash_seed: str) -> str:
    """Of the same world, in a process whose sets and dicts of texts are in another order."""
    program = "from tests.world.run import lived; print(lived(7, 60).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def test_a_city_in_which_nothing_befalls_keeps_every_promise_and_does_something() -> None:
    world = World(1, morning=first_morning())
    world.fate.calm = True
    world.live(TURNS)
    world.heal()

    assert world.rest()
    assert broken(world) == []
    assert world.fate.struck == Counter()
    assert len(world.city.cases()) > 5


def test_the_list_of_planted_faults_is_long_enough_and_a_planted_one_is_found() -> None:
    by_name = {fault.name: fault for fault in PLANTED}

    assert len(by_name) >= 15
    with planted(by_name["words in clear"]):
        assert lived(1, TURNS).broken
    assert lived(1, TURNS).broken == []
