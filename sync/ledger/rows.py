"""What a ledger consists of as it is read: its rows, its head, and how a node came to know an event."""

from typing import Final, NamedTuple
from uuid import UUID

OWN: Final = 0
FROM_BELOW: Final = 1
FROM_ABOVE: Final = 2


class Row(NamedTuple):
    """One event of the ledger. `body` is verbatim, as its author wrote it; `leaf` its RFC 6962 leaf hash.

    pos: this node's gapless position, from 1. (log_id, seq): the author's log and the leaf's 0-based index there.
    via: OWN, FROM_BELOW (contiguous per log) or FROM_ABOVE (sparse). topic: the event's tag.
    known_us: UTC microseconds of this node's clock when it learned the event; never backwards along pos.
    """

    pos: int
    log_id: int
    seq: int
    via: int
    stream: UUID
    version: int
    topic: str
    case_id: UUID | None
    body: bytes
    leaf: bytes
    known_us: int


class Head(NamedTuple):
    """The ledger's one head row: the writer's epoch, the last position, the own log's size, the last clock.

    turn: counts the writer's transactions.
    """

    epoch: int
    pos: int
    own_size: int
    recorded_us: int
    turn: int
