"""Makes provable what this node knew when: now and then it logs the heads of other logs that it has accepted since."""

from collections.abc import Callable, Sequence
from typing import Final, LiteralString

import msgspec

from domain.context import Envelope
from domain.events import Head, HeadsNoted, encode, tag_of
from gateway.casework.journal import Journal
from gateway.casework.store import CaseworkStore
from sync.ledger.append import Append, NewEvent
from sync.ledger.reading import LedgerReader
from sync.proofs.note import encode64

EVERY_S: Final = 60.0
HEADS_A_LEAF: Final = 300
"""So many heads fit a leaf of 64 KiB, however long their origins."""


class HeadsNotedUpTo(msgspec.Struct, frozen=True):
    """Remember that all heads learned up to a position are noted."""

    pos: int

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        """One row."""
        return "update web.steward set noted_pos = %s", (self.pos,)


class HeadNotes:
    """For one thread. Who learns nothing writes nothing; a note names only the logs that grew since the last one."""

    def __init__(
        self,
        reader: LedgerReader,
        store: CaseworkStore,
        journal: Journal,
        envelope: Callable[[int], Envelope],
        elapsed_s: Callable[[], float],
    ) -> None:
        """envelope: of an event that the node records about itself at a moment. elapsed_s: a clock that never jumps."""
        self._reader = reader
        self._store = store
        self._journal = journal
        self._envelope = envelope
        self._elapsed_s = elapsed_s
        self._looked_s = elapsed_s()
        self._looked_pos = 0

    def look(self) -> None:
        """Note what grew, if EVERY_S have passed and there is news. Raises as `Writer.append`.

        What comes from below and is itself only such a note is no news: two tiers would note each other for ever.
        """
        if self._elapsed_s() - self._looked_s < EVERY_S:
            return
        self._looked_s = self._elapsed_s()
        noted_pos = self._store.noted_pos()
        pos = self._reader.head().pos
        if self._store.has_news_from_below(max(noted_pos, self._looked_pos), pos):
            self._note(noted_pos, pos)
        self._looked_pos = pos

    def _note(self, noted_pos: int, pos: int) -> None:
        grown = self._store.grown(noted_pos, pos)
        heads = [Head(log=log.origin, size=log.size, root=encode64(log.root)) for log in grown]
        if not heads:
            return
        with self._journal.turn() as turn:
            runs = (heads[at : at + HEADS_A_LEAF] for at in range(0, len(heads), HEADS_A_LEAF))
            events = [self._event(run, turn.now_us) for run in runs]
            future = turn.append(Append(events, beside=[HeadsNotedUpTo(pos)]))
        future.result(60)

    def _event(self, heads: list[Head], now_us: int) -> NewEvent:
        event = HeadsNoted(**self._envelope(now_us), heads=tuple(heads))
        return NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
