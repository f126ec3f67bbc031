from itertools import pairwise

import pytest

from domain.shards import MAX_SHARD, follows, log_id_of, place, place_in, shard_after, shard_before, shard_of

LOG = "huiyin.example/410221100201"


@pytest.mark.parametrize("last", ["", "0", "01", "-1", "2001", "99999", "1a", "²", "١", "1 ", "2026a"])
def test_what_names_no_shard_is_none(last: str) -> None:
    assert shard_of(f"{LOG}/{last}") is None
    assert not follows(f"{LOG}/{last}", f"{LOG}/1")
    assert not follows(f"{LOG}/2", f"{LOG}/{last}")


@pytest.mark.parametrize("shard", [1, 2, 9, MAX_SHARD])
def test_a_shard_is_read_from_its_name(shard: int) -> None:
    assert shard_of(f"{LOG}/{shard}") == shard


def test_each_shard_names_its_neighbours_and_the_first_has_none_before_it() -> None:
    assert shard_after(f"{LOG}/1") == f"{LOG}/2"
    assert shard_before(f"{LOG}/2") == f"{LOG}/1"
    assert shard_before(f"{LOG}/1") is None


def test_a_log_follows_itself_and_the_shards_before_it_and_no_other_log() -> None:
    assert follows(f"{LOG}/2", f"{LOG}/1")
    assert follows(f"{LOG}/2", f"{LOG}/2")
    assert not follows(f"{LOG}/1", f"{LOG}/2")
    assert not follows("huiyin.example/410221100202/2", f"{LOG}/1")


def test_leaves_of_one_author_are_ordered_by_shard_and_then_by_index_whatever_a_database_has_counted() -> None:
    places = [place(log_id_of(1, 7), 0), place(log_id_of(1, 7), 10**9), place(log_id_of(2, 3), 0)]
    assert all(earlier < later for earlier, later in pairwise(places))
    assert places == [place_in(f"{LOG}/1", 0), place_in(f"{LOG}/1", 10**9), place_in(f"{LOG}/2", 0)]
