"""What the steward has not attended to yet: rows that failed, one by one, and from where on a newer version is awaited.

A city that upgrades its nodes one after the other may send one that waits millions of events of a newer version: of
those one position is kept, and once the process has been started anew everything from there on is gone through again.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg


class Later:
    """For the steward's one thread."""

    def __init__(self, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        self._connect = connect
        self._lowest: int | None = None

    def put_off(self, pos: int) -> None:
        """The row at `pos` failed and is to be tried again."""
        with self._connect() as conn:
            conn.execute("insert into web.steward_later values (%s) on conflict do nothing", (pos,))

    def put_off_before(self) -> list[int]:
        """The positions of all such rows, the latest first."""
        with self._connect() as conn:
            return [pos for (pos,) in conn.execute("select pos from web.steward_later order by pos desc")]

    def settled(self, pos: int) -> None:
        """The row at `pos` need not be tried by itself again."""
        with self._connect() as conn:
            conn.execute("delete from web.steward_later where pos = %s", (pos,))

    def newer_from(self) -> int | None:
        """The first position at which an earlier process, or this one, met what only a newer version reads."""
        with self._connect() as conn:
            row = conn.execute("select newer_pos from web.steward").fetchone()
        return row[0] if row else None

    def newer_at(self, pos: int) -> None:
        """This process met such a thing at `pos`. Written down only where it is the first."""
        if self._lowest is not None and self._lowest <= pos:
            return
        self._lowest = pos
        with self._connect() as conn:
            conn.execute("update web.steward set newer_pos = least(newer_pos, %s)", (pos,))

    def gone_through(self) -> None:
        """All that was met before this process has been tried again: only what it met itself still waits."""
        with self._connect() as conn:
            conn.execute("update web.steward set newer_pos = %s::bigint", (self._lowest,))
