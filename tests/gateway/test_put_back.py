"""A real node whose database was put back to an earlier commit, as a disk does that had not flushed what it said."""

from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from gateway.backup.restored import mark_of
from gateway.hosting.outside_file import OutsideFile
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from tests.gateway.conftest import VILLAGE, Office, Town, opened, running_town, wait_until
from tests.gateway.test_api import registration
from tests.gateway.test_freezing import log, secured


@pytest.fixture
def town(postgres: PostgresServer, tmp_path: Path) -> Iterator[Town]:
    with running_town(postgres, tmp_path) as town:
        yield town


def copied(postgres: PostgresServer, node: Node) -> str:
    """A copy of the database of a node that is stopped."""
    name = str(conninfo_to_dict(node.dsn)["dbname"])
    run(postgres, "create database {} template {}", f"{name}_flushed", name)
    return name


def put_back(postgres: PostgresServer, name: str) -> None:
    """The copy takes the place of the database."""
    run(postgres, "drop database {} with (force)", name)
    run(postgres, "alter database {} rename to {}", f"{name}_flushed", name)


def run(postgres: PostgresServer, statement: LiteralString, *names: str) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def refusal(office: Office) -> str:
    """Why nothing may be registered; '' where it may."""
    return str(office.api("clerk").give(registration()).json().get("code", ""))


def test_a_database_that_lost_what_had_left_the_node_is_found_out_and_nothing_is_written_over_it(
    town: Town, postgres: PostgresServer, tmp_path: Path
) -> None:
    folder, node = tmp_path / "village", town.village.node
    wait_until(lambda: secured(town.village))
    node.stop()
    name = copied(postgres, node)
    village = opened(folder)
    assert refusal(village) == ""
    wait_until(lambda: secured(village))
    held = log(town.county.node, node.config.origin)
    village.node.stop()

    put_back(postgres, name)
    village = opened(folder)
    try:
        assert mark_of(folder) is not None
        assert refusal(village) != ""
        wait_until(lambda: refusal(village) == "superior_knows_more")
        assert {"database_put_back", "behind"} <= {fault.kind for fault in village.node.links.faults()}
        assert log(town.county.node, node.config.origin) == held
    finally:
        village.node.stop()


def test_what_had_left_no_node_asks_for_nothing_and_a_node_writes_down_how_far_it_is_known(
    town: Town, postgres: PostgresServer, tmp_path: Path
) -> None:
    folder, node = tmp_path / "village", town.village.node
    wait_until(lambda: secured(town.village))
    node.stop()
    known = OutsideFile(folder).kept
    assert (known.log, known.size) == (node.config.origin, len(log(town.county.node, node.config.origin)))
    assert OutsideFile(tmp_path / "county").kept.down[VILLAGE] > 0
    name = copied(postgres, node)
    put_back(postgres, name)

    village = opened(folder)
    try:
        assert mark_of(folder) is None
        assert refusal(village) == ""
        wait_until(lambda: OutsideFile(folder).kept.size > known.size)
    finally:
        village.node.stop()
