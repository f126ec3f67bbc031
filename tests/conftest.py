"""A real PostgreSQL for every test that needs one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.hosting.postgres_server import SMALL_OFFICE, PostgresServer
from sync.ledger.migrations import migrate

_numbers = itertools.count(1)

# Tests kill processes, never the machine, and what a killed server wrote is the kernel's: only a power cut would need
# fsync. A server that dies in a test is one of its own, with the settings of a real office.
NO_POWER_CUTS = {**SMALL_OFFICE, "fsync": "off", "full_page_writes": "off"}


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
