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


def lived(seed: int, turns: int = TURNS, tell: Callable[[str], None] = lambda _: None) -> Lived:
    """Let the world of this seed live, heal and rest, and judge it. tell: is given every step in words."""
    with swift():
        return _lived(seed, turns, tell)


def _lived(seed: int, turns: int, tell: Callable[[str], None]) -> Lived:
    first_morning()
    begun_s = time.process_time()
    told = hashlib.sha256()

    def hear(line: str) -> None:
        told.update(line.encode() + b"\n")
        tell(line)

    world = World(seed, hear, first_morning())
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
