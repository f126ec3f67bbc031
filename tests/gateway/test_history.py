"""Histories in which directives cross with what holders do: at every step they are what the projections show."""

import functools
import random
from collections.abc import Sequence
from uuid import UUID

import msgspec
import psycopg
import pytest

from domain.calendar import Calendar, Notice, seed_calendar
from domain.divisions import Division
from domain.events import Cause, HolidaysNoticed, Objected, read
from domain.shards import place
from gateway.reading.history import History, Step, history, step_of
from projections import duties
from projections.moment import Moment, lasts
from projections.timeline import timeline
from sync.ledger.rows import Row
from tests.projections.stories import OFFICE, TOWN, WATER, Ledger, Story
from tests.projections.test_known_by import LATER_US, a_history, empty_node

HERE = Division("990000000000")
"""Nobody who writes: all that it knows, it learned."""
SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def shared_database(postgres: object) -> str:
    postgres.create_database("histories", template="template_node")  # type: ignore[attr-defined]
    return str(postgres.dsn("histories"))  # type: ignore[attr-defined]


def told(rows: Sequence[Row], case: UUID) -> History:
    steps = [
        step_of(HERE, "x/1/1", row.seq, place(row.log_id, row.seq), number, 1, read(row.body), row.known_us)
        for number, row in enumerate(rows)
    ]
    return history(HERE, case, steps)


def calendar_by(rows: Sequence[Row], pos: int) -> Calendar:
    notices = [event for row in rows if row.pos <= pos and isinstance(event := read(row.body), HolidaysNoticed)]
    return functools.reduce(
        lambda calendar, it: calendar.with_notice(
            Notice(year=it.year, off=it.off, working=it.working, source=it.source, edition=it.edition)
        ),
        notices,
        seed_calendar(),
    )


def has_seen_nothing(step: Step) -> bool:
    """Whether it is a directive on a leg of which it says to have seen no event: no node of ours decides so, for what
    was never opened answers for nothing; and the views then know of no leg that it could take."""
    return getattr(step.event, "leg_version", 1) == 0


def holder(conn: psycopg.Connection, case: UUID, at: Moment) -> str | None:
    query = f"select unit from views.custody c where case_id = %(case)s and {lasts('c', 'opened')}"
    row = conn.execute(query, {"case": case} | at.values()).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("seed", [1, 2, 6, 7, 11])
def test_what_a_tier_knew_at_any_step_is_what_its_projections_show_as_of_then(shared_database: str, seed: int) -> None:
    """Learned one a second, long after all of it happened, so that each step is a moment of its own."""
    story = a_history(random.Random(seed))
    with empty_node(shared_database) as (conn, ledger, runner):
        for number, event in enumerate(story.told):
            ledger.append([event], known_us=LATER_US + number * SECOND_US)
        while runner.step():
            pass
        compared = sum(_compare(conn, ledger, case.case, len(story.told)) for case in story.stories)
    assert compared >= len(story.told)


def _compare(conn: psycopg.Connection, ledger: Ledger, case: UUID, count: int) -> int:
    every = ledger.read(0, count)
    rows = ledger.read_case(case)
    whole = told(rows, case)
    for row in [*rows, *reversed(rows)]:
        at = Moment(as_of_us=row.known_us, pos=row.pos)
        shown = timeline(ledger.read_case, case, at)
        known = [step for step in whole.learned if step.is_known(HERE, row.known_us)]
        assert [entry.tag for entry in shown] == [step.tag for step in known]
        then = told([one for one in rows if one.pos <= row.pos], case)
        assert [entry.has_effect for entry in shown] == [step.has_effect for step in then.learned]
        clocks = whole.clocks(row.known_us, calendar_by(every, row.pos), HERE)
        running = duties.of_case(conn, case, at)
        assert {(one.rule, one.due_on) for one in running} == {(one.rule, one.due_date) for one in clocks}
        held = holder(conn, case, at)
        if held is not None and not any(has_seen_nothing(step) for step in known):
            assert held == whole.views(row.known_us)[HERE].accountable
            assert {(one.rule, one.unit) for one in running} == {(one.rule, one.unit) for one in clocks}
    return 2 * len(rows)


def test_who_names_a_leaf_as_the_cause_of_what_it_wrote_had_it_by_then() -> None:
    """A village that answers a directive has read it; nothing else that comes up says so."""
    story = Story("caused").registered()
    first = story.take()
    story.tell(Objected, WATER, story.leg(1), leg=story.leg(1), proposed=None, sender=OFFICE, ruler=TOWN)
    (later,) = (
        msgspec.structs.replace(event, cause=(Cause(id=first[1].id, log="x/1/1", seq=1),)) for event in story.take()
    )
    events = [*first, later]
    steps = [
        step_of(HERE, "x/1/1" if number < len(first) else "x/2/1", number, number, number, 1, event, event.recorded_us)
        for number, event in enumerate(events)
    ]
    told_of = history(HERE, story.case, steps)
    knew = next(step for step in told_of.learned if step.seq == 1).known[Division(later.node)]
    assert (knew.at_us, knew.how) == (later.recorded_us, "cause")
    assert all(Division(later.node) not in step.known for step in told_of.learned if step.seq not in (1, len(first)))
