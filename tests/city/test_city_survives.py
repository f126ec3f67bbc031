"""`--input` while nodes and the database are killed: it ends as if nothing had happened."""

import csv
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from domain.divisions import Division
from domain.events import encode
from gateway.demo import messages, performance
from gateway.demo.keeper import pid_of
from gateway.demo.player import play
from gateway.demo.scripted_day import CITY, COUNTY, GEGANG, WULIHE_VILLAGE
from gateway.hosting.status import NodeStatus
from sync.proofs.merkle import leaf_hash
from tests.city.conftest import Town
from tests.city.living import Answered, Living, huiyin

pytestmark = [pytest.mark.city, pytest.mark.timeout(1200)]

MESSAGES = 63  # every way through the city equally often, in both runs
CALM = datetime(2026, 9, 1, 8, 0)  # noqa: DTZ001  written as the file has it, in local time
STORMY = datetime(2027, 1, 4, 8, 0)  # noqa: DTZ001


def written(first: datetime) -> list[dict[str, str]]:
    """Messages from `first` on, one every seven hours, answered after two to fifty-six days."""
    rows = []
    for number in range(MESSAGES):
        received = first + timedelta(hours=7 * number)
        replied = received + timedelta(days=2 + number * 11 % 55, minutes=number)
        kind = "建议" if number % 5 == 0 else "反映"
        rows.append(
            {
                "title": f"{kind}第 {number} 号路口信号灯",
                "body": f"第 {number} 号路口早晚高峰信号灯时间太短，老人和孩子过不去。",
                "created_at": received.isoformat(" "),
                "reply": f"您好，第 {number} 号路口的绿灯已延长八秒，欢迎继续监督。",
                "replied_at": replied.isoformat(" "),
            }
        )
    return rows


def save(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, messages.COLUMNS)
        out.writeheader()
        out.writerows(rows)
    return path


class Run(NamedTuple):
    """One run of `--input`. learned: by node, how many events of each kind it learned meanwhile."""

    answered: list[Answered]
    learned: dict[Division, Counter[str]]
    nodes: list[NodeStatus]


class Storm(NamedTuple):
    """The undisturbed run, the disturbed one, and who was killed meanwhile: process before, process after."""

    calm: Run
    stormy: Run
    killed: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def storm(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Storm:
    """A file of messages without disturbance, then with as many more while everything dies once."""
    living = town.living
    living.settle()
    folder = tmp_path_factory.mktemp("messages")
    calm = observed(living, save(folder / "calm.csv", written(CALM)), lambda *_: None)
    known = {one.command_id for one in calm.answered}
    killed: dict[str, tuple[int, int]] = {}
    both = save(folder / "both.csv", written(CALM) + written(STORMY))
    stormy = observed(living, both, lambda *seen: kill_each(living, known, killed, *seen))
    return Storm(calm, stormy, killed)


def observed(living: Living, file: Path, disturb: Callable[[list[Answered], Callable[[], bool]], None]) -> Run:
    """Play a file. disturb: called meanwhile with what has been answered so far, and whether it still plays."""
    before = {one: living.position(one) for one in living.members}
    desks = living.desks()
    told = performance._stories(living.city, messages.read(file))
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(play, told, desks, living.clock, lambda *_: None, threading.Event())
        disturb(desks.answered, lambda: not playing.done())
        playing.result()
    desks.close()
    nodes = living.settle()
    learned = {one: living.topics(one, before[one]) for one in living.members}
    return Run(desks.answered, learned, nodes)


def kill_each(
    living: Living,
    known: set[UUID],
    killed: dict[str, tuple[int, int]],
    answered: list[Answered],
    plays: Callable[[], bool],
) -> None:
    """kill -9 of a village, a township, the county and the database, spread over what is new in the run."""
    victims: dict[str, Callable[[], int]] = {
        "village": lambda: pid_of(living.city, living.members[WULIHE_VILLAGE]),
        "township": lambda: pid_of(living.city, living.members[GEGANG]),
        "county": lambda: pid_of(living.city, living.members[COUNTY]),
        "database": lambda: database_pid(living),
    }
    for number, (name, pid) in enumerate(victims.items(), start=1):
        due = number * len(known) // 6
        while fresh(answered, known) < due and plays():
            time.sleep(0.02)
        assert plays(), f"the run was over before the {name} could be killed"
        killed[name] = kill(pid)


def kill(pid: Callable[[], int]) -> tuple[int, int]:
    """Kill -9 the process that `pid` names; it, and the one that took its place."""
    before = pid()
    os.kill(before, signal.SIGKILL)
    give_up = time.monotonic() + 120
    while not has_changed(pid, before):
        assert time.monotonic() < give_up, "nothing took its place"
        time.sleep(0.02)
    return before, pid()


def fresh(answered: list[Answered], known: set[UUID]) -> int:
    return sum(one.command_id not in known for one in list(answered))


def database_pid(living: Living) -> int:
    return int((living.city.server.data / "postmaster.pid").read_text("ascii").split("\n", 1)[0])


def has_changed(pid: Callable[[], int], before: int) -> bool:
    try:
        return pid() != before
    except (OSError, ValueError):
        return False


def test_each_of_them_died_once_in_the_middle_and_came_back(storm: Storm) -> None:
    assert list(storm.killed) == ["village", "township", "county", "database"]
    assert all(before != after for before, after in storm.killed.values())


def test_every_message_became_a_case_that_came_to_its_end(living: Living, storm: Storm) -> None:
    with living.person(CITY, "auditor") as auditor:
        for first, last in ((CALM, STORMY), (STORMY, STORMY + timedelta(days=90))):
            window = {"scope": "all", "received_from": first.date(), "received_to": last.date() - timedelta(days=1)}
            assert auditor.get("/api/cases", **window)["count"] == MESSAGES
            assert auditor.get("/api/cases", **window, status="closed")["count"] == MESSAGES


def test_the_disturbed_run_answered_as_many_commands_and_wrote_the_same_events_everywhere(storm: Storm) -> None:
    known = {one.command_id for one in storm.calm.answered}
    assert fresh(storm.stormy.answered, known) == len(known) == len(storm.calm.answered)
    assert storm.stormy.learned == storm.calm.learned


def test_no_acknowledged_command_is_gone_or_done_twice_at_any_tier(living: Living, storm: Storm) -> None:
    held = {
        one: Counter(bytes(leaf) for (leaf,) in living.rows(one, "select leaf from ledger")) for one in living.members
    }
    acknowledged = {
        (one.act.node, leaf_hash(encode(event)))
        for run in (storm.calm, storm.stormy)
        for one in run.answered
        for event in one.recorded.events
    }
    assert len(acknowledged) > 2 * MESSAGES * 5
    for node, leaf in acknowledged:
        for tier in (node, *living.above(node)):
            assert held[tier][leaf] == 1, f"at {tier}"
    for one in living.members:
        assert set(held[one].values()) == {1}, "and nothing stands twice in any ledger"


def test_a_command_repeated_after_everything_answers_what_it_answered_first(storm: Storm) -> None:
    first = {one.command_id: one.recorded for one in storm.calm.answered}
    repeated = {one.command_id: one.recorded for one in storm.stormy.answered if one.command_id in first}
    assert repeated == first


def test_every_log_stands_at_every_superior_once_in_the_same_bytes_and_order(living: Living, storm: Storm) -> None:
    assert living.differing_logs() == []


def test_nobody_was_taken_for_a_forger_because_of_it(storm: Storm) -> None:
    assert [(one.division, one.lag, one.quarantined) for one in storm.stormy.nodes] == [
        (one.division, 0, 0) for one in storm.calm.nodes
    ]


def test_every_view_of_every_node_equals_its_rebuild(living: Living, storm: Storm) -> None:
    def checked(division: Division) -> tuple[int, str]:
        run = huiyin("projections", "rebuild", "--check", "--node", str(living.folder(division)), limit_s=300)
        return run.returncode, run.stdout + run.stderr

    with ThreadPoolExecutor(2) as pool:
        for code, said in pool.map(checked, living.members):
            assert code == 0, said
            assert "equal" in said
