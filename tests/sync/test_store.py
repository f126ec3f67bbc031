"""What the exchange relies on in a store, on every implementation: PLACES names them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import pytest

from domain.divisions import Division
from sync.exchange.acts import ForOrganBelow
from sync.exchange.channel import down_lane, up_lane
from sync.exchange.checkpoints import SEALED, seal
from sync.exchange.faults import FAULTS_PER_CHILD, MORE_FAULTS, Fault
from sync.exchange.inbox_store import Parked, Part
from sync.exchange.outbox import RELAYED, REWOUND
from sync.exchange.returning import Returning
from sync.exchange.store import NotStorable, Store
from sync.exchange.store_postgres import PostgresStore
from sync.exchange.wire import AskRange, Enclosure, Held, encode, items_of
from sync.ledger.append import Act, Append, Learned, NewEvent
from sync.ledger.rows import FROM_ABOVE, FROM_BELOW, OWN
from sync.ledger.writer import Writer
from sync.proofs.merkle import Frontier, Prover, leaf_hash, verify_inclusion
from sync.proofs.note import ED25519, Ed25519Signer
from sync.proofs.tree import OWN_LOG, Growth, SignedHead, TreeMoved
from sync.sealed.acts import PartsBeside
from tests.sync.memory_ledger import MemoryLedger, MemoryWriter
from tests.sync.memory_store import MemoryStore
from tests.sync.memory_tables import Tables

HERE, CHILD, OTHER = Division("410221100000"), Division("410221100201"), Division("410221100202")
OWN_ORIGIN, ORIGIN = f"huiyin.example/{HERE}/1", f"huiyin.example/{CHILD}/1"
CASE = UUID(int=9)
NOW_US = 1_767_225_600_000_000


class Place(NamedTuple):
    """A store, and what a node's writer does beside it: own events, and of the last of them the parts beside it and
    the organ below that it is for, if any.
    """

    store: Store
    append: Callable[[Sequence[NewEvent], Sequence[bytes], Division | None], object]


@contextmanager
def postgres_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """On PostgreSQL."""
    dsn: str = request.getfixturevalue("database")

    with Writer(dsn, OWN_LOG, lambda: NOW_US) as writer:
        store = PostgresStore(dsn, writer)
        yield Place(store, appending(writer))
        store.close()


@contextmanager
def memory_place(_: pytest.FixtureRequest) -> Iterator[Place]:
    """In memory."""
    tables = Tables()
    writer = MemoryWriter(MemoryLedger(tables), lambda: NOW_US)
    yield Place(MemoryStore(tables, writer), appending(writer))


def appending(
    writer: Writer | MemoryWriter,
) -> Callable[[Sequence[NewEvent], Sequence[bytes], Division | None], object]:
    """See Place."""

    def append(events: Sequence[NewEvent], parts: Sequence[bytes], organ: Division | None) -> object:
        last = events[-1]
        beside: list[Act] = [PartsBeside(last.stream, last.version, parts)] if parts else []
        if organ is not None:
            beside.append(ForOrganBelow(last.stream, organ))
        return writer.append(Append(events, beside=beside)).result()

    return append


PLACES = [postgres_place, memory_place]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One implementation after the other, with the node's own log planted."""
    with request.param(request) as made:
        with made.store.transaction() as tx:
            assert tx.plant(OWN_ORIGIN, HERE).log_id == OWN_LOG
            tx.write_log(OWN_LOG, 0)
        yield made


@pytest.fixture
def store(place: Place) -> Store:
    """The store alone."""
    return place.store


def own(count: int, version: int = 1) -> list[NewEvent]:
    return [
        NewEvent(UUID(int=1), version + n, "case.imagined.v0", CASE, b"own %d" % (version + n)) for n in range(count)
    ]


def learned(log_id: int, seq: int, case: UUID | None = CASE) -> Learned:
    body = b"leaf %d of %d" % (seq, log_id)
    return Learned(log_id, seq, UUID(int=2), seq + 1, "case.imagined.v0", case, body, leaf_hash(body))


def learn_below(store: Store, count: int) -> int:
    """Leaves of the child's log with a head at the end; its id."""

    def job(tx):  # type: ignore[no-untyped-def]
        tree = tx.plant(ORIGIN, CHILD)
        rows = [learned(tree.log_id, seq) for seq in range(count)]
        tx.learn(FROM_BELOW, rows)
        frontier, tiles = tree.frontier.extend([row.leaf for row in rows])
        tx.grow([Growth(tree, frontier, tiles, [SignedHead(count, frontier.root(), f"head at {count}")])])
        return tree.log_id

    return store.learning(job)


class Cut(Exception):
    """What a test raises in the middle of a transaction."""


def test_a_transaction_that_is_left_by_an_exception_leaves_nothing(store: Store) -> None:
    def cut() -> None:
        with store.transaction() as tx:
            tx.move("somebody", 7)
            tx.enqueue(CHILD, [AskRange(ORIGIN, 0)], NOW_US)
            assert tx.position("somebody") == 7
            raise Cut

    with pytest.raises(Cut):
        cut()

    with store.transaction() as tx:
        assert (tx.position("somebody"), tx.claim("somebody"), tx.children()) == (0, 0, [])


def test_a_job_that_fails_learns_nothing_and_the_next_one_takes_its_positions(store: Store) -> None:
    def failing(tx):  # type: ignore[no-untyped-def]
        tx.learn(FROM_BELOW, [learned(tx.log_id(ORIGIN, CHILD), 0)])
        raise Cut

    failed = store.learning_soon(failing)
    log_id = learn_below(store, 2)
    with pytest.raises(Cut):
        failed.result()

    with store.transaction() as tx:
        assert [(row.pos, row.log_id, row.seq) for row in tx.read(0, 10)] == [(1, log_id, 0), (2, log_id, 1)]


def test_a_leaf_that_is_there_already_is_not_storable_and_nothing_else_of_the_job_is(store: Store) -> None:
    log_id = learn_below(store, 2)

    def again(tx):  # type: ignore[no-untyped-def]
        tx.move("somebody", 7)
        tx.learn(FROM_BELOW, [learned(log_id, 2), learned(log_id, 1)])

    with pytest.raises(NotStorable):
        store.learning(again)
    with store.transaction() as tx:
        assert (len(tx.read(0, 10)), tx.position("somebody")) == (2, 0)


def test_only_a_job_takes_part_in_the_order_of_the_ledger(place: Place) -> None:
    place.append(own(2), [], None)
    with place.store.transaction() as tx:
        with pytest.raises(RuntimeError):
            tx.learn(FROM_BELOW, [])
        with pytest.raises(RuntimeError):
            assert tx.own_size
    assert place.store.learning(lambda tx: tx.own_size) == 2


def test_own_and_learned_events_are_read_in_the_order_learned_with_what_lies_beside(place: Place) -> None:
    place.append(own(1), [b"sealed", b"too"], None)
    log_id = learn_below(place.store, 2)
    place.append(own(1, version=2), [], None)

    with place.store.transaction() as tx:
        rows = tx.read(0, 10)
        assert [(row.pos, row.via, row.seq, row.known_us) for row in rows] == [
            (1, OWN, 0, NOW_US),
            (2, FROM_BELOW, 0, NOW_US),
            (3, FROM_BELOW, 1, NOW_US),
            (4, OWN, 1, NOW_US),
        ]
        assert tx.read(1, 2) == rows[1:3]
        assert tx.read_case(CASE, 3) == tx.read_cases([CASE, UUID(int=10)], 3) == rows[:3]
        assert [(line.pos, line.size_bytes) for line in tx.outline(0, 10)] == [(1, 14), (2, 11), (3, 11), (4, 5)]
        assert tx.parts([(OWN_LOG, 0, 2)]) == {OWN_LOG: [Part(OWN_LOG, 0, 0, b"sealed"), Part(OWN_LOG, 0, 1, b"too")]}
        assert tx.parts([(OWN_LOG, 1, 2)]) == {}
        assert tx.leaves(log_id, 1, 5) == [b"leaf 1 of %d" % log_id]
        assert tx.known_leaves([(log_id, 1), (log_id, 2)]) == {(log_id, 1): rows[2].leaf}
        assert tx.origins([OWN_LOG, log_id]) == {OWN_LOG: OWN_ORIGIN, log_id: ORIGIN}


def test_an_own_event_for_an_organ_below_is_found_by_its_stream(place: Place) -> None:
    place.append(own(1), [], CHILD)
    with place.store.transaction() as tx:
        assert tx.onward([UUID(int=1), UUID(int=2)]) == {UUID(int=1): CHILD}


def test_a_part_that_is_there_already_stays(place: Place) -> None:
    place.append(own(1), [b"first"], None)
    place.store.learning(lambda tx: tx.keep_parts([Part(OWN_LOG, 0, 0, b"second"), Part(OWN_LOG, 0, 1, b"more")]))
    with place.store.transaction() as tx:
        assert [part.body for part in tx.parts([(OWN_LOG, 0, 1)])[OWN_LOG]] == [b"first", b"more"]


def test_a_tree_grows_only_from_the_size_that_it_has(store: Store) -> None:
    log_id = learn_below(store, 300)
    with store.transaction() as tx:
        tree = tx.tree(log_id)
        stale = Growth(tx.plant(ORIGIN, CHILD), Frontier(), [], [])
        proof = Prover(tx.hashes(log_id), 300).inclusion(7)
        assert tx.trees([ORIGIN, "nobody/1"]) == {ORIGIN: tree}
        assert tx.trees_by_id([log_id, 77]) == {log_id: tree}
        with pytest.raises(LookupError):
            tx.tree(77)
    verify_inclusion(7, 300, leaf_hash(b"leaf 7 of %d" % log_id), proof, tree.frontier.root())
    with pytest.raises(TreeMoved), store.transaction() as tx:
        tx.grow([stale])
    with store.transaction() as tx:
        tx.freeze(log_id, "fork")
    with store.transaction() as tx:
        assert (tx.tree(log_id).size, tx.tree(log_id).frozen) == (300, "fork")


def test_heads_and_cosignatures_are_found_by_the_leaf_that_they_cover(place: Place) -> None:
    signer = Ed25519Signer(OWN_ORIGIN, ED25519, bytes(32))
    for at in (1, 2, 3):
        place.append(own(2, version=2 * at - 1), [], None)
        with place.store.transaction() as tx:
            assert seal(tx, [signer])
    with place.store.transaction() as tx:
        tx.keep_cosignatures("w", [(OWN_LOG, 4, "first")], NOW_US)
        tx.keep_cosignatures("w", [(OWN_LOG, 4, "second"), (OWN_LOG, 6, "third")], NOW_US)
        tx.keep_cosignatures("a", [(OWN_LOG, 6, "other")], NOW_US)

    with place.store.transaction() as tx:
        assert not seal(tx, [signer])
        head = tx.head_at(OWN_LOG, 4)
        assert head is not None
        assert tx.head_at(OWN_LOG, 3) is None
        assert tx.head_beyond(OWN_LOG, 2) == tx.cosigned_head(OWN_LOG, 0, "w") == head
        assert tx.head_beyond(OWN_LOG, 6) is tx.cosigned_head(OWN_LOG, 0, "x") is None
        assert [head.size for head in tx.heads([(OWN_LOG, 2, 3)])[OWN_LOG]] == [4]
        assert [head.size for head in tx.heads([(OWN_LOG, 0, 5)])[OWN_LOG]] == [2, 4, 6]
        assert tx.heads([(OWN_LOG, 0, 6)]) == {}
        assert (tx.cosigned_size(OWN_LOG, "w"), tx.cosigned_size(OWN_LOG, "x")) == (6, 0)
        assert tx.cosigned_since(OWN_LOG, ["w"], 3) == tx.cosigned_since(OWN_LOG, ["x", "w"], 0) == NOW_US
        assert tx.cosigned_since(OWN_LOG, ["a"], 6) is tx.cosigned_since(OWN_LOG, ["x"], 0) is None
        assert tx.cosignature_lines(OWN_LOG, 6) == ["other", "third"]
        assert tx.cosignature_lines(OWN_LOG, 4) == ["first"]
        newest = tx.last_cosigned([OWN_LOG, 9], "w")
        assert {log_id: (last.size, last.line) for log_id, last in newest.items()} == {OWN_LOG: (6, "third")}


def test_a_cosignature_gives_way_only_to_one_by_another_key(place: Place) -> None:
    place.append(own(2), [], None)
    with place.store.transaction() as tx:
        seal(tx, [Ed25519Signer(OWN_ORIGIN, ED25519, bytes(32))])
    for line in ("— w AAAAA1", "— w AAAAA2", "— w BBBBB3", "— w BBBBB4"):
        with place.store.transaction() as tx:
            tx.keep_cosignatures("w", [(OWN_LOG, 2, line)], NOW_US)
    with place.store.transaction() as tx:
        assert tx.cosignature_lines(OWN_LOG, 2) == ["— w BBBBB3"]


def test_cosignatures_of_one_head_that_come_together_count_one_after_the_other(place: Place) -> None:
    place.append(own(2), [], None)
    with place.store.transaction() as tx:
        seal(tx, [Ed25519Signer(OWN_ORIGIN, ED25519, bytes(32))])
        twice, otherwise = (OWN_LOG, 2, "— w AAAAA1"), (OWN_LOG, 2, "— w BBBBB1")
        tx.keep_cosignatures("w", [twice, twice], NOW_US)
        assert tx.cosignature_lines(OWN_LOG, 2) == ["— w AAAAA1"]
        tx.keep_cosignatures("w", [(OWN_LOG, 2, "— w AAAAA2"), otherwise, (OWN_LOG, 2, "— w BBBBB2")], NOW_US)
        assert tx.cosignature_lines(OWN_LOG, 2) == ["— w BBBBB1"]


def test_what_goes_up_is_what_is_sealed_not_acknowledged_and_not_refused(place: Place) -> None:
    signer = Ed25519Signer(OWN_ORIGIN, ED25519, bytes(32))
    store = place.store
    place.append(own(2), [], None)
    log_id = learn_below(store, 2)
    store.learning(lambda tx: tx.learn(FROM_ABOVE, [learned(log_id, 7)]))

    def sendable() -> list[tuple[int, int]]:
        with store.transaction() as tx:
            return [(row.log_id, row.seq) for row in tx.sendable(0, 10)]

    assert sendable() == []
    with store.transaction() as tx:
        seal(tx, [signer])
        tx.move(RELAYED, tx.position(SEALED))
    assert sendable() == [(OWN_LOG, 0), (OWN_LOG, 1), (log_id, 0), (log_id, 1)]
    with store.transaction() as tx:
        tx.acknowledge_log(OWN_LOG, 1)
        tx.refuse_log(log_id, "fork")
        assert tx.sparse({log_id: 2, OWN_LOG: 0}) == {(log_id, 7): learned(log_id, 7).leaf}
    assert sendable() == [(OWN_LOG, 1)]
    with store.transaction() as tx:
        assert tx.lift_refusals()
        assert not tx.lift_refusals()
        assert (tx.position(RELAYED), tx.position(REWOUND)) == (2, 1)
        tx.send_again(OWN_LOG, 0)
        assert (tx.position(RELAYED), tx.position(REWOUND)) == (0, 2)
    assert sendable() == [(OWN_LOG, 0), (OWN_LOG, 1), (log_id, 0), (log_id, 1)]


def test_a_childs_sequence_is_numbered_kept_until_acknowledged_and_asked_for_again(store: Store) -> None:
    with store.transaction() as tx:
        for seq in range(3):
            tx.enqueue(CHILD, [AskRange(ORIGIN, seq)], NOW_US + seq)
        tx.heard(OTHER, 5, NOW_US)
        tx.acknowledged(CHILD, 9, 1)
        tx.acknowledged(CHILD, 1, 1)
        tx.ask_down(CHILD, 0)
    with store.transaction() as tx:
        assert [tuple(state) for state in tx.children()] == [(CHILD, 3, 3, 1), (OTHER, 0, 0, None)]
        assert tx.position(up_lane(OTHER)) == 5
        rows = tx.down_rows(CHILD, 1, 1)
        assert [(row.seq, items_of(row.items)) for row in rows] == [(2, items_of(encode([AskRange(ORIGIN, 1)])))]
        tx.resuming(CHILD)
        tx.forget_down(NOW_US + 1, [])
    with store.transaction() as tx:
        assert tx.children()[0].down_from is None
        assert [row.seq for row in tx.down_rows(CHILD, 0, 9)] == [2, 3]


def test_what_nobody_acknowledged_goes_once_its_child_is_gone_and_silent(store: Store) -> None:
    with store.transaction() as tx:
        for child in (CHILD, OTHER):
            tx.enqueue(child, [AskRange(ORIGIN, 0)], NOW_US)
        tx.heard(OTHER, 5, NOW_US + 9)
        tx.forget_down(NOW_US + 1, [CHILD, OTHER])
        assert (tx.down_rows(CHILD, 0, 9), len(tx.down_rows(OTHER, 0, 9))) == ([], 1)


def test_what_came_from_above_is_kept_with_its_proof_and_all_whom_it_is_for(store: Store) -> None:
    first = Enclosure([CHILD], ORIGIN, 3, b"body", [bytes(32), bytes([1]) * 32], "a checkpoint", [])
    later = Enclosure([OTHER, CHILD], ORIGIN, 3, b"body", [bytes(32)], "another", [])
    with store.transaction() as tx:
        tx.keep_enclosure(2, first)
        tx.keep_enclosure(2, later)
        tx.arrived(down_lane(HERE), 4, 2)
    with store.transaction() as tx:
        enclosed = tx.enclosed(2, 3)
        assert enclosed is not None
        assert (enclosed.addressed, enclosed.proof, enclosed.checkpoint) == (
            [CHILD, OTHER],
            first.proof,
            "a checkpoint",
        )
        assert tx.enclosed(2, 4) is None
        assert (tx.down_seq(), tx.position(down_lane(HERE))) == (2, 4)


def test_a_question_is_answered_once_and_by_its_nonce(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.held() is None
        tx.ask_held(b"first")
        tx.ask_held(b"second")
        assert tx.held() == (b"second", None)
        assert not tx.answered(Held(b"first", OWN_ORIGIN, 3, "note"))
        assert tx.answered(Held(b"second", OWN_ORIGIN, 3, "note"))
        assert not tx.answered(Held(b"second", OWN_ORIGIN, 4, "note"))
        assert tx.held() == (b"second", 3)


def test_what_cannot_be_read_yet_is_kept_in_order_until_it_can(store: Store) -> None:
    with store.transaction() as tx:
        tx.keep_unread(2, 0, b"later", NOW_US)
        tx.keep_unread(1, 1, b"earlier", NOW_US)
        tx.keep_unread(1, 1, b"again", NOW_US)
        assert tx.unread() == [(1, 1, b"earlier"), (2, 0, b"later")]
        tx.read_at_last(1, 1)
        assert tx.unread() == [(2, 0, b"later")]


def test_a_frame_waits_until_the_log_that_it_wants_has_the_size_that_it_wants(store: Store) -> None:
    def frame(first: int, size: int, record: bytes = b"record") -> Parked:
        return Parked(ORIGIN, first, CHILD, "gap", "wanted", size, record)

    with store.transaction() as tx:
        for parked in (frame(8, 5), frame(4, 3, b"old"), frame(4, 3, b"new"), frame(9, 6)):
            tx.park(parked, NOW_US)
        assert (tx.parked_load(CHILD), tx.parked_load(OTHER)) == ((3, 15), (0, 0))
        assert (tx.is_parked(ORIGIN, 3), tx.is_parked(ORIGIN, 4), tx.is_parked("other", 4)) == (False, True, False)
        assert tx.parked_records(ORIGIN) == [b"new", b"record", b"record"]
        assert tx.unpark({"other": 9}) == []
        assert [parked.first for parked in tx.unpark({"wanted": 5})] == [4, 8]
        assert tx.parked_load(CHILD) == (1, 6)


def test_what_waits_can_be_replaced_by_what_is_left_of_it(store: Store) -> None:
    def items(*seqs: int) -> bytes:
        return encode([AskRange(ORIGIN, seq) for seq in seqs])

    with store.transaction() as tx:
        tx.park(Parked(ORIGIN, 4, CHILD, "gap", "wanted", 3, b"record"), NOW_US)
        for seq in (5, 6, 5):
            tx.enqueue(CHILD, [AskRange(ORIGIN, seq), AskRange(ORIGIN, 7)], NOW_US)
        tx.acknowledged(CHILD, 1, 1)
    with store.transaction() as tx:
        (frame,) = tx.waiting_frames()
        assert frame == (ORIGIN, 4, b"record")
        tx.replace_frame(frame._replace(record=b"less"))
        (waiting,) = tx.waiting_items(items(6, 7)[1:])
        assert (waiting.child, waiting.seq, waiting.items) == (CHILD, 2, items(6, 7))
        assert [one.seq for one in tx.waiting_items(b"")] == [2, 3]
        tx.replace_items(waiting._replace(items=items(7)))
    with store.transaction() as tx:
        assert tx.parked_records(ORIGIN) == [b"less"]
        assert [row.items for row in tx.down_rows(CHILD, 1, 9)] == [items(7), items(5, 7)]


def test_a_fault_stands_until_it_is_healed_and_again_when_it_comes_back(store: Store) -> None:
    with store.transaction() as tx:
        tx.fault([Fault("gap", ORIGIN, CHILD, "first"), Fault("fork", ORIGIN, CHILD, "proven")], NOW_US)
        tx.heal(["gap", "mismatch"], [ORIGIN], NOW_US)
        assert tx.open_faults(ORIGIN) == {"fork"}
        tx.fault([Fault("gap", ORIGIN, CHILD, "again")], NOW_US)
        assert tx.open_faults(ORIGIN) == {"gap", "fork"}
        tx.heal(["gap", "fork"], [ORIGIN], NOW_US)
        tx.forget_faults(NOW_US + 1)
        assert tx.open_faults(ORIGIN) == frozenset()


def test_a_child_fills_its_rows_of_faults_and_then_one_more_and_nobody_elses(store: Store) -> None:
    many = [Fault("wire_invalid", f"subject {n:04}", CHILD, "nonsense") for n in range(FAULTS_PER_CHILD + 3)]
    with store.transaction() as tx:
        tx.fault(many, NOW_US)
        tx.fault([Fault("fork", ORIGIN, CHILD, "proven"), Fault("wire_invalid", "else", OTHER, "nonsense")], NOW_US)
        tx.fault(many[:1], NOW_US)
    with store.transaction() as tx:
        assert tx.open_faults(many[FAULTS_PER_CHILD - 1].subject) == {"wire_invalid"}
        assert tx.open_faults(many[FAULTS_PER_CHILD].subject) == frozenset()
        assert tx.open_faults(up_lane(CHILD)) == {MORE_FAULTS}
        assert (tx.open_faults(ORIGIN), tx.open_faults("else")) == ({"fork"}, {"wire_invalid"})
        tx.forget_faults(NOW_US + 1)
        assert tx.open_faults(up_lane(CHILD)) == frozenset()
        assert tx.open_faults(ORIGIN) == {"fork"}


def test_certificates_are_numbered_as_they_become_known_and_one_that_is_replaced_is_news(store: Store) -> None:
    with store.transaction() as tx:
        tx.keep_certificate(HERE, 1, "here")
        tx.keep_certificate(CHILD, 2, "child")
        tx.keep_certificate(OTHER, 1, "other")
        tx.keep_certificate(CHILD, 2, "child")
        tx.keep_certificate(HERE, 1, "here anew")
    with store.transaction() as tx:
        assert tx.certificates() == ["here anew", "other", "child"]
        known = tx.certificates_between(0, None, None)
        assert [one.text for one in known] == ["child", "other", "here anew"]
        assert tx.certificates_between(known[0].num, known[1].num, None) == known[1:2]
        assert tx.certificates_between(known[0].num, None, 1) == known[1:2]


def test_a_later_shard_is_written_only_from_the_size_that_the_one_before_has(place: Place) -> None:
    place.append(own(2), (), None)
    with pytest.raises(TreeMoved), place.store.transaction() as tx:
        tx.write_log(tx.plant(f"huiyin.example/{HERE}/2", HERE).log_id, 1)
    with place.store.transaction() as tx:
        assert tx.own_log() == OWN_LOG
        later = tx.plant(f"huiyin.example/{HERE}/2", HERE).log_id
        assert later > OWN_LOG
        tx.write_log(later, 2)
    with place.store.transaction() as tx:
        assert tx.own_log() == later


def test_a_database_without_a_log_says_so(request: pytest.FixtureRequest) -> None:
    for make in PLACES:
        with make(request) as bare, bare.store.transaction() as tx, pytest.raises(LookupError):
            tx.own_log()


def test_the_head_before_a_leaf_is_the_largest_that_does_not_cover_it(store: Store) -> None:
    log_id = learn_below(store, 3)
    with store.transaction() as tx:
        assert [tx.head_upto(log_id, seq) for seq in (0, 2, 3, 9)] == [0, 0, 3, 3]
        assert tx.head_upto(log_id + 1, 9) == 0


def test_what_a_child_lost_is_given_back_once_for_each_question(store: Store) -> None:
    with store.transaction() as tx:
        tx.enqueue(CHILD, [AskRange(ORIGIN, 0)], NOW_US)
        tx.enqueue(CHILD, [AskRange(ORIGIN, 1)], NOW_US)
        assert tx.returning() == []
        with tx.together():
            assert tx.begin_return(CHILD, b"n" * 16)
            assert not tx.begin_return(CHILD, b"n" * 16), "the same question once more, as an inbox hears it"
    with store.transaction() as tx:
        assert tx.returning() == [Returning(CHILD, b"n" * 16, 0)]
        assert tx.down_rows(CHILD, 0, 9) == []
        tx.enqueue(CHILD, [AskRange(ORIGIN, 2)], NOW_US)
        assert [row.seq for row in tx.down_rows(CHILD, 0, 9)] == [3]
        tx.moved_return(CHILD, 7)
        assert (tx.returning()[0].pos, tx.is_returning()) == (7, {CHILD})
        tx.end_return(CHILD)
        assert (tx.returning(), tx.is_returning()) == ([], frozenset())
        assert not tx.begin_return(CHILD, b"n" * 16)
        assert tx.begin_return(CHILD, b"m" * 16)
        assert tx.returning() == [Returning(CHILD, b"m" * 16, 0)]


def test_numbers_begin_where_they_are_told_to_and_never_twice(store: Store) -> None:
    with store.transaction() as tx:
        tx.number_from(CHILD, 1 << 48)
        tx.enqueue(CHILD, [AskRange(ORIGIN, 0)], NOW_US)
        tx.number_from(CHILD, 1 << 49)
        tx.enqueue(CHILD, [AskRange(ORIGIN, 0)], NOW_US)
        assert [row.seq for row in tx.down_rows(CHILD, 0, 9)] == [(1 << 48) + 1, (1 << 48) + 2]
