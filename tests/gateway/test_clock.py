"""What a node records bears moments that never run backwards, whatever the machine's clock does."""

import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from domain.events import Actor, decode
from gateway.casework.journal import Journal
from gateway.hosting import config, founding
from gateway.hosting.clock import HeldClock, SharedClock
from gateway.hosting.outside_witness import WitnessConfig, found_witness
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from gateway.web.units import NewUnit, open_unit
from sync.ledger.append import Append
from sync.trust.keys import CommandSecret
from tests.gateway.conftest import COUNTY, changed, free_port, settings

HOUR_US = 3_600_000_000


class Script:
    """A clock that says one moment after the other."""

    def __init__(self, *moments_us: int) -> None:
        self._moments = iter(moments_us)

    def now_us(self) -> int:
        return next(self._moments)


def test_a_held_clock_stands_where_the_one_below_runs_back_and_goes_on_once_it_is_overtaken() -> None:
    clock = HeldClock(Script(10, 12, 5, 11, 13, 14))
    assert [clock.now_us() for _ in range(5)] == [10, 12, 12, 12, 13]
    clock.hold(20)
    assert clock.now_us() == 20


def test_a_process_that_reads_the_shared_clock_while_it_jumps_sees_it_before_or_after_the_jump(tmp_path: Path) -> None:
    clock = SharedClock(tmp_path / "clock", start_us=1_000_000_000_000_000)
    reading = (
        "import sys, time; from pathlib import Path; from gateway.hosting.clock import SharedClock\n"
        "clock = SharedClock(Path(sys.argv[1])); print(flush=True); end = time.monotonic() + 2; seen = []\n"
        "while time.monotonic() < end: seen.append(clock.now_us())\n"
        "print(len(seen), min(seen), max(seen))"
    )
    jumps = 0
    with subprocess.Popen([sys.executable, "-c", reading, str(tmp_path / "clock")], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        while reader.poll() is None:
            for _ in range(1_000):
                jumps += 1
                clock.advance_to(clock.now_us() + 1_000)
        count, earliest, latest = map(int, reader.stdout.read().split())
    assert count > 10_000
    assert jumps > 10_000
    assert earliest >= 1_000_000_000_000_000
    assert latest <= clock.now_us()


def test_whoever_takes_the_later_moment_comes_later_in_the_queue() -> None:
    ticks, queue = iter(range(10_000)), list[int]()
    lock = threading.Lock()

    class Ticking:
        def now_us(self) -> int:
            with lock:
                return next(ticks)

    clock = HeldClock(Ticking())
    journal = Journal(clock, lambda append: queue.append(int(append.result)), CommandSecret(bytes(32)))  # type: ignore[arg-type,func-returns-value]

    def record() -> None:
        for _ in range(200):
            with journal.turn() as turn:
                time.sleep(0)
                turn.append(Append([], result=b"%d" % turn.now_us))

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue == sorted(queue)
    assert len(queue) == 800


@pytest.fixture
def found(postgres: PostgresServer, tmp_path: Path) -> Callable[[], Node]:
    """Starts one and the same node, its clock a file that the test may set."""
    SharedClock(tmp_path / "clock", start_us=1_780_000_000_000_000)
    key = found_witness(tmp_path / "witness", WitnessConfig(name="audit.test.example/witness", port=free_port()))
    own = changed(
        settings(postgres, COUNTY, "杞县信访局", 77),
        witness=config.OutsideWitness(url="http://127.0.0.1:9", key=key),
        clock=config.ClockChoice(kind="shared", path=str(tmp_path / "clock")),
    )
    founding.found_root(tmp_path / "node", own, 1_780_000_000_000_000)

    def start() -> Node:
        node = Node(tmp_path / "node")
        node.open()
        return node

    return start


def set_back(tmp_path: Path, by_us: int) -> None:
    offset = struct.unpack("<q", (tmp_path / "clock").read_bytes())[0]
    with (tmp_path / "clock").open("r+b") as file:
        file.write(struct.pack("<q", offset - by_us))


def write_something(node: Node) -> None:
    actor = Actor(account=uuid4(), role="operator", unit=node.office)
    open_unit(node, NewUnit(short=f"u{uuid4().hex[:8]}", name="接访科"), actor, uuid4())
    node.denunciations._record(lambda item: item.bytes * 4_096, b"letter")


def moments(node: Node) -> list[tuple[int, int]]:
    """recorded and known of every event, in the order of the ledger."""
    return [(decode(row.body).recorded_us, row.known_us) for row in node.reader.read(0, 1_000)]


def test_a_clock_that_is_set_back_leaves_no_event_earlier_than_the_one_before_it_also_after_a_restart(
    found: Callable[[], Node], tmp_path: Path
) -> None:
    node = found()
    write_something(node)
    set_back(tmp_path, HOUR_US)
    write_something(node)
    node.stop()
    set_back(tmp_path, HOUR_US)
    node = found()
    write_something(node)
    told = moments(node)
    node.stop()

    recorded, known = [one for one, _ in told], [one for _, one in told]
    assert len(told) == 9
    assert recorded == sorted(recorded)
    assert known == sorted(known)
    assert all(before <= after for before, after in told), "nothing is known before it was recorded"
    assert recorded[-1] - recorded[0] < HOUR_US
