"""Builds a projection anew beside the live one, to compare the two at one position or to take its place."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final
from uuid import UUID

import msgspec

from projections.authority import Authority, LateDecision, decided_late, facts_for
from projections.catalogue import PROJECTIONS
from projections.following import LedgerGap, batch_after, make_anew, positions, prepare
from projections.parking import Gate
from projections.projection import LedgerRow, Projection, ReadAfter, table_names
from projections.refold import fold_as_learned, fold_case
from projections.store import Store
from projections.views import Difference, Views

PAGE_EVENTS: Final = 2_000
MEMORY_ROWS: Final = 400_000
"""Rows kept before they are written out: about 200 MB."""

Page = Sequence[LedgerRow]
Pages = Callable[[Callable[[int], Page], int], Iterator[Page]]
"""pages(read, pos): what `read` gives after `pos`, then after the last row of that, and so on until it is nothing."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A projection as rebuilt. pos: the ledger position compared or switched at. difference: None where equal."""

    projection: str
    pos: int
    difference: Difference | None


def in_turn(read: Callable[[int], Page], pos: int) -> Iterator[Page]:
    """See Pages: each is read when it is asked for."""
    while rows := read(pos):
        pos = rows[-1].pos
        yield rows


def check(live: Views, read_after: ReadAfter, projection: Projection, pages: Pages = in_turn) -> Rebuilt:
    """Build beside, compare at one position with what is live, and drop what was built. The live one serves on.

    Skipped events are left out on both sides. Raises RebuildBusy.
    """
    with live.alone():
        prepare(live, [projection])
        build(live, read_after, projection, positions(live, [projection])[projection.name], pages)
        with live.steady():
            pos = positions(live, [projection])[projection.name]
            _catch_up(live, read_after, projection, pos)
            tables = (*table_names(projection), "parked")
            found = (live.difference(projection.name, table) for table in tables)
            difference = next((each for each in found if each is not None), None)
            live.beside.drop()
    return Rebuilt(projection=projection.name, pos=pos, difference=difference)


def switch(live: Views, read_after: ReadAfter, projection: Projection, pages: Pages = in_turn) -> Rebuilt:
    """Build beside as far as events are judged, and put it in the place of the live one, in one transaction.

    Where the projection that judges comes out otherwise, all the others are made anew.
    Raises RebuildBusy; what `live.swapping` raises: nothing has changed then, and calling it again is safe.
    """
    with live.alone():
        prepare(live, [projection])
        build(live, read_after, projection, _judged_pos(live, projection), pages)
        with live.swapping():
            live_pos = positions(live, [projection], lock=True)[projection.name]
            _catch_up(live, read_after, projection, live_pos)
            pos = max(_position(live.beside, projection), live_pos)
            is_otherwise = projection.name == Authority.name and live.judges_otherwise(Authority.name, live_pos)
            live.take_in(projection.name, table_names(projection), pos)
            if is_otherwise:
                _make_others_anew(live)
    return Rebuilt(projection=projection.name, pos=pos, difference=None)


def build(
    live: Views, read_after: ReadAfter, projection: Projection, upto: int | None = None, pages: Pages = in_turn
) -> None:
    """Fill the side beside with `projection` up to position `upto`, or to the ledger's end.

    Memory is bounded by MEMORY_ROWS and two pages, time is linear. The indexes come after the first memory full. A
    memory full with an event that cannot be folded, or rows that one key is too few for, takes the everyday path,
    which parks it. The few cases in which something was decided late come once more at the end, one by one.
    """
    beside = live.beside
    with live.transaction():
        beside.begin(projection.name, table_names(projection))
    is_done = False
    while not is_done:
        try:
            with live.transaction():
                is_done = not _fold_memory_full(beside, read_after, projection, upto, pages)
        except _Poisoned as poisoned:
            with live.transaction():
                if _position(beside, projection) == 0:
                    beside.index(table_names(projection))
                _catch_up(live, read_after, projection, poisoned.last_pos)
    _fold_late_cases(live, read_after, projection)


class _Poisoned(Exception):
    """An event up to there cannot be folded, or not beside another; memory is worthless from there on."""

    def __init__(self, last_pos: int) -> None:
        super().__init__(last_pos)
        self.last_pos = last_pos


def _fold_memory_full(
    beside: Views, read_after: ReadAfter, projection: Projection, upto: int | None, pages: Pages
) -> bool:
    """Fold until the memory is full or the pages are at an end; returns whether there may be more."""
    start = pos = _position(beside, projection)
    store = Store(beside, projection.tables, empty=start == 0)
    gate = Gate(beside, projection.name)
    left_out = beside.skipped(projection.name)
    try:
        for rows in pages(lambda after: _page(read_after, after, upto), start):
            pos = rows[-1].pos
            facts = [fact for fact in facts_for(beside, projection, rows) if fact.pos not in left_out]
            if flowing := gate.flowing(facts):
                projection.fold(flowing, store)
            if len(store) > MEMORY_ROWS:
                break
        store.flush()
        if start == 0:
            beside.index(table_names(projection))
    except Exception as error:
        if beside.is_poison(error) and not isinstance(error, LedgerGap):
            raise _Poisoned(pos) from error
        raise
    beside.move([projection.name], pos)
    return pos > start


def _page(read_after: ReadAfter, pos: int, upto: int | None) -> Sequence[LedgerRow]:
    limit = PAGE_EVENTS if upto is None else min(PAGE_EVENTS, upto - pos)
    rows = read_after(pos, limit) if limit > 0 else ()
    if rows and rows[-1].pos != pos + len(rows):
        raise LedgerGap(pos, rows[-1].pos)
    return rows


def _catch_up(live: Views, read_after: ReadAfter, projection: Projection, upto: int) -> None:
    """The everyday path: small batches, each event that cannot be folded parked with its case, and late decisions
    where they stand."""
    beside = live.beside
    left_out = live.skipped(projection.name)
    pos = _position(beside, projection)
    while pos < upto:
        rows = [row for row in batch_after(read_after, pos) if row.pos <= upto]
        pos = rows[-1].pos
        facts = [fact for fact in facts_for(beside, projection, rows) if fact.pos not in left_out]
        late = _decided_late(live, projection, rows[0].pos, pos)
        fold_as_learned(beside, read_after, projection, facts, late)
    beside.move([projection.name], pos)


def _judged_pos(live: Views, projection: Projection) -> int | None:
    """How far it is known which events have effect; null for the projection that judges, and where none does."""
    return None if projection.name == Authority.name else live.positions([Authority.name]).get(Authority.name)


def _make_others_anew(live: Views) -> None:
    followed = positions(live, PROJECTIONS)
    for projection in PROJECTIONS:
        if projection.name in followed and projection.name != Authority.name:
            make_anew(live, projection)


def _fold_late_cases(live: Views, read_after: ReadAfter, projection: Projection) -> None:
    """Those of which memory holds, beside, only how their events were judged when they were learned."""
    pos = _position(live.beside, projection)
    by_case: dict[UUID, list[LateDecision]] = {}
    for decision in _decided_late(live, projection, 1, pos):
        by_case.setdefault(decision.case_id, []).append(decision)
    for case_id, decisions in by_case.items():
        with live.transaction():
            fold_case(live.beside, read_after, projection, case_id, decisions, pos)


def _decided_late(live: Views, projection: Projection, first_pos: int, last_pos: int) -> list[LateDecision]:
    """None for the projection that judges, nor where none does."""
    return [] if _judged_pos(live, projection) is None else decided_late(live, first_pos, last_pos)


def _position(beside: Views, projection: Projection) -> int:
    return beside.positions([projection.name]).get(projection.name, 0)
