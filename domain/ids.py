"""Ids that say themselves which node made them: nobody else's can be taken first, whichever is learned first."""

from typing import Final
from uuid import UUID

from domain.divisions import Division

REST_BITS: Final = 34
"""What is left of a UUIDv7 (RFC 9562) beside the millisecond, the version, the variant and the maker."""

_CODE_BITS: Final = 40  # 10**12 codes, and 2**40 is more
_LOW_REST_BITS: Final = 22  # of rand_b, above the code; the others are rand_a


def new_id(maker: Division, at_ms: int, rest: int) -> UUID:
    """The UUIDv7 of this moment (UTC milliseconds) whose last 40 bits are the maker's code; it sorts by (at_ms, rest).

    rest: REST_BITS bits that the maker gives to no other id of this millisecond.
    """
    head = at_ms << 80 | 7 << 76 | rest >> _LOW_REST_BITS << 64
    tail = 0b10 << 62 | (rest & (1 << _LOW_REST_BITS) - 1) << _CODE_BITS | int(maker)
    return UUID(int=head | tail)


def maker_of(id_: UUID) -> Division:
    """The node that made the id, as its last 40 bits say: no division at all where no node made it."""
    return Division(f"{id_.int & (1 << _CODE_BITS) - 1:012d}")
