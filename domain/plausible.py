"""Which days a command may name: a slip of the pen must not be recorded as a day that no clock can count from."""

from collections.abc import Iterator
from datetime import date
from typing import Final

from domain.clocks import day_start_us
from domain.commands import Command, IssueOpinion
from domain.refusals import DayImplausible

EARLIEST: Final = date(1949, 10, 1)
LATEST: Final = date(2199, 12, 31)
EARLIEST_US: Final = day_start_us(EARLIEST)
LATEST_US: Final = day_start_us(LATEST)


def check_days(command: Command) -> None:
    """DayImplausible, with the field, for a day outside EARLIEST to LATEST anywhere in `command`."""
    for field, day in _days(command):
        if not EARLIEST <= day <= LATEST:
            raise DayImplausible(field=field, earliest=EARLIEST, latest=LATEST)
    if command.occurred_us is not None and command.occurred_us < EARLIEST_US:
        raise DayImplausible(field="occurred_us", earliest=EARLIEST, latest=LATEST)


def _days(command: Command) -> Iterator[tuple[str, date]]:
    for field in command.__struct_fields__:
        day = getattr(command, field)
        if isinstance(day, date):
            yield field, day
    if isinstance(command, IssueOpinion):
        for index, answer in enumerate(command.answers):
            if answer.perform_by is not None:
                yield f"answers[{index}].perform_by", answer.perform_by
