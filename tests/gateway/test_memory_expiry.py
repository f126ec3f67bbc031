"""Whole nodes in memory whose certificates run out and are renewed while a matter is on its way."""

from collections.abc import Iterator

import pytest

from domain.commands import Object
from domain.divisions import Division
from sync.exchange.channel import down_lane
from sync.exchange.wire import Refused
from tests.gateway.memory_node import MemoryNode
from tests.gateway.story_in_memory import REGISTRATION, Story, leg_of
from tests.sync.hierarchy import VILLAGE
from tests.sync.seeded_hpke import seeded_hpke

SEED = 11
HOUR_S = 3_600


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """One in which the village is certified for an hour."""

    def valid_us(self: MemoryNode, division: Division) -> int:
        return (HOUR_S if division == VILLAGE else 1_000 * HOUR_S) * 1_000_000

    monkeypatch.setattr(MemoryNode, "valid_us", valid_us)
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        yield story


def work_below_the_city(story: Story) -> None:
    """While the city is away."""
    for _ in range(8):
        story.village.step()
        story.township.step()
        story.clock.pass_s(3)


def test_a_renewal_that_stands_behind_what_waits_for_the_log_that_ran_out_is_learned_all_the_same(
    story: Story,
) -> None:
    story.case = story.do(story.village, "clerk", lambda _: REGISTRATION).case
    story.do(story.village, "clerk", story._hands_over)
    work_below_the_city(story)
    story.do(story.township, "handler", lambda file: Object(case=file.case, leg=leg_of(file), reason="不属本单位"))
    work_below_the_city(story)
    story.clock.pass_s(2 * HOUR_S)
    story.village.renew()
    story.work()
    story.clock.pass_s(HOUR_S / 5)  # what was refused is offered again

    story.settle()

    assert [node.faults() for node in story.nodes] == [{}, {}, {}]
    assert [row.body for row in story.city.log(story.village.origin)] == [
        row.body for row in story.village.log(story.village.origin)
    ]


def test_who_may_sign_nothing_more_is_refused_nothing_that_is_held_already(story: Story) -> None:
    story.do(story.village, "clerk", lambda _: REGISTRATION)
    story.settle()
    story.clock.pass_s(2 * HOUR_S)
    village = story.village
    with village.store.transaction() as tx:
        tx.send_again(tx.own_log(), 0)

    story.settle()

    assert village.faults() == {}
    assert story.township.faults() == {}


def test_a_refusal_that_was_overtaken_by_a_cosignature_is_over_also_where_both_come_at_once(story: Story) -> None:
    village, township = story.village, story.township
    story.do(village, "clerk", lambda _: REGISTRATION)
    village.step()
    with township.store.transaction() as tx:
        tx.enqueue(VILLAGE, [Refused(village.origin, 2, "expired")], story.clock.now_us())
    for _ in range(3):
        township.step()
    letters = township.below.fetch({down_lane(VILLAGE): 0}, 1 << 20, 0)
    assert len(letters) > 1

    story.settle()

    assert village.faults() == {}
    assert village.is_secured()
