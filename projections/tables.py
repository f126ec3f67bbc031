"""Which tables the views are made of: rows by case, which folds load, change and write; and rows that no case owns."""

from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

FOREVER: Final = 2**63 - 1
"""Stands in `gone_pos` and `gone_us` of whatever has not ended yet, so that one comparison answers for both."""


class Row(msgspec.Struct, gc=False, eq=False):
    """One row of a table, its fields in the order of the columns. Mutable, because a fold is its only owner."""

    case_id: UUID


class SharedRow(msgspec.Struct, frozen=True, gc=False):
    """One row of a table that no case owns, its fields in the order of the columns."""


R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=SharedRow)
Live = tuple[tuple[str, int | bool], ...]


class Table(Generic[R]):
    """A table of rows by case.

    row: the Struct whose fields are the columns in order. key: columns that no two rows have the same of. live: column
    and value, all of which a row has that a fold still needs, null where it needs none; only these are ever loaded, so
    that a long case costs no more than a short one.
    has_history: rows with `known_pos` and `void_pos` are believed from the one position up to the other, by what
    this node had learned of what has effect; a fold sees those only that are believed now.
    """

    def __init__(self, name: str, row: type[R], *, key: tuple[str, ...], live: Live | None = ()) -> None:
        self.name = name
        self.row = row
        self.key = key
        self.columns = row.__struct_fields__
        self.has_history = "void_pos" in self.columns
        self.believed: Live = (("void_pos", FOREVER),) if self.has_history else ()
        self.live = None if live is None else (*live, *self.believed)


class Shared(Generic[S]):
    """A table of rows that concern every case, or none. What is there under a key stays, but for what these say.

    newest: the row in which this column is greater takes the other's place. least, greatest: of these columns, the
    lesser or greater value of both rows is kept.
    """

    def __init__(
        self,
        name: str,
        row: type[S],
        *,
        key: tuple[str, ...],
        newest: str | None = None,
        least: tuple[str, ...] = (),
        greatest: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.row = row
        self.key = key
        self.columns = row.__struct_fields__
        self.newest = newest
        self.least = least
        self.greatest = greatest
