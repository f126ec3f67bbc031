"""The contract of the pipe between two nodes, whatever carries it: PostgreSQL here, Kafka in service."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from domain.divisions import Division
from sync.exchange.wire import MAX_RECORD_BYTES

LANE_BYTES: Final = 64 << 20
"""So much unread one lane takes, more than a sender ever has on its way."""


class ChannelDown(Exception):
    """The channel does not answer now. Nothing is known of what was being published: publish it again later."""


class LaneReset(Exception):
    """The lane is younger than the reader's position: it was deleted, recreated or restored. Read it from 0 again."""

    def __init__(self, lane: str) -> None:
        super().__init__(f"通道 {lane} 被重建，将从头读取 / lane {lane} was made anew; it is read from its beginning")
        self.lane = lane


class LaneFull(Exception):
    """The lane holds all that it takes unread; nothing was published. Its reader is away: send when it has read."""

    def __init__(self, lane: str) -> None:
        super().__init__(
            f"通道 {lane} 已满：对方长期未读取，待其读取后自动续发"
            f" / lane {lane} is full: the other end has not read it for long; sending goes on once it has"
        )
        self.lane = lane


class RecordTooLarge(ValueError):
    """The sender broke the size limit; the record was not published. A fault of this program, not of the channel."""

    def __init__(self, lane: str, size_bytes: int) -> None:
        super().__init__(f"a record for {lane} has {size_bytes} bytes; the limit is {MAX_RECORD_BYTES}")


class Delivered(msgspec.Struct, frozen=True):
    """One record as it came out: its lane, its offset there (from 1, growing, not always by one), its bytes."""

    lane: str
    offset: int
    body: bytes


class Extent(msgspec.Struct, frozen=True):
    """What a lane holds. first: the oldest offset it still delivers, last + 1 for none. last: the newest ever given.

    A lane that nobody has written holds (1, 0). Kafka: log start and log end offset, counted from 1.
    """

    first: int
    last: int


class Channel(Protocol):
    """Lanes of records. A lane has one writing node and one reading node.

    Order: what one lane delivers after an offset comes in the order it was published.
    Durability: when `publish` returns, its records survive the death of everyone; when it raises ChannelDown, any
    prefix of them may have been published, so a sender that repeats itself doubles records, and a reader must bear
    that.
    Redelivery: the reader names the offset it has dealt with; the channel keeps no position for it, and delivers
    again whatever lies behind the named offset, as often as asked, until it is trimmed.
    Absence: what is not trimmed stays, so a sender never repeats what `extent` shows the lane to hold: a reader that
    is away for weeks costs what it has not read, once. What is no longer held was dealt with and trimmed, or the
    channel lost it (a retention that ran out, a lane made anew); only then, unanswered, it is sent again.
    Room: what one lane holds unread is bounded. An empty lane takes whatever comes; a full one takes nothing
    (LaneFull) or, under a retention by size, forgets its oldest, which `extent` tells.
    Age: what nobody has read for LAST_COPY_US (domain.keys) is forgotten once its sender looks, so that what was erased
    does not stay readable there; what is sent again instead has lost it.
    No guarantee of ours rests on a lane being complete or unaltered: signatures and sizes decide.
    A channel may be used from several threads.
    """

    def publish(self, lane: str, records: Sequence[bytes]) -> int:
        """Append `records` in order, durable on return; the offset of the last, 0 where there are none.

        Offsets grow as long as the lane is the same: one that does not tells the sender that it was made anew.
        Raises RecordTooLarge, LaneFull (nothing published), ChannelDown.
        """

    def fetch(self, after: Mapping[str, int], max_bytes: int, wait_s: float) -> list[Delivered]:
        """Records beyond the named offset of each lane, in order within a lane; 0 is before the first.

        Every lane gets a like share of `max_bytes` and at least one record where it has one, so that a backlog in
        one starves no other. Waits up to `wait_s` seconds for the first record, then returns without more waiting.
        Raises LaneReset, ChannelDown.
        """

    def trim(self, lane: str, upto: int) -> None:
        """The reader needs nothing up to this offset any more: the channel forgets it, and `extent` shows that.

        A reader trims soon after it has dealt with records: its sender waits for that. Raises ChannelDown.
        """

    def extent(self, lane: str) -> Extent:
        """What the lane holds now. Cheap. Raises ChannelDown."""

    def close(self) -> None:
        """Give back what it holds open; a later call opens it again. Not while another thread uses the channel."""


def up_lane(child: Division) -> str:
    """The lane that `child` writes and its parent reads."""
    return f"up.{child}"


def down_lane(child: Division) -> str:
    """The lane that the parent of `child` writes and `child` reads."""
    return f"down.{child}"


def check_sizes(lane: str, records: Sequence[bytes]) -> None:
    """Raises RecordTooLarge where a record is beyond the limit that every channel keeps."""
    for record in records:
        if len(record) > MAX_RECORD_BYTES:
            raise RecordTooLarge(lane, len(record))
