from datetime import date

import psycopg
import pytest

from domain import events
from projections import cases
from projections.cases import CaseFilter
from projections.rebuild import check
from projections.tables import FOREVER
from projections.views_postgres import PostgresViews
from tests.projections.conftest import CASES, Follow
from tests.projections.stories import BUREAU, CITY, COUNTY, OFFICE, TOWN, VILLAGE, WATER, Ledger, Story, an_id


def holders(conn: psycopg.Connection, story: Story) -> list[tuple[str, bool]]:
    """Every unit that answered for the case, in order, and whether it still does."""
    rows = conn.execute(
        "select unit, gone_pos = %s from views.custody where case_id = %s and void_pos = %s order by opened_pos",
        (FOREVER, story.case, FOREVER),
    )
    return rows.fetchall()


def status(conn: psycopg.Connection, story: Story) -> tuple[str, str]:
    row = cases.case(conn, story.case)
    assert row is not None
    return row.status, row.holder_unit


def test_a_handed_over_case_stays_with_its_sender_until_the_receiver_opens_it(
    follow: Follow, conn: psycopg.Connection
) -> None:
    story = Story("a").registered().handed_over(1, OFFICE, WATER)
    follow(story)
    assert status(conn, story) == ("handed_over", OFFICE)
    follow(story.opened(2, WATER, mode="transfer"))
    assert status(conn, story) == ("received", WATER)
    assert holders(conn, story) == [(OFFICE, False), (WATER, True)]


def test_a_case_given_to_a_unit_that_is_not_is_held_by_the_first_office_there(
    follow: Follow, conn: psycopg.Connection
) -> None:
    first = f"{COUNTY}.office"
    story = Story("a").registered().handed_over(1, OFFICE, f"{COUNTY}.nosuch").opened(2, first, mode="transfer")
    follow(story.accepted(2, first))
    assert status(conn, story) == ("accepted", first)
    assert holders(conn, story) == [(OFFICE, False), (first, True)]


def test_what_an_old_holder_still_writes_moves_nothing(follow: Follow, conn: psycopg.Connection) -> None:
    story = Story("a").registered().handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    follow(story.closed(1, OFFICE))
    assert status(conn, story) == ("received", WATER)


def test_a_stranger_writing_on_the_holders_leg_moves_nothing(follow: Follow, conn: psycopg.Connection) -> None:
    follow(story := Story("a").registered().accepted(1, WATER))
    assert status(conn, story) == ("registered", OFFICE)


def test_a_take_over_ends_custody_at_once_and_a_late_hand_over_does_not_bring_it_back(
    follow: Follow, conn: psycopg.Connection
) -> None:
    story = Story("a").registered().handed_over(1, OFFICE, WATER)
    taken = events.LegId(an_id("taken", by=BUREAU))
    story.tell(
        events.TakenOver,
        BUREAU,
        taken,
        leg=story.leg(1),
        leg_version=1,
        last_log="x/410221100000/1",
        last_size=3,
        next_leg=taken,
        unit=BUREAU,
    )
    follow(story.opened(2, WATER, mode="transfer"))
    assert status(conn, story) == ("received", BUREAU)
    assert holders(conn, story) == [(OFFICE, False), (BUREAU, True)]


@pytest.mark.parametrize(("first", "second"), [(CITY, COUNTY), (COUNTY, CITY)])
def test_of_two_directives_that_crossed_the_higher_one_holds_whichever_came_first(
    follow: Follow, conn: psycopg.Connection, first: str, second: str
) -> None:
    story = Story("a").registered()
    for division in (first, second):
        leg = events.LegId(an_id("taken", by=division))
        fields = {"leg_version": 1, "last_log": "x/410221100000/1", "last_size": 3, "unit": f"{division}.bureau"}
        story.tell(events.TakenOver, f"{division}.bureau", leg, leg=story.leg(1), next_leg=leg, **fields)
    follow(story)
    assert [unit for unit, lasts in holders(conn, story) if lasts] == [f"{CITY}.bureau"]


def test_a_case_is_closed_when_its_last_claim_is_and_opens_again_with_a_new_one(
    follow: Follow, conn: psycopg.Connection
) -> None:
    follow(story := Story("a").registered(claims=2).accepted(1, OFFICE, [0, 1]).closed(1, OFFICE, [0]))
    assert status(conn, story) == ("accepted", OFFICE)
    follow(story.closed(1, OFFICE, [1]))
    assert status(conn, story) == ("closed", OFFICE)
    assert holders(conn, story) == [(OFFICE, False)]
    story.tell(events.ClaimAmended, OFFICE, story.case, claim=story.claim(2), change="added")
    follow(story)
    assert status(conn, story) == ("received", OFFICE)
    assert holders(conn, story) == [(OFFICE, False), (OFFICE, True)]


def test_filters_pages_and_counts_agree(follow: Follow, conn: psycopg.Connection) -> None:
    stories = [
        Story(f"case {number}").registered(
            unit=OFFICE if number % 3 else WATER,
            received_on=date(2026, 3, 1 + number % 5),
            category=f"01020{number % 4}",
        )
        for number in range(23)
    ]
    follow(*stories)
    for wanted, expected in [
        (CaseFilter(), 23),
        (CaseFilter(holder_unit=WATER), 8),
        (CaseFilter(holder_nodes=(TOWN, CITY)), 15),
        (CaseFilter(filing_node=COUNTY), 8),
        (CaseFilter(category="010203"), 5),
        (CaseFilter(category="01"), 23),
        (CaseFilter(category="02"), 0),
        (CaseFilter(received_from=date(2026, 3, 5), received_to=date(2026, 3, 5)), 4),
        (CaseFilter(status="registered", issue_region=VILLAGE, matter_class="claim_petition"), 23),
        (CaseFilter(status="closed"), 0),
        (CaseFilter(number="case 7-1"), 1),
    ]:
        seen, after, count = [], None, None
        while count is None or after is not None:
            page = cases.find(conn, wanted, after=after, limit=4)
            seen += page.cases
            after, count = page.next, page.count
        assert (len({row.case_id for row in seen}), len(seen), count) == (expected, expected, expected)
        assert [row.received_on for row in seen] == sorted((row.received_on for row in seen), reverse=True)


def test_names_follow_the_latest_word_of_the_ledger(follow: Follow, conn: psycopg.Connection) -> None:
    story, stream = Story("names"), an_id("node")
    story.tell(events.NodeOpened, OFFICE, stream, case=None, origin="x/1", name="城关镇", parent=COUNTY)
    story.tell(events.UnitOpened, OFFICE, stream, case=None, unit=OFFICE, name="信访办")
    story.tell(events.UnitOpened, OFFICE, stream, case=None, unit=OFFICE, name="综治中心")
    follow(story)
    assert [(node.division, node.name, node.parent) for node in cases.nodes(conn)] == [(TOWN, "城关镇", COUNTY)]
    assert [(unit.unit, unit.name) for unit in cases.units(conn, TOWN)] == [(OFFICE, "综治中心")]


def test_a_claim_that_was_raised_before_its_case_was_registered_is_one_claim(
    follow: Follow, conn: psycopg.Connection, ledger: Ledger
) -> None:
    story = Story("a")
    story.tell(events.ClaimAmended, OFFICE, an_id("elsewhere"), claim=story.claim(0), change="added")
    follow(story.registered())
    assert conn.execute("select claim, opened_pos from views.claim").fetchall() == [(story.claim(0), 2)]
    assert check(PostgresViews(conn), ledger.read, CASES).difference is None
