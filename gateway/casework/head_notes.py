"""Makes provable what this node knew when: now and then it logs the heads of other logs that it has accepted since."""

import time
from collections.abc import Callable, Sequence
from typing import Final, LiteralString

import msgspec

from domain.context import Envelope
from domain.events import Head, HeadsNoted, encode, tag_of
from gateway.casework.journal import Journal
from sync.ledger.append import Append, NewEvent
from sync.ledger.reader import Reader
from sync.proofs.note import encode64

EVERY_S: Final = 60.0
HEADS_A_LEAF: Final = 300
"""So many heads fit a leaf of 64 KiB, however long their origins."""

_NEWS_FROM_BELOW: LiteralString = """
select 1 from ledger where via = 1 and topic <> 'node.heads.v0' and pos > %b and pos <= %b limit 1"""

_GROWN: LiteralString = """
select origin, tree.size, root from tree join log on log.id = tree.log_id
join checkpoint on checkpoint.log_id = tree.log_id and checkpoint.size = tree.size
where tree.log_id in (select distinct log_id from ledger where via = 1 and pos > %b and pos <= %b) order by origin"""


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
        reader: Reader,
        journal: Journal,
        envelope: Callable[[int], Envelope],
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """envelope: of an event that the node records about itself at a moment. elapsed_s: a clock that never jumps."""
        self._reader = reader
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
        ((noted_pos,),) = self._reader.fetch("select noted_pos from web.steward")
        pos = self._reader.head().pos
        if self._reader.fetch(_NEWS_FROM_BELOW, (max(noted_pos, self._looked_pos), pos)):
            self._note(noted_pos, pos)
        self._looked_pos = pos

    def _note(self, noted_pos: int, pos: int) -> None:
        heads = [
            Head(log=str(origin), size=int(size), root=encode64(bytes(root)))
            for origin, size, root in self._reader.fetch(_GROWN, (noted_pos, pos))
        ]
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
