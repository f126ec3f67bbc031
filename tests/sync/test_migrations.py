from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from gateway.hosting.postgres_server import PostgresServer
from sync.ledger.migrations import MigrationRefused, migrate


@pytest.fixture
def empty(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    postgres.create_database(request.node.name)
    return postgres.dsn(request.node.name)


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "0002_more.sql").write_text("alter table town add column people int")
    (tmp_path / "0001_town.sql").write_text("create table town (name text); insert into town values ('杞县')")
    return tmp_path


def test_files_are_applied_in_order_and_only_once(empty: str, scripts: Path) -> None:
    assert migrate(empty, scripts) == ["0001_town.sql", "0002_more.sql"]
    assert migrate(empty, scripts) == []


def test_a_later_file_is_applied_alone(empty: str, scripts: Path) -> None:
    migrate(empty, scripts)
    (scripts / "0003_village.sql").write_text("create table village ()")
    assert migrate(empty, scripts) == ["0003_village.sql"]


def test_an_edited_file_is_refused(empty: str, scripts: Path) -> None:
    migrate(empty, scripts)
    (scripts / "0001_town.sql").write_text("create table city ()")
    with pytest.raises(MigrationRefused, match="0001_town"):
        migrate(empty, scripts)


def test_a_database_newer_than_the_program_is_refused(empty: str, scripts: Path) -> None:
    migrate(empty, scripts)
    (scripts / "0002_more.sql").unlink()
    with pytest.raises(MigrationRefused, match="0002_more"):
        migrate(empty, scripts)


def test_a_failing_file_leaves_nothing_behind(empty: str, scripts: Path) -> None:
    (scripts / "0003_wrong.sql").write_text("create table half (); select 1/0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty, scripts)
    with psycopg.connect(empty) as conn:
        assert conn.execute("select to_regclass('town'), to_regclass('migration')").fetchone() == (None, None)


def test_several_processes_may_migrate_at_once(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [empty] * 4))
    assert sorted(map(len, applied))[:3] == [0, 0, 0]
    assert any("0001_ledger.sql" in names for names in applied)
