"""A projection with a mistake, for whoever tests what is parked."""

from collections.abc import Iterable, Sequence
from typing import Any

from projections.projection import Fact, Projection
from projections.store import Store


class Stumbling:
    """It cannot fold what stands at some positions, as long as they are `bad`."""

    def __init__(self, projection: Projection, bad: Iterable[int]) -> None:
        self._projection = projection
        self.bad = set(bad)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._projection, name)

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        if any(fact.pos in self.bad for fact in batch):
            raise ZeroDivisionError("stumbled")
        self._projection.fold(batch, store)
