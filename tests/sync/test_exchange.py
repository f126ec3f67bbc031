"""A village, a township, a county and a city: what one says reaches the others, whatever happens on the way."""

import time
from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest

from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.exchange import Trust
from sync.exchange.pump import Pump
from sync.exchange.pumping import Pumping
from sync.exchange.status import child_statuses, faults, own_status
from sync.exchange.wire import Held
from sync.proofs.merkle import leaf_hash, verify_inclusion
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Ed25519Signer,
    parse_checkpoint,
    parse_note,
    sign_note,
    verify,
)
from sync.proofs.tree import OWN_LOG
from sync.proofs.witness import add_checkpoint, question, take_answer
from sync.trust.certificates import Directory
from tests.sync.hierarchy import CITY, COUNTY, TOWNSHIP, VILLAGE, Hierarchy, Node, Tampering, Weather, hierarchy
from tests.sync.test_witness import Memory

NONCE = b"by chance, 16 by"

ABOVE = (TOWNSHIP, COUNTY, CITY)


@pytest.fixture
def chain(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "chain", CITY, COUNTY, TOWNSHIP, VILLAGE) as nodes:
        yield nodes


@pytest.fixture
def pair(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "pair", TOWNSHIP, VILLAGE) as nodes:
        nodes.settle()
        yield nodes


def is_causal(node: Node) -> bool:
    """Whether every event stands behind its author's earlier ones."""
    seen: dict[int, int] = {}
    for row in node.ledger():
        if row.seq != seen.get(row.log_id, -1) + 1:
            return False
        seen[row.log_id] = row.seq
    return True


def test_what_a_village_says_reaches_the_city_once_in_the_same_bytes_and_is_cosigned_back(chain: Hierarchy) -> None:
    village = chain[VILLAGE]
    village.chat(30)

    chain.settle()

    said = village.log(village.origin)
    assert len(said) == 31
    for above in ABOVE:
        assert chain[above].log(village.origin) == said
        assert chain[above].faults() == {}
        assert is_causal(chain[above])
    assert chain.all_secured()
    witnesses = village.query("select distinct witness from cosignature where log_id = 1 and size = 31 order by 1")
    assert witnesses == [(chain[above].cosigner.verifier.name,) for above in (CITY, COUNTY, TOWNSHIP)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bad_weather_costs_time_and_nothing_else(chain: Hierarchy, seed: int) -> None:
    storms = []
    for node in chain.nodes.values():
        node.above, node.below = Weather(node.channel, seed), Weather(node.channel, seed + 10)
        storms += [node.above, node.below]
        node.crash()
        node.start()
    for _ in range(12):
        for division in (VILLAGE, TOWNSHIP, COUNTY):
            chain[division].chat(2)
            chain[division].step()
    chain.heal(lambda: all(chain[CITY].log(chain[d].origin) == chain[d].log(chain[d].origin) for d in chain.nodes))
    for storm in storms:
        storm.bad = 0.0
    chain.heal(chain.all_secured)

    for lower in chain.nodes.values():
        for upper in chain.nodes.values():
            if upper.division < lower.division:
                assert upper.log(lower.origin) == lower.log(lower.origin)
                assert is_causal(upper)
                assert upper.faults() == {}
    assert sum(storm.lost for storm in storms) > 3
    assert sum(storm.doubled for storm in storms) > 3


def test_a_leaf_is_proven_under_a_checkpoint_that_the_parent_cosigned(pair: Hierarchy) -> None:
    village, township = pair[VILLAGE], pair[TOWNSHIP]
    village.chat(300)
    witness = village.exchange.witness_name()
    assert witness is not None
    assert village.exchange.proof(OWN_LOG, 250, witness) is None
    pair.settle()
    village.chat(5)
    pair.settle()

    proof = village.exchange.proof(OWN_LOG, 250, witness)

    assert proof is not None
    note = parse_note(proof.checkpoint.encode())
    assert len(verify(note, [village.signer.verifier, township.cosigner.verifier])) == 2
    head = parse_checkpoint(note.text)
    leaf = leaf_hash(village.log(village.origin)[250])
    verify_inclusion(proof.index, head.size, leaf, proof.path, head.root)
    assert village.exchange.cosigned_size(witness) == village.size()


def test_the_root_has_its_log_cosigned_by_a_witness_outside_the_line(pair: Hierarchy) -> None:
    root = pair[TOWNSHIP]
    outside = Ed25519Signer("audit.example/w", COSIGNATURE_V1, root.chance(32))
    memory = Memory()
    held: int | None = None
    for told in (None, None, 409):
        root.chat(4)
        pair.settle()
        if told == 409:  # the root has forgotten what the witness holds
            root.query("delete from cosignature where witness = %s returning 1", (outside.verifier.name,))
        for _ in range(2):
            with root.store.transaction() as tx:
                note = tx.newest_note(OWN_LOG)
                assert note is not None
                asked = question(tx, outside.verifier, note, held)
                if asked is None:
                    break
                logs = {root.origin: [root.signer.verifier]}
                answer = add_checkpoint(memory, logs, outside, asked.body, pair.clock.at_us)
                held = take_answer(tx, asked, answer.status, answer.body, outside.verifier, pair.clock.at_us)

        assert root.exchange.cosigned_size(outside.verifier.name) == root.size()
    assert root.exchange.proof(OWN_LOG, root.size() - 1, outside.verifier.name) is not None


def test_own_events_are_sealed_where_something_learned_stands_between(pair: Hierarchy) -> None:
    village, township = pair[VILLAGE], pair[TOWNSHIP]
    before = township.size()
    township.chat(3)
    village.chat(2)
    village.exchange.pump_seal()
    village.exchange.pump_up()
    township.exchange.pump_inbox()
    township.chat(4)

    township.exchange.pump_seal()

    sizes = township.query("select size from checkpoint where log_id = 1 and size > %s order by size", (before,))
    assert sizes == [(before + 3,), (before + 7,)]


def test_a_node_that_asks_first_learns_that_it_agrees(pair: Hierarchy) -> None:
    village = pair[VILLAGE]
    assert village.exchange.standing() == "unasked"
    village.exchange.ask_parent(NONCE)
    assert village.exchange.standing() == "unanswered"
    pair.clock.pass_s(3)

    pair.settle()

    assert village.exchange.standing() == "agrees"


def back_up(node: Node, postgres: PostgresServer) -> str:
    """The database that a restore of this moment gives."""
    node.crash()
    name = f"{psycopg.conninfo.conninfo_to_dict(node.dsn)['dbname']}"
    postgres.create_database(f"{name}_backup", template=name)
    node.start()
    return postgres.dsn(f"{name}_backup")


def restore(node: Node, backup: str) -> None:
    node.crash()
    node.dsn = backup
    node.start()


def test_a_node_from_an_old_backup_learns_that_it_is_behind(pair: Hierarchy, postgres: PostgresServer) -> None:
    village = pair[VILLAGE]
    backup = back_up(village, postgres)
    village.chat(5)
    pair.settle()
    restore(village, backup)

    village.exchange.ask_parent(NONCE)
    pair.clock.pass_s(3)
    pair.settle()

    assert village.exchange.standing() == "behind"


def test_a_restored_node_is_behind_what_its_parent_only_keeps_waiting_after_a_lost_record(
    pair: Hierarchy, postgres: PostgresServer
) -> None:
    village, township = pair[VILLAGE], pair[TOWNSHIP]
    backup = back_up(village, postgres)
    lost: list[bytes] = []
    village.above = Tampering(village.channel, lambda _, record: [record] if lost else lost.append(record) or [])
    restore(village, village.dsn)
    for _ in range(3):
        village.chat(1)
        village.exchange.pump_seal()
        village.exchange.pump_up()
    township.exchange.pump_inbox()
    assert township.query("select count(*) from parked") == [(2,)]
    restore(village, backup)

    village.exchange.ask_parent(NONCE)
    pair.clock.pass_s(3)
    village.exchange.pump_arrivals()
    township.exchange.pump_inbox()
    township.exchange.pump_down()
    village.exchange.pump_arrivals()

    pair.clock.pass_s(3)
    pair.settle()

    assert village.exchange.standing() == "behind"


def test_an_answer_that_the_asker_never_signed_ends_no_probation_and_a_true_one_still_does(pair: Hierarchy) -> None:
    village, township = pair[VILLAGE], pair[TOWNSHIP]
    forger = Ed25519Signer(village.origin, ED25519, village.chance(32))
    forged = sign_note(Checkpoint(village.origin, 1, bytes(32)).text(), forger).to_bytes().decode()
    ((true_note,),) = village.query("select note from checkpoint where log_id = 1 order by size desc limit 1")
    village.exchange.ask_parent(NONCE)
    nonce = bytes(village.query("select nonce from held")[0][0])

    for answer in (
        Held(nonce, village.origin, 1, forged),
        Held(nonce, village.origin, 999, str(true_note)),  # not the size it says
        Held(nonce, village.origin, 1, "nonsense"),
    ):
        with township.store.transaction() as tx:
            tx.enqueue(VILLAGE, [answer], pair.clock.at_us)
        township.exchange.pump_down()
        village.exchange.pump_arrivals()
        assert village.exchange.standing() == "unanswered"
    assert village.faults() == {"held_invalid": village.origin}

    pair.clock.pass_s(3)
    pair.settle()

    assert village.exchange.standing() == "agrees"
    assert village.faults() == {}


def test_the_status_says_who_lags_and_what_is_secured(pair: Hierarchy) -> None:
    village, township = pair[VILLAGE], pair[TOWNSHIP]
    village.chat(4)
    witness = village.exchange.witness_name()
    assert witness is not None
    with village.store.transaction() as tx:
        before = own_status(tx, witness)
    pair.settle()
    pair.channel.publish("up." + VILLAGE, [b"nonsense"])
    pair.settle()

    with village.store.transaction() as tx:
        after = own_status(tx, witness)
    with township.store.transaction() as tx:
        (child,) = child_statuses(tx)
        (fault,) = faults(tx)

    assert (before.cosigned_size, before.unsealed) == (1, 4)
    assert (after.log_size, after.cosigned_size, after.unsealed, after.unsecured_rows) == (5, 5, 0, 0)
    assert (child.division, child.log_size, child.lag, child.open_faults) == (VILLAGE, 5, 0, 1)
    assert child.heard_us == pair.clock.at_us
    assert fault.kind == "wire_invalid"


def test_a_pump_that_dies_tells_why_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, str, float]] = []

    def step() -> bool:
        raise ValueError("410221-2026-17")

    def on_trouble(name: str, error: BaseException, again_in_s: float) -> None:
        told.append((name, type(error).__name__, again_in_s))

    pump = Pump("up", step, lambda: None, on_trouble, lambda _: False)
    pump.start()
    pump.join()
    assert told == [("up", "ValueError", 0)]
    assert isinstance(pump.failure, ValueError)
    assert capfd.readouterr() == ("", "")


def test_running_pumps_bring_an_event_up_and_its_cosignature_back_at_once(pair: Hierarchy) -> None:
    village = pair[VILLAGE]
    troubles: list[object] = []
    running = [
        Pumping(node.exchange, node.writer.tip, lambda *trouble: troubles.append(trouble), lambda _: False)
        for node in pair.nodes.values()
    ]
    for pumping in running:
        pumping.start()
    started = time.monotonic()
    village.chat(1)
    while village.secured() < village.size() and time.monotonic() - started < 20:
        time.sleep(0.01)
    took = time.monotonic() - started
    for pumping in running:
        pumping.stop()

    assert village.secured() == village.size()
    assert took < 10
    assert troubles == []
    assert [pump.failure for pumping in running for pump in pumping.pumps if pump.failure] == []


def test_an_enrolment_stored_unknown_to_its_caller_is_not_done_again(pair: Hierarchy) -> None:
    township, village = pair[TOWNSHIP], pair[VILLAGE]
    ((certificate,),) = township.query("select body from certificate where division = %s", (VILLAGE,))
    own = township.log(township.origin)
    root = Directory(township.pin).adding_all(township.certificates)
    township.exchange.trust = Trust(root, nullcontext())  # as where the answer of the writer was lost
    record = township.recording(VILLAGE)
    later_us = township.clock.now_us() + 5
    assert township.exchange.admit(village.request, later_us, later_us + 9, record).certificates[-1] == certificate
    assert township.log(township.origin) == own
    assert township.query("select count(*) from certificate where division = %s", (VILLAGE,)) == [(1,)]
