"""Moments as people and programs write them, and the point of view that a query is asked from."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import Query
from pydantic import BeforeValidator

from domain.bounds import EARLIEST_US, LATEST_US
from domain.clocks import SHANGHAI
from gateway.node import Node
from gateway.refusals import InputInvalid
from projections.moment import Moment, moment

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _full_date(text: str) -> date:
    if not _FULL_DATE.fullmatch(text):
        raise ValueError("a day is written YYYY-MM-DD")
    return date.fromisoformat(text)


Day = Annotated[date, BeforeValidator(_full_date)]
"""A query parameter that names a day, as RFC 3339 writes it; left alone, pydantic takes a number for seconds."""

When = Annotated[
    str | None,
    Query(
        max_length=40,
        description="A moment such as 2026-11-22T15:00 (Asia/Shanghai) or, with an offset, RFC 3339",
        json_schema_extra={"examples": ["2026-11-22T15:00:00+08:00"]},
    ),
]
"""A query parameter that names a moment; absent for now."""


def moment_us(text: str, field: str) -> int:
    """UTC microseconds of `YYYY-MM-DDTHH:MM[:SS][offset]`; without an offset it is China's time. InputInvalid."""
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=SHANGHAI) if found.tzinfo is None else found
        return _plausible((found - _EPOCH) // timedelta(microseconds=1))
    except (ValueError, OverflowError) as error:
        raise InputInvalid(
            f"“{field}”应写作 2026-11-22T15:00 这样的时间，请更正",
            f'"{field}" must be a time such as 2026-11-22T15:00; correct it',
            field=field,
        ) from error


def _plausible(moment_us: int) -> int:
    if not EARLIEST_US <= moment_us < LATEST_US:
        raise ValueError("no clock can be counted from there")
    return moment_us


def point_of_view(node: Node, as_of: str | None, known_by: str | None) -> Moment | None:
    """The moment asked for, as this node saw it at `known_by`; None where neither is given. InputInvalid."""
    if not as_of and not known_by:
        return None
    as_of_us = moment_us(as_of, "as_of") if as_of else node.clock.now_us()
    known_by_us = moment_us(known_by, "known_by") if known_by else None
    return moment(node.reader.read, node.reader.head().pos, as_of_us, known_by_us)
