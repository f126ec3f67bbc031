"""A liar among the nodes: what it had no right to sign stands in the ledger and the time line, and moves no view."""

from collections.abc import Callable, Sequence
from datetime import date
from uuid import UUID

import psycopg
import pytest

from domain import events
from projections.authority import STANDING
from projections.case_fold import Cases
from projections.catalogue import PROJECTIONS
from projections.following import Follower
from projections.projection import Fact, LedgerRow
from projections.rebuild import Rebuilt, check, switch
from projections.runner import Runner
from projections.store import Store
from projections.tables import FOREVER
from projections.timeline import timeline
from projections.views_postgres import PostgresViews
from tests.projections.conftest import ALL, DUTIES, Follow
from tests.projections.memory_views import MemoryViews
from tests.projections.stories import COUNTY, OFFICE, WATER, Ledger, MemoryLedger, Story, an_id

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
    order = events.OrderId(an_id("order", by=COUNTY))
    fields = {"order": order, "leg": story.leg(2), "leg_version": 1, "unit": WATER, "number": "督-1"}
    by = date(2026, 4, 2)
    story.tell(events.OrderIssued, f"{COUNTY}.office", order, **fields, trigger="delay", reply_by=by)
    return story.accepted(2, WATER, claims=(0, 1))


def own(name: str) -> UUID:
    """An id that the stranger may use."""
    return an_id(name, by=STRANGER)


def lies(story: Story) -> list[Callable[[], object]]:
    leg, order = story.leg(2), an_id("order", by=COUNTY)
    paper = {"leg": leg, "number": "伪", "claims": (story.claim(0),)}
    return [
        lambda: story.tell(events.Withdrawn, STRANGER, own("w")),
        lambda: story.tell(events.ClaimAmended, STRANGER, own("a"), claim=story.claim(1), change="dropped"),
        lambda: story.tell(events.ClaimAmended, STRANGER, own("b"), claim=story.claim(7), change="added"),
        lambda: story.rated(STRANGER),
        lambda: story.tell(events.Extended, STRANGER, leg, leg=leg, days=30, claims=(story.claim(0),)),
        lambda: story.tell(events.Extended, STRANGER, own("e"), leg=leg, days=30, claims=(story.claim(0),)),
        lambda: story.tell(events.Replied, STRANGER, leg, **paper, result="answered"),
        lambda: story.closed(2, STRANGER, (0, 1)),
        lambda: story.closed(5, STRANGER, (0, 1)),
        lambda: story.closed(1, OFFICE, (0, 1)),
        lambda: story.handed_over(2, STRANGER, STRANGER),
        lambda: story.opened(9, STRANGER, mode="taken_over", from_leg=leg),
        lambda: story.tell(events.OrderReplied, STRANGER, own("r"), order=order, leg=leg),
        lambda: story.tell(
            events.DirectiveAnswered,
            STRANGER,
            own("d"),
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
            own("t"),
            leg=leg,
            leg_version=1,
            last_log="x/410223110000/1",
            last_size=1,
            next_leg=own("t"),
            unit=STRANGER,
        ),
        lambda: story.tell(
            events.RegistrationCorrected,
            STRANGER,
            own("c"),
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
        assert check(PostgresViews(conn), ledger.read, projection).difference is None


def test_what_a_holder_wrote_after_a_take_over_stops_no_clock(follow: Follow, conn: psycopg.Connection) -> None:
    story = ordered_and_accepted()
    bureau = "410200000000.bureau"
    taken = an_id("taken", by=bureau)
    fields = {"leg_version": story.version_of(story.leg(2)), "last_log": f"x/{COUNTY}/1", "last_size": 3}
    story.tell(events.TakenOver, bureau, taken, leg=story.leg(2), next_leg=taken, unit=bureau, **fields)
    follow(story)
    before = views(conn)
    follow(story.closed(2, WATER, (0, 1)))
    assert views(conn) == before


def taken_over(story: Story, seen: int) -> events.AnyEvent:
    """The bureau takes the second leg over, having seen so many of its events."""
    bureau = "410200000000.bureau"
    taken = an_id(story.name, "taken", by=bureau)
    fields = {"leg_version": seen, "last_log": f"x/{COUNTY}/1", "last_size": 0}
    told = story.tell(events.TakenOver, bureau, taken, leg=story.leg(2), next_leg=taken, unit=bureau, **fields)
    assert isinstance(told, events.TakenOver)
    return told


def shown(conn: psycopg.Connection) -> dict[str, list[tuple[object, ...]]]:
    """What stands in the views, whichever position it came by."""
    queries = {
        "case_file": "select status, ending, holder_unit, closed_us, leg_count from views.case_file",
        "claim": f"select claim, gone_pos = {FOREVER} from views.claim where void_pos = {FOREVER}",
        "custody": f"select leg, unit from views.custody where least(gone_pos, void_pos) = {FOREVER}",
        "duty": f"select subject, rule, due_on, extra_days from views.duty where least(gone_pos, void_pos) = {FOREVER}",
        "dispute": f"select kind, leg from views.dispute where void_pos = {FOREVER}",
        "without_effect": f"select topic, node from views.without_effect where gone_pos = {FOREVER}",
    }
    return {name: conn.execute(f"{query} order by 1, 2").fetchall() for name, query in queries.items()}


Learn = Callable[[list[events.AnyEvent]], dict[str, list[tuple[object, ...]]]]


@pytest.fixture(params=["at once", "one by one"])
def learn(request: pytest.FixtureRequest, runner: Runner, ledger: Ledger, conn: psycopg.Connection) -> Learn:
    """What the views of an empty node show after it learned these events, which is what a rebuild would show."""

    def views_after(told: list[events.AnyEvent]) -> dict[str, list[tuple[object, ...]]]:
        runner.close()
        conn.execute("drop schema views cascade; truncate ledger")
        for event in told:
            ledger.append([event])
            if request.param == "one by one":
                runner.step()
        runner.step()
        for projection in ALL:
            assert check(PostgresViews(conn), ledger.read, projection).difference is None
        return shown(conn)

    return views_after


@pytest.mark.parametrize("has_notice", [True, False])
def test_what_a_take_over_had_not_seen_is_undone_in_every_view_whichever_was_learned_first(
    learn: Learn, has_notice: bool
) -> None:
    story = ordered_and_accepted()
    if has_notice:
        fields = {"year": 2026, "off": (date(2026, 5, 11),), "working": (), "source": "通知", "edition": 9}
        story.tell(events.HolidaysNoticed, "410200000000.bureau", an_id("notice"), case=None, **fields)
    before, seen = story.take(), story.version_of(story.leg(2)) - 1
    late = story.handed_over(2, WATER, OFFICE).opened(3, OFFICE, mode="transfer").accepted(3, OFFICE).take()
    taken = taken_over(story, seen)
    views = learn([*before, *late, taken])
    assert views == learn([*before, taken, *late])
    assert [topic for topic, _ in views["without_effect"]].count("leg.accepted.v0") == 2
    assert all(is_open for _, is_open in views["claim"])


class Interrupted(Cases):
    """Once it has folded its first batch beside, a take-over comes in and the live views fold it."""

    def __init__(self, comes_in: Callable[[], None]) -> None:
        super().__init__()
        self._comes_in: list[Callable[[], None]] = [comes_in]

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        super().fold(batch, store)
        if self._comes_in:
            self._comes_in.pop()()


@pytest.mark.parametrize("rebuild", [check, switch])
def test_what_loses_its_effect_while_a_view_is_built_anew_is_undone_in_what_is_built(
    runner: Runner, ledger: Ledger, conn: psycopg.Connection, rebuild: Callable[..., Rebuilt]
) -> None:
    story = ordered_and_accepted()
    seen = story.version_of(story.leg(2))
    follow_all(ledger, runner, story.closed(2, WATER).take())
    taken = taken_over(story, seen)
    interrupted = Interrupted(lambda: follow_all(ledger, runner, [taken]))
    assert rebuild(PostgresViews(conn), ledger.read, interrupted).difference is None
    assert check(PostgresViews(conn), ledger.read, Cases()).difference is None
    assert conn.execute("select pos from views.without_effect").fetchall() != []


def follow_all(ledger: Ledger, runner: Runner, told: list[events.AnyEvent]) -> None:
    ledger.append(told)
    while runner.step():
        pass


def test_what_a_take_over_from_below_cannot_take_back_has_its_effect_again(learn: Learn) -> None:
    story = Story("up").registered()
    before = story.take()
    bureau = "410200000000.bureau"
    late = story.accepted(1, OFFICE, kind="procedural").handed_over(1, OFFICE, bureau).take()
    late += story.opened(2, bureau, mode="transfer").take()
    taken, fields = an_id("taken", by=WATER), {"leg_version": 1, "last_log": f"x/{OFFICE[:12]}/1", "last_size": 0}
    story.tell(events.TakenOver, WATER, taken, leg=story.leg(1), next_leg=taken, unit=WATER, **fields)
    (told,) = story.take()
    views = learn([*before, *late, told])
    assert views["without_effect"] == []
    crossed = learn([*before, told, *late])
    assert crossed["without_effect"] == []
    assert crossed["duty"] == views["duty"]
    assert crossed["claim"] == views["claim"]


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
    assert check(PostgresViews(conn), ledger.read, DUTIES).difference is None


def test_what_is_kept_of_a_case_is_the_same_event_by_event_and_at_once() -> None:
    story = Story("a").registered()
    for number in range(12):
        erasure = an_id("erasure", number)
        fields = {"erasure": erasure, "subject": "0" * 32, "ground": "subject_request"}
        story.tell(events.ErasureOrdered, OFFICE, erasure, **fields)
    ledger = MemoryLedger()
    ledger.append(story.take())

    def kept(at_once: int) -> list[str]:
        def read(pos: int, limit: int) -> Sequence[LedgerRow]:
            return ledger.read(pos, min(limit, at_once))

        views_in_memory = MemoryViews()
        follower = Follower(views_in_memory, read, PROJECTIONS)
        while follower.step():
            pass
        return [row.body for row in views_in_memory.rows(STANDING)]

    assert kept(1) == kept(5) == kept(100)
