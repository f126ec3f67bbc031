"""Decoys come at random and look and travel like what they hide; nothing that is kept tells which is which."""

from collections import Counter
from random import Random

from domain.divisions import Division
from domain.managing import ManagedAbove
from gateway.casework.cover import MEAN_US, WAIT_US, Cover

HERE = Division("410221100201")
OTHERS = [Division("410221000000"), Division("410222000000"), HERE, Division("410222100201")]
STEP_US = 60 * 60 * 1_000_000


class Timed:
    """A node's cover on a clock that the test sets."""

    def __init__(self, seed: int, nodes: list[Division] = OTHERS) -> None:
        self.now_us = 1_770_000_000_000_000
        self.sent: list[tuple[int, Division]] = []
        self.cover = Cover(HERE, lambda: nodes, self._send, lambda: self.now_us, Random(seed).random)

    def _send(self, about: Division) -> None:
        self.sent.append((self.now_us, about))

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.now_us += STEP_US
            self.cover.look()


def test_one_comes_in_four_weeks_on_average_at_times_that_tell_nothing_of_the_next() -> None:
    timed = Timed(1)
    timed.live(1_000 * MEAN_US // STEP_US)
    gaps = [(b - a) / MEAN_US for (a, _), (b, _) in zip(timed.sent, timed.sent[1:], strict=False)]
    assert 900 < len(timed.sent) < 1_100
    assert 0.25 < sum(gap < 0.4 for gap in gaps) / len(gaps) < 0.42, "an exponential law has a third of its gaps there"
    assert sum(gap > 2 for gap in gaps) / len(gaps) > 0.08


def test_a_node_that_was_away_or_is_started_again_writes_no_burst() -> None:
    timed = Timed(2)
    timed.now_us += 100 * MEAN_US
    timed.cover.look()
    timed.cover.look()
    assert len(timed.sent) <= 1
    started = [Timed(seed) for seed in range(200)]
    for one in started:
        one.live(1)
    assert sum(len(one.sent) for one in started) <= 5


def test_every_other_one_waits_for_a_registration_and_at_most_a_day() -> None:
    before, timed = 0, Timed(3)
    for _ in range(3_000):
        timed.live(20)
        count = len(timed.sent)
        timed.cover.before_registration()
        timed.cover.before_registration()
        before += len(timed.sent) - count
    assert 0.35 < before / len(timed.sent) < 0.6
    lonely = Timed(4)
    lonely.live(42 * MEAN_US // STEP_US)
    assert 25 < len(lonely.sent) < 60, "without any registration as many come"
    assert WAIT_US < MEAN_US


def test_half_are_about_this_node_and_the_rest_about_any_of_all() -> None:
    timed = Timed(5)
    timed.live(24 * 7_000)
    about = Counter(division for _, division in timed.sent)
    assert set(about) == set(OTHERS)
    assert 0.5 < about[HERE] / len(timed.sent) < 0.75


def test_where_nothing_can_be_handed_in_nothing_is_written_and_nothing_fails() -> None:
    alone = Timed(6, [])
    alone.live(24 * 100)
    assert alone.sent == []

    def refuse(about: Division) -> None:
        raise ManagedAbove

    now_us = [0]
    cover = Cover(HERE, lambda: OTHERS, refuse, lambda: now_us[0], Random(7).random)
    for _ in range(100):
        now_us[0] += MEAN_US
        cover.look()
        cover.before_registration()
