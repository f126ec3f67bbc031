"""Numbers of cases and papers: one count per kind and year on each node, never given twice, gaps allowed."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, LiteralString

import msgspec
import psycopg

from domain.clocks import shanghai_date
from domain.divisions import Division

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


SKIPPED: Final = 10_000
"""More papers of one kind than an office gives between a backup and its loss."""

_SKIP: LiteralString = """
insert into web.paper_number as paper_number (kind, year, last)
select kind, year, %(skipped)s from unnest(%(kinds)s::text[]) as kind, (
    select distinct year from web.paper_number
    union
    select generate_series(%(from)s::int, extract(year from now() at time zone 'Asia/Shanghai')::int)
) as years
on conflict (kind, year) do update set last = paper_number.last + excluded.last"""


def skip_numbers(conn: psycopg.Connection[Any], made_us: int) -> None:
    """For a database from a backup of `made_us`: some numbers were given since, on papers that people hold.

    What the node had not sent up when it was lost nobody knows any more, so its superior cannot tell which.
    """
    kinds = {"kinds": list(_WORDS), "skipped": SKIPPED, "from": shanghai_date(made_us).year}
    conn.execute(_SKIP, kinds)


class NumberGiven(msgspec.Struct, frozen=True):
    """Keep the count of papers of this kind (the tag of their event) and year; it never goes back."""

    kind: str
    year: int
    count: int

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        """One row."""
        return _KEEP, (self.kind, self.year, self.count)


class Numbers:
    """Safe for threads, for one process: the node's writer. A number drawn for what was refused is left out."""

    def __init__(self, here: Division, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        """connect: such as `psycopg_pool.ConnectionPool.connection`; the counts are read once, here."""
        self._here = here
        self._lock = threading.Lock()
        with connect() as conn:
            rows = conn.execute("select kind, year, last from web.paper_number").fetchall()
        self._last: dict[tuple[str, int], int] = {(kind, year): last for kind, year, last in rows}

    def draw(self, tag: str, now_us: int) -> tuple[str, NumberGiven]:
        """The next number of a paper, such as 受〔2026〕410221101000第00012号, and what keeps the count."""
        year = shanghai_date(now_us).year
        with self._lock:
            count = self._last[tag, year] = self._last.get((tag, year), 0) + 1
        return f"{_WORDS[tag]}〔{year}〕{self._here}第{count:05d}号", NumberGiven(tag, year, count)
