"""What a node sends upward: its own events and its children's, as their authors signed them, in the order learned."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from sync.exchange.channel import Extent
from sync.exchange.inbox_store import Part
from sync.exchange.patience import Patience
from sync.exchange.wire import FRAME_ENTRIES, MAX_EVENT_BYTES, Beside, Frame, encode
from sync.proofs.tree import SignedHead, Tree

RELAYED: Final = "exchange.relayed"
"""Ledger position up to which the parent holds everything that it takes."""

REWOUND: Final = "exchange.rewound"
"""Counts how often that position was set back, or was asked to be while it already stood there."""

WINDOW_FRAMES: Final = 256
WINDOW_BYTES: Final = 16 << 20
"""So much may be on its way without an acknowledgement."""

BURST_FRAMES: Final = 64
BURST_BYTES: Final = 4 << 20
"""So much is read and published at once, and so held in memory."""

_PAGE: Final = 2 * FRAME_ENTRIES


class Sendable(NamedTuple):
    """A ledger row that the parent does not hold yet."""

    pos: int
    log_id: int
    seq: int
    body: bytes


class OutboxStore(Protocol):
    """Reads of one moment, and the one position that the outbox keeps."""

    def claim(self, name: str) -> int:
        """How far a follower of the ledger has come, 0 at first; nobody else moves it before this commits."""

    def position(self, name: str) -> int:
        """The same, only read."""

    def move(self, name: str, pos: int) -> None:
        """Keep how far it has come."""

    def sendable(self, after_pos: int, limit: int) -> list[Sendable]:
        """Rows beyond a position that the parent does not hold, in order.

        Own ones and those from below, of logs that the parent has not refused, up to the position to which every
        own event is sealed (checkpoints.SEALED): beyond it an own event could be passed over.
        """

    def leaves(self, log_id: int, first: int, end: int) -> list[bytes]:
        """The bodies of leaves [first, end) of one log, wherever they lie in the ledger."""

    def heads(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[SignedHead]]:
        """For every (log_id, first, last): the heads with first < size <= the first head beyond last, in order."""

    def parts(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[Part]]:
        """For every (log_id, first, end): what lies beside these leaves, in order of seq and part."""

    def trees_by_id(self, log_ids: Iterable[int]) -> dict[int, Tree]:
        """The trees of these logs."""

    def lift_refusals(self) -> bool:
        """Offer the refused logs again: forget the refusals and go back to where their first unsent leaf lies."""


class _InFlight(NamedTuple):
    first_pos: int
    last_pos: int
    log_id: int
    size: int
    size_bytes: int
    offset: int = 0


class Outgoing(msgspec.Struct, frozen=True):
    """Records to publish now, in this order. After that, `Outbox.sent` is called; if publishing fails, it is not."""

    records: list[bytes]
    flights: list[_InFlight]
    cursor: int

    def size_of(self, log_id: int) -> int:
        """How many leaves of this log will be known above; 0 where none of them is in it."""
        return max((flight.size for flight in self.flights if flight.log_id == log_id), default=0)


class Outbox:
    """Go-back-N over the ledger: what the lane no longer holds and nobody acknowledges is read and sent again.

    Its memory may be lost at any moment: what it keeps durably is only the position behind which all is acknowledged.
    """

    def __init__(self, retry_s: float = 5.0, reoffer_s: float = 600.0) -> None:
        """retry_s: what left the lane without an acknowledgement is sent again after so long, see Patience.

        reoffer_s: how often a log that the parent refused is offered again.
        """
        self._patience = Patience(retry_s)
        self._reoffer_s = reoffer_s
        self._cursor: int | None = None
        self._relayed = 0
        self._rewound = 0
        self._flights: deque[_InFlight] = deque()
        self._flying_bytes = 0
        self._offered_s: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether anything is on its way without an acknowledgement."""
        return bool(self._flights)

    def next(self, store: OutboxStore, elapsed_s: float) -> Outgoing:
        """What to publish now; empty if nothing, or if too much is on its way. Moves the kept position."""
        self._reoffer(store, elapsed_s)
        self._land(store, elapsed_s)
        cursor = self._cursor or 0
        if not self._patience.may_send or len(self._flights) >= WINDOW_FRAMES or self._flying_bytes >= WINDOW_BYTES:
            return Outgoing([], [], cursor)
        return _read_frames(store, cursor)

    def sent(self, outgoing: Outgoing, offset: int, elapsed_s: float) -> None:
        """The channel has taken it, up to this offset of the lane."""
        is_anew = self._patience.published(offset, elapsed_s, is_first=not self._flights)
        self._flights += [flight._replace(offset=offset) for flight in outgoing.flights]
        self._flying_bytes += sum(flight.size_bytes for flight in outgoing.flights)
        self._cursor = outgoing.cursor
        if is_anew:
            self._restart(self._relayed)

    def full(self, elapsed_s: float) -> None:
        """The lane takes no more."""
        self._patience.block(elapsed_s)
        self._restart(self._relayed)

    def is_unsure(self, elapsed_s: float) -> bool:
        """Whether the lane is to be looked at now; call `look` with what it holds."""
        return (bool(self._flights) or not self._patience.may_send) and self._patience.wants_look(elapsed_s)

    def look(self, extent: Extent, elapsed_s: float) -> bool:
        """Whether there may be something to send now."""
        oldest = self._flights[0].offset if self._flights else 0
        may_send = self._patience.look(extent, oldest, elapsed_s)
        if may_send:
            self._restart(self._relayed)
        return may_send

    def _land(self, store: OutboxStore, elapsed_s: float) -> None:
        """Drop what is acknowledged or refused from what is on its way, and keep how far that brings us."""
        relayed, rewound = store.claim(RELAYED), store.position(REWOUND)
        if self._cursor is None or rewound != self._rewound:
            self._restart(relayed)  # a new process, or the parent asked for something again
            self._rewound = rewound
        trees = store.trees_by_id({flight.log_id for flight in self._flights})
        left = [flight for flight in self._flights if not _has_landed(flight, trees[flight.log_id])]
        if len(left) < len(self._flights):
            if not left or left[0] is not self._flights[0]:
                self._patience.answered(elapsed_s)
            self._flights = deque(left)
            self._flying_bytes = sum(flight.size_bytes for flight in left)
        behind = left[0].first_pos - 1 if left else (self._cursor or 0)
        if behind > self._relayed:
            store.move(RELAYED, behind)
            self._relayed = behind

    def _restart(self, relayed: int) -> None:
        self._relayed = self._cursor = relayed
        self._flights.clear()
        self._flying_bytes = 0

    def _reoffer(self, store: OutboxStore, elapsed_s: float) -> None:
        if self._offered_s is None:
            self._offered_s = elapsed_s
        elif elapsed_s - self._offered_s > self._reoffer_s:
            self._offered_s = elapsed_s
            store.lift_refusals()


def _has_landed(flight: _InFlight, tree: Tree) -> bool:
    return tree.acked_size >= flight.size or tree.refused is not None


def _read_frames(store: OutboxStore, cursor: int) -> Outgoing:
    """The next frames beyond `cursor`, each ending at its author's checkpoint."""
    rows = store.sendable(cursor, _PAGE)
    if not rows:
        return Outgoing([], [], cursor)
    spans: dict[int, tuple[int, int]] = {}
    for row in rows:
        low, high = spans.get(row.log_id, (row.seq, row.seq))
        spans[row.log_id] = (min(low, row.seq), max(high, row.seq))
    heads = store.heads([(log_id, low, high) for log_id, (low, high) in spans.items()])
    plans = _plan(store, rows, heads)
    parts = store.parts([(plan.log_id, plan.first, plan.head.size) for plan in plans])
    trees = store.trees_by_id({plan.log_id for plan in plans})
    outgoing = Outgoing([], [], plans[-1].last_pos if plans else cursor)
    for plan in plans:
        beside = _fitting(plan, parts.get(plan.log_id, []))
        record = encode(Frame(trees[plan.log_id].origin, plan.first, plan.head.note, plan.entries, beside))
        outgoing.records.append(record)
        flight = _InFlight(plan.first_pos, plan.last_pos, plan.log_id, plan.head.size, len(record))
        outgoing.flights.append(flight)
    return outgoing


class _Plan(NamedTuple):
    log_id: int
    first: int
    head: SignedHead
    entries: list[bytes]
    first_pos: int
    last_pos: int


def _plan(store: OutboxStore, rows: list[Sendable], heads: dict[int, list[SignedHead]]) -> list[_Plan]:
    """Cut rows into frames; the last one is left for later where the page cut it."""
    plans: list[_Plan] = []
    at = size_bytes = 0
    while at < len(rows) and len(plans) < BURST_FRAMES and size_bytes < BURST_BYTES:
        row = rows[at]
        head = next(head for head in heads[row.log_id] if head.size > row.seq)
        run = rows[at : at + head.size - row.seq]
        is_whole = len(run) == head.size - row.seq and run[-1].log_id == row.log_id and run[-1].seq == head.size - 1
        if is_whole:
            entries = [member.body for member in run]
        elif len(rows) == _PAGE and at + head.size - row.seq > len(rows) and at > 0:
            break
        else:  # parts of it were learned from above before, and lie elsewhere
            run = [member for member in run if member.log_id == row.log_id and member.seq < head.size]
            entries = store.leaves(row.log_id, row.seq, head.size)
        plans.append(_Plan(row.log_id, row.seq, head, entries, row.pos, run[-1].pos))
        size_bytes += sum(map(len, entries))
        at += len(run)
    return plans


def _fitting(plan: _Plan, parts: list[Part]) -> list[Beside]:
    """The parts beside these leaves; beyond MAX_EVENT_BYTES they stay here, and the parent names them as missing."""
    chosen: list[Beside] = []
    size_bytes = sum(map(len, plan.entries))
    for part in parts:
        if plan.first <= part.seq < plan.head.size and size_bytes + len(part.body) <= MAX_EVENT_BYTES:
            chosen.append(Beside(part.seq, part.part, part.body))
            size_bytes += len(part.body)
    return chosen
