"""One node of a world: the very program of a node in service over tables in memory, with fate at every output.

Its tables and keys outlive a loss of power; what the program holds does not.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from domain.context import Situation
from domain.divisions import Division
from domain.events import Actor, CaseId
from projections.catalogue import PROJECTIONS
from projections.following import Follower
from sync.exchange.channel import Channel
from sync.exchange.exchange import Exchange
from sync.ledger.rows import Row
from sync.trust.certificates import Enrolment
from tests.gateway.memory_node import MemoryNode
from tests.projections.memory_views import Image, MemoryViews, Struck
from tests.sync.chance import Chance
from tests.sync.memory_ledger import ConnectionLost, MemoryWriter
from tests.sync.memory_tables import Point, Tables
from tests.world.clock import Clock
from tests.world.fate import Fate
from tests.world.older import older_program

SHORT_US: Final = 30 * 86_400 * 1_000_000
"""How long the certificates of some nodes are good."""

_TABLES: Final = ("beside", "parked", "down", "unread", "faults", "enclosures", "commands", "requests", "letters")


class PowerCut(BaseException):
    """The machine lost power in the middle of what it was doing. No part of the program can do anything about it."""


class Backup(NamedTuple):
    """All that stood on a node's disk at some time."""

    tables: Tables
    views: Image


class Founded(NamedTuple):
    """A node as it was once it had been enrolled."""

    given: Enrolment
    disk: Backup


class Standing(NamedTuple):
    """What must never be taken back: how much was committed, and the last row of it."""

    size: int
    last: Row | None


class Machine(MemoryNode):
    """A node. doing: what it is at, for the count of where a fault struck."""

    parent: "Machine | None"

    def __init__(
        self,
        division: Division,
        channel: Channel,
        clock: Clock,
        parent: "Machine | None",
        fate: Fate,
        complain: Callable[[str], None],
        miss: Callable[["Machine", Backup], None],
    ) -> None:
        """complain: told of what a commit took back. miss: told what its disk has lost."""
        super().__init__(division, channel, clock, parent, self._come_to)
        self.own_clock = clock
        self.is_on = False
        self.is_older = False
        self.moves = 0
        self.doing = "starting"
        self.views = MemoryViews()
        self._fate = fate
        self.is_missed = False
        self._complain = complain
        self._miss = miss
        self._committed = Standing(0, None)

    def program(self) -> AbstractContextManager[None]:
        """Whatever the node does is done in this: the program of its version."""
        return older_program() if self.is_older else nullcontext()

    # --- power ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the program from what the tables hold."""
        self.doing, self.is_on = "starting", False
        super().start()
        self.follower = Follower(Struck(self.views, self._strike_views), self.reader.read, PROJECTIONS)
        self.is_on = True

    def crash(self) -> None:
        """The program and all that it had in memory is gone, and what its disk had only said that it holds."""
        self.is_on = False
        super().crash()
        if self.tables.is_lying:
            self._miss(self, self.backed_up())
            self.tables.lose_what_was_lied_about()
            self.views.lose()
            self.views.catch_up()
            self._committed = _standing(self.tables)

    def catch_up(self) -> None:
        """Its disk has flushed everything after all."""
        self.tables.catch_up()
        self.views.catch_up()

    def founded(self) -> Founded:
        """What another world may begin with."""
        return Founded(self._given, self.backed_up())

    def wake(self, founded: Founded, seed: int) -> None:
        """Start as one that was founded, with this seed's chance from now on."""
        self._given = founded.given
        self.tables = founded.disk.tables.copied()
        self.views.restore(founded.disk.views)
        self.chance = Chance(seed << 48 | int(self.here))
        self.start()

    def backed_up(self) -> Backup:
        """What a backup holds now."""
        return Backup(self.tables.copied(), self.views.image())

    def come_back(self, backup: Backup) -> None:
        """Be restored: what it had committed since is gone with its disk."""
        self.catch_up()
        self._committed = _standing(backup.tables)
        self.views.restore(backup.views)
        self.restore(backup.tables)

    def valid_us(self, division: Division) -> int:
        """For a month, of one village in three and of a township; of all others as long as a world lives."""
        return SHORT_US if division.endswith("201") or division == "410221101000" else super().valid_us(division)

    def _come_to(self, point: Point) -> None:
        if point == "committed":
            self._look_back()
        if not self.is_on:
            return
        self._lie(point)
        where = f"{self.doing}: {point}"
        if self._fate.strikes("power_cut", where, self.state, self.here):
            raise PowerCut
        if self._fate.strikes("connection_lost", where, self.state, self.here):
            raise ConnectionLost

    def _lie(self, point: Point) -> None:
        """The disk begins to, or its power fails while it does."""
        if self.tables.is_lying:
            if self._fate.happens(0.1):
                self._fate.tell(f"! {self.here} loses power, and what its disk had called flushed")
                raise PowerCut
            return
        may_lie = point == "committing" and self.parent is not None and not (self.is_missed or self.is_restored)
        if may_lie and self._fate.strikes("lost_flush", self.doing, self.state, self.here):
            self.tables.begin_to_lie()
            self.views.begin_to_lie()

    def _strike_views(self, place: str) -> None:
        if (
            place in {"commit", "committed"}
            and self.is_on
            and self._fate.strikes("power_cut", f"views: {place}", self.state, self.here)
        ):
            raise PowerCut

    def _look_back(self) -> None:
        rows, before = self.tables.ledger.rows, self._committed
        if len(rows) < before.size or (before.last is not None and rows[before.size - 1] is not before.last):
            self._complain(f"{self.here}: a commit took back what had been committed")
        self._committed = _standing(self.tables)

    @property
    def state(self) -> str:
        """In what state a fault finds it."""
        if self.is_restored:
            return "restored"
        if self.is_older:
            return "a version behind"
        if self.tables.parked:
            return "frames wait"
        if any(child.down_size > child.down_acked for child in self.tables.children.values()):
            return "letters wait"
        return "behind" if self.tables.question else "at ease"

    @property
    def progress(self) -> int:
        """More than before once it has done anything."""
        return self.tables.commits + self.follower.pos

    @contextmanager
    def left_running(self) -> Iterator[tuple[Exchange, MemoryWriter]]:
        """The process goes on in the block, whatever becomes of the node."""
        yield self.exchange, self.writer

    # --- work -------------------------------------------------------------------------------------------------------

    def works(self) -> list[tuple[str, Callable[[], bool]]]:
        """What its threads do, by name."""
        exchange = self.exchange
        if self.probation.is_on:
            return [
                ("seal", exchange.pump_seal),
                ("arrivals", exchange.pump_arrivals),
                ("views", lambda: bool(self.follower.step())),
            ]
        return [
            ("arrivals", exchange.pump_arrivals),
            ("inbox", exchange.pump_inbox),
            ("steward", lambda: not self.casework.steward.step()),
            ("seal", exchange.pump_seal),
            ("up", exchange.pump_up),
            ("dispatch", exchange.pump_dispatch),
            ("down", exchange.pump_down),
            ("views", lambda: bool(self.follower.step())),
        ]

    # --- looking ----------------------------------------------------------------------------------------------------

    def cases(self) -> list[CaseId]:
        """All that are known here."""
        return sorted({CaseId(row.case_id) for row in self.tables.ledger.rows if row.case_id is not None})

    def situation(self, actor: Actor) -> Situation:
        """Somebody here and now."""
        return self.casework.desk._situation(actor, self.held_clock.now_us())

    def stored(self) -> Iterator[bytes]:
        """Every text and every bytes that it keeps."""
        yield from (row.body for row in self.tables.ledger.rows)
        yield from flat([getattr(self.tables, name).values() for name in _TABLES])
        yield from (repr(rows.by_key).encode() for rows in self.views.disk.sides["live"].values())

    def origin_of(self, row: Row) -> str:
        """The log in which a row stands."""
        return self.casework.around.origin(row.log_id)


def flat(value: Any) -> Iterator[bytes]:
    """Every text and every bytes in it."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, msgspec.Struct):
        yield from flat(msgspec.structs.astuple(value))
    elif isinstance(value, Iterable):
        yield from chain.from_iterable(map(flat, value))


def _standing(tables: Tables) -> Standing:
    rows = tables.ledger.rows
    return Standing(len(rows), rows[-1] if rows else None)
