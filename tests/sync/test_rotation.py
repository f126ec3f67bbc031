"""A node changes its signing keys while it works: nobody loses anything, and whoever was away follows."""

from typing import NamedTuple

import msgspec
import pytest

from domain.divisions import Division
from domain.events import KeysRotated
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.exchange import UNSENT_LEAVES
from sync.exchange.station import Station
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, parse_note, sign_note
from sync.trust.certificates import OVERLAP_US, CertificateRefused
from sync.trust.statements import make_next_root, make_request, read_certificate, read_request
from tests.sync.hierarchy import CITY, COUNTY, START_US, TOWNSHIP, VILLAGE, YEARS_US, Hierarchy, Node, hierarchy

DAY_S = 86_400


class Keys(NamedTuple):
    log: Ed25519Signer
    witness: Ed25519Signer
    intake: Ed25519Signer


def keys_of(node: Node) -> Keys:
    return Keys(node.signer, node.cosigner, node.intake)


def new_keys(node: Node) -> Keys:
    return Keys(
        Ed25519Signer(node.origin, ED25519, node.chance(32)),
        Ed25519Signer(f"{node.origin}/witness", COSIGNATURE_V1, node.chance(32)),
        Ed25519Signer(f"{node.origin}/intake", ED25519, node.chance(32)),
    )


def hold(node: Node, keys: Keys, *beside: Keys) -> None:
    """The node starts anew with these keys, checkpoints signed by those beside them, too."""
    node.signer, node.cosigner, node.intake = keys
    papers = tuple(text for text in node.certificates if text.startswith("huiyin-certificate"))
    others = tuple(other.log for other in beside)
    node.station = Station(node.division, node.origin, keys.log, keys.witness, others, papers)
    node.crash()
    node.start()


def begin(node: Node, after: Keys) -> str:
    """The first half: the new keys sign beside the old, and the request that both have signed."""
    before = keys_of(node)
    hold(node, before, after)
    node.say(KeysRotated, log=after.log.verifier.vkey, witness=after.witness.verifier.vkey, intake="x")
    node.signer, node.cosigner, node.intake = after
    wish = read_request(node.request)
    node.signer, node.cosigner, node.intake = before
    return make_request(msgspec.structs.replace(wish, since_size=node.size()), after.log, before.log)


def certify(node: Node, request: str) -> None:
    """At the superior; what comes back is installed."""
    assert node.parent is not None
    now_us = node.clock.at_us
    recording = node.parent.recording(node.division)
    given = node.parent.exchange.admit(request, now_us, now_us + YEARS_US, recording)
    node.certificates = given.certificates


def rotate(node: Node) -> Keys:
    """All of it; the keys before."""
    before, after = keys_of(node), new_keys(node)
    certify(node, begin(node, after))
    hold(node, after, before)
    return before


def lines_of(node: Node) -> list[int]:
    """How many signatures the newest own checkpoint bears."""
    notes = node.query("select note from checkpoint where log_id = 1 order by size desc limit 1")
    return [len(parse_note(note.encode()).signatures) for (note,) in notes]


def everybody_is_well(tree: Hierarchy) -> bool:
    return {node.division: node.faults() for node in tree.nodes.values() if node.faults()} == {}


@pytest.mark.parametrize("division", [VILLAGE, TOWNSHIP])
def test_a_node_whose_signing_keys_follow_others_goes_on_and_everybody_with_it(
    postgres: PostgresServer, division: Division
) -> None:
    with hierarchy(postgres, "rotation", CITY, COUNTY, TOWNSHIP, VILLAGE) as tree:
        node = tree[division]
        tree.settle()
        before, after = keys_of(node), new_keys(node)
        request = begin(node, after)
        for other in tree.nodes.values():
            other.chat(2)
        tree.heal(tree.all_secured)
        assert lines_of(node) == [2], "before it is certified the new one signs beside the old one"
        certify(node, request)
        hold(node, after, before)
        for other in tree.nodes.values():
            other.chat(2)
        tree.heal(tree.all_secured)
        assert lines_of(node) == [2]
        hold(node, after)
        for other in tree.nodes.values():
            other.chat(2)
        tree.heal(tree.all_secured)
        assert lines_of(node) == [1]
        assert everybody_is_well(tree)
        for other in tree.nodes.values():
            assert other.exchange.trust.directory.log_keys(node.origin)[-1] == (after.log.verifier, None)
        assert tree[CITY].log(node.origin) == node.log(node.origin)


def test_keys_follow_at_the_leaf_that_says_so_and_at_no_other(postgres: PostgresServer) -> None:
    with hierarchy(postgres, "elsewhere", TOWNSHIP, VILLAGE) as tree:
        tree.settle()
        village, township = tree[VILLAGE], tree[TOWNSHIP]
        before, after, held = keys_of(village), new_keys(village), village.size()
        request = begin(village, after)
        wish = read_request(request)

        def refused(since_size: int) -> bool:
            asked = make_request(msgspec.structs.replace(wish, since_size=since_size), after.log, before.log)
            try:
                township.exchange.admit(asked, tree.clock.at_us, tree.clock.at_us + YEARS_US, lambda text: text)
            except CertificateRefused as refusal:
                return refusal.reason == "since"
            return False

        assert [refused(size) for size in (0, held, held + UNSENT_LEAVES + 1)] == [True, True, True], "not sent yet"
        village.chat(1)
        tree.settle()
        assert [refused(size) for size in (wish.since_size - 1, wish.since_size + 1, 2**62)] == [True, True, True]
        assert not refused(wish.since_size)


def test_a_neighbour_that_was_away_during_the_rotation_follows_when_it_is_back(postgres: PostgresServer) -> None:
    with hierarchy(postgres, "away", COUNTY, TOWNSHIP, VILLAGE) as tree:
        tree.settle()
        village = tree.nodes.pop(VILLAGE)
        for _ in range(2):
            before = rotate(tree[TOWNSHIP])
            tree[TOWNSHIP].chat(2)
            tree.settle()
            tree.clock.pass_s(OVERLAP_US // 1_000_000 + DAY_S)
            hold(tree[TOWNSHIP], keys_of(tree[TOWNSHIP]))
        tree.settle()
        tree.nodes[VILLAGE] = village
        village.chat(2)
        tree.heal(tree.all_secured)
        assert everybody_is_well(tree)
        keys = [key for key, _ in village.exchange.trust.directory.log_keys(tree[TOWNSHIP].origin)]
        assert before.log.verifier in keys
        assert keys[-1] == tree[TOWNSHIP].signer.verifier


def test_what_the_key_before_signs_beyond_the_rotation_is_refused_with_both_words_kept(
    postgres: PostgresServer,
) -> None:
    with hierarchy(postgres, "outlived", TOWNSHIP, VILLAGE) as tree:
        tree.settle()
        village, township = tree[VILLAGE], tree[TOWNSHIP]
        before = rotate(village)
        tree.heal(tree.all_secured)
        after = keys_of(village)
        hold(village, before)
        village.chat(1)
        tree.settle()
        assert township.faults() == {"key_retired": village.origin}
        ((evidence,),) = township.query("select evidence from fault where kind = 'key_retired'")
        said = msgspec.msgpack.decode(evidence)
        assert said["statement"] == village.certificates[-1]
        frame = msgspec.msgpack.decode(said["record"])
        assert parse_note(frame["checkpoint"].encode()).signatures[0].key_id == before.log.verifier.key_id
        assert township.log(village.origin) == village.log(village.origin)[:-1]
        hold(village, after)


def test_the_root_changes_its_keys_and_every_node_follows_from_its_pin(postgres: PostgresServer) -> None:
    with hierarchy(postgres, "root", CITY, COUNTY, TOWNSHIP) as tree:
        tree.settle()
        city = tree[CITY]
        before, after = keys_of(city), new_keys(city)
        request = read_request(begin(city, after))
        root = read_certificate(city.certificates[-1])
        now_us = tree.clock.at_us
        city.certificates.append(make_next_root(request, after.log, before.log, root, now_us, START_US + YEARS_US))
        hold(city, after, before)
        for node in tree.nodes.values():
            node.chat(2)
        tree.heal(tree.all_secured)
        hold(city, after)
        tree.settle()
        assert everybody_is_well(tree)
        for node in tree.nodes.values():
            known = node.exchange.trust.directory.division(CITY)
            assert known is not None
            assert known.log == after.log.verifier
            assert node.exchange.trust.directory.root_fingerprint == city.pin
        rotate(tree[COUNTY])
        tree[TOWNSHIP].chat(1)
        tree.heal(tree.all_secured)
        assert everybody_is_well(tree), "what the new root certifies holds everywhere"


def test_a_checkpoint_by_the_key_before_alone_that_lies_before_the_rotation_stays_good(
    postgres: PostgresServer,
) -> None:
    with hierarchy(postgres, "past", TOWNSHIP, VILLAGE) as tree:
        tree.settle()
        village, township = tree[VILLAGE], tree[TOWNSHIP]
        size = village.size()
        before = rotate(village)
        tree.heal(tree.all_secured)
        directory = township.exchange.trust.directory
        old = sign_note(Checkpoint(village.origin, size, bytes(32)).text(), before.log)
        directory.check_head(old, village.origin, size, tree.clock.at_us)
        assert [upto for _, upto in directory.log_keys(village.origin)] == [size + 1, None]
