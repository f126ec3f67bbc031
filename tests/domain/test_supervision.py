"""督办: an order, its reply, and what the issuer makes of it; 不满意 after the end leads to one too."""

from datetime import timedelta

from domain.commands import IssueOrder, JudgeOrder, ReplyOrder
from domain.events import CaseId, DirectiveAnswered, OrderId, OrderIssued, OrderTrigger
from domain.refusals import CaseEnded, LegUnknown, NotHolder, NotSuperior, RoleNotAllowed
from domain.supervision import NotIssuer, NotOrdered, OrderAnswered, OrderUnknown, ReplyDateWrong, ReplyMissing
from tests.given import CITY, GAOYANG, MONDAY, QI, WEISHI, City, Somebody, office, refused

SOON = MONDAY + timedelta(days=10)


def orders(somebody: Somebody, case: CaseId, trigger: OrderTrigger = "delay") -> OrderId:
    leg = somebody.city.leg(case, somebody.node.division)
    (issued,) = somebody.does(IssueOrder(case=case, leg=leg, trigger=trigger, reply_by=SOON, demand="说明原因"))
    assert isinstance(issued, OrderIssued)
    assert issued.order == issued.stream == issued.id
    return issued.order


def township_case(city: City) -> CaseId:
    case = city.at(office(GAOYANG), "clerk").registers()
    city.syncs()
    return case


def test_an_order_is_replied_to_sent_back_replied_to_again_and_taken() -> None:
    city = City.of()
    case = township_case(city)
    county, town = city.at(office(QI), "supervisor"), city.at(office(GAOYANG))
    order = orders(county, case)
    reply = ReplyOrder(case=case, order=order, text="已联系信访人")
    judge = JudgeOrder(case=case, order=order, accepted=False, reply_by=SOON + timedelta(5), comment="未说明原因")
    refused(ReplyMissing, lambda: county.does(judge))
    city.syncs()
    town.does(reply)
    refused(OrderAnswered, lambda: town.does(reply))
    city.syncs()
    refused(ReplyDateWrong, lambda: county.does(JudgeOrder(case=case, order=order, accepted=False, comment="不足")))
    refused(NotIssuer, lambda: city.at(office(QI, "water"), "supervisor").does(judge))
    county.does(judge)
    assert county.does(judge) == []
    city.syncs()
    town.does(reply)
    city.syncs()
    county.does(JudgeOrder(case=case, order=order, accepted=True, comment="可以"))
    city.syncs()
    refused(OrderAnswered, lambda: town.does(reply))
    (answer,) = [event for event in city.history if isinstance(event, DirectiveAnswered)]
    assert (answer.effect, answer.holder) == ("applied", office(GAOYANG))


def test_only_a_supervisor_above_the_holder_orders_it() -> None:
    city = City.of()
    case = township_case(city)
    leg = city.leg(case)
    order = IssueOrder(case=case, leg=leg, trigger="delay", reply_by=SOON, demand="说明原因")
    refused(RoleNotAllowed, lambda: city.at(office(QI), "handler").does(order))
    refused(NotSuperior, lambda: city.at(office(GAOYANG), "supervisor").does(order))
    city.nodes[WEISHI].files[case] = city.file(case)
    refused(NotSuperior, lambda: city.at(office(WEISHI), "supervisor").does(order))
    refused(
        ReplyDateWrong,
        lambda: city.at(office(QI), "supervisor").decides(order, now_us=city.now_us + 11 * 86_400_000_000),
    )
    city.at(office(GAOYANG, "discipline"), "supervisor").does(order)


def test_an_order_to_a_unit_that_passed_the_matter_on_is_overtaken() -> None:
    city = City.of()
    case = township_case(city)
    city.cut = {GAOYANG}
    city.at(office(GAOYANG), "clerk").hands_over(case, office(GAOYANG, "water"))
    city.syncs()
    orders(city.at(office(CITY), "supervisor"), case)
    city.cut = set()
    city.syncs()
    (answer,) = [event for event in city.history if isinstance(event, DirectiveAnswered)]
    assert (answer.effect, answer.holder) == ("overtaken", office(GAOYANG, "water"))


def test_the_reply_is_the_ordered_units_own() -> None:
    city = City.of()
    case = township_case(city)
    order = orders(city.at(office(QI), "supervisor"), case)
    city.syncs()
    reply = ReplyOrder(case=case, order=order, text="情况如下")
    refused(NotOrdered, lambda: city.at(office(GAOYANG, "water")).does(reply))
    unknown = ReplyOrder(case=case, order=OrderId(city.fresh()), text="情况如下")
    refused(OrderUnknown, lambda: city.at(office(GAOYANG)).does(unknown))


def test_after_the_end_only_what_can_go_wrong_then_is_ordered() -> None:
    city = City.of()
    case = township_case(city)
    old = city.leg(case)
    city.at(office(GAOYANG)).accepts(case)
    city.at(office(GAOYANG)).closes(case, "agreement")
    city.syncs()
    county = city.at(office(QI), "supervisor")
    refused(CaseEnded, lambda: orders(county, case))
    orders(county, case, "dissatisfied")
    lost = IssueOrder(case=case, leg=type(old)(int=5), trigger="fraud", reply_by=SOON, demand="说明")
    refused(LegUnknown, lambda: county.does(lost))


def test_an_order_names_the_present_leg() -> None:
    city = City.of()
    case = township_case(city)
    old = city.leg(case)
    city.at(office(GAOYANG), "clerk").hands_over(case, office(GAOYANG, "water"))
    city.syncs()
    order = IssueOrder(case=case, leg=old, trigger="delay", reply_by=SOON, demand="说明原因")
    error = refused(NotHolder, lambda: city.at(office(QI), "supervisor").does(order))
    assert office(GAOYANG, "water") in error.zh
