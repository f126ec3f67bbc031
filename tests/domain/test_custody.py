"""One holder at every moment: hand-over, take-over, and directives that cross with what the holder did meanwhile."""

from datetime import timedelta

import msgspec
import pytest

from domain.case import has_effect
from domain.commands import AnswerClaim, HandOver, IssueOpinion, OpenLeg, TakeOver
from domain.events import DirectiveAnswered, HandedOver, LegEnded, LegOpened
from domain.refusals import (
    AssignUpward,
    AwaitingReceipt,
    DirectiveUnknown,
    HandOverLateral,
    HandOverToSelf,
    MustFinish,
    NotHolder,
    NotSuperior,
    ReportDateWrong,
    ReportOwed,
    RoleNotAllowed,
    UnitNotHere,
    UnitUnknown,
)
from tests.given import (
    CITY,
    GAOYANG,
    LIUZHUANG,
    MONDAY,
    QI,
    WANGZHAI,
    YUWANG,
    City,
    office,
    refused,
)


def test_until_the_receiver_has_opened_its_leg_the_sender_answers() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    village.hands_over(case, office(GAOYANG))
    assert city.holder(case, LIUZHUANG) == office(LIUZHUANG)
    refused(AwaitingReceipt, lambda: city.at(office(LIUZHUANG)).accepts(case))
    city.syncs()
    assert {city.holder(case, node) for node in (LIUZHUANG, GAOYANG, QI, CITY)} == {office(GAOYANG)}


def test_a_leg_is_opened_exactly_once() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    (handed,) = village.hands_over(case, office(GAOYANG))
    city.syncs()
    again = OpenLeg(case=case, directive=handed.id)
    assert city.at(office(GAOYANG), "system").does(again) == []
    refused(UnitNotHere, lambda: city.at(office(QI), "system").does(again))
    unknown = OpenLeg(case=case, directive=city.history[0].id)
    refused(DirectiveUnknown, lambda: city.at(office(GAOYANG), "system").does(unknown))
    assert sum(isinstance(event, LegOpened) for event in city.history) == 2


def test_handing_over_twice_the_same_way_is_done_once() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    village.hands_over(case, office(GAOYANG))
    assert village.hands_over(case, office(GAOYANG)) == []
    refused(AwaitingReceipt, lambda: village.hands_over(case, office(QI)))


def test_a_hand_over_goes_here_up_or_down_and_never_sideways() -> None:
    city = City.of()
    case = city.at(office(GAOYANG), "clerk").registers()
    clerk = city.at(office(GAOYANG), "clerk")
    error = refused(HandOverLateral, lambda: clerk.hands_over(case, office(YUWANG)))
    assert "共同的上级" in error.zh
    refused(HandOverToSelf, lambda: clerk.hands_over(case, office(GAOYANG)))
    refused(AssignUpward, lambda: clerk.hands_over(case, office(QI), MONDAY + timedelta(days=9)))
    clerk.hands_over(case, office(GAOYANG, "water"))
    city.syncs()
    city.at(office(GAOYANG, "water")).hands_over(case, office(CITY))
    city.syncs()
    city.at(office(CITY)).hands_over(case, office(WANGZHAI))
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, YUWANG, WANGZHAI, GAOYANG)} == {office(WANGZHAI)}


def test_only_the_holder_on_its_own_node_writes() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    village.hands_over(case, office(GAOYANG))
    city.syncs()
    for unit in (office(LIUZHUANG), office(QI), office(CITY), office(GAOYANG, "water")):
        refused(NotHolder, lambda unit=unit: city.at(unit).accepts(case))
    refused(RoleNotAllowed, lambda: city.at(office(GAOYANG), "clerk").accepts(case))
    first = next(event for event in city.history if isinstance(event, LegOpened))
    stale = HandOver(case=case, leg=first.leg, to=office(QI), mode="transfer", reason="改转")
    refused(NotHolder, lambda: city.at(office(LIUZHUANG), "clerk").does(stale))


def test_an_assignment_names_its_report_date_and_keeps_it_on_the_way_down() -> None:
    city = City.of()
    case = city.at(office(CITY), "clerk").registers()
    sender, middle = city.at(office(CITY)), city.at(office(QI))
    leg = city.leg(case)
    for mode, day in (
        ("assign_with_report", None),
        ("assign_with_report", MONDAY - timedelta(1)),
        ("transfer", MONDAY),
    ):
        wrong = HandOver(case=case, leg=leg, to=office(QI), mode=mode, report_by=day, reason="交办")
        refused(ReportDateWrong, lambda wrong=wrong: sender.does(wrong))
    sender.hands_over(case, office(QI), MONDAY + timedelta(days=30))
    city.syncs()
    refused(ReportOwed, lambda: middle.hands_over(case, office(GAOYANG)))
    refused(ReportDateWrong, lambda: middle.hands_over(case, office(GAOYANG), MONDAY + timedelta(days=31)))
    middle.hands_over(case, office(GAOYANG), MONDAY + timedelta(days=20))
    city.syncs()
    assert city.file(case).present_leg.report_by == MONDAY + timedelta(days=20)  # type: ignore[union-attr]


def test_who_has_accepted_handles_and_only_a_superior_takes_over() -> None:
    city = City.of()
    case = city.at(office(GAOYANG), "clerk").registers()
    town = city.at(office(GAOYANG))
    town.accepts(case)
    refused(MustFinish, lambda: town.hands_over(case, office(QI)))
    city.syncs()
    refused(RoleNotAllowed, lambda: city.at(office(QI), "supervisor").takes_over(case))
    refused(NotSuperior, lambda: city.at(office(GAOYANG), "leader").takes_over(case))
    city.at(office(QI), "leader").takes_over(case)
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG)} == {office(QI)}
    refused(NotHolder, lambda: town.answers(case))
    city.at(office(QI)).answers(case)


def test_a_take_over_is_answered_once_and_ends_the_old_leg() -> None:
    city = City.of()
    case = city.at(office(GAOYANG), "clerk").registers()
    city.syncs()
    (taken,) = city.at(office(QI), "leader").takes_over(case)
    assert city.holder(case, QI) == office(QI)
    city.syncs()
    city.syncs()
    (answer,) = [event for event in city.history if isinstance(event, DirectiveAnswered)]
    assert (answer.effect, answer.holder, answer.directive) == ("applied", office(QI), taken.id)
    assert sum(isinstance(event, LegEnded) for event in city.history) == 1


def test_a_take_over_for_a_unit_elsewhere_or_of_a_leg_that_is_past_is_refused() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    old = city.leg(case)
    leader = city.at(office(QI), "leader")
    refused(UnitNotHere, lambda: leader.does(TakeOver(case=case, leg=old, unit=office(GAOYANG), reason="提级")))
    leader.takes_over(case)
    city.syncs()
    refused(NotHolder, lambda: leader.does(TakeOver(case=case, leg=old, unit=office(QI), reason="提级")))


def test_what_a_silent_holder_still_wrote_is_kept_and_changes_nothing_about_who_answers() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.cut = {LIUZHUANG}
    city.at(office(QI), "leader").takes_over(case)
    village = city.at(office(LIUZHUANG), "clerk")
    village.hands_over(case, office(GAOYANG))
    city.syncs()
    city.cut = set()
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG, LIUZHUANG)} == {office(QI)}
    assert any(isinstance(event, HandedOver) for event, _ in city.node(CITY).ledger)
    assert not any(isinstance(event, LegOpened) and event.node == GAOYANG for event in city.history)
    (answer,) = [event for event in city.history if isinstance(event, DirectiveAnswered)]
    assert (answer.effect, answer.holder) == ("overtaken", office(QI))


def test_a_receiver_that_opened_before_it_heard_of_the_take_over_loses_its_leg() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.cut = {GAOYANG}
    city.at(office(LIUZHUANG), "clerk").hands_over(case, office(GAOYANG))
    city.syncs()
    city.at(office(GAOYANG)).accepts(case)
    city.at(office(CITY), "leader").takes_over(case)
    city.cut = set()
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG, LIUZHUANG)} == {office(CITY)}
    refused(NotHolder, lambda: city.at(office(GAOYANG)).answers(case))
    ended = [event.leg for event in city.history if isinstance(event, LegEnded)]
    assert city.file(case, GAOYANG).legs[ended[0]].unit == office(GAOYANG)
    assert city.file(case).claims == city.file(case, GAOYANG).claims  # its acceptance is without effect everywhere


@pytest.mark.parametrize("order", [(CITY, QI), (QI, CITY)])
def test_of_two_take_overs_that_crossed_the_upper_one_holds_on_every_node(order: tuple[str, str]) -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.cut = {QI}
    for node in order:
        city.at(office(node), "leader").takes_over(case)  # type: ignore[arg-type]
    city.syncs()
    city.cut = set()
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG, LIUZHUANG)} == {office(CITY)}


def test_a_unit_that_is_not_known_is_given_nothing() -> None:
    city = City.of()
    ghost = office(GAOYANG, "nosuch")
    city.ghosts |= {ghost, office(QI, "nosuch")}
    county, town = city.at(office(QI), "leader"), city.at(office(GAOYANG))
    case = city.at(office(QI), "clerk").registers()
    error = refused(UnitUnknown, lambda: county.hands_over(case, ghost))
    assert (error.field, office(GAOYANG) in error.zh) == ("to", True)
    county.hands_over(case, office(GAOYANG))
    city.syncs()
    leg = city.leg(case, QI)
    taken = TakeOver(case=case, leg=leg, unit=office(QI, "nosuch"), reason="x")
    assert refused(UnitUnknown, lambda: county.does(taken)).field == "unit"
    town.accepts(case)
    claim = city.file(case, GAOYANG).living_claims[0].id
    answer = AnswerClaim(
        claim=claim, outcome="support", law="x", text="x", performer=ghost, perform_by=MONDAY + timedelta(days=9)
    )
    opinion = IssueOpinion(case=case, leg=leg, facts="x", answers=(answer,))
    assert refused(UnitUnknown, lambda: town.does(opinion)).field == "answers[0].performer"


def test_a_matter_given_to_a_unit_that_is_not_goes_to_the_first_office_there_which_handles_it() -> None:
    city = City.of()
    ghost = office(GAOYANG, "nosuch")
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, ghost)
    city.ghosts |= {ghost}
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG)} == {office(GAOYANG)}
    assert city.at(office(GAOYANG)).accepts(case)
    city.syncs()
    city.at(office(QI), "leader").takes_over(case)
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG)} == {office(QI)}


def test_a_leg_is_opened_for_the_unit_that_it_was_given_to_or_the_first_office_and_for_no_other() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG, "water"))
    given = city.file(case, QI).pending_leg
    assert given is not None
    assert given.named_by is not None
    city.cut |= {QI, GAOYANG}
    city.nodes[GAOYANG].files[case] = city.file(case, QI)
    system = city.at(office(GAOYANG), "system")
    (opened,) = system.decides(OpenLeg(case=case, directive=given.named_by))
    assert isinstance(opened, LegOpened)
    for unit, is_theirs in ((opened.unit, True), (office(GAOYANG), True), (office(GAOYANG, "land"), False)):
        assert has_effect(city.file(case, QI), msgspec.structs.replace(opened, unit=unit)) is is_theirs
