"""What a command may name: a slip of the pen must not be recorded as a day that no clock can count from, nor as a
number that is nobody's."""

from collections.abc import Iterator
from datetime import date
from typing import Final

from domain.bounds import EARLIEST, EARLIEST_US, LATEST
from domain.commands import Command, IssueOpinion, Register
from domain.refusals import BirthImplausible, CheckDigitWrong, DayImplausible

EARLIEST_BIRTH: Final = date(1900, 1, 1)


def check_days(command: Command) -> None:
    """DayImplausible, with the field, for a day outside EARLIEST to LATEST anywhere in `command`."""
    for field, day in _days(command):
        if not EARLIEST <= day <= LATEST:
            raise DayImplausible(field=field, earliest=EARLIEST, latest=LATEST)
    if command.occurred_us is not None and command.occurred_us < EARLIEST_US:
        raise DayImplausible(field="occurred_us", earliest=EARLIEST, latest=LATEST)


def check_identity(command: Command, today: date) -> None:
    """An identity number (GB 11643) holds a day of birth from EARLIEST_BIRTH to `today` and ends in its check digit.

    Raises BirthImplausible, CheckDigitWrong, neither of which repeats the number.
    """
    number = command.petitioner.id_number if isinstance(command, Register) else None
    if number is None:
        return
    if not EARLIEST_BIRTH <= (_birth(number) or date.min) <= today:
        raise BirthImplausible(field="petitioner.id_number")
    if number[-1].upper() != _check_digit(number[:-1]):
        raise CheckDigitWrong(field="petitioner.id_number")


def _birth(number: str) -> date | None:
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None


def _check_digit(digits: str) -> str:
    """ISO 7064 MOD 11-2, as GB 11643 prescribes."""
    remainder = 0
    for digit in digits:
        remainder = (remainder + int(digit)) * 2 % 11
    return "0123456789X"[(12 - remainder) % 11]


def _days(command: Command) -> Iterator[tuple[str, date]]:
    for field in command.__struct_fields__:
        day = getattr(command, field)
        if isinstance(day, date):
            yield field, day
    if isinstance(command, IssueOpinion):
        for index, answer in enumerate(command.answers):
            if answer.perform_by is not None:
                yield f"answers[{index}].perform_by", answer.perform_by
