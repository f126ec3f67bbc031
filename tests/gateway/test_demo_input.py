"""Which messages a city can play: those of its own time, each of them once."""

from pathlib import Path

import pytest

from gateway.demo import messages
from gateway.demo.city import City
from gateway.demo.performance import _take_up
from gateway.demo.story import DAY_US, moment_us
from gateway.hosting.clock import SharedClock

COLUMNS = "title,body,created_at,reply,replied_at\n"
START_US = moment_us("2026-03-02 08:30")


def saved(path: Path, *rows: str) -> list[messages.Message]:
    path.write_text(COLUMNS + "\n".join(rows) + "\n", "utf-8")
    return messages.read(path)


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path)


def test_messages_from_before_the_citys_time_are_refused_and_the_way_out_is_named(city: City, tmp_path: Path) -> None:
    clock = SharedClock(tmp_path / "clock", START_US)
    old = saved(tmp_path / "old.csv", "路灯,不亮,2012-03-08 09:00,已修,2012-03-12 10:00")
    with pytest.raises(messages.InputInvalid, match=r"2012-03-08.*--dir"):
        _take_up(city, old, clock)
    assert city.inputs == ()


def test_a_file_that_was_begun_goes_on_however_far_its_own_time_has_come(city: City, tmp_path: Path) -> None:
    clock = SharedClock(tmp_path / "clock", START_US)
    wanted = saved(tmp_path / "new.csv", "路灯,不亮,2026-03-08 09:00,已修,2026-03-12 10:00")
    _take_up(city, wanted, clock)
    clock.advance_to(START_US + 90 * DAY_US)
    _take_up(City(tmp_path), wanted, clock)
    assert len(city.inputs) == 1


def test_the_same_line_of_another_file_is_another_case(tmp_path: Path) -> None:
    one = saved(tmp_path / "one.csv", "路灯,不亮,2026-03-08 09:00,已修,2026-03-12 10:00")
    other = saved(tmp_path / "other.csv", "自来水,断供,2026-03-08 09:00,已通,2026-03-12 10:00")
    again = saved(tmp_path / "again.csv", "路灯,不亮,2026-03-08 09:00,已修,2026-03-12 10:00")
    assert one[0].name == again[0].name != other[0].name
    assert messages.digest(one) == messages.digest(again) != messages.digest(other)


@pytest.mark.parametrize("column", ["created_at", "replied_at"])
def test_a_time_that_cannot_be_read_is_named_by_line_and_column_with_the_form_to_use(
    column: str, tmp_path: Path
) -> None:
    times = {"created_at": "2026-03-08 09:00", "replied_at": "2026-03-12 10:00"} | {column: "昨天"}
    with pytest.raises(messages.InputInvalid, match=rf"第 2 行 {column} 列.*2020-01-31 09:30:00"):
        saved(tmp_path / "bad.csv", f"路灯,不亮,{times['created_at']},已修,{times['replied_at']}")
