"""Reads the history of a case, or of an office, out of a bundle: none of it is verified here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from domain.calendar import Calendar, Notice, seed_calendar
from domain.divisions import Division
from domain.errors import DomainError
from domain.events import AnyEvent, HeadsNoted, HolidaysNoticed, Unknown, read
from domain.shards import place_in
from gateway.auditing.bundle import CERTIFICATES, CHECKPOINTS, LOGS, MAX_LOGS, Bundle, LogLine, Manifest, folder_of
from gateway.auditing.findings import Findings
from gateway.auditing.leaves import Tiles
from gateway.auditing.manifest import read_manifest
from gateway.auditing.order import Learned, Order
from gateway.auditing.trusting import Trust
from gateway.reading.history import History, Knew, Step, UnitHistory, concerns, history, step_of, unit_history
from sync.proofs.note import NoteInvalid, parse_checkpoint, parse_note
from sync.trust.certificates import Directory

US = 1_000_000


class Replay(NamedTuple):
    """A case out of a bundle. calendar: the working days as that node knew them."""

    manifest: Manifest
    history: History
    calendar: Calendar


class UnitReplay(NamedTuple):
    """An office out of a bundle."""

    manifest: Manifest
    history: UnitHistory
    calendar: Calendar


def read_case(folders: Sequence[Path], case: UUID) -> Replay:
    """The history of a case in the first bundle; the others, of other tiers, say what those knew.

    Raises BundleUnreadable, FileUnreadable.
    """
    first, *others = (_Reader(folder, lambda event: event.case == case) for folder in folders)
    _add_views(first, others)
    return Replay(first.manifest, first.history(case), first.calendar())


def read_unit(folders: Sequence[Path], unit: str, from_us: int, to_us: int) -> UnitReplay:
    """The history of an office, or a division, in the first bundle; the others, of other tiers, say what those knew.

    In memory are the cases that it had to do with. Raises BundleUnreadable, FileUnreadable.
    """
    cases = set(_cases_of(folders[0], unit))
    first, *others = (_Reader(folder, lambda event: event.case in cases) for folder in folders)
    _add_views(first, others)
    told = [first.history(case) for case in cases]
    return UnitReplay(
        first.manifest, unit_history(Division(first.manifest.division), unit, told, from_us, to_us), first.calendar()
    )


def _add_views(first: "_Reader", others: Iterable["_Reader"]) -> None:
    for other in others:
        here = Division(other.manifest.division)
        known = {(step.log, step.seq): step.known[here] for step in other.steps}
        for step in first.steps:
            knew = known.get((step.log, step.seq))
            if knew is not None:
                step.known[here] = knew


class _Opened(NamedTuple):
    """What any reading of a bundle begins with."""

    bundle: Bundle
    manifest: Manifest
    logs: list[LogLine]
    directory: Directory

    def order(self) -> Order:
        return Order(self.bundle, self.logs, Tiles(self.bundle), Trust(self.directory, {}), Findings())


def _open(folder: Path) -> _Opened:
    bundle = Bundle(folder)
    manifest, _ = read_manifest(bundle)
    logs = [line for _, line in zip(range(MAX_LOGS), bundle.lines(LOGS, LogLine), strict=False)]
    directory, _ = Directory(manifest.root).adding_what_holds(bundle.lines(CERTIFICATES, str))
    return _Opened(bundle, manifest, logs, directory)


def _cases_of(folder: Path, unit: str) -> Iterator[UUID]:
    """The cases in which an office did or was given anything."""
    for learned in _open(folder).order():
        event = _event(learned)
        if event.case is not None and concerns(event, unit):
            yield event.case


class _Reader:
    """The wanted events of a bundle, in the order learned, with what shows which tier knew them."""

    def __init__(self, folder: Path, is_wanted: Callable[[AnyEvent | Unknown], bool]) -> None:
        self._opened = _open(folder)
        self.manifest = self._opened.manifest
        self.steps: list[Step] = []
        self._notices: list[HolidaysNoticed] = []
        self._by_log: dict[str, list[Step]] = {}
        here = Division(self.manifest.division)
        for learned in self._opened.order():
            event = _event(learned)
            if is_wanted(event):
                self._take(learned, event, here)
            elif isinstance(event, HeadsNoted):
                self._note(event)
            elif isinstance(event, HolidaysNoticed) and learned.via != 1:
                self._notices.append(event)
        for log in self._opened.logs:
            if log.folder is not None and log.origin in self._by_log:
                self._cosigned(log, self._by_log[log.origin])

    def history(self, case: UUID) -> History:
        """That of one case."""
        return history(Division(self.manifest.division), case, [step for step in self.steps if step.event.case == case])

    def calendar(self) -> Calendar:
        """The working days with every notice that the node learned from above or wrote itself."""
        return reduce(_with_notice, self._notices, seed_calendar())

    def _take(self, learned: Learned, event: AnyEvent | Unknown, here: Division) -> None:
        log = self._opened.logs[learned.log].origin
        number = len(self.steps)
        at = place_in(log, learned.seq)
        step = step_of(here, log, learned.seq, at, number, learned.via, event, learned.known_us)
        self.steps.append(step)
        self._by_log.setdefault(log, []).append(step)

    def _note(self, event: HeadsNoted) -> None:
        """Its author has accepted every leaf under these heads by now."""
        tier = Division(event.node)
        for head in event.heads:
            for step in self._by_log.get(head.log, ()):
                if step.seq < head.size:
                    step.learn(tier, Knew(event.recorded_us, "note"))

    def _cosigned(self, log: LogLine, steps: Sequence[Step]) -> None:
        """Every superior has seen every leaf under a head that it cosigned, by the end of that second."""
        directory = self._opened.directory
        above = directory.witnesses_above(directory.division_of(log.origin) or Division(""))
        keys = {(key.name, key.key_id): tier for tier, known in above.values() for key in known}
        waiting = {tier: sorted(steps, key=lambda step: -step.seq) for tier in set(keys.values())}
        for text in self._opened.bundle.lines(f"{folder_of(log)}/{CHECKPOINTS}", str):
            try:
                note = parse_note(text.encode())
                size = parse_checkpoint(note.text).size
            except NoteInvalid:
                continue
            for line in note.signatures:
                tier = keys.get((line.name, line.key_id))
                while tier is not None and waiting[tier] and waiting[tier][-1].seq < size:
                    waiting[tier].pop().learn(tier, Knew((line.time_s + 1) * US, "cosigned"))


def _event(learned: Learned) -> AnyEvent | Unknown:
    """Of a newer type too: what is no event concerns no case."""
    return learned.leaf.event or (_NOTHING if learned.leaf.fault is not None else read(learned.body))


_NOTHING = Unknown(tag="?", body=b"")


def _with_notice(calendar: Calendar, event: HolidaysNoticed) -> Calendar:
    try:
        return calendar.with_notice(
            Notice(year=event.year, off=event.off, working=event.working, source=event.source, edition=event.edition)
        )
    except DomainError:
        return calendar
