"""Chance that a test can repeat: bytes and ids from a seed."""

import random
from uuid import UUID

from domain.divisions import Division
from domain.ids import REST_BITS, new_id


class Chance:
    """In place of `os.urandom`: the same seed gives the same bytes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uuid(self) -> UUID:
        """The next id that no node made."""
        return UUID(bytes=self(16))

    def id_by(self, maker: Division) -> UUID:
        """The next id of a node."""
        return new_id(maker, 1, int.from_bytes(self(16)) % (1 << REST_BITS))
