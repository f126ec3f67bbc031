"""A machine's clock that is years off poisons no node: nothing is recorded by it, and all the rest goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.clocks import DAY_US
from domain.divisions import tier_of
from domain.events import Actor, read
from gateway.app import build_app
from gateway.hosting import config, founding
from gateway.hosting.clock_doubt import BUILT_US, GAP_DAYS, STEP_US, ClockInDoubt
from gateway.hosting.clock_watch import ACCEPTED, accept_clock
from gateway.hosting.config import ConfigInvalid
from gateway.hosting.machine_clock import MachineClock
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from gateway.reading.health import health
from gateway.serving import open_accounts
from gateway.web.units import NewUnit, open_unit
from sync.proofs.note import COSIGNATURE_V1, Ed25519Signer, cosign, parse_checkpoint, parse_note
from sync.proofs.tree import OWN_LOG
from tests.gateway.conftest import COUNTY, PASSWORD, Office, changed
from tests.gateway.test_command_line import huiyin
from tests.gateway.test_node_life import handed_to_roads, openings, put_off

NOON_US = 1_795_406_400_000_000
MINUTE_US = 60_000_000
YEAR_US = 365 * DAY_US
IN_1970_US = 86_400_000_000
IN_2011_US = 1_300_000_000_000_000
WITNESS = Ed25519Signer("audit.test.example/witness", COSIGNATURE_V1, bytes(range(32)))


class Machine:
    """A machine whose clock a test sets, beside a counter that only goes on."""

    def __init__(self, now_us: int = NOON_US) -> None:
        self.us = now_us
        self.counter_us = 0

    def now_us(self) -> int:
        return self.us

    def go_on(self, by_us: int) -> None:
        self.us += by_us
        self.counter_us += by_us

    def clock(self) -> MachineClock:
        return MachineClock(self, lambda: self.counter_us)


def doubted(clock: MachineClock) -> str | None:
    doubt = clock.doubt()
    return doubt.kind if doubt else None


@pytest.mark.parametrize(
    ("says_us", "kind"),
    [
        (NOON_US, None),
        (NOON_US - STEP_US, None),
        (NOON_US - STEP_US - 1, "behind"),
        (IN_1970_US, "behind"),
        (IN_2011_US, "behind"),
        (NOON_US + GAP_DAYS * DAY_US, None),
        (NOON_US + GAP_DAYS * DAY_US + 1, "ahead"),
        (NOON_US + 5 * YEAR_US, "ahead"),
    ],
)
def test_at_the_start_the_clock_is_measured_against_the_last_moment_that_is_certain(
    says_us: int, kind: str | None
) -> None:
    clock = Machine(says_us).clock()
    clock.begin(NOON_US, 0)
    assert doubted(clock) == kind
    assert clock.now_us() == (NOON_US if kind else max(NOON_US, says_us))


def test_a_node_that_has_recorded_nothing_knows_only_that_this_program_is_younger() -> None:
    assert doubted(Machine(BUILT_US - 1).clock()) == "behind"
    assert doubted(Machine(BUILT_US).clock()) is None


def test_after_a_long_silence_a_late_cosignature_bears_the_clock_out() -> None:
    clock = Machine(NOON_US + 90 * DAY_US).clock()
    clock.begin(NOON_US, NOON_US + 40 * DAY_US)
    assert doubted(clock) is None


@pytest.mark.parametrize("by_us", [STEP_US + 1, 5 * YEAR_US, -STEP_US - 1, -5 * YEAR_US])
def test_a_step_while_the_node_runs_is_not_believed_until_it_is_taken_back(by_us: int) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.begin(NOON_US, 0)
    assert clock.sure_us() == NOON_US
    machine.us += by_us
    machine.go_on(MINUTE_US)
    assert clock.now_us() == NOON_US + MINUTE_US, "the counter goes on"
    with pytest.raises(ClockInDoubt) as refused:
        clock.sure_us()
    assert "请校准本机时钟" in refused.value.zh
    assert "--accept" in refused.value.en
    machine.us -= by_us
    assert clock.sure_us() == NOON_US + MINUTE_US


def test_small_steps_are_followed_and_never_backwards_and_a_machine_that_slept_has_not_stepped() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.begin(NOON_US, 0)
    machine.us += STEP_US
    assert clock.sure_us() == NOON_US + STEP_US
    machine.us -= STEP_US
    assert clock.sure_us() == NOON_US + STEP_US
    machine.go_on(30 * DAY_US)
    assert clock.sure_us() == NOON_US + 30 * DAY_US


def test_a_step_is_believed_as_far_as_the_next_one_up_speaks_for_it() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.begin(NOON_US, 0)
    clock.sure_us()
    machine.us += DAY_US
    clock.vouch(NOON_US - DAY_US)
    assert doubted(clock) == "stepped"
    clock.vouch(NOON_US + DAY_US - MINUTE_US)
    assert clock.sure_us() == NOON_US + DAY_US


# --- a real node ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(postgres: PostgresServer, tmp_path: Path) -> Path:
    name = f"clock_{uuid4().hex[:12]}"
    postgres.create_database(name)
    settings = config.NodeConfig(
        node=config.Identity(
            division=COUNTY, name="杞县信访局", tier=tier_of(COUNTY), trust_domain="test.example", parent=None
        ),
        database=config.Database(dsn=postgres.dsn(name)),
        witness=config.OutsideWitness(url="http://127.0.0.1:9", key=WITNESS.verifier.vkey),
    )
    founding.found_root(tmp_path / "node", settings, NOON_US)
    return tmp_path / "node"


@contextmanager
def opened(folder: Path, machine: Machine) -> Iterator[Node]:
    node = Node(folder, machine.clock())
    node.open()
    try:
        yield node
    finally:
        node.views.close()
        node.stop()


def record(node: Node) -> None:
    actor = Actor(account=UUID(int=1), role="operator", unit=node.office)
    open_unit(node, NewUnit(short=f"u{uuid4().hex[:8]}", name="接访科"), actor, uuid4())


def learn(node: Node) -> int:
    """The moment that the node's writer gives to what it learns from others."""
    return node.writer.run(lambda _, intake: intake.recorded_us).result(10)


def recorded(node: Node) -> list[int]:
    return [read(row.body).recorded_us for row in node.reader.read(0, 1_000)]  # type: ignore[union-attr]


def look(node: Node) -> None:
    """What the thread `clock` of a started node does every second."""
    assert node.watch is not None
    node.watch.look()


def test_a_clock_that_says_2031_for_a_moment_leaves_no_event_there_and_the_node_says_why_it_waits(
    folder: Path,
) -> None:
    machine = Machine()
    with opened(folder, machine) as node:
        record(node)
        node.views.prepare()
        open_accounts(node.dsn, node.here, PASSWORD, {"operator": ("operator", False)})
        office = Office(node, build_app(node))
        visitor, operator = office.client(), office.browser("operator")
        machine.us += 5 * YEAR_US
        machine.go_on(MINUTE_US)
        with pytest.raises(ClockInDoubt):
            record(node)
        assert learn(node) == NOON_US + MINUTE_US
        answer = visitor.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "clock_in_doubt")
        assert "retry-after" in answer.headers
        assert node.status().clock_doubt == "stepped"
        assert "huiyin_clock_doubt 1.0" in visitor.get("/metrics").text
        told = health(node).doubt
        assert told is not None
        assert "2031" in told.zh
        assert told.zh in operator.get("/node").text

        machine.us -= 5 * YEAR_US
        assert visitor.get("/readyz").status_code == 200
        assert "本机时钟" not in operator.get("/node").text
        record(node)
        assert recorded(node)[-1] == NOON_US + MINUTE_US


@pytest.mark.parametrize("wakes_us", [IN_1970_US, IN_2011_US, NOON_US + 5 * YEAR_US])
def test_a_node_that_wakes_up_in_another_year_reads_and_receives_and_records_once_its_clock_is_right(
    folder: Path, wakes_us: int
) -> None:
    with opened(folder, Machine()) as node:
        record(node)
    machine = Machine(wakes_us)
    with opened(folder, machine) as node:
        before = recorded(node)
        with pytest.raises(ClockInDoubt):
            record(node)
        assert learn(node) == NOON_US
        assert recorded(node) == before
        machine.us = NOON_US + 3 * DAY_US
        record(node)
        assert recorded(node)[-1] == NOON_US + 3 * DAY_US


def test_what_the_operator_confirms_is_believed_at_once_and_after_a_restart(folder: Path) -> None:
    with opened(folder, Machine()) as node:
        record(node)
    after = Machine(NOON_US + 2 * GAP_DAYS * DAY_US)
    with opened(folder, after) as node:
        with pytest.raises(ClockInDoubt):
            record(node)
        accept_clock(folder, after.us)
        look(node)
        assert node.clock.doubt() is None
    with opened(folder, after) as node:
        record(node)
        assert recorded(node)[-1] == after.us
    with opened(folder, Machine(after.us - DAY_US)) as node, pytest.raises(ClockInDoubt):
        record(node)


def test_where_a_false_moment_was_recorded_what_follows_bears_the_true_one_once_it_is_confirmed(folder: Path) -> None:
    false_us = NOON_US + 30 * DAY_US
    with opened(folder, Machine(false_us)) as node:
        record(node)
    machine = Machine(NOON_US)
    with opened(folder, machine) as node:
        with pytest.raises(ClockInDoubt):
            record(node)
        accept_clock(folder, NOON_US)
        look(node)
        record(node)
        machine.go_on(MINUTE_US)
    with opened(folder, machine) as node:
        record(node)
        assert recorded(node)[-2:] == [NOON_US, NOON_US + MINUTE_US]
        assert [row.known_us for row in node.reader.read(0, 1_000)][-1] == false_us, "what is known keeps its order"
        machine.us = false_us + DAY_US
        machine.counter_us += false_us + DAY_US - NOON_US
        record(node)
    with opened(folder, Machine(NOON_US)) as node, pytest.raises(ClockInDoubt):
        record(node)


def test_what_the_node_does_by_itself_waits_for_its_clock_and_nothing_of_it_is_left_out(folder: Path) -> None:
    machine = Machine()
    with opened(folder, machine) as node:
        _, leg = handed_to_roads(node)
        machine.us += 5 * YEAR_US
        with pytest.raises(ClockInDoubt):
            node.steward.step()
        assert (openings(node, leg), put_off(node), node.links.faults()) == (0, 0, [])
        machine.us -= 5 * YEAR_US
        node.steward.step()
        assert openings(node, leg) == 1


@pytest.mark.parametrize(
    ("signed_after_us", "skew_s"), [(0, 0), (MINUTE_US, 0), (3 * MINUTE_US, 60), (-YEAR_US, -YEAR_US // 1_000_000 + 1)]
)
def test_a_cosignature_from_before_its_event_or_after_its_arrival_shows_how_far_the_clocks_are_apart(
    folder: Path, signed_after_us: int, skew_s: int
) -> None:
    machine = Machine()
    with opened(folder, machine) as node:
        node.views.prepare()
        assert node.status().clock_skew_s == 0
        node.links.seal_all()
        with node.links._store.transaction() as tx:
            head = parse_checkpoint(parse_note((tx.newest_note(OWN_LOG) or "").encode()).text)
            line = str(cosign(head.text(), WITNESS, (NOON_US + signed_after_us) // 1_000_000))
            tx.keep_cosignatures(WITNESS.verifier.name, [(OWN_LOG, head.size, line)], NOON_US + 2 * MINUTE_US)
        assert node.status().clock_skew_s == skew_s
        assert node.links.cosigned_us() == NOON_US + signed_after_us
        assert health(node).is_skewed == (abs(skew_s) > 600)


def test_the_command_line_shows_the_clock_and_confirms_it_only_when_it_is_told_to(folder: Path) -> None:
    assert "the machine's clock: 20" in huiyin("node", "clock", folder)
    assert not (folder / ACCEPTED).exists()
    assert "confirmed: 20" in huiyin("node", "clock", folder, "--accept")
    assert (folder / ACCEPTED).exists()


def test_a_clock_that_cannot_be_right_and_a_demos_clock_are_not_confirmed(folder: Path) -> None:
    with pytest.raises(ClockInDoubt):
        accept_clock(folder, IN_2011_US)
    demo = config.ClockChoice(kind="shared", path="clock")
    config.write(folder, changed(config.load(folder), clock=demo))
    with pytest.raises(ConfigInvalid):
        accept_clock(folder, NOON_US)
