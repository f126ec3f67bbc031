"""Accept, extend, answer every claim, serve, report, close: each step in its turn, each class by its own ending."""

from datetime import date, timedelta

import pytest

from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    AnswerClaim,
    Close,
    Decline,
    Extend,
    IssueOpinion,
    Reply,
    Serve,
    Withdraw,
)
from domain.commands import Report as ReportBack
from domain.errors import DomainError
from domain.events import CaseId, ClaimId, Closed, Ending, MatterClass, PaperReply
from domain.refusals import CaseEnded, CaseWithdrawn, ClaimAnswered, ClaimRepeated, ClaimUnknown, RoleNotAllowed
from domain.refusals_of_papers import (
    AcceptedAlready,
    ClaimUnanswered,
    EndingUnlawful,
    ExtensionTooLate,
    ExtensionTooLong,
    ExtensionUsed,
    NotAccepted,
    NotSimple,
    PaperNotLawful,
    PaperUnknown,
    PerformanceMissing,
    ReportGiven,
    ReportMissing,
    ReportNotAsked,
    ServedAlready,
    ServiceDateWrong,
    ServiceMissing,
)
from tests.given import GAOYANG, LIUZHUANG, MONDAY, QI, City, Somebody, office, refused

TOWN = office(GAOYANG)


def registered(claims: int = 1, matter: MatterClass = "claim_petition", persons: int = 1) -> tuple[City, CaseId]:
    city = City.of()
    case = city.at(TOWN, "clerk").registers(claims, matter, persons)
    return city, case


def claims_of(city: City, case: CaseId) -> list[ClaimId]:
    return list(city.file(case, GAOYANG).claims)


def adds_claim(city: City, case: CaseId) -> ClaimId:
    claim = ClaimId(city.fresh())
    city.at(TOWN, "clerk").does(AmendClaim(case=case, claim=claim, change="added", text="另外的诉求"))
    return claim


def replies(somebody: Somebody, case: CaseId, result: PaperReply) -> list[object]:
    leg = somebody.city.leg(case, GAOYANG)
    return list(somebody.does(Reply(case=case, leg=leg, result=result, text="答复如下")))


def test_register_accept_answer_serve_close() -> None:
    city, case = registered(claims=2)
    town = city.at(TOWN)
    (accepted,) = town.accepts(case)
    (opinion,) = town.answers(case)
    city.at(TOWN, "clerk").serves(case, accepted.id)
    city.at(TOWN, "clerk").serves(case, opinion.id)
    (closed,) = town.closes(case)
    assert isinstance(closed, Closed)
    assert set(closed.claims) == set(claims_of(city, case))
    assert city.file(case, GAOYANG).is_ended
    assert city.holder(case, GAOYANG) == TOWN
    assert closed.cause[0].id == opinion.id


def test_no_step_is_skipped() -> None:
    city, case = registered()
    town, clerk = city.at(TOWN), city.at(TOWN, "clerk")
    refused(NotAccepted, lambda: town.answers(case))
    refused(NotAccepted, lambda: town.closes(case))
    (accepted,) = town.accepts(case)
    refused(AcceptedAlready, lambda: town.accepts(case))
    refused(ClaimUnanswered, lambda: town.closes(case))
    (opinion,) = town.answers(case)
    refused(ServiceMissing, lambda: town.closes(case))
    refused(AcceptedAlready, lambda: town.answers(case))
    clerk.serves(case, opinion.id)
    town.closes(case)
    assert town.closes(case) == []
    refused(CaseEnded, lambda: town.accepts(case))
    assert accepted.id in city.file(case, GAOYANG).papers


def test_an_opinion_answers_every_claim_and_only_those_there_are() -> None:
    city, case = registered(claims=2)
    town = city.at(TOWN)
    town.accepts(case)
    one, two = claims_of(city, case)
    refused(ClaimUnanswered, lambda: town.answers(case, one))
    refused(ClaimUnknown, lambda: town.answers(case, one, two, ClaimId(city.fresh())))
    refused(ClaimRepeated, lambda: town.answers(case, one, one))
    city.at(TOWN, "citizen").does(AmendClaim(case=case, claim=two, change="dropped", text="不再主张"))
    refused(ClaimUnknown, lambda: town.answers(case, one, two))
    town.answers(case, one)


def test_a_supporting_answer_says_who_performs_it_by_when() -> None:
    city, case = registered()
    town = city.at(TOWN)
    town.accepts(case)
    (claim,) = claims_of(city, case)
    leg = city.leg(case, GAOYANG)
    for performer, day in ((None, None), (TOWN, None), (None, MONDAY), (TOWN, MONDAY - timedelta(1))):
        answer = AnswerClaim(
            claim=claim, outcome="support", law="第32条", text="支持", performer=performer, perform_by=day
        )
        opinion = IssueOpinion(case=case, leg=leg, facts="属实", answers=(answer,))
        refused(PerformanceMissing, lambda opinion=opinion: town.does(opinion))
    promised = AnswerClaim(
        claim=claim, outcome="support", law="第32条", text="支持", performer=TOWN, perform_by=MONDAY + timedelta(30)
    )
    town.does(IssueOpinion(case=case, leg=leg, facts="属实", answers=(promised,)))


def test_a_claim_added_on_day_40_is_not_left_out_and_has_its_own_acceptance_and_clock() -> None:
    city, case = registered()
    town, clerk = city.at(TOWN), city.at(TOWN, "clerk")
    (first,) = claims_of(city, case)
    town.accepts(case)
    city.days_pass(40)
    late = adds_claim(city, case)
    refused(NotAccepted, lambda: town.answers(case, first))
    town.accepts(case)
    file = city.file(case, GAOYANG)
    assert file.claims[late].accepted_us - file.claims[first].accepted_us > 39 * 86_400_000_000
    (opinion,) = town.answers(case, first)
    clerk.serves(case, opinion.id)
    refused(ClaimUnanswered, lambda: town.closes(case))
    refused(ClaimAnswered, lambda: town.answers(case, first, late))
    (second,) = town.answers(case, late)
    refused(ServiceMissing, lambda: town.closes(case))
    clerk.serves(case, second.id)
    town.closes(case)


def test_a_claim_that_crossed_with_the_closing_opens_the_matter_again() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    village.hands_over(case, TOWN)
    city.syncs()
    city.cut = {LIUZHUANG}
    town = city.at(TOWN)
    town.accepts(case)
    (opinion,) = town.answers(case)
    town.serves(case, opinion.id)
    town.closes(case)
    village.does(AmendClaim(case=case, claim=ClaimId(city.fresh()), change="added", text="补充诉求"))
    assert city.file(case, GAOYANG).is_ended
    city.cut = set()
    city.syncs()
    assert not city.file(case, GAOYANG).is_ended
    town.accepts(case)
    (answer,) = town.answers(case)
    town.serves(case, answer.id)
    town.closes(case)
    city.syncs()
    assert all(city.file(case, node).is_ended for node in (QI, GAOYANG, LIUZHUANG))


def test_an_extension_is_once_at_most_30_days_in_time_and_by_the_head() -> None:
    city, case = registered()
    leg = city.leg(case, GAOYANG)
    leader = city.at(TOWN, "leader")

    def extend(days: int) -> Extend:
        return Extend(case=case, leg=leg, days=days, reason="情况复杂")

    refused(NotAccepted, lambda: leader.does(extend(30)))
    city.at(TOWN).accepts(case)
    refused(RoleNotAllowed, lambda: city.at(TOWN).does(extend(30)))
    refused(ExtensionTooLong, lambda: leader.does(extend(31)))
    leader.does(extend(30))
    refused(ExtensionUsed, lambda: leader.does(extend(1)))
    late = adds_claim(city, case)
    city.at(TOWN).accepts(case)
    (extended,) = leader.does(extend(10))
    assert extended.claims == (late,)  # type: ignore[union-attr]


def test_what_is_overdue_is_not_extended() -> None:
    city, case = registered()
    city.at(TOWN).accepts(case)
    city.days_pass(70)  # day 60 is 1 May; the first working day after the holiday is the 6th
    leg = city.leg(case, GAOYANG)
    refused(ExtensionTooLate, lambda: city.at(TOWN, "leader").does(Extend(case=case, leg=leg, days=5, reason="忙")))


@pytest.mark.parametrize(
    ("matter", "result", "ending"),
    [
        ("suggestion", "adopted", "simple_reply"),
        ("suggestion", "not_adopted", "simple_reply"),
        ("claim_litigation", "procedure_named", "imported"),
        ("claim_arbitration", "procedure_named", "imported"),
        ("claim_party_appeal", "procedure_named", "imported"),
        ("claim_admin_procedure", "procedure_named", "imported"),
        ("claim_duty", "answered", "simple_reply"),
        ("claim_petition", "answered", "simple_reply"),
    ],
)
def test_each_class_ends_as_the_law_says(matter: MatterClass, result: PaperReply, ending: Ending) -> None:
    city, case = registered(matter=matter)
    town = city.at(TOWN)
    if matter in {"claim_duty", "claim_petition"}:
        refused(NotAccepted, lambda: replies(town, case, result))
        town.accepts(case)
    if matter != "claim_petition":
        refused(PaperNotLawful, lambda: town.answers(case))
        refused(EndingUnlawful, lambda: town.closes(case, "opinion"))
    (reply,) = replies(town, case, result)
    others: set[Ending] = {"simple_reply", "imported", "declined", "withdrawn"} - {ending}
    for other in others:
        refused(EndingUnlawful, lambda other=other: town.closes(case, other))
    refused(ServiceMissing, lambda: town.closes(case, ending))
    town.serves(case, reply.id)  # type: ignore[attr-defined]
    town.closes(case, ending)
    assert city.file(case, GAOYANG).is_ended


def test_a_reply_that_the_class_does_not_know_is_refused() -> None:
    city, case = registered(matter="suggestion")
    error = refused(PaperNotLawful, lambda: replies(city.at(TOWN), case, "procedure_named"))
    assert "采纳" in error.zh
    city, case = registered(matter="claim_litigation")
    refused(PaperNotLawful, lambda: replies(city.at(TOWN), case, "adopted"))


def test_the_simple_way_is_closed_to_collective_and_assigned_matters() -> None:
    city, case = registered(persons=5)
    city.at(TOWN).accepts(case)
    error = refused(NotSimple, lambda: replies(city.at(TOWN), case, "answered"))
    assert error.article == "《信访事项简易办理办法》第5条"


def test_declining_is_served_and_ends_the_matter() -> None:
    city, case = registered(claims=2)
    town = city.at(TOWN)
    decline = Decline(
        case=case, leg=city.leg(case, GAOYANG), ground="npc_or_judicial", right_organ="杞县人民法院", reason="已判决"
    )
    (declined,) = town.does(decline)
    refused(AcceptedAlready, lambda: town.does(decline))
    refused(AcceptedAlready, lambda: town.accepts(case))
    refused(EndingUnlawful, lambda: town.closes(case, "opinion"))
    refused(ServiceMissing, lambda: town.closes(case, "declined"))
    town.serves(case, declined.id)
    town.closes(case, "declined")


def test_an_agreement_ends_what_was_accepted_without_a_paper() -> None:
    city, case = registered()
    town = city.at(TOWN)
    refused(NotAccepted, lambda: town.closes(case, "agreement"))
    town.accepts(case)
    town.closes(case, "agreement")
    assert city.file(case, GAOYANG).is_ended


def test_an_agreement_is_no_way_round_an_answer_that_was_given() -> None:
    city, case = registered()
    town = city.at(TOWN)
    town.accepts(case)
    town.answers(case)
    refused(EndingUnlawful, lambda: town.closes(case, "agreement"))
    adds_claim(city, case)
    town.accepts(case)
    refused(ServiceMissing, lambda: town.closes(case, "agreement"))


def test_a_withdrawn_petition_is_only_closed_as_withdrawn() -> None:
    city, case = registered()
    town, citizen = city.at(TOWN), city.at(TOWN, "citizen")
    refused(EndingUnlawful, lambda: town.closes(case, "withdrawn"))
    refused(RoleNotAllowed, lambda: town.does(Withdraw(case=case, reason="已解决")))
    citizen.does(Withdraw(case=case, reason="已解决"))
    assert citizen.does(Withdraw(case=case, reason="已解决")) == []
    refused(CaseWithdrawn, lambda: town.accepts(case))
    refused(EndingUnlawful, lambda: town.closes(case, "agreement"))
    town.closes(case, "withdrawn")
    assert citizen.does(Withdraw(case=case, reason="已解决")) == []
    citizen.does(AddMaterial(case=case, note="备查"))


def test_an_assigned_matter_is_reported_after_service_and_before_closing() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, TOWN, MONDAY + timedelta(days=40))
    city.syncs()
    town = city.at(TOWN)
    report = ReportBack(case=case, leg=city.leg(case, GAOYANG), text="已办结")
    town.accepts(case)
    refused(NotSimple, lambda: replies(town, case, "answered"))
    refused(ServiceMissing, lambda: town.does(report))
    (opinion,) = town.answers(case)
    refused(ServiceMissing, lambda: town.does(report))
    town.serves(case, opinion.id)
    refused(ReportMissing, lambda: town.closes(case))
    town.does(report)
    refused(ReportGiven, lambda: town.does(report))
    town.closes(case)


def test_a_report_that_nobody_asked_for_is_refused() -> None:
    city, case = registered()
    leg = city.leg(case, GAOYANG)
    refused(ReportNotAsked, lambda: city.at(TOWN).does(ReportBack(case=case, leg=leg, text="已办")))


def test_a_paper_is_served_once_and_on_a_day_it_existed() -> None:
    city, case = registered()
    clerk, leg = city.at(TOWN, "clerk"), city.leg(case, GAOYANG)
    nothing = Serve(case=case, leg=leg, paper=city.history[0].id, method="phone", served_on=MONDAY)
    refused(PaperUnknown, lambda: clerk.does(nothing))
    (accepted,) = city.at(TOWN).accepts(case)

    def serve(day: date) -> Serve:
        return Serve(case=case, leg=leg, paper=accepted.id, method="registered_mail", served_on=day)

    for day in (MONDAY - timedelta(1), MONDAY + timedelta(1)):
        refused(ServiceDateWrong, lambda day=day: clerk.does(serve(day)))
    clerk.does(serve(MONDAY))
    assert clerk.does(serve(MONDAY)) == []
    refused(ServedAlready, lambda: clerk.does(serve(MONDAY + timedelta(1))))
    refused(RoleNotAllowed, lambda: city.at(TOWN, "citizen").does(serve(MONDAY)))


def test_a_procedural_acceptance_is_not_a_substantive_one() -> None:
    city, case = registered()
    town, leg = city.at(TOWN), city.leg(case, GAOYANG)
    procedural = Accept(case=case, leg=leg, kind="procedural")
    town.does(procedural)
    refused(AcceptedAlready, lambda: town.does(procedural))
    refused(NotAccepted, lambda: town.answers(case))
    town.hands_over(case, office(LIUZHUANG))


def test_nothing_happens_where_a_command_is_refused() -> None:
    city, case = registered()
    before = city.file(case, GAOYANG)
    with pytest.raises(DomainError):
        city.at(TOWN).does(Close(case=case, leg=city.leg(case, GAOYANG), ending="opinion"))
    assert city.file(case, GAOYANG) == before
