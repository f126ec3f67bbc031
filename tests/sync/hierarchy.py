"""A hierarchy of nodes in one process, on real databases and a real channel, pumped by hand under its own clock."""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar
from uuid import UUID, uuid5

import psycopg

from domain.divisions import Division, Topology, tier_of
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    Cause,
    ChildEnrolled,
    EventId,
    HandedOver,
    LegId,
    NodeOpened,
    StreamId,
    encode,
    tag_of,
)
from domain.shards import shard_of
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.acts import CertificateKept
from sync.exchange.channel import Channel, Delivered, Extent
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.exchange import Exchange, Trust
from sync.exchange.starting import believed, found, settle_below
from sync.exchange.station import Station
from sync.exchange.store_postgres import PostgresStore, PostgresTx
from sync.ledger.append import Append, Appended, NewEvent
from sync.ledger.reader import Reader, register_log
from sync.ledger.rows import Row
from sync.ledger.writer import Writer
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer, encode64
from sync.sealed.acts import PartsBeside
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import Keys, Request, fingerprint, make_request, make_root, read_certificate, read_request
from tests.sync.chance import Chance

ANY_RECIPIENT = bytes([9, *bytes(31)])  # the base point of RFC 7748
CITY = Division("410200000000")
COUNTY = Division("410221000000")
TOWNSHIP = Division("410221100000")
VILLAGE = Division("410221100201")
NEIGHBOUR = Division("410221100202")
OTHER_TOWNSHIP = Division("410221101000")
OTHER_VILLAGE = Division("410221101201")

START_US = 1_767_225_600_000_000
YEARS_US = 20 * 365 * 86_400 * 1_000_000

T = TypeVar("T")
_numbers = itertools.count(1)


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.at_us = START_US
        self.at_s = 0.0

    def now_us(self) -> int:
        return self.at_us

    def elapsed_s(self) -> float:
        return self.at_s

    def pass_s(self, seconds: float) -> None:
        self.at_s += seconds
        self.at_us += int(seconds * 1_000_000)


class PowerCut(Exception):
    """What a test raises in the middle of a pump."""


class FragileStore(PostgresStore):
    """Dies once at a named point of a named pump, when a test asks for it."""

    def __init__(self, dsn: str, writer: Writer) -> None:
        super().__init__(dsn, writer)
        self.dies_before_commit = False
        self.dies_after_commit = False

    def learning_soon(self, job: Callable[[PostgresTx], T]) -> "Future[T]":
        def doomed(tx: PostgresTx) -> T:
            result = job(tx)
            self._die("dies_before_commit")
            return result

        answer: Future[T] = Future()
        storing = super().learning_soon(doomed)
        try:
            result = storing.result()
            self._die("dies_after_commit")
            answer.set_result(result)
        except BaseException as death:
            answer.set_exception(death)
        return answer

    @contextmanager
    def transaction(self) -> Iterator[PostgresTx]:
        with super().transaction() as tx:
            yield tx
            self._die("dies_before_commit")
        self._die("dies_after_commit")

    def _die(self, point: str) -> None:
        if getattr(self, point):
            setattr(self, point, False)
            raise PowerCut(point)


class Through:
    """A channel by way of which another is used; what it does to records on their way, its `publish` says."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def fetch(self, after: Mapping[str, int], max_bytes: int, wait_s: float) -> list[Delivered]:
        return self._channel.fetch(after, max_bytes, wait_s)

    def trim(self, lane: str, upto: int) -> None:
        self._channel.trim(lane, upto)

    def extent(self, lane: str) -> Extent:
        return self._channel.extent(lane)

    def close(self) -> None:
        self._channel.close()


class Weather(Through):
    """A channel that loses, doubles and swaps records by a seed."""

    def __init__(self, channel: Channel, seed: int, bad: float = 0.3) -> None:
        super().__init__(channel)
        self._random = random.Random(seed)
        self.bad = bad
        self.lost = self.doubled = self.swapped = 0

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        out: list[bytes] = []
        for record in records:
            fate = self._random.random()
            if fate < self.bad / 3:
                self.lost += 1
            elif fate < 2 * self.bad / 3:
                self.doubled += 1
                out += [record, record]
            elif fate < self.bad and out:
                self.swapped += 1
                out.insert(self._random.randrange(len(out)), record)
            else:
                out.append(record)
        return self._channel.publish(lane, out)


class Tampering(Through):
    """A channel whose records pass through a function of the test on their way."""

    def __init__(self, channel: Channel, change: Callable[[str, bytes], Sequence[bytes]]) -> None:
        super().__init__(channel)
        self.change = change

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        return self._channel.publish(lane, [out for record in records for out in self.change(lane, record)])


class Node:
    """One node: its database, its writer, its exchange."""

    def __init__(self, division: Division, dsn: str, channel: Channel, clock: Clock, parent: "Node | None") -> None:
        self.division = division
        self.dsn = dsn
        self.clock = clock
        self.parent = parent
        self.origin = f"huiyin.example/{division}/1"
        self.chance = Chance(int(division) + 7)
        self.channel = channel
        self.above: Channel = channel
        self.below: Channel = channel
        name = self.origin
        self.signer = Ed25519Signer(name, ED25519, self.chance(32))
        self.cosigner = Ed25519Signer(f"{name}/witness", COSIGNATURE_V1, self.chance(32))
        self.intake = Ed25519Signer(f"{name}/intake", ED25519, self.chance(32))
        self.station = Station(division, self.origin, self.signer, self.cosigner)
        self.valid_us = YEARS_US
        self.recipient = ANY_RECIPIENT
        self.certificates: list[str] = []
        self.pin = ""
        self.versions: dict[UUID, int] = {}
        self.writer: Writer
        self.store: FragileStore
        self.exchange: Exchange

    @property
    def request(self) -> str:
        keys = Keys(
            log=self.signer.verifier.vkey,
            witness=self.cosigner.verifier.vkey,
            intake=self.intake.verifier.vkey,
            recipient_id=recipient_key_id(self.recipient),
            recipient=encode64(self.recipient),
        )
        wish = Request(
            division=self.division, name=self.division, tier=tier_of(self.division), origin=self.origin, keys=keys
        )
        return make_request(wish, self.signer)

    def begin(self) -> None:
        """Be enrolled, then start."""
        if self.parent is None:
            root = self.request
            text = make_root(read_request(root), self.signer, START_US - 1, START_US + YEARS_US)
            self.certificates, self.pin = [text], fingerprint(text)
        else:
            self.be_certified(self.parent)
        self.start()
        self.say(NodeOpened, origin=self.origin, name=self.division, parent=None)

    def be_certified(self, issuer: "Node") -> None:
        """Have the request signed, and install what comes back; it counts from the next start on."""
        from_us = self.clock.at_us
        enrolment = issuer.exchange.admit(
            self.request, from_us, from_us + self.valid_us, issuer.recording(self.division)
        )
        self.certificates, self.pin = enrolment.certificates, enrolment.root_fingerprint

    def start(self) -> None:
        """Start, or start again after `crash`, from what the database holds."""
        with psycopg.connect(self.dsn) as conn:
            log_id = register_log(conn, self.origin, self.division, shard_of(self.origin) or 1)
        self.writer = Writer(self.dsn, log_id, self.clock.now_us)
        self.writer.start()
        self.store = FragileStore(self.dsn, self.writer)
        with self.store.transaction() as tx:
            own = found(tx, self.origin, self.certificates, self.pin)
            directory = believed(tx, own, self.clock.now_us())
            settle_below(tx, self.division, self.parent.division if self.parent else None)
        self.exchange = Exchange(
            self.station,
            Trust(directory, nullcontext()),
            self.store,
            self.above if self.parent else None,
            self.below,
            self.clock.now_us,
            self.clock.elapsed_s,
        )

    def crash(self) -> None:
        """Lose all memory."""
        self.writer.close()
        self.store.close()

    def pumps(self) -> list[tuple[str, Callable[[], bool]]]:
        """By name, in an order in which one round moves things on."""
        exchange = self.exchange
        return [
            ("arrivals", exchange.pump_arrivals),
            ("inbox", exchange.pump_inbox),
            ("seal", exchange.pump_seal),
            ("up", exchange.pump_up),
            ("dispatch", exchange.pump_dispatch),
            ("down", exchange.pump_down),
        ]

    def step(self) -> bool:
        """Every pump once, crashing and starting again where one is made to."""
        moved = False
        for name, _ in self.pumps():
            try:
                moved |= dict(self.pumps())[name]()
            except PowerCut:
                self.crash()
                self.start()
                moved = True
        return moved

    # --- saying things ----------------------------------------------------------------------------------------------

    def envelope(self, stream: UUID, case: UUID | None, cause: tuple[Cause, ...] = ()) -> dict[str, Any]:
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        return {
            "id": EventId(self.chance.id_by(self.division)),
            "stream": StreamId(stream),
            "version": version,
            "case": None if case is None else CaseId(case),
            "node": self.division,
            "actor": Actor(account=UUID(int=1), role="clerk", unit=f"{self.division}.office"),
            "occurred_us": self.clock.at_us,
            "recorded_us": self.clock.at_us,
            "cause": cause,
            "law": None,
            "sealed": (),
        }

    def recording(self, division: Division) -> Callable[[str], str]:
        """Records the enrolment of a division once."""

        def record(text: str) -> str:
            event = self.enrolment(division, text)
            command_id = uuid5(UUID(int=0), f"{division}/{read_certificate(text).serial}")
            append = Append([event], command_id, b"", text.encode(), [CertificateKept(text)])
            return self.writer.append(append).result().result.decode()

        return record

    def enrolment(self, division: Division, certificate: str) -> NewEvent:
        """The event that it becomes."""
        envelope = self.envelope(UUID(int=99), None)
        return new_event(ChildEnrolled(**envelope, division=division, name=division, certificate=certificate))

    def say(self, shape: Any, case: UUID | None = None, stream: UUID | None = None, **fields: Any) -> AnyEvent:
        """Append one event of `shape` with these fields."""
        parts = fields.pop("parts", ())
        opening = self.envelope(stream or case or UUID(int=99), case, fields.pop("cause", ()))
        event: AnyEvent = shape(**(opening | fields))
        self.append(event, parts)
        return event

    def append(self, event: AnyEvent, parts: Sequence[bytes] = ()) -> Appended:
        beside = [PartsBeside(event.stream, event.version, parts)] if parts else []
        return self.writer.append(Append([new_event(event)], beside=beside)).result()

    def chat(self, count: int, cause: tuple[Cause, ...] = ()) -> None:
        """Events that concern nobody but go up."""
        events = [
            new_event(
                HandedOver(
                    **self.envelope(UUID(int=5), None, cause),
                    leg=LegId(UUID(int=7)),
                    to=f"{self.division}.office",
                    mode="transfer",
                    next_leg=LegId(UUID(int=8)),
                    report_by=None,
                )
            )
            for _ in range(count)
        ]
        self.append_all(events)

    def append_all(self, events: Sequence[NewEvent]) -> None:
        self.writer.append(Append(events)).result()

    # --- looking ----------------------------------------------------------------------------------------------------

    def query(self, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as conn:
            return conn.execute(query, params).fetchall()  # type: ignore[arg-type]

    def ledger(self) -> list[Row]:
        reader = Reader(self.dsn, max_connections=1)
        try:
            return reader.read(0, 100_000)
        finally:
            reader.close()

    def log(self, origin: str) -> list[bytes]:
        """What is held of a log, by seq."""
        rows = self.query(
            "select body from ledger join log on log.id = log_id where origin = %s order by seq", (origin,)
        )
        return [bytes(body) for (body,) in rows]

    def faults(self) -> dict[str, str]:
        """Kind -> subject of the faults that are not over."""
        return dict(self.query("select kind, subject from fault where healed_us is null"))

    def secured(self) -> int:
        """Leaves of the own log that the parent has cosigned."""
        witness = self.exchange.witness_name()
        assert witness is not None
        return self.exchange.cosigned_size(witness)

    def size(self) -> int:
        """Events in the own log."""
        return int(self.query("select own_size from head")[0][0])

    def cause(self, event: AnyEvent) -> Cause:
        """As another node names an event of this one."""
        rows = self.query("select seq from ledger where log_id = 1 and body = %s", (encode(event),))
        return Cause(id=event.id, log=self.origin, seq=rows[0][0])


def new_event(event: AnyEvent) -> NewEvent:
    return NewEvent(event.stream, event.version, tag_of(event), event.case, encode(event))


class Hierarchy:
    """Nodes over one channel database. Use as a context."""

    def __init__(self, postgres: PostgresServer, name: str, tree: Mapping[Division, Division | None]) -> None:
        """tree: division -> its superior, superiors first."""
        name = f"{name}_{next(_numbers)}"  # dropped with the server: dropping each costs more than the test
        self.clock = Clock()
        postgres.create_database(f"{name}_channel")
        self.channel_dsn = postgres.dsn(f"{name}_channel")
        self.channel = PostgresChannel(self.channel_dsn)
        self.nodes: dict[Division, Node] = {}
        for division, superior in tree.items():
            postgres.create_database(f"{name}_{division}", template="template_node")
            parent = None if superior is None else self.nodes[superior]
            self.nodes[division] = Node(division, postgres.dsn(f"{name}_{division}"), self.channel, self.clock, parent)

    def __enter__(self) -> "Hierarchy":
        for node in self.nodes.values():
            node.begin()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.crash()
        self.channel.close()

    def __getitem__(self, division: Division) -> Node:
        return self.nodes[division]

    def settle(self, rounds: int = 200) -> None:
        """Pump until nothing moves."""
        for _ in range(rounds):
            moved = [node.step() for node in self.nodes.values()]
            if not any(moved):
                return
        raise AssertionError(f"still moving after {rounds} rounds")

    def heal(self, until: Callable[[], bool], waits: int = 60) -> None:
        """Let time pass until something is so."""
        for _ in range(waits):
            self.settle()
            if until():
                return
            self.clock.pass_s(7)
        raise AssertionError("not healed: " + str({node.division: node.faults() for node in self.nodes.values()}))

    def all_secured(self) -> bool:
        """Whether every parent has cosigned all that its children have said."""
        return all(node.secured() == node.size() for node in self.nodes.values() if node.parent is not None)


def hierarchy(postgres: PostgresServer, name: str, *divisions: Division) -> AbstractContextManager[Hierarchy]:
    """Nodes of these divisions, each below the nearest one whose digits stand above it."""
    parents = Topology.by_digits(divisions).parents
    return Hierarchy(postgres, name, {division: parents.get(division) for division in sorted(divisions)})
