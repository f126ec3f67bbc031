"""The contract of a channel, on every implementation: PLACES names them."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest

from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import Channel, ChannelDown, Extent, LaneFull, LaneReset, RecordTooLarge
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.patience import Patience
from sync.exchange.wire import MAX_RECORD_BYTES

ALL = 1 << 30
DAY_S = 86_400


class Place(NamedTuple):
    """Where channels of one implementation meet, fresh for each test.

    open: one more end. small: one whose lanes hold no more than so many bytes. cut: break all connections.
    make_anew: lose all lanes. python: an expression that opens an end in another process, and what it imports.
    """

    open: Callable[[], Channel]
    small: Callable[[int], Channel]
    cut: Callable[[], None]
    make_anew: Callable[[], None]
    python: tuple[str, str]


def postgres_place(request: pytest.FixtureRequest) -> Place:
    """Channels in a PostgreSQL."""
    postgres: PostgresServer = request.getfixturevalue("postgres")
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name[:60])
    postgres.create_database(name)
    dsn = postgres.dsn(name)

    def run(statement: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(statement)  # type: ignore[call-overload]

    return Place(
        lambda: PostgresChannel(dsn),
        lambda lane_bytes: PostgresChannel(dsn, lane_bytes),
        lambda: run(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and datname = current_database()"
        ),
        lambda: run("truncate channel.lane, channel.record"),
        (f"PostgresChannel({dsn!r})", "from sync.exchange.channel_postgres import PostgresChannel"),
    )


PLACES = [postgres_place]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def place(request: pytest.FixtureRequest) -> Place:
    """One implementation after the other."""
    made: Place = request.param(request)
    return made


@pytest.fixture
def channel(place: Place) -> Iterator[Channel]:
    """An end of it."""
    opened = place.open()
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

    assert 0.2 <= time.monotonic() - started < 10


def test_a_waiting_reader_is_woken_at_once(channel: Channel, place: Place) -> None:
    other = place.open()
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


def test_concurrent_writers_of_different_lanes_lose_nothing(channel: Channel, place: Place) -> None:
    def write(lane: str) -> None:
        own = place.open()
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


def test_what_was_published_survives_the_death_of_its_writer(channel: Channel, place: Place) -> None:
    opened, imported = place.python
    code = (
        f"import os, signal; {imported}\n"
        f"{opened}.publish('up.a', [b'last words']); os.kill(os.getpid(), signal.SIGKILL)"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), check=False)

    assert ended.returncode == -signal.SIGKILL
    assert bodies(channel, "up.a") == [b"last words"]


def test_a_cut_connection_is_named_and_the_next_call_opens_another(channel: Channel, place: Place) -> None:
    channel.publish("up.a", [b"before"])
    assert bodies(channel, "up.a") == [b"before"]
    place.cut()

    with pytest.raises(ChannelDown):
        channel.publish("up.a", [b"lost or not"])
    with pytest.raises(ChannelDown):
        channel.fetch({"up.a": 0}, ALL, 0)

    channel.publish("up.a", [b"after"])
    assert bodies(channel, "up.a")[-1] == b"after"


def test_a_channel_that_was_closed_opens_again_when_it_is_used(channel: Channel) -> None:
    channel.publish("up.a", [b"1"])
    channel.close()
    channel.close()

    channel.publish("up.a", [b"2"])

    assert bodies(channel, "up.a") == [b"1", b"2"]


def test_a_lane_tells_what_it_holds(channel: Channel) -> None:
    assert channel.extent("up.a") == Extent(1, 0)
    assert channel.publish("up.a", []) == 0
    middle = channel.publish("up.a", [b"1", b"2"])
    last = channel.publish("up.a", [b"3"])
    offsets = [record.offset for record in channel.fetch({"up.a": 0}, ALL, 0)]

    assert offsets[1:] == [middle, last]
    assert channel.extent("up.a") == Extent(offsets[0], last)
    channel.trim("up.a", middle)
    assert channel.extent("up.a").last == last
    assert middle < channel.extent("up.a").first <= last
    channel.trim("up.a", last)
    assert channel.extent("up.a") == Extent(last + 1, last)
    assert channel.extent("up.b") == Extent(1, 0)


def test_what_nobody_reads_is_forgotten_in_time_and_the_lane_says_so(postgres: PostgresServer) -> None:
    postgres.create_database("outdated")
    dsn = postgres.dsn("outdated")
    forgetful, patient = PostgresChannel(dsn, kept_us=0), PostgresChannel(dsn)
    try:
        patient.publish("up.x", [b"key", b"text"])
        patient.publish("up.y", [b"another's"])
        assert patient.extent("up.x") == Extent(1, 2)

        assert forgetful.extent("up.x") == Extent(3, 2)

        assert patient.fetch({"up.x": 0}, ALL, 0) == []
        assert patient.extent("up.y") == Extent(1, 1)
        assert patient.publish("up.x", [b"sent again without it"]) == 3
        assert [one.body for one in patient.fetch({"up.x": 0}, ALL, 0)] == [b"sent again without it"]
    finally:
        forgetful.close()
        patient.close()


def test_a_lane_that_was_made_anew_shows_in_its_offsets(channel: Channel, place: Place) -> None:
    before = channel.publish("up.a", [b"1", b"2", b"3"])
    place.make_anew()

    assert channel.extent("up.a").last < before
    assert 0 < channel.publish("up.a", [b"4"]) < before


def test_a_lane_that_nobody_reads_is_bounded_and_takes_more_once_it_is_read(channel: Channel, place: Place) -> None:
    small, bytes_of = place.small(100_000), random.Random(1).randbytes
    told = 0
    for _ in range(40):
        try:
            small.publish("up.a", [bytes_of(10_000)])
        except LaneFull:
            told += 1
    kept = channel.fetch({"up.a": 0}, ALL, 0)
    small.publish("up.b", [b"another lane has room"])
    small.trim("up.a", kept[-1].offset)
    small.publish("up.a", [bytes_of(200_000)])  # an empty lane takes whatever comes
    small.close()

    assert 0 < len(kept) <= 10
    assert told or channel.extent("up.a").first > 1
    assert len(bodies(channel, "up.a", kept[-1].offset)) == 1


@pytest.mark.parametrize("away_s", [DAY_S, 7 * DAY_S])
def test_a_reader_that_is_away_costs_no_more_than_what_it_has_not_read(channel: Channel, away_s: int) -> None:
    patience, pending = Patience(retry_s=5), [b"%d" % number for number in range(10)]
    assert patience.look(channel.extent("down.a"), 0, 0)
    oldest = channel.publish("down.a", pending)
    patience.published(oldest, 0, is_first=True)
    for elapsed_s in range(0, away_s, 3_600):
        if patience.wants_look(elapsed_s):
            assert not patience.look(channel.extent("down.a"), oldest, elapsed_s)

    read = channel.fetch({"down.a": 0}, ALL, 0)
    channel.trim("down.a", read[-1].offset)

    assert [record.body for record in read] == pending
    assert not patience.look(channel.extent("down.a"), oldest, away_s)  # its answer may be on the way
    assert patience.wants_look(away_s + 5)
    assert patience.look(channel.extent("down.a"), oldest, away_s + 5)  # it is not


def test_what_a_channel_lost_while_its_reader_was_away_is_sent_again(channel: Channel, place: Place) -> None:
    patience = Patience(retry_s=5)
    assert patience.look(channel.extent("down.a"), 0, 0)
    oldest = channel.publish("down.a", [b"1"])
    patience.published(oldest, 0, is_first=True)
    assert not patience.look(channel.extent("down.a"), oldest, DAY_S)

    place.make_anew()

    assert patience.look(channel.extent("down.a"), oldest, 2 * DAY_S)
