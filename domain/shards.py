"""The shards of a node's log: what their names say, and how one author's leaves are ordered across them.

A log is named `<trust domain>/<division>/<shard>`. Shard n + 1 begins where shard n ended, and is the same history.
"""

from typing import Final

MAX_SHARD: Final = 2_000
"""A shard a year, and some that a lost disk costs."""

_NUMBER_BITS: Final = 20  # of a log's id: a million divisions
_SEQ_BITS: Final = 40

NUMBERS: Final = (1 << _NUMBER_BITS) - 1
"""The bits of a log's id that count."""


def shard_of(origin: str) -> int | None:
    """Which shard of its division's log this name says; null where it says none from 1 to MAX_SHARD."""
    last = origin.rpartition("/")[2]
    is_number = last.isascii() and last.isdigit() and not last.startswith("0") and len(last) <= 4
    return int(last) if is_number and int(last) <= MAX_SHARD else None


def shard_named(origin: str, shard: int) -> str:
    """The name of another shard of the same log."""
    return f"{origin.rpartition('/')[0]}/{shard}"


def shard_before(origin: str) -> str | None:
    """The name of the shard that must have ended where this one begins; null for the first."""
    shard = shard_of(origin) or 1
    return shard_named(origin, shard - 1) if shard > 1 else None


def shard_after(origin: str) -> str:
    """The name of the shard that begins where this one ends."""
    return shard_named(origin, (shard_of(origin) or 1) + 1)


def follows(origin: str, earlier: str) -> bool:
    """Whether it names the same shard of the same log as `earlier`, or a later one."""
    shard, known = shard_of(origin), shard_of(earlier)
    return shard_named(origin, 0) == shard_named(earlier, 0) and None not in (shard, known) and shard >= known  # type: ignore[operator]


def log_id_of(shard: int, number: int) -> int:
    """A database's own id of a log: what it has counted, and in its upper bits which shard of an author's log it is."""
    return (shard - 1) << _NUMBER_BITS | number


def place(log_id: int, seq: int) -> int:
    """Where leaf `seq` stands among all leaves of its author: of two, the one that was written later is the greater."""
    return (log_id >> _NUMBER_BITS) << _SEQ_BITS | seq


def place_in(origin: str, seq: int) -> int:
    """The same, of the log of that name."""
    return ((shard_of(origin) or 1) - 1) << _SEQ_BITS | seq
