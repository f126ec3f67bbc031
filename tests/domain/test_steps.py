"""The steps a page shows are those that the rules would allow, with the rules' own reasons."""

from datetime import date
from uuid import UUID

import msgspec
import pytest

from domain.commands import AnyCommand, HandOver, IssueOrder, JudgeOrder, ReplyOrder, Serve
from domain.errors import DomainError
from domain.events import CaseId, OrderId, OrderIssued, Role
from domain.steps import Step, lawful_steps
from gateway.reading.case_view import targets
from tests.given import CITY, GAOYANG, QI, City, Somebody, office

TOWN = office(GAOYANG)


def steps(somebody: Somebody, case: CaseId) -> dict[str, Step]:
    file = somebody.city.file(case, somebody.node.division)
    return {step.command: step for step in lawful_steps(file, somebody.situation())}


def allowed(somebody: Somebody, case: CaseId) -> set[str]:
    return {name for name, step in steps(somebody, case).items() if step.allowed}


def test_a_handler_is_led_from_acceptance_to_the_end() -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    town = city.at(TOWN)
    assert allowed(town, case) >= {"accept", "decline", "hand_over"}
    assert steps(town, case)["close"].code == "not_accepted"
    town.accepts(case)
    assert allowed(town, case) & {"accept", "decline", "hand_over", "close"} == {"close"}  # by agreement
    (opinion,) = town.answers(case)
    assert steps(town, case)["close"].code == "service_missing"
    town.serves(case, opinion.id)
    assert "close" in allowed(town, case)
    town.closes(case)
    assert allowed(town, case) == {"serve", "add_material"}
    assert steps(town, case)["accept"].code == "case_ended"


@pytest.mark.parametrize(
    ("role", "some"),
    [
        ("citizen", {"amend_claim", "add_material", "withdraw", "rate"}),
        ("clerk", {"hand_over", "amend_claim", "add_material", "withdraw", "correct_registration"}),
        ("leader", {"hand_over", "accept", "decline", "correct_registration"}),
        ("auditor", set()),
    ],
)
def test_each_role_is_shown_its_own_steps(role: Role, some: set[str]) -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    assert allowed(city.at(TOWN, role), case) == some


def test_why_not_is_said_in_both_languages_with_its_article() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, TOWN)
    city.syncs()
    step = steps(city.at(office(QI)), case)["accept"]
    assert (step.allowed, step.code, step.article) == (False, "not_holder", "《信访工作条例》第22条第1款")
    assert step.why_zh is not None
    assert TOWN in step.why_zh
    assert step.why_en is not None
    assert allowed(city.at(office(QI), "leader"), case) == {"correct_registration", "take_over"}
    assert "issue_order" in allowed(city.at(office(QI), "supervisor"), case)


def test_a_step_shown_as_refused_is_refused_and_one_shown_as_allowed_is_done() -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    leg = city.leg(case, GAOYANG)
    tries: dict[str, AnyCommand] = {
        "hand_over": HandOver(case=case, leg=leg, to=office(QI), mode="transfer", reason="属县级"),
        "serve": Serve(case=case, leg=leg, paper=city.history[0].id, method="phone", served_on=date(2026, 3, 2)),
    }
    clerk = city.at(TOWN, "clerk")
    assert allowed(clerk, case) & set(tries) == {"hand_over"}
    for name, command in tries.items():
        if steps(clerk, case)[name].allowed:
            assert clerk.decides(command) != []
        else:
            with pytest.raises(DomainError) as caught:
                clerk.decides(command)
            assert caught.value.code == steps(clerk, case)[name].code


def test_steps_travel_as_json() -> None:
    city = City.of()
    case = city.at(TOWN, "clerk").registers()
    found = lawful_steps(city.file(case, GAOYANG), city.at(TOWN).situation())
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Step]) == found


def test_of_two_orders_on_one_leg_the_one_that_waits_for_the_unit_is_offered() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, TOWN)
    city.syncs()
    leg, day = city.leg(case, GAOYANG), city.today
    orders: list[OrderId] = []
    for place in (QI, CITY):
        command = IssueOrder(case=case, leg=leg, trigger="delay", reply_by=day, demand="x")
        (issued,) = city.at(office(place), "supervisor").does(command)
        assert isinstance(issued, OrderIssued)
        orders.append(issued.order)
        city.syncs()
    town, county, capital = city.at(TOWN), city.at(office(QI), "supervisor"), city.at(office(CITY), "supervisor")

    def offered(somebody: Somebody, command: str) -> OrderId | None:
        file = city.file(case, somebody.node.division)
        found = dict(targets(file, command, somebody.actor.unit)).get("order")
        is_allowed = steps(somebody, case)[command].allowed
        return OrderId(found) if is_allowed and isinstance(found, UUID) else None

    assert offered(town, "reply_order") == orders[0]
    town.does(ReplyOrder(case=case, order=orders[0], text="x"))
    city.syncs()
    assert offered(town, "reply_order") == orders[1]
    assert (offered(county, "judge_order"), offered(capital, "judge_order")) == (orders[0], None)
    town.does(ReplyOrder(case=case, order=orders[1], text="x"))
    city.syncs()
    assert (offered(county, "judge_order"), offered(capital, "judge_order")) == tuple(orders)
    assert offered(town, "reply_order") is None
    again = JudgeOrder(case=case, order=orders[0], accepted=False, reply_by=day, comment="x")
    county.does(again)
    city.syncs()
    assert offered(town, "reply_order") == orders[0]
