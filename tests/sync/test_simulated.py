"""The very exchange of a node, run without a thread, a database or a clock: three tiers in memory, up and down."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest

from domain.divisions import Division
from domain.events import EventId, Grant, KeyGranted, LegId, OrderId, OrderIssued, ShardOpened, encode
from domain.ids import new_id
from domain.shards import shard_after
from sync.exchange.channel import Channel
from sync.exchange.exchange import Exchange, Trust
from sync.exchange.inbox import PART_TRIES
from sync.exchange.starting import believed, found, signing_station
from sync.exchange.station import Station
from sync.exchange.wire import Frame, decode_record
from sync.ledger.rows import FROM_ABOVE, OWN, Row
from sync.proofs.merkle import leaf_hash, verify_inclusion
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer, named, parse_checkpoint, parse_note, verify
from sync.proofs.tree import OWN_LOG
from tests.sync.hierarchy import CITY, TOWNSHIP, VILLAGE, Clock, Node, PowerCut, Tampering
from tests.sync.memory_channel import MemoryChannel
from tests.sync.memory_ledger import MemoryLedger, MemoryWriter
from tests.sync.memory_store import MemoryStore
from tests.sync.memory_tables import At, Point, Tables, nothing_happens
from tests.sync.memory_trees import NO_END
from tests.sync.test_dispatch import CASE, FIRST, SECRET, register

ORDER = new_id(CITY, 1, 400)


class SimulatedNode(Node):
    """A node whose database is in memory. Its `tables` outlive a crash; its writer and its exchange do not."""

    def __init__(self, division: Division, channel: Channel, clock: Clock, parent: Node | None, at: At) -> None:
        super().__init__(division, "", channel, clock, parent)
        self.tables = Tables()
        self._at = at

    def start(self) -> None:
        self.writer = MemoryWriter(MemoryLedger(self.tables, self._at), self.clock.now_us)  # type: ignore[assignment]
        store = MemoryStore(self.tables, self.writer, self._at)  # type: ignore[arg-type]
        with store.transaction() as tx:
            own = found(tx, self.origin, self.certificates, self.pin)
            directory = believed(tx, own, self.clock.now_us())
        self.exchange = Exchange(
            signing_station(self.station, None, None, directory),
            Trust(directory, nullcontext()),
            store,
            self.above if self.parent else None,
            self.below,
            self.clock.now_us,
            self.clock.elapsed_s,
        )

    def crash(self) -> None:
        del self.writer, self.exchange

    @property
    def station(self) -> Station:  # type: ignore[override]
        return Station(self.division, self.origin, named(self.signer, self.origin), self.cosigner)

    @station.setter
    def station(self, _: Station) -> None:
        pass

    def ledger(self) -> list[Row]:
        return self.tables.ledger.rows

    def log(self, origin: str) -> list[bytes]:
        of = self.tables.logs.get(origin, 0)
        return [row.body for row in self.tables.ledger.run(of, 0, NO_END)]

    def faults(self) -> dict[str, str]:
        standing = self.tables.faults.items()
        return {kind: subject for (kind, subject), stands in standing if stands.healed_us is None}

    def size(self) -> int:
        return len(self.log(self.origin))

    def frozen(self, origin: str) -> str | None:
        """Why no more of a log is taken here."""
        return self.tables.trees[self.tables.logs[origin]].frozen

    def evidence(self, kind: str, subject: str) -> bytes:
        return self.tables.faults[kind, subject].evidence

    def lose_disk(self) -> None:
        """All is gone, keys too; its superior certifies it with new ones for the next shard, and it asks for it."""
        assert isinstance(self.parent, SimulatedNode)
        self.crash()
        last = self.origin
        self.tables = Tables()
        self.origin, self.versions = shard_after(last), {}
        self.signer = Ed25519Signer(self.origin, ED25519, self.chance(32))
        self.cosigner = Ed25519Signer(self.cosigner.verifier.name, COSIGNATURE_V1, self.chance(32))
        self.intake = Ed25519Signer(f"{self.origin}/intake", ED25519, self.chance(32))
        self.be_certified(self.parent)
        self.start()
        self.exchange.ask_parent(self.chance(16))

    def step(self) -> bool:
        """While it waits for what it lost it only listens; then the first leaf of its shard is its first word."""
        if self.exchange.standing() in {"unasked", "agrees"}:
            if not self.log(self.origin) and (end := self.exchange.opening()) is not None:
                self.versions = {row.stream: row.version for row in self.ledger() if row.via == OWN}
                self.say(ShardOpened, origin=self.origin, why="lost", **msgspec.structs.asdict(end))
            return super().step()
        try:
            return self.exchange.pump_arrivals()
        except PowerCut:
            self.crash()
            self.start()
            return True

    def pass_on(self, why: Literal["year", "lost"] = "year") -> ShardOpened:
        """Write in the next shard from now on; what its first leaf has to say."""
        while self.exchange.pump_seal():
            pass
        assert self.exchange.pass_on(self.exchange.witness_name() or "")
        self.crash()
        self.origin = shard_after(self.origin)
        self.start()
        end = self.exchange.opening()
        envelope = self.envelope(UUID(int=98), None)
        return ShardOpened(**envelope, origin=self.origin, why=why, **msgspec.structs.asdict(end))

    def say_opening(self, opening: ShardOpened) -> None:
        self.append(opening)

    def ghost(self) -> "SimulatedNode":
        """The same node with the same keys and the same disk, as of now."""
        ghost = copy.copy(self)
        ghost.tables = self.tables.copied()
        ghost._at = nothing_happens
        ghost.versions = dict(self.versions)
        ghost.start()
        return ghost

    def only_send(self, origin: str | None) -> None:
        """Upward nothing but frames of this log; null for all again."""
        self.above = self.channel if origin is None else Tampering(self.channel, lambda _, record: _of(origin, record))
        self.crash()
        self.start()


def _of(origin: str, record: bytes) -> list[bytes]:
    frame = decode_record(record)
    return [record] if isinstance(frame, Frame) and frame.log == origin else []


class Simulation:
    """City, township and village. At one point of their pumping, if any, the node that has come to it loses power."""

    def __init__(self, dies_at: int | None = None) -> None:
        """dies_at: the point, before or after a commit of anything, counted from 0 over all nodes."""
        self.clock = Clock()
        self.points = 0
        self._dies_at = dies_at
        self._is_pumping = False
        channel = MemoryChannel()
        self.city = SimulatedNode(CITY, channel, self.clock, None, self._commit)
        self.township = SimulatedNode(TOWNSHIP, channel, self.clock, self.city, self._commit)
        self.village = SimulatedNode(VILLAGE, channel, self.clock, self.township, self._commit)
        self.nodes = [self.city, self.township, self.village]
        for node in self.nodes:
            node.begin()

    def _commit(self, point: Point) -> None:
        if self._is_pumping and point in ("committing", "committed"):
            self.points += 1
            if self.points - 1 == self._dies_at:
                raise PowerCut

    def dies_after(self, points: int) -> None:
        """So many points from now on, whoever comes to it loses power."""
        self._dies_at = self.points + points

    def settle(self, until: Callable[[], bool]) -> None:
        """Pump until nothing moves, and let time pass until something is so."""
        self._is_pumping = True
        for _ in range(300):
            moved = [node.step() for node in self.nodes]
            if not any(moved):
                if until():
                    break
                self.clock.pass_s(7)
        self._is_pumping = False
        assert until(), {node.division: node.faults() for node in self.nodes}

    def is_up(self) -> bool:
        """Whether every parent has cosigned all that its child has said, and the city holds all."""
        below = [node for node in self.nodes if node.parent]
        is_secured = all(node.secured() == node.size() for node in below)
        return is_secured and all(self.city.log(node.origin) == node.log(node.origin) for node in below)


def a_case_goes_up_and_an_order_comes_down(simulation: Simulation) -> OrderIssued:
    village, city = simulation.village, simulation.city
    register(village)
    simulation.settle(simulation.is_up)
    order = city.say(
        OrderIssued,
        CASE,
        ORDER,
        id=EventId(ORDER),
        order=OrderId(ORDER),
        leg=LegId(FIRST),
        leg_version=1,
        unit=f"{VILLAGE}.office",
        number="1",
        trigger="delay",
        reply_by=date(2026, 3, 1),
    )
    village.chat(3)
    simulation.settle(lambda: simulation.is_up() and encode(order) in village.log(city.origin))
    assert isinstance(order, OrderIssued)
    return order


def held(simulation: Simulation, node: SimulatedNode) -> list[tuple[str, int, int, str]]:
    """(author, place, how it came, what it is) of every event of a node, each as its author wrote it."""
    logs = {node.tables.logs.get(author.origin): author for author in simulation.nodes}
    for row in node.ledger():
        assert row.body == logs[row.log_id].log(logs[row.log_id].origin)[row.seq]
    return sorted((logs[row.log_id].division, row.seq, row.via, row.topic) for row in node.ledger())


def test_a_case_goes_up_its_cosignatures_come_back_and_an_order_comes_down_in_memory_alone() -> None:
    simulation = Simulation()
    village, township, city = simulation.village, simulation.township, simulation.city

    order = a_case_goes_up_and_an_order_comes_down(simulation)

    for above in (township, city):
        assert above.log(village.origin) == village.log(village.origin)
        assert SECRET in above.tables.beside.values()
    assert [row.via for row in village.ledger() if row.body == encode(order)] == [FROM_ABOVE]
    assert {node.division: node.faults() for node in simulation.nodes} == {
        CITY: {},
        TOWNSHIP: {},
        VILLAGE: {},
    }


def test_the_receipt_of_a_simulated_event_is_proven_by_the_parent() -> None:
    simulation = Simulation()
    village = simulation.village
    a_case_goes_up_and_an_order_comes_down(simulation)

    witness = village.exchange.witness_name()
    assert witness is not None
    proof = village.exchange.proof(OWN_LOG, 1, witness)
    assert proof is not None
    note = parse_note(proof.checkpoint.encode())
    checkpoint = parse_checkpoint(note.text)
    verify(note, [simulation.township.cosigner.verifier])
    verify_inclusion(1, checkpoint.size, leaf_hash(village.log(village.origin)[1]), proof.path, checkpoint.root)


def test_wherever_a_node_loses_power_around_a_commit_all_arrives_once_and_in_order() -> None:
    whole = Simulation()
    a_case_goes_up_and_an_order_comes_down(whole)
    assert whole.points > 50

    for point in range(whole.points):
        simulation = Simulation(dies_at=point)
        a_case_goes_up_and_an_order_comes_down(simulation)
        for node, other in zip(simulation.nodes, whole.nodes, strict=True):
            assert held(simulation, node) == held(whole, other), (point, node.division)
            assert node.tables.beside == other.tables.beside, (point, node.division)
            assert node.faults() == {}, (point, node.division)


def test_a_frame_that_lacks_a_part_is_asked_for_as_often_as_was_committed_however_often_the_power_fails() -> None:
    simulation = Simulation()
    village, township = simulation.village, simulation.township
    simulation.settle(simulation.is_up)
    grant = Grant(custodian=TOWNSHIP, recipient_key="k", wrapped="A" * 43 + "=", purpose="handle")
    village.say(KeyGranted, CASE, CASE, subject=f"{VILLAGE}{1:020x}", grants=(grant,))
    village.exchange.pump_seal()
    village.exchange.pump_up()
    asked, store = township.exchange._asked, township.exchange._store

    def breaks(job: Callable[..., Any]) -> None:
        with store.transaction() as tx:
            job(tx)
            raise PowerCut

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(store, "learning_soon", breaks)
        for _ in range(PART_TRIES + 1):
            with pytest.raises(PowerCut):
                township.exchange.pump_inbox()
    assert asked.times(village.origin) == 0
    assert township.exchange.pump_inbox()
    assert asked.times(village.origin) == 1
    assert township.faults() == {"incomplete": village.origin}
    simulation.settle(simulation.is_up)
    assert asked.times(village.origin) == 0, "it is done without at last"
    assert township.faults() == {"part_missing": f"{village.origin}#{village.size() - 1}.0"}
