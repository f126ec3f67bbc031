"""Fresh UUIDv7s (RFC 9562): ids that sort by time, made from the node's clock and the machine's randomness."""

import os
from collections.abc import Iterator
from uuid import UUID

_RANDOM_BITS = (1 << 62) - 1


def uuid7(now_us: int) -> UUID:
    """One id of this moment (UTC microseconds); the rest of it is 74 random bits."""
    chance = int.from_bytes(os.urandom(10))
    head = (now_us // 1000 & (1 << 48) - 1) << 80 | 7 << 76 | (chance >> 62 & 0xFFF) << 64
    return UUID(int=head | 0b10 << 62 | chance & _RANDOM_BITS)


def fresh(now_us: int) -> Iterator[UUID]:
    """As many as are needed."""
    while True:
        yield uuid7(now_us)
