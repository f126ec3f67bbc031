"""Personal data: each reading is noted; erasure takes two persons, an ended matter and every custodian."""

from uuid import UUID

from domain.case import CaseFile, evolve
from domain.commands import ConfirmErasure, NoteDestruction, NoteReading, OrderErasure
from domain.events import CaseId, EventId, Grant, KeyDestroyed, KeyGranted, StreamId
from domain.refusals import RoleNotAllowed
from domain.sealed import (
    ErasureElsewhere,
    ErasureUnknown,
    NotCustodian,
    RetentionHolds,
    SecondPersonNeeded,
    SubjectErased,
    SubjectUnknown,
)
from tests.domain.examples import SUBJECT
from tests.given import GAOYANG, LIUZHUANG, QI, City, office, refused


def sealed_case(city: City) -> CaseId:
    """A case whose one subject's key is held by village and county."""
    case = city.at(office(LIUZHUANG), "clerk").registers()
    opened = city.history[-1]
    grants = tuple(Grant(custodian=node, recipient_key="k", purpose="handle") for node in (LIUZHUANG, QI))
    id_ = EventId(city.fresh())
    granted = KeyGranted(
        id=id_,
        stream=StreamId(id_),
        version=1,
        case=case,
        node=LIUZHUANG,
        actor=opened.actor,
        occurred_us=city.now_us,
        recorded_us=city.now_us,
        cause=(),
        law=None,
        sealed=(),
        subject=SUBJECT,
        grants=grants,
    )
    city.node(LIUZHUANG).learns(granted)
    city.syncs()
    return case


def ended(city: City, case: CaseId) -> None:
    city.at(office(LIUZHUANG)).accepts(case)
    city.at(office(LIUZHUANG)).closes(case, "agreement")
    city.syncs()


def test_every_reading_is_an_event_of_its_own() -> None:
    city = City.of()
    case = sealed_case(city)
    reading = NoteReading(case=case, subject=SUBJECT, events=(city.history[0].id,), purpose="handle")
    clerk = city.at(office(LIUZHUANG), "clerk")
    first, second = clerk.does(reading), clerk.does(reading)
    assert len(first) == len(second) == 1
    assert first[0].stream != second[0].stream
    stranger = NoteReading(case=case, subject="ff" * 16, events=(city.history[0].id,), purpose="audit")
    refused(SubjectUnknown, lambda: clerk.does(stranger))


def test_erasure_takes_two_persons_and_every_custodians_signature() -> None:
    city = City.of()
    case = sealed_case(city)
    first = city.at(office(LIUZHUANG), "leader", "first")
    second = city.at(office(LIUZHUANG), "leader", "second")
    order = OrderErasure(case=case, subject=SUBJECT, ground="retention_ended")
    refused(RetentionHolds, lambda: first.does(order))
    ended(city, case)
    refused(RoleNotAllowed, lambda: city.at(office(LIUZHUANG), "operator").does(order))
    (ordered,) = first.does(order)
    assert first.does(order) == []
    confirm = ConfirmErasure(case=case, erasure=ordered.id)
    refused(SecondPersonNeeded, lambda: first.does(confirm))
    destroy = NoteDestruction(case=case, erasure=ordered.id)
    refused(NotCustodian, lambda: city.at(office(LIUZHUANG), "system").does(destroy))
    second.does(confirm)
    assert second.does(confirm) == []
    city.at(office(LIUZHUANG), "system").does(destroy)
    assert city.at(office(LIUZHUANG), "system").does(destroy) == []
    city.syncs()
    assert not city.file(case).erasures[ordered.id].is_complete
    city.at(office(QI), "system").does(destroy)
    city.syncs()
    for node in (QI, LIUZHUANG):
        assert city.file(case, node).erasures[ordered.id].is_complete
    refused(NotCustodian, lambda: city.at(office(GAOYANG), "system").does(destroy))
    reading = NoteReading(case=case, subject=SUBJECT, events=(city.history[0].id,), purpose="handle")
    refused(SubjectErased, lambda: first.does(reading))


def test_what_was_recorded_in_error_may_be_erased_before_the_end() -> None:
    city = City.of()
    case = sealed_case(city)
    order = OrderErasure(case=case, subject=SUBJECT, ground="recorded_in_error")
    (ordered,) = city.at(office(LIUZHUANG), "leader").does(order)
    city.syncs()
    elsewhere = ConfirmErasure(case=case, erasure=ordered.id)
    refused(ErasureElsewhere, lambda: city.at(office(QI), "leader").does(elsewhere))
    unknown = ConfirmErasure(case=case, erasure=UUID(int=7))
    refused(ErasureUnknown, lambda: city.at(office(LIUZHUANG), "leader", "second").does(unknown))


def test_nobody_signs_a_destruction_for_another_custodian() -> None:
    city = City.of()
    case = sealed_case(city)
    ended(city, case)
    (ordered,) = city.at(office(LIUZHUANG), "leader", "first").does(
        OrderErasure(case=case, subject=SUBJECT, ground="subject_request")
    )
    city.at(office(LIUZHUANG), "leader", "second").does(ConfirmErasure(case=case, erasure=ordered.id))
    (signed,) = city.at(office(LIUZHUANG), "system").does(NoteDestruction(case=case, erasure=ordered.id))
    assert isinstance(signed, KeyDestroyed)
    city.syncs()
    forged = KeyDestroyed(**{field: getattr(signed, field) for field in signed.__struct_fields__} | FORGED)
    file: CaseFile = evolve(city.file(case), forged)
    assert file.erasures[ordered.id].destroyed_by == {LIUZHUANG}


FORGED = {"id": EventId(UUID(int=8)), "stream": StreamId(UUID(int=8)), "custodian": QI}
