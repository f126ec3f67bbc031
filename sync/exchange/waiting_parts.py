"""Sealed parts in what still waits, to be taken up or to be fetched from below: taking out what was erased."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from domain.divisions import Division
from domain.events import AnyEvent, KeyGranted, NotCanonical, Unknown, read
from sync.exchange.wire import Beside, Enclosure, Frame, Item, Returned, decode_item, decode_record, encode, items_of


class WaitingFrame(NamedTuple):
    """A frame that waits to be taken up."""

    log: str
    first: int
    record: bytes


class WaitingItems(NamedTuple):
    """A number of a child's downward sequence that the child has not acknowledged."""

    child: Division
    seq: int
    items: bytes


class WaitingStore(Protocol):
    """What waits, nobody else's until the transaction ends."""

    def waiting_frames(self) -> list[WaitingFrame]:
        """All of them."""

    def replace_frame(self, frame: WaitingFrame) -> None:
        """The same one with another record."""

    def waiting_items(self, mentioned: bytes) -> list[WaitingItems]:
        """Those in which these bytes stand."""

    def replace_items(self, items: WaitingItems) -> None:
        """The same number with other items."""


def cases_waiting(store: WaitingStore) -> set[UUID]:
    """The cases of which anything sealed lies in a frame that waits."""
    events = (event for frame in store.waiting_frames() for _, event in _parts(decode_record(frame.record)))
    return {event.case for event in events if event is not None and event.case is not None}


def destroy_waiting(store: WaitingStore, case: UUID, subject: str) -> None:
    """Take every wrapped key and sealed text of a subject out of what waits; the leaves stay provable.

    What a frame brings when it is taken up meanwhile is destroyed as whatever comes of the case.
    """
    _destroy_parked(store, case, subject)
    _destroy_unread(store, case, subject)


def _destroy_parked(store: WaitingStore, case: UUID, subject: str) -> None:
    for waiting in store.waiting_frames():
        frame = decode_record(waiting.record)
        kept = [beside for beside, event in _parts(frame) if not _is_of(event, beside, case, subject)]
        if isinstance(frame, Frame) and len(kept) < len(frame.beside):
            without = encode(msgspec.structs.replace(frame, beside=kept))
            store.replace_frame(waiting._replace(record=without))


def _destroy_unread(store: WaitingStore, case: UUID, subject: str) -> None:
    """What a child has acknowledged goes by itself in time; what it has not may wait for as long as it is away."""
    # An event names its case in its bytes, which stand in the items as they are.
    for waiting in store.waiting_items(str(case).encode()):
        items = [decode_item(raw) for raw in items_of(waiting.items)]
        without = [_without(item, case, subject) for item in items]
        if without != items:
            store.replace_items(waiting._replace(items=encode(without)))


def _without(item: Item, case: UUID, subject: str) -> Item:
    if isinstance(item, Returned):
        given = [beside for beside, event in _parts(item) if not _is_of(event, beside, case, subject)]
        return msgspec.structs.replace(item, beside=given)
    if not isinstance(item, Enclosure):
        return item
    event = _event(item.body)
    kept = [beside for beside in item.beside if not _is_of(event, beside, case, subject)]
    return msgspec.structs.replace(item, beside=kept)


def _parts(frame: object) -> Iterator[tuple[Beside, AnyEvent | None]]:
    """What lies beside the leaves of a frame, each with its event; null for one that is not understood."""
    if not isinstance(frame, Frame | Returned):
        return
    for beside in frame.beside:
        at = beside.seq - frame.first
        yield beside, _event(frame.entries[at]) if 0 <= at < len(frame.entries) else None


def _event(entry: bytes) -> AnyEvent | None:
    try:
        event = read(entry)
    except NotCanonical:
        return None
    return None if isinstance(event, Unknown) else event


def _is_of(event: AnyEvent | None, beside: Beside, case: UUID, subject: str) -> bool:
    if event is None or event.case != case:
        return False
    if isinstance(event, KeyGranted):
        return event.subject == subject
    return beside.part < len(event.sealed) and event.sealed[beside.part].subject == subject
