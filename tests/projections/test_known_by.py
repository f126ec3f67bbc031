import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from typing import Any, Final

import psycopg
import pytest

from domain import events
from projections import board, duties
from projections.moment import Moment
from projections.rebuild import check
from projections.runner import Runner
from projections.timeline import timeline
from projections.views_postgres import PostgresViews
from tests.projections.conftest import ALL, Follow
from tests.projections.stories import BUREAU, CITY, COUNTY, HOUR_US, OFFICE, START_US, TOWN, WATER, Ledger, Story, an_id

UNITS: Final = (OFFICE, WATER, BUREAU)
NODES: Final = (TOWN, COUNTY, CITY)
WEEK_US: Final = 7 * 24 * HOUR_US
SOON_US: Final = START_US + 4 * HOUR_US
LATER_US: Final = START_US + 52 * WEEK_US
DEEDS: Final = ("accept", "close", "hand over", "take over", "object", "rule", "lapse", "amend", "extend", "notice")

Hand = tuple[events.LegId, str]
Shown = dict[str, Any]


class History:
    """Cases in which directives cross with what the holders do, told in the order in which a node learned of it."""

    def __init__(self) -> None:
        self.stories = [Story(name) for name in ("one", "two")]
        self.told: list[events.AnyEvent] = []
        self._hands: list[list[Hand]] = []
        self._raised: list[events.Objected | None] = [None, None]
        for story in self.stories:
            story.registered(claims=2)
            self._hands.append([(story.leg(1), OFFICE)])
            self.told += story.take()

    def add(self, number: int, deed: str, whose: int, unseen: int) -> None:
        """whose: 0 is who got the matter last, 1 who had it before. unseen: so much of that leg a directive has not."""
        story, hands = self.stories[number], self._hands[number]
        leg, unit = hands[-1 - whose % len(hands)]
        claims, seen = (story.claim(0),), max(0, story.version_of(leg) - unseen)
        new = self._new_leg(unit)
        match deed:
            case "accept":
                story.tell(events.Accepted, unit, leg, leg=leg, claims=claims, kind="substantive", number="受-1")
            case "close":
                story.tell(events.Closed, unit, leg, leg=leg, ending="opinion", claims=(*claims, story.claim(1)))
            case "hand over":
                to = UNITS[unseen % 3]
                story.tell(events.HandedOver, unit, leg, leg=leg, to=to, mode="transfer", report_by=None, next_leg=new)
                opened = {"leg": new, "unit": to, "mode": "transfer", "from_leg": leg, "sender": None}
                story.tell(events.LegOpened, to, new, **opened, report_by=None)
                hands.append((new, to))
            case "take over":
                by = next(other for other in (UNITS, UNITS[::-1])[unseen % 2] if other != unit)
                new = self._new_leg(by)
                place = {"leg_version": seen, "last_log": f"x/{unit[:12]}/1", "last_size": 0}
                story.tell(events.TakenOver, by, new, leg=leg, next_leg=new, unit=by, **place)
                hands.append((new, by))
            case "object":
                fields = {"leg": leg, "proposed": None, "sender": OFFICE, "ruler": TOWN if unit != OFFICE else COUNTY}
                self._raised[number] = story.tell(events.Objected, unit, leg, **fields)
            case "rule" if (raised := self._raised[number]) is not None:
                by = f"{raised.ruler}.office"
                new = self._new_leg(by)
                told = {"objection": raised.id, "leg": raised.leg, "leg_version": seen, "agreed": True}
                given_to = {"by": "sender", "holder": UNITS[whose % 3], "next_leg": new if unseen else None}
                story.tell(events.ObjectionRuled, by, an_id("rulings", new, by=by), **told, **given_to)
                if unseen:
                    hands.append((new, UNITS[whose % 3]))
            case "lapse" if (raised := self._raised[number]) is not None:
                story.now_us += WEEK_US
                unit = next(unit for leg, unit in hands if leg == raised.leg)
                story.tell(events.ObjectionLapsed, unit, raised.leg, objection=raised.id, leg=raised.leg)
                story.now_us -= unseen % 2 * WEEK_US  # another node may have ruled before
            case "amend":
                story.tell(events.ClaimAmended, OFFICE, story.case, claim=story.claim(2), change="added")
            case "extend":
                story.tell(events.Extended, unit, leg, leg=leg, days=7, claims=claims)
            case "notice":
                off = (date(2026, 4, 1 + unseen), date(2026, 5, 11))
                fields = {"year": 2026, "off": off, "working": (), "source": "通知", "edition": 9 + len(self.told)}
                story.tell(
                    events.HolidaysNoticed, BUREAU, an_id("notice", len(self.told), by=BUREAU), case=None, **fields
                )
        self.told += story.take()

    def _new_leg(self, unit: str) -> events.LegId:
        """An id that this unit's node makes."""
        return events.LegId(an_id("new", len(self.told), by=unit))


def a_history(chance: random.Random) -> History:
    """Two cases and two dozen deeds, most of them such as cross."""
    history = History()
    for deed in chance.choices(DEEDS, (5, 3, 4, 6, 2, 3, 1, 1, 2, 1), k=24):
        history.add(chance.randrange(2), deed, chance.randrange(3), chance.randrange(4))
    return history


@contextmanager
def empty_node(dsn: str) -> Iterator[tuple[psycopg.Connection, Ledger, Runner]]:
    """Its views, its ledger, and what makes the ones follow the other."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("drop schema if exists views cascade; drop schema if exists views_beside cascade; truncate ledger")
        ledger = Ledger(dsn)
        runner = Runner(lambda: psycopg.connect(dsn, autocommit=True), ledger.read, ledger.wait_beyond, ALL)
        with closing(ledger.conn), closing(runner):
            yield conn, ledger, runner


_INTERVAL = "case when gone_pos <= {pos} then gone_pos end as gone_pos, case when gone_pos <= {pos} then gone_us end"
_ROWS: Final = {
    "duty": ("set", f"subject, rule, due_us, set_us, gone_pos <= {{pos}} and is_stopped, {_INTERVAL}"),
    "custody": ("opened", f"leg, unit, mode, from_leg, opened_us, {_INTERVAL}"),
    "claim": ("opened", f"claim, opened_us, {_INTERVAL}"),
}


def visible(conn: psycopg.Connection, ledger: Ledger, history: History, pos: int) -> Shown:
    """All that the views say of what was known by a position, at a few moments of what had happened."""
    found: Shown = {"timeline": []}
    for table, (first, columns) in _ROWS.items():
        known = f"{first}_pos <= {pos} and known_pos <= {pos} and void_pos > {pos}"
        query = f"select case_id, {first}_pos, {columns.format(pos=pos)} from views.{table} where {known}"
        found[table] = sorted(conn.execute(query).fetchall(), key=repr)
    for as_of_us in (SOON_US, START_US + 3 * WEEK_US, LATER_US):
        at = Moment(as_of_us=as_of_us, pos=pos)
        found[f"board {as_of_us}"] = board.units(conn, NODES, at, START_US)
        found[f"duties {as_of_us}"] = [duties.of_unit(conn, unit, at) for unit in UNITS]
        for story in history.stories:
            found[f"late {story.name} {as_of_us}"] = board.lateness(conn, story.case, at)
            found["timeline"] += timeline(ledger.read_case, story.case, at)
    return found


@pytest.mark.parametrize("seed", [1, 2, 6, 7, 8])
def test_what_was_known_at_any_position_is_what_a_node_shows_that_stopped_there(
    shared_database: str, seed: int
) -> None:
    history = a_history(random.Random(seed))
    with empty_node(shared_database) as (conn, ledger, runner):
        then: list[Shown] = []
        for event in history.told:
            pos = ledger.append([event])
            runner.step()
            then.append(visible(conn, ledger, history, pos))
        assert [visible(conn, ledger, history, pos) for pos in range(1, len(then) + 1)] == then
        assert [check(PostgresViews(conn), ledger.read, projection).difference for projection in ALL] == [None] * len(
            ALL
        )
        learned = every_row(conn)
        runner.close()
        conn.execute("drop schema views cascade")
        runner.step()
        assert every_row(conn) == learned


def every_row(conn: psycopg.Connection) -> Shown:
    tables = ("without_effect", "case_file", "claim", "custody", "duty", "dispute")
    return {
        name: conn.execute(f"select to_jsonb(t)::text from views.{name} t order by 1").fetchall() for name in tables
    }


def test_what_a_take_over_undoes_stands_in_board_clocks_and_time_line_as_it_stood_before_that_was_learned(
    follow: Follow, ledger: Ledger, conn: psycopg.Connection
) -> None:
    story = Story("taken").registered().accepted(1, OFFICE)
    follow(story)
    before, history = Moment(as_of_us=LATER_US, pos=3), History()
    then = visible(conn, ledger, history, 3), board.units(conn, NODES, before, 0), duties.of_unit(conn, OFFICE, before)
    assert [(line.stopped, line.duties) for line in then[1]] == [(1, 1)]
    taken = events.LegId(an_id("take-over", by=BUREAU))
    place = {"leg_version": story.version_of(story.leg(1)) - 1, "last_log": f"x/{TOWN}/1", "last_size": 0}
    story.tell(events.TakenOver, BUREAU, taken, leg=story.leg(1), next_leg=taken, unit=BUREAU, **place)
    follow(story)
    now = visible(conn, ledger, history, 3), board.units(conn, NODES, before, 0), duties.of_unit(conn, OFFICE, before)
    assert now == then
    after = Moment(as_of_us=LATER_US, pos=4)
    assert [entry.has_effect for entry in timeline(ledger.read_case, story.case, before)] == [True, True, True]
    assert [entry.has_effect for entry in timeline(ledger.read_case, story.case, after)] == [True, True, False, True]
    assert {line.unit: line.stopped for line in board.units(conn, NODES, after, 0)} == {OFFICE: 1, BUREAU: 0}
