"""A county and a village below it: real processes, each with its own PostgreSQL, killed and always started again.

What brings a dead process back is what a service manager would be: the same command, with nobody's help.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import httpx2
import msgspec
import psycopg

from domain.divisions import Division, tier_of
from gateway import accounts
from gateway.accounts import AccountRole
from gateway.enrolling import enrol_child
from gateway.hosting import config, founding
from gateway.hosting.databases import NODE_DATABASE, SERVER_FOLDER, database_of
from gateway.hosting.outside_witness import WitnessConfig, found_witness, write_config
from gateway.hosting.postgres_server import PostgresServer
from gateway.serving import open_accounts
from sync.trust.keys import load_keys
from tests.crash.dying import ORDERS, Blow, give_orders, orders_left
from tests.gateway.conftest import free_port

ROOT = Path(__file__).parent.parent.parent
PLUG = Path(__file__).parent / "plug"

COUNTY = Division("410221000000")
VILLAGE = Division("410221100201")
PASSWORD = "green wheat 1978"
LOGINS: dict[str, tuple[AccountRole, bool]] = {
    "clerk": ("clerk", False),
    "handler": ("handler", False),
    "leader": ("leader", False),
    "supervisor": ("supervisor", False),
    "operator": ("operator", False),
    "discipline": ("leader", True),
}

READY_S = 240.0
"""A start takes two seconds on a machine that does nothing else, and far more on one that does everything at once."""

Name = Literal["county", "village", "witness"]


class Lost(AssertionError):
    """Something did not come true in time."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = READY_S) -> None:
    """Return once the condition holds."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise Lost(what)
        time.sleep(0.05)


class Service:
    """One process that a manager keeps alive. Orders for its death lie beside its folder."""

    def __init__(self, folder: Path, kind: Literal["node", "witness"], url: str) -> None:
        self.folder = folder
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.orders = folder.with_suffix(".orders")
        self.log = folder.with_suffix(".log")
        self.deaths = 0
        self._run = (kind, "run", str(folder))
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """From now on it runs, whatever happens to it."""
        with self._lock:
            self._wanted = True
            self._launch()

    def stop(self) -> None:
        """End it as a service manager does."""
        with self._lock:
            self._wanted = False
            if self._process is not None:
                self._process.terminate()
                self._process.wait(60)

    def look(self) -> None:
        """Start it again where it is dead: what a service manager does."""
        with self._lock:
            if self._wanted and self._process is not None and self._process.poll() is not None:
                self.deaths += 1
                self._launch()

    def insist(self, *words: str) -> None:
        """Give a command about this node, which does not run, again and again until it comes to its end."""
        give_up = time.monotonic() + READY_S
        while (code := self._spawn(*words).wait(READY_S)) != 0:
            self.deaths += code < 0
            if time.monotonic() > give_up:
                raise Lost(f"{words}: {self.log.read_text('utf-8')[-600:]}")

    def _launch(self) -> None:
        self._process = self._spawn(*self._run)

    def _spawn(self, *words: str) -> subprocess.Popen[bytes]:
        here = os.pathsep.join([str(PLUG), str(ROOT)])
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gateway", *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": here, ORDERS: str(self.orders)},
            )

    def is_ready(self) -> bool:
        """Whether it answers."""
        path = "/readyz" if (self.folder / "node.toml").exists() else "/healthz"
        try:
            return httpx2.get(self.url + path, timeout=10).status_code == 200
        except httpx2.HTTPError:
            return False

    def order(self, *blows: Blow) -> None:
        """Let it die there, and whoever takes its place at the next."""
        give_orders(self.orders, blows)

    def is_struck(self) -> bool:
        """Whether every blow has fallen."""
        return orders_left(self.orders) == 0

    def take_back(self) -> None:
        """No blow is wanted any more."""
        self.orders.unlink(missing_ok=True)


class Offices:
    """Both nodes, the witness of the county, and the manager that keeps them alive."""

    def __init__(self, folder: Path) -> None:
        """folder: empty; everything is founded in it."""
        self.folder = folder
        self.services: dict[Name, Service] = {}
        self._tokens: dict[tuple[Name, str], str] = {}
        self._ending = threading.Event()
        _found(self)
        self._manager = threading.Thread(target=self._manage, name="manager", daemon=True)

    @property
    def county(self) -> Service:
        """The superior."""
        return self.services["county"]

    @property
    def village(self) -> Service:
        """The subordinate."""
        return self.services["village"]

    def start(self) -> None:
        """Start everything; the village for the first time, so that it makes its own database."""
        for service in self.services.values():
            service.start()
        self._manager.start()

    def open_accounts(self) -> None:
        """Once the village has a database: who works there."""
        self.wait_until_ready()
        self._tokens.clear()
        _open_accounts(self.dsn("village"), VILLAGE)

    def wait_until_ready(self) -> None:
        """Every process answers."""
        wait_until(lambda: all(one.is_ready() for one in self.services.values()), f"all ready: {self.last_words()}")

    def stop(self) -> None:
        """End everything, the databases too."""
        self._ending.set()
        if self._manager.is_alive():
            self._manager.join()
        for service in reversed(self.services.values()):
            service.stop()
        for name in ("county", "village"):
            PostgresServer(self.folder / name / SERVER_FOLDER).kill()

    def _manage(self) -> None:
        while not self._ending.wait(0.1):
            for service in self.services.values():
                service.look()

    def deaths(self) -> int:
        """How often anything died."""
        return sum(service.deaths for service in self.services.values())

    def restart(self, name: Name) -> None:
        """As an upgrade does it."""
        self.services[name].stop()
        self.services[name].start()

    def last_words(self) -> dict[str, str]:
        """The ends of the logs, for whoever wants to know why."""
        return {name: one.log.read_text("utf-8")[-600:] for name, one in self.services.items() if one.log.exists()}

    def lose_disk(self) -> int:
        """The village's folder is gone, keys and database too; founded again it is enrolled for its next shard."""
        village, channel = self.village.folder, config.load(self.village.folder).channel
        self.village.stop()
        with self.database("county") as conn:
            query = "select max(split_part(origin, '/', 3)::int) from log where origin like %s"
            ((shard,),) = conn.execute(query, (f"%/{VILLAGE}/%",)).fetchall()
        PostgresServer(village / SERVER_FOLDER).kill()
        shutil.rmtree(village)
        anew = _settings(VILLAGE, "葛岗村", COUNTY, channel=channel, http=config.Http(port=self.village.port))
        anew = msgspec.structs.replace(anew, node=msgspec.structs.replace(anew.node, shard=shard + 1))
        request = founding.found(village, anew)
        founding.install(village, enrol_child(self.county.folder, request))
        self.village.start()
        self.open_accounts()
        return int(shard) + 1

    # --- through the front door

    def give(self, name: Name, role: str, command: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """What a command is answered: sent under one key again and again, as a person does whose office is away."""
        key = key or str(uuid4())
        return self._insist(name, lambda http: self._post(http, name, role, "/api/commands", command, key))

    def visit(self, name: Name, path: str, content: dict[str, Any], key: str) -> dict[str, Any]:
        """The same for a visitor."""
        return self._insist(name, lambda http: http.post(path, json=content, headers={"Idempotency-Key": key}))

    def ask(self, name: Name, role: str, path: str, content: dict[str, Any]) -> int:
        """With what status a request is answered at last."""
        status = 0

        def once(http: httpx2.Client) -> httpx2.Response:
            nonlocal status
            answer = http.post(path, json=content, headers=self._signed_in(http, name, role))
            status = answer.status_code
            return answer if status >= 500 else httpx2.Response(200, json={})

        self._insist(name, once)
        return status

    def get(self, name: Name, role: str, path: str) -> dict[str, Any]:
        """What a question is answered, once there is an answer."""
        return self._insist(name, lambda http: http.get(path, headers=self._signed_in(http, name, role)))

    def sign_in(self, name: Name, role: str) -> None:
        """Anew."""
        self._tokens.pop((name, role), None)
        self._insist(name, lambda http: http.get("/api/duties", headers=self._signed_in(http, name, role)))

    def once(self, name: Name, role: str, path: str, content: dict[str, Any], key: str) -> httpx2.Response:
        """What it is answered now, whatever that is."""
        with httpx2.Client(base_url=self.services[name].url, timeout=60) as http:
            return self._post(http, name, role, path, content, key)

    def _post(
        self, http: httpx2.Client, name: Name, role: str, path: str, content: dict[str, Any], key: str
    ) -> httpx2.Response:
        return http.post(path, json=content, headers=self._signed_in(http, name, role) | {"Idempotency-Key": key})

    def _signed_in(self, http: httpx2.Client, name: Name, role: str) -> dict[str, str]:
        if (name, role) not in self._tokens:
            answer = http.post("/api/login", json={"username": role, "password": PASSWORD})
            if answer.status_code >= 500:
                raise httpx2.ConnectError("not yet")
            assert answer.status_code == 200, answer.text
            self._tokens[name, role] = answer.json()["token"]
        return {"authorization": f"Bearer {self._tokens[name, role]}"}

    def _insist(self, name: Name, ask: Callable[[httpx2.Client], httpx2.Response]) -> dict[str, Any]:
        give_up = time.monotonic() + READY_S
        while True:
            with suppress(httpx2.HTTPError), httpx2.Client(base_url=self.services[name].url, timeout=30) as http:
                answer = ask(http)
                if answer.status_code < 500:
                    assert answer.status_code in {200, 201}, answer.text
                    found: dict[str, Any] = answer.json()
                    return found
            if time.monotonic() > give_up:
                raise Lost(f"{name} does not answer: {self.last_words()}")
            time.sleep(0.1)

    # --- from behind

    def dsn(self, name: Name) -> str:
        """A node's database."""
        return PostgresServer(self.folder / name / SERVER_FOLDER).dsn(NODE_DATABASE)

    @contextmanager
    def database(self, name: Name) -> Iterator[psycopg.Connection[Any]]:
        """A connection to it, waited for."""
        give_up = time.monotonic() + READY_S
        while True:
            try:
                conn = psycopg.connect(self.dsn(name), autocommit=True)
            except psycopg.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
            else:
                break
        with conn:
            yield conn

    @contextmanager
    def stopped_database(self, name: Name) -> Iterator[psycopg.Connection[Any]]:
        """The same while the node is stopped."""
        with database_of(self.folder / name) as dsn, psycopg.connect(dsn, autocommit=True) as conn:
            yield conn


def _found(offices: Offices) -> None:
    folder = offices.folder
    witness = WitnessConfig(name="audit.test.example/witness", port=free_port())
    vkey = found_witness(folder / "witness", witness)
    outside = config.OutsideWitness(url=f"http://127.0.0.1:{witness.port}", key=vkey)
    channel = config.ChannelEnd(dsn=PostgresServer(folder / "county" / SERVER_FOLDER).dsn("channel"))
    county = _settings(COUNTY, "杞县信访局", None, channel=config.Channels(down=channel), witness=outside)
    village = _settings(VILLAGE, "葛岗村", COUNTY, channel=config.Channels(up=channel))
    founding.found_root(folder / "county", county, time.time_ns() // 1000)
    log_key = load_keys(folder / "county" / founding.KEYS).log.verifier.vkey
    write_config(folder / "witness", msgspec.structs.replace(witness, logs=(log_key,)))
    request = founding.found(folder / "village", village)
    with PostgresServer(folder / "county" / SERVER_FOLDER) as server:
        server.create_database("channel")
        founding.install(folder / "village", enrol_child(folder / "county", request))
        with database_of(folder / "county") as dsn:
            _open_accounts(dsn, COUNTY)
    offices.services["witness"] = Service(folder / "witness", "witness", outside.url)
    offices.services["county"] = Service(folder / "county", "node", county.url)
    offices.services["village"] = Service(folder / "village", "node", village.url)


def _open_accounts(dsn: str, division: Division) -> None:
    real, accounts.COST = accounts.COST, accounts.Cost(64, 1, 1)  # type: ignore[misc]
    try:
        open_accounts(dsn, division, PASSWORD, LOGINS)
    finally:
        accounts.COST = real  # type: ignore[misc]


def _settings(division: Division, name: str, parent: Division | None, **more: Any) -> config.NodeConfig:
    identity = config.Identity(
        division=division, name=name, tier=tier_of(division), trust_domain="test.example", parent=parent
    )
    return config.NodeConfig(node=identity, **({"http": config.Http(port=free_port())} | more))
