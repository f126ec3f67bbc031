"""Acts beside events that only a test asks for."""

from collections.abc import Sequence
from typing import LiteralString, NamedTuple


class Sql(NamedTuple):
    """Any statement."""

    query: LiteralString
    params: Sequence[object] = ()

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        return self.query, self.params
