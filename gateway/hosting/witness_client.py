"""The root's side of the outside witness: asks it over HTTP to cosign the own log (C2SP tlog-witness)."""

from collections.abc import Callable
from typing import Final

import httpx2

from gateway.hosting.config import OutsideWitness
from sync.exchange.channel import ChannelDown
from sync.exchange.exchange import Standing
from sync.exchange.faults import contradiction
from sync.exchange.store_postgres import PostgresStore
from sync.proofs.note import NoteInvalid, parse_vkey
from sync.proofs.tree import OWN_LOG
from sync.proofs.witness import Question, question, take_answer

TIMEOUT_S: Final = 10.0
_CONTRADICTIONS: Final = ("behind", "differs_above")


class WitnessClient:
    """One thread asks, any may ask how it stands. The witness may be down for hours, which only costs lag."""

    def __init__(self, witness: OutsideWitness, store: PostgresStore, now_us: Callable[[], int]) -> None:
        self._url = witness.url
        self._key = parse_vkey(witness.key)
        self._store = store
        self._now_us = now_us
        self._held_size: int | None = None
        self._answered_size: int | None = None
        self._standing: Standing = "unanswered"
        self._http = httpx2.Client(timeout=TIMEOUT_S)

    @property
    def name(self) -> str:
        """The name of its key."""
        return self._key.name

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def ask(self) -> bool:
        """Ask once, if there is anything to cosign; the first time in any case. False, too, where it has to be asked
        again with the size that it has named. A witness that holds something else is a fault, kept with its evidence
        and over once it cosigns. Raises ChannelDown, so that the next question waits.
        """
        with self._store.transaction() as tx:
            asked = question(tx, self._key, self._held_size, again=self._answered_size is None)
        if asked is None:
            return False
        try:
            answer = self._http.post(f"{self._url}/add-checkpoint", content=asked.body)
            self._take(asked, answer.status_code, answer.content)
        except (httpx2.HTTPError, NoteInvalid) as error:
            raise ChannelDown(f"witness {self._url}: {error}") from error
        return self._held_size is None

    def _take(self, asked: Question, status: int, body: bytes) -> None:
        origin, now_us = asked.checkpoint.origin, self._now_us()
        against = contradiction(asked, status, body)
        with self._store.transaction() as tx:
            if against is not None:
                tx.fault([against], now_us)
            else:
                self._held_size = take_answer(tx, asked, status, body, self._key, now_us)
                if self._held_size is None:
                    tx.heal(_CONTRADICTIONS, [origin], now_us)
        if against is not None:
            self._standing = "behind" if against.kind == "behind" else "differs"
            raise ChannelDown(f"witness {self._url}: {against.detail}")
        if self._held_size is None:
            self._answered_size = asked.checkpoint.size

    def standing(self) -> Standing:
        """Whether the witness has, since this process began, cosigned the own log as it stands here."""
        with self._store.transaction() as tx:
            size = tx.tree(OWN_LOG).size
        return "agrees" if self._answered_size == size else self._standing
