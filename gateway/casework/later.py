"""What the steward has not attended to yet: rows that failed, one by one, and from where on a newer version is awaited.

A city that upgrades its nodes one after the other may send one that waits millions of events of a newer version: of
those one position is kept, and once the process has been started anew everything from there on is gone through again.
"""

from gateway.casework.store import CaseworkStore


class Later:
    """For the steward alone."""

    def __init__(self, store: CaseworkStore) -> None:
        self._store = store
        self._lowest: int | None = None

    def put_off(self, pos: int) -> None:
        """The row at `pos` failed and is to be tried again."""
        self._store.put_off(pos)

    def put_off_before(self) -> list[int]:
        """The positions of all such rows, the latest first."""
        return self._store.were_put_off()

    def settled(self, pos: int) -> None:
        """The row at `pos` need not be tried by itself again."""
        self._store.settled(pos)

    def newer_from(self) -> int | None:
        """The first position at which an earlier process, or this one, met what only a newer version reads."""
        return self._store.newer_from()

    def newer_at(self, pos: int) -> None:
        """This process met such a thing at `pos`. Written down only where it is the first."""
        if self._lowest is not None and self._lowest <= pos:
            return
        self._lowest = pos
        before = self._store.newer_from()
        self._store.set_newer(pos if before is None else min(before, pos))

    def gone_through(self) -> None:
        """All that was met before this process has been tried again: only what it met itself still waits."""
        self._store.set_newer(self._lowest)
