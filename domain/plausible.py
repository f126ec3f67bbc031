"""What a command may name: a slip of the pen must not be recorded as a day that no clock can count from, a number that
is nobody's, a place or category that is not, or words that say nothing."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import msgspec

from domain.bounds import EARLIEST, EARLIEST_US, LATEST
from domain.commands import Command, CorrectRegistration, IssueOpinion, Register
from domain.divisions import division
from domain.refusals import BirthImplausible, CategoryUnknown, CheckDigitWrong, DayImplausible, RegionUnknown, TextBlank

_PROVINCES = (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66), (71, 81, 82))
PROVINCES: Final = frozenset(str(code) for some in _PROVINCES for code in some)
"""The first two digits of every division code there is (GB/T 2260)."""
TOP_CATEGORIES: Final = frozenset(f"{code:02}" for code in (*range(1, 13), 99))
"""The first two digits of every category: the top level of 内容分类. Below it each office may use what it needs."""
EARLIEST_BIRTH: Final = date(1900, 1, 1)


def check_days(command: Command) -> None:
    """DayImplausible, with the field, for a day outside EARLIEST to LATEST anywhere in `command`."""
    for field, day in _days(command):
        if not EARLIEST <= day <= LATEST:
            raise DayImplausible(field=field, earliest=EARLIEST, latest=LATEST)
    if command.occurred_us is not None and command.occurred_us < EARLIEST_US:
        raise DayImplausible(field="occurred_us", earliest=EARLIEST, latest=LATEST)


def check_words(command: Command) -> None:
    """TextBlank, with the field, for a text of nothing but blanks anywhere in `command`."""
    for field, text in _strings(command, ""):
        if text and not text.strip():
            raise TextBlank(field=field)


def check_class(command: Command) -> None:
    """RegionUnknown for a place in no province, CategoryUnknown for a category under none of TOP_CATEGORIES."""
    if isinstance(command, Register | CorrectRegistration):
        if division(command.issue_region)[:2] not in PROVINCES:
            raise RegionUnknown
        if command.category[:2] not in TOP_CATEGORIES:
            raise CategoryUnknown


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


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case tuple():
            for index, item in enumerate(value):
                yield from _strings(item, f"{path}[{index}]")
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from _strings(getattr(value, name), f"{path}.{name}" if path else name)


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
