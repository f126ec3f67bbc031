"""What the exchange of a node asks of the store that it is given, whatever that is: PostgreSQL in service."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from domain.divisions import Division
from sync.exchange.arrivals import ArrivalsStore
from sync.exchange.checkpoints import SealStore
from sync.exchange.downlink import DownlinkStore
from sync.exchange.inbox_store import InboxStore
from sync.exchange.outbox import OutboxStore
from sync.exchange.returning import ReturningStore
from sync.exchange.waiting_parts import WaitingStore
from sync.exchange.withheld import WithheldStore

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Transaction(
    SealStore,
    OutboxStore,
    InboxStore,
    ReturningStore,
    DownlinkStore,
    ArrivalsStore,
    WaitingStore,
    WithheldStore,
    Protocol,
):
    """All that one transaction offers. What it writes it reads; nobody else sees it before it is committed."""

    def ask_held(self, nonce: bytes) -> None:
        """Keep the question to the parent what it holds; a new one takes the place of an older one."""

    def held(self) -> tuple[bytes, int | None] | None:
        """The question's nonce and the answer's size, null until it came; None where nobody asked."""

    def open_faults(self, subject: str) -> frozenset[str]:
        """The kinds of the faults of this subject that are not over."""

    def forget_faults(self, older_than_us: int) -> None:
        """Drop those that are over for so long, and the count of what found no room, if nothing was added since."""

    def certificates_said(self, division: Division, origin: str, size: int) -> list[str]:
        """The certificates and revocations in the logs of a division as held here, of this one below `size` only."""

    def write_log(self, log_id: int, own_size: int) -> None:
        """Own events are of this log from the next writer on, and its first leaf is the next; no writer goes on.

        own_size: leaves that the one written so far has, sealed or not; TreeMoved where it has others.
        """

    def certificates(self) -> list[str]:
        """Every certificate that is kept, in order of serial and division."""


class NotStorable(Exception):
    """The store was given what it cannot hold; nothing of it is stored, and the same never will be. Give it less."""


class Pending(Protocol[T_co]):
    """Something that is being stored."""

    def result(self) -> T_co:
        """Waits until it is stored; what it gave, or raises what it raised, and then nothing of it is stored."""


class Store(Protocol):
    """Where transactions come from. Each is committed whole or leaves nothing, and is durable once committed.

    What a store raises while it is away is its own affair: whoever calls the exchange knows it, and tries again.
    """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """One beside the ledger, which it only reads: `learn` and `own_size` are not for it.

        Committed at the end of the block; an exception out of the block leaves nothing of it.
        """

    def learning(self, job: Callable[[Transaction], T]) -> T:
        """Run `job` in a transaction that takes part in the order of the ledger, committed when this returns.

        Raises what the job raises, and NotStorable. A job may run twice, where the first time was not committed.
        """

    def learning_soon(self, job: Callable[[Transaction], T]) -> Pending[T]:
        """The same without waiting: jobs run in the order given."""
