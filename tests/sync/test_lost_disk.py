"""A node loses its disk: what its parent held comes back, the log goes on in the next shard, and the gap is named."""

import pytest

from domain.events import ShardOpened, read
from domain.shards import shard_before
from sync.exchange.succession import ENDED
from sync.ledger.rows import FROM_ABOVE, FROM_BELOW, OWN
from sync.proofs.note import ED25519, Ed25519Signer
from sync.trust.statements import CertificateRefused
from tests.sync.test_dispatch import SECRET
from tests.sync.test_simulated import SimulatedNode, Simulation, a_case_goes_up_and_an_order_comes_down


def lived() -> Simulation:
    simulation = Simulation()
    a_case_goes_up_and_an_order_comes_down(simulation)
    return simulation


def known(node: SimulatedNode) -> list[tuple[str, int, int, bytes]]:
    """(log, leaf, how it came, bytes) in the order learned."""
    logs = {log_id: origin for origin, log_id in node.tables.logs.items()}
    return [(logs[row.log_id], row.seq, row.via, row.body) for row in node.ledger()]


@pytest.mark.parametrize("who", ["village", "township"])
def test_a_node_that_lost_its_disk_has_back_what_its_parent_held_and_goes_on_in_the_next_shard(who: str) -> None:
    simulation = lived()
    node: SimulatedNode = getattr(simulation, who)
    assert isinstance(node.parent, SimulatedNode)
    before, first = known(node), node.origin
    beside = set(node.tables.beside.values())
    node.lose_disk()
    simulation.settle(lambda: bool(node.log(node.origin)) and simulation.is_up())

    opening = read(node.log(node.origin)[0])
    assert isinstance(opening, ShardOpened)
    assert (opening.before, opening.size, opening.why) == (first, len(node.parent.log(first)), "lost")
    mine = [row for row in known(node) if row[0] != node.origin]
    assert {row[2] for row in before} <= {OWN, FROM_BELOW, FROM_ABOVE}
    assert set(mine) == {row for row in before if row[2] != OWN or row[1] < opening.size}
    assert set(node.tables.beside.values()) == beside
    assert SECRET in beside
    node.chat(2)
    simulation.settle(simulation.is_up)
    for above in (above for above in (simulation.township, simulation.city) if above is not node):
        assert above.log(first) == node.log(first)
        assert above.log(node.origin) == node.log(node.origin)
        assert above.frozen(first) == ENDED
    assert [one.faults() for one in (node, node.parent, simulation.city)] == [{}, {}, {}]
    assert set(simulation.village.faults()) <= {"down_lost"}


def test_what_comes_back_is_in_the_order_in_which_the_parent_learned_it() -> None:
    simulation = lived()
    village = simulation.village
    village.lose_disk()
    simulation.settle(lambda: bool(village.log(village.origin)) and simulation.is_up())
    back = [row[3] for row in known(village) if row[0] != village.origin]
    assert len(back) > 5
    assert back == [row[3] for row in known(simulation.township) if row[3] in back]


def test_what_was_never_secured_is_lost_and_the_first_leaf_says_where() -> None:
    simulation = lived()
    village, township = simulation.village, simulation.township
    secured = village.size()
    village.chat(4)
    lost = village.log(village.origin)[secured:]
    village.lose_disk()
    simulation.settle(lambda: bool(village.log(village.origin)) and simulation.is_up())
    opening = read(village.log(village.origin)[0])
    assert isinstance(opening, ShardOpened)
    assert (opening.size, shard_before(village.origin)) == (secured, opening.before)
    for node in simulation.nodes:
        assert not {row[3] for row in known(node)} & set(lost)
    assert township.faults() == {}


def test_frames_of_the_lost_shard_that_turn_up_later_are_kept_as_evidence_without_effect() -> None:
    simulation = lived()
    village, township, city = simulation.village, simulation.township, simulation.city
    first, secured = village.origin, village.size()
    ghost = village.ghost()
    village.lose_disk()
    simulation.settle(lambda: bool(village.log(village.origin)) and simulation.is_up())
    ghost.chat(3)
    ghost.exchange.pump_seal()
    while not ghost.exchange.awaits_parent:
        ghost.exchange.pump_up()
        simulation.clock.pass_s(7)
    simulation.settle(lambda: "late_leaves" in township.faults())

    assert township.faults()["late_leaves"] == f"{first}#{secured}"
    late = ghost.log(first)[secured:]
    assert all(body in township.evidence("late_leaves", f"{first}#{secured}") for body in late)
    for node in (village, township, city):
        assert not {row[3] for row in known(node)} & set(late)
    village.chat(1)
    simulation.settle(simulation.is_up)


def test_a_node_is_certified_for_the_shard_after_the_last_one_that_is_held_and_for_no_other() -> None:
    simulation = lived()
    village, first = simulation.village, simulation.village.origin
    assert isinstance(village.parent, SimulatedNode)
    for wrong in ("3", "9"):
        village.origin = f"{first[:-1]}{wrong}"
        village.signer = Ed25519Signer(village.origin, ED25519, village.chance(32))
        with pytest.raises(CertificateRefused, match="found it with --shard 2"):
            village.be_certified(village.parent)
    assert simulation.township.frozen(first) is None


@pytest.mark.parametrize("point", range(24))
def test_whoever_dies_wherever_while_it_comes_back_everything_is_back_once(point: int) -> None:
    simulation = lived()
    village = simulation.village
    before = {row for row in known(village) if row[2] != OWN}
    village.lose_disk()
    simulation.dies_after(point)
    simulation.settle(lambda: bool(village.log(village.origin)) and simulation.is_up())
    assert {row for row in known(village) if row[2] != OWN} == before
    assert [node.faults() for node in simulation.nodes] == [{}, {}, {}]
