"""A node's ledger and the projections that follow it."""

from collections.abc import Iterator
from typing import Protocol

import psycopg
import pytest

from projections.board_fold import Board
from projections.case_fold import Cases
from projections.duty_fold import Duties
from projections.projection import Projection
from projections.runner import Runner
from tests.projections.stories import Ledger, Story

ALL: tuple[Projection, ...] = (Cases(), Duties(), Board())


class Follow(Protocol):
    """Append what is new in these stories, one after the other, and bring every projection up to date."""

    def __call__(self, *stories: Story) -> None: ...


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
