from datetime import date

import msgspec
import pytest

from domain.commands import AnswerClaim, HandOver, IssueOpinion, Serve
from domain.events import ClaimId, EventId, LegId
from domain.plausible import EARLIEST, LATEST
from domain.refusals import DayImplausible
from tests.given import GAOYANG, LIUZHUANG, City, office, refused

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


def test_an_old_letter_is_still_registered() -> None:
    clerk = City.of().at(office(LIUZHUANG), "clerk")
    assert clerk.does(msgspec.structs.replace(clerk.registration(), received_on=EARLIEST))
    assert LATEST > EARLIEST
