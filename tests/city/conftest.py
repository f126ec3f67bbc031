"""One city for all tests of this folder: founded and played by the command line, then started a second time."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from domain.divisions import Division
from gateway.demo import scripted_day
from gateway.demo.city import City, found_city
from gateway.demo.performance import SCRIPTED_START_US
from tests.city.living import Answered, Living, Sizes, huiyin, keep

FIRST_START_S = 600.0


class Town(NamedTuple):
    """The living city after its second start, and what was seen of both.

    said: by the first run. first, second: sizes after each run. told: by the keeper in the second.
    """

    living: Living
    said: str
    first: dict[Division, Sizes]
    second: dict[Division, Sizes]
    answered: list[Answered]
    told: tuple[str, ...]


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """`huiyin demo --exit` on an empty folder, then the same folder again, alive until the last test is over."""
    folder = tmp_path_factory.mktemp("city") / "demo"
    run = huiyin("demo", "--dir", str(folder), "--exit", limit_s=FIRST_START_S)
    assert run.returncode == 0, run.stdout + run.stderr
    city = City(folder)
    with city.server:
        clock = found_city(city, SCRIPTED_START_US, print, lambda: None)
        stopped = Living(city, clock)
        first = stopped.sizes()
        stopped.close()
        told: list[str] = []
        with keep(city, clock, told) as living:
            answered = living.play(scripted_day.stories(SCRIPTED_START_US))
            living.settle()
            yield Town(living, run.stdout, first, living.sizes(), answered, tuple(told))


@pytest.fixture
def living(town: Town) -> Living:
    """The city, all of it settled."""
    town.living.settle()
    return town.living
