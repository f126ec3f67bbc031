"""A node's further witnesses, asked in rounds: all of a round for one head, so that there are heads that all signed."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.hosting.config import FurtherWitness
from gateway.hosting.witness_client import WitnessClient, WitnessTrouble
from sync.exchange.faults import ROLLED_BACK
from sync.exchange.status import faults
from sync.exchange.store_postgres import PostgresStore, PostgresTx

ROUND_S: Final = 1.0
FIRST_DELAY_S: Final = 1.0
LAST_DELAY_S: Final = 600.0
_TRIES: Final = 3

_log = structlog.get_logger("witnesses")


class FurtherWitnesses:
    """One thread goes round. Who does not answer is left out of rounds for a while, twice as long each time."""

    def __init__(
        self,
        witnesses: Sequence[FurtherWitness],
        store: PostgresStore,
        acknowledger: Callable[[], str | None],
        now_us: Callable[[], int],
        elapsed_s: Callable[[], float] = time.monotonic,
        is_sure: Callable[[], bool] = lambda: True,
    ) -> None:
        """acknowledger: the name of the key of the next one up. Only what it has cosigned is put before the others:
        so their cosignatures stand on heads that it has signed, too, and acknowledge nothing that it does not hold."""
        self._store = store
        self._acknowledger = acknowledger
        self._elapsed_s = elapsed_s
        self._now_us = now_us
        self._note: str | None = None
        self.clients = [
            WitnessClient(one, store, now_us, lambda _: self._note, elapsed_s, is_sure) for one in witnesses
        ]
        self._delay_s = dict.fromkeys([client.name for client in self.clients], FIRST_DELAY_S)
        self._not_before_s = dict.fromkeys(self._delay_s, 0.0)

    def round(self) -> bool:
        """Ask each that is not left out. False: the next round can wait."""
        with self._store.transaction() as tx:
            self._note = self._acknowledged(tx)
        if self._note is None:
            return False
        for client in self.clients:
            if self._elapsed_s() >= self._not_before_s[client.name]:
                self._ask(client)
        return False

    def _acknowledged(self, tx: PostgresTx) -> str | None:
        name = self._acknowledger()
        own = tx.own_log()
        last = tx.last_cosigned([own], name).get(own) if name else None
        head = tx.head_at(own, last.size) if last else None
        return head.note if head else None

    def _ask(self, client: WitnessClient) -> None:
        try:
            for _ in range(_TRIES):
                if client.ask():
                    break
        except WitnessTrouble as trouble:
            delay_s = self._delay_s[client.name]
            _log.warning("trouble", part="witness", reason=str(trouble), again_in_s=delay_s)
            self._not_before_s[client.name] = self._elapsed_s() + delay_s
            self._delay_s[client.name] = min(2 * delay_s, LAST_DELAY_S)
        else:
            self._delay_s[client.name] = FIRST_DELAY_S

    def close(self) -> None:
        """Give the connections back."""
        for client in self.clients:
            client.close()


def forget_gone(store: PostgresStore, names: Sequence[str], now_us: int) -> None:
    """The faults of witnesses that were put back are over once nobody asks them any more."""
    with store.transaction() as tx:
        standing = [fault.subject for fault in faults(tx) if fault.kind == ROLLED_BACK]
        gone = [subject for subject in standing if subject not in names]
        if gone:
            tx.heal([ROLLED_BACK], gone, now_us)
