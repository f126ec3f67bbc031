"""An id is a UUIDv7 that names the node that made it, whatever else is in it."""

from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.divisions import Division
from domain.ids import REST_BITS, maker_of, new_id

MAKERS = st.integers(0, 10**12 - 1).map(lambda code: Division(f"{code:012d}"))
MOMENTS = st.integers(0, (1 << 48) - 1)
RESTS = st.integers(0, (1 << REST_BITS) - 1)


@given(MAKERS, MOMENTS, RESTS)
def test_an_id_is_a_uuid_of_version_7_that_names_its_maker_and_its_moment(
    maker: Division, at_ms: int, rest: int
) -> None:
    id_ = new_id(maker, at_ms, rest)
    assert (id_.version, id_.variant) == (7, RFC_4122)
    assert maker_of(id_) == maker
    assert id_.int >> 80 == at_ms


@given(MAKERS, st.tuples(MOMENTS, RESTS), st.tuples(MOMENTS, RESTS))
def test_the_ids_of_a_node_differ_and_sort_as_they_were_made(
    maker: Division, one: tuple[int, int], other: tuple[int, int]
) -> None:
    ids = new_id(maker, *one), new_id(maker, *other)
    assert (ids[0] < ids[1], ids[0] == ids[1]) == (one < other, one == other)


@given(st.uuids())
def test_an_id_that_no_node_made_names_none(id_: UUID) -> None:
    code = id_.int & (1 << 40) - 1
    assert maker_of(id_) == str(code).zfill(12)
    assert (len(maker_of(id_)) == 12) == (code < 10**12)
