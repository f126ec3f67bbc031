"""What befalls the world, by a seed: whether a fault strikes here and now, and the count of where each kind struck."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

KINDS: Final = (
    "power_cut",  # a node dies where it meets its database: asking, just before a commit, just after it
    "lost_flush",  # from this commit on a node's disk calls flushed what it loses a few commits later, with its power
    "connection_lost",  # its connection to the database ends there
    "second_instance",  # a second process is started on the node, and the first does not know yet
    "lost",  # a record is taken by the channel and never delivered
    "doubled",
    "swapped",
    "delayed",  # a record comes minutes or a day later, after what was sent after it
    "garbled",  # a record comes with a bit turned
    "unheard",  # the channel takes the records and does not say so
    "cut",  # a link is down for minutes
    "away",  # a link is down for a week
    "lane_anew",  # a lane is deleted and made again
    "clock_step",  # a node's clock is set back or forward by minutes
    "old_backup",  # a node is restored from a state it had before
    "older_version",  # a node runs a program that does not know every event yet
    "asleep",  # a node is switched off for hours or days
)


_WORKS: Final = ("arrivals", "inbox", "steward", "seal", "up", "dispatch", "down", "command", "renewal")
_COMMITS: Final = tuple(f"{work}: {point}" for work in _WORKS for point in ("committing", "committed"))
_SELDOM: Final = {"renewal": 20, "down": 4, "up": 2, "arrivals": 2, "command": 2}
"""At outputs to which a node comes seldom its power and its connection fail so many times as often."""

_LANES: Final = ("up", "down")
_BY_LANE: Final = ("lost", "doubled", "swapped", "delayed", "garbled", "unheard", "lane_anew")
_OF_NODE: Final = ("second_instance", "clock_step", "old_backup", "older_version", "asleep")

OUTPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "power_cut": (*_COMMITS, "views: commit", "views: committed"),
    "connection_lost": _COMMITS,
    "lost_flush": _WORKS,
    "cut": ("link",),
    "away": ("link",),
    **dict.fromkeys(_BY_LANE, _LANES),
    **dict.fromkeys(_OF_NODE, ("node",)),
}
"""Where each kind can strike: at every kind of output of a node, in both directions of a link."""


class Strike(NamedTuple):
    """A fault of a kind, the place that it struck, and the state in which it found the node, if it is of one."""

    kind: str
    where: str
    state: str


class Fate:
    """One seed's chance. While `calm`, nothing strikes."""

    def __init__(self, seed: int, rates: Mapping[str, float]) -> None:
        """rates: how often each kind strikes where it may; a kind that is not named never does."""
        self.random = random.Random(seed)
        self.rates = dict(rates)
        self.calm = False
        self.struck: Counter[Strike] = Counter()
        self.befell: set[tuple[str, str]] = set()
        self.tell: Callable[[str], None] = lambda _: None

    def strikes(self, kind: str, where: str, state: str = "", who: str = "") -> bool:
        """Whether a fault of this kind strikes at this place; if it does, it is counted there.

        state: in which it finds a node. who: the node or the lane that it befalls, which `befell` remembers.
        """
        rate = self.rates.get(kind, 0.0) * _SELDOM.get(where.partition(":")[0], 1)
        if self.calm or rate == 0.0 or self.random.random() >= rate:
            return False
        self.struck[Strike(kind, where, state)] += 1
        self.befell.add((kind, who))
        self.tell(f"! {kind} at {where} {who}".rstrip())
        return True

    def one_of(self, choices: Sequence[T]) -> T:
        """Any of these, each as likely."""
        return self.random.choice(choices)

    def happens(self, chance: float) -> bool:
        """Something that is no fault."""
        return self.random.random() < chance
