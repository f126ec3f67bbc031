"""The tree of superiors changes under open cases: nothing is lost or doubled, and who is gone has no say any more."""

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from uuid import UUID

import msgspec
import pytest

from domain.divisions import Division
from domain.events import (
    CaseId,
    ClaimId,
    EventId,
    HandedOver,
    KeysRevoked,
    LegId,
    LegOpened,
    MaterialAdded,
    NodeMoved,
    OrderIssued,
    Registered,
    encode,
)
from domain.ids import new_id
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.acts import CertificateKept
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.leaf import read_leaf
from sync.ledger.append import Append
from sync.trust.certificates import CertificateRefused
from sync.trust.granting import move
from sync.trust.statements import read_certificate
from tests.domain.examples import examples
from tests.sync.hierarchy import (
    COUNTY,
    NEIGHBOUR,
    OTHER_TOWNSHIP,
    TOWNSHIP,
    VILLAGE,
    YEARS_US,
    Hierarchy,
    Node,
    hierarchy,
    new_event,
)

_numbers = itertools.count(1)


@pytest.fixture
def tree(postgres: PostgresServer) -> Iterator[Hierarchy]:
    """A county, two townships and two villages below the first; the other township has a channel of its own."""
    built = hierarchy(postgres, "moving", COUNTY, TOWNSHIP, OTHER_TOWNSHIP, VILLAGE, NEIGHBOUR)
    assert isinstance(built, Hierarchy)
    name = f"moving_channel_{next(_numbers)}"
    postgres.create_database(name)
    channel = PostgresChannel(postgres.dsn(name))
    built[OTHER_TOWNSHIP].below = channel
    with built:
        built.settle()
        yield built
    channel.close()


def register(node: Node, number: int) -> tuple[UUID, UUID]:
    """A case and its first leg, held by this node."""
    case, leg = (new_id(node.division, 1, 100 * number + one) for one in (0, 1))
    office = f"{node.division}.office"
    facts = {"number": str(number), "channel": "visit", "matter_class": "claim_petition", "category": "010203"}
    facts |= {"issue_region": node.division, "received_on": date(2026, 1, 1), "person_count": 1, "unit": office}
    node.say(Registered, case, id=EventId(case), claims=(ClaimId(UUID(int=number)),), **facts)
    opens(node, case, leg, None, None)
    return case, leg


def opens(node: Node, case: UUID, leg: UUID, from_leg: UUID | None, sender: Division | None) -> None:
    node.say(
        LegOpened,
        case,
        leg,
        leg=LegId(leg),
        unit=f"{node.division}.office",
        mode="registered" if from_leg is None else "transfer",
        from_leg=from_leg,
        sender=None if sender is None else f"{sender}.office",
        report_by=None,
    )


def hands_over(node: Node, case: UUID, leg: UUID, to: Division) -> UUID:
    """The next leg."""
    next_leg = new_id(node.division, 1, 9_000 + next(_numbers))
    fields = {"leg": LegId(leg), "to": f"{to}.office", "mode": "transfer", "next_leg": LegId(next_leg)}
    node.say(HandedOver, case, leg, **fields, report_by=None)
    return next_leg


def recording(node: Node, division: Division, parent: Division) -> Callable[[str], str]:
    def record(text: str) -> str:
        envelope = node.envelope(node.chance.id_by(node.division), None)
        event = NodeMoved(**envelope, division=division, name=division, parent=parent, certificate=text)
        node.writer.append(Append([new_event(event)], beside=[CertificateKept(text)])).result()
        return text

    return record


def moves(tree: Hierarchy, village: Node, to: Division) -> None:
    """The county says so; the village is handed its certificate and reads from its new superior's channel."""
    county, valid_to_us = tree[COUNTY], tree.clock.at_us + YEARS_US
    given = county.exchange.move(village.division, to, valid_to_us, recording(county, village.division, to))
    village.certificates, village.parent, village.above = given.certificates, tree[to], tree[to].below
    village.crash()
    village.start()


def known_of(node: Node, case: UUID) -> list[str]:
    return sorted(row.topic for row in node.ledger() if row.case_id == CaseId(case))


def is_well(tree: Hierarchy) -> bool:
    return {node.division: node.faults() for node in tree.nodes.values() if node.faults()} == {}


def test_a_village_moves_with_open_cases_and_unsent_events_and_nothing_is_lost_or_doubled(tree: Hierarchy) -> None:
    county, before, after, village = (tree[code] for code in (COUNTY, TOWNSHIP, OTHER_TOWNSHIP, VILLAGE))
    mine, _ = register(village, 1)
    tree.settle()
    tree.nodes.pop(VILLAGE)
    theirs, leg = register(before, 2)
    next_leg = hands_over(before, theirs, leg, VILLAGE)
    tree.settle()  # the hand-over lies in the old lane, and nobody reads it there any more
    village.say(MaterialAdded, mine, material=village.chance.id_by(VILLAGE), digest=None, size_bytes=0)
    village.chat(3)
    tree.nodes[VILLAGE] = village
    moves(tree, village, OTHER_TOWNSHIP)
    for node in tree.nodes.values():
        node.chat(1)
    tree.heal(tree.all_secured)
    assert known_of(village, theirs) == ["case.registered.v0", "leg.handed_over.v0", "leg.opened.v0"]
    opens(village, theirs, next_leg, leg, TOWNSHIP)
    tree.heal(tree.all_secured)
    for node in (county, after):
        assert node.log(village.origin) == village.log(village.origin)
        assert known_of(node, mine) == known_of(village, mine)
        assert known_of(node, theirs) == known_of(village, theirs)
    assert known_of(before, theirs) == known_of(village, theirs), "who gave the matter away learns who has it"
    assert {node.exchange.trust.directory.topology.parents[VILLAGE] for node in tree.nodes.values()} == {OTHER_TOWNSHIP}
    assert before.exchange.children == [NEIGHBOUR]
    assert is_well(tree)


def test_a_directive_of_the_former_superior_that_comes_late_reaches_the_village_where_it_stands_now(
    tree: Hierarchy,
) -> None:
    before, village = tree[TOWNSHIP], tree[VILLAGE]
    tree.settle()
    case, leg = register(before, 3)
    tree.nodes.pop(TOWNSHIP)
    moves(tree, village, OTHER_TOWNSHIP)
    tree.settle()
    hands_over(before, case, leg, VILLAGE)  # not knowing yet that it stands elsewhere
    tree.nodes[TOWNSHIP] = before
    tree.heal(tree.all_secured)
    assert "leg.handed_over.v0" in known_of(village, case)
    assert is_well(tree)


def test_an_abolished_township_s_villages_go_to_another_and_its_late_writes_are_evidence_without_effect(
    tree: Hierarchy,
) -> None:
    county, gone = tree[COUNTY], tree[TOWNSHIP]
    case, _ = register(gone, 4)
    tree.settle()
    for division in (VILLAGE, NEIGHBOUR):
        tree[division].chat(2)
        moves(tree, tree[division], OTHER_TOWNSHIP)
    tree.heal(tree.all_secured)

    def record(text: str) -> str:
        envelope = county.envelope(county.chance.id_by(COUNTY), None)
        event = KeysRevoked(**envelope, division=TOWNSHIP, revocation=text)
        county.writer.append(Append([new_event(event)], beside=[CertificateKept(text)])).result()
        return text

    held = county.log(gone.origin)
    county.exchange.take_back(TOWNSHIP, "abolished", OTHER_TOWNSHIP, None, record)
    late = gone.say(MaterialAdded, case, material=gone.chance.id_by(TOWNSHIP), digest=None, size_bytes=0)
    for division in (VILLAGE, NEIGHBOUR, OTHER_TOWNSHIP):
        tree[division].chat(2)
    tree.heal(lambda: all(tree[code].secured() == tree[code].size() for code in (VILLAGE, NEIGHBOUR, OTHER_TOWNSHIP)))
    assert county.faults() == {"key_revoked": gone.origin, "letter_forged": f"up.{TOWNSHIP}"}
    ((evidence,),) = county.query("select evidence from fault where kind = 'key_revoked'")
    assert encode(late) in bytes(evidence), "kept, and of no effect"
    assert county.log(gone.origin) == held
    for code in (VILLAGE, NEIGHBOUR):
        for node in (county, tree[OTHER_TOWNSHIP]):
            assert node.log(tree[code].origin) == tree[code].log(tree[code].origin)
        assert tree[code].faults() == {}


def test_only_who_stands_above_both_places_moves_a_division(tree: Hierarchy) -> None:
    directory = tree[COUNTY].exchange.trust.directory
    until_us = tree.clock.at_us + YEARS_US
    for signer in (tree[TOWNSHIP], tree[OTHER_TOWNSHIP], tree[VILLAGE]):
        with pytest.raises(CertificateRefused):
            move(VILLAGE, OTHER_TOWNSHIP, signer.signer, directory, tree.clock.at_us, until_us)
    with pytest.raises(CertificateRefused):
        move(TOWNSHIP, VILLAGE, tree[COUNTY].signer, directory, tree.clock.at_us, until_us)
    text = move(VILLAGE, OTHER_TOWNSHIP, tree[COUNTY].signer, directory, tree.clock.at_us, until_us)
    assert read_certificate(text).serial == 2
    moved = directory.adding(text)
    assert moved.stood_below(VILLAGE, TOWNSHIP, tree.clock.at_us)
    assert not moved.stood_below(VILLAGE, TOWNSHIP, tree.clock.at_us + 3_600_000_000)
    assert moved.stood_below(VILLAGE, OTHER_TOWNSHIP, tree.clock.at_us + 3_600_000_000)


def test_an_order_is_judged_by_who_stood_above_the_village_when_it_was_recorded(tree: Hierarchy) -> None:
    township, county = tree[TOWNSHIP], tree[COUNTY]
    directory = county.exchange.trust.directory
    now_us = tree.clock.at_us
    text = move(VILLAGE, OTHER_TOWNSHIP, county.signer, directory, now_us, now_us + YEARS_US)
    moved = directory.adding(text)
    order = next(event for event in examples() if isinstance(event, OrderIssued))
    actor = msgspec.structs.replace(order.actor, unit=f"{TOWNSHIP}.office")
    order = msgspec.structs.replace(order, node=TOWNSHIP, actor=actor, unit=f"{VILLAGE}.office", cause=())
    for recorded_us, fault in ((now_us, None), (now_us + 3_600_000_000, f"{TOWNSHIP} is no superior of {VILLAGE}")):
        body = encode(msgspec.structs.replace(order, recorded_us=recorded_us, occurred_us=recorded_us))
        assert read_leaf(body, township.origin, moved).fault == fault
        assert read_leaf(body, township.origin, directory).fault is None
