"""A county and a village below it, real nodes on a real PostgreSQL, cosigned by a real witness, and their HTTP apps."""

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from domain.divisions import Division, tier_of
from gateway import accounts
from gateway.accounts import AccountRole
from gateway.app import build_app
from gateway.enrolling import enrol_child
from gateway.hosting import config, founding
from gateway.hosting.outside_witness import WitnessConfig, build_witness, found_witness, write_config
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from gateway.serving import open_accounts
from gateway.web.bounded import BoundedHttp
from sync.trust.keys import load_keys

COUNTY = Division("410221000000")
VILLAGE = Division("410221100201")
PASSWORD = "green wheat 1978"
BASE = "http://127.0.0.1"
LOGINS: dict[str, tuple[AccountRole, bool]] = {
    "clerk": ("clerk", False),
    "handler": ("handler", False),
    "leader": ("leader", False),
    "supervisor": ("supervisor", False),
    "auditor": ("auditor", False),
    "operator": ("operator", False),
    "discipline": ("leader", True),
}


class Office(NamedTuple):
    """A running node, its application, and clients signed in by role."""

    node: Node
    app: FastAPI

    def client(self) -> TestClient:
        """A browser that nobody has signed in with."""
        return TestClient(self.app, base_url=BASE, follow_redirects=False, client=("127.0.0.1", 50_000))

    def api(self, role: str) -> "Api":
        """A program signed in in this role."""
        client = self.client()
        answer = client.post("/api/login", json={"username": role, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        return Api(client)

    def browser(self, role: str) -> "Browser":
        """A browser signed in in this role."""
        browser = Browser(self.client())
        answer = browser.post("/login", {"login": role, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return browser


class Api(NamedTuple):
    """A signed-in program."""

    http: TestClient

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self.http.get(path, params=query)

    def give(self, body: dict[str, Any], key: str | None = None) -> httpx2.Response:
        """Send a command under a key of its own."""
        return self.http.post("/api/commands", json=body, headers={"Idempotency-Key": key or str(uuid4())})


class Browser(NamedTuple):
    """A browser that sends what a browser sends, and the hidden fields of the page it was on."""

    http: TestClient

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(path)

    def post(self, path: str, fields: dict[str, str], **more: Any) -> httpx2.Response:
        """Send a form as this site's own page would."""
        return self.http.post(path, data=fields, headers={"origin": BASE, "sec-fetch-site": "same-origin"}, **more)


class Town(NamedTuple):
    """The two offices."""

    county: Office
    village: Office


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        pass


def serve(app: FastAPI, port: int) -> Callable[[], None]:
    """Serve `app` on loopback in a thread; returns what stops it."""
    http = uvicorn.Config(app, http=BoundedHttp, host="127.0.0.1", port=port, log_config=None, access_log=False)
    server = _Server(http)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=10)

    return stop


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return once the condition holds; what crosses a link takes a moment."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on, from a range of this process's own: what looks now will listen later."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 20_000 + 1_000 * (worker % 10) + next(_ports) % 1_000
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


_ports = itertools.count(os.getpid())
_towns = itertools.count(1)
heard: Sequence[MutableMapping[str, Any]] = []
"""The lines that the process logged since a test began that uses `listening`."""


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Every test signs somebody in; at the real cost that would be a third of all their work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "COST", accounts.Cost(64, 1, 1))
        yield


@pytest.fixture(scope="session")
def town(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Both nodes, started once for all tests of the gateway; each test files cases of its own."""
    with running_town(postgres, tmp_path_factory.mktemp("town")) as both:
        yield both


@pytest.fixture
def listening() -> Iterator[None]:
    """`heard` has what is logged meanwhile."""
    global heard
    with capture_logs() as heard:
        yield


@contextmanager
def running_town(
    postgres: PostgresServer, folder: Path, office: "Callable[[Path], Office] | None" = None
) -> Iterator[Town]:
    """Both nodes, founded in `folder` and running inside the block. office: starts one, by default with accounts."""
    number = next(_towns)
    witness = WitnessConfig(name="audit.test.example/witness", port=free_port())
    vkey = found_witness(folder / "witness", witness)
    channel = config.ChannelEnd(dsn=database(postgres, f"channel_{number}"))
    county = settings(postgres, COUNTY, "杞县信访局", number)
    outside = config.OutsideWitness(url=f"http://127.0.0.1:{witness.port}", key=vkey)
    county = changed(county, channel=config.Channels(down=channel), witness=outside)
    founding.found_root(folder / "county", county, time.time_ns() // 1000)
    log_key = load_keys(folder / "county" / founding.KEYS).log.verifier.vkey
    write_config(folder / "witness", changed(witness, logs=(log_key,)))
    village = changed(settings(postgres, VILLAGE, "葛岗村", number, COUNTY), channel=config.Channels(up=channel))
    request = founding.found(folder / "village", village)
    founding.install(folder / "village", enrol_child(folder / "county", request))
    stop_witness = serve(build_witness(folder / "witness"), witness.port)
    offices = [(office or opened)(folder / name) for name in ("county", "village")]
    try:
        yield Town(*offices)
    finally:
        for one in reversed(offices):
            one.node.stop()
        stop_witness()


def settings(
    postgres: PostgresServer, division: Division, name: str, number: int, parent: Division | None = None
) -> config.NodeConfig:
    return config.NodeConfig(
        node=config.Identity(
            division=division, name=name, tier=tier_of(division), trust_domain="test.example", parent=parent
        ),
        database=config.Database(dsn=database(postgres, f"town_{number}_{division}")),
    )


def changed(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def database(postgres: PostgresServer, name: str) -> str:
    postgres.create_database(name)
    return postgres.dsn(name)


def opened(folder: Path) -> Office:
    """The node of `folder`, running."""
    node = Node(folder)
    node.start()
    open_accounts(node.dsn, node.here, PASSWORD, LOGINS)
    return Office(node, build_app(node))


@pytest.fixture(scope="session")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that a test may stop and start again without taking it from others."""
    with PostgresServer(tmp_path_factory.mktemp("own_pg")) as server:
        yield server


@pytest.fixture(scope="session")
def lone(own_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A root that does nothing by itself and whose witness is down: whatever is written, a request wrote it."""
    folder = tmp_path_factory.mktemp("lone")
    key = found_witness(folder / "witness", WitnessConfig(name="audit.test.example/witness", port=free_port()))
    own = changed(
        settings(own_postgres, COUNTY, "杞县信访局", next(_towns)),
        witness=config.OutsideWitness(url="http://127.0.0.1:9", key=key),
    )
    founding.found_root(folder / "node", own, time.time_ns() // 1000)
    node = Node(folder / "node")
    node.open()
    node.views.prepare()
    open_accounts(node.dsn, node.here, PASSWORD, LOGINS)
    yield Office(node, build_app(node))
    node.views.close()
    node.stop()
