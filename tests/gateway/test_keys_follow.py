"""The keys of a case go where the matter has gone, also those that come after it: on whole nodes in memory."""

from domain.commands import AnyCommand, HandOver, TakeOver
from domain.divisions import Division
from domain.events import CaseId, LegId, Role
from tests.gateway.memory_node import MemoryNode
from tests.gateway.story_in_memory import REGISTRATION
from tests.sync.hierarchy import CITY, COUNTY, TOWNSHIP, VILLAGE, Clock
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
