"""What the inbox asks of the store under it: one transaction, which commits as a whole or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

from domain.divisions import Division
from sync.exchange.faults import Fault
from sync.exchange.wire import Item
from sync.ledger.append import Learned
from sync.proofs.tree import Growth, LastCosigned, SignedHead, Tree, TreeReader


class Part(NamedTuple):
    """What lies beside leaf `seq` of a log."""

    log_id: int
    seq: int
    part: int
    body: bytes


class Parked(msgspec.Struct, frozen=True):
    """A frame that waits until `wants_log` is held up to `wants_size`; `reason` names the fault it stands for."""

    log: str
    first: int
    child: Division
    reason: str
    wants_log: str
    wants_size: int
    record: bytes


class LearningStore(TreeReader, Protocol):
    """What both inboxes need: a transaction that takes part in the order of the ledger."""

    def together(self) -> AbstractContextManager[object]:
        """What is written inside may be sent in one go; what is read there waits for it."""

    def learn(self, via: int, rows: Sequence[Learned]) -> None:
        """Append to the ledger, in this order. None of them may be there already."""

    def keep_parts(self, parts: Sequence[Part]) -> None:
        """Store what lies beside; a part that is there already stays."""

    def keep_cosignatures(self, witness: str, lines: Sequence[tuple[int, int, str]], now_us: int) -> None:
        """(log_id, size, line) of one witness."""

    def keep_certificate(self, division: Division, serial: int, text: str) -> None:
        """A certificate that was verified."""

    def enqueue(self, child: Division, items: Sequence[Item], now_us: int) -> None:
        """The next number of the child's downward sequence."""

    def fault(self, faults: Sequence[Fault], now_us: int) -> None:
        """Count them; the first evidence of a kind and subject is kept."""

    def heal(self, kinds: Sequence[str], subjects: Sequence[str], now_us: int) -> None:
        """These are over."""


class InboxStore(LearningStore, Protocol):
    """What the inbox from below needs."""

    @property
    def own_size(self) -> int:
        """Events in this node's own log, also those not yet under a checkpoint."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held."""

    def plant(self, origin: str, division: Division) -> Tree:
        """An empty tree for a log that has none."""

    def grow(self, growths: Sequence[Growth]) -> None:
        """Apply all of them or raise TreeMoved."""

    def freeze(self, log_id: int, reason: str) -> None:
        """Take no more of this log."""

    def thaw(self, log_id: int) -> None:
        """Take more of this log again."""

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        """The signed head of exactly this size, if one was kept."""

    def sparse(self, sizes: Mapping[int, int]) -> dict[tuple[int, int], bytes]:
        """(log_id, seq) -> leaf hash of what is known of these logs beyond their sizes, learned from above."""

    def last_cosigned(self, log_ids: Iterable[int], witness: str) -> dict[int, LastCosigned]:
        """The newest cosignature of `witness` for each log that has one."""

    def acknowledged(self, child: Division, down_seq: int, knows: int) -> None:
        """The child holds its sequence up to here; never beyond what it was sent, never back. knows: its EDITION."""

    def ask_down(self, child: Division, from_seq: int) -> None:
        """The child wants its sequence again from this number on."""

    def heard(self, child: Division, offset: int, now_us: int) -> None:
        """Everything of the child's lane up to `offset` is dealt with."""

    def park(self, frame: Parked, now_us: int) -> None:
        """Keep a frame that waits, in place of another one of the same log and first leaf."""

    def unpark(self, sizes: Mapping[str, int]) -> list[Parked]:
        """Take out the frames that wait for no more than these logs at these sizes, in order of log and first."""

    def parked_load(self, child: Division) -> tuple[int, int]:
        """How many frames of this child wait, and their bytes."""

    def is_parked(self, log: str, upto: int) -> bool:
        """Whether a frame of this log that starts at or before `upto` waits."""

    def begin_return(self, child: Division, nonce: bytes) -> bool:
        """The child has lost all that it had, and what it was told before is kept no longer; False where that is known.

        nonce: of its question; with another one it has lost it again.
        """

    def parked_records(self, log: str) -> list[bytes]:
        """The frames of this log that wait."""
