"""One world from its founding to its judgement."""

import hashlib
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from structlog.testing import capture_logs

from tests.sync.seeded_hpke import seeded_hpke
from tests.world.fate import Strike
from tests.world.history import broken
from tests.world.swift import swift
from tests.world.world import DAY_S, START_US, World, first_morning

TURNS: Final = 300
"""How long a world lives in the tests: some hundred commands."""


class Lived(NamedTuple):
    """What a world came to. digest: of all that was told of it; the same for the same seed and program.

    events: at the city. days: how long it lived, by its own clock. broken: every promise that was not kept, in words.
    """

    seed: int
    broken: list[str]
    digest: str
    commands: int
    events: int
    days: float
    cpu_s: float
    struck: Counter[Strike]


Begin = Callable[[int, Callable[[str], None]], World]
"""Makes the world of a seed, which tells every step in words."""


def from_first_morning(seed: int, tell: Callable[[str], None]) -> World:
    """The whole city in memory."""
    return World(seed, tell, first_morning())


def lived(
    seed: int, turns: int = TURNS, tell: Callable[[str], None] = lambda _: None, begin: Begin = from_first_morning
) -> Lived:
    """Let the world of this seed live, heal and rest, and judge it. tell: is given every step in words."""
    with swift():
        if begin is from_first_morning:
            first_morning()  # once for all worlds, and so no part of what one takes
        return _lived(seed, turns, tell, begin)


def _lived(seed: int, turns: int, tell: Callable[[str], None], begin: Begin) -> Lived:
    begun_s = time.process_time()
    told = hashlib.sha256()

    def hear(line: str) -> None:
        told.update(line.encode() + b"\n")
        tell(line)

    world = begin(seed, hear)
    days = 0.0
    try:
        with seeded_hpke(seed), capture_logs() as logged:
            world.live(turns)
            days = (world.now_us - START_US) / (DAY_S * 1e6)
            world.heal()
            complaints = [] if world.rest() else ["it never came to rest"]
            world.logged += logged
            complaints += broken(world)
    except Exception as error:
        hear("".join(traceback.format_exception(error)))
        complaints = [f"the program failed: {type(error).__name__}: {error}"]
    events = len(world.city.tables.ledger.rows)
    return Lived(
        seed,
        complaints,
        told.hexdigest()[:16],
        len(world.acknowledged),
        events,
        days,
        time.process_time() - begun_s,
        world.fate.struck,
    )
