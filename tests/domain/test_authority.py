"""What another node's signed event may change: of every kind, only what its author has the right to."""

from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import events
from domain.authority import AUTHORITY, effects, judged
from domain.case import CaseFile, evolve, has_effect
from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    CorrectRegistration,
    Extend,
    IssueOrder,
    JudgeOrder,
    Rate,
    ReplyOrder,
    Withdraw,
)
from domain.divisions import Division
from domain.events import AnyEvent, CaseId, ClaimId, EventId, LegId, StreamId
from domain.ids import REST_BITS, new_id
from domain.refusals import NotHandledHere
from domain.standing import Standing
from tests.given import CITY, GAOYANG, LIUZHUANG, MONDAY, QI, WANGZHAI, WEISHI, YUWANG, City, office, refused, us

OF_NO_CASE = {events.SealedItem, events.NodeOpened, events.ChildEnrolled, events.UnitOpened, events.HeadsNoted}
OF_NO_CASE |= {events.KeysRotated, events.KeysRevoked, events.NodeMoved, events.EscrowFounded, events.ShardOpened}
MOVES_NOTHING = {events.KeyGranted, events.SealedRead, events.ErasureOrdered, events.HolidaysNoticed}


def a_forgery(author: Division) -> UUID:
    """An id that its author may use, and nothing bears."""
    return new_id(author, us(MONDAY) // 1000, (1 << REST_BITS) - 1)


def a_long_story() -> tuple[City, CaseId]:
    """Village, county, township, which objects in vain and is ordered to hurry; the city takes it over and closes."""
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers(claims=2)
    village.does(
        CorrectRegistration(
            case=case, matter_class="claim_petition", category="010204", issue_region=LIUZHUANG, reason="更正"
        )
    )
    village.hands_over(case, office(QI))
    city.syncs()
    city.at(office(QI)).hands_over(case, office(GAOYANG), MONDAY + timedelta(days=40))
    city.syncs()
    town = city.at(office(GAOYANG))
    town.objects(case)
    city.syncs()
    city.at(office(QI)).rules(case, agreed=False)
    city.syncs()
    town.accepts(case)
    leg = city.leg(case, GAOYANG)
    city.at(office(GAOYANG), "leader").does(Extend(case=case, leg=leg, days=20, reason="复杂"))
    citizen = city.at(office(LIUZHUANG), "citizen")
    citizen.does(AmendClaim(case=case, claim=ClaimId(city.fresh()), change="added", text="还有"))
    citizen.does(AddMaterial(case=case, note="材料"))
    supervisor = city.at(office(QI), "supervisor")
    city.syncs()
    day = MONDAY + timedelta(days=30)
    (order,) = supervisor.does(IssueOrder(case=case, leg=leg, trigger="delay", reply_by=day, demand="尽快"))
    city.syncs()
    town.does(ReplyOrder(case=case, order=events.OrderId(order.id), text="在办"))
    city.syncs()
    supervisor.does(JudgeOrder(case=case, order=events.OrderId(order.id), accepted=False, reply_by=day, comment="再办"))
    city.at(office(CITY), "leader").takes_over(case)
    city.syncs()
    bureau = city.at(office(CITY))
    bureau.accepts(case)
    (opinion,) = bureau.answers(case)
    bureau.serves(case, opinion.id)
    bureau.closes(case)
    citizen.does(Rate(case=case, office="satisfied", unit="satisfied"))
    city.syncs()
    return city, case


def forged(event: AnyEvent, stream: StreamId | None = None) -> AnyEvent:
    """The same said by a stranger, with an id of its own, and further on in the stream than anybody is."""
    id_ = EventId(a_forgery(WEISHI))
    actor = msgspec.structs.replace(event.actor, unit=office(WEISHI))
    return msgspec.structs.replace(event, id=id_, node=WEISHI, actor=actor, stream=stream or event.stream, version=99)


def test_every_event_of_a_case_stands_in_the_table() -> None:
    assert set(AUTHORITY) == set(get_args(AnyEvent)) - OF_NO_CASE - {events.HolidaysNoticed}


def test_whatever_a_stranger_signs_changes_nothing_about_a_case() -> None:
    city, case = a_long_story()
    file = city.file(case)
    kinds = {type(event) for event in city.history}
    assert len(kinds) >= 20
    for event in city.history:
        if type(event) in MOVES_NOTHING:
            continue
        for stream in (event.stream, StreamId(a_forgery(WEISHI))):
            assert evolve(file, forged(event, stream)) is file, event


def test_no_lawful_event_is_without_effect_on_any_node_however_little_it_was_sent() -> None:
    city, case = a_long_story()
    for node in city.nodes.values():
        standing = Standing()
        for event, _ in node.ledger:
            if event.case == case:
                standing, has_effect = judged(standing, event)
                assert has_effect, (node.division, event)


def test_an_event_of_the_node_itself_that_names_a_case_has_no_effect_on_it() -> None:
    city, case = a_long_story()
    file = city.file(case)
    heads = events.HeadsNoted(**{**envelope_of(city.history[0]), "version": 99}, heads=())
    assert evolve(file, heads) is file


def envelope_of(event: AnyEvent) -> dict[str, object]:
    return {name: getattr(event, name) for name in events.Event.__struct_fields__}


def test_a_stranger_cannot_push_a_stream_beyond_what_its_writer_wrote() -> None:
    city, case = a_long_story()
    file = city.file(case)
    material = next(event for event in city.history if isinstance(event, events.MaterialAdded))
    for stream in (case, *file.legs, *file.orders):
        assert evolve(file, forged(material, StreamId(stream))) is file
        newer = events.Unknown(
            tag="leg.heard.v1", body=b"{}", case=case, node=WEISHI, stream=StreamId(stream), version=99
        )
        assert evolve(file, newer) is file


def test_the_petitioner_is_heard_where_the_case_was_registered_or_handled_and_nowhere_else() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    village.hands_over(case, office(GAOYANG))
    city.syncs()
    refused(NotHandledHere, lambda: city.at(office(QI), "clerk").does(Withdraw(case=case, reason="撤")))
    city.at(office(GAOYANG), "clerk").does(Withdraw(case=case, reason="撤"))
    city.syncs()
    assert all(city.file(case, node).withdrawn for node in (CITY, QI, GAOYANG, LIUZHUANG))


def handed_down() -> tuple[City, CaseId]:
    city = City.of()
    case = city.at(office(QI), "clerk").registers()
    city.at(office(QI)).hands_over(case, office(GAOYANG))
    city.syncs()
    return city, case


def test_who_handed_the_matter_on_does_not_go_on_handling_it() -> None:
    city, case = handed_down()
    file = city.file(case)
    first = next(leg for leg in file.legs.values() if leg.node == QI)
    (accepted,) = city.at(office(GAOYANG)).decides(Accept(case=case, leg=city.leg(case)))
    where = {"leg": first.id, "stream": StreamId(first.id), "version": file.version_of(first.id) + 1}
    late = msgspec.structs.replace(accepted, id=EventId(a_forgery(QI)), node=QI, **where)
    assert claims_of(evolve(file, late)) == claims_of(file)


def claims_of(file: CaseFile) -> list[object]:
    return list(file.claims.values())


def test_what_a_holder_did_beyond_what_a_take_over_had_seen_is_without_effect_on_every_node() -> None:
    city, case = handed_down()
    city.cut = {QI}
    town = city.at(office(GAOYANG))
    town.accepts(case)
    town.answers(case)
    city.syncs()
    assert all(claim.answer for claim in city.file(case, QI).living_claims)
    city.at(office(CITY), "leader").takes_over(case)
    city.cut = set()
    city.syncs()
    for node in (CITY, QI, GAOYANG):
        assert not any(claim.answer or claim.accepted for claim in city.file(case, node).living_claims), node
        assert city.file(case, node).papers == {}
    city.at(office(CITY)).accepts(case)


def test_the_petitioners_words_count_on_every_node_where_a_take_over_crossed_with_the_hand_over_there() -> None:
    city, case = handed_down()
    city.cut = {GAOYANG}
    city.at(office(GAOYANG)).hands_over(case, office(LIUZHUANG))
    city.syncs()
    claim = ClaimId(city.fresh())
    city.at(office(LIUZHUANG), "citizen").does(AmendClaim(case=case, claim=claim, change="added", text="还有"))
    city.at(office(CITY), "leader").takes_over(case)
    city.cut = set()
    city.syncs()
    for node in (CITY, QI, GAOYANG, LIUZHUANG):
        assert claim in city.file(case, node).claims, node
        assert city.holder(case, node) == office(CITY)


def test_they_count_also_where_the_matter_was_given_to_another_township_meanwhile() -> None:
    city = City.of()
    case = city.at(office(LIUZHUANG), "clerk").registers()
    city.syncs()
    city.cut = {GAOYANG}
    city.at(office(LIUZHUANG), "clerk").hands_over(case, office(GAOYANG))
    city.syncs()
    claim = ClaimId(city.fresh())
    city.at(office(GAOYANG), "citizen").does(AmendClaim(case=case, claim=claim, change="added", text="还有"))
    city.at(office(QI), "leader").takes_over(case)
    city.syncs()
    city.at(office(QI)).hands_over(case, office(WANGZHAI))
    city.cut = set()
    city.syncs()
    for node in (CITY, QI, YUWANG, WANGZHAI, GAOYANG, LIUZHUANG):
        assert claim in city.file(case, node).claims, node
        assert city.holder(case, node) == office(WANGZHAI), node


@pytest.mark.parametrize("last_log", ["city.example/410223000000/1", "city.example/410221000000/1", "?", ""])
def test_a_take_over_that_names_another_log_than_the_holders_takes_nothing(last_log: str) -> None:
    city, case = handed_down()
    (taken,) = city.at(office(QI), "leader").takes_over(case)
    assert isinstance(taken, events.TakenOver)
    wrong = msgspec.structs.replace(taken, last_log=last_log)
    assert evolve(city.file(case), wrong) is city.file(case)
    assert evolve(city.file(case), taken).accountable == office(QI)


def test_a_take_over_from_below_does_not_take_back_what_was_handed_up_to_somebody_above() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    city.syncs()
    seen = city.file(case, QI)
    village.hands_over(case, office(CITY))
    city.syncs()
    assert city.holder(case) == office(CITY)
    city.node(QI).files[case] = seen  # it says that it had not heard
    city.at(office(QI), "leader").takes_over(case)
    city.node(QI).files[case] = city.file(case)
    city.syncs()
    assert {city.holder(case, node) for node in (CITY, GAOYANG, LIUZHUANG)} == {office(CITY)}


def test_a_leg_that_nobody_gave_is_no_leg() -> None:
    city, case = handed_down()
    file = city.file(case)
    opened = next(event for event in city.history if isinstance(event, events.LegOpened) and event.node == QI)
    invented = LegId(a_forgery(WEISHI))
    for mode in ("registered", "transfer", "taken_over"):
        claimed = msgspec.structs.replace(
            forged(opened, StreamId(invented)), leg=invented, unit=office(WEISHI), mode=mode, version=1
        )
        assert evolve(file, claimed) is file


def test_an_objection_cannot_name_its_own_judge() -> None:
    city, case = handed_down()
    (raised,) = city.at(office(GAOYANG)).objects(case)
    file = city.file(case)
    for wrong in ({"ruler": GAOYANG}, {"sender": office(YUWANG), "ruler": YUWANG}):
        changed = evolve(file, msgspec.structs.replace(raised, **wrong))
        assert not changed.objections
    assert evolve(file, raised).objections


def lapsed_and_closed() -> tuple[City, CaseId, LegId]:
    """The county gave it to the township, which objected in vain silence, and accepted, answered and closed."""
    city, case = handed_down()
    town = city.at(office(GAOYANG))
    town.objects(case)
    city.days_pass(10)
    city.syncs()
    town.accepts(case)
    (opinion,) = town.answers(case)
    town.serves(case, opinion.id)
    town.closes(case)
    city.syncs()
    return city, case, city.leg(case)


def a_ruling(city: City, case: CaseId, leg: LegId, agreed: bool = True) -> events.ObjectionRuled:
    """What the county would sign, whether it may or not, not having seen anything of the leg, so it says."""
    (objection,) = city.file(case).objections
    opened = next(event for event in city.history if isinstance(event, events.LegOpened) and event.node == QI)
    id_ = EventId(city.fresh(QI))
    city.now_us += 1
    return events.ObjectionRuled(
        **envelope_of(opened)
        | {"id": id_, "stream": id_, "version": 1, "occurred_us": city.now_us, "recorded_us": city.now_us},
        objection=objection,
        leg=leg,
        leg_version=0,
        agreed=agreed,
        by="sender",
        holder=office(QI) if agreed else office(GAOYANG),
        next_leg=LegId(city.fresh(QI)) if agreed else None,
    )


def test_a_ruling_after_silence_had_ended_the_objection_reopens_nothing() -> None:
    city, case, leg = lapsed_and_closed()
    late = a_ruling(city, case, leg)
    for node in (CITY, QI, GAOYANG):
        file = evolve(city.file(case, node), late)
        assert (file.is_ended, file.accountable) == (True, office(GAOYANG))
        assert claims_of(file) == claims_of(city.file(case, node))


def test_a_ruling_after_silence_has_no_effect_though_it_was_learned_before_the_silence() -> None:
    city, case, leg = lapsed_and_closed()
    late = a_ruling(city, case, leg)
    place = next(n for n, event in enumerate(city.history) if isinstance(event, events.ObjectionLapsed))
    file: CaseFile | None = None
    for event in (*city.history[:place], late, *city.history[place:]):
        file = evolve(file, event)
    assert file is not None
    assert (file.is_ended, file.accountable) == (True, office(GAOYANG))


def test_an_objection_is_ruled_on_once() -> None:
    city, case = handed_down()
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    city.at(office(QI)).rules(case, agreed=False)
    city.syncs()
    leg = city.leg(case)
    city.at(office(GAOYANG)).accepts(case)
    city.syncs()
    assert evolve(city.file(case), a_ruling(city, case, leg)) is city.file(case)


def test_an_objection_does_not_lapse_the_day_after_so_that_no_ruling_comes_in_time() -> None:
    city, case = handed_down()
    (raised,) = city.at(office(GAOYANG)).objects(case)
    city.syncs()
    lapsed = events.ObjectionLapsed(
        **envelope_of(raised) | {"id": EventId(a_forgery(GAOYANG)), "version": raised.version + 1},
        objection=raised.id,
        leg=city.leg(case),
    )
    file = evolve(city.file(case), lapsed)
    assert file.standing_objection is not None
    assert evolve(file, a_ruling(city, case, city.leg(case))).accountable == office(QI)


def test_a_ruling_has_seen_the_objection_and_what_came_before_it_whatever_it_says() -> None:
    city, case = handed_down()
    town = city.at(office(GAOYANG))
    town.does(Accept(case=case, leg=city.leg(case), kind="procedural"))
    city.syncs()
    file, leg = city.file(case), city.leg(case)
    accepted = next(event for event in city.history if isinstance(event, events.Accepted))
    raised = events.Objected(
        **envelope_of(accepted) | {"id": EventId(city.fresh(GAOYANG)), "version": accepted.version + 1},
        leg=leg,
        proposed=None,
        sender=office(QI),
        ruler=QI,
    )
    file = evolve(file, raised)
    city.node(CITY).files[case] = file
    assert evolve(file, a_ruling(city, case, leg)).papers == file.papers


def test_a_take_over_has_seen_what_stands_in_the_log_that_it_names_whatever_version_it_says() -> None:
    city, case = handed_down()
    city.at(office(GAOYANG)).accepts(case)
    city.syncs()
    file: CaseFile | None = None
    for seq, event in enumerate(city.history):
        file = evolve(file, event, seq)
    assert file is not None
    (taken,) = city.at(office(CITY), "leader").takes_over(case)
    assert isinstance(taken, events.TakenOver)
    for size, is_lost in ((len(city.history), False), (0, True)):
        lying = msgspec.structs.replace(taken, leg_version=0, last_size=size)
        after = evolve(file, lying)
        assert after.accountable == office(CITY)
        assert (after.papers == {}) == is_lost


def test_a_version_that_was_told_before_has_no_effect_when_told_otherwise() -> None:
    city, case = handed_down()
    town, leg = city.at(office(GAOYANG)), city.leg(case)
    town.accepts(case)
    city.syncs()
    city.at(office(CITY), "leader").takes_over(case)
    city.syncs()
    file = city.file(case)
    closed = events.Closed(
        **envelope_of(next(event for event in city.history if isinstance(event, events.Accepted)))
        | {"id": EventId(a_forgery(GAOYANG)), "version": 1},
        leg=leg,
        ending="opinion",
        claims=tuple(file.claims),
    )
    _, is_lawful = judged(file.standing, closed)
    assert not is_lawful
    assert evolve(file, closed) is file


def test_a_claim_counts_though_what_came_after_it_in_its_stream_was_heard_first() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers(claims=2)
    first, _ = city.file(case, LIUZHUANG).claims
    village.does(AmendClaim(case=case, claim=ClaimId(UUID(int=7)), change="added", text="再加一项"))
    village.does(AmendClaim(case=case, claim=first, change="dropped", text="不再要求"))
    *before, added, dropped = [event for event in city.history if event.case == case]
    assert (added.change, dropped.change) == ("added", "dropped")  # type: ignore[union-attr]

    file: CaseFile | None = None
    for event in (*before, dropped, added):
        assert has_effect(file, event)
        file = evolve(file, event)
    assert file is not None
    assert [claim.id for claim in file.living_claims] == [
        claim.id for claim in city.file(case, LIUZHUANG).living_claims
    ]
    for event in (added, dropped):
        assert not has_effect(file, event), "but not a second time"


@given(st.permutations(range(1, 9)))
def test_of_versions_told_in_any_order_exactly_those_count_as_told(order: list[int]) -> None:
    standing, stream = Standing(), StreamId(UUID(int=1))
    for at, version in enumerate(order):
        assert not standing.was_told(stream, version)
        standing = standing.told(stream, version)
        assert [one for one in range(1, 10) if standing.was_told(stream, one)] == sorted(order[: at + 1])
    assert standing.version_of(stream) == 8
    assert standing.passed.get(stream, ()) == ()


def an_order(city: City, case: CaseId) -> events.OrderIssued:
    supervisor = city.at(office(QI), "supervisor")
    (order,) = supervisor.does(
        IssueOrder(case=case, leg=city.leg(case), trigger="delay", reply_by=MONDAY + timedelta(days=9), demand="办")
    )
    assert isinstance(order, events.OrderIssued)
    city.syncs()
    return order


def test_an_erasure_that_bears_the_id_of_a_superiors_order_takes_its_stream_from_nobody() -> None:
    city, case = handed_down()
    order = an_order(city, case)
    town = city.at(office(GAOYANG))
    (reply,) = town.does(ReplyOrder(case=case, order=order.order, text="在办"))
    stream = a_forgery(GAOYANG)
    lie = events.ErasureOrdered(
        **envelope_of(reply) | {"id": EventId(stream), "stream": StreamId(stream), "version": 1},
        erasure=order.order,
        subject="00" * 16,
        ground="retention_ended",
    )
    city.node(GAOYANG).learns(lie)
    city.syncs()
    assert lie.erasure not in city.file(case).erasures
    judge = JudgeOrder(case=case, order=order.order, accepted=True, reply_by=None, comment="可")
    city.at(office(QI), "supervisor").does(judge)
    city.syncs()
    assert all(city.file(case, node).orders[order.order].judged for node in (CITY, QI, GAOYANG))


def test_a_hand_over_to_an_id_that_something_else_bears_gives_nobody_that_stream() -> None:
    city, case = handed_down()
    order = an_order(city, case)
    handed = next(event for event in city.history if isinstance(event, events.HandedOver))
    (opened,) = (one for one in city.history if isinstance(one, events.LegOpened) and one.node == GAOYANG)
    for taken in (order.order, city.file(case).standing.path[0]):
        lie = msgspec.structs.replace(
            handed,
            **{name: getattr(opened, name) for name in ("node", "actor", "stream", "leg")},
            id=EventId(a_forgery(GAOYANG)),
            version=city.file(case).version_of(opened.leg) + 1,
            to=office(LIUZHUANG),
            next_leg=LegId(taken),
        )
        after = evolve(city.file(case), lie)
        assert after.legs == city.file(case).legs
        assert after.version_of(taken) == city.file(case).version_of(taken)


def test_only_who_wrote_a_paper_serves_it() -> None:
    city = City.of()
    village = city.at(office(LIUZHUANG), "clerk")
    case = village.registers()
    first = city.leg(case, LIUZHUANG)
    village.hands_over(case, office(GAOYANG))
    city.syncs()
    town = city.at(office(GAOYANG))
    (paper,) = town.accepts(case)
    city.syncs()
    town.serves(case, paper.id)
    true = city.history[-1]
    assert isinstance(true, events.Served)
    early = msgspec.structs.replace(
        true,
        id=EventId(a_forgery(LIUZHUANG)),
        node=LIUZHUANG,
        stream=StreamId(first),
        leg=first,
        version=city.file(case).version_of(first) + 1,
        served_on=MONDAY - timedelta(days=20),
    )
    file = evolve(city.file(case), early)
    assert not file.served
    assert evolve(file, true).served == {paper.id: true}


def first_words_of_a_stranger(registered: events.Registered, leg: LegId) -> list[AnyEvent]:
    """Whoever has seen a receipt knows the id of a case that its superiors have not heard of yet."""
    registering = forged(registered)
    own = new_id(WEISHI, us(MONDAY) // 1000, 77)
    numbers = iter(range(100))

    def told(shape: Any, stream: UUID, **fields: object) -> Any:
        id_ = new_id(WEISHI, us(MONDAY) // 1000, 1_000 + next(numbers))
        opening = envelope_of(registering) | {"id": id_, "stream": stream, "version": 1}
        return shape(**opening | fields)

    registering = msgspec.structs.replace(registering, version=1, unit=office(WEISHI))
    opened = {"unit": office(WEISHI), "from_leg": None, "sender": None, "report_by": None}
    moved = opened | {"from_leg": new_id(WEISHI, 1, 1), "mode": "transfer"}
    matter = {"matter_class": "suggestion", "category": "020000", "issue_region": WEISHI}
    return [
        registering,
        msgspec.structs.replace(registering, id=EventId(registered.id)),
        msgspec.structs.replace(registering, id=EventId(own), stream=StreamId(own)),
        told(events.RegistrationCorrected, registered.stream, **matter),
        told(events.RegistrationCorrected, own, **matter),
        told(events.LegOpened, own, leg=own, mode="registered", **opened),
        told(events.LegOpened, own, leg=own, **moved),
        told(events.LegOpened, leg, leg=leg, mode="registered", **opened),
        told(events.Accepted, own, leg=own, kind="substantive", number="伪", claims=registered.claims),
        told(events.HandedOver, own, leg=own, to=office(WEISHI), mode="transfer", next_leg=leg, report_by=None),
        told(events.Withdrawn, new_id(WEISHI, 1, 2)),
        told(events.ErasureOrdered, leg, erasure=leg, subject="00" * 16, ground="retention_ended"),
    ]


def test_a_stranger_who_registers_another_nodes_id_first_gains_nothing_whichever_was_learned_first() -> None:
    city, case = a_long_story()
    true = city.history
    registered = true[0]
    assert isinstance(registered, events.Registered)
    lies = first_words_of_a_stranger(registered, city.file(case).standing.path[0])
    after = folded(true)
    for place in range(len(true) + 1):
        assert folded([*true[:place], *lies, *true[place:]]) == after, place
    for lie in lies:
        assert effects([(event, None) for event in (lie, *true)])[1:] == effects([(event, None) for event in true])
        assert not effects([(lie, None), *((event, None) for event in true)])[0]


def folded(told: list[AnyEvent]) -> CaseFile:
    file: CaseFile | None = None
    for event in told:
        file = evolve(file, event)
    assert file is not None
    return file


def test_a_hand_over_a_ruling_and_a_take_over_name_no_leg_of_another_nodes_making() -> None:
    city, case = handed_down()
    (handed,) = city.at(office(GAOYANG)).hands_over(case, office(LIUZHUANG))
    file = city.file(case)
    assert evolve(file, handed).legs != file.legs
    squatted = LegId(new_id(QI, us(MONDAY) // 1000, 99))
    assert evolve(file, msgspec.structs.replace(handed, next_leg=squatted)).legs == file.legs

    city, case = handed_down()
    city.at(office(GAOYANG)).objects(case)
    city.syncs()
    file, ruling = city.file(case), a_ruling(city, case, city.leg(case))
    assert evolve(file, ruling).legs != file.legs
    assert evolve(file, msgspec.structs.replace(ruling, next_leg=squatted)).legs != file.legs
    foreign = LegId(new_id(CITY, us(MONDAY) // 1000, 99))
    assert evolve(file, msgspec.structs.replace(ruling, next_leg=foreign)) is file
    (taken,) = city.at(office(CITY), "leader").takes_over(case)
    assert evolve(file, msgspec.structs.replace(taken, next_leg=squatted)) is file


def test_an_event_under_the_id_of_another_node_has_no_effect() -> None:
    city, _ = a_long_story()
    for place, event in enumerate(city.history):
        file = folded(city.history[:place]) if place else None
        stolen = msgspec.structs.replace(event, id=EventId(new_id(WEISHI, us(MONDAY) // 1000, 5)))
        assert not has_effect(file, stolen), event


def test_an_id_that_its_own_maker_gives_twice_counts_the_first_time() -> None:
    city, case = handed_down()
    order = an_order(city, case)
    (raised,) = city.at(office(GAOYANG)).objects(case)
    city.syncs()
    file = city.file(case)
    again = msgspec.structs.replace(a_ruling(city, case, city.leg(case)), next_leg=LegId(order.order))
    assert isinstance(raised, events.Objected)
    assert evolve(file, again) is file
