"""A real process is killed just before and just after every durable write, and everything stands as if it had not."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.city.living import huiyin
from tests.crash import deeds
from tests.crash.history import History
from tests.crash.offices import ROOT, Offices, wait_until
from tests.crash.points import ELSEWHERE, FIRST_START, FIRST_START_ROWS, POINTS, TABLES, Point, strike

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

NO_ROOM = """
create function no_room() returns trigger language plpgsql as $$
begin raise exception 'could not extend file "base/5/1": No space left on device' using errcode = 'disk_full'; end $$"""


@pytest.fixture(scope="module")
def offices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    """Both offices; the village was killed again and again when it was started for the first time."""
    living = Offices(tmp_path_factory.mktemp("offices"))
    try:
        living.village.order(*FIRST_START[1::3])
        living.start()
        wait_until(living.village.is_struck, "the first start is killed everywhere")
        living.open_accounts()
        yield living
    finally:
        living.stop()


@pytest.fixture(scope="module")
def history(offices: Offices) -> History:
    """What the offices have acknowledged so far."""
    return History(offices)


@pytest.mark.parametrize("point", [point for point in POINTS if point.quick], ids=str)
def test_what_was_acknowledged_outlives_a_kill_at_any_write_and_is_there_once(
    offices: Offices, history: History, point: Point
) -> None:
    assert point.quick is not None
    strike(offices, history, point, *point.quick)


def test_a_first_start_killed_again_and_again_ends_in_a_whole_node(offices: Offices, history: History) -> None:
    assert offices.village.deaths >= len(FIRST_START[1::3])
    assert not list((offices.village.folder / "postgres").glob("data.unfinished"))
    history.check()


def test_41_a_database_whose_disk_is_full_refuses_by_name_and_goes_on_once_there_is_room(
    offices: Offices, history: History
) -> None:
    deaths, command, key = offices.deaths(), deeds.registration(), str(uuid4())
    with offices.database("village") as conn:
        conn.execute(NO_ROOM)
        conn.execute("create trigger no_room before insert on ledger execute function no_room()")
        answer = offices.once("village", "clerk", "/api/commands", command, key)
        ledger = conn.execute("select pos from head").fetchone()
        again = offices.once("village", "clerk", "/api/commands", command, key)
        assert conn.execute("select pos from head").fetchone() == ledger
        conn.execute("drop function no_room cascade")
    for refusal in (answer, again):
        assert refusal.status_code == 503, refusal.text
        assert {"code", "zh", "en"} <= refusal.json().keys()
        assert "No space" not in refusal.text, "the inside is for the log"
    assert offices.give("village", "clerk", command, key)["repeated"] is False
    history.give("village", "clerk", deeds.registration())
    assert offices.deaths() == deaths, "the same process goes on"
    history.check()


def test_42_a_second_process_is_refused_while_the_first_goes_on(offices: Offices, history: History) -> None:
    deaths = offices.deaths()
    refusal = huiyin("node", "run", str(offices.village.folder))
    assert refusal.returncode == 1
    assert "已在另一进程中运行" in refusal.stderr
    history.give("village", "clerk", deeds.registration())
    assert offices.deaths() == deaths
    history.check()


def test_all_that_was_compared_was_there_to_be_compared(history: History) -> None:
    assert min(history.checked.values()) > 0
    assert set(history.checked) >= {"acknowledged events found", "repeats answered as before", "leaves kept"}


def test_every_durable_write_that_the_guarantees_name_has_a_point_where_it_is_killed() -> None:
    """A row that nobody kills at, or a point that no row tells of, fails here."""
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    table = text.partition("## Durable writes")[2].partition("\n## ")[0]
    rows = [re.split(r" \(`|$", line.split("|")[1].strip())[0] for line in table.splitlines() if line.startswith("| ")]
    assert sorted(set(rows) - {"write"}) == sorted({*(point.row for point in POINTS), *ELSEWHERE, *FIRST_START_ROWS})


def test_every_row_that_a_command_writes_names_a_test_that_kills_it_there() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in ELSEWHERE.values() if f"def {name}(" not in tests] == []


def test_every_table_is_written_in_a_row_that_is_killed_at() -> None:
    """A table that a later migration makes has to be given a row first."""
    scripts = [*(ROOT / "sync/sql").glob("*.sql"), *(ROOT / "gateway/sql").glob("*.sql")]
    made = {name for path in scripts for name in re.findall(r"create table (?:web\.)?(\w+)", path.read_text("utf-8"))}
    assert made - TABLES.keys() == set()
    assert set(TABLES.values()) <= {*(point.row for point in POINTS), *ELSEWHERE, *FIRST_START_ROWS}
