"""Runs worlds on demand: `make world SEEDS=1000`, or one told step by step: `make world ARGS="--seed 17"`."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.pool import Pool
from typing import NamedTuple

from tests.world.fate import KINDS, OUTPUTS, Strike
from tests.world.planted import PLANTED, planted
from tests.world.run import TURNS, Lived, lived
from tests.world.world import first_morning


class Tally:
    """What many worlds came to."""

    def __init__(self) -> None:
        self.worlds = 0
        self.commands = 0
        self.events = 0
        self.days = 0.0
        self.cpu_s = 0.0
        self.struck: Counter[Strike] = Counter()
        self.failed: list[Lived] = []

    def add(self, one: Lived) -> None:
        """One world more."""
        self.worlds += 1
        self.commands += one.commands
        self.events += one.events
        self.days += one.days
        self.cpu_s += one.cpu_s
        self.struck += one.struck
        if one.broken:
            self.failed.append(one)

    def never_struck(self) -> list[str]:
        """See the function."""
        return never_struck(self.struck)


class Wish(NamedTuple):
    """What the command line asks for."""

    seeds: range
    turns: int
    jobs: int
    is_told: bool
    plants: bool


def main() -> int:
    """0 where every world kept every promise and every kind of fault struck, else 1."""
    wish = _asked()
    if wish.plants:
        return _plant(wish)
    if wish.is_told:
        one = lived(wish.seeds.start, wish.turns, print)
        print("\n".join(one.broken) or "every promise was kept")
        return 1 if one.broken else 0
    tally = Tally()
    begun_s = time.monotonic()
    for one in _all(wish):
        tally.add(one)
        if one.broken:
            print(f"\nseed {one.seed} ({one.digest}): " + "\n  ".join(one.broken[:10]), flush=True)
        _progress(tally, wish, time.monotonic() - begun_s)
    print(file=sys.stderr)
    return _report(tally, wish)


def _asked() -> Wish:
    parser = argparse.ArgumentParser(prog="tests.world", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="tell this one step by step")
    parser.add_argument("--turns", type=int, default=TURNS, help="how long each lives")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--planted", action="store_true", help="plant one fault after the other, until it is found")
    given = parser.parse_args()
    if given.seed is not None:
        return Wish(range(given.seed, given.seed + 1), given.turns, 1, is_told=True, plants=False)
    seeds = range(given.first, given.first + given.seeds)
    return Wish(seeds, given.turns, given.jobs, is_told=False, plants=given.planted)


def _plant(wish: Wish) -> int:
    """0 where every planted fault was found within the seeds."""
    missed = 0
    with _many(wish) as pool:
        for name, seed, complaint in pool.imap(_until_found, ((fault.name, wish) for fault in PLANTED)):
            missed += seed is None
            print(
                f"{name:32} " + (f"seed {seed}: {complaint}" if seed else f"not in {len(wish.seeds)} seeds"), flush=True
            )
    return 1 if missed else 0


def _until_found(given: tuple[str, Wish]) -> tuple[str, int | None, str]:
    name, wish = given
    fault = next(fault for fault in PLANTED if fault.name == name)
    with planted(fault):
        for seed in wish.seeds:
            if complaints := lived(seed, wish.turns).broken:
                return name, seed, complaints[0]
    return name, None, ""


def _all(wish: Wish) -> Iterator[Lived]:
    with _many(wish) as pool:
        yield from pool.imap_unordered(_one, ((seed, wish.turns) for seed in wish.seeds))


def _many(wish: Wish) -> Pool:
    """Processes that find the city founded."""
    first_morning()
    return multiprocessing.get_context("fork").Pool(wish.jobs)


def _one(given: tuple[int, int]) -> Lived:
    return lived(*given)


def _progress(tally: Tally, wish: Wish, elapsed_s: float) -> None:
    left_s = elapsed_s / tally.worlds * (len(wish.seeds) - tally.worlds)
    line = f"\r{tally.worlds}/{len(wish.seeds)} worlds, {len(tally.failed)} broken, {left_s:.0f} s to go "
    print(line, end="", file=sys.stderr, flush=True)


def _report(tally: Tally, wish: Wish) -> int:
    rate = tally.worlds / tally.cpu_s
    print(f"{tally.worlds} worlds of {wish.turns} turns: {tally.commands} commands, {tally.events} events at the city")
    print(f"{rate:.2f} worlds a second and core; each lived {tally.days / tally.worlds:.0f} days by its own clock")
    print(table(tally.struck))
    for what in tally.never_struck():
        print(f"{what} never struck: nothing was proven about it")
    if tally.failed:
        print("broken seeds: " + " ".join(str(one.seed) for one in sorted(tally.failed)))
    return 1 if tally.failed or tally.never_struck() else 0


def never_struck(struck: Counter[Strike]) -> list[str]:
    """Kinds of fault and the outputs at which they befell no world: nothing was proven about them."""
    known = {(strike.kind, strike.where) for strike in struck}
    return [f"{kind} at {where}" for kind in KINDS for where in OUTPUTS[kind] if (kind, where) not in known]


def table(struck: Counter[Strike]) -> str:
    """How often each kind of fault struck, at which output, and in what state it found the node."""
    lines = [f"{'fault':17} {'output':22} {'times':>7}  states"]
    for kind in KINDS:
        for where in sorted({strike.where for strike in struck if strike.kind == kind}):
            states = {strike.state: times for strike, times in struck.items() if strike[:2] == (kind, where)}
            told = ", ".join(f"{state} {times}" for state, times in sorted(states.items()) if state)
            lines.append(f"{kind:17} {where:22} {sum(states.values()):7}  {told}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
