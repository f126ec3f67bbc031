"""Who below is sent what: holders, filers and everybody between them, and nobody else."""

from domain.commands import AddMaterial, AmendClaim, IssueOrder
from domain.events import CaseId, DirectiveAnswered, KeyGranted, OrderReplied, SealedItem, SealedRead
from domain.routing import addressees, file_receivers
from tests.domain.examples import examples
from tests.given import CITY, GAOYANG, LIUZHUANG, MONDAY, NODES, QI, WANGZHAI, WEISHI, YUWANG, City, office

BY_TYPE = {type(event): event for event in examples()}


def filed_in_the_village_held_in_the_other_town(city: City) -> CaseId:
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    village.hands_over(case, office(CITY))
    city.syncs()
    city.at(office(CITY)).hands_over(case, office(YUWANG))
    city.syncs()
    return case


def test_a_hand_over_takes_the_whole_file_to_the_receiver_and_its_superiors() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    handed = city.history[-2]
    assert file_receivers(handed, CITY, city.topology) == {QI, YUWANG}
    assert file_receivers(handed, QI, city.topology) == {YUWANG}
    assert city.file(case, YUWANG).registered is not None
    assert case not in city.node(WANGZHAI).files
    assert case not in city.node(WEISHI).files


def test_every_node_that_knows_the_case_knows_who_answers() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    knowing = {node for node in NODES if case in city.node(node).files}
    assert knowing == {CITY, QI, GAOYANG, YUWANG, LIUZHUANG}
    assert {city.holder(case, node) for node in knowing} == {office(YUWANG)}
    city.at(office(CITY), "leader").takes_over(case)
    city.syncs()
    assert {city.holder(case, node) for node in knowing} == {office(CITY)}


def test_the_filing_node_is_sent_the_milestones_and_not_the_order() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    (accepted,) = city.at(office(YUWANG)).accepts(case)
    city.syncs()
    assert accepted.id in city.node(LIUZHUANG).known
    leg = city.leg(case)
    (order,) = city.at(office(CITY), "supervisor").does(
        IssueOrder(case=case, leg=leg, trigger="delay", reply_by=MONDAY, demand="说明")
    )
    city.syncs()
    assert order.id in city.node(YUWANG).known
    assert order.id in city.node(QI).known
    assert order.id not in city.node(LIUZHUANG).known


def test_later_material_reaches_the_holder() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    (material,) = city.at(office(LIUZHUANG), "citizen").does(AddMaterial(case=case, note="照片"))
    city.syncs()
    assert material.id in city.node(YUWANG).known


def test_whoever_once_had_the_matter_learns_that_the_last_claims_are_settled_or_dropped() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers(claims=2)
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    city.at(office(QI)).rules(case, agreed=True)
    city.syncs()
    city.at(office(QI)).hands_over(case, office(YUWANG))
    city.syncs()
    town, (first, second) = city.at(office(YUWANG)), city.file(case).claims
    town.accepts(case)
    city.at(office(YUWANG), "citizen").does(AmendClaim(case=case, claim=second, change="dropped", text="不再主张"))
    (opinion,) = town.answers(case, first)
    town.serves(case, opinion.id)
    town.closes(case)
    city.syncs()
    assert {node for node in (CITY, QI, GAOYANG, YUWANG) if city.file(case, node).is_ended} == {
        CITY,
        QI,
        GAOYANG,
        YUWANG,
    }


def test_keys_go_to_their_custodians_alone() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    granted = BY_TYPE[KeyGranted]
    assert isinstance(granted, KeyGranted)
    assert [grant.custodian for grant in granted.grants] == [GAOYANG, QI]
    assert addressees(city.file(case), granted, CITY, city.topology) == {GAOYANG, QI}


def test_a_reading_and_a_sealed_letter_never_come_down() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    file = city.file(case)
    for event in (BY_TYPE[SealedRead], BY_TYPE[SealedItem], BY_TYPE[OrderReplied], BY_TYPE[DirectiveAnswered]):
        assert addressees(file, event, CITY, city.topology) == frozenset()


def test_nothing_is_addressed_up_or_sideways() -> None:
    city = City.of()
    case = filed_in_the_village_held_in_the_other_town(city)
    for event in city.history:
        for here in (CITY, QI, GAOYANG, LIUZHUANG):
            for node in addressees(city.file(case), event, here, city.topology):
                assert city.topology.is_below(node, here)


def test_a_division_that_the_tree_does_not_know_is_left_out() -> None:
    small = City.of(CITY, QI)
    case = small.at(office(QI), "clerk").registers()
    small.syncs()
    granted = BY_TYPE[KeyGranted]
    assert addressees(small.file(case), granted, CITY, small.topology) == {QI}
