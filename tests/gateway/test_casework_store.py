"""What the casework relies on in what it is given to read and to keep, on every implementation: PLACES names them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest

from domain.divisions import Division
from domain.events import (
    AnyEvent,
    CaseId,
    EventId,
    KeyGranted,
    MaterialAdded,
    Sealed,
    SealedRead,
    encode,
    tag_of,
)
from gateway import accounts
from gateway.casework.head_notes import HeadsNotedUpTo
from gateway.casework.numbers import NumberGiven
from gateway.casework.store import CaseworkStore, Grown, Leaf, Letter
from gateway.casework.store_postgres import PostgresCasework
from sync.exchange.faults import Fault
from sync.exchange.store import Store
from sync.exchange.store_postgres import PostgresStore
from sync.ledger.append import Append, Learned, NewEvent
from sync.ledger.reader import Reader
from sync.ledger.reading import LedgerReader
from sync.ledger.rows import FROM_BELOW, OWN
from sync.ledger.writer import Writer
from sync.proofs.merkle import leaf_hash
from sync.proofs.tree import OWN_LOG, Growth, SignedHead
from sync.sealed.acts import Destruction, Excuse, PartsBeside
from sync.sealed.custody import CaseReader
from sync.sealed.custody_postgres import PostgresCases
from sync.sealed.sealing import DataKey, Recipient, digest_text, grant_key
from tests.gateway.memory_casework import MemoryCases, MemoryCasework
from tests.sync.chance import Chance
from tests.sync.memory_ledger import MemoryLedger, MemoryReader, MemoryWriter
from tests.sync.memory_store import MemoryStore
from tests.sync.memory_tables import Tables
from tests.sync.sealed_case import CASE, TOWNSHIP, VILLAGE, envelope

OWN_ORIGIN, ORIGIN = f"huiyin.example/{TOWNSHIP}/1", f"huiyin.example/{VILLAGE}/1"
NOW_US = 1_767_225_600_000_000
SUBJECT, OTHER = "ab" * 16, "cd" * 16


class Place(NamedTuple):
    """A township's ledger, what its casework keeps beside it and reads of it. ask: leave a request for the operator."""

    writer: Any
    exchange: Store
    store: CaseworkStore
    reader: LedgerReader
    cases: CaseReader
    ask: Callable[[str], object]


@contextmanager
def postgres_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """On PostgreSQL."""
    dsn: str = request.getfixturevalue("database")
    accounts.prepare(dsn)
    with Writer(dsn, OWN_LOG, lambda: NOW_US) as writer, psycopg.connect(dsn, autocommit=True) as conn:

        @contextmanager
        def connect() -> Iterator[psycopg.Connection[Any]]:
            yield conn

        def ask(text: str) -> object:
            return conn.execute("insert into web.enrolling (request) values (%s)", (text,))

        exchange, reader = PostgresStore(dsn, writer), Reader(dsn, writer.tip, max_connections=1)
        yield Place(writer, exchange, PostgresCasework(connect), reader, PostgresCases(connect), ask)
        reader.close()
        exchange.close()


@contextmanager
def memory_place(_: pytest.FixtureRequest) -> Iterator[Place]:
    """In memory."""
    tables = Tables()
    writer = MemoryWriter(MemoryLedger(tables), lambda: NOW_US)

    def ask(text: str) -> None:
        with tables.committing():
            tables.requests[text] = (None, None)

    exchange = MemoryStore(tables, writer)
    yield Place(writer, exchange, MemoryCasework(tables), MemoryReader(tables), MemoryCases(tables), ask)


PLACES = [postgres_place, memory_place]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One implementation after the other, with the node's own log planted."""
    with request.param(request) as made:
        with made.exchange.transaction() as tx:
            assert tx.plant(OWN_ORIGIN, TOWNSHIP).log_id == OWN_LOG
        yield made


def say(place: Place, event: AnyEvent, parts: Sequence[bytes] = ()) -> int:
    """Record an own event; its leaf."""
    new = NewEvent(event.stream, event.version, tag_of(event), event.case, encode(event))
    beside = [PartsBeside(event.stream, event.version, parts)] if parts else []
    seqs: range = place.writer.append(Append([new], beside=beside)).result(20).seqs
    return seqs[0]


def learn(place: Place, via: int, events: Sequence[AnyEvent]) -> int:
    """Learn events of the village, from their first leaf on, with a head at their end; the log's id."""

    def job(tx: Any) -> int:
        tree = tx.plant(ORIGIN, VILLAGE)
        rows = [_learned(tree.log_id, seq, one) for seq, one in enumerate(events, tree.size)]
        tx.learn(via, rows)
        frontier, tiles = tree.frontier.extend([row.leaf for row in rows])
        tx.grow([Growth(tree, frontier, tiles, [SignedHead(frontier.size, frontier.root(), "head")])])
        log_id: int = tree.log_id
        return log_id

    return place.exchange.learning(job)


def _learned(log_id: int, seq: int, event: AnyEvent) -> Learned:
    body = encode(event)
    return Learned(log_id, seq, event.stream, event.version, tag_of(event), event.case, body, leaf_hash(body))


chance = Chance(5)


def material(subject: str, text: bytes, author: Division = TOWNSHIP, **fields: object) -> MaterialAdded:
    sealed = Sealed(subject=subject, fields={"note": digest_text(text)}, ciphertext=digest_text(text))
    opening = envelope(chance, author, sealed=(sealed,), **fields)
    return MaterialAdded(**opening, material=CASE, digest=None, size_bytes=1)


def granted(subject: str, author: Division = TOWNSHIP) -> KeyGranted:
    recipient = Recipient(TOWNSHIP, bytes([9, *bytes(31)]))
    grants = grant_key(DataKey(CASE, subject, bytes(32)), [(recipient, "handle")]).grants
    return KeyGranted(**envelope(chance, author), subject=subject, grants=grants)


def test_numbers_are_kept_at_their_highest(place: Place) -> None:
    assert place.store.last_numbers() == {}
    for count in (1, 3, 2):
        place.store.do(NumberGiven("leg.accepted.v0", 2026, count))
    place.writer.append(Append([], beside=[NumberGiven("leg.accepted.v0", 2027, 1)])).result(20)
    assert place.store.last_numbers() == {("leg.accepted.v0", 2026): 3, ("leg.accepted.v0", 2027): 1}


def test_the_steward_never_goes_back_and_knows_what_it_put_off(place: Place) -> None:
    store = place.store
    assert (store.position(), store.were_put_off(), store.newer_from()) == (0, [], None)
    for pos in (7, 5):
        store.move(pos)
    for pos in (3, 9, 3):
        store.put_off(pos)
    assert (store.position(), store.were_put_off()) == (7, [9, 3])
    store.settled(9)
    store.settled(4)
    store.set_newer(5)
    assert (store.were_put_off(), store.newer_from()) == ([3], 5)
    store.set_newer(None)
    assert store.newer_from() is None


def test_objections_are_looked_at_when_it_is_time(place: Place) -> None:
    store = place.store
    first, second = (EventId(chance.uuid()) for _ in range(2))
    for objection in (first, second, first):
        store.watch(CASE, objection)
    assert sorted(store.due(0)) == sorted([(first, CASE), (second, CASE)])
    store.look_at(first, 5)
    store.look_at(EventId(chance.uuid()), 5)
    store.watch(CASE, first)
    assert store.due(4) == [(second, CASE)]
    store.unwatch(second)
    assert (store.due(4), store.due(5)) == ([], [(first, CASE)])
    store.look_at_all()
    assert store.due(0) == [(first, CASE)]


def test_requests_wait_until_they_are_answered(place: Place) -> None:
    for text in ("one", "two"):
        place.ask(text)
    assert sorted(place.store.requests()) == ["one", "two"]
    place.store.answer("one", b"bundle", None)
    place.store.answer("two", None, "refused")
    assert place.store.requests() == []


def test_cases_in_which_an_erasure_was_confirmed_are_remembered(place: Place) -> None:
    for _ in range(2):
        place.store.remember_erased(CASE)
    assert place.store.erased_among([CASE, chance.uuid()]) == [CASE]
    assert place.store.erased_among([]) == []


def test_letters_are_listed_by_arrival_and_opened_by_leaf(place: Place) -> None:
    event = granted(SUBJECT)
    leaf = Leaf(OWN_LOG, say(place, event, [b"ciphertext"]))
    item = chance.uuid()
    letters = [Letter(Leaf(2, 1), item, 7), Letter(leaf, item, 7), Letter(Leaf(2, 0), item, 3), Letter(leaf, item, 1)]
    for letter in letters:
        place.store.keep_letter(letter)
    assert place.store.letters() == [letters[2], letters[1], letters[0]]
    assert place.store.letter(leaf) == (encode(event), b"ciphertext")
    assert place.store.letter(Leaf(2, 0)) is None
    assert place.store.letter(Leaf(OWN_LOG, leaf.seq + 1)) is None


def test_what_grew_from_below_is_news_until_it_is_noted(place: Place) -> None:
    store = place.store
    say(place, granted(SUBJECT))
    assert (store.noted_pos(), store.has_news_from_below(0, 1), store.grown(0, 1)) == (0, False, [])
    learn(place, FROM_BELOW, [granted(SUBJECT, VILLAGE), granted(OTHER, VILLAGE)])
    assert store.has_news_from_below(1, 3)
    assert not store.has_news_from_below(3, 9)
    (grown,) = store.grown(0, 3)
    assert (grown, len(grown.root)) == (Grown(ORIGIN, 2, grown.root), 32)
    place.writer.append(Append([], beside=[HeadsNotedUpTo(3)])).result(20)
    assert store.noted_pos() == 3


def test_a_reader_finds_commands_topics_logs_and_what_was_filed(place: Place) -> None:
    command, digest = chance.uuid(), b"digest"
    event = granted(SUBJECT)
    new = NewEvent(event.stream, 1, tag_of(event), event.case, encode(event))
    place.writer.append(Append([new], command, digest, b"result")).result(20)
    log_id = learn(place, FROM_BELOW, [granted(SUBJECT, VILLAGE), granted(OTHER, VILLAGE)])
    reader = place.reader

    known = reader.command(command)
    assert known is not None
    assert (known.digest, known.answer.positions, known.answer.seqs) == (digest, range(1, 2), range(1))
    assert reader.command(chance.uuid()) is None
    assert [row.pos for row in reader.of_topic("key.granted.v0", 1)] == [2, 3]
    assert reader.of_topic("unit.opened.v0") == []
    assert [row.via for row in reader.read_case(CASE)] == [OWN, FROM_BELOW, FROM_BELOW]
    assert [row.pos for row in reader.read_case(CASE, 2)] == [3]
    assert (reader.origin(OWN_LOG), reader.origin(log_id)) == (OWN_ORIGIN, ORIGIN)
    assert (reader.held(VILLAGE), reader.held(TOWNSHIP), reader.held("410000000000")) == (
        (ORIGIN, 2),
        (OWN_ORIGIN, 0),
        None,
    )
    assert reader.filed(leaf_hash(encode(event))) is None
    assert (reader.head().pos, reader.wait_beyond(1, 5)) == (3, 3)


def test_custody_reads_the_events_of_a_case_but_no_readings(place: Place) -> None:
    seq = say(place, granted(SUBJECT), [b"wrapped"])
    say(place, SealedRead(**envelope(chance, TOWNSHIP), subject=SUBJECT, events=(EventId(CASE),), purpose="handle"))
    body = b"[" * 9
    strange = NewEvent(chance.uuid(), 1, "newer.v9", CASE, body)
    place.writer.append(Append([strange])).result(20)
    assert [told.seq for told in place.cases.case_events(CASE)] == [seq]
    assert place.cases.case_events(CaseId(chance.uuid())) == []
    assert (place.cases.part(OWN_LOG, seq, 0), place.cases.part(OWN_LOG, seq, 1)) == (b"wrapped", None)


@pytest.mark.parametrize("is_beside", [True, False])
def test_a_destruction_takes_keys_and_texts_of_its_subject_alone_and_excuses_what_never_came(
    place: Place, is_beside: bool
) -> None:
    doomed = [say(place, granted(SUBJECT), [b"key"]), say(place, material(SUBJECT, b"text"), [b"text"])]
    kept = [say(place, granted(OTHER), [b"other key"]), say(place, material(OTHER, b"more"), [b"more"])]
    below = [granted(SUBJECT, VILLAGE), material(SUBJECT, b"?", VILLAGE), granted(OTHER, VILLAGE)]
    log_id = learn(place, FROM_BELOW, below)
    missing = [f"{ORIGIN}#{seq}.0" for seq in range(3)]
    with place.exchange.transaction() as tx:
        tx.fault([Fault("part_missing", subject, VILLAGE, "") for subject in missing], NOW_US)
    before = place.reader.read(0, 100)

    if is_beside:
        place.writer.append(Append([], beside=[Destruction(CASE, SUBJECT)])).result(20)
    else:
        place.store.do(Destruction(CASE, SUBJECT))
    place.store.do(Excuse(CASE, SUBJECT, NOW_US + 1))

    assert [place.cases.part(OWN_LOG, seq, 0) for seq in doomed + kept] == [None, None, b"other key", b"more"]
    assert place.reader.read(0, 100) == before
    with place.exchange.transaction() as tx:
        assert [bool(tx.open_faults(subject)) for subject in missing] == [False, False, True]
    assert place.cases.part(log_id, 0, 0) is None
