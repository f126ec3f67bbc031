"""Cases that change hands between villages: the county sends down what each needs, and nothing to anybody else."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import date
from uuid import UUID

import pytest

from domain.case import evolve
from domain.divisions import Division
from domain.events import (
    Accepted,
    ClaimId,
    ErasureConfirmed,
    ErasureOrdered,
    EventId,
    Grant,
    HandedOver,
    KeyGranted,
    LegId,
    LegOpened,
    MaterialAdded,
    Registered,
    Sealed,
    SealedItem,
    decode,
    encode,
)
from domain.ids import new_id
from domain.keys import new_subject
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange import dispatch
from sync.exchange.channel import down_lane
from sync.exchange.wire import Letter, decode_record
from sync.sealed.sealing import digest_text
from tests.sync.hierarchy import (
    COUNTY,
    NEIGHBOUR,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    TOWNSHIP,
    VILLAGE,
    Hierarchy,
    Node,
    Tampering,
    hierarchy,
)

CASE, FIRST, SECOND, FOURTH = (new_id(VILLAGE, 1, number) for number in (100, 101, 102, 104))
THIRD = new_id(OTHER_TOWNSHIP, 1, 103)
SECRET = b"sealed words of a citizen" * 100
WRAPPED = b"k" * 80
SUBJECT = new_subject(VILLAGE, bytes(10))


@pytest.fixture
def nodes(postgres: PostgresServer) -> Iterator[Hierarchy]:
    divisions = (COUNTY, TOWNSHIP, OTHER_TOWNSHIP, VILLAGE, NEIGHBOUR, OTHER_VILLAGE)
    with hierarchy(postgres, "dispatch", *divisions) as built:
        built.settle()
        yield built


def digest(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def register(village: Node) -> Registered:
    sealed = Sealed(subject=SUBJECT, fields={"body": digest(b"x")}, ciphertext=digest(SECRET))
    registered = village.say(
        Registered,
        CASE,
        id=EventId(CASE),
        parts=[SECRET],
        sealed=(sealed,),
        number="1",
        channel="visit",
        matter_class="claim_petition",
        category="010203",
        issue_region=village.division,
        received_on=date(2026, 1, 1),
        person_count=1,
        unit=f"{village.division}.office",
        claims=(ClaimId(UUID(int=1)),),
    )
    assert isinstance(registered, Registered)
    open_leg(village, FIRST, None, None)
    return registered


def open_leg(node: Node, leg: UUID, from_leg: UUID | None, sender: Division | None) -> None:
    node.say(
        LegOpened,
        CASE,
        leg,
        leg=LegId(leg),
        unit=f"{node.division}.office",
        mode="registered" if from_leg is None else "transfer",
        from_leg=from_leg,
        sender=None if sender is None else f"{sender}.office",
        report_by=None,
    )


def hand_over(node: Node, leg: UUID, to: Division, next_leg: UUID) -> None:
    grants = (Grant(custodian=to, recipient_key="0" * 32, wrapped=digest_text(WRAPPED), purpose="handle"),)
    stream = node.chance.id_by(node.division)
    node.say(KeyGranted, CASE, stream, parts=[WRAPPED], subject=SUBJECT, grants=grants)
    node.say(
        HandedOver,
        CASE,
        leg,
        leg=LegId(leg),
        to=f"{to}.office",
        mode="transfer",
        next_leg=LegId(next_leg),
        report_by=None,
    )


def topics(node: Node) -> list[str]:
    """What a node knows of the case, in the order learned."""
    return [row.topic for row in node.ledger() if row.case_id == CASE]


def parts(node: Node) -> list[bytes]:
    return [bytes(body) for (body,) in node.query("select body from beside order by log_id, seq, part")]


def test_a_case_that_is_handed_over_brings_its_file_keys_and_sealed_words(nodes: Hierarchy) -> None:
    village, receiver = nodes[VILLAGE], nodes[OTHER_TOWNSHIP]
    registered = register(village)
    hand_over(village, FIRST, OTHER_TOWNSHIP, SECOND)

    nodes.settle()

    file = ["case.registered.v0", "leg.opened.v0", "key.granted.v0", "leg.handed_over.v0"]
    assert sorted(topics(receiver)) == sorted(file)
    assert topics(receiver)[-1] == "leg.handed_over.v0"
    assert encode(registered) in [row.body for row in receiver.ledger() if row.via == 2]
    assert parts(receiver) == [SECRET, WRAPPED]
    assert receiver.faults() == {}
    assert topics(nodes[NEIGHBOUR]) == topics(nodes[OTHER_VILLAGE]) == []


def test_a_hand_over_without_effect_sends_the_file_to_nobody(nodes: Hierarchy) -> None:
    village = nodes[VILLAGE]
    register(village)
    hand_over(village, FIRST, OTHER_TOWNSHIP, SECOND)
    nodes.settle()
    again = {"leg": LegId(FIRST), "to": f"{OTHER_VILLAGE}.office", "mode": "transfer", "next_leg": LegId(FOURTH)}
    said = village.say(HandedOver, CASE, FIRST, **again, report_by=None)

    nodes.settle()

    assert topics(nodes[OTHER_VILLAGE]) == topics(nodes[NEIGHBOUR]) == []
    assert encode(said) in [row.body for row in nodes[COUNTY].ledger()]


def test_no_more_events_are_held_than_may_be_and_what_is_sent_does_not_depend_on_it(
    nodes: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "EVENTS_HELD", 2)
    register(nodes[VILLAGE])
    nodes.settle()
    hand_over(nodes[VILLAGE], FIRST, OTHER_TOWNSHIP, SECOND)
    nodes.settle()

    assert len(topics(nodes[OTHER_TOWNSHIP])) == 4
    assert all(node.exchange._dispatch._folded.total() <= 2 for node in nodes.nodes.values())


def test_a_file_that_came_from_above_goes_further_down_with_its_first_proofs(nodes: Hierarchy) -> None:
    register(nodes[VILLAGE])
    hand_over(nodes[VILLAGE], FIRST, OTHER_TOWNSHIP, SECOND)
    nodes.settle()
    open_leg(nodes[OTHER_TOWNSHIP], SECOND, FIRST, VILLAGE)
    hand_over(nodes[OTHER_TOWNSHIP], SECOND, OTHER_VILLAGE, THIRD)

    nodes.settle()

    last = nodes[OTHER_VILLAGE]
    assert sorted(topics(last)) == sorted(topics(nodes[OTHER_TOWNSHIP]))
    assert {row.via for row in last.ledger() if row.case_id == CASE} == {2}
    assert SECRET in parts(last)
    assert last.faults() == {}


def test_what_crossed_with_a_hand_over_above_reaches_the_new_holder_all_the_same(nodes: Hierarchy) -> None:
    village, township, county = nodes[VILLAGE], nodes[TOWNSHIP], nodes[COUNTY]
    register(village)
    hand_over(village, FIRST, COUNTY, SECOND)
    nodes.settle()
    open_leg(county, SECOND, FIRST, VILLAGE)
    hand_over(county, SECOND, NEIGHBOUR, new_id(COUNTY, 1, 105))

    material = village.say(
        MaterialAdded, CASE, material=village.chance.id_by(VILLAGE), digest=None, size_bytes=0, cause=()
    )
    while encode(material) not in township.log(village.origin):
        village.exchange.pump_seal()
        village.exchange.pump_up()
        township.exchange.pump_inbox()
    township.exchange.pump_dispatch()  # not knowing yet who has the matter now
    nodes.settle()

    assert encode(material) in nodes[NEIGHBOUR].log(village.origin)
    assert "leg.handed_over.v0" in topics(nodes[NEIGHBOUR])


def give_key(node: Node, *to: Division) -> KeyGranted:
    grants = tuple(
        Grant(custodian=one, recipient_key="0" * 32, wrapped=digest_text(WRAPPED), purpose="handle") for one in to
    )
    stream = node.chance.id_by(node.division)
    given = node.say(KeyGranted, CASE, stream, parts=[WRAPPED] * len(to), subject=SUBJECT, grants=grants)
    assert isinstance(given, KeyGranted)
    return given


def custodians(node: Node) -> set[Division]:
    """Who holds the key, as far as the node knows: whoever would have to sign an erasure."""
    file = None
    for row in node.ledger():
        if row.case_id == CASE:
            file = evolve(file, decode(row.body))
    assert file is not None
    return set(file.custodians(SUBJECT))


def test_every_custodian_of_a_key_knows_every_other(nodes: Hierarchy) -> None:
    register(nodes[VILLAGE])
    give_key(nodes[VILLAGE], VILLAGE)
    give_key(nodes[VILLAGE], OTHER_TOWNSHIP)
    nodes.settle()
    give_key(nodes[OTHER_TOWNSHIP], OTHER_VILLAGE)
    give_key(nodes[OTHER_TOWNSHIP], NEIGHBOUR)  # whose own superior has the first grants from its other child
    nodes.settle()
    holding = {VILLAGE, OTHER_TOWNSHIP, OTHER_VILLAGE, NEIGHBOUR}
    assert {division: custodians(nodes[division]) for division in holding} == dict.fromkeys(holding, holding)


def test_two_who_give_a_key_on_at_the_same_time_learn_of_each_others_custodians(nodes: Hierarchy) -> None:
    register(nodes[VILLAGE])
    give_key(nodes[VILLAGE], VILLAGE)
    give_key(nodes[VILLAGE], OTHER_TOWNSHIP)
    nodes.settle()
    give_key(nodes[VILLAGE], NEIGHBOUR)
    give_key(nodes[OTHER_TOWNSHIP], OTHER_VILLAGE)
    nodes.settle()
    holding = {VILLAGE, OTHER_TOWNSHIP, OTHER_VILLAGE, NEIGHBOUR}
    assert {division: custodians(nodes[division]) for division in holding} == dict.fromkeys(holding, holding)


def test_who_is_given_a_key_after_its_erasure_learns_of_the_erasure(nodes: Hierarchy) -> None:
    register(nodes[VILLAGE])
    give_key(nodes[VILLAGE], VILLAGE)
    give_key(nodes[VILLAGE], OTHER_TOWNSHIP)
    nodes.settle()
    erasure, village = new_id(VILLAGE, 1, 200), nodes[VILLAGE]
    ordered = {"id": EventId(erasure), "erasure": erasure, "subject": SUBJECT, "ground": "subject_request"}
    village.say(ErasureOrdered, CASE, erasure, **ordered)
    agreed = {"erasure": erasure, "subject": SUBJECT, "custodians": (VILLAGE, OTHER_TOWNSHIP)}
    village.say(ErasureConfirmed, CASE, erasure, **agreed)
    give_key(nodes[OTHER_TOWNSHIP], OTHER_VILLAGE)  # it has not heard of it yet
    nodes.settle()
    for division in (OTHER_TOWNSHIP, OTHER_VILLAGE):
        assert set(topics(nodes[division])) >= {"erasure.ordered.v0", "erasure.confirmed.v0"}, division
    assert OTHER_VILLAGE in custodians(village)


def test_what_the_holder_does_comes_back_to_the_node_where_the_case_was_filed(nodes: Hierarchy) -> None:
    register(nodes[VILLAGE])
    hand_over(nodes[VILLAGE], FIRST, OTHER_TOWNSHIP, SECOND)
    nodes.settle()
    holder = nodes[OTHER_TOWNSHIP]
    open_leg(holder, SECOND, FIRST, VILLAGE)
    holder.say(
        Accepted, CASE, SECOND, leg=LegId(SECOND), kind="substantive", number="2", claims=(ClaimId(UUID(int=1)),)
    )

    nodes.settle()

    assert topics(nodes[VILLAGE])[-2:] == ["leg.opened.v0", "leg.accepted.v0"]
    assert topics(nodes[NEIGHBOUR]) == []
    # What came from above is never sent up: the county has each leaf once, from its author's lane.
    assert nodes[COUNTY].query("select count(*) from ledger where via = 2") == [(0,)]


def test_a_letter_of_unnamed_kind_goes_up_and_never_down(nodes: Hierarchy) -> None:
    item = b"padded" * 1_000
    nodes[VILLAGE].say(SealedItem, item=UUID(int=9), parts=[item], ciphertext=digest(item))

    nodes.settle()

    assert item in parts(nodes[COUNTY])
    for division in (NEIGHBOUR, OTHER_TOWNSHIP, OTHER_VILLAGE):
        assert nodes[division].query("select count(*) from ledger where topic = 'sealed.item.v0'") == [(0,)]


def test_a_part_that_is_not_what_the_event_says_is_named_and_stops_nothing(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.above = Tampering(village.channel, lambda _, record: [record.replace(SECRET, SECRET[::-1])])
    village.crash()
    village.start()
    register(village)

    nodes.heal(lambda: village.secured() == village.size())

    assert parts(township) == []
    assert township.faults() == {"part_missing": f"{village.origin}#1.0"}


def test_a_part_that_was_altered_on_its_way_is_asked_for_and_comes_whole(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    spoils = [True]

    def spoil(_: str, record: bytes) -> list[bytes]:
        return [record.replace(SECRET, SECRET[::-1]) if SECRET in record and spoils and spoils.pop() else record]

    village.above = Tampering(village.channel, spoil)
    village.crash()
    village.start()
    register(village)

    nodes.heal(lambda: village.secured() == village.size())

    assert not spoils
    assert parts(township) == parts(nodes[COUNTY]) == [SECRET]
    assert township.faults() == nodes[COUNTY].faults() == {}


def test_a_number_that_was_lost_on_its_way_down_is_asked_for(nodes: Hierarchy) -> None:
    county, receiver = nodes[COUNTY], nodes[OTHER_TOWNSHIP]
    losses = [True]

    def lose(lane: str, record: bytes) -> list[bytes]:
        is_down = lane == down_lane(OTHER_TOWNSHIP) and isinstance(decode_record(record), Letter)
        return [] if is_down and losses and losses.pop() else [record]

    county.below = Tampering(county.channel, lose)
    county.crash()
    county.start()
    register(nodes[VILLAGE])
    hand_over(nodes[VILLAGE], FIRST, OTHER_TOWNSHIP, SECOND)
    nodes.settle()
    receiver.chat(1)

    nodes.heal(lambda: "leg.handed_over.v0" in topics(receiver) and receiver.secured() == receiver.size(), waits=5)

    assert not losses
    assert receiver.query(
        "select notification_id from tracking where application_name = 'exchange.down'"
    ) == county.query("select down_acked from child where division = %s", (OTHER_TOWNSHIP,))


def test_an_answer_waits_for_its_question_at_every_tier(nodes: Hierarchy) -> None:
    village, neighbour, township, county = nodes[VILLAGE], nodes[NEIGHBOUR], nodes[TOWNSHIP], nodes[COUNTY]
    losing: list[bool] = []

    def lose(_: str, record: bytes) -> list[bytes]:
        read = decode_record(record)
        return [] if losing and getattr(read, "log", "") == village.origin else [record]

    township.above = Tampering(township.channel, lose)
    township.crash()
    township.start()
    question = register(village)
    losing.append(True)
    nodes.settle()
    neighbour.chat(1, cause=(village.cause(question),))
    nodes.settle()

    assert county.faults()["waits"] == neighbour.origin
    assert county.log(neighbour.origin) != neighbour.log(neighbour.origin)
    losing.clear()
    nodes.heal(lambda: county.log(neighbour.origin) == neighbour.log(neighbour.origin))

    learned = [row.body for row in county.ledger()]
    answer = neighbour.log(neighbour.origin)[-1]
    assert learned.index(encode(question)) < learned.index(answer)
    assert county.faults() == {}


@pytest.mark.parametrize("dies", ["dies_before_commit", "dies_after_commit"])
def test_whichever_step_dies_on_the_way_down_everything_arrives_once(nodes: Hierarchy, dies: str) -> None:
    register(nodes[VILLAGE])
    hand_over(nodes[VILLAGE], FIRST, OTHER_TOWNSHIP, SECOND)
    for turn in range(30):
        dying = (COUNTY, OTHER_TOWNSHIP, TOWNSHIP)[turn % 3]
        setattr(nodes[dying].store, dies, True)
        for node in nodes.nodes.values():
            node.step()

    nodes.heal(nodes.all_secured)

    file = ["case.registered.v0", "leg.opened.v0", "key.granted.v0", "leg.handed_over.v0"]
    assert sorted(topics(nodes[OTHER_TOWNSHIP])) == sorted(file)
    assert all(node.faults() == {} for node in nodes.nodes.values())
