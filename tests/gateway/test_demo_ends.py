"""A demo ends when it is asked to, and does not start for ever what cannot live."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from gateway.demo.ending import Ending, Interrupted
from gateway.demo.player import Desks, Place, play
from gateway.demo.retries import STEADY_S, WAITS_S, Retries
from gateway.demo.story import Act, Denounce, Story
from gateway.hosting.clock import SharedClock
from tests.gateway.conftest import COUNTY

NOWHERE = "http://127.0.0.1:9"
SOON_S = 20.0


class Passing:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_what_keeps_dying_is_started_later_and_later_and_then_no_more() -> None:
    passing = Passing()
    retries = Retries(passing)
    waits = []
    for _ in range(len(WAITS_S) + 2):
        retries.begins("village")
        passing.now_s += 3
        waits.append(retries.falls("village"))
    assert waits[0] == 0, "one that died once is missed at once"
    assert all(before < after for before, after in pairwise(waits[: len(WAITS_S)]))
    assert waits[len(WAITS_S) :] == [inf, inf]
    assert retries.falls("township") == 0, "the others are not held up"


def test_what_lived_long_and_died_is_started_at_once_again() -> None:
    passing = Passing()
    retries = Retries(passing)
    for lived_s in (1.0, 1.0, STEADY_S):
        retries.begins("village")
        passing.now_s += lived_s
        wait_s = retries.falls("village")
    assert wait_s == 0


@pytest.fixture
def desks() -> Iterator[Desks]:
    found = Desks({COUNTY: Place(NOWHERE)}, "green wheat 1978")
    yield found
    found.close()


def denounced(at_us: int) -> Story:
    yield Act(at_us, COUNTY, "citizen", Denounce("410200000000", "x"))


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_an_act_that_waits_for_its_node_is_given_up_when_the_desks_close(desks: Desks) -> None:
    act = next(denounced(1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desks.perform, act, uuid4())
        time.sleep(0.3)
        assert not waiting.done()
        desks.close()
        with pytest.raises(Interrupted):
            waiting.result(SOON_S)


def test_a_play_that_is_stopped_does_not_wait_for_what_is_under_way(desks: Desks, tmp_path: Path) -> None:
    stopped = threading.Event()
    threading.Timer(0.5, stopped.set).start()
    clock = SharedClock(tmp_path / "clock", 1)
    assert seconds(lambda: play([("one", 1, denounced(1))], desks, clock, lambda *_: None, stopped)) < SOON_S


def test_a_start_is_broken_off_once_the_end_was_asked_for() -> None:
    ending = Ending()
    ending.check()
    ending.asked.set()
    with pytest.raises(Interrupted):
        ending.check()


INTERRUPTED_AT: Final = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)

moment = sys.argv.pop(1)
sys.meta_path.insert(0, CtrlC())
from gateway.entry import main
main()
"""
"""Presses Ctrl-C when this module is looked for, however long the machine takes to come to it."""


@pytest.mark.parametrize(
    "moment", ["gateway.__main__", "typer", "domain.divisions", "gateway.demo.performance", "psycopg", "gateway.node"]
)
def test_ctrl_c_while_the_program_is_being_loaded_ends_it_by_one_line(tmp_path: Path, moment: str) -> None:
    line = [sys.executable, "-c", INTERRUPTED_AT, moment, "demo", "--dir", str(tmp_path / "city")]
    run = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "已停止 / stopped\n")
    assert not (tmp_path / "city").exists()
