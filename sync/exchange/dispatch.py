"""Who below is sent which event: case files with their openings, directives, later material, milestones."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence, Set
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from domain.case import CaseFile, evolve, has_effect, must_be_told
from domain.divisions import Division
from domain.events import AnyEvent, KeyGranted, NotCanonical, SealedItem, Unknown, read
from domain.parts import CustodyEvent
from domain.routing import addressees, file_receivers, key_receivers
from domain.shards import place
from sync.exchange.checkpoints import SEALED
from sync.exchange.downlink import pack
from sync.exchange.faults import Fault
from sync.exchange.inbox_store import Part
from sync.exchange.station import Station
from sync.exchange.wire import ADDRESSEES, MAX_EVENT_BYTES, Beside, Enclosure, Item
from sync.ledger.rows import FROM_ABOVE, OWN, Row
from sync.proofs.merkle import Prover
from sync.proofs.tree import SignedHead, TreeReader
from sync.trust.certificates import Directory

DISPATCHED: Final = "exchange.dispatched"
"""Ledger position up to which everything is on its way down that should be."""

EVENTS_HELD: Final = 50_000
"""Case files are held as long as they were folded from no more events than this together, some 100 MB."""

_CASES_AT_ONCE: Final = 20
SEALED_ITEM: Final = str(SealedItem.__struct_config__.tag)
_PAGE: Final = 500


class Enclosed(NamedTuple):
    """How a leaf from above is proven, and for whom it came."""

    addressed: list[str]
    proof: list[bytes]
    checkpoint: str


class DispatchStore(TreeReader, Protocol):
    """One transaction over the ledger and the downward sequences."""

    def claim(self, name: str) -> int:
        """How far a follower of the ledger has come, 0 at first; nobody else moves it before this commits."""

    def position(self, name: str) -> int:
        """The same, only read."""

    def move(self, name: str, pos: int) -> None:
        """Keep how far it has come."""

    def read(self, after_pos: int, limit: int) -> list[Row]:
        """Rows beyond a position, in order."""

    def read_case(self, case_id: UUID, upto_pos: int) -> list[Row]:
        """Every row of one case up to a position, in order."""

    def read_cases(self, case_ids: Sequence[UUID], upto_pos: int) -> list[Row]:
        """Every row of these cases up to a position, in order."""

    def origins(self, log_ids: Iterable[int]) -> dict[int, str]:
        """The origins of logs."""

    def head_beyond(self, log_id: int, seq: int) -> SignedHead | None:
        """The smallest signed head kept beyond leaf `seq`."""

    def enclosed(self, log_id: int, seq: int) -> Enclosed | None:
        """How a leaf that came from above is proven."""

    def parts(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[Part]]:
        """For every (log_id, first, end): what lies beside these leaves."""

    def onward(self, streams: Sequence[UUID]) -> dict[UUID, Division]:
        """For which organ below the own sealed item of each stream is; those for nobody below are left out."""

    def enqueue(self, child: Division, items: Sequence[Item], now_us: int) -> None:
        """The next number of the child's downward sequence."""

    def is_returning(self) -> frozenset[Division]:
        """The children that are being given back what they lost, this too in its turn."""

    def fault(self, faults: Sequence[Fault], now_us: int) -> None:
        """Count them."""


class _Sending(NamedTuple):
    row: Row
    to: list[Division]


class _Heard(NamedTuple):
    """An event that others need. counts: whether it has effect."""

    event: AnyEvent
    counts: bool


class Dispatch:
    """Follows the ledger and decides what goes down. The case files it holds are a cache of the ledger."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._cases: OrderedDict[UUID, CaseFile] = OrderedDict()
        self._folded: Counter[UUID] = Counter()  # events, by case held

    def step_again(
        self, store: DispatchStore, directory: Directory, moved: Division, progress: str, upto_pos: int, now_us: int
    ) -> bool:
        """Take the next page of what was dispatched before `moved` stood where it stands now, for it alone; whether
        there was any. Its former superior may not have handed it all that came by that way.

        progress: under which name this is followed, on a Dispatch of its own. What is there already changes nothing.
        """
        done = store.claim(progress)
        rows = [row for row in store.read(done, _PAGE) if row.pos <= upto_pos]
        if not rows:
            return False
        line = directory.topology.path_up(moved)
        if self._station.here not in line:
            return False
        between = frozenset(line[1 : line.index(self._station.here)])
        page = _PageAgain(store, self._station, directory, moved, between)
        self._take(page, rows, store, done, directory, now_us)
        store.move(progress, rows[-1].pos)
        return True

    def forget(self) -> None:
        """After a transaction that did not commit: what was folded in it is not to be relied on."""
        self._cases.clear()
        self._folded.clear()

    def step(self, store: DispatchStore, directory: Directory, now_us: int) -> bool:
        """Take the next page of the ledger; whether there was any row to take."""
        done, sealed = store.claim(DISPATCHED), store.position(SEALED)
        rows = [row for row in store.read(done, _PAGE) if row.pos <= sealed]
        if not rows:
            return False
        self._take(_Page(store, self._station, directory), rows, store, done, directory, now_us)
        store.move(DISPATCHED, rows[-1].pos)
        return True

    def _take(
        self,
        page: "_Page",
        rows: Sequence[Row],
        store: DispatchStore,
        done: int,
        directory: Directory,
        now_us: int,
    ) -> None:
        self._load({row.case_id for row in rows if row.case_id is not None}, store, done, page)
        for row in rows:
            if row.case_id is not None:
                self._decide(page, row, row.case_id)
        page.send_onward([row for row in rows if row.topic == SEALED_ITEM and row.via == OWN])
        self._let_go()
        returning = store.is_returning()
        for child, items in sorted(page.items().items()):
            for letter in [] if child in returning else pack(items, directory):
                store.enqueue(child, letter, now_us)
        if page.faults:
            store.fault(page.faults, now_us)

    def again(self, store: DispatchStore, directory: Directory, child: Division, rows: Sequence[Row]) -> list[Item]:
        """What these rows, the next ones for this Dispatch, have sent through one child, which has lost it."""
        page = _Page(store, self._station, directory)
        self._load({row.case_id for row in rows if row.case_id is not None}, store, rows[0].pos - 1, page)
        for row in rows:
            if row.via == FROM_ABOVE:
                page.pass_on(row, child)
            if row.case_id is not None:
                self._decide(page, row, row.case_id)
        page.send_onward([row for row in rows if row.topic == SEALED_ITEM and row.via == OWN])
        self._let_go()
        return page.items().get(child, [])

    def _load(self, cases: set[UUID], store: DispatchStore, upto_pos: int, page: "_Page") -> None:
        """Fold what the ledger holds of these cases up to a position, as far as it is not held here."""
        missing = sorted(cases - self._cases.keys())
        for at in range(0, len(missing), _CASES_AT_ONCE):
            for row in store.read_cases(missing[at : at + _CASES_AT_ONCE], upto_pos):
                if row.case_id is not None:
                    self._fold(page, row, row.case_id)

    def _let_go(self) -> None:
        """Of the cases not heard of for longest, until no more is held than may be; they are read again."""
        held = self._folded.total()
        while held > EVENTS_HELD and self._cases:
            case_id, _ = self._cases.popitem(last=False)
            held -= self._folded.pop(case_id)

    def _fold(self, page: "_Page", row: Row, case_id: UUID) -> _Heard | None:
        """Bring the case file up to `row`; None where it cannot be folded or says nothing that others need."""
        file = self._cases.pop(case_id, None)
        try:
            event = read(row.body)
            at = place(row.log_id, row.seq)
            self._cases[case_id] = evolve(file, event, at)
            self._folded[case_id] += 1
            counts = has_effect(file, event, at)
            is_told = not isinstance(event, Unknown) and must_be_told(file, event, at)
        except Exception as error:  # whatever one event holds must not stop all the others
            page.faults.append(Fault("undispatched", f"pos {row.pos}", "", repr(error), row.body))
            if file is not None:
                self._cases[case_id] = file
            return None
        return _Heard(event, counts) if is_told and not isinstance(event, Unknown) else None

    def _decide(self, page: "_Page", row: Row, case_id: UUID) -> None:
        heard = self._fold(page, row, case_id)
        if heard is None:
            return
        event = heard.event
        topology, here = page.directory.topology, self._station.here
        try:
            wanted = addressees(self._cases[case_id], event, here, topology)
            receivers = file_receivers(event, here, topology) if heard.counts else frozenset[Division]()
        except Exception as error:  # as above
            page.faults.append(Fault("undispatched", f"pos {row.pos}", "", repr(error), row.body))
            return
        opened = page.not_served_below(row, receivers)
        if opened:
            page.send_file(page.store.read_case(case_id, row.pos - 1), opened)
        crossed = page.named(row) & receivers
        if crossed:
            page.send_own_side(page.store.read_case(case_id, row.pos - 1), crossed)
        to = page.not_served_below(row, wanted)
        if to:
            page.send(row, to)
        if isinstance(event, KeyGranted) and (newcomers := key_receivers(event, here, topology)):
            page.send_custody(page.store.read_case(case_id, row.pos - 1), event.subject, newcomers)


class _Page:
    """What one page of the ledger sends down."""

    def __init__(self, store: DispatchStore, station: Station, directory: Directory) -> None:
        self.store = store
        self.directory = directory
        self.faults: list[Fault] = []
        self._here = station.here
        self._sendings: list[_Sending] = []
        self._origins: dict[int, str] = {}
        self._provers: dict[tuple[int, int], Prover] = {}

    def not_served_below(self, row: Row, wanted: Iterable[Division]) -> list[Division]:
        """Of those wanted, the ones that only this node serves.

        A node below that stands above both author and addressee has sent it itself; and what came from above was
        sent by a node above to all it named.
        """
        author = self._author(row.log_id)
        named = self.named(row)
        return sorted(code for code in wanted if code not in named and not self._is_within(author, self._hop(code)))

    def named(self, row: Row) -> Set[Division]:
        """To whom what came from above was sent by the node above; nobody where it did not."""
        enclosed = self.store.enclosed(row.log_id, row.seq) if row.via == FROM_ABOVE else None
        return frozenset(map(Division, enclosed.addressed)) if enclosed else frozenset()

    def send(self, row: Row, to: list[Division]) -> None:
        """One event."""
        self._sendings.append(_Sending(row, to))

    def pass_on(self, row: Row, child: Division) -> None:
        """What came from above for the child, or for somebody below it."""
        to = sorted(code for code in self.named(row) if self._is_within(code, child))
        if to:
            self.send(row, to)

    def send_file(self, rows: Iterable[Row], receivers: Sequence[Division]) -> None:
        """All that is known here of a case, to each who cannot know it from its own part of the tree."""
        for row in rows:
            author = self._author(row.log_id)
            to = [code for code in receivers if not self._is_within(author, code)]
            if to:
                self._sendings.append(_Sending(row, to))

    def send_own_side(self, rows: Iterable[Row], receivers: Iterable[Division]) -> None:
        """What this part of the tree said of a case that a node above gives to `receivers`.

        Some of it crossed with that on its way up, and whoever gave the case away did not know it. Later the node above
        takes it as sent from here; what it did send comes twice and changes nothing.
        """
        for row in rows:
            author = self._author(row.log_id)
            to = sorted(code for code in receivers if not self._is_within(author, self._hop(code)))
            if to and row.via != FROM_ABOVE:
                self._sendings.append(_Sending(row, to))

    def send_custody(self, rows: Iterable[Row], subject: str, newcomers: Iterable[Division]) -> None:
        """What was said of a key before, to those who were now given it, as far as no node between is to do so.

        What came from above is left to who sent it: that node learns of the newcomers, too.
        """
        for row in rows:
            if row.via == FROM_ABOVE or not _is_of_key(row, subject):
                continue
            author = self._author(row.log_id)
            to = [code for code in newcomers if not self._is_within(author, self._hop(code))]
            if to:
                self._sendings.append(_Sending(row, to))

    def send_onward(self, rows: Sequence[Row]) -> None:
        """Own sealed items, each to the one organ below that it was written for, if any."""
        if not rows:
            return
        topology, organs = self.directory.topology, self.store.onward([row.stream for row in rows])
        for row in rows:
            organ = organs.get(row.stream)
            if organ is not None and topology.is_below(organ, self._here):
                self.send(row, [organ])

    def items(self) -> dict[Division, list[Item]]:
        """By the child that leads there, in the order decided."""
        spans = {(row.log_id, row.seq, row.seq + 1) for row, _ in self._sendings}
        beside = self.store.parts(sorted(spans))
        items: dict[Division, list[Item]] = {}
        for row, to in self._sendings:
            parts = [part for part in beside.get(row.log_id, []) if part.seq == row.seq]
            by_child: dict[Division, list[Division]] = {}
            for code in to:
                by_child.setdefault(self._hop(code), []).append(code)
            for child, codes in by_child.items():
                for at in range(0, len(codes), ADDRESSEES):
                    enclosure = self._enclose(row, codes[at : at + ADDRESSEES], parts)
                    if enclosure is not None:
                        items.setdefault(child, []).append(enclosure)
        return items

    def _enclose(self, row: Row, to: list[Division], parts: list[Part]) -> Enclosure | None:
        proven = self._proven(row)
        if proven is None:
            self.faults.append(Fault("unproven", f"pos {row.pos}", "", "no proof is kept for this leaf"))
            return None
        beside: list[Beside] = []
        room_bytes = MAX_EVENT_BYTES - len(row.body)
        for part in parts:
            if len(part.body) <= room_bytes:
                beside.append(Beside(part.seq, part.part, part.body))
                room_bytes -= len(part.body)
        origin = self._origin(row.log_id)
        return Enclosure(list(to), origin, row.seq, row.body, proven.proof, proven.checkpoint, beside)

    def _proven(self, row: Row) -> Enclosed | None:
        if row.via == FROM_ABOVE:
            return self.store.enclosed(row.log_id, row.seq)
        head = self.store.head_beyond(row.log_id, row.seq)
        if head is None:
            return None
        key = (row.log_id, head.size)
        prover = self._provers.setdefault(key, Prover(self.store.hashes(row.log_id), head.size))
        return Enclosed([], prover.inclusion(row.seq), head.note)

    def _origin(self, log_id: int) -> str:
        if log_id not in self._origins:
            self._origins |= self.store.origins([log_id])
        return self._origins[log_id]

    def _author(self, log_id: int) -> Division | None:
        return self.directory.division_of(self._origin(log_id))

    def _hop(self, code: Division) -> Division:
        """The child that leads to a division below."""
        return self.directory.topology.next_hop(self._here, code)

    def _is_within(self, code: Division | None, top: Division) -> bool:
        """Whether a division is `top` or stands below it."""
        return code is not None and (code == top or top in self.directory.topology.path_up(code))


class _PageAgain(_Page):
    """What one page sends to a division that was placed elsewhere, and to those between that did not know its cases."""

    def __init__(
        self, store: DispatchStore, station: Station, directory: Directory, moved: Division, between: Set[Division]
    ) -> None:
        super().__init__(store, station, directory)
        self._moved = moved
        self._between = between

    def not_served_below(self, row: Row, wanted: Iterable[Division]) -> list[Division]:
        """Of those wanted, and those it was for when it came, the ones that stand there now and did not write it."""
        author = self._author(row.log_id)
        asked = self._concerned({*wanted, *self.named(row)})
        return sorted(code for code in asked if not self._is_within(author, self._moved))

    def send_own_side(self, rows: Iterable[Row], receivers: Iterable[Division]) -> None:
        """To them alone."""
        super().send_own_side(rows, self._concerned(receivers))

    def send_custody(self, rows: Iterable[Row], subject: str, newcomers: Iterable[Division]) -> None:
        """To them alone."""
        super().send_custody(rows, subject, self._concerned(newcomers))

    def send_onward(self, rows: Sequence[Row]) -> None:
        """To them alone."""
        organs = self.store.onward([row.stream for row in rows]) if rows else {}
        super().send_onward([row for row in rows if self._concerned([organs.get(row.stream, self._here)])])

    def _concerned(self, codes: Iterable[Division]) -> frozenset[Division]:
        return frozenset(code for code in codes if code in self._between or self._is_within(code, self._moved))


def _is_of_key(row: Row, subject: str) -> bool:
    try:
        event = read(row.body)
    except NotCanonical:
        return False
    return isinstance(event, CustodyEvent) and event.subject == subject
