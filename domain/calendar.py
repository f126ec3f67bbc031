"""Which days are worked: weekdays, less public holidays, plus the weekend days worked in exchange (调休).

The State Council publishes each year's table in the autumn before, so no program can know it for ever: a
year whose notice is not out is counted by weekday alone, and every such answer is provisional.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Literal

import msgspec

from domain import holidays
from domain.errors import DomainError

DayKind = Literal["weekday", "make_up", "weekend", "holiday"]

_SATURDAY = 5
_ONE_DAY = timedelta(days=1)

# New Year's swaps reach back: the notices of 2007, 2008, 2012 and 2019 moved days from 29 December on.
_NEXT_NOTICE_FROM = (12, 25)


class NoticeInvalid(DomainError):
    """A holiday notice that contradicts itself or its year. Compare it with the published text."""

    code = "notice_invalid"

    def __init__(self, year: int, day: date, zh: str, en: str) -> None:
        super().__init__(
            f"{year}年放假通知中的{day}{zh}，请对照国务院办公厅通知更正",
            f"{day} in the holiday notice for {year} {en}; correct it after the published notice",
            field="notice",
        )


class NoticeConflict(DomainError):
    """Two different tables under one edition. Publish the correction with a higher edition."""

    code = "notice_conflict"

    def __init__(self, year: int, edition: int) -> None:
        super().__init__(
            f"{year}年放假通知第{edition}版已有不同内容，请以更高的版次发布更正",
            f"edition {edition} of the holiday notice for {year} exists with other days; raise the edition",
            field="edition",
        )


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One year's table as the State Council published it; a higher edition replaces a lower one.

    off: days not worked (weekends among them do no harm). working: weekend days worked. Both may reach
    back into the December before. Raises NoticeInvalid.
    """

    year: int
    off: tuple[date, ...]
    working: tuple[date, ...]
    source: str
    edition: int

    def __post_init__(self) -> None:
        for day in (*self.off, *self.working):
            if day.year != self.year and (day.year, day.month) != (self.year - 1, 12):
                raise NoticeInvalid(self.year, day, "不属于该年度", "is not a day of that year")
        for day in self.working:
            if day.weekday() < _SATURDAY:
                raise NoticeInvalid(
                    self.year, day, "不是周末，不能列为调休上班日", "is worked anyway, being no weekend"
                )
            if day in self.off:
                raise NoticeInvalid(self.year, day, "既放假又上班", "is both off and worked")

    def moved(self) -> tuple[frozenset[date], frozenset[date]]:
        """What the notice changes against the bare week: weekdays off, weekend days worked."""
        weekdays_off = frozenset(day for day in self.off if day.weekday() < _SATURDAY)
        return weekdays_off, frozenset(self.working)


class Calendar(msgspec.Struct, frozen=True):
    """The notices known at one moment. A value: a new notice makes a new calendar. Use `Calendar.of`."""

    notices: tuple[Notice, ...]
    off: frozenset[date]
    working: frozenset[date]
    years: frozenset[int]

    @classmethod
    def of(cls, notices: Iterable[Notice]) -> "Calendar":
        """The calendar of `notices`, one per year; of a December day the following year's notice decides."""
        in_order = tuple(sorted(notices, key=lambda notice: notice.year))
        off: frozenset[date] = frozenset()
        working: frozenset[date] = frozenset()
        for notice in in_order:
            off = off.difference(notice.working).union(notice.off)
            working = working.difference(notice.off).union(notice.working)
        return cls(in_order, off, working, frozenset(notice.year for notice in in_order))

    def with_notice(self, notice: Notice) -> "Calendar":
        """This calendar with `notice` in force; itself when that edition or a higher one is already in.

        Raises NoticeConflict for the same edition with other days. The order of arrival makes no difference.
        """
        known = next((old for old in self.notices if old.year == notice.year), None)
        if known is not None and known.edition == notice.edition:
            if known.moved() != notice.moved():
                raise NoticeConflict(notice.year, notice.edition)
            return self
        if known is not None and known.edition > notice.edition:
            return self
        return Calendar.of([*(old for old in self.notices if old.year != notice.year), notice])

    def kind(self, day: date) -> DayKind:
        """weekday and make_up are worked, weekend and holiday are not; see `is_provisional`."""
        if day in self.working:
            return "make_up"
        if day.weekday() >= _SATURDAY:
            return "weekend"
        return "holiday" if day in self.off else "weekday"

    def is_working_day(self, day: date) -> bool:
        """Whether offices work on `day`, as far as the notices known here say."""
        return self.kind(day) in {"weekday", "make_up"}

    def is_provisional(self, day: date) -> bool:
        """Whether a notice still to come may decide otherwise about `day`."""
        last_week = (day.month, day.day) >= _NEXT_NOTICE_FROM
        return day.year not in self.years or (last_week and day.year + 1 not in self.years)

    def next_working_day(self, day: date) -> date:
        """The first working day after `day`."""
        day += _ONE_DAY
        while not self.is_working_day(day):
            day += _ONE_DAY
        return day

    def add_working_days(self, day: date, count: int) -> date:
        """The `count`-th working day after `day`, which itself is never counted; `day` for 0."""
        for _ in range(count):
            day = self.next_working_day(day)
        return day


def seed_calendar() -> Calendar:
    """The tables of 2004-2026 that the project carries (domain/holidays.py), each as edition 0.

    Any notice that an administrator records has a higher edition, so it replaces the carried table.
    """
    return Calendar.of(
        Notice(
            year=year,
            off=_days(year, holidays.OFF[year]),
            working=_days(year, holidays.MAKE_UP[year]),
            source=holidays.SOURCE,
            edition=0,
        )
        for year in holidays.OFF
    )


def _days(year: int, month_days: str) -> tuple[date, ...]:
    return tuple(date.fromisoformat(f"{year}-{month_day}") for month_day in month_days.split())
