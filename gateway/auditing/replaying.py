"""A case's history out of a bundle, step by step: what happened, which tier knew it from when on, who answered for it.

What the node that made the bundle knew, its own order says; what an author knew, its log; of every other tier the first
note of heads (`node.heads.v0`) that covers a leaf proves that it was known by then, and nothing here says since when.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from domain.authority import effects
from domain.case import CaseFile, evolve
from domain.divisions import Division
from domain.events import AnyEvent, HeadsNoted, Unit, Unknown, read, tag_of
from gateway.auditing.bundle import CERTIFICATES, LOGS, MAX_LOGS, Bundle, LogLine, Manifest
from gateway.auditing.findings import Findings
from gateway.auditing.leaves import Tiles
from gateway.auditing.manifest import read_manifest
from gateway.auditing.order import Learned, Order
from gateway.auditing.trusting import Trust
from sync.trust.certificates import Directory

How = Literal["wrote", "order", "note"]
"""Why a tier is said to have known: it wrote the event; the bundle's own order says so; it had noted a later head."""


class Knew(NamedTuple):
    """Since when (UTC microseconds) a tier knew an event, or by when at the latest where a note says so."""

    at_us: int
    how: How


class Step(msgspec.Struct):
    """One event of the case, as it was learned. event: Unknown for a type of a newer version.

    has_effect: after all that came later. known: by division.
    """

    log: str
    seq: int
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
    def occurred_us(self) -> int:
        """When it happened, as claimed."""
        return self.learned_us if isinstance(self.event, Unknown) else self.event.occurred_us


class View(NamedTuple):
    """A tier's view at a moment: how many of the steps it is known to have known, and who answered by these."""

    known: int
    accountable: Unit | None


class Replay(NamedTuple):
    """A case, step by step."""

    manifest: Manifest
    case: UUID
    steps: Sequence[Step]

    def happened(self, at_us: int) -> list[Step]:
        """What had happened by a moment, as claimed; what is claimed of the future, when it was recorded."""
        return [step for step in self.steps if min(step.occurred_us, step.recorded_us) <= at_us]

    def accountable(self, at_us: int) -> Unit | None:
        """Who answered for the case then, by all that had been recorded, whoever knew of it."""
        return _accountable([step for step in self.steps if step.recorded_us <= at_us])

    def views(self, at_us: int) -> Mapping[Division, View]:
        """What each tier that ever knew of the case knew by then."""
        tiers = sorted({division for step in self.steps for division in step.known})
        views: dict[Division, View] = {}
        for tier in tiers:
            known = [step for step in self.steps if tier in step.known and step.known[tier].at_us <= at_us]
            views[tier] = View(len(known), _accountable(known))
        return views


def read_case(folders: Sequence[Path], case: UUID) -> Replay:
    """The history of a case in the first bundle, none of which is verified here; the others, of other tiers, say what
    those knew. Raises BundleUnreadable, FileUnreadable."""
    replay, *others = (_read(folder, case) for folder in folders)
    for other in others:
        here = Division(other.manifest.division)
        known = {(step.log, step.seq): step.known[here] for step in other.steps}
        for step in replay.steps:
            knew = known.get((step.log, step.seq))
            if knew is not None:
                step.known[here] = knew
    return replay


def _read(folder: Path, case: UUID) -> Replay:
    bundle = Bundle(folder)
    manifest, _ = read_manifest(bundle)
    logs = [line for _, line in zip(range(MAX_LOGS), bundle.lines(LOGS, LogLine), strict=False)]
    directory, _ = Directory(manifest.root).adding_what_holds(bundle.lines(CERTIFICATES, str))
    order = Order(bundle, logs, Tiles(bundle), Trust(directory, {}), Findings())
    steps: list[Step] = []
    for learned in order:
        if learned.leaf.case_id == case:
            steps.append(_step(learned, logs, Division(manifest.division)))
        elif isinstance(learned.leaf.event, HeadsNoted):
            _note(steps, learned.leaf.event)
    told = [(None if isinstance(step.event, Unknown) else step.event, step.seq) for step in steps]
    for step, has_effect in zip(steps, effects(told), strict=True):
        step.has_effect = has_effect
    return Replay(manifest, case, steps)


def _step(learned: Learned, logs: Sequence[LogLine], here: Division) -> Step:
    event = learned.leaf.event or read(learned.body)  # of a newer type: what is no event concerns no case
    step = Step(logs[learned.log].origin, learned.seq, event, learned.known_us, True, {})
    step.known[here] = Knew(learned.known_us, "order")
    if event.node is not None:
        step.known[Division(event.node)] = Knew(step.recorded_us, "wrote")
    return step


def _note(steps: Sequence[Step], event: HeadsNoted) -> None:
    """Its author has accepted every leaf under these heads by now."""
    sizes = {head.log: head.size for head in event.heads}
    for step in steps:
        if step.seq < sizes.get(step.log, 0):
            step.known.setdefault(Division(event.node), Knew(event.recorded_us, "note"))


def _accountable(steps: Sequence[Step]) -> Unit | None:
    file: CaseFile | None = None
    for step in steps:
        if step.event.case is not None and step.event.stream is not None and step.event.version is not None:
            file = evolve(file, step.event, step.seq)
    return file.accountable if file else None
