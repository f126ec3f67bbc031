"""Prints domain/holidays.py, from the chinesecalendar package; the printed text names the command."""

from datetime import date
from importlib.metadata import version

from chinese_calendar.constants import holidays, workdays

FIRST, LAST = 2004, 2026
PER_LINE = 15

HEAD = '''"""Days that the State Council's holiday notices moved, {first}-{last}: the seed of the calendar.

Derived from chinesecalendar {version} (MIT licence, https://github.com/LKI/chinese-calendar), by
`python tests/domain/write_holidays.py > domain/holidays.py`; do not edit by hand. Weekends that were
simply free and weekdays that were simply worked are not listed.
"""

# fmt: off
SOURCE = "chinesecalendar {version}"
'''


def module_text() -> str:
    off = sorted(day for day in holidays if day.weekday() < 5)
    make_up = sorted(day for day in workdays if day.weekday() >= 5)
    head = HEAD.format(first=FIRST, last=LAST, version=version("chinesecalendar"))
    meaning_off = "Weekdays off, as MM-DD by year: statutory holidays and weekdays swapped for a weekend."
    meaning_make_up = "Weekend days worked (调休上班), as MM-DD by year."
    return "\n".join([head, _table("OFF", meaning_off, off), _table("MAKE_UP", meaning_make_up, make_up)])


def _table(name: str, meaning: str, days: list[date]) -> str:
    years = [_year(year, [f"{d:%m-%d}" for d in days if d.year == year]) for year in range(FIRST, LAST + 1)]
    return f"# {meaning}\n{name}: dict[int, str] = {{\n{''.join(years)}}}\n"


def _year(year: int, days: list[str]) -> str:
    lines = [" ".join(days[at : at + PER_LINE]) for at in range(0, len(days), PER_LINE)]
    if len(lines) <= 1:
        return f'    {year}: "{"".join(lines)}",\n'
    rows = [f'        "{line} "\n' for line in lines[:-1]] + [f'        "{lines[-1]}"\n']
    return f"    {year}: (\n{''.join(rows)}    ),\n"


if __name__ == "__main__":
    print(module_text(), end="")
