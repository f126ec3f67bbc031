"""The stored bytes of every event, and what is not one: a leaf verifies for ever, so its bytes may never drift."""

import msgspec
import pytest

from domain.events import MAX_LEAF_BYTES, TAGS, Accepted, AnyEvent, NotCanonical, Unknown, decode, encode, read, tag_of
from tests.domain.examples import GOLDEN, examples, uuid

EVENTS = tuple(examples())


def golden(event: AnyEvent) -> bytes:
    return (GOLDEN / f"{tag_of(event)}.json").read_bytes()


def test_every_event_type_has_one_golden_file_and_one_example() -> None:
    assert {path.name.removesuffix(".json") for path in GOLDEN.iterdir()} == TAGS
    assert sorted(tag_of(event) for event in EVENTS) == sorted(TAGS)


@pytest.mark.parametrize("event", EVENTS, ids=tag_of)
def test_an_event_encodes_to_its_golden_bytes(event: AnyEvent) -> None:
    assert encode(event) == golden(event)


@pytest.mark.parametrize("event", EVENTS, ids=tag_of)
def test_golden_bytes_read_back_to_the_same_event(event: AnyEvent) -> None:
    assert decode(golden(event)) == read(golden(event)) == event
    assert type(event).__struct_config__.frozen


@pytest.mark.parametrize("event", EVENTS, ids=tag_of)
def test_the_tag_stands_first_and_the_envelope_next(event: AnyEvent) -> None:
    names = list(msgspec.json.decode(golden(event)))
    assert names[:5] == ["type", "id", "stream", "version", "case"]


@pytest.mark.parametrize("event", EVENTS, ids=tag_of)
def test_bytes_that_say_the_same_in_another_way_are_not_canonical(event: AnyEvent) -> None:
    body = golden(event)
    fields = msgspec.json.decode(body)
    reordered = msgspec.json.encode(dict(reversed(fields.items())))
    first, rest = body[1:].split(b",", 1)
    others = {
        "spaces": body.replace(b'","', b'", "', 1),
        "duplicate key": b"{" + first + b"," + first + b"," + rest,
        "duplicate version": body.replace(b'"version":', b'"version":9,"version":', 1),
        "another order": reordered,
        "a float": body.replace(b'"version":' + str(event.version).encode(), b'"version":%d.0' % event.version, 1),
        "a byte order mark": b"\xef\xbb\xbf" + body,
        "a line feed": body + b"\n",
        "an escape": body.replace(b'"type"', b'"\\u0074ype"', 1),
        "an extra field": body[:-1] + b',"more":1}',
        "cut short": body[:-1],
        "upper case": body.replace(str(event.id).encode(), str(event.id).upper().encode(), 1),
    }
    for name, other in others.items():
        if other != body:
            with pytest.raises(NotCanonical):
                pytest.fail(f"{name} was read as {read(other)}")


def test_a_type_of_a_newer_version_is_kept_as_unknown_with_its_place_in_the_case() -> None:
    body = golden(EVENTS[0]).replace(b"case.registered.v0", b"case.registered.v7").replace(b'"claims"', b'"points"')
    read_back = read(body)
    assert isinstance(read_back, Unknown)
    assert (read_back.tag, read_back.body) == ("case.registered.v7", body)
    assert (read_back.case, read_back.stream, read_back.version) == (uuid(1), uuid(20), 1)


@pytest.mark.parametrize(
    "body",
    [b'{"type":"a.b.v1"}', b'{"type":"a.b.v1","case":5}', b'{"type":"a.b.v1","stream":"x","version":1,"case":null}'],
)
def test_an_unknown_type_with_a_foreign_envelope_is_still_kept(body: bytes) -> None:
    assert read(body) == Unknown(tag="a.b.v1", body=body)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"type":5}', b'{"type":""}', b'{"type":"%s"}' % (b"x" * 65), b"\xff", b"[" * 99_999],
)
def test_what_is_no_event_at_all_is_not_canonical(body: bytes) -> None:
    with pytest.raises(NotCanonical):
        read(body)


def test_a_leaf_is_never_longer_than_an_entry_bundle_allows() -> None:
    accepted = next(event for event in EVENTS if isinstance(event, Accepted))
    with pytest.raises(ValueError, match=str(MAX_LEAF_BYTES)):
        encode(msgspec.structs.replace(accepted, number="9" * MAX_LEAF_BYTES))
