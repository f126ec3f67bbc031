"""Every stored field is bounded, and whatever a command accepts lies within the bounds of the event it becomes."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from domain import commands
from domain.bounds import EARLIEST_US, LATEST_US
from domain.events import AnyEvent, Event, NotCanonical, Registered, encode, read, tag_of
from tests.domain.any_event import ABSURD, any_event, fields_of, spoiled
from tests.domain.examples import examples

EVENTS = tuple(examples())
REGISTERED = next(event for event in EVENTS if isinstance(event, Registered))
SEALED = {"name", "phone", "id_number", "address", "title", "body", "text", "note", "reason", "comment", "facts"}
SEALED |= {"demand"}
CHECKED_BY_DECIDE = {"issue_region", "occurred_us"}


def inside(kind: inspect.Type) -> Iterator[inspect.Type]:
    """A type and all that it is made of."""
    yield kind
    match kind:
        case inspect.UnionType():
            parts = list(kind.types)
        case inspect.VarTupleType():
            parts = [kind.item_type]
        case inspect.DictType():
            parts = [kind.key_type, kind.value_type]
        case inspect.StructType():
            parts = [field.type for field in kind.fields]
        case _:
            parts = []
    for part in parts:
        yield from inside(part)


def is_bounded(kind: inspect.Type) -> bool:
    match kind:
        case inspect.StrType():
            return kind.pattern is not None or kind.max_length is not None
        case inspect.IntType():
            return kind.ge is not None and (kind.le is not None or kind.lt is not None)
        case inspect.VarTupleType() | inspect.DictType():
            return kind.max_length is not None
    return True


def structs(*kinds: type) -> Iterator[type[msgspec.Struct]]:
    """These and those that stand in their fields."""
    for top in kinds:
        for kind in inside(inspect.type_info(top)):
            if isinstance(kind, inspect.StructType):
                yield kind.cls


def plain(kind: inspect.Type) -> inspect.Type:
    """The type without its null, its tuple: what one value is."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    return kind


def reach(kind: inspect.Type) -> tuple[object, ...]:
    """(lowest, highest) of a number, (shortest, longest, pattern) of a text, (longest,) of a list."""
    match kind:
        case inspect.IntType():
            return (kind.ge, kind.le if kind.lt is None else kind.lt - 1)
        case inspect.StrType():
            return (kind.min_length, kind.max_length, kind.pattern)
        case inspect.VarTupleType():
            return (kind.max_length,)
    return ()


@pytest.mark.parametrize("shape", AnyEvent.__args__, ids=lambda shape: shape.__name__)
def test_every_field_of_every_stored_event_is_bounded(shape: type[Event]) -> None:
    unbounded = {name for name, kind in fields_of(shape).items() for part in inside(kind) if not is_bounded(part)}
    assert unbounded == set()


def test_what_a_command_accepts_in_clear_lies_within_what_its_event_may_hold() -> None:
    stored: dict[str, list[inspect.Type]] = {}
    for shape in structs(*AnyEvent.__args__):
        for name, kind in fields_of(shape).items():
            stored.setdefault(name, []).append(plain(kind))
    for shape in structs(*commands.AnyCommand.__args__):
        for name, kind in fields_of(shape).items():
            if name in SEALED | CHECKED_BY_DECIDE or not reach(plain(kind)):
                continue
            assert name in stored, f"{shape.__name__}.{name} is neither sealed nor compared with an event's field"
            for held in stored[name]:
                if type(held) is type(plain(kind)):
                    assert is_within(reach(plain(kind)), reach(held)), f"{shape.__name__}.{name}"


def is_within(given: tuple[object, ...], held: tuple[object, ...]) -> bool:
    match given, held:
        case (int(low), int(high)), (int(lowest), int(highest)):
            return lowest <= low and high <= highest
        case (int(longest),), (int(most),):
            return longest <= most
    return given == held


@pytest.mark.parametrize("at_us", [10**30, 3 * 10**17, -9 * 10**17, LATEST_US + 86_400_000_000, EARLIEST_US - 1])
@pytest.mark.parametrize("field", ["occurred_us", "recorded_us"])
def test_a_time_that_no_calendar_counts_from_is_no_event(field: str, at_us: int) -> None:
    body = msgspec.json.encode(msgspec.structs.replace(REGISTERED, **{field: at_us}))
    with pytest.raises(NotCanonical):
        read(body)
    with pytest.raises(ValueError, match=field):
        encode(msgspec.structs.replace(REGISTERED, **{field: at_us}))


@pytest.mark.parametrize("text", ["x" * 6_000, "a\0b", "a\x1fb", ""])
def test_a_text_that_no_column_or_index_holds_is_no_event(text: str) -> None:
    with pytest.raises(NotCanonical):
        read(msgspec.json.encode(msgspec.structs.replace(REGISTERED, number=text)))


def test_a_backslash_before_a_u_is_a_text_like_any_other() -> None:
    event = msgspec.structs.replace(REGISTERED, number=r"\u0000 \\u0001")
    assert read(encode(event)) == event


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2200-01-01"])
def test_a_day_that_no_clock_can_end_on_is_no_event(day: str) -> None:
    changed = 0
    for event in EVENTS:
        body = encode(event)
        for known in (b"2026-03-02", b"2026-01-01", b"2026-01-04"):
            if known in body:
                changed += 1
                with pytest.raises(NotCanonical, match="no day between"):
                    read(body.replace(known, day.encode(), 1))
    assert changed >= 9


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(any_event(), st.integers(0, 100), st.sampled_from(ABSURD))
def test_whatever_somebody_signs_is_read_as_it_stands_or_is_no_event(event: AnyEvent, path: int, value: object) -> None:
    assert read(encode(event)) == event
    try:
        found = read(spoiled(event, path, value))
    except NotCanonical:
        return
    assert tag_of(event) == tag_of(found)  # type: ignore[arg-type]
    assert read(encode(found)) == found  # type: ignore[arg-type]
