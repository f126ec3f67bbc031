"""Faults that somebody could put into the adapters of PostgreSQL, which no world over tables in memory would find."""

from typing import Final

from sync.exchange.store_postgres import PostgresTx
from sync.proofs import postgres_trees
from tests.world.planted import Patch, Planted


def _upsert_of_twice_the_same(patch: Patch) -> None:
    patch.setattr(postgres_trees, "_once_a_head", lambda lines: [[*lines]])


def _parts_from_below_are_not_kept(patch: Patch) -> None:
    patch.setattr(PostgresTx, "keep_parts", lambda self, parts: None)


PLANTED_IN_SQL: Final = (
    Planted(
        "an upsert of twice the same", "a letter that repeats a cosignature stops the node", _upsert_of_twice_the_same
    ),
    Planted("parts from below are not kept", "a sealed text is missing above", _parts_from_below_are_not_kept),
)
