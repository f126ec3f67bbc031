"""What an audit must remember and cannot hold in memory: a temporary SQLite file that is gone with the process.

SQLite's sorter and its bounded page cache let ten million leaves be put into order, and a million case files be kept,
in a few dozen megabytes of memory. Nothing of it is trusted or kept: see the ADR of the audit bundle.
"""

import sqlite3
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

CACHE_KIB: Final = 32 * 1024
BATCH_ROWS: Final = 10_000
CASES_IN_MEMORY: Final = 5_000

_TABLES: Final = """
pragma journal_mode = off; pragma synchronous = off; pragma locking_mode = exclusive;
create table version (stream blob, version int, author int, log int, seq int);
create table state (id blob primary key, body blob) without rowid;
create table sealed (
    log int, seq int, part int, event blob, case_id blob, subject text, fields blob, told int,
    primary key (log, seq, part)
) without rowid;
create table reading (event blob primary key) without rowid;
create table destroyed (case_id blob, subject text, primary key (case_id, subject)) without rowid;
create table salt (salt blob, log int, seq int);
create table noted (log int, size int, root blob, by_log int, by_seq int);
"""

_T = TypeVar("_T")


class Spill:
    """The temporary file. Use as a context."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: where room is for it; the system's temporary folder by default."""
        self._folder = tempfile.TemporaryDirectory(prefix="huiyin-audit-", dir=folder)
        self._db = sqlite3.connect(Path(self._folder.name) / "spill", isolation_level=None)
        self._db.executescript(_TABLES)
        self._db.execute(f"pragma cache_size = -{CACHE_KIB}")
        self._db.execute("begin")
        self._waiting: dict[str, list[Sequence[object]]] = {}

    def __enter__(self) -> "Spill":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def put(self, statement: str, row: Sequence[object]) -> None:
        """Run `statement` for this row, soon: together with others of its kind, and before anything is asked."""
        rows = self._waiting.setdefault(statement, [])
        rows.append(row)
        if len(rows) >= BATCH_ROWS:
            self._db.executemany(statement, rows)
            rows.clear()

    def ask(self, query: str, parameters: Iterable[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as they come."""
        for statement, rows in self._waiting.items():
            self._db.executemany(statement, rows)
            rows.clear()
        return self._db.execute(query, tuple(parameters))


class States(Generic[_T]):
    """One value for each id (16 bytes), the recently used ones in memory, all others in the spill."""

    def __init__(self, spill: Spill, shape: type[_T], in_memory: int = CASES_IN_MEMORY) -> None:
        self._spill = spill
        self._decoder = msgspec.msgpack.Decoder(shape)
        self._encoder = msgspec.msgpack.Encoder()
        self._recent: OrderedDict[bytes, _T] = OrderedDict()
        self._in_memory = in_memory

    def get(self, id_: bytes) -> _T | None:
        """The value last put, or None."""
        if id_ in self._recent:
            self._recent.move_to_end(id_)
            return self._recent[id_]
        row = next(iter(self._spill.ask("select body from state where id = ?", (id_,))), None)
        return None if row is None else self._decoder.decode(row[0])

    def put(self, id_: bytes, value: _T) -> None:
        """Keep a value; the one used longest ago leaves memory."""
        self._recent[id_] = value
        self._recent.move_to_end(id_)
        if len(self._recent) > self._in_memory:
            for _ in range(self._in_memory // 10 + 1):
                old, body = self._recent.popitem(last=False)
                self._spill.put("insert or replace into state values (?, ?)", (old, self._encoder.encode(body)))
