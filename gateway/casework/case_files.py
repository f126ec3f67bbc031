"""The case files this node has in hand: folded from the ledger, kept while in use, brought up to date on use."""

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from domain.case import CaseFile, evolve
from domain.events import AnyEvent, CaseId, EventId, NotCanonical, Unknown, read
from domain.ids import maker_of
from domain.shards import place
from sync.ledger.reading import LedgerReader
from sync.ledger.rows import OWN, Row

HELD_BYTES: Final = 32 << 20
"""Of events, as the ledger holds them: a hundred megabytes of memory, some thousand cases."""

EVENT_BYTES: Final = 500
"""What an event costs beside its body, for its places in the file."""


class Place(NamedTuple):
    """Where an event stands: its log by local id, its leaf index there, its position here."""

    log_id: int
    seq: int
    via: int
    pos: int

    @property
    def is_own(self) -> bool:
        """Whether this node wrote it."""
        return self.via == OWN


class CaseInHand(NamedTuple):
    """A case file, the last position that concerns it, and every event of it with its place, in the order learned.

    Without those that took an id of another node: of them the ledger and the time line tell.

    size_bytes: of all that was folded into it, EVENT_BYTES for each event included.
    """

    file: CaseFile
    pos: int
    events: tuple[AnyEvent, ...]
    places: dict[EventId, Place]
    size_bytes: int


class CaseFiles:
    """Safe for threads. A file is only ever replaced by a later one of the same case."""

    def __init__(self, reader: LedgerReader, held_bytes: int = HELD_BYTES) -> None:
        """held_bytes: how much is kept at most; the least recently used goes first, the one last used never."""
        self._reader = reader
        self._held_bytes = held_bytes
        self._size_bytes = 0
        self._cases: OrderedDict[CaseId, CaseInHand] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, case: CaseId) -> CaseInHand | None:
        """The case as of the last committed row, or None where nothing that can be read is known of it."""
        with self._lock:
            known = self._cases.get(case)
        rows = self._reader.read_case(case, known.pos if known else 0)
        known = _folded(known, rows) if rows else known
        if known is not None:
            self._keep(case, known)
        return known

    def _keep(self, case: CaseId, found: CaseInHand) -> None:
        with self._lock:
            older = self._cases.get(case)
            if older is None or older.pos < found.pos:
                self._cases[case] = found
                self._size_bytes += found.size_bytes - (older.size_bytes if older else 0)
            self._cases.move_to_end(case)
            while self._size_bytes > self._held_bytes and len(self._cases) > 1:
                _, dropped = self._cases.popitem(last=False)
                self._size_bytes -= dropped.size_bytes


def _folded(known: CaseInHand | None, rows: list[Row]) -> CaseInHand | None:
    file = known.file if known else None
    events: list[AnyEvent] = list(known.events) if known else []
    places = dict(known.places) if known else {}
    for row in rows:
        try:
            event = read(row.body)
        except NotCanonical:
            continue  # kept and proven in the ledger, recorded as a fault; it says nothing that could be folded
        if event.case is None or event.stream is None or event.version is None:
            continue
        file = evolve(file, event, place(row.log_id, row.seq))
        if not isinstance(event, Unknown) and maker_of(event.id) == event.node:
            events.append(event)
            places.setdefault(event.id, Place(row.log_id, row.seq, row.via, row.pos))
    size_bytes = (known.size_bytes if known else 0) + sum(len(row.body) + EVENT_BYTES for row in rows)
    return None if file is None else CaseInHand(file, rows[-1].pos, tuple(events), places, size_bytes)
