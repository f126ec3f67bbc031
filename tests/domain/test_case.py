"""What a node knows of a case: in whatever order it came, twice, in part, from a newer version or from a liar."""

import itertools
from uuid import UUID

import msgspec
import pytest

from domain.case import CaseFile, evolve
from domain.commands import Accept, LapseObjection, TakeOver
from domain.events import (
    Accepted,
    AnyEvent,
    CaseId,
    EventId,
    HandedOver,
    LegId,
    LegOpened,
    NodeOpened,
    Objected,
    ObjectionRuled,
    SealedRead,
    StreamId,
    TakenOver,
    Unknown,
)
from domain.ids import new_id
from domain.refusals import LegUnknown, NotHolder, NotOpened, UpgradeNeeded
from tests.domain.examples import examples
from tests.given import CITY, GAOYANG, LIUZHUANG, QI, WEISHI, City, office, refused


def story() -> tuple[City, CaseId]:
    """Village to county, county assigns to the township, which accepts, answers, serves and closes."""
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers(claims=2)
    village.hands_over(case, office(QI))
    city.syncs()
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    town = city.at(office(GAOYANG))
    town.accepts(case)
    (opinion,) = town.answers(case)
    town.serves(case, opinion.id)
    town.closes(case)
    city.syncs()
    return city, case


def folded(events: list[AnyEvent]) -> CaseFile:
    file: CaseFile | None = None
    for event in events:
        file = evolve(file, event)
    assert file is not None
    return file


def test_an_event_that_is_known_changes_nothing() -> None:
    city, _ = story()
    file = folded(city.history)
    assert folded(list(itertools.chain(*zip(city.history, city.history, strict=True)))) == file
    assert all(evolve(file, event) is file for event in city.history)


def test_a_village_that_was_sent_only_the_milestones_knows_who_answers_and_that_it_ended() -> None:
    city, case = story()
    whole, here = city.file(case), city.file(case, LIUZHUANG)
    assert here.accountable == whole.accountable == office(GAOYANG)
    assert here.is_ended
    assert here.registered is not None


def test_nothing_but_a_key_is_known_of_a_case_whose_registration_is_not() -> None:
    city, case = story()
    for start in range(1, len(city.history)):
        assert folded(city.history[start:]) == CaseFile(case=case)


def test_a_case_that_a_newer_version_registered_is_handled_as_far_as_it_is_understood() -> None:
    city, case = story()
    newer = Unknown(
        tag="case.registered.v1", body=b"{}", case=case, node=city.history[0].node, stream=StreamId(case), version=1
    )
    file = evolve(None, newer)
    for event in city.history[1:]:
        file = evolve(file, event)
    assert (file.registered, file.accountable) == (None, city.file(case).accountable)
    assert file.papers == city.file(case).papers


def test_an_unknown_event_in_a_leg_stops_commands_on_it_until_the_upgrade() -> None:
    city = City.of()
    case = city.at(office(GAOYANG), "clerk").registers()
    city.syncs()
    leg = city.leg(case)
    newer = Unknown(tag="leg.heard.v1", body=b"{}", case=case, node=GAOYANG, stream=StreamId(leg), version=2)
    for node in (GAOYANG, QI):
        city.node(node).files[case] = evolve(city.file(case, node), newer)
    error = refused(UpgradeNeeded, lambda: city.at(office(GAOYANG)).accepts(case))
    assert "升级" in error.zh
    refused(UpgradeNeeded, lambda: city.at(office(QI), "leader").takes_over(case))
    assert city.file(case, QI).version_of(leg) == 2
    city.at(office(GAOYANG), "citizen").registers()


def test_an_unknown_event_elsewhere_in_the_case_stops_nothing() -> None:
    city = City.of()
    case = city.at(office(GAOYANG), "clerk").registers()
    aside = Unknown(
        tag="meeting.held.v1", body=b"{}", case=case, node=GAOYANG, stream=StreamId(new_id(GAOYANG, 1, 3)), version=1
    )
    city.node(GAOYANG).files[case] = evolve(city.file(case, GAOYANG), aside)
    assert len(city.at(office(GAOYANG)).accepts(case)) == 1


def test_readings_do_not_make_a_file_grow() -> None:
    city, case = story()
    file = city.file(case)
    reading = next(event for event in examples() if isinstance(event, SealedRead))
    assert evolve(file, msgspec.structs.replace(reading, case=case)) is file


def test_an_event_that_concerns_no_case_has_no_place_in_a_file() -> None:
    opened = next(event for event in examples() if isinstance(event, NodeOpened))
    with pytest.raises(ValueError, match="no case"):
        evolve(None, opened)


def test_nobody_writes_into_the_leg_of_another_node() -> None:
    city, case = story()
    file = city.file(case)
    accepted = next(event for event in city.history if isinstance(event, Accepted))
    handed = next(event for event in city.history if isinstance(event, HandedOver))
    id_ = new_id(WEISHI, 1, 9)
    for stream in (accepted.stream, StreamId(id_)):
        forged = msgspec.structs.replace(
            accepted, id=EventId(id_), stream=stream, version=99, node=WEISHI, kind="procedural"
        )
        assert evolve(file, forged) is file
    opened = next(event for event in city.history if isinstance(event, LegOpened) and event.leg == handed.next_leg)
    thief = msgspec.structs.replace(opened, id=EventId(id_), version=9, node=WEISHI, unit=office(WEISHI))
    assert evolve(file, thief) is file


def test_a_leg_that_nobody_handed_over_takes_nothing_away() -> None:
    city, case = story()
    file = city.file(case)
    opened = next(event for event in city.history if isinstance(event, LegOpened))
    invented = LegId(new_id(WEISHI, 1, 11))
    claimed = msgspec.structs.replace(
        opened,
        id=EventId(invented),
        stream=StreamId(invented),
        leg=invented,
        from_leg=file.present_leg.id if file.present_leg else None,
        node=WEISHI,
        unit=office(WEISHI),
        mode="taken_over",
    )
    assert evolve(file, claimed).accountable == file.accountable


def test_a_ruling_by_somebody_who_is_not_the_ruler_moves_nothing() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    (raised,) = city.at(office(GAOYANG)).objects(case)
    assert isinstance(raised, Objected)
    city.syncs()
    (ruling,) = city.at(office(QI)).rules(case, agreed=True)
    assert isinstance(ruling, ObjectionRuled)
    id_ = city.fresh(WEISHI)
    forged = msgspec.structs.replace(ruling, id=EventId(id_), stream=StreamId(id_), node=WEISHI)
    assert evolve(city.file(case), ruling).accountable == office(QI)
    assert evolve(city.file(case), forged).accountable == office(GAOYANG)


def test_a_superior_takes_a_leg_that_its_dead_receiver_never_opened() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    city.cut = {QI}
    city.at(office(QI)).rules(case, agreed=True)
    named = city.leg(case, QI)
    refused(NotOpened, lambda: city.at(office(QI)).does(Accept(case=case, leg=named)))
    city.cut = set()
    for event, _ in city.node(QI).ledger[city.node(QI).relayed :]:
        city.node(CITY).learns(event)
    (taken,) = city.at(office(CITY), "leader").takes_over(case)
    assert isinstance(taken, TakenOver)
    assert (taken.leg, taken.leg_version) == (named, 0)
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, QI, GAOYANG)} == {office(CITY)}


def test_a_leg_that_is_not_there_is_refused() -> None:
    city, case = story()
    nowhere = LegId(UUID(int=5))
    refused(LegUnknown, lambda: city.at(office(GAOYANG)).does(Accept(case=case, leg=nowhere)))
    gone = TakeOver(case=case, leg=nowhere, unit=office(QI), reason="收回")
    refused(LegUnknown, lambda: city.at(office(QI), "leader").does(gone))


def test_only_the_node_that_keeps_the_matter_notes_the_end_of_silence() -> None:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    (raised,) = city.at(office(GAOYANG)).objects(case)
    city.syncs()
    lapse = LapseObjection(case=case, objection=raised.id)
    refused(NotHolder, lambda: city.at(office(QI), "system").does(lapse))
