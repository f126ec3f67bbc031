"""Chance that a test can repeat: bytes and ids from a seed."""

import random
from uuid import UUID


class Chance:
    """In place of `os.urandom`: the same seed gives the same bytes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uuid(self) -> UUID:
        """The next id."""
        return UUID(bytes=self(16))
