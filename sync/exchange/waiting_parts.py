"""Sealed parts in frames that still wait for what comes before them: whose they are, and taking out what was erased."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from domain.events import AnyEvent, KeyGranted, NotCanonical, Unknown, read
from sync.exchange.wire import Beside, Frame, decode_record, encode


def cases_waiting(conn: psycopg.Connection[Any]) -> set[UUID]:
    """The cases of which anything sealed lies in a frame that waits."""
    rows = conn.execute("select record from parked").fetchall()
    events = (event for (record,) in rows for _, event in _parts(decode_record(bytes(record))))
    return {event.case for event in events if event is not None and event.case is not None}


def destroy_waiting(conn: psycopg.Connection[Any], case: UUID, subject: str) -> None:
    """Take every wrapped key and sealed text of a subject out of the frames that wait; the leaves stay provable.

    Its own transaction. What a frame brings when it is taken up meanwhile is destroyed as whatever comes of the case.
    """
    with conn.transaction():
        for log, first, record in conn.execute("select log, first, record from parked for update").fetchall():
            frame = decode_record(bytes(record))
            kept = [beside for beside, event in _parts(frame) if not _is_of(event, beside, case, subject)]
            if isinstance(frame, Frame) and len(kept) < len(frame.beside):
                without = encode(msgspec.structs.replace(frame, beside=kept))
                conn.execute("update parked set record = %s where log = %s and first = %s", (without, log, first))


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
