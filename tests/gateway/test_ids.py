"""One node makes no id twice, whatever its clock does."""

import itertools
from concurrent.futures import ThreadPoolExecutor

from domain.divisions import Division
from domain.ids import REST_BITS, maker_of
from gateway.hosting.ids import Ids

VILLAGE = Division("410221100201")
NOW_US = 1_772_413_200_000_000


def test_ids_of_one_moment_differ_and_sort_as_they_were_made_from_several_threads_too() -> None:
    made = Ids(VILLAGE)
    with ThreadPoolExecutor(4) as pool:
        lots = list(pool.map(lambda _: list(itertools.islice(made.stream(NOW_US), 500)), range(8)))
    assert all(lot == sorted(lot) for lot in lots)
    assert len(set(itertools.chain(*lots))) == 4_000
    assert {maker_of(id_) for id_ in itertools.chain(*lots)} == {VILLAGE}


def test_a_clock_that_is_set_back_repeats_no_id_and_the_order_stays() -> None:
    made = Ids(VILLAGE)
    found = [made.fresh(now_us) for now_us in (NOW_US, NOW_US - 5_000_000, NOW_US, NOW_US + 1_000, NOW_US)]
    assert found == sorted(set(found))


def test_a_millisecond_that_is_used_up_goes_on_in_the_next() -> None:
    made = Ids(VILLAGE, lambda count: b"\xff" * count)
    first, second = made.fresh(NOW_US), made.fresh(NOW_US)
    assert first < second
    assert second.int >> 80 == (first.int >> 80) + 1
    assert REST_BITS == 34


def test_two_processes_of_a_node_do_not_begin_alike() -> None:
    assert len({Ids(VILLAGE).fresh(NOW_US) for _ in range(20)}) == 20
