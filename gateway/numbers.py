"""Numbers of cases and papers: one count per kind and year on each node, never given twice, gaps allowed."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, LiteralString

import psycopg

from domain.clocks import shanghai_date
from domain.divisions import Division
from sync.custody_postgres import Statement

_WORDS = {
    "case.registered.v0": "登",
    "leg.accepted.v0": "受",
    "leg.declined.v0": "不受",
    "opinion.issued.v0": "处",
    "leg.replied.v0": "复",
    "leg.reported.v0": "报",
    "order.issued.v0": "督",
}

_KEEP: LiteralString = """
insert into web.paper_number as paper_number (kind, year, last) values (%s, %s, %s)
on conflict (kind, year) do update set last = greatest(paper_number.last, excluded.last)"""


class Numbers:
    """Safe for threads, for one process: the node's writer. A number drawn for what was refused is left out."""

    def __init__(self, here: Division, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        """connect: such as `psycopg_pool.ConnectionPool.connection`; the counts are read once, here."""
        self._here = here
        self._lock = threading.Lock()
        with connect() as conn:
            rows = conn.execute("select kind, year, last from web.paper_number").fetchall()
        self._last: dict[tuple[str, int], int] = {(kind, year): last for kind, year, last in rows}

    def draw(self, tag: str, now_us: int) -> tuple[str, Statement]:
        """The next number of a paper, such as 受〔2026〕410221101000第00012号, and what keeps the count."""
        year = shanghai_date(now_us).year
        with self._lock:
            count = self._last[tag, year] = self._last.get((tag, year), 0) + 1
        return f"{_WORDS[tag]}〔{year}〕{self._here}第{count:05d}号", (_KEEP, (tag, year, count))
