"""What a node does by itself, and how it ends: named, and not ready before that."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
import psycopg
import pytest
from fastapi.testclient import TestClient

from domain.clocks import due, shanghai_date
from domain.commands import AnyCommand
from domain.divisions import tier_of
from domain.events import Actor, HandedOver, LegOpened, Objected, ObjectionLapsed, Role, read
from domain.limits import rule_on
from gateway.app import build_app
from gateway.backup.backup import make_backup
from gateway.backup.backup_file import Cost
from gateway.backup.restore import Changes, restore_backup
from gateway.casework.desk import Recorded
from gateway.hosting import config, founding
from gateway.hosting.clock import SharedClock
from gateway.hosting.outside_witness import WitnessConfig, found_witness
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import FolderInUse, LedgerOutdated, Node
from gateway.reading.health import health
from gateway.rebuilding import retry
from gateway.web.units import NewUnit, open_unit
from sync.ledger.append import LedgerUnavailable, StaleVersion
from sync.ledger.writer import Writer
from tests.gateway.conftest import COUNTY, PASSWORD, Office, wait_until
from tests.gateway.hostile import petition
from tests.gateway.test_api import registration
from tests.gateway.test_erasure import quiet

OFFICE = f"{COUNTY}.office"
ROADS = f"{COUNTY}.roads"
NOON_US = 1_795_406_400_000_000
HOUR_US = 3_600_000_000


def founded(folder: Path, database: config.Database) -> Path:
    """The folder of a root on the test's clock; nobody listens where its witness should be."""
    SharedClock(folder / "clock", NOON_US)
    key = found_witness(folder / "witness", WitnessConfig(name="audit.test.example/witness", port=9))
    settings = config.NodeConfig(
        node=config.Identity(
            division=COUNTY, name="杞县信访局", tier=tier_of(COUNTY), trust_domain="test.example", parent=None
        ),
        database=database,
        clock=config.ClockChoice(kind="shared", path=str(folder / "clock")),
        witness=config.OutsideWitness(url="http://127.0.0.1:9", key=key),
    )
    founding.found_root(folder / "node", settings, NOON_US)
    return folder / "node"


@pytest.fixture
def folder(postgres: PostgresServer, tmp_path: Path) -> Path:
    name = f"life_{uuid4().hex[:12]}"
    postgres.create_database(name)
    return founded(tmp_path, config.Database(dsn=postgres.dsn(name)))


@contextmanager
def opened(folder: Path) -> Iterator[Node]:
    node = Node(folder)
    node.open()
    try:
        yield node
    finally:
        node.stop()


@contextmanager
def tended(node: Node) -> Iterator[None]:
    """While its steward runs."""
    steward = threading.Thread(target=node.steward.run, daemon=True)
    steward.start()
    try:
        yield
    finally:
        node.steward.stop()
        steward.join(timeout=20)


def test_a_ledger_of_a_program_whose_ids_named_no_node_is_refused_by_name(folder: Path) -> None:
    with opened(folder) as node:
        (first, *_), dsn = node.reader.read(0, 1), node.dsn
    own = str(read(first.body).id).encode()
    with psycopg.connect(dsn) as conn:
        conn.execute("update ledger set body = %s where pos = 1", (first.body.replace(own, str(uuid4()).encode()),))
    with pytest.raises(LedgerOutdated, match="found the node anew"):
        Node(folder).open()


def do(node: Node, role: Role, unit: str = OFFICE, **command: Any) -> Recorded:
    person = Actor(account=UUID(int=1), role=role, unit=unit)
    return node.desk.do(msgspec.convert(command, AnyCommand), person, uuid4())


def handed_to_roads(node: Node) -> tuple[str, str]:
    """A case that its office has transferred to another of the same node, and the leg that is to be opened there."""
    if not node.around.is_unit(ROADS):
        operator = Actor(account=UUID(int=1), role="operator", unit=OFFICE)
        open_unit(node, NewUnit(short="roads", name="公路所"), operator, uuid4())
    recorded = do(node, "clerk", **registration(issue_region=COUNTY, received_on="2026-11-20"))
    leg = next(event.leg for event in recorded.events if isinstance(event, LegOpened))
    moved = do(
        node,
        "handler",
        command="hand_over",
        case=str(recorded.case),
        leg=str(leg),
        to=ROADS,
        mode="transfer",
        reason="道路归其管理",
    )
    handed = next(event for event in moved.events if isinstance(event, HandedOver))
    return str(recorded.case), str(handed.next_leg)


def openings(node: Node, leg: str) -> int:
    events = [read(row.body) for row in node.reader.read(0, 10_000)]
    return sum(isinstance(event, LegOpened) and str(event.leg) == leg for event in events)


def rename(node: Node, was: bytes, becomes: bytes) -> None:
    """Stands for another version of this program: the same leaf, read under a name that is known, or is not."""
    with node.pool.connection() as conn:
        conn.execute(
            "update ledger set body = decode(replace(encode(body, 'escape'), %s, %s), 'escape')"
            " where topic = 'leg.handed_over.v0'",
            (was.decode(), becomes.decode()),
        )


def put_off(node: Node) -> int:
    with node.pool.connection() as conn:
        ((count,),) = conn.execute("select count(*) from web.steward_later").fetchall()
    return int(count)


def newer_from(node: Node) -> int | None:
    """From which position on something waits for a newer version."""
    with node.pool.connection() as conn:
        ((pos,),) = conn.execute("select newer_pos from web.steward").fetchall()
    return None if pos is None else int(pos)


def test_what_an_older_version_could_not_read_is_attended_to_after_the_upgrade(folder: Path) -> None:
    with opened(folder) as node:
        _, leg = handed_to_roads(node)
        rename(node, b"leg.handed_over.v0", b"leg.handed_over.v9")
        with tended(node):
            wait_until(lambda: newer_from(node) is not None)
        rename(node, b"leg.handed_over.v9", b"leg.handed_over.v0")
        assert openings(node, leg) == 0
    with opened(folder) as node, tended(node):
        wait_until(lambda: openings(node, leg) == 1)
        wait_until(lambda: newer_from(node) is None)


def test_of_all_that_a_newer_version_wrote_one_position_is_kept_and_what_is_new_comes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as node:
        legs = [handed_to_roads(node)[1] for _ in range(4)]
        rename(node, b"leg.handed_over.v0", b"leg.handed_over.v9")
        node.steward.step()
        first = newer_from(node)
        assert first is not None
        assert put_off(node) == 0
        handed_to_roads(node)
        rename(node, b"leg.handed_over.v0", b"leg.handed_over.v9")
        node.steward.step()
        assert newer_from(node) == first
    with opened(folder) as node:
        rows = node.reader.fetch("select pos from ledger where topic = 'leg.handed_over.v0' order by pos")
        still = [pos for (pos,) in rows]
        with node.pool.connection() as conn:  # the upgrade reads all but the third
            conn.execute(
                "update ledger set body = decode(replace(encode(body, 'escape'), 'handed_over.v9', 'handed_over.v0'),"
                " 'escape') where topic = 'leg.handed_over.v0' and pos <> %s",
                (still[2],),
            )
        _, new = handed_to_roads(node)
        monkeypatch.setattr(node.steward, "_try_again", lambda: True)
        node.steward.step()
        assert openings(node, new) == 1
        assert [openings(node, leg) for leg in legs] == [0, 0, 0, 0], "they wait for what is new"
        monkeypatch.undo()
        node.steward.step()
        assert [openings(node, leg) for leg in legs] == [1, 1, 0, 1]
        assert newer_from(node) == still[2]


def test_a_steward_that_is_told_to_stop_leaves_the_rest_of_its_page_to_the_next_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as node:
        legs = [handed_to_roads(node)[1] for _ in range(2)]
        do_truly = node.desk.do

        def stopped_meanwhile(*given: Any) -> Recorded:
            node.steward.stop()
            return do_truly(*given)

        monkeypatch.setattr(node.desk, "do", stopped_meanwhile)
        node.steward.step()
        assert [openings(node, leg) for leg in legs] == [1, 0]
    with opened(folder) as node:
        node.steward.step()
        assert [openings(node, leg) for leg in legs] == [1, 1]


def test_what_failed_is_tried_again_every_hour_without_a_restart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as node:
        _, leg = handed_to_roads(node)

        def spoilt(*_: Any) -> Recorded:
            raise LookupError

        with monkeypatch.context() as broken:
            broken.setattr(node.desk, "do", spoilt)
            node.steward.step()
        assert put_off(node) == 1
        node.steward.step()
        assert openings(node, leg) == 0

        SharedClock(folder.parent / "clock").advance_to(node.clock.now_us() + HOUR_US)
        node.steward.step()

        assert openings(node, leg) == 1
        assert put_off(node) == 0
        assert unattended(node) == []


def test_a_stream_that_somebody_else_wrote_to_first_is_tried_again_and_is_no_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as node:
        _, leg = handed_to_roads(node)
        do_truly, stale = node.desk.do, [StaleVersion(uuid4(), 1, 2)]

        def late(*given: Any) -> Recorded:
            if stale:
                raise stale.pop()
            return do_truly(*given)

        monkeypatch.setattr(node.desk, "do", late)
        node.steward.step()

        assert openings(node, leg) == 1
        assert unattended(node) == []
        assert put_off(node) == 0


def test_a_fault_of_a_case_is_over_once_the_case_can_be_attended_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as node:
        case, _ = handed_to_roads(node)
        with node.pool.connection() as conn:
            conn.execute("insert into web.erased_case values (%s)", (case,))

        def spoilt(_case: UUID) -> None:
            raise LookupError

        with monkeypatch.context() as broken:
            broken.setattr(node.steward._erasing, "_file", spoilt)
            node.steward.step()
        assert unattended(node) == [f"case {case}"]

        SharedClock(folder.parent / "clock").advance_to(node.clock.now_us() + HOUR_US)
        node.steward.step()

        assert unattended(node) == []
        assert put_off(node) == 0


def unattended(node: Node) -> list[str]:
    return [fault.subject for fault in node.links.faults() if fault.kind == "unattended"]


def test_a_parked_case_is_taken_in_by_the_operators_command_while_the_node_is_open(folder: Path) -> None:
    said: list[str] = []
    with opened(folder) as node:
        handed_to_roads(node)
        rename(node, b'"case":', b'"kase":')
        while node.views.step():
            pass
        node.views.close()
        assert retry(folder, None, tell=said.append) == 1
        assert any("still parked" in line for line in said)
        rename(node, b'"kase":', b'"case":')
        said.clear()

        assert retry(folder, None, tell=said.append) == 0

        assert any("taken in" in line for line in said)
        assert retry(folder, "authority", tell=said.append) == 0
        with node.pool.connection() as conn:
            assert conn.execute("select count(*) from views.parked").fetchone() == (0,)


def test_a_silent_objection_is_looked_at_when_it_can_end_and_not_before(folder: Path) -> None:
    with opened(folder) as node:
        case, leg = handed_to_roads(node)
        with tended(node):
            wait_until(lambda: openings(node, leg) == 1)
            objection = do(node, "handler", ROADS, command="object", case=case, leg=leg, reason="不归本单位")
            (raised,) = (event for event in objection.events if isinstance(event, Objected))
            wait_until(lambda: look_us(node) > 0)
            rule = rule_on("objection_ruling", shanghai_date(raised.recorded_us))
            end_us = due(rule, raised.recorded_us, node.around.calendar()).due_us
            assert look_us(node) == end_us

            SharedClock(folder.parent / "clock").advance_to(end_us + 1)

            wait_until(lambda: any(isinstance(read(row.body), ObjectionLapsed) for row in node.reader.read(0, 10_000)))
            wait_until(lambda: look_us(node) == 0)


def look_us(node: Node) -> int:
    """When the steward will look at the one objection; 0 where there is none, or it does not know yet."""
    with node.pool.connection() as conn:
        found = conn.execute("select look_us from web.objection_watch").fetchall()
    return int(found[0][0]) if found else 0


def test_an_idle_node_that_was_fenced_is_no_longer_ready_and_ends_with_the_reason(folder: Path) -> None:
    node = Node(folder)
    node.start()
    try:
        visitor = Office(node, build_app(node)).client()
        assert visitor.get("/readyz").status_code == 200
        with Writer(node.dsn, 1, node.clock.now_us):
            assert node.failed.wait(10)
        answer = visitor.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "node_stopped")
        assert "another process has become this node's writer" in answer.json()["en"]
        assert health(node).failure == node.failure
        assert visitor.get("/healthz").status_code == 200
    finally:
        node.stop()


def test_a_folder_has_one_node(folder: Path) -> None:
    with opened(folder), pytest.raises(FolderInUse):
        Node(folder)


def test_a_node_that_brought_its_database_brings_it_back_when_it_is_killed(tmp_path: Path) -> None:
    node = Node(founded(tmp_path, config.Database()))
    node.start()
    try:
        visitor = Office(node, build_app(node)).client()
        wait_until(lambda: visitor.get("/readyz").status_code == 200)
        server = int((node.folder / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(server, signal.SIGKILL)

        def records_again() -> bool:
            try:
                handed_to_roads(node)
            except (psycopg.OperationalError, LedgerUnavailable):
                return False
            return visitor.get("/readyz").status_code == 200

        wait_until(records_again, 60)
        assert not node.failed.is_set()
    finally:
        node.stop()


PETITION = petition()


def filed_by_visitor(node: Node, key: UUID) -> Any:
    with TestClient(build_app(node), base_url="http://127.0.0.1") as client:
        answer = client.post("/api/public/petitions", json=PETITION, headers={"Idempotency-Key": str(key)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_no_visitors_key_keeps_the_node_from_what_it_does_by_itself(folder: Path) -> None:
    with opened(folder) as node:
        _, leg = handed_to_roads(node)
        handed = next(e for row in node.reader.read(0, 100) if isinstance(e := read(row.body), HandedOver))
        filed_by_visitor(node, uuid5(UUID("3f6d2b0e-8a54-4c0d-9d6b-5b6d1c0f7a21"), f"OpenLeg/{handed.id}"))
        with tended(node):
            wait_until(lambda: openings(node, leg) == 1)


def test_a_repeat_gets_its_first_answer_after_a_restart_and_from_a_backup(
    folder: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    key = uuid4()
    with opened(folder) as node:
        first = filed_by_visitor(node, key)
        with node.pool.connection() as conn:
            acts = conn.execute("select count(*) from command").fetchone()
    with opened(folder) as node:
        assert filed_by_visitor(node, key)["case"] == first["case"]
        make_backup(node.folder, node.dsn, tmp_path / "backup", PASSWORD, quiet, made_us=1, cost=Cost(64, 1, 1))
    name = f"again_{uuid4().hex[:12]}"
    postgres.create_database(name)
    changes = Changes(database=config.Database(dsn=postgres.dsn(name)))
    restore_backup(tmp_path / "backup", tmp_path / "again", PASSWORD, quiet, changes=changes)
    with opened(tmp_path / "again") as node:
        assert filed_by_visitor(node, key)["case"] == first["case"]
        with node.pool.connection() as conn:
            assert conn.execute("select count(*) from command").fetchone() == acts


def test_a_case_whose_keys_are_slow_to_come_holds_up_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as node:
        reached, gate, seal = threading.Event(), threading.Event(), node.desk._sealer.seal

        def slow(command: AnyCommand, *given: Any) -> Any:
            if threading.current_thread() is waiting:
                reached.set()
                gate.wait(20)
            return seal(command, *given)

        monkeypatch.setattr(node.desk._sealer, "seal", slow)
        filing = registration(issue_region=COUNTY, received_on="2026-11-20")
        waiting = threading.Thread(target=lambda: do(node, "clerk", **filing))
        waiting.start()
        assert reached.wait(20)
        do(node, "clerk", **filing)
        gate.set()
        waiting.join(20)
        recorded = [event.recorded_us for row in node.reader.read(0, 100) if (event := read(row.body))]
    assert recorded == sorted(recorded)
    assert len(recorded) == 3 + 2 * 3


def test_a_stored_certificate_that_does_not_hold_is_a_fault_and_stops_no_start(folder: Path) -> None:
    with opened(folder) as node, node.pool.connection() as conn:
        conn.execute("insert into certificate (division, serial, body, num) values ('410222000000', 1, 'spoilt', 99)")

    with opened(folder) as node:
        assert [(fault.kind, fault.subject) for fault in node.links.faults()] == [
            ("certificate_set_aside", "certificate")
        ]
        assert do(node, "clerk", **registration(issue_region=COUNTY, received_on="2026-11-20")).case
