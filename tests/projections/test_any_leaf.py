"""Whatever a subordinate signs, every view folds it or sets that one leaf aside, and its neighbours' cases go on."""

import itertools

import msgspec
import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.events import AnyEvent
from projections import cases
from projections.runner import Runner
from projections.views_postgres import PostgresViews
from tests.domain.any_event import any_event
from tests.projections.stories import Ledger, Story

_numbers = itertools.count(1)
_lists = st.lists(any_event(), min_size=20, max_size=20)


@settings(max_examples=10, suppress_health_check=list(HealthCheck), deadline=None)
@given(leaves=_lists)
def test_whatever_a_subordinate_signs_no_view_stops_and_a_neighbours_case_goes_on(
    ledger: Ledger, runner: Runner, conn: psycopg.Connection, leaves: list[AnyEvent]
) -> None:
    told = Story(f"of whom it speaks {next(_numbers)}").registered()
    neighbour = Story(f"of a neighbour {next(_numbers)}").registered()
    registered = told.take()
    of_a_case = [msgspec.structs.replace(leaf, case=registered[0].case) for leaf in leaves[::2]]
    ledger.append([*registered, *of_a_case, *leaves[1::2], *neighbour.take()], log_id=2)
    while runner.step():
        pass
    assert PostgresViews(conn).parked() == []
    found = cases.case(conn, neighbour.case)
    assert found is not None
    assert found.status == "registered"


def test_a_text_that_no_index_holds_is_set_aside_and_the_views_go_on(
    ledger: Ledger, runner: Runner, conn: psycopg.Connection
) -> None:
    bad, good = Story("bad").registered(), Story("good").registered()
    bodies = [
        msgspec.json.encode(msgspec.structs.replace(event, number="长" * 6_000)) if hasattr(event, "number") else event
        for event in bad.take()
    ]
    last = ledger.append([*bodies, *good.take()], log_id=2)
    while runner.step():
        pass
    assert {progress.pos for progress in runner.progress(conn)} == {last}
    assert cases.case(conn, good.case) is not None
