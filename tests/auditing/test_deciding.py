"""What a node's rules led to, they lead to again; what they cannot have led to is found."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.case import CaseFile, evolve
from domain.commands import (
    AddMaterial,
    AmendClaim,
    CorrectRegistration,
    Decline,
    Extend,
    IssueOrder,
    JudgeOrder,
    Rate,
    Reply,
    ReplyOrder,
    Report,
    Withdraw,
)
from domain.divisions import Division
from domain.events import (
    Accepted,
    Actor,
    AnyEvent,
    CaseId,
    Closed,
    EventId,
    HandedOver,
    LegOpened,
    MaterialAdded,
    ObjectionRuled,
    OpinionIssued,
    OrderId,
    Registered,
    Served,
    TakenOver,
    tag_of,
)
from gateway.auditing.deciding import why_undecidable
from tests.given import GAOYANG, LIUZHUANG, QI, WANGZHAI, City, office


def told(city: City) -> dict[str, list[str | None]]:
    """By kind of event: of each that a node wrote, what its own ledger says against it."""
    verdicts: dict[str, list[str | None]] = {}
    for division, node in city.nodes.items():
        files: dict[CaseId, CaseFile] = {}
        for event, _ in node.ledger:
            assert event.case is not None
            if event.node == division:
                why = why_undecidable(files.get(event.case), event, city.topology, city.calendar)
                verdicts.setdefault(tag_of(event), []).append(why)
            files[event.case] = evolve(files.get(event.case), event)
    return verdicts


def lived() -> City:
    """Cases through nearly every step that there is."""
    city = City.of()
    clerk = city.at(office(LIUZHUANG), "clerk")
    handler = city.at(office(GAOYANG))
    case = clerk.registers(claims=2)
    clerk.does(CorrectRegistration(case=case, matter_class="claim_petition", category="020000",
                                   issue_region=QI, reason="错"))  # fmt: skip
    clerk.does(AddMaterial(case=case, note="材料"))
    clerk.does(AmendClaim(case=case, claim=city.file(case, LIUZHUANG).unanswered_claims[0].id, change="changed",
                          text="新"))  # fmt: skip
    city.at(office(LIUZHUANG)).hands_over(case, office(GAOYANG))
    city.syncs()
    handler.objects(case)
    city.syncs()
    city.at(office(LIUZHUANG)).rules(case, agreed=False)
    city.syncs()
    handler.accepts(case)
    city.at(office(GAOYANG), "leader").does(Extend(case=case, leg=city.leg(case, GAOYANG), days=10, reason="复杂"))
    supervisor = city.at(office(QI), "supervisor")
    city.syncs()
    (order,) = supervisor.does(IssueOrder(case=case, leg=city.leg(case, QI), trigger="delay",
                                          reply_by=city.today + timedelta(days=3), demand="催"))  # fmt: skip
    city.syncs()
    handler.does(ReplyOrder(case=case, order=OrderId(order.id), text="在办"))
    city.syncs()
    supervisor.does(JudgeOrder(case=case, order=OrderId(order.id), accepted=True, comment="可"))
    (opinion,) = handler.answers(case)
    city.at(office(GAOYANG), "clerk").serves(case, opinion.id)
    handler.closes(case)
    city.at(office(GAOYANG), "citizen").does(Rate(case=case, office="satisfied", unit="satisfied"))
    city.syncs()
    _assigned(city)
    _taken(city)
    return city


def _assigned(city: City) -> None:
    clerk = city.at(office(QI), "clerk")
    case = clerk.registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG), city.today + timedelta(days=30))
    city.syncs()
    handler = city.at(office(GAOYANG))
    handler.accepts(case)
    (opinion,) = handler.answers(case)
    handler.serves(case, opinion.id)
    handler.does(Report(case=case, leg=city.leg(case, GAOYANG), text="报告"))
    other = clerk.registers(matter="suggestion")
    city.at(office(QI)).does(Reply(case=other, leg=city.leg(other, QI), result="adopted", text="采纳"))
    declined = clerk.registers()
    city.at(office(QI)).does(Decline(case=declined, leg=city.leg(declined, QI), ground="not_a_petition",
                                     right_organ="法院", reason="另案"))  # fmt: skip
    gone = clerk.registers()
    clerk.does(Withdraw(case=gone, reason="不再"))
    city.syncs()


def _taken(city: City) -> None:
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.at(office(QI), "leader").takes_over(case)
    city.syncs()
    up = city.at(office(LIUZHUANG), "clerk").registers()
    city.at(office(LIUZHUANG)).hands_over(up, office(GAOYANG))
    city.syncs()
    city.at(office(GAOYANG)).objects(up)
    city.days_pass(12)
    city.syncs()


def test_whatever_the_rules_led_to_they_lead_to_again() -> None:
    verdicts = told(lived())
    assert {kind: [why for why in whys if why] for kind, whys in verdicts.items()} == {kind: [] for kind in verdicts}
    assert len(verdicts) >= 20


def before(city: City, division: Division, shape: type[AnyEvent]) -> tuple[CaseFile | None, Any]:
    """The first event of a kind that a node wrote, and what it knew of the case then."""
    files: dict[CaseId, CaseFile] = {}
    for event, _ in city.nodes[division].ledger:
        assert event.case is not None
        if isinstance(event, shape) and event.node == division:
            return files.get(event.case), event
        files[event.case] = evolve(files.get(event.case), event)
    raise AssertionError(shape)


@pytest.mark.parametrize(
    ("shape", "division", "changes"),
    [
        (Registered, LIUZHUANG, {"version": 2}),
        (Registered, LIUZHUANG, {"law": None}),
        (Accepted, GAOYANG, {"claims": ()}),
        (Accepted, GAOYANG, {"cause": ()}),
        (HandedOver, LIUZHUANG, {"to": office(WANGZHAI)}),
        (LegOpened, GAOYANG, {"sender": None}),
        (OpinionIssued, GAOYANG, {"answers": ()}),
        (MaterialAdded, LIUZHUANG, {"law": "x"}),
        (TakenOver, QI, {"leg_version": 99}),
    ],
)
def test_what_the_rules_would_have_put_otherwise_is_found(
    shape: type[AnyEvent], division: Division, changes: dict[str, Any]
) -> None:
    city = lived()
    file, event = before(city, division, shape)
    assert why_undecidable(file, event, city.topology, city.calendar) is None
    assert why_undecidable(file, msgspec.structs.replace(event, **changes), city.topology, city.calendar)


def test_what_somebody_in_that_role_may_not_do_is_found() -> None:
    city = lived()
    for shape, division in ((Closed, GAOYANG), (Served, GAOYANG), (TakenOver, QI), (ObjectionRuled, LIUZHUANG)):
        file, event = before(city, division, shape)
        actor = Actor(account=event.actor.account, role="auditor", unit=event.actor.unit)
        event = msgspec.structs.replace(event, actor=actor)
        assert why_undecidable(file, event, city.topology, city.calendar) == "role_not_allowed"


def test_what_had_been_done_before_is_found() -> None:
    city = lived()
    file, event = before(city, GAOYANG, Closed)
    after = evolve(file, event)
    again = msgspec.structs.replace(event, id=EventId(city.fresh(GAOYANG)), version=event.version + 1)
    assert why_undecidable(after, again, city.topology, city.calendar) == "it had taken effect already"


def test_what_concerns_no_case_is_no_decision() -> None:
    city = lived()
    _, event = before(city, LIUZHUANG, Registered)
    nowhere = msgspec.structs.replace(event, case=None)
    assert why_undecidable(None, nowhere, city.topology, city.calendar) is None
