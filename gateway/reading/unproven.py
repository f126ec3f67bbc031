"""Which claimed times nobody but their author vouches for.

An author says when something happened. Two things can contradict it without trusting the author: a cosignature that
another node had given by the time of recording over a head of that log in which the event did not stand yet; and that
the event came here long after. Neither accuses anybody of more than having written it down later.
Clocks count days, so what was written down later on the same day is not worth a remark.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from domain.clocks import DAY_US, shanghai_date
from gateway.hosting.links import Links
from projections.timeline import Entry
from sync.ledger.rows import FROM_ABOVE

GRACE_US: Final = DAY_US
"""What happened is written down, and reaches the next node, within a day; only what took longer is worth a remark."""


class Unproven(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed time (`claimed_us`) and the first moment for which there is more than its author's word (`since_us`).

    why: cosigned, the author's log was cosigned then without the event; learned, it came to this node then; recorded,
    it was recorded then, by its author's clock. UTC microseconds.
    """

    claimed_us: int
    since_us: int
    why: Literal["cosigned", "learned", "recorded"]


def unproven(links: Links, entries: Sequence[Entry]) -> dict[int, Unproven]:
    """By position, the entries whose claimed time is not proven."""
    known = [(entry, *moments) for entry in entries if (moments := _moments(entry)) is not None]
    late = [(entry, claimed_us, recorded_us) for entry, claimed_us, recorded_us in known if claimed_us < recorded_us]
    asked = [(entry.log_id, entry.seq, recorded_us) for entry, _, recorded_us in late]
    cosigned_us = {entry.pos: at_us for (entry, *_), at_us in zip(late, links.cosigned_without(asked), strict=True)}
    found = {
        entry.pos: _doubt(entry, claimed_us, recorded_us, cosigned_us.get(entry.pos))
        for entry, claimed_us, recorded_us in known
    }
    return {pos: doubt for pos, doubt in found.items() if doubt is not None}


def _moments(entry: Entry) -> tuple[int, int] | None:
    if entry.occurred_us is None or entry.recorded_us is None:
        return None
    return entry.occurred_us, entry.recorded_us


def _doubt(entry: Entry, claimed_us: int, recorded_us: int, cosigned_us: int | None) -> Unproven | None:
    if cosigned_us is not None and shanghai_date(claimed_us) < shanghai_date(cosigned_us):
        return Unproven(claimed_us=claimed_us, since_us=cosigned_us, why="cosigned")
    if entry.via == FROM_ABOVE:  # what a case file brings down is old news, and long cosigned above
        is_late = recorded_us - claimed_us > GRACE_US
        return Unproven(claimed_us=claimed_us, since_us=recorded_us, why="recorded") if is_late else None
    is_late = entry.known_us - claimed_us > GRACE_US
    return Unproven(claimed_us=claimed_us, since_us=entry.known_us, why="learned") if is_late else None
