"""Sealed parts in what still waits, to be taken up or to be fetched from below: taking out what was erased."""

from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from domain.events import AnyEvent, KeyGranted, NotCanonical, Unknown, read
from sync.exchange.wire import Beside, Enclosure, Frame, Item, decode_item, decode_record, encode, items_of

# An event names its case in its bytes, which stand in the items as they are.
_UNREAD: LiteralString = """
select down.child, down.seq, down.items from down join child on child.division = down.child
where down.seq > child.down_acked and position(convert_to(%s, 'UTF8') in down.items) > 0 for update of down"""


def cases_waiting(conn: psycopg.Connection[Any]) -> set[UUID]:
    """The cases of which anything sealed lies in a frame that waits."""
    rows = conn.execute("select record from parked").fetchall()
    events = (event for (record,) in rows for _, event in _parts(decode_record(bytes(record))))
    return {event.case for event in events if event is not None and event.case is not None}


def destroy_waiting(conn: psycopg.Connection[Any], case: UUID, subject: str) -> None:
    """Take every wrapped key and sealed text of a subject out of what waits; the leaves stay provable.

    Its own transaction. What a frame brings when it is taken up meanwhile is destroyed as whatever comes of the case.
    """
    with conn.transaction():
        _destroy_parked(conn, case, subject)
        _destroy_unread(conn, case, subject)


def _destroy_parked(conn: psycopg.Connection[Any], case: UUID, subject: str) -> None:
    for log, first, record in conn.execute("select log, first, record from parked for update").fetchall():
        frame = decode_record(bytes(record))
        kept = [beside for beside, event in _parts(frame) if not _is_of(event, beside, case, subject)]
        if isinstance(frame, Frame) and len(kept) < len(frame.beside):
            without = encode(msgspec.structs.replace(frame, beside=kept))
            conn.execute("update parked set record = %s where log = %s and first = %s", (without, log, first))


def _destroy_unread(conn: psycopg.Connection[Any], case: UUID, subject: str) -> None:
    """What a child has acknowledged goes by itself in time; what it has not may wait for as long as it is away."""
    for child, seq, data in conn.execute(_UNREAD, (str(case),)).fetchall():
        items = [decode_item(raw) for raw in items_of(bytes(data))]
        without = [_without(item, case, subject) for item in items]
        if without != items:
            conn.execute("update down set items = %s where child = %s and seq = %s", (encode(without), child, seq))


def _without(item: Item, case: UUID, subject: str) -> Item:
    if not isinstance(item, Enclosure):
        return item
    event = _event(item.body)
    kept = [beside for beside in item.beside if not _is_of(event, beside, case, subject)]
    return msgspec.structs.replace(item, beside=kept)


def _parts(frame: object) -> Iterator[tuple[Beside, AnyEvent | None]]:
    """What lies beside the leaves of a frame, each with its event; null for one that is not understood."""
    if not isinstance(frame, Frame):
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
