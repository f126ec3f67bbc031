"""What a node's casework keeps, and what its custody reads, in memory, over the tables of its ledger."""

from collections.abc import Collection, Sequence
from uuid import UUID

from domain.events import CaseId, EventId, NotCanonical, SealedRead, read
from gateway.casework.store import Grown, Leaf, Letter
from sync.ledger.append import Act
from sync.ledger.rows import FROM_BELOW, Row
from sync.sealed.custody import Told
from tests.sync.memory_acts import carry_out
from tests.sync.memory_tables import At, Tables, nothing_happens

_READING = str(SealedRead.__struct_config__.tag)
_NOTE = "node.heads.v0"


class MemoryCases:
    """See sync.sealed.custody.CaseReader."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def case_events(self, case: CaseId) -> list[Told]:
        told = (_told(row) for row in self._tables.ledger.of_case(case) if row.topic != _READING)
        return [one for one in told if one is not None]

    def part(self, log_id: int, seq: int, part: int) -> bytes | None:
        return self._tables.beside.get((log_id, seq, part))


class MemoryCasework:
    """See gateway.casework.store.CaseworkStore."""

    def __init__(self, tables: Tables, at: At = nothing_happens) -> None:
        """at: told before and after each commit."""
        self._tables = tables
        self._at = at

    def do(self, act: Act) -> None:
        with self._tables.committing(self._at):
            carry_out(act, self._tables)

    def last_numbers(self) -> dict[tuple[str, int], int]:
        return dict(self._tables.numbers)

    def position(self) -> int:
        return self._tables.steward.get("pos", 0)

    def move(self, pos: int) -> None:
        with self._tables.committing(self._at):
            self._tables.steward["pos"] = max(self.position(), pos)

    def put_off(self, pos: int) -> None:
        with self._tables.committing(self._at):
            self._tables.put_off[pos] = True

    def were_put_off(self) -> list[int]:
        return sorted(self._tables.put_off, reverse=True)

    def settled(self, pos: int) -> None:
        with self._tables.committing(self._at):
            if pos in self._tables.put_off:
                del self._tables.put_off[pos]

    def newer_from(self) -> int | None:
        return self._tables.steward.get("newer_pos")

    def set_newer(self, pos: int | None) -> None:
        with self._tables.committing(self._at):
            if pos is not None:
                self._tables.steward["newer_pos"] = pos
            elif "newer_pos" in self._tables.steward:
                del self._tables.steward["newer_pos"]

    def watch(self, case: CaseId, objection: EventId) -> None:
        with self._tables.committing(self._at):
            self._tables.watches.setdefault(objection, (case, 0))

    def due(self, now_us: int) -> list[tuple[EventId, CaseId]]:
        return [(objection, case) for objection, (case, look_us) in self._tables.watches.items() if look_us <= now_us]

    def look_at(self, objection: EventId, at_us: int) -> None:
        with self._tables.committing(self._at):
            if objection in self._tables.watches:
                self._tables.watches[objection] = (self._tables.watches[objection][0], at_us)

    def look_at_all(self) -> None:
        with self._tables.committing(self._at):
            for objection, (case, _) in [*self._tables.watches.items()]:
                self._tables.watches[objection] = (case, 0)

    def unwatch(self, objection: EventId) -> None:
        with self._tables.committing(self._at):
            if objection in self._tables.watches:
                del self._tables.watches[objection]

    def requests(self) -> list[str]:
        return [request for request, answer in self._tables.requests.items() if answer == (None, None)]

    def answer(self, request: str, bundle: bytes | None, refusal: str | None) -> None:
        with self._tables.committing(self._at):
            self._tables.requests[request] = (bundle, refusal)

    def remember_erased(self, case: CaseId) -> None:
        with self._tables.committing(self._at):
            self._tables.erased[case] = True

    def erased_among(self, cases: Collection[UUID]) -> list[CaseId]:
        return [CaseId(case) for case in cases if case in self._tables.erased]

    def noted_pos(self) -> int:
        return self._tables.steward.get("noted_pos", 0)

    def has_news_from_below(self, after_pos: int, upto_pos: int) -> bool:
        return any(row.topic != _NOTE for row in self._from_below(after_pos, upto_pos))

    def grown(self, after_pos: int, upto_pos: int) -> Sequence[Grown]:
        trees = [self._tables.trees[log_id] for log_id in {row.log_id for row in self._from_below(after_pos, upto_pos)}]
        heads = [(tree.origin, self._tables.heads.get((tree.log_id, tree.size))) for tree in trees]
        return [Grown(origin, head.size, head.root) for origin, head in sorted(heads, key=str) if head is not None]

    def _from_below(self, after_pos: int, upto_pos: int) -> list[Row]:
        return [row for row in self._tables.ledger.rows[after_pos:upto_pos] if row.via == FROM_BELOW]

    def keep_letter(self, letter: Letter) -> None:
        with self._tables.committing(self._at):
            self._tables.letters.setdefault(letter.leaf, letter)

    def letters(self) -> list[Letter]:
        return sorted(self._tables.letters.values(), key=lambda letter: (letter.received_us, letter.leaf))

    def letter(self, leaf: Leaf) -> tuple[bytes, bytes] | None:
        row, part = self._tables.ledger.places.get(leaf), self._tables.beside.get((*leaf, 0))
        if leaf not in self._tables.letters or row is None or part is None:
            return None
        return row.body, part


def _told(row: Row) -> Told | None:
    try:
        event = read(row.body)
    except NotCanonical:
        return None
    if event.case is None or event.stream is None or event.version is None:
        return None
    return Told(row.log_id, row.seq, event)
