"""Somebody has copied a node's keys: what they sign beyond the last good size counts for nobody, and is kept."""

import itertools
from collections.abc import Iterator

import msgspec
import pytest

from domain.divisions import Division
from domain.events import ChildEnrolled, HandedOver, KeysRevoked, LegId, ShardOpened
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.acts import CertificateKept
from sync.exchange.channel import up_lane
from sync.exchange.downlink import sign_letter
from sync.exchange.starting import take_up_again
from sync.exchange.station import Station
from sync.exchange.wire import Acknowledge, Frame, encode
from sync.ledger.append import Append
from sync.proofs.merkle import leaf_hash
from sync.proofs.note import Checkpoint, sign_note
from sync.trust.granting import enrol
from tests.sync.chance import Chance
from tests.sync.hierarchy import COUNTY, NEIGHBOUR, TOWNSHIP, VILLAGE, YEARS_US, Hierarchy, Node, hierarchy, new_event
from tests.sync.test_rotation import hold, keys_of, new_keys

_numbers = itertools.count(1)
FAKE = Division("410221100209")


def take_back(issuer: Node, whose: Node, size: int | None = None) -> str:
    def record(text: str) -> str:
        event = KeysRevoked(
            **issuer.envelope(issuer.chance.id_by(issuer.division), None), division=whose.division, revocation=text
        )
        issuer.writer.append(Append([new_event(event)], beside=[CertificateKept(text)])).result()
        return text

    return issuer.exchange.take_back(whose.division, "stolen", None, size, record)


def re_enrol(node: Node) -> None:
    """In person, with all keys new; heads that only the stolen key had signed are signed anew."""
    assert node.parent is not None
    after = new_keys(node)
    node.recipient = bytes([5, *bytes(31)])
    node.signer, node.cosigner, node.intake = after
    node.be_certified(node.parent)
    hold(node, after)
    with node.store.transaction() as tx:
        take_up_again(tx, node.exchange.trust.directory, node.station)


class Thief:
    """Has a copy of the keys, and of the log as the superior holds it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.keys = keys_of(node)
        self.chance = Chance(5)
        with node.store.transaction() as tx:
            self.frontier = tx.tree(1).frontier

    def send(self, *bodies: bytes) -> bytes:
        """One frame of leaves of the thief's own, signed with the stolen key; its checkpoint."""
        first = self.frontier.size
        self.frontier, _ = self.frontier.extend([leaf_hash(body) for body in bodies])
        text = Checkpoint(self.node.origin, self.frontier.size, self.frontier.root()).text()
        note = sign_note(text, self.keys.log).to_bytes()
        frame = Frame(self.node.origin, first, note.decode(), list(bodies), [])
        self.node.channel.publish(up_lane(self.node.division), [encode(frame)])
        return note

    def event(self) -> bytes:
        leg = LegId(self.chance.id_by(self.node.division))
        fields = {"leg": leg, "to": f"{self.node.division}.office", "mode": "transfer", "next_leg": leg}
        event = HandedOver(**self.node.envelope(self.chance.id_by(self.node.division), None), **fields, report_by=None)
        return new_event(event).body


@pytest.fixture
def tree(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "theft", COUNTY, TOWNSHIP, VILLAGE, NEIGHBOUR) as built:
        built.settle()
        yield built


def test_a_thief_who_comes_after_the_revocation_is_refused_and_the_true_node_loses_nothing(tree: Hierarchy) -> None:
    village, township, neighbour = tree[VILLAGE], tree[TOWNSHIP], tree[NEIGHBOUR]
    thief, good = Thief(village), village.size()
    village.chat(3)
    village.exchange.pump_seal()  # under the stolen key, and nobody has it yet
    said = take_back(township, village)
    tree.nodes.pop(VILLAGE)
    note = thief.send(thief.event())
    letter = sign_letter(
        Station(VILLAGE, village.origin, thief.keys.log, thief.keys.witness), TOWNSHIP, Acknowledge(9, 1)
    )
    village.channel.publish(up_lane(VILLAGE), [letter])
    neighbour.chat(2)
    tree.settle()
    assert township.faults() == {"key_revoked": village.origin, "letter_forged": f"up.{VILLAGE}"}
    ((evidence,),) = township.query("select evidence from fault where kind = 'key_revoked'")
    kept = msgspec.msgpack.decode(evidence)
    assert kept["statement"] == said
    assert msgspec.msgpack.decode(kept["record"])["checkpoint"].encode() == note
    assert len(township.log(village.origin)) == good
    assert neighbour.secured() == neighbour.size()
    tree.nodes[VILLAGE] = village
    tree.settle()
    assert "own_keys_revoked" in village.faults()
    re_enrol(village)
    village.chat(1)
    tree.heal(tree.all_secured)
    assert village.faults() == {}
    for node in (township, tree[COUNTY]):
        assert node.log(village.origin) == village.log(village.origin), "all that it had recorded, and what came after"
        assert node.exchange.trust.directory.division(VILLAGE).certificate.serial == 3  # type: ignore[union-attr]


def test_a_thief_who_came_first_is_convicted_and_the_true_node_goes_on_in_a_log_of_its_own(
    postgres: PostgresServer, tree: Hierarchy
) -> None:
    village, township = tree[VILLAGE], tree[TOWNSHIP]
    thief, good = Thief(village), village.size()
    theirs = thief.event()
    thief.send(theirs)
    assert township.exchange.pump_inbox()
    village.chat(2)
    tree.settle()
    assert township.faults()["fork"] == village.origin, "the two signed heads are kept"
    take_back(township, village, good)
    thief.send(thief.event())
    tree.settle()
    assert township.faults()["key_revoked"] == village.origin
    unsecured = village.log(village.origin)[good:]
    again = reborn(postgres, tree, village)
    end = {"before": village.origin, "size": good, "root": last_good(township, village)}
    again.say(ShardOpened, origin=again.origin, checkpoint="", why="lost", **end)
    for body in unsecured:
        event = msgspec.json.decode(body, type=HandedOver)
        again.append_all([new_event(event)])
    tree.heal(tree.all_secured)
    for node in (township, tree[COUNTY]):
        assert node.log(again.origin) == again.log(again.origin)
        assert set(unsecured) <= set(node.log(again.origin))
        assert node.log(village.origin)[good:] == [theirs], "evidence, in the log where it stands"


def last_good(superior: Node, village: Node) -> str:
    """The root of what was not taken back of a log."""
    good = superior.exchange.trust.directory.last_good(village.origin)
    assert good is not None
    return good[1]


def reborn(postgres: PostgresServer, tree: Hierarchy, village: Node) -> Node:
    """The true node with a later shard of its log, and all keys new."""
    name = f"theft_again_{next(_numbers)}"
    postgres.create_database(name, template="template_node")
    again = tree.nodes[VILLAGE] = Node(VILLAGE, postgres.dsn(name), tree.channel, tree.clock, tree[TOWNSHIP])
    village.crash()
    again.origin = f"huiyin.example/{VILLAGE}/2"
    again.chance = Chance(77)
    again.signer, again.cosigner, again.intake = new_keys(again)
    again.recipient = bytes([5, *bytes(31)])
    again.station = Station(VILLAGE, again.origin, again.signer, again.cosigner)
    again.be_certified(tree[TOWNSHIP])
    again.start()
    return again


def test_what_a_stolen_superior_certified_falls_and_what_lay_before_stays(tree: Hierarchy) -> None:
    village, township, county = tree[VILLAGE], tree[TOWNSHIP], tree[COUNTY]
    thief, good = Thief(township), township.size()
    directory = township.exchange.trust.directory
    fake = Node(FAKE, village.dsn, village.channel, tree.clock, township)
    now_us = tree.clock.at_us
    text = enrol(fake.request, TOWNSHIP, thief.keys.log, directory, now_us, now_us + YEARS_US)
    envelope = township.envelope(thief.chance.id_by(TOWNSHIP), None)
    thief.send(new_event(ChildEnrolled(**envelope, division=FAKE, name="假村", certificate=text)).body)
    tree.settle()
    assert county.exchange.trust.directory.division(FAKE), "so far nobody knows better"
    take_back(county, township, good)
    tree.settle()
    for node in (county, village, tree[NEIGHBOUR]):
        known = node.exchange.trust.directory
        assert known.division(FAKE) is None
        assert known.division(VILLAGE) is not None
        assert known.revocation(TOWNSHIP) is not None
