"""What a node's casework keeps beside the ledger, whatever keeps it: PostgreSQL in service."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from domain.events import CaseId, EventId
from sync.ledger.append import Act


class Leaf(NamedTuple):
    """Where a sealed item lies: which log (local id), which leaf. Its own id may have been copied from another."""

    log_id: int
    seq: int


class Letter(NamedTuple):
    """A letter of the desk. item: the id its writer was told to quote."""

    leaf: Leaf
    item: UUID
    received_us: int


class Grown(NamedTuple):
    """A log and the head that is held of it."""

    origin: str
    size: int
    root: bytes


class CaseworkStore(Protocol):
    """Each call is a transaction of its own, committed on return."""

    def do(self, act: Act) -> None:
        """An act that is otherwise done beside an append, alone."""

    # Numbers of papers

    def last_numbers(self) -> dict[tuple[str, int], int]:
        """The last number given, by kind of paper (the tag of its event) and year."""

    # What the steward remembers

    def position(self) -> int:
        """Up to which position it has gone through the ledger."""

    def move(self, pos: int) -> None:
        """That far now; never back."""

    def put_off(self, pos: int) -> None:
        """The row at `pos` is to be tried again."""

    def were_put_off(self) -> list[int]:
        """The positions of all such rows, the latest first."""

    def settled(self, pos: int) -> None:
        """The row at `pos` need not be tried again."""

    def newer_from(self) -> int | None:
        """From which position on something waits for a newer version of this program."""

    def set_newer(self, pos: int | None) -> None:
        """From there on, and from nowhere before."""

    def watch(self, case: CaseId, objection: EventId) -> None:
        """An objection of a unit of this node, to be looked at; once."""

    def due(self, now_us: int) -> list[tuple[EventId, CaseId]]:
        """The objections that are to be looked at by now."""

    def look_at(self, objection: EventId, at_us: int) -> None:
        """Look at it then."""

    def look_at_all(self) -> None:
        """Look at all of them now."""

    def unwatch(self, objection: EventId) -> None:
        """It has ended."""

    def requests(self) -> list[str]:
        """Requests for enrolment without an answer."""

    def answer(self, request: str, bundle: bytes | None, refusal: str | None) -> None:
        """What came of one."""

    def remember_erased(self, case: CaseId) -> None:
        """An erasure was confirmed in it."""

    def erased_among(self, cases: Collection[UUID]) -> list[CaseId]:
        """Those of these cases in which one was."""

    # What is known of other logs

    def noted_pos(self) -> int:
        """Up to which position the heads of other logs are noted."""

    def has_news_from_below(self, after_pos: int, upto_pos: int) -> bool:
        """Whether anything came from below between these positions that is no note of heads."""

    def grown(self, after_pos: int, upto_pos: int) -> Sequence[Grown]:
        """The logs that grew from below between these positions, by origin."""

    # Letters for this node's own desk

    def keep_letter(self, letter: Letter) -> None:
        """One that is kept already stays."""

    def letters(self) -> list[Letter]:
        """Oldest first."""

    def letter(self, leaf: Leaf) -> tuple[bytes, bytes] | None:
        """The event and the ciphertext of a letter that is kept."""
