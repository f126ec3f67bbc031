"""A neighbour that is away for weeks costs its channel what it has not read yet, and no more."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import Channel, down_lane, up_lane
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.wire import Introduction
from tests.sync.hierarchy import TOWNSHIP, VILLAGE, Hierarchy, Node, Tampering, Through, hierarchy
from tests.sync.test_inbox import is_frame_of

HOUR_S = 3_600
WEEKS = 3


class Counted(Through):
    """A channel that counts what is published on it, by lane and record."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.published: dict[str, Counter[bytes]] = {}

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        self.published.setdefault(lane, Counter()).update(records)
        return self._channel.publish(lane, records)

    def size_bytes(self, lane: str) -> int:
        """All that was ever published on it."""
        return sum(len(record) * times for record, times in self.published[lane].items())


@pytest.fixture
def pair(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "absence", TOWNSHIP, VILLAGE) as nodes:
        nodes.settle()
        yield nodes


def counted(node: Node) -> Counted:
    node.above = node.below = counting = Counted(node.channel)
    restart(node)
    return counting


def restart(node: Node) -> None:
    node.crash()
    node.start()


def alone_for_weeks(nodes: Hierarchy, node: Node) -> None:
    """Only `node` runs, and is switched off and on every few days."""
    for hour in range(WEEKS * 7 * 24):
        if hour % 100 == 99:
            restart(node)
        if hour % 24 < 3:
            node.step()
            node.exchange.pump_up()
            node.exchange.pump_down()
        nodes.clock.pass_s(HOUR_S)


def test_a_child_that_is_away_for_weeks_is_sent_everything_once_and_has_it_at_once_when_it_is_back(
    pair: Hierarchy,
) -> None:
    township, village = pair[TOWNSHIP], pair[VILLAGE]
    channel = counted(township)
    with township.store.transaction() as tx:
        for _ in range(30):
            tx.enqueue(VILLAGE, [Introduction(village.certificates)], pair.clock.at_us)
    township.step()
    township.step()
    pending_bytes = channel.size_bytes(down_lane(VILLAGE))
    assert pending_bytes > 30_000

    alone_for_weeks(pair, township)

    assert channel.size_bytes(down_lane(VILLAGE)) == pending_bytes
    assert set(channel.published[down_lane(VILLAGE)].values()) == {1}
    pair.settle()
    assert village.query("select notification_id from tracking where application_name = 'exchange.down'") >= [(30,)]
    pair.heal(lambda: township.query("select down_acked = down_size from child") == [(True,)], waits=5)
    assert village.faults() == township.faults() == {}


def test_a_parent_that_is_away_for_weeks_is_sent_every_frame_once_and_has_all_when_it_is_back(pair: Hierarchy) -> None:
    township, village = pair[TOWNSHIP], pair[VILLAGE]
    channel = counted(village)
    for _ in range(20):
        village.chat(10)
        village.step()
    pending_bytes = channel.size_bytes(up_lane(VILLAGE))

    alone_for_weeks(pair, village)

    assert channel.size_bytes(up_lane(VILLAGE)) == pending_bytes
    assert set(channel.published[up_lane(VILLAGE)].values()) == {1}
    pair.heal(lambda: village.secured() == village.size(), waits=20)
    assert township.log(village.origin) == village.log(village.origin)


def test_a_restored_node_whose_parent_is_away_asks_it_once(pair: Hierarchy) -> None:
    village = pair[VILLAGE]
    channel = counted(village)
    village.exchange.ask_parent(bytes(16))
    for _ in range(100):
        village.exchange.pump_arrivals()
        pair.clock.pass_s(HOUR_S)

    assert sum(channel.published[up_lane(VILLAGE)].values()) == 1
    pair.settle()
    assert village.exchange.standing() == "agrees"


def test_a_lone_record_that_a_channel_lost_is_there_within_half_a_minute(pair: Hierarchy) -> None:
    village = pair[VILLAGE]
    losses = [True]
    village.above = Tampering(
        village.channel, lambda _, record: [] if is_frame_of(village, record) and losses and losses.pop() else [record]
    )
    restart(village)
    village.chat(1)
    started_s = pair.clock.at_s

    pair.heal(lambda: village.secured() == village.size())

    assert not losses
    assert pair.clock.at_s - started_s <= 30


def test_what_a_retention_took_from_a_lane_is_sent_again_once(pair: Hierarchy) -> None:
    village = pair[VILLAGE]
    channel = counted(village)
    village.chat(3)
    village.step()
    village.step()
    lane = up_lane(VILLAGE)
    channel.trim(lane, channel.extent(lane).last)

    alone_for_weeks(pair, village)

    assert set(channel.published[lane].values()) == {2}
    pair.heal(lambda: village.secured() == village.size(), waits=20)


def test_a_lane_that_is_full_is_a_named_fault_until_it_is_read(pair: Hierarchy) -> None:
    village = pair[VILLAGE]
    small = PostgresChannel(pair.channel_dsn, lane_bytes=3_000)
    village.above = small
    restart(village)
    for _ in range(30):
        village.chat(3)
        village.step()

    assert village.faults() == {"lane_full": up_lane(VILLAGE)}
    pair.heal(lambda: village.secured() == village.size() and village.faults() == {}, waits=200)
    small.close()
