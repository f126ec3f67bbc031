"""A node's links: the exchange with its parent and its children, and with the outside witness where it is the root."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from domain.divisions import Division
from domain.events import Unknown, read
from gateway.hosting.clock import HeldClock
from gateway.hosting.config import ChannelEnd, NodeConfig
from gateway.hosting.further_witnesses import ROUND_S, FurtherWitnesses, forget_gone
from gateway.hosting.outside_file import OutsideFile
from gateway.hosting.policies import Published, acknowledger, published
from gateway.hosting.status import WitnessStatus
from gateway.hosting.trouble import passes
from gateway.hosting.witness_client import WitnessClient
from sync.exchange.channel import ChannelDown
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.convicting import file_for
from sync.exchange.exchange import Exchange, Recording, Standing, Trust
from sync.exchange.faults import Fault
from sync.exchange.outside import put_back
from sync.exchange.pump import Pump
from sync.exchange.pumping import Pumping
from sync.exchange.starting import believed, found, settle_below, signing_station, take_up_again
from sync.exchange.station import Station
from sync.exchange.status import (
    ChildStatus,
    FaultStatus,
    OwnCosigned,
    OwnStatus,
    ShardStatus,
    child_statuses,
    fault_kept,
    faults,
    own_cosigned,
    own_shards,
    own_status,
)
from sync.exchange.store_postgres import PostgresStore
from sync.exchange.succession import End
from sync.ledger.writer import Writer
from sync.proofs.note import named
from sync.proofs.policy import demands
from sync.proofs.quorum import Quorum
from sync.proofs.tree import Proof
from sync.trust.certificates import OVERLAP_US, Directory, Enrolment
from sync.trust.keys import NodeKeys
from sync.trust.statements import Ground

ARRIVALS_S: Final = 1.0
WITNESS_EVERY_S: Final = 0.2

_log = structlog.get_logger("links")


class Links:
    """Everything of a node that speaks with other nodes."""

    def __init__(
        self,
        folder: Path,
        config: NodeConfig,
        enrolment: Enrolment,
        keys: NodeKeys,
        dsn: str,
        writer: Writer,
        clock: HeldClock,
    ) -> None:
        """folder: of the node, for the signed policy. Raises ConfigInvalid, PolicyInvalid."""
        self._folder, self._config = folder, config
        self._clock = clock
        self._store = PostgresStore(dsn, writer)
        with self._store.transaction() as tx:
            own = found(tx, config.origin, enrolment.certificates, enrolment.root_fingerprint)
            directory = believed(tx, own, clock.now_us())
            settle_below(tx, config.node.division, config.node.parent)
            self._is_alone = clock.now_us() > directory.since_us(config.node.division) + OVERLAP_US
            alone = Station(config.node.division, config.origin, named(keys.log, config.origin), keys.witness)
            following = named(keys.following.log, config.origin) if keys.following else None
            former = None if self._is_alone or keys.former is None else named(keys.former, config.origin)
            station = signing_station(alone, following, former, directory)
            take_up_again(tx, directory, station)
        self._above, self._below = _channel(config.channel.up), _channel(config.channel.down)
        trust = Trust(directory, threading.Lock())
        self._outside_file = OutsideFile(folder)
        self.exchange = Exchange(
            station,
            trust,
            self._store,
            self._above,
            self._below,
            clock.now_us,
            time.monotonic,
            outside=self._outside_file,
        )
        outside, now_us = config.witness, clock.now_us
        self._witness = WitnessClient(outside, self._store, now_us, is_sure=self._is_sure) if outside else None
        self._further = FurtherWitnesses(
            config.policy.witnesses, self._store, self._acknowledger, now_us, is_sure=self._is_sure
        )
        self._secured_size = 0
        self._quorum_of: tuple[Directory, Quorum, Published] | None = None
        self._tip = writer.tip
        self.published()
        forget_gone(self._store, [client.name for client in self._outside()], clock.now_us())
        self._pumping: Pumping | None = None
        self._pumps: list[Pump] = []

    @property
    def is_alone(self) -> bool:
        """Whether the log key in force signs without the one before it by now."""
        return self._is_alone

    @property
    def store(self) -> PostgresStore:
        """Of the exchange."""
        return self._store

    def seal_all(self) -> None:
        """Put every own event under a checkpoint, so that what the next one up holds can be compared with it."""
        while self.exchange.pump_seal():
            pass

    def start(self, failed: Callable[[str, BaseException], None], *, may_send: bool = True) -> None:
        """Start the threads. failed: told which of them met a fault of the program, and which fault.

        may_send: False for a node on probation: it only asks and listens.
        """

        def tell(name: str, trouble: BaseException, again_in_s: float) -> None:
            if again_in_s:
                reason = str(trouble) if isinstance(trouble, ChannelDown) else type(trouble).__name__
                _log.warning("trouble", part=name, reason=reason, again_in_s=round(again_in_s, 1))
            else:
                failed(name, trouble)

        if self._witness is not None:
            asking = self._telling_head(self._witness.ask)
            self._pumps.append(Pump("witness", asking, lambda: time.sleep(WITNESS_EVERY_S), tell, passes))
        if may_send and self._further.clients:
            rounds = self._telling_head(self._further.round)
            self._pumps.append(Pump("witnesses", rounds, lambda: time.sleep(ROUND_S), tell, passes))
        if may_send:
            self._pumping = Pumping(self.exchange, self._tip, tell, passes)
            self._pumping.start()
        elif self._above is not None:
            arrivals = Pump("arrivals", lambda: self.exchange.pump_arrivals(ARRIVALS_S), lambda: None, tell, passes)
            self._pumps.append(arrivals)
        for pump in self._pumps:
            pump.start()

    def _telling_head(self, tell: Callable[[], bool]) -> Callable[[], bool]:
        """What somebody outside the line is told of the own head is kept before."""

        def told() -> bool:
            with self._store.transaction() as tx:
                tree = tx.tree(tx.own_log())
            self._outside_file.log_leaves(tree.origin, tree.size)
            return tell()

        return told

    def put_back(self) -> Fault | None:
        """What the database lacks of that which had left the node; None where it lacks nothing."""
        with self._store.transaction() as tx:
            return put_back(tx, self._outside_file.kept)

    def is_asking_anew(self) -> None:
        """The superior is being asked: only what leaves from here on counts."""
        self._outside_file.forget()

    def stop(self) -> None:
        """End the threads after what each is doing."""
        for pump in self._pumps:
            pump.stop()
        if self._pumping is not None:
            self._pumping.stop()
            self._pumping = None
        for pump in self._pumps:
            pump.join()
        self._pumps = []

    def close(self) -> None:
        """Stop, and give all connections back."""
        self.stop()
        for channel in (self._above, self._below):
            if channel is not None:
                channel.close()
        if self._witness is not None:
            self._witness.close()
        self._further.close()
        self._store.close()

    def directory(self) -> Directory:
        """Every certificate known here."""
        return self.exchange.trust.directory

    def admit(self, request: str, validity_us: int, record: Callable[[str], str]) -> Enrolment:
        """Enrol a direct subordinate from now on for `validity_us`; see `Exchange.admit`. Raises ClockInDoubt."""
        now_us = self._clock.sure_us()
        return self.exchange.admit(request, now_us, now_us + validity_us, record)

    def move(self, division: Division, parent: Division, validity_us: int, record: Recording) -> Enrolment:
        """Place a division elsewhere, for `validity_us` from now on; see `Exchange.move`. Raises ClockInDoubt."""
        return self.exchange.move(division, parent, self._clock.sure_us() + validity_us, record)

    def take_back(
        self, division: Division, ground: Ground, successor: Division | None, size: int | None, record: Recording
    ) -> str:
        """Take back a subordinate's keys; see `Exchange.take_back`."""
        return self.exchange.take_back(division, ground, successor, size, record)

    def published(self) -> Published:
        """The policy of the own log as it is published now. Raises ConfigInvalid, PolicyInvalid."""
        return self._policy()[1]

    def _policy(self) -> tuple[Quorum, Published]:
        """Made once for every directory, whose keys are in it, and again while a key in it that another is to follow
        goes on cosigning."""
        directory, known = self.directory(), self._quorum_of
        with self._store.transaction() as tx:
            own = tx.own_log()
            if known is None or known[0] is not directory or known[1].is_outgrown(tx):
                cosigned_by = partial(tx.cosigned_by, own)
                stands = published(self._folder, self._config, directory, cosigned_by)
                quorum = Quorum(stands.policy, acknowledger(self._config, directory, cosigned_by).verifier.name)
                self._quorum_of = known = (directory, quorum, stands)
                self._secured_size = 0
        return known[1:]

    def pass_on(self) -> bool:
        """End the shard that is written, see `Exchange.pass_on`; False while not all of it is secured."""
        if self.secured_size() < self.status().log_size:
            return False
        return self.exchange.pass_on(self._policy()[0].acknowledger)

    def begin_regaining(self, nonce: bytes) -> bool:
        """Whether this node has lost its disk, see `Exchange.has_lost_all`: then the superior is asked for the rest.

        nonce: 16 bytes by chance. True the first time only, before anything else is written.
        """
        if not self.exchange.has_lost_all() or self.exchange.standing() != "unasked":
            return False
        self.exchange.ask_parent(nonce)
        return True

    def opening(self) -> End | None:
        """What the first leaf of the log that is written says of the shard before; None where there is none."""
        return self.exchange.opening()

    def secured_size(self) -> int:
        """How much of the own log is secured: cosigned by the next one up, and by whom else its policy demands."""
        quorum, _ = self._policy()
        with self._store.transaction() as tx:
            self._secured_size = quorum.secured_size(tx, self._secured_size)
        return self._secured_size

    def witnesses(self) -> tuple[WitnessStatus, ...]:
        """Those outside the line of command, the root's own first."""
        _, stands = self._policy()
        demanded = {one.verifier.name for one in stands.policy.witnesses if demands(stands.policy, one.verifier)}
        with self._store.transaction() as tx:
            return tuple(client.status(tx, is_demanded=client.name in demanded) for client in self._outside())

    def _is_sure(self) -> bool:
        return self._clock.doubt() is None

    def _outside(self) -> list[WitnessClient]:
        return [*([] if self._witness is None else [self._witness]), *self._further.clients]

    def cosigned_without(self, leaves: Sequence[tuple[int, int, int]]) -> list[int | None]:
        """For each (log, leaf, moment): when, by that moment, a head of the log was last cosigned without the leaf."""
        if not leaves:
            return []
        with self._store.transaction() as tx:
            return tx.cosigned_without(leaves)

    def cosigned_us(self) -> int:
        """When the next one up last cosigned the own log, by its clock (UTC microseconds); 0 for never."""
        last = self._own_cosigned()
        return last.signed_us if last else 0

    def clock_skew_s(self) -> int:
        """By how much the next one up's clock was seen to be ahead of the own when it last cosigned; behind: negative.

        What it signed, it signed after it was recorded here and before its answer was here: only what does not fit
        in between is a difference of clocks, however long the way was.
        """
        last = self._own_cosigned()
        if last is None:
            return 0
        event = read(last.body)
        recorded_us = 0 if isinstance(event, Unknown) else event.recorded_us
        early_us = min(0, last.signed_us + 1_000_000 - recorded_us)
        return (max(0, last.signed_us - last.kept_us) or early_us) // 1_000_000

    def _own_cosigned(self) -> OwnCosigned | None:
        with self._store.transaction() as tx:
            return own_cosigned(tx, self._acknowledger() or "")

    def proof(self, log_id: int, seq: int) -> Proof | None:
        """Of a leaf of an own log, once it is secured."""
        quorum, _ = self._policy()
        with self._store.transaction() as tx:
            return quorum.proof(tx, log_id, seq)

    def status(self) -> OwnStatus:
        """How the exchange stands."""
        with self._store.transaction() as tx:
            return own_status(tx, self._acknowledger() or "")

    def lag(self, status: OwnStatus) -> int:
        """Events, own and from below, that the next one up has not cosigned; at the root, own ones only."""
        if self._witness is not None:
            return status.log_size - status.cosigned_size
        return status.unsealed + status.unsecured_rows

    def shards(self) -> list[ShardStatus]:
        """Of the own log, those that have begun."""
        with self._store.transaction() as tx:
            return own_shards(tx)

    def children(self) -> list[ChildStatus]:
        """Every child that was ever said something or heard from."""
        with self._store.transaction() as tx:
            return child_statuses(tx)

    def faults(self) -> list[FaultStatus]:
        """The faults that stand, the latest first."""
        with self._store.transaction() as tx:
            return faults(tx)

    def evidence(self, kind: str, subject: str) -> bytes | None:
        """The file in which a fault leaves this node, over or not; null where it keeps no evidence."""
        with self._store.transaction() as tx:
            kept = fault_kept(tx, kind, subject)
        if kept is None or not kept[0].evidence:
            return None
        return file_for(self.exchange.station.here, *kept, self.exchange.trust.directory)

    def fault(self, fault: Fault) -> None:
        """Let one stand that was found beside the exchange."""
        with self._store.transaction() as tx:
            tx.fault([fault], self._clock.now_us())

    def heal(self, kind: str, subjects: Sequence[str]) -> None:
        """Such ones are over, those that stood."""
        with self._store.transaction() as tx:
            tx.heal([kind], subjects, self._clock.now_us())

    def standing(self) -> Standing:
        """Whether the next one up holds what this node holds; asked by a node from a backup.

        At the root the outside witness answers, by cosigning the restored head again or by naming a larger one.
        """
        return self.exchange.standing() if self._witness is None else self._witness.standing()

    def _acknowledger(self) -> str | None:
        """The name of the key whose cosignature secures an own event: the parent's, at the root the witness's."""
        return self._witness.name if self._witness else self.exchange.witness_name()


def _channel(end: ChannelEnd | None) -> PostgresChannel | None:
    return PostgresChannel(end.dsn) if end else None
