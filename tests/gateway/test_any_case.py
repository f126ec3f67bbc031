"""A case can be shown, and what is lawful next be said, whatever somebody below has signed about it."""

from collections.abc import Sequence

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.calendar import seed_calendar
from domain.case import CaseFile, evolve
from domain.context import Situation
from domain.divisions import Topology
from domain.events import Actor, AnyEvent
from domain.steps import lawful_steps
from gateway.reading.case_view import case_view, running_clocks
from tests.domain.any_event import any_event
from tests.projections.stories import CITY, COUNTY, HOUR_US, START_US, TOWN, VILLAGE, Story, an_id

CALENDAR = seed_calendar()
NOW_US = START_US + 99 * HOUR_US
SITUATION = Situation(
    now_us=NOW_US,
    node=TOWN,
    actor=Actor(account=an_id("leader"), role="leader", unit=f"{TOWN}.office"),
    topology=Topology({VILLAGE: TOWN, TOWN: COUNTY, COUNTY: CITY}),
    calendar=CALENDAR,
)


def shown(told: Sequence[AnyEvent]) -> CaseFile:
    """The case file, once everything that pages ask of it has been asked."""
    file: CaseFile | None = None
    for pos, event in enumerate(told, 1):
        file = evolve(file, event, pos)
    assert file is not None
    case_view(file, running_clocks(file, told, CALENDAR, NOW_US), str)
    list(lawful_steps(file, SITUATION))
    return file


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(any_event(), min_size=1, max_size=5))
def test_a_case_is_shown_whatever_was_signed_about_it(leaves: list[AnyEvent]) -> None:
    registered = Story("shown").registered().take()
    shown([*registered, *(msgspec.structs.replace(leaf, case=registered[0].case) for leaf in leaves)])
