from datetime import date

import psycopg
import pytest

from domain import events
from domain.clocks import DAY_US, day_end_us, day_start_us
from projections import board, duties
from projections.board import About, UnitLine
from projections.board_fold import HEARD_STEP_US
from projections.moment import Moment, moment, position_at
from projections.runner import Runner
from projections.timeline import timeline
from tests.projections.conftest import Follow
from tests.projections.stories import (
    BUREAU,
    CITY,
    COUNTY,
    HOUR_US,
    OFFICE,
    START_US,
    TOWN,
    VILLAGE,
    WATER,
    Ledger,
    Story,
    an_id,
)

DUE_US = day_end_us(date(2026, 5, 6))
"""When the sixty days of a case accepted on the first day of these stories are over."""


def at(as_of_us: int, pos: int = 1_000_000) -> Moment:
    return Moment(as_of_us=as_of_us, pos=pos)


def names(ledger: Ledger) -> None:
    """The tree, as its nodes tell it; each writes its own log, the city's being number 1."""
    for log_id, (node, name, parent) in enumerate(
        [(CITY, "开封市", None), (COUNTY, "杞县", CITY), (TOWN, "城关镇", COUNTY)], start=1
    ):
        story, stream = Story(name, START_US - 2 * HOUR_US), an_id(node)
        story.tell(events.NodeOpened, f"{node}.node", stream, case=None, origin=f"x/{node}", name=name, parent=parent)
        ledger.append(story.take(), log_id=log_id)
    story = Story("village")
    fields = {"division": VILLAGE, "name": "西村", "certificate": ""}
    story.tell(events.ChildEnrolled, f"{TOWN}.node", an_id(TOWN), case=None, **fields)
    ledger.append(story.take(), log_id=3, known_us=START_US - HOUR_US)


def line(conn: psycopg.Connection, unit: str, when: Moment, since_us: int = 0) -> UnitLine:
    return next(line for line in board.units(conn, [unit[:12]], when, since_us) if line.unit == unit)


@pytest.fixture
def overdue(ledger: Ledger, follow: Follow) -> Story:
    """A case of the township that nobody answered; the city hears of it at once, and of the township on day 80."""
    names(ledger)
    story = Story("slow").registered().accepted(1, OFFICE)
    ledger.append(story.take(), log_id=3)
    other = Story("sign of life", START_US + 80 * DAY_US).registered(unit=BUREAU)
    ledger.append(other.take(), log_id=1)
    follow()
    return story


def test_overdue_and_due_soon_are_counted_beside_what_they_are_part_of(
    overdue: Story, ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    heard = Story("heard", DUE_US + DAY_US).registered(received_on=date(2026, 5, 8))
    ledger.append(heard.take(), log_id=3)
    follow()
    soon = line(conn, OFFICE, at(DUE_US - DAY_US))
    assert (soon.cases, soon.duties, soon.overdue, soon.due_soon, soon.unheard) == (1, 1, 0, 1, 0)
    late = line(conn, OFFICE, at(DUE_US + 2 * DAY_US))
    assert (late.cases, late.duties, late.overdue, late.due_soon, late.unheard) == (2, 2, 1, 0, 0)


def test_a_node_silent_since_before_the_due_date_is_not_called_late(overdue: Story, conn: psycopg.Connection) -> None:
    shown = line(conn, OFFICE, at(DUE_US + DAY_US))
    assert (shown.overdue, shown.unheard) == (0, 1)
    assert shown.heard_us == overdue.now_us


def test_the_own_node_is_never_silent_to_itself(ledger: Ledger, follow: Follow, conn: psycopg.Connection) -> None:
    names(ledger)
    follow(Story("a").registered(unit=BUREAU).accepted(1, BUREAU))
    assert line(conn, BUREAU, at(DUE_US)).overdue == 1


def test_the_tree_names_every_node_and_since_when_nothing_is_known_of_it(
    overdue: Story, conn: psycopg.Connection
) -> None:
    found = board.subtree(conn, COUNTY, at(DUE_US))
    assert [(node.division, node.name, node.parent) for node in found] == [
        (COUNTY, "杞县", CITY),
        (TOWN, "城关镇", COUNTY),
        (VILLAGE, "西村", TOWN),
    ]
    assert [node.heard_us for node in found] == [START_US - HOUR_US, overdue.now_us, None]


def test_what_was_heard_later_was_not_heard_then(overdue: Story, conn: psycopg.Connection) -> None:
    (_, town, _) = board.subtree(conn, COUNTY, at(DUE_US, pos=4))
    assert town.heard_us == START_US - HOUR_US
    (_, town, _) = board.subtree(conn, COUNTY, at(DUE_US, pos=5))
    assert town.heard_us is not None
    assert 0 <= START_US + HOUR_US - town.heard_us < HEARD_STEP_US


def test_the_board_can_be_read_as_it_was_known_before_late_news(
    overdue: Story, ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    """The township closed in time and its link was down: the city called it unheard, and today knows better."""
    overdue.now_us = START_US + 30 * DAY_US
    ledger.append(overdue.closed(1, OFFICE).take(), log_id=3, known_us=START_US + 90 * DAY_US)
    follow()
    last = 10
    day_66 = START_US + 66 * DAY_US
    then = moment(ledger.read, last, as_of_us=day_66, known_by_us=START_US + 85 * DAY_US)
    now = moment(ledger.read, last, as_of_us=day_66)
    assert [(then.pos, line(conn, OFFICE, then).unheard), (now.pos, line(conn, OFFICE, now).unheard)] == [
        (9, 1),
        (10, 0),
    ]
    assert [(found.cases, found.stopped, found.stopped_late) for found in (line(conn, OFFICE, now),)] == [(0, 2, 0)]


def test_a_position_is_found_by_when_it_was_learned(overdue: Story, ledger: Ledger) -> None:
    times = [row.known_us for row in ledger.read(0, 100)]
    last = len(times)
    assert position_at(ledger.read, last, times[0] - 1) == 0
    assert position_at(ledger.read, last, times[-1]) == last
    for pos, known_us in enumerate(times, start=1):
        assert position_at(ledger.read, last, known_us) >= pos
        assert times[position_at(ledger.read, last, known_us) - 1] == known_us


def test_bouncing_counts_fights_and_not_the_handing_over_itself(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    names(ledger)
    story = Story("ball").registered().handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    follow(story)
    assert line(conn, WATER, at(DUE_US)).bouncing == 0
    fields = {"leg": story.leg(2), "proposed": None, "sender": OFFICE, "ruler": TOWN}
    objected = story.tell(events.Objected, WATER, story.leg(2), **fields)
    ruling = {"objection": objected.id, "leg": story.leg(2), "leg_version": 2, "by": "sender", "holder": OFFICE}
    ruled = story.tell(events.ObjectionRuled, OFFICE, an_id("r"), **ruling, agreed=True, next_leg=story.leg(3))
    follow(story)
    assert line(conn, OFFICE, at(DUE_US)).bouncing == 1
    assert line(conn, WATER, at(ruled.occurred_us - 1)).bouncing == 0
    (found,) = board.cases_of(conn, OFFICE, "bouncing", at(DUE_US)).cases
    assert (found.case_id, found.bounces) == (story.case, 2)


def test_unanswered_orders_stand_beside_all_orders(ledger: Ledger, follow: Follow, conn: psycopg.Connection) -> None:
    names(ledger)
    story = Story("chased").registered()
    for number in (1, 2):
        order = events.OrderId(an_id("order", number, by=WATER))
        issue = {"leg": story.leg(1), "order": order, "leg_version": 1, "unit": OFFICE, "number": f"督-{number}"}
        story.tell(events.OrderIssued, WATER, order, **issue, trigger="delay", reply_by=date(2026, 4, 1))
    story.tell(events.OrderReplied, OFFICE, an_id("reply"), leg=story.leg(1), order=an_id("order", 1, by=WATER))
    follow(story)
    shown = line(conn, OFFICE, at(START_US + DAY_US))
    assert (shown.orders, shown.unanswered) == (2, 1)


def test_lateness_is_charged_to_who_held_the_case_on_the_late_days(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    names(ledger)
    story = Story("late").registered().accepted(1, OFFICE)
    story.now_us = DUE_US + 3 * DAY_US - 2 * HOUR_US
    story.handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    story.now_us = DUE_US + 4 * DAY_US - HOUR_US
    follow(story.closed(2, WATER))
    charged = [
        (piece.unit, piece.to_us - piece.from_us)
        for piece in board.lateness(conn, story.case, at(DUE_US + 9 * DAY_US))
        if piece.rule == "handle"
    ]
    assert charged == [(OFFICE, 3 * DAY_US), (WATER, DAY_US)]
    so_far = board.lateness(conn, story.case, at(DUE_US + DAY_US))
    assert [(piece.unit, piece.to_us - piece.from_us) for piece in so_far] == [(OFFICE, DAY_US)]
    done = line(conn, WATER, at(DUE_US + 9 * DAY_US), since_us=DUE_US)
    assert done.stopped_late == 1


def test_a_period_in_which_somebody_might_have_objected_is_nobodys_lateness_once_it_has_passed(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    names(ledger)
    story = Story("quiet").registered().handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    follow(story)
    soon, later = at(START_US + DAY_US), at(START_US + 12 * DAY_US)
    assert "objection" in {duty.rule for duty in duties.of_unit(conn, WATER, soon)}
    assert {duty.rule for duty in duties.of_unit(conn, WATER, later)} == {"accept_notice"}
    assert {duty.rule for duty in duties.of_case(conn, story.case, later)} == {"accept_notice"}
    assert (line(conn, WATER, soon).duties, line(conn, WATER, later).overdue) == (1, 0)
    assert board.lateness(conn, story.case, later) == []


@pytest.mark.parametrize("about", ["cases", "duties", "overdue", "due_soon", "unheard"])
def test_every_number_of_the_board_opens_into_as_many_cases(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection, about: About
) -> None:
    names(ledger)
    for number in range(12):
        story = Story(f"{number}", START_US + number * 6 * DAY_US).registered()
        ledger.append(story.accepted(1, OFFICE).take(), log_id=3)
    follow()
    when = at(START_US + 66 * DAY_US)
    seen: list[board.CaseLine] = []
    after: board.After | None = None
    while page := board.cases_of(conn, OFFICE, about, when, after=after, limit=4):
        seen += page.cases
        after = page.next
        if after is None:
            break
    assert len({found.case_id for found in seen}) == len(seen) == getattr(line(conn, OFFICE, when), about)


def test_a_line_of_the_board_leads_down_to_single_events(
    overdue: Story, ledger: Ledger, conn: psycopg.Connection
) -> None:
    (found,) = board.cases_of(conn, OFFICE, "unheard", at(DUE_US)).cases
    entries = timeline(ledger.read_case, found.case_id, at(DUE_US))
    assert [entry.tag for entry in entries] == ["case.registered.v0", "leg.opened.v0", "leg.accepted.v0"]
    assert [(entry.log_id, entry.via, entry.unit, entry.role) for entry in entries] == [(3, 1, OFFICE, "clerk")] * 3


def test_a_time_line_leaves_out_what_had_not_happened_or_was_not_known(ledger: Ledger, runner: Runner) -> None:
    story = Story("a").registered()
    accepted = story.accepted(1, OFFICE).told[-1]
    ledger.append(story.take())
    newer = f'{{"type":"leg.imagined.v7","case":"{story.case}"}}'.encode()
    ledger.append([newer], known_us=accepted.recorded_us + HOUR_US)
    ledger.conn.execute("update ledger set case_id = %s where pos = 4", (story.case,))
    assert len(timeline(ledger.read_case, story.case)) == 4
    assert len(timeline(ledger.read_case, story.case, at(accepted.occurred_us))) == 3
    assert len(timeline(ledger.read_case, story.case, at(accepted.occurred_us - 1))) == 2
    assert len(timeline(ledger.read_case, story.case, at(DUE_US, pos=1))) == 1
    unknown = timeline(ledger.read_case, story.case)[-1]
    assert (unknown.tag, unknown.event, unknown.unit) == ("leg.imagined.v7", None, None)


def test_units_that_never_had_a_case_are_on_the_board_too(
    ledger: Ledger, follow: Follow, conn: psycopg.Connection
) -> None:
    names(ledger)
    story = Story("unit")
    story.tell(events.UnitOpened, WATER, an_id("units"), case=None, unit=WATER, name="水利局")
    follow(story)
    (quiet,) = board.units(conn, [COUNTY], at(day_start_us(date(2026, 3, 3))), 0)
    assert (quiet.unit, quiet.name, quiet.duties, quiet.overdue) == (WATER, "水利局", 0, 0)
    assert board.total([quiet, quiet])["cases"] == 0
