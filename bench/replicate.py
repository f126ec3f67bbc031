"""Replicating: raw inserts, the stock projection runner, and our verified, cosigned exchange from ledger to ledger."""

import gc
import itertools
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event as Signal
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from bench.rebuild import stock_runner
from bench.report import Line
from domain.divisions import Division, tier_of
from domain.events import Accepted, Actor, CaseId, ClaimId, EventId, LegId, StreamId, encode, tag_of
from gateway.hosting.postgres_server import PostgresServer
from gateway.hosting.trouble import passes
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.exchange import Exchange, Trust
from sync.exchange.pumping import Pumping
from sync.exchange.starting import found
from sync.exchange.station import Station
from sync.exchange.store_postgres import PostgresStore
from sync.ledger.append import Append, NewEvent
from sync.ledger.migrations import migrate
from sync.ledger.writer import Writer
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer, encode64
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import Directory, Keys, Request, fingerprint, make_request, make_root, read_request
from sync.trust.granting import enrol

ANY_RECIPIENT = bytes([9, *bytes(31)])  # the base point of RFC 7748
EVENTS: Final = int(os.environ.get("BENCH_REPLICATED", "40000"))
CHAIN: Final = ("410200000000", "410221000000", "410221100000", "410221100201")
BATCH: Final = 500
FAR_US: Final = 2**52

_RAW: Final = """insert into ledger (pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us)
select * from unnest(%b::bigint[], %b::int[], %b::bigint[], %b::smallint[], %b::uuid[], %b::int[], %b::text[],
    %b::uuid[], %b::bytea[], %b::bytea[], %b::bigint[])"""

_databases = itertools.count(1)


def measure(server: PostgresServer) -> Iterator[Line]:
    """Every line of the same run. limit: raw unnest of the same rows; peer: the library's exactly-once runner."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    peer = stock_runner(_database(server))
    yield Line("stock ProjectionRunner, exactly once", peer=peer)
    limit, inbox = raw_and_inbox(server)
    yield Line(f"database: unnest of {BATCH} rows a commit", limit=limit)
    yield Line("inbox alone: verified, stored, cosigned", limit, peer, inbox)
    yield Line("ledger to ledger, 1 hop, cosigned back", limit, peer, replicate(server, 1))
    yield Line("ledger to ledger, 3 hops, cosigned back by each", limit, peer, replicate(server, 3))


def raw_and_inbox(server: PostgresServer) -> tuple[float, float]:
    """Events per second of both, taking turns, so that whatever else the machine does strikes both alike.

    Raw: the same rows into the same table by one connection, without tree, head or checks. Inbox: frames lie in the
    channel as far as the window allows, and only the time of taking them in is counted.
    """
    upper, lower = (_Running(place) for place in _chain(server, 1))
    lower.fill()
    while lower.exchange.pump_seal():
        pass
    raw = _raw_turns(_database(server))
    raw_s = inbox_s = 0.0
    while lower.secured() < EVENTS:
        before = lower.secured()
        while lower.exchange.pump_up():
            pass
        started = time.perf_counter()
        while upper.exchange.pump_inbox():
            pass
        inbox_s += time.perf_counter() - started
        upper.exchange.pump_down()
        while lower.exchange.pump_arrivals():
            pass
        started = time.perf_counter()
        for _ in range(before, lower.secured(), BATCH):
            next(raw)
        raw_s += time.perf_counter() - started
    lower.close()
    upper.close()
    return EVENTS / raw_s, EVENTS / inbox_s


def _raw_turns(dsn: str) -> Iterator[int]:
    """Inserts BATCH rows at each step."""
    rows = _events()
    with psycopg.connect(dsn, autocommit=True) as conn, conn.cursor(binary=True) as cursor:
        for at in range(0, EVENTS, BATCH):
            page = rows[at : at + BATCH]
            seqs, count = list(range(at, at + len(page))), len(page)
            places = ([seq + 1 for seq in seqs], [1] * count, seqs, [0] * count)
            names = ([row.stream for row in page], [row.version for row in page], [row.topic for row in page])
            bodies = ([row.body for row in page], [row.body[:32] for row in page], [at] * count)
            cursor.execute(_RAW, (*places, *names, [row.case_id for row in page], *bodies), prepare=True)
            yield at


def replicate(server: PostgresServer, hops: int) -> float:
    """From the lowest ledger to the highest, a process each, until the cosignature of the highest has come back."""
    *above, lowest = _chain(server, hops)
    context = multiprocessing.get_context("spawn")
    stop, ready = context.Event(), [context.Event() for _ in above]
    processes = [context.Process(target=_serve, args=(place, up, stop)) for place, up in zip(above, ready, strict=True)]
    for process, up in zip(processes, ready, strict=True):
        process.start()
        up.wait()
    running = _Running(lowest)
    running.fill()
    pumping = running.pumping()
    started = time.perf_counter()
    pumping.start()
    while running.exchange.cosigned_size(_witness(above[0].division).verifier.name) < EVENTS:
        time.sleep(0.02)
    took = time.perf_counter() - started
    stop.set()
    pumping.stop()
    running.close()
    for process in processes:
        process.join()
    return EVENTS / took


class _Place(NamedTuple):
    """All that a process needs to be one node."""

    division: Division
    dsn: str
    channel_dsn: str
    certificates: list[str]
    is_root: bool
    is_leaf: bool


class _Running:
    """One node of the chain in this process."""

    def __init__(self, place: _Place) -> None:
        signer = _signer(place.division)
        self.writer = Writer(place.dsn, 1, _now_us)
        self.writer.start()
        self.store = PostgresStore(place.dsn, self.writer)
        self.channel = PostgresChannel(place.channel_dsn)
        origin, pin = signer.verifier.name, fingerprint(place.certificates[0])
        with self.store.transaction() as tx:
            found(tx, origin, place.certificates, pin)
        self.exchange = Exchange(
            Station(place.division, origin, signer, _witness(place.division)),
            Trust(Directory(pin).adding_all(place.certificates), threading.Lock()),
            self.store,
            None if place.is_root else self.channel,
            None if place.is_leaf else self.channel,
            _now_us,
            time.monotonic,
        )

    def fill(self) -> None:
        """Record all events."""
        events = _events()
        for at in range(0, EVENTS, BATCH):
            self.writer.append(Append(events[at : at + BATCH])).result()

    def secured(self) -> int:
        """Leaves that the parent has cosigned."""
        witness = self.exchange.witness_name()
        return 0 if witness is None else self.exchange.cosigned_size(witness)

    def pumping(self) -> Pumping:
        """Its pumps, loud about any trouble."""
        return Pumping(self.exchange, self.writer.tip, lambda *trouble: print("trouble:", *trouble, flush=True), passes)

    def close(self) -> None:
        """End it."""
        self.writer.close()
        self.store.close()
        self.channel.close()


def _serve(place: _Place, ready: Signal, stop: Signal) -> None:
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    running = _Running(place)
    pumping = running.pumping()
    pumping.start()
    ready.set()
    stop.wait()
    pumping.stop()
    running.close()


def _chain(server: PostgresServer, hops: int) -> list[_Place]:
    """Fresh databases, and certificates that every node already knows; the highest first."""
    divisions = [Division(code) for code in CHAIN[: hops + 1]]
    channel = f"replicate_channel_{next(_databases)}"
    server.create_database(channel)
    root = make_root(read_request(_request(divisions[0])), _signer(divisions[0]), 1, FAR_US)
    directory = Directory(fingerprint(root)).adding(root)
    for superior, division in itertools.pairwise(divisions):
        directory = directory.adding(enrol(_request(division), superior, _signer(superior), directory, 1, FAR_US))
    texts = directory.chain(divisions[-1])
    return [
        _Place(
            division,
            _database(server),
            server.dsn(channel),
            texts,
            is_root=division == divisions[0],
            is_leaf=division == divisions[-1],
        )
        for division in divisions
    ]


def _request(code: Division) -> str:
    signer = _signer(code)
    keys = Keys(
        log=signer.verifier.vkey,
        witness=_witness(code).verifier.vkey,
        intake=_key(code, "intake", ED25519).verifier.vkey,
        recipient_id=recipient_key_id(ANY_RECIPIENT),
        recipient=encode64(ANY_RECIPIENT),
    )
    wish = Request(division=code, name=code, tier=tier_of(code), origin=signer.verifier.name, keys=keys)
    return make_request(wish, signer)


def _signer(code: Division) -> Ed25519Signer:
    return _key(code, "", ED25519)


def _witness(code: Division) -> Ed25519Signer:
    return _key(code, "/witness", COSIGNATURE_V1)


def _key(code: Division, use: str, kind: int) -> Ed25519Signer:
    return Ed25519Signer(f"huiyin.example/{code}/1{use}", kind, f"{code}{use:>20}".encode())


def _events() -> list[NewEvent]:
    """Acceptances of many cases, about 600 bytes each, with ids as random as real ones."""
    chance = random.Random(1)
    cases = [UUID(int=chance.getrandbits(128)) for _ in range(EVENTS // 8 + 1)]
    actor = Actor(account=cases[0], role="clerk", unit=f"{CHAIN[-1]}.office")
    return [_event(number, cases[number // 8], UUID(int=chance.getrandbits(128)), actor) for number in range(EVENTS)]


def _event(number: int, case: UUID, id_: UUID, actor: Actor) -> NewEvent:
    accepted = Accepted(
        id=EventId(id_),
        stream=StreamId(case),
        version=number % 8 + 1,
        case=CaseId(case),
        node=Division(CHAIN[-1]),
        actor=actor,
        occurred_us=_now_us(),
        recorded_us=_now_us(),
        cause=(),
        law="信访工作条例第三十二条",
        sealed=(),
        leg=LegId(case),
        kind="substantive",
        number=f"杞信受〔2026〕{number}号",
        claims=(ClaimId(case),),
    )
    return NewEvent(accepted.stream, accepted.version, tag_of(accepted), case, encode(accepted))


def _now_us() -> int:
    return time.time_ns() // 1_000


def _database(server: PostgresServer) -> Any:
    name = f"replicate_{next(_databases)}"
    server.create_database(name)
    migrate(server.dsn(name))
    return server.dsn(name)
