"""What a petitioner sees of their own case by their receipt: every milestone, who answers now, and until when."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from domain.case import CaseFile
from domain.events import (
    Accepted,
    AnyEvent,
    ClaimAmended,
    Closed,
    Declined,
    EventId,
    Extended,
    HandedOver,
    LegOpened,
    MaterialAdded,
    OpinionIssued,
    Rated,
    Registered,
    Replied,
    Served,
    TakenOver,
    Withdrawn,
    tag_of,
)
from gateway.reading.case_view import ClockView, in_effect
from gateway.refusals import InputInvalid

_HEX = re.compile(r"[0-9a-f]{64}")
_SPACES = re.compile(r"[\s-]+")
_SHOWN_RULES: Final = frozenset({"register_route", "accept_notice", "accept_notice_direct", "handle"})

Shown = (
    Registered
    | HandedOver
    | LegOpened
    | Accepted
    | Declined
    | Extended
    | OpinionIssued
    | Replied
    | Served
    | Closed
    | TakenOver
    | ClaimAmended
    | MaterialAdded
    | Withdrawn
    | Rated
)
"""What must be visible to the petitioner; what offices write to one another about it is not among it."""


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """One step. topic: event tag. unit_name: who did it. to_name: whom it was handed to. number: of its paper.

    secured: whether another than its author is known to have verified it.
    """

    event: EventId
    topic: str
    at_us: int
    unit_name: str
    to_name: str | None
    number: str | None
    secured: bool


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """The petitioner's view of their case. may_rate: whether a rating has not been given yet."""

    number: str
    holder_name: str | None
    ended: bool
    may_rate: bool
    milestones: tuple[Milestone, ...]
    clocks: tuple[ClockView, ...]


def followed(
    file: CaseFile,
    events: Iterable[AnyEvent],
    clocks: Iterable[ClockView],
    name: Callable[[str], str],
    is_secured: Callable[[EventId], bool],
) -> Followed:
    """The view of `file`. events: of the case, in the order learned. name: unit code -> its name."""
    return Followed(
        number=file.registered.number if file.registered else "",
        holder_name=name(file.accountable) if file.accountable else None,
        ended=file.is_ended,
        may_rate=file.rated is None,
        milestones=tuple(
            _milestone(event, name, is_secured) for event in in_effect(file, events) if isinstance(event, Shown)
        ),
        clocks=tuple(clock for clock in clocks if clock.rule in _SHOWN_RULES),
    )


def leaf_of_code(code: str) -> bytes:
    """The leaf hash that a person typed or a QR carried, as 64 hexadecimal digits or base64. InputInvalid."""
    plain = _SPACES.sub("", code)
    if _HEX.fullmatch(plain.lower()):
        return bytes.fromhex(plain)
    try:
        leaf = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        leaf = b""
    if len(leaf) != 32:
        raise InputInvalid(
            "查询码应为回执上的64位字符，请核对后重新输入",
            "the code has the 64 characters printed on the receipt; check it and type it again",
            field="code",
        )
    return leaf


def code_of_leaf(leaf: bytes) -> str:
    """The leaf hash as it is printed: hexadecimal in groups of eight."""
    digits = leaf.hex()
    return " ".join(digits[start : start + 8] for start in range(0, len(digits), 8))


def _milestone(event: AnyEvent, name: Callable[[str], str], is_secured: Callable[[EventId], bool]) -> Milestone:
    to = event.to if isinstance(event, HandedOver) else None
    return Milestone(
        event=event.id,
        topic=tag_of(event),
        at_us=event.occurred_us,
        unit_name=name(event.unit if isinstance(event, LegOpened) else event.actor.unit),
        to_name=name(to) if to is not None else None,
        number=getattr(event, "number", None),
        secured=is_secured(event.id),
    )
