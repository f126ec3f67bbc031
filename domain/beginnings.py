"""Since when there is a case, or a leg of it: what is said to have happened before that counts from there.

The author of an event says when it happened, and dating it back only brings the author's own limits nearer. But a clock
of a claim goes with whoever holds the case: what one office dates back must not make the next one late.
"""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from domain.clocks import day_start_us
from domain.events import AnyEvent, HandedOver, ObjectionRuled, Registered, TakenOver

Beginnings = Mapping[UUID, int]
"""By case id and leg id, UTC microseconds. The first leg began with its case."""


def beginning(event: AnyEvent, known: Beginnings) -> tuple[UUID, int] | None:
    """What begins with `event`, and when: a case the day it was received, a leg when it was given to its unit.

    Nothing begins after it was recorded. known: of the same case, so far.
    """
    match event:
        case Registered():
            return event.id, min(day_start_us(event.received_on), event.recorded_us)
        case HandedOver() | ObjectionRuled() | TakenOver() if event.next_leg is not None:
            return event.next_leg, min(counted_us(event, known), event.recorded_us)
        case _:
            return None


def earliest_us(event: AnyEvent, known: Beginnings) -> int | None:
    """Since when the leg that `event` is about has been, or else its case; null where neither is known."""
    leg: UUID | None = getattr(event, "leg", None)
    began_us = known.get(leg) if leg else None
    return began_us if began_us is not None or event.case is None else known.get(event.case)


def counted_us(event: AnyEvent, known: Beginnings) -> int:
    """From when on `event` counts: when it happened, as claimed, and no earlier than what it is about began."""
    since_us = earliest_us(event, known)
    return event.occurred_us if since_us is None else max(event.occurred_us, since_us)


def as_counted(event: AnyEvent, known: Beginnings) -> AnyEvent:
    """`event` as if it had happened when it counts from."""
    at_us = counted_us(event, known)
    return event if at_us == event.occurred_us else msgspec.structs.replace(event, occurred_us=at_us)


def with_beginning(known: Beginnings, event: AnyEvent) -> Beginnings:
    """`known` after `event`; what has begun does not begin again."""
    begun = beginning(event, known)
    return known if begun is None or begun[0] in known else {**known, begun[0]: begun[1]}
