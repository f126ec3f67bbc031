"""Personal data: each reading is noted; erasure takes two persons, an ended matter and every custodian."""

from uuid import UUID

from domain.case import CaseFile, evolve
from domain.commands import AmendClaim, ConfirmErasure, NoteDestruction, NoteReading, OrderErasure
from domain.divisions import Division
from domain.events import (
    Actor,
    CaseId,
    ClaimId,
    ErasureConfirmed,
    ErasureOrdered,
    EventId,
    Grant,
    KeyDestroyed,
    KeyGranted,
    StreamId,
)
from domain.ids import new_id
from domain.keys import new_subject
from domain.refusals import RoleNotAllowed
from domain.sealed import (
    ErasureElsewhere,
    ErasureUnknown,
    KeyNotHere,
    NotCustodian,
    RetentionHolds,
    SecondPersonNeeded,
    SubjectErased,
    SubjectUnknown,
    unconfirmed_erasure,
)
from domain.steps import lawful_steps
from tests.domain.examples import DIGEST
from tests.given import CITY, GAOYANG, LIUZHUANG, QI, City, office, refused

SUBJECT = new_subject(LIUZHUANG, bytes(10))


def sealed_case(city: City) -> CaseId:
    """A case whose one subject's key is held by village and county."""
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.node(LIUZHUANG).learns(granted(city, case, LIUZHUANG, LIUZHUANG, QI))
    city.syncs()
    return case


def granted(city: City, case: CaseId, author: Division, *to: Division) -> KeyGranted:
    id_ = EventId(city.fresh(author))
    return KeyGranted(
        id=id_,
        stream=StreamId(id_),
        version=1,
        case=case,
        node=author,
        actor=Actor(account=city.fresh(), role="system", unit=office(author)),
        occurred_us=city.now_us,
        recorded_us=city.now_us,
        cause=(),
        law=None,
        sealed=(),
        subject=SUBJECT,
        grants=tuple(Grant(custodian=node, recipient_key="k", wrapped=DIGEST, purpose="handle") for node in to),
    )


def unsigned(city: City, case: CaseId, node: Division = CITY) -> frozenset[Division]:
    """Who has still to sign, as a node knows."""
    file = city.file(case, node)
    (erasure,) = file.erasures.values()
    return file.unsigned(erasure)


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
    assert unsigned(city, case) == {QI}
    city.at(office(QI), "system").does(destroy)
    city.syncs()
    for node in (QI, LIUZHUANG):
        assert unsigned(city, case, node) == set()
    refused(NotCustodian, lambda: city.at(office(GAOYANG), "system").does(destroy))
    reading = NoteReading(case=case, subject=SUBJECT, events=(city.history[0].id,), purpose="handle")
    refused(SubjectErased, lambda: first.does(reading))


def test_what_was_recorded_in_error_is_kept_until_the_end_like_the_rest() -> None:
    city = City.of()
    case = sealed_case(city)
    order = OrderErasure(case=case, subject=SUBJECT, ground="recorded_in_error")
    leader = city.at(office(LIUZHUANG), "leader")
    refused(RetentionHolds, lambda: leader.does(order))
    ended(city, case)
    assert len(leader.does(order)) == 1


def test_an_erasure_waits_again_when_the_matter_was_opened_again_before_the_second_person() -> None:
    city = City.of()
    case = sealed_case(city)
    claim = ClaimId(city.fresh())
    village = city.at(office(LIUZHUANG), "clerk")
    village.hands_over(case, office(QI))
    city.syncs()
    village.does(AmendClaim(case=case, change="added", claim=claim, text="另有一事"))
    city.at(office(QI)).accepts(case)
    city.at(office(QI)).closes(case, "agreement")
    order = OrderErasure(case=case, subject=SUBJECT, ground="subject_request")
    (ordered,) = city.at(office(QI), "leader", "first").does(order)
    city.syncs()
    second = city.at(office(QI), "leader", "second")
    refused(RetentionHolds, lambda: second.does(ConfirmErasure(case=case, erasure=ordered.id)))


def test_only_a_custodian_orders_an_erasure_and_who_merely_says_so_erases_nothing() -> None:
    city = City.of()
    case = sealed_case(city)
    ended(city, case)
    order = OrderErasure(case=case, subject=SUBJECT, ground="subject_request")
    refused(KeyNotHere, lambda: city.at(office(CITY), "leader").does(order))
    (ordered,) = city.at(office(LIUZHUANG), "leader", "first").does(order)
    city.at(office(LIUZHUANG), "leader", "second").does(ConfirmErasure(case=case, erasure=ordered.id))
    city.syncs()
    assert city.file(case).due_erasure(SUBJECT) is not None
    by_strangers = sealed_case(city)
    ended(city, by_strangers)
    forges_an_erasure(city, by_strangers, GAOYANG)
    assert city.file(by_strangers).due_erasure(SUBJECT) is None


def forges_an_erasure(city: City, case: CaseId, node: Division) -> ErasureOrdered:
    """Two lines under two invented accounts, whatever the rules say."""
    erasure = city.fresh(node)
    envelope = {
        "stream": StreamId(erasure),
        "case": case,
        "node": node,
        "occurred_us": city.now_us,
        "recorded_us": city.now_us,
        "cause": (),
        "law": None,
        "sealed": (),
        "erasure": erasure,
        "subject": SUBJECT,
    }
    who = [Actor(account=city.fresh(), role="leader", unit=office(node)) for _ in range(2)]
    ids = [EventId(erasure), EventId(city.fresh(node))]
    ordered = ErasureOrdered(id=ids[0], version=1, actor=who[0], ground="subject_request", **envelope)
    confirmed = ErasureConfirmed(id=ids[1], version=2, actor=who[1], custodians=(node,), **envelope)
    for event in (ordered, confirmed):
        city.node(node).learns(event)
        city.history.append(event)
    city.syncs()
    return ordered


def test_no_custodian_destroys_while_its_own_file_says_that_the_matter_is_open() -> None:
    city = City.of()
    case = sealed_case(city)
    ordered = forges_an_erasure(city, case, LIUZHUANG)
    county = city.at(office(QI), "system")
    destroy = NoteDestruction(case=case, erasure=ordered.erasure)
    for node in (QI, LIUZHUANG, CITY):
        assert city.file(case, node).due_erasure(SUBJECT) is None
    refused(RetentionHolds, lambda: county.does(destroy))
    assert unsigned(city, case) == {QI, LIUZHUANG}
    reading = NoteReading(case=case, subject=SUBJECT, events=(city.history[0].id,), purpose="handle")
    assert len(city.at(office(QI), "clerk").does(reading)) == 1
    ended(city, case)
    for node in (QI, LIUZHUANG, CITY):
        assert city.file(case, node).due_erasure(SUBJECT) is not None
    assert len(county.does(destroy)) == 1


def test_a_matter_opened_again_takes_no_erasure_back_and_lets_none_begin() -> None:
    city = City.of()
    case = sealed_case(city)
    village = city.at(office(LIUZHUANG), "clerk")
    village.hands_over(case, office(QI))
    city.syncs()
    village.does(AmendClaim(case=case, change="added", claim=ClaimId(city.fresh()), text="另有一事"))
    city.at(office(QI)).accepts(case)
    city.at(office(QI)).closes(case, "agreement")
    ordered = forges_an_erasure(city, case, QI)
    assert not city.file(case, QI).is_ended
    assert city.file(case, QI).due_erasure(SUBJECT) is not None
    assert city.file(case, LIUZHUANG).due_erasure(SUBJECT) is None
    city.at(office(QI)).accepts(case)
    city.at(office(QI)).closes(case, "agreement")
    city.syncs()
    for node in (QI, LIUZHUANG):
        assert len(city.at(office(node), "system").does(NoteDestruction(case=case, erasure=ordered.erasure))) == 1


def test_an_order_that_a_custodian_never_confirms_hinders_no_other_custodian() -> None:
    city = City.of()
    case = sealed_case(city)
    ended(city, case)
    order = OrderErasure(case=case, subject=SUBJECT, ground="subject_request")
    (left_lying,) = city.at(office(LIUZHUANG), "leader").does(order)
    city.syncs()
    leader, second = city.at(office(QI), "leader", "first"), city.at(office(QI), "leader", "second")
    (ordered,) = leader.does(order)
    assert leader.does(order) == []
    steps = {step.command: step for step in lawful_steps(city.file(case, QI), second.situation())}
    assert steps["confirm_erasure"].allowed
    assert unconfirmed_erasure(city.file(case, QI), QI) == ordered.erasure
    assert unconfirmed_erasure(city.file(case, LIUZHUANG), LIUZHUANG) == left_lying.erasure
    second.does(ConfirmErasure(case=case, erasure=ordered.erasure))
    city.syncs()
    assert city.at(office(LIUZHUANG), "leader", "late").does(order) == []
    assert len(city.at(office(LIUZHUANG), "system").does(NoteDestruction(case=case, erasure=ordered.erasure))) == 1


def test_who_is_given_the_key_while_it_is_being_erased_signs_too() -> None:
    city = City.of()
    case = sealed_case(city)
    ended(city, case)
    order = OrderErasure(case=case, subject=SUBJECT, ground="subject_request")
    (ordered,) = city.at(office(LIUZHUANG), "leader", "first").does(order)
    (confirmed,) = city.at(office(LIUZHUANG), "leader", "second").does(ConfirmErasure(case=case, erasure=ordered.id))
    assert GAOYANG not in confirmed.custodians
    city.node(QI).learns(granted(city, case, QI, GAOYANG))
    city.syncs()
    assert unsigned(city, case, LIUZHUANG) == {LIUZHUANG, QI, GAOYANG}
    for node in (LIUZHUANG, QI, GAOYANG):
        city.at(office(node), "system").does(NoteDestruction(case=case, erasure=ordered.id))
    city.syncs()
    assert unsigned(city, case, LIUZHUANG) == set()


def test_both_persons_sign_on_one_node() -> None:
    city = City.of()
    case = sealed_case(city)
    ended(city, case)
    order = OrderErasure(case=case, subject=SUBJECT, ground="subject_request")
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


_ID = new_id(LIUZHUANG, 1, 8)
FORGED = {"id": EventId(_ID), "stream": StreamId(_ID), "custodian": QI}
