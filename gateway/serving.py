"""Running a node or a witness under its HTTP server, and asking a running node how it is."""

import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import msgspec
import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from domain.clocks import shanghai_date
from domain.divisions import Division
from gateway import accounts
from gateway.accounts import AccountRole, Accounts, NewAccount
from gateway.app import build_app
from gateway.auditor_tokens import AuditorTokens
from gateway.hosting import config, logs
from gateway.hosting.clock import SystemClock
from gateway.hosting.databases import database_of
from gateway.hosting.outside_witness import build_witness, load_config
from gateway.hosting.status import NodeStatus, Statuses
from gateway.hosting.surroundings import OFFICE
from gateway.node import Node, held
from gateway.web.bounded import BoundedHttp
from gateway.web.refused import RefusedRequests, listen
from gateway.web.strict import convert
from sync.ledger.connections import open_pool
from sync.ledger.migrations import migrate

STOP_S = 5
STOP_LIMIT_S = 15.0


class NodeUnreachable(RuntimeError):
    """No node answers at this address. Start it, or correct the address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} 没有节点应答，请先启动 / no node answers at {url}; start it first")


class PortUnusable(RuntimeError):
    """The address to listen on is taken, or is not this machine's. Choose another, or stop what listens there."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        super().__init__(
            f"无法监听 {host}:{port}，端口可能已被占用，请改用其他端口或停止占用它的程序（{error.strerror}） / cannot "
            f"listen on {host}:{port}; choose another port, or stop the program that listens there ({error.strerror})"
        )


def run_node(folder: Path, until: Callable[[], object] | None = None) -> int:
    """Serve the node of `folder` until SIGTERM or SIGINT, or until a part of it fails (exit code 1).

    until: end, too, when this returns, such as when the process that wants the node has died.
    """
    logs.configure()
    node = Node(folder)
    http = node.config.http
    try:
        door = _door(http.host, http.port)
        node.start()
        structlog.get_logger("node").info("listening", url=node.config.url, division=node.here)
        app = build_app(node)
        listen(app.state.refused)
        _serve(app, door, node.failed, until)
        return 1 if node.failed.is_set() else 0
    finally:
        _give_up_after(STOP_LIMIT_S)
        node.stop()


def run_witness(folder: Path, until: Callable[[], object] | None = None) -> int:
    """Serve the outside witness of `folder`. Raises FolderInUse, PortUnusable, ConfigInvalid, KeyFileRefused."""
    logs.configure()
    settings = load_config(folder)
    with held(folder):
        listen(RefusedRequests(CollectorRegistry()))
        _serve(build_witness(folder), _door(settings.host, settings.port), threading.Event(), until)
    return 0


def _door(host: str, port: int) -> socket.socket:
    """The address taken, before anything is started; nobody is let in yet. Raises PortUnusable."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PortUnusable(host, port, error) from error
    door = socket.socket(family, kind, protocol)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
    except OSError as error:
        door.close()
        raise PortUnusable(host, port, error) from error
    return door


def _serve(app: FastAPI, door: socket.socket, failed: threading.Event, until: Callable[[], object] | None) -> None:
    settings = uvicorn.Config(
        app,
        http=BoundedHttp,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(settings)
    # What was loaded until now lives as long as the process: the collector need not look at it again.
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)

    def end(*_: object) -> None:
        server.should_exit = True

    def end_after(wait: Callable[[], object]) -> None:
        wait()
        end()

    # Uvicorn hands the signal that ended it on to whoever handled it before: by default that would end the process
    # on the spot, with its links, its writer and its database server still open.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    for wait in filter(None, (failed.wait, until)):
        threading.Thread(target=end_after, args=(wait,), daemon=True).start()
    server.run([door])


def _give_up_after(seconds: float) -> None:
    """End the process even if something cannot be stopped, such as a link that waits for a dead database."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


def ask_status(url: str) -> NodeStatus:
    """The status that the node at `url` gives of itself. Raises NodeUnreachable."""
    try:
        response = httpx2.get(f"{url}/api/status", timeout=5)
        response.raise_for_status()
        return Statuses.decode(response.content)
    except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError) as error:
        raise NodeUnreachable(url) from error


def shown(statuses: Sequence[NodeStatus]) -> str:
    """The statuses as a table for a terminal."""
    lines = [f"{'division':<13} {'tier':<9} {'log':>7} {'ledger':>8} {'cosigned':>8} {'lag':>5} {'faults':>6}  name"]
    lines += [
        f"{s.division:<13} {s.tier:<9} {s.log_size:>7} {s.ledger_size:>8} {s.cosigned_size:>8} {s.lag:>5}"
        f" {s.quarantined:>6}  {s.name}  {s.url}"
        for s in statuses
    ]
    lines += [f"{s.division}  clock in doubt: {s.clock_doubt}" for s in statuses if s.clock_doubt]
    lines += [
        f"{s.division}  renew its certificate, which runs out on {shanghai_date(s.certificate_ends_us)}"
        for s in statuses
        if s.certificate_ends_us
    ]
    lines += [
        f"{s.division}  witness {w.name}: {w.trouble_en or 'late'}"
        for s in statuses
        for w in s.witnesses
        if w.trouble_en or w.is_late
    ]
    return "\n".join(lines)


def add_account(folder: Path, login: str, role: str, unit: str, password: str, *, discipline: bool) -> None:
    """Open one account on the node of `folder`, running or not. Raises the refusals of `Accounts.open`."""
    here = config.load(folder).node.division
    values = {"login": login, "name": login, "password": password, "role": role, "unit": unit or f"{here}.{OFFICE}"}
    new = convert(values | {"discipline": discipline}, NewAccount)
    with database_of(folder) as dsn, _accounts(dsn, here) as known:
        known.open(new, None)


@contextmanager
def tokens_of(folder: Path) -> Iterator[AuditorTokens]:
    """The auditors' tokens of the node of `folder`, running or not, for the block."""
    here, now_us = config.load(folder).node.division, SystemClock().now_us
    with database_of(folder) as dsn:
        migrate(dsn)
        accounts.prepare(dsn)
        with open_pool(dsn, "tokens", 2, autocommit=True) as pool:
            yield AuditorTokens(pool, Accounts(pool, here, now_us), now_us)


def open_accounts(dsn: str, here: Division, password: str, logins: Mapping[str, tuple[AccountRole, bool]]) -> None:
    """Open the accounts that a demo starts with; those that are there already stay as they are."""
    news = [
        NewAccount(
            login=login, name=login, password=password, role=role, unit=f"{here}.{OFFICE}", discipline=discipline
        )
        for login, (role, discipline) in logins.items()
    ]
    with _accounts(dsn, here) as known:
        known.open_missing(news)


@contextmanager
def _accounts(dsn: str, here: Division) -> Iterator[Accounts]:
    migrate(dsn)
    accounts.prepare(dsn)
    with open_pool(dsn, "accounts", 2, autocommit=True) as pool:
        yield Accounts(pool, here, SystemClock().now_us)
