"""A node's ledger and the projections that follow it."""

from collections.abc import Iterator
from typing import Protocol

import psycopg
import pytest

from gateway.hosting.postgres_server import PostgresServer
from projections.catalogue import PROJECTIONS
from projections.runner import Runner
from tests.projections.stories import Ledger, Story

ALL = PROJECTIONS
AUTHORITY, CASES, DUTIES = ALL[:3]


class Follow(Protocol):
    """Append what is new in these stories, one after the other, and bring every projection up to date."""

    def __call__(self, *stories: Story) -> None: ...


@pytest.fixture(scope="session")
def shared_database(postgres: PostgresServer) -> str:
    """One migrated database for all these tests: making one for each would take longer than the tests."""
    postgres.create_database("projections", template="template_node")
    return postgres.dsn("projections")


@pytest.fixture
def database(shared_database: str) -> str:
    """Its DSN, with an empty ledger and no views."""
    with psycopg.connect(shared_database, autocommit=True) as conn:
        conn.execute("drop schema if exists views cascade; drop schema if exists views_beside cascade; truncate ledger")
    return shared_database


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(database)
    yield opened
    opened.conn.close()


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """A reader's connection."""
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.fixture
def runner(database: str, ledger: Ledger) -> Iterator[Runner]:
    """A runner of all projections, ready to step."""
    made = Runner(lambda: psycopg.connect(database, autocommit=True), ledger.read, ledger.wait_beyond, ALL)
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def follow(ledger: Ledger, runner: Runner) -> Follow:
    """See Follow."""

    def bring_up_to_date(*stories: Story) -> None:
        for story in stories:
            ledger.append(story.take())
        while runner.step():
            pass

    return bring_up_to_date
