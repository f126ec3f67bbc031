"""The channel between the nodes of a world: it loses, doubles, swaps, delays, garbles, and is away, as fate has it."""

import copy
from collections.abc import Mapping, Sequence

from domain.divisions import Division
from sync.exchange.channel import ChannelDown, Delivered, Extent
from tests.sync.memory_channel import MemoryChannel
from tests.world.fate import Fate


class Links:
    """All lanes of a world. A lane is named by its child, whose link may be down."""

    def __init__(self, fate: Fate, lanes: MemoryChannel | None = None) -> None:
        """lanes: what they held when the world began."""
        self._fate = fate
        self.lanes = copy.deepcopy(lanes) if lanes else MemoryChannel()
        self._late: list[tuple[float, str, bytes]] = []
        self._down: dict[Division, float] = {}
        self.crossed: set[bytes] = set()
        self.at_s = 0.0

    def cut(self, child: Division, for_s: float) -> None:
        """Nothing passes between a node and its parent for so long."""
        self._down[child] = max(self._down.get(child, 0.0), self.at_s + for_s)

    def heal(self) -> None:
        """Every link is up and what was late comes now."""
        self._down.clear()
        self._deliver(float("inf"))

    def hurry(self, lane: str) -> None:
        """What is late on this lane comes now: who lost what it had sent asks by the same lane, and behind it."""
        late, self._late = self._late, [one for one in self._late if one[1] != lane]
        for _, _, record in (one for one in late if one[1] == lane):
            self.lanes.publish(lane, [record])

    def make_anew(self, lane: str) -> None:
        """The lane is deleted with all that it holds, and starts from nothing."""
        self.lanes.forget(lane)

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        self._require_up(lane)
        self.crossed.update(records)
        last = self.lanes.publish(lane, self._on_the_way(lane, records))
        if self._fate.strikes("unheard", _kind(lane), who=lane):
            raise ChannelDown
        return last

    def fetch(self, after: Mapping[str, int], max_bytes: int, wait_s: float) -> list[Delivered]:
        self._deliver(self.at_s)
        reachable = {lane: offset for lane, offset in after.items() if self._is_up(lane)}
        if after and not reachable:
            raise ChannelDown
        return self.lanes.fetch(reachable, max_bytes, wait_s)

    def trim(self, lane: str, upto: int) -> None:
        self._require_up(lane)
        self.lanes.trim(lane, upto)

    def extent(self, lane: str) -> Extent:
        self._require_up(lane)
        return self.lanes.extent(lane)

    def close(self) -> None:
        pass

    def _on_the_way(self, lane: str, records: Sequence[bytes]) -> list[bytes]:
        out: list[bytes] = []
        kind = _kind(lane)
        for record in records:
            if self._fate.strikes("lost", kind, who=lane):
                continue
            if self._fate.strikes("delayed", kind, who=lane):
                self._late.append(
                    (self.at_s + self._fate.random.choice((900, 90_000)) * self._fate.random.random(), lane, record)
                )
                continue
            if self._fate.strikes("garbled", kind, who=lane):
                out.append(self._garbled(record))
                continue
            if out and self._fate.strikes("swapped", kind, who=lane):
                out.insert(self._fate.random.randrange(len(out)), record)
                continue
            out.append(record)
            if self._fate.strikes("doubled", kind, who=lane):
                out.append(record)
        return out

    def _garbled(self, record: bytes) -> bytes:
        place = self._fate.random.randrange(len(record))
        return record[:place] + bytes([record[place] ^ 1 << self._fate.random.randrange(8)]) + record[place + 1 :]

    def _deliver(self, upto_s: float) -> None:
        due = [late for late in self._late if late[0] <= upto_s]
        if due:
            self._late = [late for late in self._late if late[0] > upto_s]
            for _, lane, record in due:
                self.lanes.publish(lane, [record])

    def _is_up(self, lane: str) -> bool:
        return self._down.get(Division(lane.partition(".")[2]), 0.0) <= self.at_s

    def _require_up(self, lane: str) -> None:
        if not self._is_up(lane):
            raise ChannelDown


def _kind(lane: str) -> str:
    """Which way: `up` or `down`."""
    return lane.partition(".")[0]
