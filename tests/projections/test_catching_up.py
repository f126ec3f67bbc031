"""What comes late into a view, by a retry or because a cause was mended, stands there as if it had never waited."""

from datetime import date
from uuid import UUID

import pytest

from domain import events
from domain.clocks import day_start_us
from projections import retrying
from projections.case_rows import CASE_FILE, CLAIM
from projections.duty_fold import DUTY
from projections.following import Follower, make_anew
from projections.projection import Projection
from projections.rebuild import check
from projections.tables import FOREVER
from tests.projections.conftest import ALL, AUTHORITY, CASES, DUTIES
from tests.projections.memory_views import MemoryViews
from tests.projections.stories import BUREAU, HOUR_US, OFFICE, MemoryLedger, Story, an_id
from tests.projections.stumbling import Stumbling

ACCOUNT = an_id("operator")


class Node:
    """A ledger, and the views that follow it, of which some stumble."""

    def __init__(self, *stumbling: Stumbling) -> None:
        self.ledger = MemoryLedger()
        self.views = MemoryViews()
        by_name = {each.name: each for each in stumbling}
        self._projections: list[Projection] = [by_name.get(each.name, each) for each in ALL]

    def learn(self, *stories: Story) -> None:
        for story in stories:
            self.ledger.append(story.take())
        follower = Follower(self.views, self.ledger.read, self._projections)
        while follower.step():
            pass

    def differences(self) -> list[object]:
        return [check(self.views, self.ledger.read, projection).difference for projection in self._projections]


def december() -> Story:
    """A case accepted so that its last day is 2027-01-04, before any notice for that year."""
    return Story("december", day_start_us(date(2026, 11, 5)) - HOUR_US).registered().accepted(1, OFFICE)


def a_notice(story: Story) -> events.HolidaysNoticed:
    """That day is off."""
    fields = {"year": 2027, "off": (date(2027, 1, 4),), "working": (), "source": "国办发明电", "edition": 1}
    told = story.tell(events.HolidaysNoticed, BUREAU, an_id("calendar", by=BUREAU), case=None, **fields)
    assert isinstance(told, events.HolidaysNoticed)
    return told


def last_days(views: MemoryViews) -> list[date]:
    """Of the clocks that run for handling a claim."""
    return [row.due_on for row in views.rows(DUTY) if row.rule == "handle" and row.gone_pos == FOREVER]


def test_what_was_left_out_stays_left_out_where_a_view_is_made_anew() -> None:
    cases = Stumbling(CASES, [3])
    node = Node(cases)
    story = Story("bad").registered().accepted(1, OFFICE).rated()
    node.learn(story)
    assert retrying.skip(node.views, node.ledger.read, cases, story.case, "agreed with the county", ACCOUNT) is None
    with node.views.transaction():
        make_anew(node.views, cases)
    cases.bad.clear()
    node.learn()
    assert [row.status for row in node.views.rows(CASE_FILE)] == ["registered"]
    assert node.differences() == [None] * len(ALL)


def test_a_case_that_a_late_decision_frees_is_believed_from_its_first_event() -> None:
    cases = Stumbling(CASES, [1])
    node = Node(cases)
    story = Story("freed").registered(claims=2)
    seen = story.version_of(story.leg(1))
    node.learn(story.closed(1, OFFICE))
    assert [waiting.projection for waiting in node.views.parked()] == ["cases"]
    cases.bad.clear()
    taken = events.LegId(an_id("taken", by=BUREAU))
    place = {"leg_version": seen, "last_log": f"x/{OFFICE[:12]}/1", "last_size": 0}
    story.tell(events.TakenOver, BUREAU, taken, leg=story.leg(1), next_leg=taken, unit=BUREAU, **place)
    node.learn(story)
    assert node.views.parked() == []
    assert sorted((row.known_pos, row.void_pos, row.gone_pos) for row in node.views.rows(CLAIM)) == [
        (0, 4, 3),
        (0, FOREVER, FOREVER),
        (4, FOREVER, FOREVER),
    ]
    assert node.differences() == [None] * len(ALL)


@pytest.mark.parametrize("judge_stumbles", [True, False])
def test_a_notice_taken_in_late_moves_the_clocks_of_every_case(judge_stumbles: bool) -> None:
    stumbling = Stumbling(AUTHORITY if judge_stumbles else DUTIES, [1])
    node = Node(stumbling)
    calendar = Story("calendar")
    notice = a_notice(calendar)
    node.learn(calendar, december())
    assert last_days(node.views) == [date(2027, 1, 4)]
    stumbling.bad.clear()
    assert retrying.retry(node.views, node.ledger.read, stumbling, UUID(str(notice.stream))) is None
    node.learn()
    assert last_days(node.views) == [date(2027, 1, 5)]
    assert node.differences() == [None] * len(ALL)


def test_a_notice_before_what_is_parked_moves_the_clocks_of_that_case() -> None:
    judge = Stumbling(AUTHORITY, [5])
    node = Node(judge)
    story = december()
    a_notice(story)
    story.rated()
    node.learn(story)
    assert {waiting.pos for waiting in node.views.parked()} == {5}
    assert last_days(node.views) == [date(2027, 1, 5)]
    judge.bad.clear()
    assert retrying.retry(node.views, node.ledger.read, judge, story.case) is None
    assert node.differences() == [None] * len(ALL)
