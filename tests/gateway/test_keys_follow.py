"""The keys of a case go where the matter has gone, also those that come after it: on whole nodes in memory."""

import pytest

from domain.commands import AnyCommand, HandOver, TakeOver
from domain.context import alone
from domain.divisions import Division, Topology
from domain.events import CaseId, Grant, KeyGranted, LegId, Role, encode, read
from sync.ledger.append import Append, NewEvent
from sync.sealed.acts import PartsBeside
from sync.sealed.sealing import digest_text
from tests.gateway.memory_node import MemoryNode
from tests.gateway.story_in_memory import REGISTRATION
from tests.sync.hierarchy import CITY, COUNTY, START_US, TOWNSHIP, VILLAGE, Clock
from tests.sync.memory_channel import MemoryChannel


def a_line() -> dict[Division, MemoryNode]:
    """City, county, township and village, enrolled and at rest."""
    channel, clock = MemoryChannel(), Clock()
    nodes: dict[Division, MemoryNode] = {}
    for division in (CITY, COUNTY, TOWNSHIP, VILLAGE):
        above = next(reversed(nodes.values())) if nodes else None
        nodes[division] = MemoryNode(division, channel, clock, above)
        nodes[division].begin()
    settle(nodes)
    return nodes


def settle(nodes: dict[Division, MemoryNode]) -> None:
    while sum(node.step() for node in nodes.values()):
        pass


def does(node: MemoryNode, role: Role, command: AnyCommand) -> CaseId:
    actor = node.actor(role)
    key = node.journal.of_account(actor.account, type(command).__name__)
    case = node.casework.desk.do(command, actor, key).case
    assert case is not None
    return case


def present_leg(node: MemoryNode, case: CaseId) -> LegId:
    file = node.casework.desk.file(case)
    assert file is not None
    assert file.present_leg is not None
    return file.present_leg.id


def test_a_key_that_came_after_the_matter_was_handed_on_reaches_whoever_has_it_now() -> None:
    nodes = a_line()
    village, city, county = nodes[VILLAGE], nodes[CITY], nodes[COUNTY]
    case = does(village, "clerk", REGISTRATION)
    settle(nodes)
    taken = TakeOver(case=case, leg=present_leg(city, case), unit=city.office, reason="久拖不决")
    does(city, "leader", taken)
    city.casework.steward.step()  # opens the leg; no custodian below has heard of it yet
    on = HandOver(case=case, leg=present_leg(city, case), to=county.office, mode="transfer", reason="属其职责")
    does(city, "leader", on)

    settle(nodes)

    file = county.casework.desk.file(case)
    assert file is not None
    assert file.accountable == county.office
    assert file.registered is not None
    (sealed,) = file.registered.sealed
    assert county.casework.custody.key(case, sealed.subject).subject == sealed.subject


def registered_subject(node: MemoryNode, case: CaseId) -> str:
    file = node.casework.desk.file(case)
    assert file is not None
    assert file.registered is not None
    return file.registered.sealed[0].subject


def grants(node: MemoryNode, author: Division, reader: Division) -> list[KeyGranted]:
    """What a node knows of keys that `author` gave to `reader`."""
    told = [read(row.body) for row in node.reader.read(0, 10_000)]
    found = [event for event in told if isinstance(event, KeyGranted) and event.node == author]
    return [event for event in found if any(grant.custodian == reader for grant in event.grants)]


def says(node: MemoryNode, event: KeyGranted, part: bytes) -> None:
    """Whatever the node's own program would never have it say."""
    new = NewEvent(event.stream, event.version, "key.granted.v0", event.case, encode(event))
    with node.journal.turn() as turn:
        turn.append(Append([new], beside=[PartsBeside(event.stream, 1, [part])])).result()


def test_a_grant_with_nothing_in_it_keeps_no_honest_custodian_from_giving_the_key() -> None:
    nodes = a_line()
    village, township, county = nodes[VILLAGE], nodes[TOWNSHIP], nodes[COUNTY]
    case = does(village, "clerk", REGISTRATION)
    settle(nodes)
    to = HandOver(case=case, leg=present_leg(village, case), to=township.office, mode="transfer", reason="属其职责")
    does(village, "handler", to)
    settle(nodes)
    subject = registered_subject(village, case)
    key_id, wrapped = county.keys.recipient.key_id, digest_text(bytes(80))
    grant = Grant(custodian=COUNTY, recipient_key=key_id, wrapped=wrapped, purpose="handle")
    envelope = alone(township.ids.fresh(township.journal.now_us()), TOWNSHIP, township.actor("system"), START_US, case)
    says(township, KeyGranted(**envelope, subject=subject, grants=(grant,)), bytes(80))
    settle(nodes)
    assert not grants(village, VILLAGE, COUNTY)
    taken = TakeOver(case=case, leg=present_leg(county, case), unit=county.office, reason="久拖不决")
    does(county, "leader", taken)
    settle(nodes)
    assert grants(county, VILLAGE, COUNTY), "whatever others say that they have given"
    assert county.casework.custody.key(case, subject).subject == subject
    assert "grant_broken" in county.faults()
    assert len(grants(county, VILLAGE, COUNTY)) == 1, "once"


def test_who_took_a_matter_over_and_is_no_superior_any_more_is_passed_no_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = a_line()
    village, county = nodes[VILLAGE], nodes[COUNTY]
    case = does(village, "clerk", REGISTRATION)
    settle(nodes)
    moved = Topology({TOWNSHIP: CITY, VILLAGE: TOWNSHIP, COUNTY: CITY})
    desk = village.casework.desk
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(village.casework.around, "topology", lambda: moved)
        taken = TakeOver(case=case, leg=present_leg(county, case), unit=county.office, reason="久拖不决")
        does(county, "leader", taken)
        settle(nodes)
        assert present_leg(village, case) == present_leg(county, case)
        (own, *_) = grants(village, VILLAGE, VILLAGE)
        desk.pass_keys_on(case, own, village.actor("system"), village.journal.of_node("again"))
        assert not grants(village, VILLAGE, COUNTY)
    desk.pass_keys_on(case, own, village.actor("system"), village.journal.of_node("and again"))
    assert grants(village, VILLAGE, COUNTY), "who stands above is"
