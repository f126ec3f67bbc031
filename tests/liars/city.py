"""Honest nodes of four tiers in memory, some of which a test turns into liars, and what must hold whoever lies."""

from collections.abc import Callable, Sequence
from typing import Final

from domain.divisions import Division
from sync.exchange.convicting import Judged, file_for, judge
from sync.exchange.evidence import Met
from sync.exchange.faults import Fault
from tests.sync.hierarchy import CITY, COUNTY, NEIGHBOUR, TOWNSHIP, VILLAGE, Clock
from tests.sync.memory_channel import MemoryChannel
from tests.sync.memory_tables import nothing_happens
from tests.sync.test_simulated import SimulatedNode

DAY_S: Final = 86_400.0
PARENTS: Final = {CITY: None, COUNTY: CITY, TOWNSHIP: COUNTY, VILLAGE: TOWNSHIP, NEIGHBOUR: TOWNSHIP}


class City:
    """City, county, township and two villages over one channel, each the very exchange over tables in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.channel = MemoryChannel()
        self.nodes: dict[Division, SimulatedNode] = {}
        for division, superior in PARENTS.items():
            parent = None if superior is None else self.nodes[superior]
            self.nodes[division] = SimulatedNode(division, self.channel, self.clock, parent, nothing_happens)
            self.nodes[division].begin()
        self.asleep: set[Division] = set()
        self.village, self.neighbour = self.nodes[VILLAGE], self.nodes[NEIGHBOUR]
        self.township, self.county, self.city = self.nodes[TOWNSHIP], self.nodes[COUNTY], self.nodes[CITY]
        self.village.chat(3)
        self.neighbour.chat(2)
        self.rest()

    def turn(self) -> bool:
        """One round of everybody who is not asleep."""
        moved = [node.step() for division, node in self.nodes.items() if division not in self.asleep]
        return any(moved)

    def rest(self, rounds: int = 200) -> None:
        """Pump until nothing moves."""
        for _ in range(rounds):
            if not self.turn():
                return
        raise AssertionError(f"still moving after {rounds} rounds")

    def wait(self, until: Callable[[], bool], waits: int = 60) -> None:
        """Let time pass until something is so."""
        for _ in range(waits):
            self.rest()
            if until():
                return
            self.clock.pass_s(7)
        raise AssertionError({node.division: node.faults() for node in self.nodes.values()})

    def days(self, days: float) -> None:
        """Time passes, and everybody works."""
        for _ in range(4):
            self.clock.pass_s(days * DAY_S / 4)
            self.rest()

    def goes_on(self, honest: SimulatedNode) -> None:
        """What an honest node says now is cosigned above it and known to the city, whatever its siblings do."""
        honest.chat(1)
        self.wait(lambda: honest.secured() == honest.size() and self.is_known_above(honest))

    def is_known_above(self, node: SimulatedNode) -> bool:
        """Whether the city holds all that it has said."""
        return self.city.log(node.origin) == node.log(node.origin)

    def holding(self, origin: str) -> dict[Division, list[bytes]]:
        """What everybody else holds of a log."""
        return {code: node.log(origin) for code, node in self.nodes.items() if node.origin != origin}


def exported(node: SimulatedNode, kind: str, subject: str) -> bytes:
    """The file in which a fault leaves a node."""
    stands = node.tables.faults[kind, subject]
    fault = Fault(kind, subject, stands.child, stands.detail, stands.evidence)
    met = Met(stands.times, stands.first_us, stands.last_us)
    return file_for(node.division, fault, met, node.exchange.trust.directory)


def judged(node: SimulatedNode, kind: str, subject: str) -> Judged:
    """What a stranger makes of that file who knows nothing but the root's fingerprint."""
    return judge(exported(node, kind, subject), node.pin)


def convicted(node: SimulatedNode, kind: str, subject: str) -> tuple[str, tuple[str, ...]]:
    """The lie and the liars, as that stranger finds them."""
    verdict = judged(node, kind, subject).verdict
    assert verdict is not None, judged(node, kind, subject).why_not
    return verdict.code, verdict.liars


def new_faults(node: SimulatedNode, lie: Callable[[], object]) -> Sequence[tuple[str, str]]:
    """Kind and subject of the faults that a lie leaves at a node, also those that are over."""
    before = {key: stands.times for key, stands in node.tables.faults.items()}
    lie()
    return sorted(key for key, stands in node.tables.faults.items() if stands.times != before.get(key))
