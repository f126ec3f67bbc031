"""A real PostgreSQL for every test that needs one, and what keeps tests that run side by side apart."""

import fcntl
import itertools
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from gateway.hosting.postgres_server import SMALL_OFFICE, PostgresServer
from sync.ledger.migrations import migrate

_numbers = itertools.count(1)

# Tests kill processes, never the machine, and what a killed server wrote is the kernel's: only a power cut would need
# fsync. A server that dies in a test is one of its own, with the settings of a real office.
NO_POWER_CUTS = {**SMALL_OFFICE, "fsync": "off", "full_page_writes": "off"}

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file begins first: last, one process would live its cities while the others have nothing to do."""
    items.sort(key=lambda item: "world/test_world.py" not in item.nodeid)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that holds the program to a time (`quiet`) runs while no other test does, as it would in one process."""
    with _locked(TESTS, fcntl.LOCK_EX) as turnstile:  # so that whoever waits to be alone is not overtaken for ever
        if item.get_closest_marker("quiet") is None:
            with _locked(TESTS / "conftest.py", fcntl.LOCK_SH):
                fcntl.flock(turnstile, fcntl.LOCK_UN)
                return (yield)
        with _locked(TESTS / "conftest.py", fcntl.LOCK_EX):
            return (yield)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    """Held until the end of the block, or of the process."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
        yield handle
    finally:
        os.close(handle)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The embedded server in a temporary folder, with a migrated database `template_node` to copy from."""
    folder: Path = tmp_path_factory.mktemp("pg")
    with PostgresServer(folder, NO_POWER_CUTS) as server:
        server.create_database("template_node")
        migrate(server.dsn("template_node"))
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of a fresh, migrated, empty database of one node; dropped afterwards."""
    name = f"node_{next(_numbers)}"
    postgres.create_database(name, template="template_node")
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')
