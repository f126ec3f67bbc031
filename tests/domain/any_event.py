"""Any event at all, as its Struct allows it: what a node can sign that means no good, or knows no better."""

from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from domain.bounds import EARLIEST, LATEST
from domain.events import AnyEvent
from tests.domain.examples import COUNTY, TOWN, VILLAGE

ABSURD = (10**30, -(10**30), 3 * 10**17, -9 * 10**17, 2**31, -1, "x" * 6_000, "a\0b", "9999-12-31", "0001-01-01", "\n")
"""In place of one value of an event's JSON."""

_IDS = tuple(UUID(int=number) for number in range(1, 5))  # few, so that events meet
_CODES = (VILLAGE, TOWN, COUNTY, "000000000000")
_LETTERS = st.characters(exclude_categories=["Cs", "Cc"])


def any_event(kinds: tuple[type, ...] = AnyEvent.__args__) -> st.SearchStrategy[AnyEvent]:
    """One of these shapes, its values at their limits more often than chance has it."""
    return st.one_of([_struct(kind) for kind in kinds])


def fields_of(kind: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """Its fields by name."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return {field.name: field.type for field in described.fields}


def spoiled(event: AnyEvent, path: int, value: object) -> bytes:
    """The event's bytes with one value, found by counting, made another one."""
    said = msgspec.json.decode(msgspec.json.encode(event))
    places = list(_places(said))
    holder, key = places[path % len(places)]
    holder[key] = value
    return msgspec.json.encode(said)


def _places(said: Any) -> Any:
    for key, value in said.items() if isinstance(said, dict) else enumerate(said):
        if isinstance(value, dict | list):
            yield from _places(value)
        elif key != "type":
            yield said, key


def _struct(kind: type) -> st.SearchStrategy[Any]:
    values = {name: _value(each) for name, each in fields_of(kind).items()}
    return st.fixed_dictionaries(values).map(lambda named: kind(**named))


def _value(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.IntType(ge=int(lowest)):
            highest = kind.le if kind.le is not None else (kind.lt or 0) - 1
            return st.sampled_from([lowest, highest]) | st.integers(lowest, highest)
        case inspect.StrType():
            return _text(kind)
        case inspect.UUIDType():
            return st.sampled_from(_IDS)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.DateType():
            return st.sampled_from([EARLIEST, LATEST]) | st.dates(EARLIEST, LATEST)
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.UnionType():
            return st.one_of(map(_value, kind.types))
        case inspect.VarTupleType():
            return st.lists(_value(kind.item_type), max_size=3).map(tuple)
        case inspect.DictType():
            return st.dictionaries(_value(kind.key_type), _value(kind.value_type), max_size=2)
        case inspect.StructType():
            return _struct(kind.cls)
    raise TypeError(kind)


def _text(kind: inspect.StrType) -> st.SearchStrategy[str]:
    if kind.pattern is None:
        shortest, longest = kind.min_length or 0, kind.max_length or 0
        if shortest == longest == len(VILLAGE):
            return st.just(VILLAGE)
        short = st.text(_LETTERS, min_size=shortest, max_size=max(shortest, min(longest, 8)))
        return st.just("信" * longest if longest < 1_000 else "") | short
    if "[a-z0-9_]" in kind.pattern:
        return st.sampled_from([f"{code}.office" for code in _CODES])
    if "{12}" in kind.pattern:
        return st.sampled_from(_CODES)
    if "{6}" in kind.pattern:
        return st.sampled_from(["000000", "999999"])
    return st.sampled_from([*(f"huiyin.example/{code}/1" for code in _CODES), "~" * 200, "/"])
