"""How long a sender waits before it sends again, by the lane's own word."""

from sync.exchange.channel import Extent
from sync.exchange.patience import LOOK_LIMIT_S, RETRY_LIMIT_S, Patience

HELD, GONE = Extent(1, 9), Extent(10, 9)


def sending(elapsed_s: float = 0) -> Patience:
    """One that has begun, with something up to offset 9 on its way."""
    patience = Patience(5)
    patience.look(Extent(1, 0), 0, elapsed_s)
    patience.published(9, elapsed_s, is_first=True)
    return patience


def looks(patience: Patience, extent: Extent, from_s: int, to_s: int) -> list[tuple[int, bool]]:
    """When it looked, second by second, and whether it wanted to send again; it does so at once."""
    seen = []
    for elapsed_s in range(from_s, to_s):
        if patience.wants_look(elapsed_s):
            seen.append((elapsed_s, patience.look(extent, 9, elapsed_s)))
            if seen[-1][1]:
                patience.published(0, elapsed_s, is_first=True)
    return seen


def test_what_the_lane_holds_is_looked_at_ever_more_seldom_and_never_sent_again() -> None:
    seen = looks(sending(), HELD, 0, 86_400)

    assert not any(again for _, again in seen)
    assert [at_s for at_s, _ in seen[:4]] == [5, 6, 8, 12]
    assert len(seen) < 86_400 / LOOK_LIMIT_S + 10


def test_what_left_the_lane_without_an_answer_is_sent_again_after_twice_as_long_each_time() -> None:
    seen = looks(sending(), GONE, 0, 200)

    assert seen == [(5, True), (15, True), (35, True), (75, True), (155, True)]
    late = looks(sending(), GONE, 0, 21 * 86_400)
    assert late[-1][0] - late[-2][0] == RETRY_LIMIT_S


def test_an_answer_brings_the_first_patience_back() -> None:
    patience = sending()
    looks(patience, GONE, 0, 200)
    patience.answered(200)

    assert looks(patience, GONE, 200, 206) == [(205, True)]


def test_a_lane_that_was_made_anew_is_filled_again_at_once_whoever_notices() -> None:
    assert sending().look(Extent(1, 3), 9, 5)
    assert sending().published(3, 1, is_first=False)
    assert not sending().published(10, 1, is_first=False)


def test_a_sender_that_begins_waits_until_the_lane_was_read_so_far() -> None:
    patience = Patience(5)

    assert not any(may_send for _, may_send in looks(patience, HELD, 0, 1_000))
    assert not patience.may_send
    assert patience.look(Extent(10, 12), 0, 1_001)  # 10 to 12 are others' letters on the same lane
    assert patience.may_send


def test_after_a_full_lane_nothing_is_sent_until_it_was_read() -> None:
    patience = sending()
    patience.block(20)

    assert patience.wants_look(20)
    assert not patience.look(HELD, 0, 20)
    assert patience.look(GONE, 0, 40)
