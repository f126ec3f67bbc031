"""A whole node in memory: the very writer, exchange and casework, without a thread, a database or a clock of its own.

    node = MemoryNode(VILLAGE, channel, clock, parent=township)
    node.begin()                                # be enrolled by the parent, start, write the first leaves of the log
    node.casework.desk.do(command, actor, node.journal.of_account(actor.account, "any key"))
    while node.step(): ...                      # the steward and every pump of the exchange once
    node.crash(); node.start()                  # what `tables` hold, and the keys, is all that is left
    backup = node.tables.copied(); node.restore(backup)

`at` is told of every point where a node meets its database; whatever it raises happens there (see memory_tables).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.divisions import Division, tier_of
from domain.events import Actor, AnyEvent, ChildEnrolled, NodeOpened, Role, UnitOpened, encode, tag_of
from gateway.backup.probation import Probation
from gateway.backup.restore import NUMBERS_SKIPPED
from gateway.casework.casework import Casework, Given
from gateway.casework.journal import Journal
from gateway.casework.numbers import WORDS
from gateway.casework.store import CaseworkStore
from gateway.casework.store_postgres import SKIPPED
from gateway.hosting.clock import HeldClock
from gateway.hosting.ids import Ids
from sync.exchange.acts import CertificateKept
from sync.exchange.channel import Channel
from sync.exchange.exchange import Exchange, Trust
from sync.exchange.faults import Fault
from sync.exchange.outside import PUT_BACK, Outside, put_back
from sync.exchange.starting import believed, found
from sync.exchange.station import Station
from sync.exchange.store import Store
from sync.ledger.append import Answer, Append, Appended, LedgerUnavailable, NewEvent
from sync.ledger.database import LedgerDatabase
from sync.ledger.reading import LedgerReader
from sync.ledger.rows import Row
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer, encode64
from sync.proofs.tree import Proof
from sync.sealed.custody import CaseReader
from sync.sealed.sealing import RecipientKey, recipient_key_id
from sync.trust.certificates import (
    Enrolment,
    Keys,
    Request,
    fingerprint,
    make_request,
    make_root,
    read_certificate,
    read_request,
)
from sync.trust.keys import CommandSecret, NodeKeys
from tests.gateway.memory_casework import MemoryCases, MemoryCasework
from tests.sync.chance import Chance
from tests.sync.memory_ledger import ConnectionLost, MemoryLedger, MemoryReader, MemoryWriter
from tests.sync.memory_store import MemoryStore
from tests.sync.memory_tables import At, Tables, nothing_happens
from tests.sync.memory_trees import NO_END

VALID_US = 20 * 365 * 86_400 * 1_000_000


class NodeClock(Protocol):
    """UTC microseconds, and seconds that never jump."""

    def now_us(self) -> int: ...
    def elapsed_s(self) -> float: ...


class NeverStops:
    """Nobody tells the steward to stop, and it waits for nothing."""

    def set(self) -> None:
        raise AssertionError("nobody stops it")

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float) -> None:
        return None


class Remembered:
    """See sync.exchange.outside.Keeper; `kept` outlives a crash, and what befalls the tables."""

    def __init__(self) -> None:
        self.kept = Outside()

    def log_leaves(self, log: str, size: int) -> None:
        self.kept = self.kept.with_log(log, size)

    def numbers_leave(self, upto: Mapping[Division, int]) -> None:
        self.kept = self.kept.with_numbers(upto)


class MemoryNode:
    """`tables`, `keys` and `chance` outlive a crash; what `start` makes does not."""

    passing: tuple[type[Exception], ...] = (LedgerUnavailable, ConnectionLost)

    def __init__(
        self,
        division: Division,
        channel: Channel,
        clock: NodeClock,
        parent: "MemoryNode | None" = None,
        at: At = nothing_happens,
        seed: int = 0,
    ) -> None:
        """channel: the one to the parent and to the children; `above` and `below` may be set before `start`."""
        self.here = division
        self.clock = clock
        self.parent = parent
        self.above: Channel = channel
        self.below: Channel = channel
        self.origin = f"huiyin.example/{division}/1"
        self.chance = Chance(seed << 48 | int(division))
        self.keys = _keys(self.origin, self.chance)
        self.tables = Tables()
        self.outside = Remembered()
        self.is_restored = False
        self._at = at
        self._given = Enrolment("", [])

    # --- life ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Be enrolled, start, and write the first leaves of the log."""
        now_us = self.clock.now_us()
        request = self._request()
        if self.parent is None:
            text = make_root(read_request(request), self.keys.log, now_us - 1, now_us + VALID_US)
            self._given = Enrolment(fingerprint(text), [text])
        else:
            self._given = self.parent.admit(request)
        self.start()

    def start(self) -> None:
        """Start, or start again after `crash`, from what the tables hold."""
        self._look_outside()
        self.open_tables()
        with self.store.transaction() as tx:
            own = found(tx, self.origin, self._given.certificates, self._given.root_fingerprint)
            directory = believed(tx, own, self.clock.now_us())
        self.exchange = Exchange(
            Station(self.here, self.origin, self.keys.log, self.keys.witness),
            Trust(directory, nullcontext()),
            self.store,
            self.above if self.parent else None,
            self.below,
            self.clock.now_us,
            self.clock.elapsed_s,
            outside=self.outside,
        )
        self.held_clock = HeldClock(self.clock)
        self.held_clock.hold(self.reader.head().recorded_us)
        self.probation = Probation(self.is_restored, self._agreed, self.exchange.standing)
        self.ids = Ids(self.here, self.chance)
        self.journal = Journal(self.held_clock, self.append, self.keys.commands)
        self.casework = Casework(self._casework_given(), NeverStops())
        if not self.probation.is_on:
            self._log_opening()

    def open_tables(self) -> None:
        """What the parts of the program keep things in, and read them from."""
        self.database: LedgerDatabase[Any] = MemoryLedger(self.tables, self._at)
        self.writer = MemoryWriter(self.database, self.clock.now_us)
        self.store: Store = MemoryStore(self.tables, self.writer, self._at)
        self.reader: LedgerReader = MemoryReader(self.tables)
        self.case_reader: CaseReader = MemoryCases(self.tables)
        self.kept: CaseworkStore = MemoryCasework(self.tables, self._at)

    def crash(self) -> None:
        """Lose all memory."""
        opened = ("database", "writer", "store", "reader", "case_reader", "kept")
        for name in (*opened, "exchange", "probation", "journal", "casework"):
            self.__dict__.pop(name, None)

    def restore(self, backup: Tables) -> None:
        """Start from what a backup holds, as `huiyin node restore` makes it: it asks its parent before it writes."""
        self.crash()
        self.tables, self.is_restored = backup.copied(), self.parent is not None
        self.outside.kept = Outside()
        self._ask_before_writing()
        self.start()

    def _look_outside(self) -> None:
        """Whether the tables lack what had left the node, as a node in service looks before anything else."""
        if self.is_restored or self.outside.kept == Outside():
            return
        with self._unstruck().transaction() as tx:
            fault = put_back(tx, self.outside.kept)
            if fault is not None:
                tx.fault([fault], self.clock.now_us())
        if fault is not None:
            self._ask_before_writing()
            self.is_restored = self.parent is not None
            self.outside.kept = Outside()

    def _unstruck(self) -> Store:
        """Of the tables, before the program runs."""
        return MemoryStore(self.tables, MemoryWriter(MemoryLedger(self.tables), self.clock.now_us))

    def _ask_before_writing(self) -> None:
        """As the database of a restored node is prepared in service."""
        with self._unstruck().transaction() as tx:
            tx.ask_held(self.chance(16))
            for child, state in [*self.tables.children.items()]:
                self.tables.children[child] = state._replace(down_size=state.down_size + NUMBERS_SKIPPED)
            for kind in WORDS:
                for year in {year for _, year in self.tables.numbers}:
                    self.tables.numbers[kind, year] = self.tables.numbers.get((kind, year), 0) + SKIPPED

    def step(self) -> bool:
        """The steward and every pump once, in an order in which one round moves things on; whether anything moved."""
        before = self.tables.commits
        if self.probation.is_on:
            self.exchange.pump_seal()
            moved = self.exchange.pump_arrivals()
            return moved or self.tables.commits != before
        moved = False
        for pump in self.pumps():
            moved |= pump()
        return moved or self.tables.commits != before

    def pumps(self) -> list[Callable[[], bool]]:
        """What the node does without being asked, each a bounded piece of work that says whether there was any."""
        exchange = self.exchange
        return [
            exchange.pump_arrivals,
            exchange.pump_inbox,
            lambda: not self.casework.steward.step(),
            exchange.pump_seal,
            exchange.pump_up,
            exchange.pump_dispatch,
            exchange.pump_down,
        ]

    # --- what its parts ask of it -------------------------------------------------------------------------------------

    def append(self, append: Append) -> Answer[Appended]:
        """By the one writer, unless the node is on probation."""
        self.probation.require_over()
        return self.writer.append(append)

    def fault(self, fault: Fault) -> None:
        """Let it stand."""
        with self.store.transaction() as tx:
            tx.fault([fault], self.clock.now_us())

    def heal(self, kind: str, subjects: Sequence[str]) -> None:
        """They are over."""
        with self.store.transaction() as tx:
            tx.heal([kind], subjects, self.clock.now_us())

    def proof(self, seq: int) -> Proof | None:
        """Of an own leaf, once it is secured."""
        witness = self.exchange.witness_name()
        return self.exchange.proof(seq, witness) if witness else None

    def admit(self, request: str) -> Enrolment:
        """Enrol a direct subordinate."""

        def record(text: str) -> str:
            certificate = read_certificate(text)
            command_id = self.journal.of_node(f"enrol/{certificate.division}/{certificate.serial}")
            with self.journal.turn() as turn:
                event = ChildEnrolled(
                    **self.casework.own_envelope(turn.now_us),
                    division=certificate.division,
                    name=certificate.name,
                    certificate=text,
                )
                append = Append([_new(event)], command_id, b"", text.encode(), [CertificateKept(text)])
                return turn.append(append).result().result.decode()

        now_us = self.held_clock.sure_us()
        return self.exchange.admit(request, now_us, now_us + self.valid_us(read_request(request).division), record)

    def valid_us(self, division: Division) -> int:
        """How long a certificate that it signs now is good."""
        return VALID_US

    def renew(self) -> None:
        """Have the superior certify the same keys for longer. Raises as `admit` does there."""
        if self.parent is not None:
            self._given = self.parent.admit(self._request())

    def certified_until_us(self) -> int:
        """Until when its own certificate is good, as its superior knows it; 0 for unknown."""
        known = (self.parent or self).exchange.trust.directory.division(self.here)
        return 0 if known is None else known.certificate.valid_to_us

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def office(self) -> str:
        """Its first unit."""
        return f"{self.here}.office"

    def actor(self, role: Role, number: int = 1) -> Actor:
        """Somebody who works there."""
        return Actor(account=UUID(int=int(self.here) << 16 | number), role=role, unit=self.office)

    def log(self, origin: str) -> list[Row]:
        """What is held of a log without a gap or with, by leaf."""
        return self.tables.ledger.run(self.tables.logs.get(origin, 0), 0, NO_END)

    def faults(self) -> dict[str, str]:
        """Kind -> subject of the faults that are not over."""
        standing = self.tables.faults.items()
        return {kind: subject for (kind, subject), stands in standing if stands.healed_us is None}

    def is_secured(self) -> bool:
        """Whether the parent has cosigned all that the node has said; of the root, True."""
        witness = self.exchange.witness_name()
        return witness is None or self.exchange.cosigned_size(witness) == self.reader.head().own_size

    def is_at_rest(self) -> bool:
        """Whether the parent holds, and every child has acknowledged, all that the node has for them."""
        is_heard = all(state.down_acked == state.down_size for state in self.tables.children.values())
        is_relayed = all(tree.acked_size == tree.size for tree in self.tables.trees.values())
        return is_heard and self.is_secured() and (self.parent is None or is_relayed)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _casework_given(self) -> Given:
        return Given(
            self.here,
            self.origin,
            self.keys,
            self.ids,
            self.journal,
            self.reader,
            self.case_reader,
            self.kept,
            self.store,
            lambda: self.exchange.trust.directory,
            self.proof,
            self,
            lambda asked: msgspec.json.encode(self.admit(asked)),
            lambda: None,
            self.clock.elapsed_s,
            self.chance,
            lambda: int.from_bytes(self.chance(6)) / (1 << 48),
            self.passing,
        )

    def _log_opening(self) -> None:
        if self.reader.head().own_size:
            return
        parent = self.parent.here if self.parent else None
        with self.journal.turn() as turn:
            opened, office = (self.casework.own_envelope(turn.now_us) for _ in range(2))
            events: list[AnyEvent] = [
                NodeOpened(**opened, origin=self.origin, name=self.here, parent=parent),
                UnitOpened(**office, unit=self.office, name=self.here),
            ]
            turn.append(Append([_new(event) for event in events])).result()

    def _agreed(self) -> None:
        self.heal(PUT_BACK, [self.origin])
        self.is_restored = False

    def _request(self) -> str:
        keys = Keys(
            log=self.keys.log.verifier.vkey,
            witness=self.keys.witness.verifier.vkey,
            intake=self.keys.intake.verifier.vkey,
            recipient_id=recipient_key_id(self.keys.recipient.public),
            recipient=encode64(self.keys.recipient.public),
        )
        parent = self.parent.here if self.parent else None
        wish = Request(
            division=self.here, parent=parent, name=self.here, tier=tier_of(self.here), origin=self.origin, keys=keys
        )
        return make_request(wish, self.keys.log)


def _keys(origin: str, chance: Chance) -> NodeKeys:
    beside = origin.rpartition("/")[0]
    return NodeKeys(
        Ed25519Signer(origin, ED25519, chance(32)),
        Ed25519Signer(f"{beside}/witness", COSIGNATURE_V1, chance(32)),
        Ed25519Signer(f"{beside}/intake", ED25519, chance(32)),
        (RecipientKey(1, X25519PrivateKey.from_private_bytes(chance(32))),),
        CommandSecret(chance(32)),
    )


def _new(event: AnyEvent) -> NewEvent:
    return NewEvent(event.stream, event.version, tag_of(event), event.case, encode(event))
