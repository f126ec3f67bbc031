"""What is asked of a node's ledger by those who only read it."""

from typing import LiteralString, Protocol
from uuid import UUID

from sync.ledger.batch import KnownCommand
from sync.ledger.rows import Head, Row


class LedgerReader(Protocol):
    """Every answer is of committed rows only, as of the moment it is given."""

    def read(self, after_pos: int, limit: int) -> list[Row]:
        """At most `limit` rows with pos > after_pos, in order, without gaps: what is not here is not committed."""

    def read_case(self, case_id: UUID, after_pos: int = 0) -> list[Row]:
        """Every row of one case with pos > after_pos, own and learned, in the order learned."""

    def of_topic(self, topic: LiteralString, after_pos: int = 0) -> list[Row]:
        """Every row of one type of event with pos > after_pos, in order."""

    def head(self) -> Head:
        """The head as committed."""

    def wait_beyond(self, pos: int, timeout_s: float) -> int:
        """Sleep until a position > pos is committed or the timeout is over; returns the last position known."""

    def command(self, command_id: UUID) -> KnownCommand | None:
        """How this command was answered, if it was recorded."""

    def filed(self, leaf: bytes) -> UUID | None:
        """The case that was registered here by the event with this leaf hash."""

    def origin(self, log_id: int) -> str:
        """The origin of a log by its id here. LookupError for an id that was not given."""

    def held(self, division: str) -> tuple[str, int] | None:
        """The newest log of a division of which a tree is kept, and the size of that; None where there is none."""
