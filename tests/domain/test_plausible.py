from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from domain.bounds import EARLIEST, LATEST
from domain.clocks import DAY_US, day_start_us, shanghai_time
from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    AnswerClaim,
    AnyCommand,
    Close,
    CorrectRegistration,
    Extend,
    HandOver,
    IssueOpinion,
    IssueOrder,
    JudgeOrder,
    Object,
    Petitioner,
    ReplyOrder,
    RuleObjection,
    Serve,
)
from domain.divisions import Division
from domain.events import AnyEvent, ClaimId, EventId, LegId, OrderIssued, Registered
from domain.plausible import TOP_CATEGORIES
from domain.refusals import (
    BeforeItsCause,
    BirthImplausible,
    CategoryUnknown,
    CheckDigitWrong,
    DayImplausible,
    Refusal,
    RegionUnknown,
    TextBlank,
)
from gateway.reading.labels import CATEGORIES
from tests.given import GAOYANG, LIUZHUANG, MONDAY, QI, City, Somebody, office, refused

NEVER = (date(1, 1, 1), date(1949, 9, 30), date(2200, 1, 1), date(9999, 12, 31))


@pytest.mark.parametrize("day", NEVER)
def test_no_day_that_a_command_names_lies_beyond_what_a_clock_counts(day: date) -> None:
    city = City.of()
    clerk = city.at(office(LIUZHUANG), "clerk")
    case = clerk.registers()
    leg, some = LegId(city.leg(case, LIUZHUANG)), city.fresh()
    answer = AnswerClaim(claim=ClaimId(some), outcome="support", law="x", text="x", perform_by=day)
    commands = {
        "received_on": msgspec.structs.replace(clerk.registration(), received_on=day),
        "report_by": HandOver(
            case=case, leg=leg, to=office(GAOYANG), mode="assign_with_report", report_by=day, reason="x"
        ),
        "served_on": Serve(case=case, leg=leg, paper=EventId(some), method="post", served_on=day),
        "answers[0].perform_by": IssueOpinion(case=case, leg=leg, facts="x", answers=(answer,)),
    }
    for field, command in commands.items():
        error = refused(DayImplausible, lambda command=command: clerk.does(command))
        assert error.field == field


@pytest.mark.parametrize("moment_us", [-639_129_600_000_001, -(10**15), -(10**17)])
def test_nothing_is_said_to_have_happened_before_there_were_records(moment_us: int) -> None:
    clerk = City.of().at(office(LIUZHUANG), "clerk")
    early = msgspec.structs.replace(clerk.registration(), occurred_us=moment_us)
    assert refused(DayImplausible, lambda: clerk.does(early)).field == "occurred_us"


def test_nothing_is_said_to_have_happened_before_what_it_follows_from() -> None:
    city = City.of()
    county, clerk = city.at(office(QI)), city.at(office(QI), "clerk")
    town, supervisor = city.at(office(GAOYANG), "leader"), city.at(office(QI), "supervisor")

    def not_before(since_us: int, somebody: Somebody, command: AnyCommand) -> AnyEvent:
        """Refused a moment before, with the time that it would take; taken at that time, though now it is later."""
        city.days_pass(1)
        early = msgspec.structs.replace(command, occurred_us=since_us - 1)
        error = refused(BeforeItsCause, lambda: somebody.does(early))
        assert (error.field, shanghai_time(since_us) in error.zh) == ("occurred_us", True)
        (event, *_) = somebody.does(msgspec.structs.replace(command, occurred_us=since_us))
        city.syncs()
        assert event.occurred_us == since_us
        return event

    received_us = day_start_us(MONDAY)
    case = not_before(received_us, clerk, clerk.registration()).case
    assert case is not None
    claim = ClaimId(city.fresh())
    not_before(received_us, clerk, AmendClaim(case=case, claim=claim, change="added", text="x"))
    not_before(received_us, clerk, AddMaterial(case=case, note="x"))
    (handed,) = county.hands_over(case, office(GAOYANG))
    city.days_pass(1)
    city.syncs()
    leg = city.leg(case, GAOYANG)
    given_us, last_day = handed.occurred_us, city.today + timedelta(days=20)
    objection = not_before(given_us, town, Object(case=case, leg=leg, reason="x"))
    ruling = RuleObjection(case=case, objection=objection.id, agreed=False, reason="x")
    not_before(objection.occurred_us, county, ruling)
    order = not_before(
        given_us, supervisor, IssueOrder(case=case, leg=leg, trigger="delay", reply_by=last_day, demand="x")
    )
    assert isinstance(order, OrderIssued)
    reply = not_before(order.occurred_us, town, ReplyOrder(case=case, order=order.order, text="x"))
    sent_back = JudgeOrder(case=case, order=order.order, accepted=False, reply_by=last_day, comment="x")
    judged = not_before(reply.occurred_us, supervisor, sent_back)
    not_before(judged.occurred_us, town, ReplyOrder(case=case, order=order.order, text="x"))
    accepted = not_before(given_us, town, Accept(case=case, leg=leg))
    not_before(accepted.occurred_us, town, Extend(case=case, leg=leg, days=30, reason="x"))
    answers = tuple(
        AnswerClaim(claim=claim.id, outcome="explain", law="x", text="x") for claim in city.file(case).living_claims
    )
    opinion = not_before(accepted.occurred_us, town, IssueOpinion(case=case, leg=leg, facts="x", answers=answers))
    today = city.today
    not_before(
        opinion.occurred_us,
        city.at(office(GAOYANG)),
        Serve(case=case, leg=leg, paper=opinion.id, method="post", served_on=today),
    )
    not_before(opinion.occurred_us, town, Close(case=case, leg=leg, ending="opinion"))


def test_what_is_registered_later_was_received_on_the_day_it_is_said_to_have_come() -> None:
    city = City.of()
    clerk, last_week_us = city.at(office(LIUZHUANG), "clerk"), city.now_us - 7 * DAY_US
    (registered, _) = clerk.does(
        msgspec.structs.replace(clerk.registration(), received_on=None, occurred_us=last_week_us)
    )
    assert isinstance(registered, Registered)
    assert registered.received_on == MONDAY - timedelta(days=7)


def test_an_old_letter_is_still_registered() -> None:
    clerk = City.of().at(office(LIUZHUANG), "clerk")
    assert clerk.does(msgspec.structs.replace(clerk.registration(), received_on=EARLIEST))
    assert LATEST > EARLIEST


# 11010519491231002X is an example that GB 11643 itself prints, as is 440524188001010014, whose bearer is long dead.
BORN_TOMORROW = (MONDAY + timedelta(days=1)).strftime("%Y%m%d")


def named(number: str) -> Callable[[], object]:
    clerk = City.of().at(office(LIUZHUANG), "clerk")
    person = Petitioner(name="试验人", id_number=number)
    return lambda: clerk.does(msgspec.structs.replace(clerk.registration(), petitioner=person))


@pytest.mark.parametrize("number", ["11010519491231002X", "11010519491231002x", "410221199001010017"])
def test_an_identity_number_whose_day_and_check_digit_hold_is_taken(number: str) -> None:
    assert named(number)()


def kept_to_itself(said: Refusal, number: str) -> bool:
    return said.field == "petitioner.id_number" and not any(
        number[at : at + 4] in f"{said}{said.args}" for at in range(15)
    )


@pytest.mark.parametrize(
    "number",
    [
        "440524188001010014",
        "410221199002290014",
        "410221199013010017",
        "410221000001010017",
        f"410221{BORN_TOMORROW}0017",
    ],
)
def test_a_birth_that_cannot_be_is_named_without_repeating_the_number(number: str) -> None:
    assert kept_to_itself(refused(BirthImplausible, named(number)), number)


@pytest.mark.parametrize(
    "number", ["110105194912310021", "41022119900101001X", "410221199001010071", "410221199010010017"]
)
def test_a_slip_in_an_identity_number_is_named_without_repeating_the_number(number: str) -> None:
    assert kept_to_itself(refused(CheckDigitWrong, named(number)), number)


def test_words_that_are_only_blanks_say_nothing() -> None:
    city = City.of()
    clerk = city.at(office(LIUZHUANG), "clerk")
    registration = clerk.registration()
    blank = msgspec.structs.replace(registration.claims[0], text="\u3000 \n")
    replaced: dict[str, dict[str, Any]] = {
        "title": {"title": "  "},
        "body": {"body": "\t"},
        "claims[0].text": {"claims": (blank,)},
        "petitioner.name": {"petitioner": Petitioner(name=" ")},
    }
    for field, changes in replaced.items():
        command = msgspec.structs.replace(registration, **changes)
        assert refused(TextBlank, lambda command=command: clerk.does(command)).field == field
    case = clerk.registers()
    assert refused(TextBlank, lambda: clerk.does(AddMaterial(case=case, note="   "))).field == "note"


def test_a_place_in_no_province_and_a_category_under_no_heading_are_refused_also_in_a_correction() -> None:
    city = City.of()
    clerk = city.at(office(LIUZHUANG), "clerk")
    case = clerk.registers()
    corrected = CorrectRegistration(
        case=case, matter_class="suggestion", category="010000", issue_region=LIUZHUANG, reason="x"
    )
    for command in (clerk.registration(), corrected):
        nowhere = msgspec.structs.replace(command, issue_region=Division("999999999999"))
        assert refused(RegionUnknown, lambda nowhere=nowhere: clerk.does(nowhere)).field == "issue_region"
        nothing = msgspec.structs.replace(command, category="777777")
        assert refused(CategoryUnknown, lambda nothing=nothing: clerk.does(nothing)).field == "category"
    assert {f"{code}0000" for code in TOP_CATEGORIES} == set(CATEGORIES)
