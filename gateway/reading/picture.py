"""A small picture of a history: time from left to right, a row for each tier, a point where it knew an event."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.divisions import Division
from gateway.reading.history import Knew, Step

WIDTH: Final = 640
LEFT: Final = 140
RIGHT: Final = 20
ROW: Final = 34
TOP: Final = 18
BOTTOM: Final = 26


class Point(NamedTuple):
    """Where a tier knew step `number` (from 0). is_firm: since then; else by then at the latest."""

    x: int
    y: int
    number: int
    is_present: bool
    is_firm: bool


class Line(NamedTuple):
    """The row of a tier."""

    tier: Division
    y: int


class Picture(NamedTuple):
    """All in pixels of a drawing WIDTH wide and `height` high. now_x: the moment that is looked at. way: the points of
    the present step from the tier that knew it first to the last. first_us, last_us: the ends of the scale."""

    height: int
    lines: tuple[Line, ...]
    points: tuple[Point, ...]
    way: str
    now_x: int
    first_us: int
    last_us: int


def draw(steps: Sequence[Step], tiers: Sequence[Division], first: int, present: int, at_us: int) -> Picture:
    """Some steps, the first of which bears the number `first`; present: the number of the step that is looked at, -1
    for none. at_us: the moment that is looked at."""
    times = [at_us, *(knew.at_us for step in steps for knew in step.known.values())]
    times += [step.at_us for step in steps]
    scale = _Scale(min(times), max(times))
    rows = {tier: TOP + ROW * number + ROW // 2 for number, tier in enumerate(tiers)}
    points: list[Point] = []
    for number, step in enumerate(steps, first):
        points += [_point(scale, knew, rows[tier], number, present) for tier, knew in step.known.items()]
    points.sort(key=lambda point: (point.is_present, point.number))
    own = sorted((point for point in points if point.is_present), key=lambda point: (point.x, point.y))
    return Picture(
        height=TOP + ROW * len(tiers) + BOTTOM,
        lines=tuple(Line(tier, y) for tier, y in rows.items()),
        points=tuple(points),
        way=" ".join(f"{point.x},{point.y}" for point in own),
        now_x=scale.x(at_us),
        first_us=scale.first_us,
        last_us=scale.last_us,
    )


class _Scale(NamedTuple):
    first_us: int
    last_us: int

    def x(self, at_us: int) -> int:
        span = max(1, self.last_us - self.first_us)
        return LEFT + (WIDTH - LEFT - RIGHT) * (at_us - self.first_us) // span


def _point(scale: _Scale, knew: Knew, y: int, number: int, present: int) -> Point:
    return Point(scale.x(knew.at_us), y, number, number == present, knew.is_firm)
