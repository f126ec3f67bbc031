"""A node's links: the exchange with its parent and its children, and with the outside witness where it is the root."""

import time
from collections.abc import Callable
from typing import Final

import httpx2
import structlog

from gateway.clock import Clock
from gateway.config import ChannelEnd, NodeConfig
from gateway.logs import frames
from sync.append import NewEvent
from sync.channel import ChannelDown
from sync.channel_postgres import PostgresChannel
from sync.exchange import Exchange, Standing, found
from sync.keys import NodeKeys
from sync.ledger import Reader
from sync.note import parse_vkey
from sync.pump import Pump
from sync.station import Station
from sync.store_postgres import PostgresStore
from sync.tree import Proof
from sync.trust import Directory, Enrolment
from sync.witness import question, take_answer
from sync.writer import Writer

IDLE_S: Final = 1.0
WITNESS_TIMEOUT_S: Final = 10.0
WITNESS_EVERY_S: Final = 0.2

_log = structlog.get_logger("links")


class Links:
    """Everything of a node that speaks with other nodes."""

    def __init__(
        self,
        config: NodeConfig,
        enrolment: Enrolment,
        keys: NodeKeys,
        dsn: str,
        writer: Writer,
        reader: Reader,
        clock: Clock,
    ) -> None:
        self._config = config
        self._reader = reader
        self._clock = clock
        self._store = PostgresStore(dsn, writer)
        station = Station(config.node.division, config.origin, keys.log, keys.witness)
        with self._store.transaction() as tx:
            found(tx, config.origin, enrolment.certificates, enrolment.root_fingerprint)
            directory = Directory(enrolment.root_fingerprint).adding_all(tx.certificates())
        self._above, self._below = _channel(config.channel.up), _channel(config.channel.down)
        self.exchange = Exchange(station, directory, writer, self._store, self._above, self._below, clock.now_us)
        self._witness = parse_vkey(config.witness.key) if config.witness else None
        self._held_by_witness: int | None = None
        self._http = httpx2.Client()
        self._has_asked_witness = False
        self._rung = 0
        self._pumps: list[Pump] = []

    def seal_all(self) -> None:
        """Put every own event under a checkpoint, so that what the next one up holds can be compared with it."""
        while self.exchange.pump_seal():
            pass

    def start(self, failed: Callable[[], None], *, may_send: bool = True) -> None:
        """Start the threads. failed: told when one of them met a fault of the program.

        may_send: False for a node on probation: it only asks and listens.
        """

        def tell(name: str, trouble: BaseException, again_in_s: float) -> None:
            if again_in_s:
                _log.warning("trouble", part=name, error=type(trouble).__name__, again_in_s=round(again_in_s, 1))
            else:
                _log.error("stopped", part=name, error=type(trouble).__name__, frames=frames(trouble))
                failed()

        exchange = self.exchange
        pumps = []
        if self._above is not None:
            pumps.append(Pump("arrivals", lambda: exchange.pump_arrivals(IDLE_S), lambda: None, tell))
        if self._witness is not None:
            pumps.append(Pump("witness", self._ask_witness, lambda: time.sleep(WITNESS_EVERY_S), tell))
        if may_send:
            pumps += [
                Pump("up", self._up, lambda: exchange.to_parent.wait(IDLE_S), tell),
                Pump("down", self._down, lambda: exchange.to_children.wait(IDLE_S), tell),
                Pump("bell", self._ring, lambda: None, tell),
            ]
        if may_send and self._below is not None:
            pumps.append(Pump("inbox", self._inbox, lambda: None, tell))
        for pump in pumps:
            pump.start()
        self._pumps = pumps

    def stop(self) -> None:
        """End the threads after what each is doing."""
        for pump in self._pumps:
            pump.stop()
        self.exchange.to_parent.ring()
        self.exchange.to_children.ring()
        for pump in self._pumps:
            pump.join()
        self._pumps = []

    def close(self) -> None:
        """Stop, and give all connections back."""
        self.stop()
        for channel in (self._above, self._below):
            if channel is not None:
                channel.close()
        self._http.close()
        self._store.close()

    def directory(self) -> Directory:
        """Every certificate known here."""
        return self.exchange.trust.directory

    def admit(self, request: str, valid_to_us: int, event_of: Callable[[str], NewEvent]) -> Enrolment:
        """Enrol a direct subordinate; see `Exchange.admit`."""
        return self.exchange.admit(request, self._clock.now_us(), valid_to_us, event_of)

    def acknowledger(self) -> str | None:
        """The name of the key whose cosignature secures an own event: the parent's, at the root the witness's."""
        return self._witness.name if self._witness else self.exchange.witness_name()

    def cosigned_size(self) -> int:
        """How much of the own log is secured."""
        name = self.acknowledger()
        return self.exchange.cosigned_size(name) if name else 0

    def proof(self, seq: int) -> Proof | None:
        """Of an own leaf, once it is secured."""
        name = self.acknowledger()
        return self.exchange.proof(seq, name) if name else None

    def lag(self) -> int:
        """Events, own and from below, that the next one up has not cosigned."""
        own_size = self._reader.head().own_size
        if self._witness is not None:
            return own_size - self.cosigned_size()
        rows = self._reader.fetch(
            "select coalesce(sum(size - acked_size), 0), coalesce(sum(size) filter (where log_id = 1), 0) from tree"
        )
        behind, sealed = rows[0]
        return int(behind) + own_size - int(sealed)

    def standing(self) -> Standing:
        """Whether the next one up holds what this node holds; asked by a node from a backup.

        At the root the outside witness answers, by cosigning the restored head or by naming a larger one.
        """
        if self._witness is None:
            return self.exchange.standing()
        sealed = int(self._reader.fetch("select size from tree where log_id = 1")[0][0])
        if self._held_by_witness is not None and self._held_by_witness > sealed:
            return "behind"
        return "agrees" if self.cosigned_size() >= sealed and self._has_asked_witness else "unanswered"

    def faults(self) -> int:
        """How many faults of other nodes stand."""
        return int(self._reader.fetch("select count(*) from fault where healed_us is null")[0][0])

    # --- the threads' work ------------------------------------------------------------------------------------------

    def _up(self) -> bool:
        sealed = self.exchange.pump_seal()
        if sealed:
            self.exchange.to_children.ring()
        return self.exchange.pump_up() or sealed

    def _down(self) -> bool:
        dispatched = self.exchange.pump_dispatch()
        return self.exchange.pump_down() or dispatched

    def _inbox(self) -> bool:
        if not self.exchange.children:
            time.sleep(IDLE_S / 4)
            return False
        return self.exchange.pump_inbox(IDLE_S)

    def _ring(self) -> bool:
        """Wake the links whenever the ledger has grown."""
        pos = self._reader.wait_beyond(self._rung, IDLE_S)
        if pos > self._rung:
            self._rung = pos
            self.exchange.to_parent.ring()
            self.exchange.to_children.ring()
        return True

    def _ask_witness(self) -> bool:
        """Have the outside witness cosign the own log; it may be down for hours, which only costs lag."""
        witness, config = self._witness, self._config.witness
        if witness is None or config is None:
            return False
        with self._store.transaction() as tx:
            asked = question(tx, witness, self._held_by_witness)
        if asked is None:
            self._has_asked_witness = self._has_asked_witness or self._held_by_witness is None
            return False
        try:
            answer = self._http.post(f"{config.url}/add-checkpoint", content=asked.body, timeout=WITNESS_TIMEOUT_S)
        except httpx2.HTTPError as error:
            raise ChannelDown(f"the witness at {config.url} does not answer: {type(error).__name__}") from error
        with self._store.transaction() as tx:
            self._held_by_witness = take_answer(
                tx, asked, answer.status_code, answer.content, witness, self._clock.now_us()
            )
        return True


def _channel(end: ChannelEnd | None) -> PostgresChannel | None:
    return PostgresChannel(end.dsn) if end else None
