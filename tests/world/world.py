"""A whole hierarchy in one process: people act, nodes work, faults strike; then all heals, and comes to rest."""

import functools
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg

from domain.commands import AnyCommand
from domain.divisions import Division, Topology
from domain.errors import DomainError
from domain.events import Actor, AnyEvent
from domain.refusals import UpgradeNeeded
from gateway.backup.probation import AwaitingSuperior, SuperiorKnowsMore
from sync.exchange.channel import ChannelDown, down_lane, up_lane
from sync.ledger.append import Fenced, LedgerError, LedgerUnavailable
from sync.ledger.rows import OWN
from sync.trust.certificates import CertificateRefused
from tests.sync.memory_channel import MemoryChannel
from tests.sync.memory_ledger import ConnectionLost
from tests.world import older
from tests.world.clock import Clock
from tests.world.fate import Fate
from tests.world.links import Links
from tests.world.machine import Backup, Founded, Machine, PowerCut
from tests.world.people import People

CITY: Final = Division("410200000000")
_TOWNSHIPS: Final = ("21100", "21101", "23100", "23101")
TREE: Final = (
    CITY,
    *(Division(f"4102{county}000000") for county in ("21", "23")),
    *(Division(f"4102{township}000") for township in _TOWNSHIPS),
    *(Division(f"4102{township}20{number}") for township in _TOWNSHIPS for number in (1, 2, 3)),
)
"""One city, two counties, four townships, twelve villages."""

START_US: Final = 1_772_413_200_000_000
"""Monday, 2 March 2026, 09:00 in China."""

DAY_S: Final = 86_400
LEAPS: Final = 0.2
"""How many turns are followed by a while in which nothing happens."""

BACKUPS_S: Final = 6 * DAY_S
"""So long a backup is kept; with what it holds it must not outlive an erasure."""

FLUSHED_S: Final = 600

DISK_FOUND_S: Final = 6 * DAY_S
"""Within this time the newest disk of a node that was restored turns up again: a superior keeps for 30 days what it
said, and a link is away for a week."""

RENEWED_S: Final = 8 * DAY_S
"""So long before its end a certificate begins to be renewed, if anybody thinks of it."""

RATES: Final = {
    "power_cut": 0.003,
    "connection_lost": 0.003,
    "lost_flush": 0.004,
    "second_instance": 0.004,
    "lost": 0.04,
    "doubled": 0.03,
    "swapped": 0.03,
    "delayed": 0.04,
    "garbled": 0.01,
    "unheard": 0.02,
    "cut": 0.01,
    "away": 0.004,
    "lane_anew": 0.002,
    "clock_step": 0.005,
    "old_backup": 0.006,
    "older_version": 0.004,
    "asleep": 0.003,
}
_PASSING: Final = (ChannelDown, LedgerUnavailable, ConnectionLost, psycopg.OperationalError)


class Kept(NamedTuple):
    """What a node held at a moment, and until when that is there or missing, UTC microseconds."""

    disk: Backup
    until_us: int


class Tried(NamedTuple):
    """A command that somebody sent, and sends again until it is answered."""

    machine: Machine
    command: AnyCommand
    actor: Actor
    key: UUID


class Morning(NamedTuple):
    """A city that was founded and has come to rest: every node, and the lanes between them."""

    nodes: dict[Division, Founded]
    lanes: MemoryChannel


@functools.cache
def first_morning() -> Morning:
    """All worlds begin as this one."""
    world = World(0)
    world.fate.calm = True
    world.rest()
    return Morning({division: machine.founded() for division, machine in world.machines.items()}, world.links.lanes)


class World:
    """Made from a seed; everything in it follows from that."""

    def __init__(
        self,
        seed: int,
        tell: Callable[[str], None] = lambda _: None,
        morning: "Morning | None" = None,
        *,
        tree: Sequence[Division] = TREE,
        rates: Mapping[str, float] = RATES,
        make: Callable[..., Machine] = Machine,
    ) -> None:
        """tell: is given every step in words. morning: the city as it was founded; without one it is founded first.

        tree: its nodes, superiors first. make: a node, as `Machine`.
        """
        self.seed = seed
        self._tree = tree
        self._make = make
        self._morning = morning
        self.fate = Fate(seed, rates)
        self.fate.tell = lambda what: tell(f"{(self.now_us - START_US) / 1e6:10.1f} s  {what}")
        self.now_us = START_US
        self.links = Links(self.fate, morning.lanes if morning else None)
        self.machines: dict[Division, Machine] = {}
        self.acknowledged: dict[tuple[Division, UUID], tuple[AnyEvent, ...]] = {}
        self.refused = 0
        self.broken: list[str] = []
        self.lost: set[bytes] = set()
        self.logged: list[Any] = []
        self._unanswered: list[Tried] = []
        self._wakes_us: dict[Division, int] = {}
        self._backups: dict[Division, Kept] = {}
        self._disks: dict[Division, Kept] = {}
        self.fate.calm = True
        self._found()
        self.fate.calm = False
        self.people = People(self.fate)

    def _found(self) -> None:
        parents = Topology.by_digits(self._tree).parents
        for division in self._tree:
            parent = self.machines[parents[division]] if division in parents else None
            clock = Clock(lambda: self.now_us)
            machine = self._make(division, self.links, clock, parent, self.fate, self.broken.append, self._miss)
            self.machines[division] = machine
            if self._morning is None:
                machine.begin()
            else:
                machine.wake(self._morning.nodes[division], self.seed)

    @property
    def city(self) -> Machine:
        """The node above all others."""
        return self.machines[self._tree[0]]

    # --- living -----------------------------------------------------------------------------------------------------

    def live(self, turns: int) -> None:
        """So many times: something befalls, somebody acts, a few nodes work, time passes."""
        for _ in range(turns):
            self._befall()
            self._act()
            self._renew(RENEWED_S, 0.2)
            for _ in range(self.fate.random.randrange(6)):
                self._work(self._anyone())
            self._pass(self._until_next())

    def _until_next(self) -> float:
        """Seconds: mostly things follow close on one another; then nothing happens for hours or days."""
        if not self.fate.happens(LEAPS):
            return self.fate.random.expovariate(1 / 20)
        return min(self.fate.one_of((3_600, DAY_S, 4 * DAY_S)) * self.fate.random.expovariate(1), 4 * DAY_S)

    def _anyone(self) -> Machine:
        return self.fate.one_of(list(self.machines.values()))

    def _act(self) -> None:
        if self._unanswered and self.fate.happens(0.5):
            self._try(self._unanswered.pop(0))
            return
        machine = self._anyone()
        if not machine.is_on:
            return
        with machine.program():
            tried = self._wish(machine)
        if tried is not None:
            self._try(tried)

    def _wish(self, machine: Machine) -> "Tried | None":
        here = machine.situation(self.people.somebody(machine.here))
        cases = machine.cases()
        command: AnyCommand | None = None
        if cases and self.fate.happens(0.85):
            file = machine.casework.desk.file(self.fate.one_of(cases))
            without = older.STEPS if machine.is_older else frozenset[str]()
            command = self.people.next_step(file, here, without) if file else None
        elif self.fate.happens(0.5):
            command = self.people.letter(here)
        key = uuid5(NAMESPACE_OID, f"{self.seed}/{self.fate.random.random()}")
        return None if command is None else Tried(machine, command, here.actor, key)

    def _try(self, tried: Tried) -> None:
        machine = tried.machine
        if not machine.is_on:
            self._unanswered.append(tried)
            return
        machine.doing = "command"
        what = f"{machine.here} {type(tried.command).__name__} by {tried.actor.role}"
        command_id = machine.journal.of_account(tried.actor.account, tried.key)
        try:
            with machine.program():
                recorded = machine.casework.desk.do(tried.command, tried.actor, command_id)
        except (*_PASSING, Fenced) as trouble:
            self.fate.tell(f"{what}: {type(trouble).__name__}, to be sent again")
            self._unanswered.append(tried)
        except (AwaitingSuperior, SuperiorKnowsMore, UpgradeNeeded):
            # It may have been done: on the disk that is missing, or by the later program.
            self._unanswered.append(tried)
        except (DomainError, LedgerError) as refusal:
            self.refused += 1
            self.logged.append(str(refusal))
            self.fate.tell(f"{what}: refused, {refusal.code}")
        except PowerCut:
            self._unanswered.append(tried)
            self._lose_power(machine)
        else:
            self.fate.tell(f"{what}: {len(recorded.events)} events")
            self.acknowledged[machine.here, tried.key] = recorded.events

    def _work(self, machine: Machine) -> bool:
        """Let a node do one round of what it does by itself; whether anything came of it."""
        if not machine.is_on:
            return False
        before = machine.progress
        for name, work in machine.works():
            machine.doing = name
            try:
                with machine.program():
                    is_moved = work()
            except _PASSING:
                continue
            except PowerCut:
                self._lose_power(machine)
                return True
            if is_moved:
                machine.moves += 1
                self.fate.tell(f"{machine.here} {name}")
        return machine.progress != before

    def _renew(self, before_s: float, chance: float) -> None:
        """Somebody may have the certificates renewed that end within so long, or have ended."""
        for machine in self.machines.values():
            parent = machine.parent
            if parent is None or not (machine.is_on and parent.is_on):
                continue
            if machine.certified_until_us() - before_s * 1e6 < self.now_us and self.fate.happens(chance):
                self._renew_one(machine, parent)

    def _renew_one(self, machine: Machine, parent: Machine) -> None:
        parent.doing = "renewal"
        try:
            with parent.program():
                machine.renew()
        except (*_PASSING, Fenced, DomainError, LedgerError):
            return
        except CertificateRefused:
            self.fate.tell(f"{parent.here} has run out itself and certifies nobody")
            return
        except PowerCut:
            self._lose_power(parent)
            return
        self.fate.tell(f"{machine.here} is certified anew")
        self._lose_power(machine)

    def _lose_power(self, machine: Machine) -> None:
        """Its power is back at once; while it starts it may be lost again."""
        machine.crash()
        while not machine.is_on:
            try:
                with machine.program():
                    machine.start()
            except (PowerCut, ConnectionLost):
                machine.crash()

    # --- what befalls -----------------------------------------------------------------------------------------------

    def _befall(self) -> None:
        machine = self._anyone()
        self._befall_link(machine)
        if self.fate.strikes("clock_step", "node", who=machine.here):
            machine.own_clock.off_us = int(self.fate.random.uniform(-540, 540) * 1e6)
        self._back_up(machine)
        if not machine.is_on:
            return
        if self.fate.strikes("asleep", "node", machine.state, machine.here):
            machine.crash()
            self._wakes_us[machine.here] = self.now_us + int(self.fate.random.uniform(60, 3 * DAY_S) * 1e6)
        elif not machine.is_older and self.fate.strikes("older_version", "node", machine.state, machine.here):
            self._put_version(machine, is_older=True)
        elif machine.is_older and self.fate.happens(0.05):
            self._put_version(machine, is_older=False)
        elif self.fate.strikes("second_instance", "node", machine.state, machine.here):
            self._start_twice(machine)
        elif self._may_be_restored(machine) and self.fate.strikes("old_backup", "node", machine.state, machine.here):
            self._miss(machine, machine.backed_up())
            with machine.program():
                machine.come_back(self._backups[machine.here].disk)

    def _miss(self, machine: Machine, newest: Backup) -> None:
        """What the node had is gone, until it is found again."""
        missing_us = int(self.fate.random.uniform(1, DISK_FOUND_S) * 1e6)
        self._disks[machine.here] = Kept(newest, self.now_us + missing_us)
        machine.is_missed = True
        self.links.hurry(up_lane(machine.here))

    def _may_be_restored(self, machine: Machine) -> bool:
        return machine.parent is not None and not (machine.is_restored or machine.is_missed or machine.tables.is_lying)

    def _back_up(self, machine: Machine) -> None:
        """Now and then; an older one is destroyed, as whoever erases something relies on."""
        if not self.fate.rates.get("old_backup"):
            return
        kept = self._backups.get(machine.here)
        if kept is None or kept.until_us < self.now_us or self.fate.happens(0.05):
            self._backups[machine.here] = Kept(machine.backed_up(), self.now_us + int(BACKUPS_S * 1e6))

    def _befall_link(self, machine: Machine) -> None:
        if machine.parent is None:
            return
        if self.fate.strikes("cut", "link", who=machine.here):
            self.links.cut(machine.here, self.fate.random.uniform(30, 1800))
        if self.fate.strikes("away", "link", who=machine.here):
            self.links.cut(machine.here, 7 * DAY_S)
        for lane in (up_lane(machine.here), down_lane(machine.here)):
            if self.fate.strikes("lane_anew", lane.partition(".")[0], who=lane):
                self.links.make_anew(lane)

    def _put_version(self, machine: Machine, *, is_older: bool) -> None:
        """The node goes on with a program of the other version."""
        self.fate.tell(f"{machine.here} goes on a version {'behind' if is_older else 'ahead'}")
        machine.crash()
        machine.is_older = is_older
        self._lose_power(machine)

    def _start_twice(self, machine: Machine) -> None:
        """A second process takes the node over; what the first still tries must come to nothing."""
        with machine.left_running() as (exchange, writer):
            self._lose_power(machine)
            machine.doing = "second instance"
            before = len(machine.tables.ledger.rows)
            try:
                with machine.program():
                    exchange.pump_inbox()
                    writer.look()
            except (Fenced, *_PASSING):
                pass
            except PowerCut:
                self._lose_power(machine)
        if len(machine.tables.ledger.rows) != before:
            self.broken.append(f"{machine.here}: a process that was fenced wrote to the ledger")

    def _pass(self, seconds: float) -> None:
        """What is due meanwhile happens in its time. No disk holds back for minutes what it has called flushed."""
        if seconds > FLUSHED_S:
            for machine in self.machines.values():
                machine.catch_up()
        until_us = self.now_us + int(seconds * 1e6)
        while (due_us := self._due_us()) <= until_us:
            self._set_time(max(int(due_us), self.now_us))
            self._do_due()
        self._set_time(until_us)

    def _due_us(self) -> float:
        """When the next node wakes or the next disk is found."""
        found_us = (disk.until_us for node, disk in self._disks.items() if self.machines[node].is_on)
        return min((*self._wakes_us.values(), *found_us), default=inf)

    def _do_due(self) -> None:
        for division, until_us in [*self._wakes_us.items()]:
            if until_us <= self.now_us:
                del self._wakes_us[division]
                self._lose_power(self.machines[division])
        for division, disk in [*self._disks.items()]:
            if disk.until_us <= self.now_us and self.machines[division].is_on:
                self._find_disk(self.machines[division], self._disks.pop(division).disk)

    def _set_time(self, now_us: int) -> None:
        self.now_us = now_us
        self.links.at_s = (now_us - START_US) / 1e6

    # --- rest -------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing more befalls; every link and node is up, and whoever waits for an answer gets one."""
        self.fate.calm = True
        self.links.heal()
        for machine in self.machines.values():
            machine.own_clock.off_us = 0
            machine.catch_up()
            if machine.is_older or not machine.is_on:
                self._put_version(machine, is_older=False)
        self._wakes_us.clear()
        self.rest()
        while self._disks:
            division, disk = self._disks.popitem()
            self._find_disk(self.machines[division], disk.disk)
        self._renew(20 * DAY_S, 1)
        self.rest()
        for tried in [self._unanswered.pop(0) for _ in [*self._unanswered]]:
            self._try(tried)

    def _find_disk(self, machine: Machine, disk: Backup) -> None:
        """Who was restored from too old a backup writes nothing, until its newest disk is found."""
        machine.is_missed = False
        if machine.is_restored and machine.probation.is_on:
            with machine.program():
                machine.come_back(disk)
            return
        lost = [row for row in disk.tables.ledger.rows if row.via == OWN and row.seq >= self._secured(machine, disk)]
        kept = {row.body for row in machine.log(machine.origin)}
        self.lost |= {row.body for row in lost} - kept

    def _secured(self, machine: Machine, disk: Backup) -> int:
        """How much of its log the parent had cosigned, as its lost disk knew."""
        witness = machine.exchange.witness_name()
        return max((size for _, name, size in disk.tables.cosigned if name == witness), default=0)

    def rest(self) -> bool:
        """Let everybody work until nothing moves and nothing is waited for; False where that never comes."""
        quiet = 0
        for _ in range(600):
            moved = [self._work(machine) for machine in self.machines.values()]
            quiet = 0 if any(moved) else quiet + 1
            if quiet >= 2 and self.is_secured():
                return True
            if not any(moved):
                self._pass(min(7 * 2**quiet, 4_000))
        return False

    def is_secured(self) -> bool:
        """Whether every superior, and every one above it, has cosigned all that its nodes have said."""
        return all(self._is_cosigned(machine) for machine in self.machines.values() if machine.is_on)

    def _is_cosigned(self, machine: Machine) -> bool:
        size, above = machine.reader.head().own_size, machine.parent
        while above is not None:
            if machine.exchange.cosigned_size(above.keys.witness.verifier.name) != size:
                return False
            above = above.parent
        return True
