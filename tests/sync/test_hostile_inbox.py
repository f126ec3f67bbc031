"""What hostile hands put into a lane: each ends in one named fault, moves nothing, and stops no sibling."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from domain.divisions import Division
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import up_lane
from sync.exchange.downlink import sign_letter
from sync.exchange.station import Station
from sync.exchange.wire import Acknowledge, Frame, decode_record, encode
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, sign_note
from tests.sync.hierarchy import NEIGHBOUR, TOWNSHIP, VILLAGE, Clock, Hierarchy, Node, Tampering, hierarchy

DAY_US = 86_400 * 1_000_000
NEXT = [b'{"type":"made.up.v0"}']


@pytest.fixture(scope="module")
def nodes(postgres: PostgresServer) -> Iterator[Hierarchy]:
    """A township and two villages which have said a few things: one for all attacks, as none of them moves anything."""
    with hierarchy(postgres, "hostile", TOWNSHIP, VILLAGE, NEIGHBOUR) as built:
        for division in (VILLAGE, NEIGHBOUR):
            built[division].chat(3)
        built.settle()
        yield built


def counted(node: Node) -> dict[tuple[str, str], int]:
    """How often each fault came, by kind and subject."""
    return {(kind, subject): count for kind, subject, count in node.query("select kind, subject, count from fault")}


def published(nodes: Hierarchy, lane: Division, *records: bytes) -> list[tuple[str, str]]:
    """Put these records into the lane of that village, let all nodes work; the faults that it left, each so often.

    Nothing of any log has moved at the township, and both villages go on.
    """
    township = nodes[TOWNSHIP]
    held = {division: township.log(nodes[division].origin) for division in (VILLAGE, NEIGHBOUR)}
    before = counted(township)
    nodes.channel.publish(up_lane(lane), records)
    nodes.settle()
    assert {division: township.log(nodes[division].origin) for division in (VILLAGE, NEIGHBOUR)} == held
    after = counted(township)
    for division in (VILLAGE, NEIGHBOUR):
        nodes[division].chat(1)
    nodes.heal(nodes.all_secured)
    return [key for key, count in after.items() for _ in range(count - before.get(key, 0))]


def next_frame(township: Node, author: Node, signer: Ed25519Signer | None = None) -> Frame:
    """The frame that would continue what the township holds of the author's log, signed by `signer`."""
    held = township.log(author.origin)
    frontier, _ = Frontier().extend([leaf_hash(body) for body in [*held, *NEXT]])
    text = Checkpoint(author.origin, frontier.size, frontier.root()).text()
    note = sign_note(text, signer or author.signer).to_bytes().decode()
    return Frame(author.origin, len(held), note, NEXT, [])


@contextmanager
def overheard(node: Node) -> Iterator[list[bytes]]:
    """Every record that the node sends upward meanwhile."""
    said: list[bytes] = []

    def hear(_: str, record: bytes) -> Sequence[bytes]:
        said.append(record)
        return [record]

    node.above = Tampering(node.channel, hear)
    node.crash()
    node.start()
    yield said
    node.above = node.channel
    node.crash()
    node.start()


def strangers(origin: str) -> Ed25519Signer:
    return Ed25519Signer(origin, ED25519, bytes(32))


def test_26_a_frame_that_nobody_signed(nodes: Hierarchy) -> None:
    village = nodes[VILLAGE]
    frame = next_frame(nodes[TOWNSHIP], village)
    bare = msgspec.structs.replace(frame, checkpoint=frame.checkpoint.split("— ")[0])
    assert published(nodes, VILLAGE, encode(bare)) == [("bad_signature", up_lane(VILLAGE))]


def test_26_a_frame_under_the_nodes_name_by_another_key(nodes: Hierarchy) -> None:
    village = nodes[VILLAGE]
    forged = next_frame(nodes[TOWNSHIP], village, strangers(village.origin))
    assert published(nodes, VILLAGE, encode(forged)) == [("bad_signature", up_lane(VILLAGE))]


def test_26_a_letter_by_another_key(nodes: Hierarchy) -> None:
    village = nodes[VILLAGE]
    forger = Station(
        VILLAGE,
        village.origin,
        strangers(village.origin),
        Ed25519Signer(f"{village.origin}/witness", COSIGNATURE_V1, bytes(32)),
    )
    letter = sign_letter(forger, TOWNSHIP, Acknowledge(9, 1))
    assert published(nodes, VILLAGE, letter) == [("letter_forged", up_lane(VILLAGE))]


def test_27_a_true_signature_in_the_lane_of_another_node(nodes: Hierarchy) -> None:
    neighbour = nodes[NEIGHBOUR]
    frame = encode(next_frame(nodes[TOWNSHIP], neighbour))
    letter = sign_letter(neighbour.station, TOWNSHIP, Acknowledge(9, 1))
    faults = published(nodes, VILLAGE, frame, letter)
    assert sorted(faults) == [("letter_forged", up_lane(VILLAGE)), ("misplaced", up_lane(VILLAGE))]


def test_28_all_that_was_ever_sent_once_more(nodes: Hierarchy) -> None:
    with overheard(nodes[VILLAGE]) as said:
        for _ in range(3):
            nodes[VILLAGE].chat(2)
            nodes.settle()
    assert len(said) >= 3
    assert published(nodes, VILLAGE, *said, *said) == []


def test_29_frames_in_the_reverse_order(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    kept: list[bytes] = []
    village.above = Tampering(village.channel, lambda _, record: kept.append(record) or [])
    village.crash()
    village.start()
    for _ in range(4):
        village.chat(1)
        village.exchange.pump_seal()
        village.exchange.pump_up()
    village.above = village.channel
    village.crash()
    village.start()
    frames = [record for record in kept if isinstance(decode_record(record), Frame)]
    assert len(frames) == 4

    nodes.channel.publish(up_lane(VILLAGE), frames[::-1])
    while township.exchange.pump_inbox():
        pass

    assert township.log(village.origin) == village.log(village.origin)
    assert township.query("select count(*) from parked") == [(0,)]
    nodes.heal(nodes.all_secured)
    assert "gap" not in township.faults()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda record: record[: len(record) // 2], id="half of it"),
        pytest.param(lambda record: record + b"\0", id="a byte more"),
        pytest.param(lambda record: record.replace(b"huiyin.example", b"\xff\xfeiyin.example"), id="no UTF-8"),
        pytest.param(lambda record: record.replace(b"frame.v0", b"frame.v9"), id="another version"),
        pytest.param(lambda record: record.replace(b"frame.v0", b"order.v0"), id="another kind"),
        pytest.param(lambda _: b"\xdd\xff\xff\xff\xff", id="four thousand million parts, says it"),
    ],
)
def test_30_bytes_that_are_no_record(nodes: Hierarchy, spoil: Callable[[bytes], bytes]) -> None:
    record = spoil(encode(next_frame(nodes[TOWNSHIP], nodes[VILLAGE])))
    assert published(nodes, VILLAGE, record) == [("wire_invalid", up_lane(VILLAGE))]


def test_33_a_record_that_says_it_was_verified(nodes: Hierarchy) -> None:
    village = nodes[VILLAGE]
    forged = msgspec.to_builtins(
        next_frame(nodes[TOWNSHIP], village, strangers(village.origin)), builtin_types=(bytes,)
    )
    says = msgspec.msgpack.encode(forged | {"verified": True, "trusted": True, "signer": village.origin})
    assert published(nodes, VILLAGE, says) == [("bad_signature", up_lane(VILLAGE))]


def test_35_the_reader_dies_a_hundred_times_after_storing_and_before_it_says_so(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    died = 0
    for _ in range(100):
        village.chat(1)
        village.exchange.pump_seal()
        village.exchange.pump_up()
        township.store.dies_after_commit = True
        township.step()
        died += not township.store.dies_after_commit
    nodes.heal(nodes.all_secured)
    assert died == 100
    assert township.log(village.origin) == village.log(village.origin)


class Wrong(Clock):
    """As another clock, but off."""

    def __init__(self, right: Clock, off_us: int) -> None:
        self._right, self._off_us = right, off_us

    @property
    def at_us(self) -> int:  # type: ignore[override]
        return self._right.at_us + self._off_us

    @property
    def at_s(self) -> float:  # type: ignore[override]
        return self._right.at_s


@pytest.mark.parametrize("off_us", [DAY_US, -DAY_US], ids=["a day ahead", "a day behind"])
def test_36_a_node_whose_clock_is_a_day_off_stops_nobody_and_moves_nobody_elses_time(
    nodes: Hierarchy, off_us: int
) -> None:
    village, neighbour, township = nodes[VILLAGE], nodes[NEIGHBOUR], nodes[TOWNSHIP]
    nodes.clock.pass_s(3 * 86_400)
    village.crash()
    village.clock = Wrong(nodes.clock, off_us)
    village.start()
    try:
        village.chat(2)
        neighbour.chat(2)
        nodes.heal(nodes.all_secured)
        assert township.log(village.origin) == village.log(village.origin)
        assert township.log(neighbour.origin) == neighbour.log(neighbour.origin)
        learned = [us for (us,) in township.query("select known_us from ledger order by pos")]
        assert learned == sorted(learned)
        assert abs(learned[-1] - nodes.clock.now_us()) < DAY_US // 2, "when it was learned is this node's own word"
    finally:
        village.crash()
        village.clock = nodes.clock
        village.start()
    assert not {"expired", "not_yet_valid"} & set(township.faults())


def test_38_a_thousand_records_of_one_node_before_one_of_its_sibling(nodes: Hierarchy) -> None:
    neighbour, township = nodes[NEIGHBOUR], nodes[TOWNSHIP]
    nodes.channel.publish(up_lane(VILLAGE), [b"flood %d" % number for number in range(1_000)])
    neighbour.chat(1)
    neighbour.exchange.pump_seal()
    neighbour.exchange.pump_up()

    township.exchange.pump_inbox()

    assert township.log(neighbour.origin) == neighbour.log(neighbour.origin), "in the very first turn"
    rows = len(counted(township))
    nodes.settle()
    assert len(counted(township)) <= rows + 1, "of a thousand faults one row"


def test_39_a_head_older_than_the_one_that_is_held(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    held = township.log(village.origin)
    frontier, _ = Frontier().extend([leaf_hash(body) for body in held[:2]])
    note = sign_note(Checkpoint(village.origin, 2, frontier.root()).text(), village.signer).to_bytes().decode()
    assert published(nodes, VILLAGE, encode(Frame(village.origin, 1, note, held[1:2], []))) == []
