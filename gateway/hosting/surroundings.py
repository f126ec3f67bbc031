"""What a node knows of the tree it stands in: certificates, superiors, names, working days, other logs."""

import base64
import functools
import threading
from collections.abc import Callable

from domain.calendar import Calendar, Notice, seed_calendar
from domain.divisions import Division, Topology
from domain.errors import DomainError
from domain.events import AnyEvent, HolidaysNoticed, NotCanonical, Unit, UnitOpened, decode, read
from domain.parts import node_of
from sync.ledger.reading import LedgerReader
from sync.ledger.rows import FROM_BELOW
from sync.sealed.sealing import Recipient
from sync.trust.certificates import Directory

OFFICE = "office"
"""The short name of the unit that every node has from its first day."""


class RecipientUnknown(DomainError):
    """No certificate of this node is believed here, so nothing can be sealed to it. Have its superior enrol it."""

    code = "recipient_unknown"

    def __init__(self, code: Division) -> None:
        super().__init__(
            f"本节点没有{code}的有效证书，无法向其移交密封内容，本次操作未记录；请联系其上级机关登记该节点后再办理",
            f"no certificate of {code} is known here, so the sealed texts cannot be given to it and nothing was "
            "recorded; have its superior enrol that node, then repeat this",
        )


class Surroundings:
    """Safe for threads; every answer is of this moment."""

    def __init__(self, here: Division, reader: LedgerReader, directory: Callable[[], Directory]) -> None:
        """directory: every certificate known here, as the exchange has it now."""
        self._here = here
        self._reader = reader
        self._calendar: Calendar | None = None
        self._of_calendar = threading.Lock()
        self._origins: dict[int, str] = {}
        self._opened: set[Unit] = set()
        self._opened_pos = 0
        self._of_opened = threading.Lock()
        self.directory = directory

    def topology(self) -> Topology:
        """The tree of superiors as enrolled."""
        return self.directory().topology

    def calendar(self) -> Calendar:
        """The working days as noticed so far."""
        with self._of_calendar:
            if self._calendar is None:
                # What came from below does not count: no subordinate decides which days its superior works.
                rows = [row for row in self._reader.of_topic("calendar.noticed.v0") if row.via != FROM_BELOW]
                self._calendar = functools.reduce(_with_notice, (decode(row.body) for row in rows), seed_calendar())
            return self._calendar

    def forget_calendar(self) -> None:
        """Told by the steward of a notice that was learned: the next question reads them all again."""
        with self._of_calendar:
            self._calendar = None

    def recipient(self, division: Division) -> Recipient:
        """Whom to wrap a key for. Raises RecipientUnknown where the division has no certificate in force here: what is
        sealed to keys that were taken back, whoever copied them reads."""
        known = self.directory().division(division)
        if known is None or self.directory().revocation(division) is not None:
            raise RecipientUnknown(division)
        return Recipient(division, base64.b64decode(known.certificate.keys.recipient))

    def is_known(self, division: Division) -> bool:
        """Whether the division has a certificate in force here."""
        directory = self.directory()
        return directory.division(division) is not None and directory.revocation(division) is None

    def held(self, division: Division) -> tuple[str, int]:
        """A lower node's log and the size of it that this node has cosigned."""
        held = self._reader.held(division)
        if held is not None:
            return held
        known = self.directory().division(division)
        return (known.certificate.origin if known else "", 0)

    def origin(self, log_id: int) -> str:
        """The origin of a log by its local id."""
        found = self._origins.get(log_id)
        if found is None:
            found = self._origins[log_id] = self._reader.origin(log_id)
        return found

    def name_of(self, division: Division) -> str:
        """What people call a node; its code where it is not known here."""
        known = self.directory().division(division)
        return known.certificate.name if known else str(division)

    def units(self) -> list[tuple[Unit, str]]:
        """The units a matter can be handed to from here: own, above and below, superiors first.

        Not those of a node whose keys were taken back: nothing can be sealed to it.
        """
        directory, tree = self.directory(), self.topology()
        line = tree.path_up(self._here) if tree.parents else (self._here,)
        below = sorted(code for code in tree.parents if self._here in tree.path_up(code)[1:])
        return [
            (f"{code}.{OFFICE}", self.name_of(code))
            for code in (*reversed(line), *below)
            if directory.revocation(code) is None
        ]

    def is_unit(self, unit: Unit) -> bool:
        """Whether it is known here that there is this unit: the first office of a node that is, or one that was opened.

        What another node opens is learned from below only; elsewhere its first office always is right.
        """
        node = node_of(unit)
        if unit == f"{node}.{OFFICE}":
            return node == self._here or self.directory().division(node) is not None
        with self._of_opened:
            if unit not in self._opened:
                rows = self._reader.of_topic("unit.opened.v0", self._opened_pos)
                self._opened.update(opened for row in rows if (opened := _opened(row.body)) is not None)
                self._opened_pos = max((row.pos for row in rows), default=self._opened_pos)
            return unit in self._opened

    def offices(self) -> list[tuple[Unit, str]]:
        """The first office of every node that is known, wherever it stands, named with its superiors below the root."""
        tree = self.topology()
        known = sorted({*tree.parents, *tree.parents.values()})
        return [(f"{code}.{OFFICE}", self._full_name(tree, code)) for code in known]

    def _full_name(self, tree: Topology, code: Division) -> str:
        line = [step for step in tree.path_up(code) if step in tree.parents] or [code]
        return " · ".join(self.name_of(step) for step in reversed(line))


def _opened(body: bytes) -> Unit | None:
    try:
        event = read(body)
    except NotCanonical:
        return None
    return event.unit if isinstance(event, UnitOpened) and node_of(event.unit) == event.node else None


def _with_notice(calendar: Calendar, event: AnyEvent) -> Calendar:
    if not isinstance(event, HolidaysNoticed):
        return calendar
    return calendar.with_notice(
        Notice(year=event.year, off=event.off, working=event.working, source=event.source, edition=event.edition)
    )
