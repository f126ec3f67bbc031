"""Numbers of cases and papers: one count per kind and year on each node, never given twice, gaps allowed."""

import threading
from collections.abc import Mapping, Sequence
from typing import LiteralString

import msgspec

from domain.clocks import shanghai_date
from domain.divisions import Division

WORDS = {
    "case.registered.v0": "登",
    "leg.accepted.v0": "受",
    "leg.declined.v0": "不受",
    "opinion.issued.v0": "处",
    "leg.replied.v0": "复",
    "leg.reported.v0": "报",
    "order.issued.v0": "督",
}
"""What stands before the number of each kind of paper, by the tag of its event."""

_KEEP: LiteralString = """
insert into web.paper_number as paper_number (kind, year, last) values (%s, %s, %s)
on conflict (kind, year) do update set last = greatest(paper_number.last, excluded.last)"""


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

    def __init__(self, here: Division, last: Mapping[tuple[str, int], int]) -> None:
        """last: the last number given by an earlier process, by kind and year."""
        self._here = here
        self._lock = threading.Lock()
        self._last = dict(last)

    def draw(self, tag: str, now_us: int) -> tuple[str, NumberGiven]:
        """The next number of a paper, such as 受〔2026〕410221101000第00012号, and what keeps the count."""
        year = shanghai_date(now_us).year
        with self._lock:
            count = self._last[tag, year] = self._last.get((tag, year), 0) + 1
        return f"{WORDS[tag]}〔{year}〕{self._here}第{count:05d}号", NumberGiven(tag, year, count)
