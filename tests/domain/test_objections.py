"""首问负责 and 异议: the receiver keeps the matter until the sender agrees, a superior rules, or silence ends it."""

from datetime import date

from domain.commands import LapseObjection, RuleObjection
from domain.events import CaseId, ObjectionLapsed, ObjectionRuled
from domain.refusals import (
    NotHolder,
    NotTheRuler,
    ObjectionImpossible,
    ObjectionRuns,
    ObjectionSettled,
    ObjectionStands,
    ObjectionTooLate,
    ObjectionUnknown,
    RoleNotAllowed,
    RulingHolderWrong,
)
from tests.given import CITY, GAOYANG, LIUZHUANG, QI, YUWANG, City, office, refused, us

EVERYONE = (CITY, QI, GAOYANG)


def county_transfers_to_gaoyang(city: City) -> CaseId:
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    return case


def test_a_to_b_b_objects_a_refuses_still_b() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    assert city.holder(case) == office(GAOYANG)
    city.at(office(QI)).rules(case, agreed=False)
    city.syncs()
    assert {city.holder(case, node) for node in EVERYONE} == {office(GAOYANG)}
    city.at(office(GAOYANG)).accepts(case)


def test_the_receiver_keeps_the_matter_until_the_sender_has_agreed() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    city.at(office(GAOYANG)).objects(case)
    refused(ObjectionStands, lambda: city.at(office(GAOYANG)).accepts(case))
    refused(ObjectionStands, lambda: city.at(office(GAOYANG)).hands_over(case, office(LIUZHUANG)))
    refused(ObjectionStands, lambda: city.at(office(GAOYANG)).objects(case))
    city.syncs()
    city.at(office(QI)).rules(case, agreed=True)
    assert city.holder(case, QI) == office(QI)
    city.syncs()
    assert {city.holder(case, node) for node in EVERYONE} == {office(QI)}
    refused(NotHolder, lambda: city.at(office(GAOYANG)).accepts(case))
    city.at(office(QI)).hands_over(case, office(YUWANG))
    city.syncs()
    assert city.holder(case, GAOYANG) == office(YUWANG)


def test_b_objects_on_working_day_6_and_is_refused() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    city.now_us = us(date(2026, 3, 10), 0)  # Tuesday; Monday 9 March was working day 5 after Monday 2 March
    error = refused(ObjectionTooLate, lambda: city.at(office(GAOYANG)).objects(case))
    assert error.article == "《信访工作条例》第23条第3款"
    city.now_us = us(date(2026, 3, 9), 23)
    assert city.at(office(GAOYANG)).objects(case) != []


def test_the_spring_festival_does_not_count_towards_the_five_working_days() -> None:
    city = City.of(day=date(2026, 2, 13))
    case = county_transfers_to_gaoyang(city)
    city.now_us = us(date(2026, 2, 27), 17)  # 14 and 28 February are worked, 15 to 23 are not
    assert city.at(office(GAOYANG)).objects(case) != []


def test_an_objection_dated_back_into_its_time_is_still_too_late() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    city.days_pass(20)
    refused(ObjectionTooLate, lambda: city.at(office(GAOYANG)).objects(case))


def test_silence_after_five_working_days_ends_the_objection() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    (objected,) = city.at(office(GAOYANG)).objects(case)
    lapse = LapseObjection(case=case, objection=objected.id)
    refused(ObjectionRuns, lambda: city.at(office(GAOYANG), "system").does(lapse))
    city.days_pass(8)
    refused(ObjectionSettled, lambda: city.at(office(GAOYANG)).rules(case, agreed=True))
    city.syncs()
    assert sum(isinstance(event, ObjectionLapsed) for event in city.history) == 1
    assert city.at(office(GAOYANG), "system").does(lapse) == []
    refused(ObjectionSettled, lambda: city.at(office(QI)).rules(case, agreed=True))
    assert city.holder(case) == office(GAOYANG)
    city.at(office(GAOYANG)).accepts(case)


def test_only_the_sender_rules_and_only_once() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    (objected,) = city.at(office(GAOYANG)).objects(case)
    city.syncs()
    refused(NotTheRuler, lambda: city.at(office(CITY), "leader").rules(case, agreed=True))
    refused(NotTheRuler, lambda: city.at(office(QI, "water")).rules(case, agreed=True))
    refused(NotTheRuler, lambda: city.at(office(GAOYANG)).rules(case, agreed=True))
    refused(RoleNotAllowed, lambda: city.at(office(QI), "clerk").rules(case, agreed=True))
    refused(RulingHolderWrong, lambda: city.at(office(QI)).rules(case, agreed=True, holder=office(YUWANG)))
    city.at(office(QI)).rules(case, agreed=True)
    assert city.at(office(QI)).rules(case, agreed=True) == []
    refused(ObjectionSettled, lambda: city.at(office(QI)).rules(case, agreed=False))
    nowhere = RuleObjection(case=case, objection=city.history[0].id, agreed=True, reason="无")
    refused(ObjectionUnknown, lambda: city.at(office(QI)).does(nowhere))
    assert objected.id in city.file(case).objections


def test_the_sender_refused_and_the_receiver_objects_again_so_the_common_superior_rules() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    for _ in range(2):
        city.at(office(GAOYANG)).objects(case)
        city.syncs()
        if city.file(case).objections[next(reversed(city.file(case).objections))].raised.ruler == QI:
            city.at(office(QI)).rules(case, agreed=False)
            city.syncs()
    refused(NotTheRuler, lambda: city.at(office(QI)).rules(case, agreed=False))
    superior = city.at(office(CITY), "leader")
    refused(RulingHolderWrong, lambda: superior.rules(case, agreed=True, holder=office(GAOYANG)))
    superior.rules(case, agreed=True, holder=office(YUWANG))
    assert city.holder(case, CITY) == office(YUWANG)
    city.syncs()
    assert {city.holder(case, node) for node in (*EVERYONE, YUWANG)} == {office(YUWANG)}
    refused(ObjectionImpossible, lambda: city.at(office(YUWANG)).objects(case))


def test_two_organs_dispute_and_their_common_superior_rules_at_the_first_dispute() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    city.at(office(QI)).rules(case, agreed=True)
    city.syncs()
    city.at(office(QI)).hands_over(case, office(YUWANG))
    city.syncs()
    city.at(office(YUWANG)).objects(case)
    city.syncs()
    city.at(office(QI)).rules(case, agreed=True, holder=office(GAOYANG))
    city.syncs()
    ruling = [event for event in city.history if isinstance(event, ObjectionRuled)][-1]
    assert (ruling.by, ruling.law) == ("common_superior", "《信访工作条例》第24条")
    assert {city.holder(case, node) for node in (*EVERYONE, YUWANG)} == {office(GAOYANG)}
    refused(ObjectionImpossible, lambda: city.at(office(GAOYANG)).objects(case))


def test_a_ruling_that_crosses_with_the_end_of_silence_holds_and_is_answered_as_overtaken() -> None:
    city = City.of()
    case = county_transfers_to_gaoyang(city)
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    city.cut = {GAOYANG}
    city.at(office(QI)).rules(case, agreed=True)
    city.days_pass(10)
    city.syncs()
    city.at(office(GAOYANG)).accepts(case)
    city.cut = set()
    city.syncs()
    assert {city.holder(case, node) for node in EVERYONE} == {office(QI)}
    (answer,) = city.file(case).answered.values()
    assert answer.effect == "overtaken"


def test_a_matter_of_ones_own_registering_or_one_accepted_cannot_be_objected_to() -> None:
    city = City.of()
    own = city.at(office(QI), "clerk").registers()
    refused(ObjectionImpossible, lambda: city.at(office(QI)).objects(own))
    case = county_transfers_to_gaoyang(city)
    city.at(office(GAOYANG)).accepts(case)
    refused(ObjectionImpossible, lambda: city.at(office(GAOYANG)).objects(case))
