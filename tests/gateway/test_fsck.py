"""Tessera's `fsck` against real nodes: it rehashes a log that a node serves, and the replica its superior serves."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from domain.events import UnitOpened, encode, tag_of
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.ledger.append import Append, NewEvent
from sync.proofs.note import parse_checkpoint, parse_note
from tests import golang
from tests.gateway.conftest import COUNTY, VILLAGE, Town, free_port, running_town, serve, wait_until
from tests.gateway.test_tlog import Auditor

LEAVES = 700
ORIGIN = f"test.example/{VILLAGE}/1"


class Served(NamedTuple):
    """Two nodes that hold one log, and where each serves it."""

    town: Town
    village: str
    county: str


@pytest.fixture(scope="module")
def served(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    golang.program(golang.FSCK)
    with running_town(postgres, tmp_path_factory.mktemp("fsck")) as town:
        write_leaves(town.village.node)
        wait_until(lambda: town.village.node.status().cosigned_size >= LEAVES)
        ports = [free_port(), free_port()]
        stops = [serve(office.app, port) for office, port in zip((town.village, town.county), ports, strict=True)]
        yield Served(town, *(f"http://127.0.0.1:{port}/tlog/{ORIGIN}/" for port in ports))
        for stop in stops:
            stop()


def write_leaves(node: Node) -> None:
    """Offices opened, as events of the node's own; full tiles, a partial one and a second level come of them."""
    for batch in range(0, LEAVES, 100):
        with node.journal.turn() as turn:
            events = [
                UnitOpened(**node._own_envelope(turn.now_us), unit=f"{VILLAGE}.u{batch + number}", name="某办")
                for number in range(100)
            ]
            new = [NewEvent(event.stream, event.version, tag_of(event), None, encode(event)) for event in events]
            future = turn.append(Append(new))
        future.result(60)


@pytest.fixture
def key(served: Served, tmp_path: Path) -> Path:
    file = tmp_path / "log.vkey"
    logs = Auditor(served.town.village, ORIGIN).http.get("/tlog").json()["logs"]
    file.write_text(logs[0]["keys"][-1])
    return file


def token(served: Served, at: str) -> str:
    office = served.town.village if at == served.village else served.town.county
    return str(Auditor(office, ORIGIN).http.headers["authorization"].removeprefix("Bearer "))


def test_fsck_accepts_the_log_that_a_node_serves_and_the_replica_that_its_superior_serves(
    served: Served, key: Path
) -> None:
    head = parse_checkpoint(parse_note(Auditor(served.town.county, ORIGIN).get("checkpoint").content).text)
    assert head.size > LEAVES
    assert Auditor(served.town.county, ORIGIN).get("tile/1/000.p/2").status_code == 200, "there is a second level"
    for at in (served.village, served.county):
        assert golang.fsck(at, key, token(served, at)) == ""


def test_fsck_is_given_nothing_without_a_token(served: Served, key: Path) -> None:
    assert "401" in golang.fsck(served.village, key, "huiyin-audit-wrong")
    assert "401" in golang.fsck(served.village, key)


def test_fsck_refuses_the_log_of_another_key(served: Served, key: Path) -> None:
    above = Auditor(served.town.county, f"test.example/{COUNTY}/1").http.get("/tlog").json()["logs"]
    other = next(log for log in above if log["origin"] != ORIGIN)
    key.write_text(other["keys"][-1])
    assert "fsck failed" in golang.fsck(served.village, key, token(served, served.village))


def test_fsck_finds_an_entry_that_who_runs_the_database_has_edited(served: Served, key: Path) -> None:
    node = served.town.county.node
    with psycopg.connect(node.dsn) as conn:
        (log_id,) = conn.execute("select id from log where origin = %s", (ORIGIN,)).fetchone() or (0,)
        edit = "update ledger set body = %s where log_id = %s and seq = 300 returning (select body from ledger"
        edit += " where log_id = %s and seq = 300)"
        (before,) = conn.execute(edit, (b'{"edited":1}', log_id, log_id)).fetchone() or (b"",)
    try:
        assert "fsck failed" in golang.fsck(served.county, key, token(served, served.county))
    finally:
        with psycopg.connect(node.dsn) as conn:
            conn.execute("update ledger set body = %s where log_id = %s and seq = 300", (before, log_id))
    assert golang.fsck(served.county, key, token(served, served.county)) == ""
