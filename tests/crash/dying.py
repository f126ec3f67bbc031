"""In a process under test: die, or kill the database, at the durable write that a file of orders names.

Nothing of this is in the program: `tests/crash/plug` loads it into a process started as it always is. The file is
looked at whenever something is about to be written, and is taken away before the blow, so that the process that takes
the place of the killed one lives.
"""

import functools
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

ORDERS = "HUIYIN_TEST_ORDERS"
"""The environment's name for the path of the file of orders."""

Side = Literal["before", "after"]
Victim = Literal["process", "database"]


class Blow(msgspec.Struct, frozen=True):
    """What to die at.

    write: words of a statement, in lower case with single spaces: the blow falls just before the commit of the
    transaction that holds it, or just after. Where it begins with `file `: the end of the path that a rename, link or
    removal is about. hit: the how-manieth time.
    """

    write: str
    side: Side
    victim: Victim = "process"
    hit: int = 1

    @property
    def file(self) -> str | None:
        """The end of the path, where it is about a file."""
        return self.write.removeprefix("file ") if self.write.startswith("file ") else None


_rename = os.rename  # the watched one would look for orders about the orders


class _Orders:
    """The file of orders, one after the other, and how often what the first of them names has come by."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[Blow | None, int] = (None, 0)

    def _all(self) -> list[Blow]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Blow])
        except FileNotFoundError:
            return []

    def now(self) -> Blow | None:
        """The present order."""
        return next(iter(self._all()), None)

    def come_by(self, blow: Blow, side: Side, conn: psycopg.Connection[Any] | None) -> None:
        """The write that the order names is about to be made, or was made."""
        if blow.side != side:
            return
        with self._lock:
            first, *later = self._all() or [None]
            if first != blow:
                return
            known, count = self._seen
            self._seen = (blow, count + 1 if known == blow else 1)
            if self._seen[1] < blow.hit:
                return
            give_orders(self._path, [one for one in later if one])
        _strike(blow.victim, conn)


def give_orders(path: Path, blows: Sequence[Blow]) -> None:
    """Write down what to die at, one after the other, each in the process that took the place of the one before."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(blows))
    _rename(draft, path)


def orders_left(path: Path) -> int:
    """How many blows have not fallen."""
    return len(msgspec.json.decode(path.read_bytes(), type=list[Blow])) if path.exists() else 0


def _strike(victim: Victim, conn: psycopg.Connection[Any] | None) -> None:
    if victim == "process" or conn is None:
        os.kill(os.getpid(), signal.SIGKILL)
        return
    postmaster = _parent_of(conn.info.backend_pid)
    for pid in (postmaster, *_children_of(postmaster)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    return int(status.rpartition(")")[2].split()[1])


def _children_of(pid: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _parent_of(int(process.name)) == pid:
                found.append(int(process.name))
    return found


def install() -> None:
    """Have every statement, commit and rename of this process looked at."""
    orders = _Orders(Path(os.environ[ORDERS]))
    _watch_files(orders)
    _watch_database(orders)


def _watch_files(orders: _Orders) -> None:
    for name, which in {"rename": 1, "replace": 1, "link": 1, "unlink": 0}.items():
        real = getattr(os, name)

        def watched(*args: Any, _real: Callable[..., Any] = real, _which: int = which, **more: Any) -> Any:
            blow = orders.now()
            if blow is None or blow.file is None or not os.fspath(args[_which]).endswith(blow.file):
                return _real(*args, **more)
            orders.come_by(blow, "before", None)
            done = _real(*args, **more)
            orders.come_by(blow, "after", None)
            return done

        setattr(os, name, functools.wraps(real)(watched))


def _watch_database(orders: _Orders) -> None:
    concerned = WeakSet[psycopg.Connection[Any]]()  # their transaction holds the write
    execute, commit = psycopg.Cursor.execute, psycopg.Connection.commit
    end_transaction, end_pipeline = psycopg.Transaction.__exit__, psycopg.Pipeline.__exit__

    def executed(self: psycopg.Cursor[Any], query: Any, *args: Any, **more: Any) -> Any:
        blow = orders.now()
        if blow is None or blow.file is not None or blow.write not in _words(query, self):
            return execute(self, query, *args, **more)
        conn = self.connection
        if not conn.autocommit or conn.info.transaction_status != TransactionStatus.IDLE or conn._pipeline:
            concerned.add(conn)
            return execute(self, query, *args, **more)
        orders.come_by(blow, "before", conn)
        done = execute(self, query, *args, **more)
        orders.come_by(blow, "after", conn)
        return done

    def come_by(conn: psycopg.Connection[Any], side: Side) -> None:
        blow = orders.now()
        if conn in concerned and blow is not None:
            orders.come_by(blow, side, conn)

    def committed(self: psycopg.Connection[Any]) -> None:
        come_by(self, "before")
        commit(self)
        come_by(self, "after")
        concerned.discard(self)

    def transaction_ended(self: psycopg.Transaction, exc_type: Any, *rest: Any) -> bool:
        conn, is_whole = self.connection, self._outer_transaction and exc_type is None
        if is_whole:
            come_by(conn, "before")
        done = end_transaction(self, exc_type, *rest)
        if is_whole and not conn._pipeline:
            come_by(conn, "after")
            concerned.discard(conn)
        return done

    def pipeline_ended(self: psycopg.Pipeline, exc_type: Any, *rest: Any) -> None:
        end_pipeline(self, exc_type, *rest)
        is_over = self._conn.info.transaction_status == TransactionStatus.IDLE  # it may lie inside a transaction
        if exc_type is None and is_over:
            come_by(self._conn, "after")
            concerned.discard(self._conn)

    psycopg.Cursor.execute, psycopg.Connection.commit = executed, committed  # type: ignore[method-assign]
    psycopg.Transaction.__exit__, psycopg.Pipeline.__exit__ = transaction_ended, pipeline_ended  # type: ignore[method-assign]


def _words(query: Any, cursor: psycopg.Cursor[Any]) -> str:
    text = query.as_string(cursor) if isinstance(query, psycopg.sql.Composable) else query
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return " ".join(plain.lower().split())
