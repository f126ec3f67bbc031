import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import Channel, ChannelDown, LaneReset, RecordTooLarge
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.wire import MAX_RECORD_BYTES

ALL = 1 << 30


@pytest.fixture
def dsn(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    name = request.node.name[:60]
    postgres.create_database(name)
    return postgres.dsn(name)


@pytest.fixture
def channel(dsn: str) -> Iterator[Channel]:
    """The one implementation so far; whoever adds another runs this file over it."""
    opened = PostgresChannel(dsn)
    yield opened
    opened.close()


def bodies(channel: Channel, lane: str, after: int = 0) -> list[bytes]:
    return [record.body for record in channel.fetch({lane: after}, ALL, 0)]


def test_a_lane_gives_back_its_records_in_the_order_published(channel: Channel) -> None:
    channel.publish("up.a", [b"1", b"2"])
    channel.publish("up.a", [b"3"])

    delivered = channel.fetch({"up.a": 0}, ALL, 0)

    assert [record.body for record in delivered] == [b"1", b"2", b"3"]
    assert [record.offset for record in delivered] == sorted({record.offset for record in delivered})
    assert all(record.offset > 0 for record in delivered)


def test_what_lies_behind_the_named_offset_comes_again_as_often_as_asked(channel: Channel) -> None:
    channel.publish("up.a", [b"1", b"2", b"3"])
    first = channel.fetch({"up.a": 0}, ALL, 0)[0].offset

    assert bodies(channel, "up.a", first) == bodies(channel, "up.a", first) == [b"2", b"3"]


def test_lanes_do_not_mix_and_share_the_room(channel: Channel) -> None:
    channel.publish("up.a", [b"a" * 1_000] * 100)
    channel.publish("up.b", [b"b"])

    delivered = channel.fetch({"up.a": 0, "up.b": 0}, 10_000, 0)

    assert [record.body for record in delivered if record.lane == "up.b"] == [b"b"]
    assert 1 <= sum(record.lane == "up.a" for record in delivered) <= 10


def test_a_record_larger_than_the_room_comes_alone(channel: Channel) -> None:
    channel.publish("up.a", [b"x" * MAX_RECORD_BYTES, b"y"])

    (record,) = channel.fetch({"up.a": 0}, 1, 0)

    assert len(record.body) == MAX_RECORD_BYTES


def test_a_record_beyond_the_limit_is_refused_with_all_its_company(channel: Channel) -> None:
    with pytest.raises(RecordTooLarge):
        channel.publish("up.a", [b"small", b"x" * (MAX_RECORD_BYTES + 1)])

    assert bodies(channel, "up.a") == []


def test_what_is_trimmed_does_not_come_back_and_offsets_go_on(channel: Channel) -> None:
    channel.publish("up.a", [b"1", b"2"])
    last = channel.fetch({"up.a": 0}, ALL, 0)[-1].offset
    channel.trim("up.a", last)
    channel.publish("up.a", [b"3"])

    (record,) = channel.fetch({"up.a": 0}, ALL, 0)

    assert record.body == b"3"
    assert record.offset > last


def test_a_reader_beyond_the_end_is_told_that_the_lane_is_another_one(channel: Channel) -> None:
    channel.publish("up.a", [b"1"])

    with pytest.raises(LaneReset) as caught:
        channel.fetch({"up.a": 99}, ALL, 0)

    assert caught.value.lane == "up.a"


def test_an_empty_lane_keeps_a_reader_no_longer_than_it_wants(channel: Channel) -> None:
    started = time.monotonic()

    assert channel.fetch({"up.a": 0}, ALL, 0.2) == []

    assert 0.2 <= time.monotonic() - started < 1.5


def test_a_waiting_reader_is_woken_at_once(channel: Channel, dsn: str) -> None:
    other = PostgresChannel(dsn)
    other.publish("up.b", [b"warm"])
    channel.fetch({"up.a": 0}, ALL, 0)
    waits: list[float] = []

    def publish() -> None:
        time.sleep(0.2)
        waits.append(time.monotonic())
        other.publish("up.a", [b"now"])

    thread = threading.Thread(target=publish)
    thread.start()
    delivered = channel.fetch({"up.a": 0}, ALL, 10)
    waits.append(time.monotonic())
    thread.join()
    other.close()

    assert [record.body for record in delivered] == [b"now"]
    assert waits[1] - waits[0] < 0.5  # well below the poll that covers a lost wake-up


def test_concurrent_writers_of_different_lanes_lose_nothing(channel: Channel, dsn: str) -> None:
    def write(lane: str) -> None:
        own = PostgresChannel(dsn)
        for number in range(50):
            own.publish(lane, [b"%d" % number])
        own.close()

    threads = [threading.Thread(target=write, args=(f"up.{name}",)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for name in "abcd":
        assert bodies(channel, f"up.{name}") == [b"%d" % number for number in range(50)]


def test_what_was_published_survives_the_death_of_its_writer(channel: Channel, dsn: str) -> None:
    code = (
        "import os, signal; from sync.exchange.channel_postgres import PostgresChannel\n"
        f"PostgresChannel({dsn!r}).publish('up.a', [b'last words']); os.kill(os.getpid(), signal.SIGKILL)"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), check=False)

    assert ended.returncode == -signal.SIGKILL
    assert bodies(channel, "up.a") == [b"last words"]


def test_a_cut_connection_is_named_and_the_next_call_opens_another(channel: Channel, dsn: str) -> None:
    channel.publish("up.a", [b"before"])
    assert bodies(channel, "up.a") == [b"before"]
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and datname = current_database()"
        )

    with pytest.raises(ChannelDown):
        channel.publish("up.a", [b"lost or not"])
    with pytest.raises(ChannelDown):
        channel.fetch({"up.a": 0}, ALL, 0)

    channel.publish("up.a", [b"after"])
    assert bodies(channel, "up.a")[-1] == b"after"
