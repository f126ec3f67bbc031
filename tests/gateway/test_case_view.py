"""The clocks of a case as its page and the API show them."""

from contextlib import suppress
from datetime import date, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bounds import EARLIEST, EARLIEST_US, LATEST_US
from domain.calendar import seed_calendar
from domain.case import evolve
from domain.clocks import DAY_US, day_start_us
from domain.commands import Accept, AmendClaim, AnyCommand, Extend, HandOver, IssueOrder, JudgeOrder, ReplyOrder
from domain.events import AnyEvent, ClaimId, OrderIssued
from domain.refusals import Refusal
from domain.refusals_of_papers import ExtensionTooLate
from gateway.reading.case_view import case_view, running_clocks
from gateway.reading.following import followed
from tests.given import GAOYANG, MONDAY, QI, City, Somebody, office


def test_the_time_to_object_is_shown_while_it_lasts_and_never_as_overdue() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG), MONDAY + timedelta(days=40))
    city.syncs()

    def shown(days: int) -> dict[str, str]:
        now_us = day_start_us(MONDAY) + days * DAY_US
        clocks = running_clocks(city.file(case), city.history, seed_calendar(), now_us)
        return {clock.rule: clock.stage for clock in clocks}

    assert {"objection", "accept_notice", "report_back"} == set(shown(3))
    assert "objection" not in shown(12)
    assert shown(20)["accept_notice"] == "overdue"


def test_what_has_no_effect_moves_no_clock_of_a_case_page() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    (accepted,) = city.at(office(QI)).decides(Accept(case=case, leg=city.leg(case, QI)))
    stranger = city.at(office(GAOYANG)).actor
    forged = msgspec.structs.replace(accepted, node=GAOYANG, actor=stranger)
    file, told = city.file(case, QI), [*city.history, forged]
    for event in told[2:]:
        file = evolve(file, event)

    def shown(events: list[AnyEvent]) -> set[str]:
        return {clock.rule for clock in running_clocks(file, events, seed_calendar(), city.now_us)}

    assert shown(told) == shown(city.history) == {"register_route"}


@settings(max_examples=40, deadline=None)
@given(st.dates(EARLIEST, MONDAY), st.lists(st.integers(EARLIEST_US, day_start_us(MONDAY)), min_size=9, max_size=9))
def test_whatever_is_decided_at_any_plausible_time_can_be_shown(received_on: date, moments: list[int]) -> None:
    city = City.of()
    given_us = iter(moments)

    def does(somebody: Somebody, command: AnyCommand) -> AnyEvent:
        """The command at the next of the moments, or now where the rules refuse that one."""
        with suppress(Refusal):
            return somebody.does(msgspec.structs.replace(command, occurred_us=next(given_us)))[0]
        return somebody.does(command)[0]

    county, town = city.at(office(QI), "leader"), city.at(office(GAOYANG), "leader")
    clerk, supervisor = city.at(office(QI), "clerk"), city.at(office(QI), "supervisor")
    case = does(clerk, msgspec.structs.replace(clerk.registration(), received_on=received_on)).case
    assert case is not None
    due_on = MONDAY + timedelta(days=40)
    first, to = city.leg(case, QI), office(GAOYANG)
    does(county, HandOver(case=case, leg=first, to=to, mode="assign_with_report", report_by=due_on, reason="x"))
    city.syncs()
    leg = city.leg(case, GAOYANG)
    does(town, Accept(case=case, leg=leg))
    city.syncs()
    does(clerk, AmendClaim(case=case, claim=ClaimId(city.fresh()), change="added", text="x"))
    order = does(supervisor, IssueOrder(case=case, leg=leg, trigger="dissatisfied", reply_by=due_on, demand="x"))
    assert isinstance(order, OrderIssued)
    city.syncs()
    does(town, ReplyOrder(case=case, order=order.order, text="x"))
    city.syncs()
    does(supervisor, JudgeOrder(case=case, order=order.order, accepted=False, reply_by=due_on, comment="x"))
    with suppress(ExtensionTooLate):
        does(town, Extend(case=case, leg=leg, days=30, reason="x"))

    file, events = city.file(case), city.history
    for now_us in (city.now_us, LATEST_US):
        clocks = running_clocks(file, events, seed_calendar(), now_us)
        assert {"handle", "accept_notice", "supervision_reply"} <= {clock.rule for clock in clocks}
        shown = followed(file, events, clocks, str, lambda _: True)
        assert [clock.rule for clock in shown.clocks]
        assert case_view(file, clocks, str).clocks == clocks
        assert msgspec.json.encode((clocks, shown))
