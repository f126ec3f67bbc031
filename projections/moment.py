"""A moment and a point of view: what had happened by then, of what this node knew by then.

A row is set and gone by position and by time, as events say; and where an event that was learned later decided that
others have no effect, the rows that came of them are believed only up to that position (`void_pos`), and what stands in
their place from there on (`known_pos`). So a past position shows what a node shows that stopped there. What could not
be read or judged then, and is after an upgrade or a retry, counts from its own place, as if it had been.
"""

from typing import Any

import msgspec

from projections.projection import ReadAfter


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """as_of_us: what happened later is left out. pos: what this node learned at a later position is left out."""

    as_of_us: int
    pos: int

    def values(self) -> dict[str, Any]:
        """The parameters of `began` and `lasts`."""
        return {"as_of_us": self.as_of_us, "pos": self.pos}


def moment(read_after: ReadAfter, last_pos: int, as_of_us: int, known_by_us: int | None = None) -> Moment:
    """The moment `as_of_us` as this node saw it at `known_by_us`, or sees it now.

    last_pos: how far the projections that are asked have come. Both times in UTC microseconds.
    """
    pos = last_pos if known_by_us is None else position_at(read_after, last_pos, known_by_us)
    return Moment(as_of_us=as_of_us, pos=pos)


def position_at(read_after: ReadAfter, last_pos: int, known_by_us: int) -> int:
    """The last position up to `last_pos` that was learned by `known_by_us`; 0 if none was.

    A binary search of single rows, because `known_us` never runs backwards along positions.
    """
    known, beyond = 0, last_pos + 1
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if read_after(middle - 1, 1)[0].known_us <= known_by_us:
            known = middle
        else:
            beyond = middle
    return known


def believed(table: str) -> str:
    """SQL: by what had been learned of what has effect, the row of `table` was true."""
    return f"{table}.known_pos <= %(pos)s and {table}.void_pos > %(pos)s"


def began(table: str, first: str = "set") -> str:
    """SQL: the row of `table` was known, and believed, and had happened at the moment."""
    return f"{believed(table)} and {table}.{first}_pos <= %(pos)s and {table}.{first}_us <= %(as_of_us)s"


def lasts(table: str, first: str = "set") -> str:
    """SQL: it had begun, and its end was not known or had not happened. Both ends stand in an index each."""
    return f"{began(table, first)} and ({table}.gone_pos > %(pos)s or {table}.gone_us > %(as_of_us)s)"
