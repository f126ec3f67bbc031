"""Registering, and what the citizen says afterwards."""

from datetime import timedelta

import msgspec

from domain.commands import Accept, AddMaterial, AmendClaim, CorrectRegistration, Rate, Withdraw
from domain.divisions import DivisionInvalid
from domain.events import ClaimId, LegOpened, MaterialAdded, Registered, Sealed
from domain.refusals import (
    CaseEnded,
    CaseUnknown,
    CaseWithdrawn,
    ClaimAnswered,
    ClaimRepeated,
    ClaimUnknown,
    InFuture,
    LastClaim,
    NotRegistrar,
    RatedAlready,
    RoleNotAllowed,
    UnitNotHere,
)
from tests.given import GAOYANG, LIUZHUANG, MONDAY, QI, City, office, refused

VILLAGE = office(LIUZHUANG)


def test_who_registers_holds_the_matter_from_that_moment() -> None:
    city = City.of()
    registered, opened = city.at(VILLAGE, "clerk").does(city.at(VILLAGE, "clerk").registration(claims=2))
    assert isinstance(registered, Registered)
    assert isinstance(opened, LegOpened)
    assert (registered.id, registered.stream, registered.version) == (registered.case, registered.case, 1)
    assert (opened.mode, opened.unit, opened.cause[0].id) == ("registered", VILLAGE, registered.id)
    assert city.holder(opened.case, LIUZHUANG) == VILLAGE  # type: ignore[arg-type]


def test_what_was_written_is_sealed_on_the_main_event_alone() -> None:
    city = City.of()
    sealed = (Sealed(subject="00" * 16, fields={"title": "x"}, ciphertext="y"),)
    clerk = city.at(VILLAGE, "clerk")
    registered, opened = clerk.decides(clerk.registration(), sealed=sealed)
    assert (registered.sealed, opened.sealed) == (sealed, ())


def test_a_foreign_cause_says_where_it_stands() -> None:
    city = City.of()
    case = city.at(VILLAGE, "clerk").registers()
    city.at(VILLAGE, "clerk").hands_over(case, office(GAOYANG))
    city.syncs()
    town = city.at(office(GAOYANG))
    leg = city.leg(case, GAOYANG)
    (accepted,) = town.decides(Accept(case=case, leg=leg), where_known=lambda _: ("city/1", 5))
    assert (accepted.cause[0].log, accepted.cause[0].seq) == ("city/1", 5)


def test_a_registration_that_cannot_be_is_refused_by_name() -> None:
    city = City.of()
    clerk = city.at(VILLAGE, "clerk")
    command = clerk.registration(claims=2)
    change = msgspec.structs.replace
    double = change(command, claims=(command.claims[0], command.claims[0]))
    refused(ClaimRepeated, lambda: clerk.does(double))
    refused(InFuture, lambda: clerk.does(change(command, received_on=MONDAY + timedelta(days=1))))
    refused(InFuture, lambda: clerk.does(change(command, occurred_us=city.now_us + 1)))
    refused(DivisionInvalid, lambda: clerk.does(change(command, issue_region="4102")))
    refused(RoleNotAllowed, lambda: city.at(VILLAGE, "auditor").does(command))
    refused(UnitNotHere, lambda: clerk.decides(command, node=QI))
    assert city.history == []


def test_a_case_that_is_not_known_here_is_refused() -> None:
    city = City.of()
    case = city.at(VILLAGE, "clerk").registers()
    refused(CaseUnknown, lambda: city.at(office(QI)).does(AddMaterial(case=case, note="照片")))


def test_the_registering_unit_corrects_until_an_answer_was_given() -> None:
    city = City.of()
    clerk = city.at(VILLAGE, "clerk")
    case = clerk.registers()
    correction = CorrectRegistration(
        case=case, matter_class="suggestion", category="010203", issue_region=LIUZHUANG, reason="类别有误"
    )
    refused(NotRegistrar, lambda: city.at(office(LIUZHUANG, "water"), "clerk").does(correction))
    clerk.does(correction)
    assert clerk.does(correction) == []
    assert city.file(case, LIUZHUANG).matter_class == "suggestion"
    clerk.does(msgspec.structs.replace(correction, matter_class="claim_petition"))
    city.at(VILLAGE).accepts(case)
    city.at(VILLAGE).answers(case)
    refused(ClaimAnswered, lambda: clerk.does(correction))


def test_claims_are_added_changed_and_dropped_but_never_all() -> None:
    city = City.of()
    citizen = city.at(VILLAGE, "citizen")
    case = citizen.registers()
    (first,) = city.file(case, LIUZHUANG).claims
    second = ClaimId(city.fresh())

    def amend(claim: ClaimId, change: str) -> AmendClaim:
        return AmendClaim(case=case, claim=claim, change=change, text="另行主张")  # type: ignore[arg-type]

    refused(LastClaim, lambda: citizen.does(amend(first, "dropped")))
    refused(ClaimUnknown, lambda: citizen.does(amend(second, "changed")))
    citizen.does(amend(second, "added"))
    assert citizen.does(amend(second, "added")) == []
    assert len(citizen.does(amend(second, "changed"))) == 1
    citizen.does(amend(first, "dropped"))
    assert citizen.does(amend(first, "dropped")) == []
    refused(LastClaim, lambda: citizen.does(amend(second, "dropped")))
    city.at(VILLAGE).accepts(case)
    city.at(VILLAGE).answers(case)
    refused(ClaimAnswered, lambda: citizen.does(amend(second, "changed")))
    assert city.file(case, LIUZHUANG).claims[first].is_dropped


def test_two_nodes_add_material_to_one_case_while_they_are_apart() -> None:
    city = City.of()
    clerk = city.at(VILLAGE, "clerk")
    case = clerk.registers()
    clerk.hands_over(case, office(GAOYANG))
    city.syncs()
    city.cut = {LIUZHUANG}
    (here,) = clerk.does(AddMaterial(case=case, note="村里的照片"))
    (there,) = city.at(office(GAOYANG)).does(AddMaterial(case=case, note="镇里的笔录"))
    city.cut = set()
    city.syncs()
    assert here.stream == case != there.stream
    assert isinstance(here, MaterialAdded)
    assert here.size_bytes == len("村里的照片".encode())
    assert all({here.id, there.id} <= city.node(node).known for node in (LIUZHUANG, GAOYANG))


def test_a_rating_is_given_once_by_the_citizen_whenever_they_like() -> None:
    city = City.of()
    citizen = city.at(VILLAGE, "citizen")
    case = citizen.registers()
    vote = Rate(case=case, office="satisfied", unit="dissatisfied")
    for role in ("clerk", "handler", "leader"):
        refused(RoleNotAllowed, lambda role=role: city.at(VILLAGE, role).does(vote))
    citizen.does(vote)
    assert citizen.does(vote) == []
    refused(RoleNotAllowed, lambda: city.at(VILLAGE, "clerk").does(vote))
    refused(RatedAlready, lambda: citizen.does(Rate(case=case, office="dissatisfied", unit="dissatisfied")))


def test_after_the_end_new_claims_are_a_petition_of_their_own() -> None:
    city = City.of()
    citizen = city.at(VILLAGE, "citizen")
    case = citizen.registers()
    city.at(VILLAGE).accepts(case)
    city.at(VILLAGE).closes(case, "agreement")
    late = AmendClaim(case=case, claim=ClaimId(city.fresh()), change="added", text="新的")
    refused(CaseEnded, lambda: citizen.does(late))
    refused(CaseEnded, lambda: citizen.does(Withdraw(case=case, reason="不要了")))
    other = citizen.registers()
    citizen.does(Withdraw(case=other, reason="不要了"))
    refused(CaseWithdrawn, lambda: citizen.does(msgspec.structs.replace(late, case=other)))
