"""A log passes from one shard to the next: what goes on, what ends, and what is refused above."""

import msgspec
import pytest

from domain.events import Cause, EventId, ShardOpened, encode
from domain.shards import shard_after
from sync.exchange.faults import Fork
from sync.exchange.succession import ENDED
from sync.proofs.merkle import EMPTY_ROOT
from sync.proofs.note import encode64, parse_checkpoint, parse_note, verify
from sync.proofs.tree import TreeMoved
from tests.sync.hierarchy import VILLAGE
from tests.sync.test_simulated import SimulatedNode, Simulation


def settled() -> Simulation:
    simulation = Simulation()
    simulation.village.chat(3)
    simulation.settle(simulation.is_up)
    return simulation


def freeze(node: SimulatedNode) -> ShardOpened:
    """What a node does between two shards, without a node around it."""
    opening = node.pass_on()
    node.say_opening(opening)
    return opening


def test_two_shards_are_one_history_on_every_tier() -> None:
    simulation = settled()
    village, first = simulation.village, simulation.village.origin
    before = village.log(first)
    opening = freeze(village)
    village.chat(2)
    simulation.settle(simulation.is_up)

    assert village.origin == first.removesuffix("1") + "2"
    assert village.log(village.origin)[0] == encode(opening)
    for above in (simulation.township, simulation.city):
        assert above.log(first) == before
        assert above.log(village.origin) == village.log(village.origin)
        assert above.frozen(first) == ENDED
        assert above.faults() == {}
    assert opening.size == len(before)
    signed = parse_note(opening.checkpoint.encode())
    directory = simulation.city.exchange.trust.directory
    parents = [keys for _, keys in directory.witnesses_above(VILLAGE).values()]
    verify(signed, [*directory.past_authors(first), *(key for keys in parents for key in keys)])
    assert parse_checkpoint(signed.text).size == opening.size


def test_what_follows_from_an_old_shards_leaf_is_not_kept_waiting() -> None:
    simulation = settled()
    village, township = simulation.village, simulation.township
    cause = Cause(id=EventId(village.chance.id_by(VILLAGE)), log=village.origin, seq=1)
    freeze(village)
    simulation.settle(simulation.is_up)
    township.chat(1, (cause,))
    village.chat(1, (cause,))
    simulation.settle(simulation.is_up)
    assert simulation.city.faults() == {}


@pytest.mark.parametrize("point", range(0, 60, 3))
def test_a_node_that_dies_anywhere_around_the_passing_goes_on_in_the_new_shard(point: int) -> None:
    simulation = settled()
    village, first = simulation.village, simulation.village.origin
    freeze(village)
    village.chat(2)
    simulation.dies_after(point)
    simulation.settle(simulation.is_up)
    assert simulation.city.log(first) == village.log(first)
    assert [node.faults() for node in simulation.nodes] == [{}, {}, {}]


def a_lie(opening: ShardOpened, **changes: object) -> ShardOpened:
    return msgspec.structs.replace(opening, **changes)


@pytest.mark.parametrize("lie", ["smaller", "other root", "another log", "no opening", "not the first leaf"])
def test_attack_69_a_shard_whose_first_leaf_is_not_the_end_of_the_one_before_is_refused(lie: str) -> None:
    simulation = settled()
    village, township, first = simulation.village, simulation.township, simulation.village.origin
    held = township.log(first)
    opening = village.pass_on()
    match lie:
        case "smaller":
            village.say_opening(a_lie(opening, size=1, root=encode64(EMPTY_ROOT)))
        case "other root":
            village.say_opening(a_lie(opening, root=encode64(bytes(32))))
        case "another log":
            village.say_opening(a_lie(opening, before=simulation.city.origin))
        case "not the first leaf":
            village.chat(1)
            village.say_opening(opening)
    village.chat(1)
    simulation.settle(lambda: "shard_not_continued" in township.faults())

    assert township.faults() == {"shard_not_continued": village.origin}
    assert township.log(village.origin) == []
    assert township.log(first) == held
    assert township.frozen(first) is None, "what it was before goes on to stand as it was"
    assert set(village.faults()) == {"refused_above"}
    kept = msgspec.msgpack.decode(township.evidence("shard_not_continued", village.origin), type=Fork)
    for note, log in ((kept.ours, first), (kept.theirs, village.origin)):
        signed = parse_note(note.encode())
        verify(signed, township.exchange.trust.directory.past_authors(log))
        assert parse_checkpoint(signed.text).origin == log
    simulation.city.chat(1)
    township.chat(1)
    simulation.settle(lambda: simulation.city.log(township.origin) == township.log(township.origin))


def test_a_shard_waits_until_the_one_before_is_held_to_its_end() -> None:
    simulation = settled()
    village, township, city, first = simulation.village, simulation.township, simulation.city, simulation.village.origin
    township.only_send(shard_after(first))
    village.chat(2)
    simulation.settle(lambda: village.secured() == village.size())
    assert len(city.log(first)) == village.size() - 2

    freeze(village)
    simulation.settle(lambda: "waits" in city.faults())
    assert city.log(village.origin) == []
    assert city.faults() == {"waits": village.origin}

    township.only_send(None)
    simulation.settle(simulation.is_up)
    assert city.log(first) == village.log(first)
    assert city.frozen(first) == ENDED
    assert city.faults() == {}


def test_a_shard_is_not_left_before_all_of_it_is_cosigned() -> None:
    simulation = settled()
    village, witness = simulation.village, simulation.village.exchange.witness_name() or ""
    village.chat(1)
    with pytest.raises(TreeMoved):
        village.exchange.pass_on(witness)
    village.exchange.pump_seal()
    assert not village.exchange.pass_on(witness)
    simulation.settle(simulation.is_up)
    assert village.exchange.pass_on(witness)


def test_what_is_appended_to_an_ended_shard_is_refused_above_and_kept_as_evidence() -> None:
    simulation = settled()
    village, township, first = simulation.village, simulation.township, simulation.village.origin
    ghost = village.ghost()  # the same keys and the same history, which goes on as if nothing had ended
    freeze(village)
    simulation.settle(simulation.is_up)
    held = township.log(first)
    ghost.chat(2)
    ghost.exchange.pump_seal()
    while not ghost.exchange.awaits_parent:
        ghost.exchange.pump_up()
        simulation.clock.pass_s(7)
    simulation.settle(lambda: "late_leaves" in township.faults())

    assert township.faults() == {"late_leaves": f"{first}#{len(held)}"}
    assert township.log(first) == held
    village.chat(1)
    simulation.settle(simulation.is_up)
    assert simulation.city.faults() == {}


def test_a_superior_whose_log_has_passed_to_a_later_shard_takes_keys_back_as_before() -> None:
    simulation = settled()
    township = simulation.township
    freeze(township)
    simulation.settle(simulation.is_up)
    said = township.exchange.take_back(VILLAGE, "stolen", None, None, lambda text: text)
    grown = simulation.city.exchange.trust.directory.adding(said)
    assert grown.revocation(VILLAGE)
