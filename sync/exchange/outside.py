"""How far a node is known outside, kept beside its database, so that a database which lost what had left is found out.

A disk that loses what it had called flushed, a standby that took over without the last commits: the node would give the
same places of its log, and the same numbers to its children, a second time, and whoever has the first calls it a fork.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from domain.divisions import Division
from domain.shards import follows
from sync.exchange.downlink import ChildState
from sync.exchange.faults import Fault
from sync.proofs.tree import Tree

PUT_BACK: Final = "database_put_back"
"""The kind of the fault of a node whose database holds less than had left the node; over once its superior agrees."""


class Outside(msgspec.Struct, frozen=True):
    """log, size: the log that was written and how many of its leaves had left. down: each child's last number."""

    log: str = ""
    size: int = 0
    down: dict[str, int] = msgspec.field(default_factory=dict)

    def with_log(self, log: str, size: int) -> "Outside":
        """Now that a head of this size leaves."""
        if size <= (self.size if log == self.log else 0):
            return self
        return msgspec.structs.replace(self, log=log, size=size)

    def with_numbers(self, upto: Mapping[Division, int]) -> "Outside":
        """Now that these numbers leave."""
        more = {child: seq for child, seq in upto.items() if seq > self.down.get(child, 0)}
        return msgspec.structs.replace(self, down=self.down | more) if more else self


class Keeper(Protocol):
    """Remembers it, on the disk before it returns, and not in the node's database."""

    def log_leaves(self, log: str, size: int) -> None:
        """See Outside.with_log."""

    def numbers_leave(self, upto: Mapping[Division, int]) -> None:
        """See Outside.with_numbers."""


class Nobody:
    """Of a node without a place of its own beside its database."""

    def log_leaves(self, log: str, size: int) -> None:
        """Forgotten."""

    def numbers_leave(self, upto: Mapping[Division, int]) -> None:
        """Forgotten."""


NOBODY: Final = Nobody()


class HeldStore(Protocol):
    """One moment of the database."""

    def own_log(self) -> int:
        """The id of the log that this node writes."""

    def tree(self, log_id: int) -> Tree:
        """The tree of a log that is held."""

    def children(self) -> list[ChildState]:
        """Every child that was ever said something or heard from."""


def put_back(store: HeldStore, outside: Outside) -> Fault | None:
    """What the database lacks of that which had left the node; None where it lacks nothing."""
    tree = store.tree(store.own_log())
    is_short = outside.size > tree.size if outside.log == tree.origin else follows(outside.log, tree.origin)
    numbers = {state.division: state.down_size for state in store.children()}
    lost = sum(max(0, seq - numbers.get(Division(child), 0)) for child, seq in outside.down.items())
    if not is_short and not lost:
        return None
    detail = (
        f"{outside.size} leaves of {outside.log} had left this node, and {lost} numbers more than its database knows; "
        f"it holds {tree.size} leaves of {tree.origin}"
    )
    return Fault(PUT_BACK, tree.origin, "", detail)
