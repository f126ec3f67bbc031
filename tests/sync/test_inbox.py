"""Two villages under a township: whatever their lanes bring, the township ends with the truth, once and in order."""

from collections.abc import Iterator, Sequence

import msgspec
import psycopg
import pytest

from domain.events import NodeOpened
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import up_lane
from sync.exchange.faults import FAULTS_PER_CHILD, MORE_FAULTS, Fault, Fork
from sync.exchange.inbox import PARKED_FRAMES
from sync.exchange.wire import Beside, Frame, decode_record, encode
from sync.ledger.append import Append, NewEvent
from sync.proofs.merkle import Frontier, leaf_hash, verify_consistency
from sync.proofs.note import ED25519, Checkpoint, Ed25519Signer, parse_checkpoint, parse_note, sign_note, verify
from tests.sync.hierarchy import NEIGHBOUR, TOWNSHIP, VILLAGE, Hierarchy, Node, Tampering, hierarchy


@pytest.fixture
def nodes(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "inbox", TOWNSHIP, VILLAGE, NEIGHBOUR) as built:
        built.settle()
        yield built


def frame(author: Node, first: int, bodies: Sequence[bytes], before: Sequence[bytes] = ()) -> bytes:
    """A frame as `author` would sign it over `before` (its leaves up to `first`) and `bodies`."""
    frontier, _ = Frontier().extend([leaf_hash(body) for body in [*before[:first], *bodies]])
    checkpoint = Checkpoint(author.origin, frontier.size, frontier.root())
    note = sign_note(checkpoint.text(), author.signer).to_bytes().decode()
    return encode(Frame(author.origin, first, note, list(bodies), []))


def is_frame_of(node: Node, record: bytes) -> bool:
    read = decode_record(record)
    return isinstance(read, Frame) and read.log == node.origin


def bodies(author: Node, *names: str) -> list[bytes]:
    return [f'{{"type":"made.up.v0","name":"{name}"}}'.encode() for name in names]


def neighbours_go_on(nodes: Hierarchy) -> bool:
    """Whether the sibling's lane still works, after it says one thing more."""
    nodes[NEIGHBOUR].chat(1)
    nodes.settle()
    return nodes[NEIGHBOUR].secured() == nodes[NEIGHBOUR].size()


def test_records_that_come_twice_change_nothing(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.above = Tampering(village.channel, lambda _, record: [record, record])
    village.crash()
    village.start()
    village.chat(20)

    nodes.settle()

    assert township.log(village.origin) == village.log(village.origin)
    assert village.secured() == village.size()
    assert township.faults() == {}


def test_a_lost_record_is_missed_asked_for_and_repaired(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    losses = [True]
    village.above = Tampering(
        village.channel, lambda _, record: [] if is_frame_of(village, record) and losses and losses.pop() else [record]
    )
    village.crash()
    village.start()
    for _ in range(3):
        village.chat(1)
        village.exchange.pump_seal()
        village.exchange.pump_up()
    township.exchange.pump_inbox()

    assert township.faults() == {"gap": village.origin}
    assert township.query("select count(*) from parked") == [(2,)]
    nodes.settle()

    assert township.log(village.origin) == village.log(village.origin)
    assert village.secured() == village.size()
    assert township.faults() == {}
    assert township.query("select count(*) from parked") == [(0,)]


def test_a_fork_at_a_known_size_is_proven_and_frozen_and_the_sibling_goes_on(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.chat(3)
    nodes.settle()
    truth = township.log(village.origin)

    nodes.channel.publish(up_lane(VILLAGE), [frame(village, 1, bodies(village, "other", "past"), truth)])
    nodes.settle()

    assert township.log(village.origin) == truth
    assert township.faults()["fork"] == village.origin
    (evidence,) = township.query("select evidence from fault where kind = 'fork'")[0]
    fork = msgspec.msgpack.decode(bytes(evidence), type=Fork)
    theirs, ours = (parse_note(note.encode()) for note in (fork.theirs, fork.ours))
    for note in (theirs, ours):
        verify(note, [village.signer.verifier])
    theirs_head, ours_head = parse_checkpoint(theirs.text), parse_checkpoint(ours.text)
    verify_consistency(theirs_head.size, ours_head.size, fork.prefix_root, ours_head.root, fork.proof)
    assert fork.prefix_root != theirs_head.root
    assert village.faults()["refused_above"] == village.origin
    assert neighbours_go_on(nodes)


def test_a_fork_that_grew_beyond_what_is_known_is_proven_too(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.chat(3)
    nodes.settle()
    truth = township.log(village.origin)

    longer = bodies(village, "other", "past", "and", "more")
    nodes.channel.publish(up_lane(VILLAGE), [frame(village, 2, longer, truth)])
    nodes.settle()

    assert township.log(village.origin) == truth
    (evidence,) = township.query("select evidence from fault where kind = 'fork'")[0]
    fork = msgspec.msgpack.decode(bytes(evidence), type=Fork)
    record = decode_record(fork.record)
    assert isinstance(record, Frame)
    continued, _ = Frontier.from_bytes(fork.frontier).extend([leaf_hash(entry) for entry in record.entries])
    assert continued.root() == parse_checkpoint(parse_note(fork.theirs.encode()).text).root
    assert record.entries[0] != truth[fork.first]


def test_a_frozen_log_stays_frozen_and_its_honest_continuation_is_refused(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    nodes.channel.publish(up_lane(VILLAGE), [frame(village, 0, bodies(village, "other"))])
    nodes.settle()
    held = township.log(village.origin)

    village.chat(2)
    nodes.settle()

    assert township.log(village.origin) == held
    assert village.secured() < village.size()


def test_entries_that_were_altered_on_their_way_are_asked_for_again(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    spoils = [True]

    def spoil(_: str, record: bytes) -> list[bytes]:
        if is_frame_of(village, record) and spoils and spoils.pop():
            return [record.replace(b"leg.handed_over.v0", b"leg.handed_Over.v0")]
        return [record]

    village.above = Tampering(village.channel, spoil)
    village.crash()
    village.start()
    village.chat(4)

    nodes.settle()

    assert township.log(village.origin) == village.log(village.origin)
    assert township.query("select kind from fault") == [("mismatch",)]
    assert township.faults() == {}


def test_a_frame_that_was_spoiled_in_a_cause_waits_for_nothing(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    spoils = [True]

    def spoil(_: str, record: bytes) -> list[bytes]:
        if is_frame_of(village, record) and township.origin.encode() in record and spoils and spoils.pop():
            return [record.replace(township.origin.encode(), township.origin.replace("a", "e").encode())]
        return [record]

    village.above = Tampering(village.channel, spoil)
    village.crash()
    village.start()
    first = township.say(NodeOpened, origin=township.origin, name="x", parent=None)
    nodes.settle()
    village.chat(1, (township.cause(first),))

    nodes.heal(lambda: township.log(village.origin) == village.log(village.origin))

    assert not spoils
    assert township.query("select count(*) from parked") == [(0,)]


def test_what_another_key_signed_is_not_believed(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    thief = Ed25519Signer(village.origin, ED25519, bytes(32))
    note = sign_note(Checkpoint(village.origin, 2, bytes(32)).text(), thief).to_bytes().decode()

    nodes.channel.publish(up_lane(VILLAGE), [encode(Frame(village.origin, 1, note, [b"{}"], []))])
    nodes.settle()

    assert township.faults() == {"bad_signature": up_lane(VILLAGE)}
    assert township.log(village.origin) == village.log(village.origin)
    assert neighbours_go_on(nodes)


def test_32_no_lane_carries_what_stands_below_another_child(nodes: Hierarchy) -> None:
    township, neighbour = nodes[TOWNSHIP], nodes[NEIGHBOUR]
    held = township.log(neighbour.origin)

    nodes.channel.publish(up_lane(VILLAGE), [frame(neighbour, 1, bodies(neighbour, "stolen"), held)])
    nodes.settle()

    assert township.faults() == {"misplaced": up_lane(VILLAGE)}
    assert township.log(neighbour.origin) == held


def test_no_fault_keeps_what_was_sealed_beside_the_leaves_that_show_it(nodes: Hierarchy) -> None:
    village, township, neighbour = nodes[VILLAGE], nodes[TOWNSHIP], nodes[NEIGHBOUR]
    village.chat(3)
    nodes.settle()
    truth, secret = township.log(village.origin), b"wrapped key and sealed words"
    forked = frame(village, 1, bodies(village, "other", "past"), truth)
    broken = frame(village, len(truth), bodies(village, "one"), truth[:-1])
    stolen = frame(neighbour, 1, bodies(neighbour, "stolen"), township.log(neighbour.origin))

    for record in (broken, stolen, forked):
        read = decode_record(record)
        assert isinstance(read, Frame)
        beside = [Beside(read.first, 0, secret)]
        nodes.channel.publish(up_lane(VILLAGE), [encode(msgspec.structs.replace(read, beside=beside))])
        nodes.settle()
    nodes.channel.publish(up_lane(VILLAGE), [b"\x81" + secret])
    nodes.settle()

    kinds = dict(township.query("select kind, evidence from fault"))
    assert set(kinds) >= {"fork", "misplaced", "wire_invalid"}
    for evidence in kinds.values():
        assert evidence
        assert secret not in bytes(evidence)
    kept = decode_record(bytes(kinds["misplaced"]))
    assert isinstance(kept, Frame)
    assert kept.entries == bodies(neighbour, "stolen")


def test_an_unknown_author_waits_and_does_not_hold_up_the_lane(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    stranger = f"huiyin.example/{int(VILLAGE) + 7}/1"
    signer = Ed25519Signer(stranger, ED25519, bytes(32))
    note = sign_note(Checkpoint(stranger, 1, bytes(32)).text(), signer).to_bytes().decode()

    nodes.channel.publish(up_lane(VILLAGE), [encode(Frame(stranger, 0, note, [b"{}"], []))])
    village.chat(1)
    nodes.settle()

    assert township.faults() == {"unknown_author": stranger}
    assert township.query("select log, reason from parked") == [(stranger, "unknown_author")]
    assert village.secured() == village.size()


def test_a_letter_that_its_sender_did_not_sign_counts_for_nothing(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    genuine: list[bytes] = []
    village.above = Tampering(village.channel, lambda _, record: genuine.append(record) or [record])
    village.crash()
    village.start()
    village.chat(1)
    nodes.settle()
    letters = [record for record in genuine if not is_frame_of(village, record)]

    nodes.channel.publish(up_lane(NEIGHBOUR), [letters[0]])
    nodes.settle()

    assert township.faults() == {"letter_forged": up_lane(NEIGHBOUR)}


def test_bytes_that_are_no_record_are_counted_and_passed_over(nodes: Hierarchy) -> None:
    nodes.channel.publish(up_lane(VILLAGE), [b"", b"\xff" * 50, b"\x81\xa4type\xa8nonsense"])
    nodes[VILLAGE].chat(1)
    nodes.settle()

    township = nodes[TOWNSHIP]
    assert township.query("select kind, count from fault") == [("wire_invalid", 3)]
    assert nodes[VILLAGE].secured() == nodes[VILLAGE].size()


def test_31_leaves_that_are_no_event_are_stored_proven_faulted_and_stop_nothing(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    odd = [
        b"not even json",
        b'{"type":"leg.accepted.v0","half":1}',
        b'{"type":"from.the.future.v7"}',
        b'{"type":"nul\\u0000in.it"}',
        b"",
        b'{"type":' + b"[" * 5_000,
    ]
    stream = village.chance.uuid()
    events = [NewEvent(stream, number, "made.up.v0", None, body) for number, body in enumerate(odd, 1)]
    village.writer.append(Append(events)).result()

    nodes.settle()

    assert township.log(village.origin)[-len(odd) :] == odd
    topics = township.query("select topic from ledger where via = 1 order by pos desc limit %s", (len(odd),))
    assert [topic for (topic,) in topics[::-1]] == ["?", "?", "from.the.future.v7", "?", "?", "?"]
    faults = township.query("select subject from fault where kind = 'undecodable' order by subject")
    assert faults == [(f"{village.origin}#{seq}",) for seq in (1, 2, 4, 5, 6)]
    assert village.secured() == village.size()


def test_what_waits_is_bounded_and_heals_when_the_gap_is_filled(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    deaf = [True]
    first_lost: list[bytes] = []

    def lose_first(_: str, record: bytes) -> list[bytes]:
        if is_frame_of(village, record) and deaf and not first_lost:
            first_lost.append(record)
        return [] if deaf and first_lost and record == first_lost[0] else [record]

    village.above = Tampering(village.channel, lose_first)
    village.crash()
    village.start()
    for _ in range(PARKED_FRAMES + 20):
        village.chat(1)
        village.exchange.pump_seal()
    while village.exchange.pump_up():
        pass
    while township.exchange.pump_inbox():
        pass

    assert township.query("select count(*) from parked") == [(PARKED_FRAMES,)]
    assert set(township.faults()) == {"gap", "parked_full"}
    assert neighbours_go_on(nodes)
    deaf.clear()

    nodes.heal(lambda: village.secured() == village.size(), waits=120)

    assert township.log(village.origin) == village.log(village.origin)
    assert township.query("select count(*) from parked") == [(0,)]


def test_a_certificate_that_has_run_out_is_refused_until_it_is_renewed(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.chat(1)
    nodes.clock.at_us += 30 * 365 * 86_400 * 1_000_000

    nodes.settle()

    assert township.faults() == {"expired": village.origin}
    assert village.faults() == {"refused_above": village.origin}
    assert village.secured() < village.size()


def test_34_a_lane_that_was_made_anew_is_read_again_and_nothing_is_doubled(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.chat(5)
    nodes.settle()
    with psycopg.connect(nodes.channel_dsn, autocommit=True) as conn:
        conn.execute("truncate channel.lane, channel.record")
    village.chat(1)

    nodes.heal(lambda: village.secured() == village.size())

    assert township.log(village.origin) == village.log(village.origin)
    assert "lane_reset" in township.faults()


@pytest.mark.parametrize("dies", ["dies_before_commit", "dies_after_commit"])
def test_whichever_step_dies_wherever_everything_arrives_once(nodes: Hierarchy, dies: str) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    for node in (village, township):
        for name, _ in node.pumps():
            village.chat(1)
            for other in nodes.nodes.values():
                for step, pump in other.pumps():
                    if other is node and step == name:
                        break
                    pump()
            setattr(node.store, dies, True)
            node.step()
            nodes.settle()

    nodes.heal(nodes.all_secured)

    assert township.log(village.origin) == village.log(village.origin)
    assert township.faults() == {}


def test_the_faults_of_a_child_are_bounded_and_a_fork_always_has_its_row(nodes: Hierarchy) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    stream = village.chance.uuid()
    odd = [NewEvent(stream, number, "made.up.v0", None, b"no event %d" % number) for number in range(1, 251)]
    village.writer.append(Append(odd)).result()
    nodes.settle()

    nodes.channel.publish(up_lane(VILLAGE), [b"nonsense", frame(village, 0, bodies(village, "other"))])
    nodes.settle()

    rows = township.query("select kind, count(*), sum(count) from fault where child = %s group by 1", (VILLAGE,))
    counts = {kind: (rows, times) for kind, rows, times in rows}
    assert counts["fork"] == (1, 1)
    assert counts["undecodable"] == (FAULTS_PER_CHILD, FAULTS_PER_CHILD)
    assert counts[MORE_FAULTS] == (1, 250 - FAULTS_PER_CHILD + 1)
    with township.store.transaction() as tx:
        tx.fault([Fault("waits", "x", NEIGHBOUR, "another child has room")], nodes.clock.at_us)
    assert township.faults()["waits"] == "x"


def test_a_fault_that_is_over_and_the_count_of_the_rest_are_dropped_after_a_month(nodes: Hierarchy) -> None:
    township = nodes[TOWNSHIP]
    with township.store.transaction() as tx:
        now_us = nodes.clock.at_us
        tx.fault([Fault("waits", "over", VILLAGE, ""), Fault("waits", "stands", VILLAGE, "")], now_us)
        tx.fault([Fault("undecodable", f"x#{number}", VILLAGE, "") for number in range(FAULTS_PER_CHILD)], now_us)
        tx.heal(["waits"], ["over"], now_us)
    nodes.clock.pass_s(31 * 86_400)

    nodes.settle()

    subjects = {subject for (subject,) in township.query("select subject from fault")}
    assert "stands" in subjects
    assert not subjects & {"over", up_lane(VILLAGE)}


def test_what_a_child_has_not_read_is_dropped_a_month_after_its_certificate_ran_out_and_not_before(
    nodes: Hierarchy,
) -> None:
    village, township = nodes[VILLAGE], nodes[TOWNSHIP]
    village.chat(1)
    village.step()
    township.step()
    ((unread,),) = township.query("select down_size - down_acked from child where division = %s", (VILLAGE,))
    known = township.exchange.trust.directory.division(VILLAGE)
    assert known is not None
    assert unread > 0
    kept = "select count(*) from down, child where child = division and division = %s and seq > down_acked"
    for at_us in (known.certificate.valid_to_us, known.certificate.valid_to_us + 31 * 86_400 * 1_000_000):
        assert township.query(kept, (VILLAGE,)) == [(unread,)]
        nodes.clock.at_us = at_us
        nodes.clock.at_s += 7_200
        township.exchange.pump_down()

    assert township.query(kept, (VILLAGE,)) == [(0,)]


def test_what_the_database_refuses_of_a_leaf_is_a_fault_of_that_leaf_and_the_rest_of_the_batch_flows(
    nodes: Hierarchy,
) -> None:
    village, neighbour, township = nodes[VILLAGE], nodes[NEIGHBOUR], nodes[TOWNSHIP]
    with psycopg.connect(township.dsn) as conn:
        conn.execute("alter table ledger add constraint refusing check (topic = '?' or via = 0 or version <> 3)")
    village.chat(5)
    neighbour.chat(2)
    nodes.settle()

    assert township.log(village.origin) == village.log(village.origin)
    assert village.secured() == village.size()
    assert neighbour.secured() == neighbour.size()
    (bad,) = village.query("select seq from ledger where log_id = 1 and version = 3 and topic <> 'node.opened.v0'")[0]
    assert township.faults() == {"undecodable": f"{village.origin}#{bad}"}
