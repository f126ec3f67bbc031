"""A case's history, step by step: what had happened by a moment, what each tier knew by then, who answered for it.

Steps stand in the order in which they were recorded, wherever that was; what is folded, is folded in the order learned.
What the node that tells the history knew, its own order says; what an author knew, its log. Of every other tier a
signature proves that it knew a leaf by a moment at the latest: its cosignature over a head beyond the leaf, its own
note of such a head (`node.heads.v0`), or an event of its own that names the leaf as its cause. Nothing here says that
such a tier did not know earlier.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from domain.authority import effects
from domain.calendar import Calendar
from domain.case import CaseFile, evolve
from domain.divisions import Division
from domain.events import AnyEvent, Unit, Unknown, tag_of
from domain.parts import node_of
from gateway.reading.case_view import ClockView, running_clocks

How = Literal["wrote", "order", "note", "cosigned", "cause"]
"""Why a tier is said to have known: it wrote the event; the order of the node that tells says so; it had noted, or had
cosigned, a head beyond it; it wrote an event that this one caused."""

OWN: Final = 0

_FIRM: frozenset[How] = frozenset({"wrote", "order"})


class Knew(NamedTuple):
    """Since when (UTC microseconds) a tier knew an event, or by when at the latest where a signature says so."""

    at_us: int
    how: How

    @property
    def is_firm(self) -> bool:
        """Whether it is since when, and not by when at the latest."""
        return self.how in _FIRM


class Step(msgspec.Struct):
    """One event, leaf `seq` of `log`. event: Unknown for a type of a newer version. known: by division.

    place: where it stands among all leaves of its author. order: its number, from 0, in the order learned. via: 0 own,
    1 from below, 2 from above. has_effect: after all that came later.
    """

    log: str
    seq: int
    place: int
    order: int
    via: int
    event: AnyEvent | Unknown
    learned_us: int
    has_effect: bool
    known: dict[Division, Knew]

    @property
    def tag(self) -> str:
        """The stored name of its type."""
        return self.event.tag if isinstance(self.event, Unknown) else tag_of(self.event)

    @property
    def recorded_us(self) -> int:
        """By its author's clock; of what cannot be read, when it was learned."""
        return self.learned_us if isinstance(self.event, Unknown) else self.event.recorded_us

    @property
    def at_us(self) -> int:
        """The moment at which it is looked at: recorded by its author; of what the telling node wrote, kept there."""
        return max(self.recorded_us, self.learned_us) if self.via == OWN else self.recorded_us

    @property
    def occurred_us(self) -> int:
        """When it happened, as claimed."""
        return self.learned_us if isinstance(self.event, Unknown) else self.event.occurred_us

    @property
    def said_to(self) -> AnyEvent | None:
        """The event, where its type is known."""
        return None if isinstance(self.event, Unknown) else self.event

    def is_known(self, tier: Division, at_us: int) -> bool:
        """Whether a tier is known to have known it by then."""
        return tier in self.known and self.known[tier].at_us <= at_us

    def learn(self, tier: Division, knew: Knew) -> None:
        """One more reason why a tier knew it: its own word outweighs a signature, and the earlier one the later."""
        had = self.known.get(tier)
        if had is None or (not had.is_firm and (knew.is_firm or knew.at_us < had.at_us)):
            self.known[tier] = knew


class View(NamedTuple):
    """A tier's view at a moment. known: of how many steps it is known to have known; missing: the numbers, from 0, of
    those that had been recorded by then and that nothing shows it to have known; accountable: who answered by what it
    knew. is_sure: it did not know what is missing, for this is the tier that tells."""

    known: int
    accountable: Unit | None
    missing: tuple[int, ...]
    is_sure: bool


class History(NamedTuple):
    """A case, step by step. here: the node that tells of it. learned: the steps in the order learned."""

    here: Division
    case: UUID
    steps: Sequence[Step]
    learned: Sequence[Step]

    def happened(self, at_us: int) -> list[Step]:
        """What had happened by a moment, as claimed; what is claimed of the future, when it was recorded."""
        return [step for step in self.steps if min(step.occurred_us, step.at_us) <= at_us]

    def number_at(self, at_us: int) -> int:
        """The number, from 0, of the last step recorded by then; -1 before the first."""
        return sum(step.at_us <= at_us for step in self.steps) - 1

    def file(self, at_us: int, tier: Division | None = None) -> CaseFile | None:
        """The case by all that had been recorded by then, whoever knew of it, or by what a tier knew."""
        return fold(self._by(at_us, tier))

    def accountable(self, at_us: int) -> Unit | None:
        """Who answered for the case then, by all that had been recorded, whoever knew of it."""
        file = self.file(at_us)
        return file.accountable if file else None

    def clocks(self, at_us: int, calendar: Calendar, tier: Division | None = None) -> tuple[ClockView, ...]:
        """The clocks that ran then, by all that had been recorded or by what a tier knew."""
        steps = self._by(at_us, tier)
        file = fold(steps)
        if file is None:
            return ()
        events = [step.event for step in steps if not isinstance(step.event, Unknown)]
        return running_clocks(file, events, calendar, at_us)

    def views(self, at_us: int) -> Mapping[Division, View]:
        """What each tier that ever knew of the case knew by then, in order of their codes."""
        recorded = [number for number, step in enumerate(self.steps) if step.at_us <= at_us]
        return {tier: self._view(tier, at_us, recorded) for tier in self.tiers}

    @property
    def tiers(self) -> list[Division]:
        """Every tier that is known to have known of the case, in order of their codes."""
        return sorted({division for step in self.steps for division in step.known})

    def _view(self, tier: Division, at_us: int, recorded: Iterable[int]) -> View:
        known = self._by(at_us, tier)
        file = fold(known)
        missing = tuple(number for number in recorded if not self.steps[number].is_known(tier, at_us))
        return View(len(known), file.accountable if file else None, missing, tier == self.here)

    def _by(self, at_us: int, tier: Division | None) -> list[Step]:
        if tier is None:
            return [step for step in self.learned if step.at_us <= at_us]
        return [step for step in self.learned if step.is_known(tier, at_us)]


def history(here: Division, case: UUID, learned: Sequence[Step]) -> History:
    """The history of a case by its events in the order in which `here` learned them; says which of them have effect."""
    told = [(step.said_to, step.place) for step in learned]
    for step, has_effect in zip(learned, effects(told), strict=True):
        step.has_effect = has_effect
    _add_causes(learned)
    return History(here, case, sorted(learned, key=lambda step: (step.at_us, step.order)), learned)


def _add_causes(steps: Sequence[Step]) -> None:
    """Who names a leaf as the cause of what it wrote had it by then."""
    by_leaf = {(step.log, step.seq): step for step in steps}
    for step in steps:
        for cause in step.said_to.cause if step.said_to else ():
            named = by_leaf.get((cause.log or "", -1 if cause.seq is None else cause.seq))
            if named is not None and step.event.node is not None:
                named.learn(Division(step.event.node), Knew(step.at_us, "cause"))


def step_of(
    here: Division, log: str, seq: int, place: int, order: int, via: int, event: AnyEvent | Unknown, learned_us: int
) -> Step:
    """An event as `here` learned it: known to it since then, and to its author since it was recorded."""
    step = Step(log, seq, place, order, via, event, learned_us, True, {})
    if event.node is not None:
        step.learn(Division(event.node), Knew(step.at_us, "wrote"))
    step.learn(here, Knew(learned_us, "order"))
    return step


def fold(steps: Iterable[Step]) -> CaseFile | None:
    """The case by these steps, in the order learned."""
    file: CaseFile | None = None
    for step in steps:
        if step.event.case is not None and step.event.stream is not None and step.event.version is not None:
            file = evolve(file, step.event, step.place)
    return file


def concerns(event: AnyEvent | Unknown, unit: str) -> bool:
    """Whether an event is part of the history of an office, or of a division with all its offices: it acted, or
    something was given to it."""
    if isinstance(event, Unknown):
        return event.node == unit
    named = [event.actor.unit, *(getattr(event, name, None) for name in ("unit", "to", "holder", "ruler"))]
    return any(one is not None and (one == unit or node_of(one) == unit) for one in named)


class UnitHistory(NamedTuple):
    """What an office, or a division with all its offices, did and was given in a period, step by step.

    cases: every case in which it did or was given anything, in the period or not, as far as it is known here.
    """

    here: Division
    unit: str
    steps: Sequence[Step]
    cases: Mapping[UUID, History]

    def number_at(self, at_us: int) -> int:
        """The number, from 0, of the last step recorded by then; -1 before the first."""
        return sum(step.at_us <= at_us for step in self.steps) - 1

    def held(self, at_us: int) -> list[History]:
        """The cases that it answered for then, by all that had been recorded, in order of their ids."""
        found = [self.cases[case] for case in sorted(self.cases)]
        return [one for one in found if _is_of(one.accountable(at_us), self.unit)]

    def clocks(self, at_us: int, calendar: Calendar) -> list[tuple[UUID, ClockView]]:
        """The clocks that ran for it then, whoever held the case, the first to end first."""
        running = [(one.case, clock) for one in self.cases.values() for clock in one.clocks(at_us, calendar)]
        own = [(case, clock) for case, clock in running if _is_of(clock.unit, self.unit)]
        return sorted(own, key=lambda found: (found[1].due_us, found[0]))


def unit_history(here: Division, unit: str, cases: Iterable[History], from_us: int, to_us: int) -> UnitHistory:
    """Its steps recorded in [from_us, to_us), out of the cases that it had to do with."""
    known = {one.case: one for one in cases}
    steps = [step for one in known.values() for step in one.steps if from_us <= step.at_us < to_us]
    own = sorted((step for step in steps if concerns(step.event, unit)), key=lambda s: (s.at_us, s.log, s.seq))
    return UnitHistory(here, unit, own, known)


def _is_of(unit: Unit | None, wanted: str) -> bool:
    return unit is not None and wanted in (unit, node_of(unit))
