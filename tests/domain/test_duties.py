"""Which clocks start and stop, read from single events, and that no closing dated back clears anything."""

from collections.abc import Iterable
from datetime import date, timedelta
from uuid import UUID

import msgspec

from domain.beginnings import Beginnings, with_beginning
from domain.case import evolve
from domain.clocks import DAY_US, day_start_us, due, shanghai_date
from domain.commands import Accept, AmendClaim, AnswerClaim, Extend, IssueOpinion, IssueOrder, JudgeOrder, ReplyOrder
from domain.commands import Report as ReportBack
from domain.duties import DutyClosed, DutyExtended, DutyOpened, duty_changes
from domain.events import AnyEvent, CaseId, ClaimId, HandedOver
from domain.limits import RuleId, rule_on
from tests.given import GAOYANG, LIUZHUANG, MONDAY, QI, City, office

TOWN = office(GAOYANG)
Clock = tuple[UUID, RuleId]


def running(events: Iterable[AnyEvent]) -> dict[Clock, DutyOpened]:
    """The clocks that run after `events`, by name; an extension is noted in the rule's extra days elsewhere."""
    clocks: dict[Clock, DutyOpened] = {}
    begun: Beginnings = {}
    for event in events:
        changes, begun = duty_changes(event, begun), with_beginning(begun, event)
        for change in changes:
            match change:
                case DutyOpened():
                    name = change.subject, change.rule
                    assert name not in clocks, "a clock is not started while it runs"
                    clocks[name] = change
                case DutyClosed():
                    clocks = {name: clock for name, clock in clocks.items() if not change.stops(*name)}
                case DutyExtended():
                    assert (change.subject, change.rule) in clocks
    return clocks


def rules(city: City) -> list[RuleId]:
    return sorted(duty.rule for duty in running(city.history).values())


def assigned(city: City) -> CaseId:
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, TOWN, MONDAY + timedelta(days=40))
    city.syncs()
    return case


def test_a_petition_office_routes_and_any_other_organ_notifies_within_15_days_of_receipt() -> None:
    city = City.of()
    clerk = city.at(TOWN, "clerk")
    command = msgspec.structs.replace(clerk.registration(), received_on=MONDAY - timedelta(days=3))
    clerk.does(command)
    (duty,) = running(city.history).values()
    assert (duty.rule, duty.unit, shanghai_date(duty.start_us)) == ("register_route", TOWN, date(2026, 2, 27))
    city = City.of()
    city.at(office(GAOYANG, "water"), "clerk").registers()
    assert rules(city) == ["accept_notice_direct"]


def test_who_receives_an_assignment_must_notify_and_report_and_may_object() -> None:
    city = City.of()
    assigned(city)
    assert rules(city) == ["accept_notice", "objection", "report_back"]
    assert {duty.unit for duty in running(city.history).values()} == {TOWN}


def test_an_objection_puts_its_ruling_on_the_sender_until_it_rules() -> None:
    city = City.of()
    case = assigned(city)
    city.at(TOWN).objects(case)
    duties = running(city.history)
    (ruling,) = [duty for duty in duties.values() if duty.rule == "objection_ruling"]
    assert ruling.unit == office(QI)
    assert "objection" not in {duty.rule for duty in duties.values()}
    assert "accept_notice" in {duty.rule for duty in duties.values()}
    city.syncs()
    city.at(office(QI)).rules(case, agreed=True)
    city.syncs()
    assert rules(city) == ["register_route"]


def test_in_a_dispute_the_ruling_is_the_superior_offices() -> None:
    city = City.of()
    case = assigned(city)
    for _ in range(2):
        city.at(TOWN).objects(case)
        city.syncs()
        if len(city.file(case).objections) == 1:
            city.at(office(QI)).rules(case, agreed=False)
            city.syncs()
    ruling = [duty for duty in running(city.history).values() if duty.rule == "objection_ruling"]
    assert [duty.unit for duty in ruling] == ["410200000000.office"]


def test_acceptance_starts_60_days_for_each_claim_and_an_extension_adds_to_the_same_clock() -> None:
    city = City.of()
    case = assigned(city)
    (accepted,) = city.at(TOWN).accepts(case)
    duties = running(city.history)
    (handle,) = [duty for duty in duties.values() if duty.rule == "handle"]
    assert (handle.start_us, handle.unit) == (accepted.occurred_us, None)
    leg = city.leg(case, GAOYANG)
    (extended,) = city.at(TOWN, "leader").does(Extend(case=case, leg=leg, days=30, reason="复杂"))
    assert duty_changes(extended, {}) == [DutyExtended(subject=handle.subject, rule="handle", extra_days=30)]


def test_a_claim_added_on_day_40_has_its_own_clocks_and_the_first_ones_stay_as_they_were() -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    city.at(TOWN).accepts(case)
    first = dict(running(city.history))
    city.days_pass(40)
    late = ClaimId(city.fresh())
    city.at(TOWN, "clerk").does(AmendClaim(case=case, claim=late, change="added", text="另一诉求"))
    assert running(city.history)[late, "accept_notice"].unit is None
    city.at(TOWN).accepts(case)
    duties = running(city.history)
    assert {key: duties[key] for key in first} == first
    assert duties[late, "handle"].start_us > next(iter(first.values())).start_us + 39 * 86_400_000_000
    city.at(TOWN, "citizen").does(AmendClaim(case=case, claim=late, change="dropped", text="不再主张"))
    assert running(city.history) == first


def test_a_take_over_does_not_reset_the_60_days() -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    city.at(TOWN).accepts(case)
    city.syncs()
    before = running(city.history)
    city.days_pass(30)
    city.at(office(QI), "leader").takes_over(case)
    city.syncs()
    after = {key: duty for key, duty in running(city.history).items() if duty.rule == "handle"}
    assert after == before
    city.at(office(QI)).answers(case)
    assert "handle" not in rules(city)


def test_a_leg_that_lost_its_effect_leaves_no_clock_behind() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.cut = {GAOYANG}
    city.at(office(LIUZHUANG), "clerk").hands_over(case, TOWN)
    city.syncs()
    assert TOWN in {duty.unit for duty in running(city.history).values()}
    city.at(office(QI), "leader").takes_over(case)
    city.cut = set()
    city.syncs()
    assert {duty.unit for duty in running(city.history).values()} == {office(QI)}


def test_the_end_clears_every_clock_and_what_was_promised_starts_none_that_could_not_stop() -> None:
    city = City.of()
    case = assigned(city)
    town, leg = city.at(TOWN), city.leg(case, GAOYANG)
    town.accepts(case)
    (claim,) = city.file(case, GAOYANG).claims
    promised = AnswerClaim(
        claim=claim, outcome="support", law="第32条", text="支持", performer=TOWN, perform_by=MONDAY + timedelta(90)
    )
    (opinion,) = town.does(IssueOpinion(case=case, leg=leg, facts="属实", answers=(promised,)))
    town.serves(case, opinion.id)
    town.does(ReportBack(case=case, leg=leg, text="已办结"))
    town.closes(case)
    assert running(city.history) == {}
    assert opinion.answers[0].perform_by == MONDAY + timedelta(90), "the promise itself stands in the opinion"


def test_an_order_has_its_reply_clock_and_starts_it_anew_when_the_reply_is_sent_back() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    county, village, leg = city.at(office(QI), "supervisor"), city.at(office(LIUZHUANG)), city.leg(case)
    day = MONDAY + timedelta(days=9)
    (order,) = county.does(IssueOrder(case=case, leg=leg, trigger="delay", reply_by=day, demand="说明"))
    key: Clock = (order.id, "supervision_reply")
    assert running(city.history)[key].fixed == day
    city.syncs()
    village.does(ReplyOrder(case=case, order=order.id, text="说明"))  # type: ignore[arg-type]
    assert key not in running(city.history)
    city.syncs()
    again = JudgeOrder(case=case, order=order.id, accepted=False, reply_by=day + timedelta(5), comment="不足")  # type: ignore[arg-type]
    county.does(again)
    assert running(city.history)[key].fixed == day + timedelta(5)


def test_an_order_that_came_too_late_leaves_no_clock_behind() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.cut = {LIUZHUANG}
    city.at(office(LIUZHUANG), "clerk").hands_over(case, office(LIUZHUANG, "committee"))
    city.syncs()
    day = MONDAY + timedelta(days=9)
    order = IssueOrder(case=case, leg=city.leg(case, QI), trigger="delay", reply_by=day, demand="说明")
    city.at(office(QI), "supervisor").does(order)
    city.cut = set()
    city.syncs()
    assert "supervision_reply" not in rules(city)


def test_a_closing_event_clears_when_it_was_recorded_however_it_is_dated() -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    (accepted,) = city.at(TOWN).accepts(case)
    dated_back = msgspec.structs.replace(accepted, occurred_us=accepted.occurred_us - 9 * 86_400_000_000)
    closings = [change for change in duty_changes(dated_back, {}) if isinstance(change, DutyClosed)]
    assert closings
    assert {closing.at_us for closing in closings} == {accepted.recorded_us}


def test_an_assignment_that_arrives_after_its_date_is_late_and_not_an_error() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.cut = {GAOYANG}
    city.at(office(QI)).hands_over(case, TOWN, MONDAY + timedelta(days=3))
    city.days_pass(20)
    city.cut = set()
    city.syncs()
    (report,) = [duty for duty in running(city.history).values() if duty.rule == "report_back"]
    rule = rule_on(report.rule, shanghai_date(report.start_us))
    deadline = due(rule, report.start_us, city.calendar, report.fixed)
    assert report.start_us == day_start_us(MONDAY + timedelta(days=3))
    assert deadline.due_us < city.now_us


def test_every_clock_that_can_start_has_a_rule_in_force() -> None:
    city = City.of()
    case = assigned(city)
    city.at(TOWN).accepts(case)
    for event in city.history:
        for change in duty_changes(event, {}):
            if isinstance(change, DutyOpened):
                rule = rule_on(change.rule, shanghai_date(change.start_us))
                assert due(rule, change.start_us, city.calendar, change.fixed).due_us > change.start_us


def handled_below() -> tuple[City, CaseId]:
    """A case received by the county on Monday, given to the township on Wednesday."""
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.days_pass(2)
    city.at(office(QI)).hands_over(case, TOWN)
    city.syncs()
    return city, case


def test_what_another_node_dates_back_starts_no_clock_before_what_it_follows_from() -> None:
    city, case = handled_below()
    leg = city.leg(case, GAOYANG)
    claim = ClaimId(city.fresh())
    (added,) = city.at(office(QI), "clerk").does(AmendClaim(case=case, claim=claim, change="added", text="x"))
    city.syncs()
    (accepted,) = city.at(TOWN).does(Accept(case=case, leg=leg))
    city.syncs()
    forged = {
        event.id: msgspec.structs.replace(event, occurred_us=event.occurred_us - 365 * DAY_US)
        for event in (added, accepted)
    }
    history = [forged.get(event.id, event) for event in city.history]

    received_us = day_start_us(MONDAY)
    given_us = next(event.occurred_us for event in city.history if isinstance(event, HandedOver))
    (waiting,) = [duty for duty in running(history[: history.index(forged[added.id]) + 1]).values() if not duty.leg]
    assert (waiting.subject, waiting.start_us) == (claim, received_us)
    assert {duty.start_us for duty in running(history).values() if duty.rule == "handle"} == {given_us}
    file = None
    for event in history:
        file = evolve(file, event)
    assert file is not None
    assert {one.accepted_us for one in file.claims.values()} == {given_us}
