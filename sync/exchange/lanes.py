"""One node's ends of its lanes: what it has read and lets the channel forget, and what a full lane does not take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from sync.exchange.channel import Channel, LaneFull
from sync.exchange.faults import Fault
from sync.exchange.store import Store

LANE_FULL: Final = "lane_full"
"""The kind of the fault that names a lane that takes no more, because its reader is away."""

_TRIM_EVERY_S: Final = 10.0


class Lanes:
    """Positions are read from the store once; whoever takes records in moves them there, and then says `reached`.

    Several threads may use it; each lane is read by one of them.
    """

    def __init__(self, store: Store, now_us: Callable[[], int], elapsed_s: Callable[[], float]) -> None:
        self._store = store
        self._now_us = now_us
        self._elapsed_s = elapsed_s
        self._offsets: dict[str, int] = {}
        self._trimmed: dict[str, int] = {}
        self._trimmed_s: dict[str, float] = {}
        self._flowing: set[str] = set()

    def positions(self, lanes: Iterable[str]) -> dict[str, int]:
        """How far each is dealt with."""
        unread = [lane for lane in lanes if lane not in self._offsets]
        if unread:
            with self._store.transaction() as tx:
                self._offsets |= {lane: tx.position(lane) for lane in unread}
        return {lane: self._offsets[lane] for lane in lanes}

    def reached(self, offsets: Mapping[str, int]) -> None:
        """These are dealt with up to here, and the store knows it."""
        self._offsets |= offsets

    def restart(self, lane: str) -> None:
        """A lane that was made anew is read from its beginning; what is dealt with already changes nothing."""
        fault = Fault("lane_reset", lane, "", "the lane is younger than the position it was read to")
        with self._store.transaction() as tx:
            tx.move(lane, 0)
            tx.fault([fault], self._now_us())
        self._offsets[lane] = 0
        self._trimmed.pop(lane, None)

    def trim(self, channel: Channel, lanes: Iterable[str], *, is_idle: bool) -> None:
        """Let the channel forget what is dealt with: as soon as nothing else comes, or now and then."""
        elapsed_s = self._elapsed_s()
        for lane in lanes:
            since_s = self._trimmed_s.setdefault(lane, elapsed_s)
            if self._trimmed.get(lane, 0) != self._offsets[lane] and (is_idle or elapsed_s - since_s > _TRIM_EVERY_S):
                channel.trim(lane, self._offsets[lane])
                self._trimmed[lane], self._trimmed_s[lane] = self._offsets[lane], elapsed_s

    def publish(self, channel: Channel, lane: str, records: Sequence[bytes]) -> int | None:
        """The offset reached; None where the lane is full, which is a fault until it takes something again."""
        try:
            offset = channel.publish(lane, records)
        except LaneFull as full:
            self._flowing.discard(lane)
            with self._store.transaction() as tx:
                tx.fault([Fault(LANE_FULL, lane, "", str(full))], self._now_us())
            return None
        if lane not in self._flowing:
            self._flowing.add(lane)
            with self._store.transaction() as tx:
                tx.heal([LANE_FULL], [lane], self._now_us())
        return offset
