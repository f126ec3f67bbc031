"""What befalls the world, by a seed: whether a fault strikes here and now, and the count of where each kind struck."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

KINDS: Final = (
    "power_cut",  # a node dies where it meets its database: asking, just before a commit, just after it
    "connection_lost",  # its connection to the database ends there
    "second_instance",  # a second process is started on the node, and the first does not know yet
    "lost",  # a record is taken by the channel and never delivered
    "doubled",
    "swapped",
    "delayed",  # a record comes minutes later, after what was sent after it
    "garbled",  # a record comes with a bit turned
    "unheard",  # the channel takes the records and does not say so
    "cut",  # a link is down for minutes
    "away",  # a link is down for a week
    "lane_anew",  # a lane is deleted and made again
    "clock_step",  # a node's clock is set back or forward by minutes
    "old_backup",  # a node is restored from a state it had before
    "older_version",  # a node runs a program that does not know every event yet
    "asleep",  # a node is switched off for hours
)


class Fate:
    """One seed's chance. While `calm`, nothing strikes."""

    def __init__(self, seed: int, rates: Mapping[str, float]) -> None:
        """rates: how often each kind strikes where it may; a kind that is not named never does."""
        self.random = random.Random(seed)
        self.rates = dict(rates)
        self.calm = False
        self.struck: Counter[tuple[str, str]] = Counter()
        self.found: Counter[tuple[str, str]] = Counter()
        self.tell: Callable[[str], None] = lambda _: None

    def strikes(self, kind: str, where: str, state: str = "") -> bool:
        """Whether a fault of this kind strikes at this place; if it does, it is counted there.

        state: in which it finds a node.
        """
        rate = self.rates.get(kind, 0.0)
        if self.calm or rate == 0.0 or self.random.random() >= rate:
            return False
        self.struck[kind, where] += 1
        if state:
            self.found[kind, state] += 1
        self.tell(f"! {kind} at {where}")
        return True

    def one_of(self, choices: Sequence[T]) -> T:
        """Any of these, each as likely."""
        return self.random.choice(choices)

    def happens(self, chance: float) -> bool:
        """Something that is no fault."""
        return self.random.random() < chance
