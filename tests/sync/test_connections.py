"""A connection whose other end goes away in the middle of a statement is named as lost, in bounded time."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sync.ledger.connections import SILENT_S, connect, heard, open_pool
from tests.sync.proxy import SilentLink

ROOT = Path(__file__).parents[2]
LIMIT_S = SILENT_S * 8
"""Far beyond what was promised, for a machine with much else to do, and far below the 15 minutes of TCP itself."""


@pytest.fixture
def link(database: str) -> Iterator[SilentLink]:
    running = SilentLink(database)
    yield running
    running.close()


def lost(work: Callable[[], object]) -> bool:
    try:
        work()
    except psycopg.OperationalError:
        return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="only there a test can make its own socket deaf")
def test_a_host_that_goes_away_before_or_in_a_statement_is_noticed(link: SilentLink) -> None:
    with ThreadPoolExecutor(2) as threads, connect(link.dsn, autocommit=True) as waiting:
        pool = open_pool(link.dsn, "silent", 1, autocommit=True)

        def send_into_silence(conn: psycopg.Connection[Any]) -> object:
            silent.wait(LIMIT_S)
            return conn.execute("select 1")

        def from_the_pool() -> None:
            with pool.connection() as conn:
                conn.execute("select 1")
                ready.set()
                send_into_silence(conn)

        silent, ready = threading.Event(), threading.Event()
        answers = [
            threads.submit(lost, lambda: waiting.execute("select pg_sleep(3600)")),
            threads.submit(lost, from_the_pool),
        ]
        assert link.heard.wait(LIMIT_S)
        assert ready.wait(LIMIT_S)
        link.fall_silent()
        silent.set()
        began = time.monotonic()

        assert [answer.result(LIMIT_S) for answer in answers] == [True, True]

        assert time.monotonic() - began < LIMIT_S
        pool.close(0)


def test_a_unix_socket_is_as_before(database: str) -> None:
    with connect(database) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
        assert conn.info.host.startswith("/")


def test_what_the_operator_says_of_keepalives_stands() -> None:
    said = conninfo_to_dict(heard("host=db.example keepalives_idle=60"))
    assert said["keepalives_idle"] == "60"
    assert said["tcp_user_timeout"] == str(SILENT_S * 1000)


def test_every_connection_of_the_program_is_opened_where_this_is_said() -> None:
    opened = [
        str(path.relative_to(ROOT))
        for room in ("sync", "gateway", "projections")
        for path in (ROOT / room).rglob("*.py")
        if "psycopg.connect(" in path.read_text() or "ConnectionPool(" in path.read_text()
    ]
    assert opened == ["sync/ledger/connections.py"]
