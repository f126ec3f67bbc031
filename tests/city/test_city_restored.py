"""A village that joins the living city, loses its disk, and comes back from a backup: first it asks, then it writes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import msgspec
import psycopg
import pytest

from domain.divisions import Division
from gateway.demo.city import TRUST_DOMAIN
from gateway.demo.keeper import pid_of
from gateway.demo.scripted_day import CITY, COUNTY, WULIHE, office
from gateway.hosting import config, founding
from gateway.hosting.databases import database_of
from tests.city.conftest import Town
from tests.city.living import Leaf, Living, Person, huiyin, registration

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

VILLAGE = Division("410221101205")
ORIGIN = f"{TRUST_DOMAIN}/{VILLAGE}/1"
PASSWORD = "丰收的季节 1978"
PASSPHRASE = "green wheat under snow 1978"


def told(*words: str, said: str = "") -> str:
    """What the command line answers when all is well."""
    run = huiyin(*words, said=said)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@contextmanager
def running(folder: Path) -> Iterator[httpx2.Client]:
    """The node of a folder, as a process of its own, until the end of the block; it leaves nothing running."""
    log_file = folder.with_suffix(".log")
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "node", "run", str(folder)], stdout=log, stderr=log
        )
    try:
        with httpx2.Client(base_url=config.load(folder).url, timeout=30.0) as http:
            give_up = time.monotonic() + 90
            while not is_ready(http):
                assert process.poll() is None, log_file.read_text("utf-8")
                assert time.monotonic() < give_up
                time.sleep(0.1)
            yield http
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, log_file.read_text("utf-8")
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


def is_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.HTTPError:
        return False


def clerk(http: httpx2.Client) -> Person:
    """Signed in on that client."""
    answer = http.post("/api/login", json={"username": "clerk", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    http.headers["authorization"] = f"Bearer {answer.json()['token']}"
    return Person(http)


def wait_until_secured(http: httpx2.Client) -> dict[str, Any]:
    """The node's status once its parent has cosigned all that it wrote, and its views show it."""
    give_up = time.monotonic() + 60
    while (status := http.get("/api/status").json())["lag"] or status["projection_lag"]:
        assert time.monotonic() < give_up, status
        time.sleep(0.1)
    found: dict[str, Any] = status
    return found


def own_log(folder: Path) -> list[Leaf]:
    """What stands in the node's own database."""
    with database_of(folder) as dsn, psycopg.connect(dsn) as conn:
        query = "select origin, seq, body from ledger join log on log.id = log_id where log.id = 1 order by pos"
        return [Leaf(*row) for row in conn.execute(query).fetchall()]


class Lost(NamedTuple):
    """A village that wrote on after its backup and was secured, and then lost its disk."""

    backup: Path
    token: str
    backed_up: int


@pytest.fixture(scope="module")
def joined(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a village that was enrolled by the running township, with a clerk."""
    folder = tmp_path_factory.mktemp("villages") / "first"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    channel = town.living.city.server.dsn("channel")
    told(
        "node", "init", str(folder), "--division", VILLAGE, "--name", "后来的村委会", "--trust-domain", TRUST_DOMAIN,
        "--parent", WULIHE, "--port", port, "--channel-up", channel,
    )  # fmt: skip
    clock = config.ClockChoice(kind="shared", path=str(town.living.city.folder / "clock"))
    config.write(folder, msgspec.structs.replace(config.load(folder), clock=clock))
    request, bundle = folder / founding.REQUEST, folder.with_name("bundle.json")
    told("node", "enrol", str(town.living.folder(WULIHE)), "--request", str(request), "--out", str(bundle))
    told("node", "enrol", str(folder), "--bundle", str(bundle))
    told("account", "add", str(folder), "clerk", "--role", "clerk", said=PASSWORD)
    return folder


@pytest.fixture(scope="module")
def lost(town: Town, joined: Path) -> Lost:
    """The backup is made while the node runs and has nothing that its parent lacks."""
    backup = joined.with_name("village.backup")
    with running(joined) as http:
        person = clerk(http)
        done = person.give(registration(VILLAGE, "井盖松动", town.living.today()))
        assert done.status_code == 201, done.text
        size = wait_until_secured(http)["log_size"]
        said = told("node", "backup", str(joined), "--out", str(backup), said=PASSPHRASE)
        assert VILLAGE in said
        return Lost(backup, person.http.headers["authorization"], size)


@pytest.fixture(scope="module")
def restored(town: Town, lost: Lost) -> Path:
    """Another folder, made from the backup; nothing runs in it yet."""
    folder = lost.backup.with_name("second")
    told("node", "restore", str(folder), "--from", str(lost.backup), said=PASSPHRASE)
    return folder


def test_a_backup_is_sealed_and_opens_with_its_passphrase_alone(lost: Lost) -> None:
    sealed = lost.backup.read_bytes()
    assert "井盖松动".encode() not in sealed
    assert b"PRIVATE" not in sealed
    assert VILLAGE.encode() not in sealed
    elsewhere = lost.backup.with_name("elsewhere")
    run = huiyin("node", "restore", str(elsewhere), "--from", str(lost.backup), said="green wheat under rain 1978")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert not elsewhere.exists()


def test_a_restored_node_waits_for_its_parents_word_and_then_goes_on(town: Town, lost: Lost, restored: Path) -> None:
    living = town.living
    living.settle()
    township = pid_of(living.city, living.members[WULIHE])
    os.kill(township, signal.SIGSTOP)
    try:
        with running(restored) as http:
            before = http.get("/api/cases", headers={"authorization": lost.token})
            assert before.status_code == 401, "everybody is signed out"
            person = clerk(http)
            refused = person.give(registration(VILLAGE, "太早的一件", living.today()))
            assert refused.json()["code"] == "awaiting_superior", refused.text
            assert http.get("/api/status").json()["log_size"] == lost.backed_up
            os.kill(township, signal.SIGCONT)
            done = given_once_allowed(person, registration(VILLAGE, "恢复后的一件", living.today()))
            assert done.status_code == 201, done.text
            assert wait_until_secured(http)["log_size"] > lost.backed_up
            assert len(person.get("/api/cases", scope="filed")["cases"]) == 2, "what was before, and what is new"
    finally:
        os.kill(township, signal.SIGCONT)
    living.settle()
    own = own_log(restored)
    assert [leaf.seq for leaf in own] == list(range(len(own)))
    for superior in (WULIHE, COUNTY, CITY):
        assert living.log(ORIGIN, at=superior) == own


def given_once_allowed(person: Person, command: dict[str, Any]) -> httpx2.Response:
    """The first answer that is not a request for patience."""
    give_up = time.monotonic() + 60
    while (done := person.give(command)).json().get("code") == "awaiting_superior":
        assert time.monotonic() < give_up, done.text
        time.sleep(0.1)
    return done


def test_a_node_from_an_older_backup_reads_and_writes_nothing(living: Living, lost: Lost, tmp_path: Path) -> None:
    seen_by_parent = living.log(ORIGIN, at=WULIHE)
    assert len(seen_by_parent) > lost.backed_up, "the parent has seen what the backup does not have"
    folder = tmp_path / "third"
    told("node", "restore", str(folder), "--from", str(lost.backup), said=PASSPHRASE)
    with running(folder) as http:
        person = clerk(http)
        refused = given_once_allowed(person, registration(VILLAGE, "不该写下的一件", living.today()))
        assert refused.json()["code"] == "superior_knows_more", refused.text
        key = {"Idempotency-Key": str(uuid4())}
        claims = [{"claim": str(uuid4()), "text": "请处理"}]
        filed = http.post(
            "/api/public/petitions", json={"title": "网上一件", "body": "请处理", "claims": claims}, headers=key
        )
        assert filed.json()["code"] == "superior_knows_more", filed.text
        letter = {"accused_unit": office(WULIHE), "text": "一封密件"}
        sealed = http.post("/api/denunciations", json=letter, headers=key)
        assert sealed.json()["code"] == "superior_knows_more", sealed.text
        assert len(person.get("/api/cases", scope="filed")["cases"]) == 1, "it can still be read"
        assert http.get("/api/status").json()["log_size"] == lost.backed_up
    assert own_log(folder) == seen_by_parent[: lost.backed_up]
    nodes = living.settle()
    assert living.log(ORIGIN, at=WULIHE) == seen_by_parent
    assert [(one.division, one.quarantined) for one in nodes if one.quarantined] == [], "nobody saw a fork"
