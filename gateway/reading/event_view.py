"""One event and its proof: which leaf of which log it is, and whether another than its author has verified it."""

from typing import Literal

import msgspec

from domain.events import AnyEvent, EventId, encode
from gateway.reading.case_reading import CaseReading
from gateway.reading.unproven import Unproven
from gateway.refusals import NotFound
from sync.proofs.merkle import leaf_hash


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event and where it stands: leaf `seq` (0-based) of `log`, position `pos` here. leaf_hash: hex, RFC 6962.

    state: secured once somebody besides the author has verified the leaf: the next one up cosigned an own one, another
    node's was verified here. unproven: where nobody but the
    author vouches for the time at which it is said to have happened.
    """

    event: AnyEvent
    log: str
    seq: int
    pos: int
    leaf_hash: str
    state: Literal["recorded", "secured"]
    unproven: Unproven | None


def event_view(reading: CaseReading, event_id: EventId) -> EventView:
    """The event of this case. NotFound."""
    event = next((one for one in reading.events if one.id == event_id), None)
    if event is None:
        raise NotFound
    place = reading.place(event_id)
    entries = [entry for entry in reading.timeline() if entry.pos == place.pos]
    return EventView(
        event=event,
        log=reading.node.around.origin(place.log_id),
        seq=place.seq,
        pos=place.pos,
        leaf_hash=leaf_hash(encode(event)).hex(),
        state="secured" if reading.is_secured(event_id) else "recorded",
        unproven=reading.unproven(entries).get(place.pos),
    )
