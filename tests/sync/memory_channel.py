"""The channel between nodes in memory, for simulations: nothing waits, nothing is lost but what a test cuts off."""

from collections.abc import Mapping, Sequence

from sync.exchange.channel import LANE_BYTES, Delivered, Extent, LaneFull, LaneReset, check_sizes


class MemoryChannel:
    """Every node holds the same one. See sync.exchange.channel.Channel."""

    def __init__(self, lane_bytes: int = LANE_BYTES) -> None:
        self._lane_bytes = lane_bytes
        self._lanes: dict[str, dict[int, bytes]] = {}
        self._last: dict[str, int] = {}

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        check_sizes(lane, records)
        if not records:
            return 0
        held = self._lanes.setdefault(lane, {})
        if held and sum(map(len, [*held.values(), *records])) > self._lane_bytes:
            raise LaneFull(lane)
        for offset, record in enumerate(records, self._last.get(lane, 0) + 1):
            held[offset], self._last[lane] = record, offset
        return self._last[lane]

    def fetch(self, after: Mapping[str, int], max_bytes: int, _: float) -> list[Delivered]:
        found = [one for lane, offset in after.items() for one in self._beyond(lane, offset, max_bytes // len(after))]
        if not found:
            for lane, offset in after.items():
                if offset > self._last.get(lane, 0):
                    raise LaneReset(lane)
        return found

    def _beyond(self, lane: str, after: int, share_bytes: int) -> list[Delivered]:
        found: list[Delivered] = []
        size_bytes = 0
        for offset, record in sorted(self._lanes.get(lane, {}).items()):
            if offset > after:
                size_bytes += len(record)
                if found and size_bytes > share_bytes:
                    break
                found.append(Delivered(lane, offset, record))
        return found

    def trim(self, lane: str, upto: int) -> None:
        held = self._lanes.get(lane, {})
        self._lanes[lane] = {offset: record for offset, record in held.items() if offset > upto}

    def extent(self, lane: str) -> Extent:
        last = self._last.get(lane, 0)
        return Extent(min(self._lanes.get(lane, {}), default=last + 1), last)

    def forget(self, lane: str) -> None:
        """The lane is deleted; whoever writes to it next makes it anew."""
        self._lanes.pop(lane, None)
        self._last.pop(lane, None)

    def close(self) -> None:
        pass
