"""A measured line: what the machine allows, what a peer reaches, what ours reaches, all in one run."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

HEADERS: Final = ("", "limit/s", "peer/s", "ours/s", "of limit", "x peer", "p99 ms", "peer p99")


class Line(NamedTuple):
    """Rates per second of one path; None where there is nothing to compare with. p99 in milliseconds."""

    path: str
    limit: float | None = None
    peer: float | None = None
    ours: float | None = None
    p99_ms: float | None = None
    peer_p99_ms: float | None = None

    def cells(self) -> Sequence[str]:
        """One text per header, ratios included."""
        of_limit = self.ours / self.limit if self.ours and self.limit else None
        of_peer = self.ours / self.peer if self.ours and self.peer else None
        rates = [_rate(rate) for rate in (self.limit, self.peer, self.ours)]
        return (self.path, *rates, *map(_ratio, (of_limit, of_peer, self.p99_ms, self.peer_p99_ms)))


def table(lines: Iterable[Line]) -> str:
    """The lines below their headers, aligned."""
    rows = [HEADERS, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADERS))]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:,.0f}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
