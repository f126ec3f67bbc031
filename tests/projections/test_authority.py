"""A liar among the nodes: what it had no right to sign stands in the ledger and the time line, and moves no view."""

from collections.abc import Callable
from datetime import date

import psycopg
import pytest

from domain import events
from projections.rebuild import check
from projections.timeline import timeline
from tests.projections.conftest import ALL, DUTIES, Follow
from tests.projections.stories import COUNTY, OFFICE, WATER, Ledger, Story, an_id

STRANGER = "410223000000.office"
VIEWS = {
    "case_file": "status, ending, holder_unit, withdrawn_us, rated_office, category, leg_count",
    "claim": "claim, gone_pos",
    "custody": "leg, unit, gone_pos",
    "duty": "subject, rule, due_on, extra_days, gone_pos",
    "dispute": "kind, leg",
}


def ordered_and_accepted() -> Story:
    story = Story("told").registered(claims=2).handed_over(1, OFFICE, WATER).opened(2, WATER, mode="transfer")
    order = events.OrderId(an_id("order"))
    fields = {"order": order, "leg": story.leg(2), "leg_version": 1, "unit": WATER, "number": "督-1"}
    by = date(2026, 4, 2)
    story.tell(events.OrderIssued, f"{COUNTY}.office", order, **fields, trigger="delay", reply_by=by)
    return story.accepted(2, WATER, claims=(0, 1))


def lies(story: Story) -> list[Callable[[], object]]:
    leg, order = story.leg(2), an_id("order")
    paper = {"leg": leg, "number": "伪", "claims": (story.claim(0),)}
    return [
        lambda: story.tell(events.Withdrawn, STRANGER, an_id("w")),
        lambda: story.tell(events.ClaimAmended, STRANGER, an_id("a"), claim=story.claim(1), change="dropped"),
        lambda: story.tell(events.ClaimAmended, STRANGER, an_id("b"), claim=story.claim(7), change="added"),
        lambda: story.rated(STRANGER),
        lambda: story.tell(events.Extended, STRANGER, leg, leg=leg, days=30, claims=(story.claim(0),)),
        lambda: story.tell(events.Extended, STRANGER, an_id("e"), leg=leg, days=30, claims=(story.claim(0),)),
        lambda: story.tell(events.Replied, STRANGER, leg, **paper, result="answered"),
        lambda: story.closed(2, STRANGER, (0, 1)),
        lambda: story.closed(5, STRANGER, (0, 1)),
        lambda: story.closed(1, OFFICE, (0, 1)),
        lambda: story.handed_over(2, STRANGER, STRANGER),
        lambda: story.opened(9, STRANGER, mode="taken_over", from_leg=leg),
        lambda: story.tell(events.OrderReplied, STRANGER, an_id("r"), order=order, leg=leg),
        lambda: story.tell(
            events.DirectiveAnswered,
            STRANGER,
            an_id("d"),
            directive=order,
            leg=leg,
            effect="overtaken",
            holder=STRANGER,
            leg_version=1,
        ),
        lambda: story.tell(events.LegEnded, STRANGER, leg, leg=leg, directive=an_id("x")),
        lambda: story.tell(
            events.TakenOver,
            STRANGER,
            an_id("t"),
            leg=leg,
            leg_version=1,
            last_log="x/410223110000/1",
            last_size=1,
            next_leg=an_id("t"),
            unit=STRANGER,
        ),
        lambda: story.tell(
            events.RegistrationCorrected,
            STRANGER,
            an_id("c"),
            matter_class="suggestion",
            category="020000",
            issue_region="410223000000",
        ),
    ]


def views(conn: psycopg.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: conn.execute(f"select {columns} from views.{name} order by 1, 2").fetchall()
        for name, columns in VIEWS.items()
    }


def test_what_a_stranger_signed_moves_no_view_is_counted_and_is_shown_without_effect(
    follow: Follow, ledger: Ledger, conn: psycopg.Connection
) -> None:
    story = ordered_and_accepted()
    follow(story)
    before = views(conn)
    told = lies(story)
    for lie in told:
        lie()
    follow(story)
    assert views(conn) == before
    (counted,) = conn.execute("select count(*) from views.without_effect").fetchone() or (0,)
    assert counted == len(told)
    shown = [entry.has_effect for entry in timeline(ledger.read_case, story.case)]
    assert shown == [True] * (len(shown) - len(told)) + [False] * len(told)
    for projection in ALL:
        assert check(conn, ledger.read, projection).difference is None


def test_what_a_holder_wrote_after_a_take_over_stops_no_clock(follow: Follow, conn: psycopg.Connection) -> None:
    story = ordered_and_accepted()
    taken = an_id("taken")
    fields = {"leg_version": story.version_of(story.leg(2)), "last_log": f"x/{COUNTY}/1", "last_size": 3}
    bureau = "410200000000.bureau"
    story.tell(events.TakenOver, bureau, taken, leg=story.leg(2), next_leg=taken, unit=bureau, **fields)
    follow(story)
    before = views(conn)
    follow(story.closed(2, WATER, (0, 1)))
    assert views(conn) == before


@pytest.mark.parametrize(("log_id", "counts"), [(1, True), (2, False)])
def test_a_holiday_notice_from_below_moves_nobodys_deadlines(
    follow: Follow, ledger: Ledger, conn: psycopg.Connection, log_id: int, counts: bool
) -> None:
    story = Story("a").registered()
    follow(story)
    before = views(conn)["duty"]
    due = conn.execute("select due_on from views.duty order by due_on limit 1").fetchone()
    assert due is not None
    fields = {"year": due[0].year, "off": (due[0],), "working": (), "source": "通知", "edition": 99}
    story.tell(events.HolidaysNoticed, OFFICE, an_id("notice"), case=None, **fields)
    ledger.append(story.take(), log_id=log_id)
    follow()
    assert (views(conn)["duty"] != before) == counts
    assert check(conn, ledger.read, DUTIES).difference is None
