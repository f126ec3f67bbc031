"""What the views' core relies on in the place where rows are kept, on every implementation: PLACES names them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import pytest

from projections.authority import STANDING, WITHOUT_EFFECT, StandingRow, WithoutEffectRow
from projections.board_fold import DISPUTE, HEARD, ORIGIN, DisputeRow, HeardRow, OriginRow
from projections.case_rows import CLAIM, NODE, ClaimRow, NodeRow
from projections.catalogue import PROJECTIONS
from projections.duty_fold import DUTY, NOTICE, DutyRow, NoticeRow
from projections.following import prepare
from projections.projection import table_names
from projections.tables import FOREVER
from projections.views import ParkedKey, RebuildBusy, Views, Waiting
from projections.views_postgres import PostgresViews
from tests.projections.memory_views import MemoryViews

ONE, TWO, THREE = (UUID(int=number << 64) for number in (1, 2, 3))
AUTHORITY, CASES, DUTIES, BOARD = PROJECTIONS


class Place(NamedTuple):
    """Views, and the same views over a connection of somebody else."""

    views: Views
    others: Callable[[], Views]


@contextmanager
def postgres_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """On PostgreSQL."""
    dsn: str = request.getfixturevalue("database")
    with psycopg.connect(dsn, autocommit=True) as conn, psycopg.connect(dsn, autocommit=True) as other:
        yield Place(PostgresViews(conn), lambda: PostgresViews(other))


@contextmanager
def memory_place(_: pytest.FixtureRequest) -> Iterator[Place]:
    """In memory."""
    views = MemoryViews()
    yield Place(views, lambda: MemoryViews(disk=views.disk))


PLACES = [postgres_place, memory_place]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One implementation after the other, with every table made."""
    with request.param(request) as made:
        prepare(made.views, PROJECTIONS)
        yield made


@pytest.fixture
def views(place: Place) -> Views:
    """The views alone."""
    return place.views


def claim(case: UUID, number: int, **fields: Any) -> ClaimRow:
    row = ClaimRow(case, UUID(int=number), 1, 10, FOREVER, FOREVER)
    return msgspec.structs.replace(row, **fields)


def duty(case: UUID, set_pos: int, **fields: Any) -> DutyRow:
    day = date(2026, 3, 2)
    told = (case, "handle", None, None, None, 10, None, 0, day, 20, 15, None, False, set_pos, 10, FOREVER, FOREVER)
    return msgspec.structs.replace(DutyRow(case, *told, False), **fields)


def void(pos: int, decided_pos: int, gone_pos: int = FOREVER, case: UUID = ONE) -> WithoutEffectRow:
    return WithoutEffectRow(case, pos, "leg.accepted.v0", "410221000000", pos < decided_pos, decided_pos, gone_pos)


def waiting(pos: int, key: UUID, reason: str = "", known_us: int = 5) -> Waiting:
    return Waiting(pos=pos, key=key, topic="leg.accepted.v0", reason=reason, known_us=known_us)


def shown(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [msgspec.structs.astuple(row) for row in rows]


class Cut(Exception):
    """What a test raises in the middle of a transaction."""


def left_by_an_exception(views: Views, inside: Callable[[], object]) -> None:
    def cut() -> None:
        with views.transaction():
            inside()
            raise Cut

    with pytest.raises(Cut):
        cut()


def state(views: Views) -> tuple[Any, ...]:
    """A bit of everything."""
    rows = [shown(views.believed(CLAIM, case)) for case in (ONE, TWO)]
    names = [projection.name for projection in PROJECTIONS]
    shapes = [views.shape(name) for name in names]
    return rows, shown(views.every(NODE)), views.positions(names), shapes, views.parked(), views.skipped("cases")


def change_everything(views: Views) -> None:
    views.add(CLAIM, [claim(TWO, 7)])
    views.change(CLAIM, [claim(ONE, 1, gone_pos=8)])
    views.forget(CLAIM, ONE)
    views.clear(CLAIM, ONE)
    views.merge(NODE, [NodeRow("410200000000", "开封", None, 9)])
    views.unpark("cases", ONE)
    views.park("cases", waiting(9, TWO))
    views.skip("cases", waiting(9, TWO), THREE)
    views.move(["cases"], 9)
    views.make_anew("duties", table_names(DUTIES), "another")


def fill(views: Views) -> None:
    views.add(CLAIM, [claim(ONE, 1), claim(ONE, 2)])
    views.merge(NODE, [NodeRow("410200000000", "开封市", None, 1)])
    views.park("cases", waiting(3, ONE, "why"))
    views.park("duties", waiting(4, ONE, "why"))
    views.move(["cases", "duties"], 4)


def test_what_leaves_a_transaction_by_an_exception_leaves_nothing(views: Views) -> None:
    fill(views)
    before = state(views)
    left_by_an_exception(views, lambda: change_everything(views))
    assert state(views) == before


def test_a_transaction_within_another_is_undone_alone(views: Views) -> None:
    with views.transaction():
        fill(views)
        before = state(views)
        left_by_an_exception(views, lambda: change_everything(views))
        assert state(views) == before
        views.move(["cases"], 7)
    assert views.positions(["cases"]) == {"cases": 7}
    assert shown(views.believed(CLAIM, ONE)) == shown([claim(ONE, 1), claim(ONE, 2)])


def test_what_a_transaction_did_within_another_that_fails_is_undone_with_it(views: Views) -> None:
    fill(views)
    before = state(views)

    def inside() -> None:
        with views.transaction():
            change_everything(views)

    left_by_an_exception(views, inside)
    assert state(views) == before


def test_what_was_committed_is_there_for_somebody_else(place: Place) -> None:
    with place.views.transaction():
        fill(place.views)
        change_everything(place.views)
    assert state(place.others()) == state(place.views)


def test_a_row_that_was_given_is_nobody_elses(views: Views) -> None:
    mine = claim(ONE, 1)
    views.add(CLAIM, [mine])
    mine.gone_pos = 7
    (given,) = views.needed(CLAIM, [ONE])
    given.gone_pos = 8
    assert shown(views.believed(CLAIM, ONE)) == shown([claim(ONE, 1)])


def test_what_can_still_change_is_given_in_order_of_key_and_nothing_else(views: Views) -> None:
    running = [duty(TWO, 2), duty(ONE, 9), duty(ONE, 5)]
    over = [duty(ONE, 1, gone_pos=5), duty(ONE, 3, void_pos=4), duty(THREE, 1)]
    views.add(DUTY, [*running, *over])
    assert shown(views.needed(DUTY, [TWO, ONE])) == shown(running[::-1])
    assert views.needed(DUTY, []) == []


def test_what_never_changes_is_never_needed_and_is_believed_all_the_same(views: Views) -> None:
    row = DisputeRow(ONE, 4, 10, "objected", TWO, "410221100000.office", None)
    views.add(DISPUTE, [row])
    assert views.needed(DISPUTE, [ONE]) == []
    assert shown(views.believed(DISPUTE, ONE)) == shown([row])


def test_of_two_conditions_both_say_what_can_still_change(views: Views) -> None:
    views.add(WITHOUT_EFFECT, [void(5, 5), void(4, 6), void(3, 6, gone_pos=8)])
    assert shown(views.needed(WITHOUT_EFFECT, [ONE])) == shown([void(4, 6)])


def test_forgetting_leaves_what_was_believed_before_and_clearing_leaves_nothing(views: Views) -> None:
    past, over, now = claim(ONE, 1, void_pos=6), claim(ONE, 1, gone_pos=7), claim(ONE, 2)
    views.add(CLAIM, [past, over, now, claim(TWO, 3)])
    assert shown(views.believed(CLAIM, ONE)) == shown([over, now])
    views.forget(CLAIM, ONE)
    assert views.believed(CLAIM, ONE) == []
    views.add(CLAIM, [over, now])  # their keys are free again
    with pytest.raises(Exception, match="claim"), views.transaction():
        views.add(CLAIM, [past])  # this one's is not
    views.clear(CLAIM, ONE)
    views.add(CLAIM, [past])
    assert shown(views.believed(CLAIM, TWO)) == shown([claim(TWO, 3)])


def test_a_table_without_history_forgets_every_row_of_a_case(views: Views) -> None:
    views.add(STANDING, [StandingRow(ONE, "{}"), StandingRow(TWO, "{}")])
    views.forget(STANDING, ONE)
    assert [shown(views.believed(STANDING, case)) for case in (ONE, TWO)] == [[], [(TWO, "{}")]]


def test_a_changed_row_takes_the_place_of_its_like(views: Views) -> None:
    views.add(CLAIM, [claim(ONE, 1), claim(ONE, 2)])
    views.change(CLAIM, [claim(ONE, 2, gone_pos=9), claim(ONE, 1, opened_us=11)])
    assert shown(views.believed(CLAIM, ONE)) == shown([claim(ONE, 1, opened_us=11), claim(ONE, 2, gone_pos=9)])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda views: views.add(CLAIM, [claim(TWO, 1), claim(ONE, 1)]),
        lambda views: views.add(CLAIM, [claim(TWO, 1), claim(TWO, 1)]),
        lambda views: views.change(CLAIM, [claim(ONE, 1), claim(ONE, 1)]),
        lambda views: views.add(STANDING, [StandingRow(TWO, "a\0b")]),
        lambda views: views.add(CLAIM, [claim(TWO, 1, opened_us=2**63)]),
        lambda views: views.merge(NODE, [NodeRow("4", "a", None, 1), NodeRow("4", "b", None, 2)]),
        lambda views: views.merge(ORIGIN, [OriginRow(1, "a\0", False)]),
        lambda views: views.park("cases", waiting(3, TWO)),
    ],
    ids=["key there", "key twice", "changed twice", "NUL", "beyond 64 bits", "merged twice", "NUL shared", "parked"],
)
def test_what_cannot_be_stored_is_poison_and_leaves_nothing(views: Views, wrong: Callable[[Views], None]) -> None:
    fill(views)
    before = state(views)
    with pytest.raises(Exception) as refused, views.transaction():  # noqa: PT011  each place has errors of its own
        wrong(views)
    assert views.is_poison(refused.value)  # type: ignore[arg-type]
    assert state(views) == before


def test_what_a_fold_raises_is_poison(views: Views) -> None:
    assert views.is_poison(ZeroDivisionError())


def test_of_two_names_the_newer_stays_whichever_comes_first(views: Views) -> None:
    newer, older = NodeRow("410200000000", "开封市", None, 5), NodeRow("410200000000", "汴梁", "41", 3)
    other = NodeRow("410100000000", "郑州市", None, 1)
    for row in (older, newer, older, other):
        views.merge(NODE, [row])
    assert views.every(NODE) == [other, newer]


def test_a_row_that_is_there_stays_where_nothing_else_is_said(views: Views) -> None:
    first = OriginRow(2, "410221000000", False)
    views.merge(ORIGIN, [first])
    views.merge(ORIGIN, [OriginRow(2, "410222000000", True), OriginRow(1, "410200000000", True)])
    assert views.every(ORIGIN) == [OriginRow(1, "410200000000", True), first]


def test_a_span_grows_in_both_directions(views: Views) -> None:
    for row in (HeardRow(1, 5, 10, 12, 120), HeardRow(1, 5, 8, 9, 90), HeardRow(1, 5, 11, 20, 200)):
        views.merge(HEARD, [row, HeardRow(2, row.first_pos, 1, 1, 1)])
    assert views.every(HEARD)[0] == HeardRow(1, 5, 8, 20, 200)
    assert len(views.every(HEARD)) == 4


def test_positions_move_forward_only_and_are_given_for_what_was_made(views: Views) -> None:
    views.move(["cases", "duties"], 5)
    views.move(["cases", "duties", "board"], 3)
    assert views.positions(["duties", "board", "nobody"], lock=True) == {"board": 3, "duties": 5}
    assert views.shape("nobody") is None


def test_what_is_made_anew_is_empty_at_position_0_and_the_others_stay(views: Views) -> None:
    fill(views)
    views.merge(ORIGIN, [OriginRow(1, "410200000000", True)])
    views.skip("cases", waiting(2, ONE), THREE)
    with views.transaction():
        views.make_anew("cases", table_names(CASES), "of another shape")
    assert views.believed(CLAIM, ONE) == []
    assert views.every(NODE) == []
    assert views.every(ORIGIN) == [OriginRow(1, "410200000000", True)]
    assert (views.shape("cases"), views.positions(["cases", "duties"])) == (
        "of another shape",
        {"cases": 0, "duties": 4},
    )
    assert [each.projection for each in views.parked()] == ["duties"]
    assert views.skipped("cases") == {2}


def test_what_waits_is_found_by_key_and_freed_in_order(views: Views) -> None:
    for pos, key in ((9, ONE), (3, TWO), (4, ONE), (7, TWO)):
        views.park("cases", waiting(pos, key))
    views.park("duties", waiting(1, THREE))
    assert views.waiting("cases") == {ONE: 4, TWO: 3}
    assert views.waiting("cases", [ONE, THREE]) == {ONE: 4}
    assert views.waiting("cases", []) == {}
    assert views.unpark("cases", ONE) == [4, 9]
    assert views.unpark("cases", ONE) == []
    assert views.unpark_first("cases", TWO) == waiting(3, TWO)
    assert views.unpark_first("cases", THREE) is None
    assert views.waiting("cases") == {TWO: 7}


def test_parked_keys_are_listed_by_how_long_they_wait_with_the_reason_of_the_first(views: Views) -> None:
    views.park("cases", waiting(9, ONE, "later", known_us=30))
    views.park("cases", waiting(4, ONE, "first", known_us=20))
    views.park("duties", waiting(5, ONE, "elsewhere", known_us=10))
    topic = "leg.accepted.v0"
    elsewhere = ParkedKey(
        projection="duties", key=ONE, pos=5, topic=topic, reason="elsewhere", since_us=10, event_count=1
    )
    here = ParkedKey(projection="cases", key=ONE, pos=4, topic=topic, reason="first", since_us=20, event_count=2)
    assert views.parked() == [elsewhere, here]


def test_what_is_judged_is_judged_as_of_its_own_position_or_of_another(views: Views) -> None:
    views.add(WITHOUT_EFFECT, [void(2, 2), void(3, 6), void(4, 6, gone_pos=8), void(9, 9)])
    views.park("authority", waiting(5, TWO))
    views.park("cases", waiting(6, TWO))
    views.skip("authority", waiting(7, ONE), THREE)
    for asked in (views, views.beside):
        assert asked.judged("authority", 1, 8, None) == ({2, 7}, {5: TWO})
        assert asked.judged("authority", 1, 8, 5) == ({2, 7}, {5: TWO})
        assert asked.judged("authority", 1, 8, 6) == ({2, 3, 4, 7}, {5: TWO})
        assert asked.judged("authority", 3, 9, 8) == ({3, 7}, {5: TWO})
        assert asked.judged("authority", 3, 9, 9) == ({3, 7, 9}, {5: TWO})
        assert asked.skipped("authority") == {7}


def test_what_was_decided_late_is_given_once_in_order_of_position(views: Views) -> None:
    views.add(WITHOUT_EFFECT, [void(2, 2), void(3, 6), void(4, 6, gone_pos=8), void(1, 5, case=TWO)])
    for asked in (views, views.beside):
        assert asked.decided(1, 9, None) == [(5, TWO), (6, ONE), (8, ONE)]
        assert asked.decided(6, 7, None) == [(6, ONE)]
        assert asked.decided(1, 9, TWO) == [(5, TWO)]


def test_a_notice_moves_clocks_that_run_and_end_late_enough_or_are_provisional(views: Views) -> None:
    march, may = date(2026, 3, 2), date(2026, 5, 2)
    views.add(DUTY, [duty(THREE, 1, due_on=may), duty(TWO, 1, due_on=march, provisional=True)])
    views.add(DUTY, [duty(ONE, 1, due_on=march), duty(ONE, 2, due_on=may, gone_pos=9)])
    assert views.cases_with_clocks(may) == [TWO, THREE]
    assert views.cases_with_clocks(march) == [ONE, TWO, THREE]


def build_beside(views: Views) -> Views:
    """The tables of `cases`, begun anew."""
    with views.transaction():
        views.beside.begin("cases", table_names(CASES))
    return views.beside


def test_what_is_beside_is_apart_until_it_is_dropped(views: Views) -> None:
    fill(views)
    before = state(views)
    beside = build_beside(views)
    with views.transaction():
        beside.add(CLAIM, [claim(ONE, 1)])
        beside.index(table_names(CASES))
        beside.merge(NODE, [NodeRow("4", "a", None, 1)])
        beside.park("cases", waiting(3, TWO))
        beside.move(["cases"], 9)
    assert state(views) == before
    assert shown(beside.needed(CLAIM, [ONE])) == shown([claim(ONE, 1)])
    assert (beside.waiting("cases"), beside.positions(["cases"])) == ({TWO: 3}, {"cases": 9})
    beside = build_beside(views)
    assert (beside.waiting("cases"), beside.positions(["cases"])) == ({}, {"cases": 0})
    assert beside.believed(CLAIM, ONE) == []
    with views.transaction():
        beside.drop()
    assert state(views) == before


def test_the_first_difference_by_key_is_named_with_both_sides(views: Views) -> None:
    beside = build_beside(views)
    views.add(CLAIM, [claim(ONE, 1), claim(ONE, 2), claim(TWO, 3)])
    with views.transaction():
        beside.add(CLAIM, [claim(TWO, 3, gone_pos=4), claim(ONE, 1), claim(ONE, 2)])
        beside.index(table_names(CASES))
    found = views.difference("cases", "claim")
    assert found is not None
    assert (found.table, str(TWO) in str(found.live), str(TWO) in str(found.rebuilt)) == ("claim", True, True)
    with views.transaction():
        beside.forget(CLAIM, ONE)
        beside.add(CLAIM, [claim(ONE, 2)])
    found = views.difference("cases", "claim")
    assert found is not None
    assert (str(ONE) in str(found.live), found.rebuilt) == (True, None)
    beside.change(CLAIM, [claim(ONE, 1), claim(TWO, 3)])
    assert views.difference("cases", "claim") is None


def test_what_another_projection_has_parked_is_no_difference(views: Views) -> None:
    beside = build_beside(views)
    views.park("cases", waiting(3, ONE))
    views.park("duties", waiting(3, ONE))
    beside.park("cases", waiting(3, ONE))
    assert views.difference("cases", "parked") is None
    beside.park("cases", waiting(4, ONE))
    found = views.difference("cases", "parked")
    assert found is not None
    assert (found.live, str(ONE) in str(found.rebuilt)) == (None, True)


def test_whether_it_is_judged_otherwise_is_asked_up_to_a_position(views: Views) -> None:
    with views.transaction():
        beside = views.beside
        beside.begin("authority", table_names(AUTHORITY))
    views.add(WITHOUT_EFFECT, [void(3, 6), void(4, 6, gone_pos=8)])
    beside.add(WITHOUT_EFFECT, [void(3, 6), void(4, 6, gone_pos=9), void(7, 7)])
    assert not views.judges_otherwise("authority", 6)
    assert views.judges_otherwise("authority", 7)
    views.add(WITHOUT_EFFECT, [void(7, 7)])
    assert not views.judges_otherwise("authority", 7)
    assert views.judges_otherwise("authority", 8)
    beside.park("authority", waiting(2, ONE))
    assert not views.judges_otherwise("authority", 1)
    assert views.judges_otherwise("authority", 2)


def test_what_was_built_beside_takes_the_place_of_the_live_one_whole(views: Views) -> None:
    fill(views)
    shape = views.shape("cases")
    beside = build_beside(views)
    with views.transaction():
        beside.index(table_names(CASES))
        beside.add(CLAIM, [claim(TWO, 5)])
        beside.park("cases", waiting(8, TWO))
    with views.swapping():
        views.take_in("cases", table_names(CASES), 9)
    assert [shown(views.believed(CLAIM, case)) for case in (ONE, TWO)] == [[], shown([claim(TWO, 5)])]
    assert views.every(NODE) == []
    assert (views.positions(["cases", "duties"]), views.shape("cases")) == ({"cases": 9, "duties": 4}, shape)
    assert [(each.projection, each.pos) for each in views.parked()] == [("duties", 4), ("cases", 8)]
    views.add(CLAIM, [claim(ONE, 5)])


def test_a_taking_in_that_fails_leaves_both_sides_as_they_were(views: Views) -> None:
    fill(views)
    before = state(views)
    beside = build_beside(views)
    beside.add(CLAIM, [claim(TWO, 5)])

    def cut() -> None:
        with views.swapping():
            views.take_in("cases", table_names(CASES), 9)
            raise Cut

    with pytest.raises(Cut):
        cut()
    assert state(views) == before
    assert shown(beside.believed(CLAIM, TWO)) == shown([claim(TWO, 5)])


def test_one_rebuild_at_a_time_and_after_it_the_next(place: Place) -> None:
    other = place.others()
    with place.views.alone(), pytest.raises(RebuildBusy), other.alone():
        pass
    with pytest.raises(Cut), other.alone():
        raise Cut
    with place.views.alone():
        pass


def test_notices_are_kept_in_order_of_position(views: Views) -> None:
    views.merge(NOTICE, [NoticeRow(9, "{}"), NoticeRow(2, "{}")])
    views.merge(NOTICE, [NoticeRow(9, "another"), NoticeRow(5, "{}")])
    assert views.every(NOTICE) == [NoticeRow(2, "{}"), NoticeRow(5, "{}"), NoticeRow(9, "{}")]
