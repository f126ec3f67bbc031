"""Whether tiers agree: what one node noted of another's log, and what two bundles tell of the same log."""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby
from typing import Final, NamedTuple

from domain.divisions import Division
from domain.events import HeadsNoted, TakenOver
from gateway.auditing.bundle import Bundle, FileUnreadable, LogLine, Manifest, division_in
from gateway.auditing.findings import Findings
from gateway.auditing.heads import US, cosigned_by
from gateway.auditing.leaves import Tiles
from gateway.auditing.order import FROM_ABOVE, FROM_BELOW, OWN, Learned, Order
from gateway.auditing.spill import Spill
from gateway.auditing.trusting import Trust
from sync.proofs.merkle import TILE_WIDTH, HashesMissing, Prover
from sync.proofs.note import NoteInvalid, decode64
from sync.proofs.tiles import TileInvalid

COMMIT_S: Final = 60
"""So long a cosignature may have been given and not yet be in the database that another moment was read from."""

_NOTED: Final = "insert into noted values (?, ?, ?, ?, ?)"


class Tiers:
    """Collects every head and place in a log that the bundle's events name, and compares it with what is here."""

    def __init__(
        self, manifest: Manifest, logs: Sequence[LogLine], trust: Trust, spill: Spill, found: Findings
    ) -> None:
        self._manifest, self._logs, self._trust, self._spill, self._found = manifest, logs, trust, spill, found
        self._whole = {log.origin: number for number, log in enumerate(logs) if log.folder is not None}
        self._ways = set[tuple[int, int]]()

    def take(self, learned: Learned, order: Order) -> None:
        """Note what this leaf names, and see that it comes after what caused it."""
        origin = self._logs[learned.log].origin
        self._check_way(learned, origin)
        for cause in learned.leaf.causes:
            if cause.log is None or cause.seq is None or cause.log == origin:
                continue
            self._name(cause.log, cause.seq + 1, None, learned)
            if learned.via != FROM_ABOVE and order.has_learned(cause.log, cause.seq) is False:
                self._found.add("effect_before_cause", origin, learned.seq, f"its cause is {cause.log}#{cause.seq}")
        event = learned.leaf.event
        if isinstance(event, HeadsNoted):
            for head in event.heads:
                self._note(head.log, head.size, head.root, learned)
        elif isinstance(event, TakenOver):
            self._name(event.last_log, event.last_size, None, learned)

    def _check_way(self, learned: Learned, origin: str) -> None:
        """A node's own leaves are said to be its own, and from below comes what stands, or stood, below it."""
        if (learned.log, learned.via) in self._ways:
            return
        self._ways.add((learned.log, learned.via))
        author, here = division_in(origin), Division(self._manifest.division)
        is_below = learned.via != FROM_BELOW or self._trust.directory.stood_below(author, here)
        if (learned.via == OWN) != (author == here) or not is_below:
            way = ("its own", "come from below", "come from above")[learned.via]
            self._found.add("order_broken", origin, learned.seq, f"it is said to have {way}")

    def _note(self, log: str, size: int, root: str, learned: Learned) -> None:
        code = division_in(log)
        if self._trust.directory.division(code) is None:
            self._found.add("noted_unknown", self._logs[learned.log].origin, learned.seq, log)
        try:
            self._name(log, size, decode64(root), learned)
        except NoteInvalid as error:
            self._found.add("not_canonical", self._logs[learned.log].origin, learned.seq, str(error))

    def _name(self, log: str, size: int, root: bytes | None, learned: Learned) -> None:
        number = self._whole.get(log)
        if number is not None:
            self._spill.put(_NOTED, (number, size, root, learned.log, learned.seq))
        elif self._manifest.below and size and self._is_below(division_in(log)):
            by = f"{self._logs[learned.log].origin}#{learned.seq}"
            self._found.add("log_hidden", log, detail=f"{size} leaves are named by {by}")

    def _is_below(self, code: Division) -> bool:
        tree = self._trust.directory.topology
        return code in tree.parents and tree.is_below(code, Division(self._manifest.division))

    def compare(self, tiles: Tiles) -> None:
        """Every named head against the hashes that are here, which were compared with the leaves before."""
        rows = self._spill.ask("select log, size, root, by_log, by_seq from noted order by log, size")
        for (number, size), named in groupby(rows, key=lambda row: (row[0], row[1])):
            log = self._logs[number]
            _, _, _, by_log, by_seq = first = next(named)
            by = f"{self._logs[by_log].origin}#{by_seq}"
            if size > log.size:
                self._found.add("log_cut", log.origin, log.size, f"{by} names {size} leaves")
                continue
            roots = {row[2] for row in (first, *named)} - {None}
            if roots and (here := root_at(tiles, log, size)) is not None and roots != {here}:
                self._found.add("noted_otherwise", log.origin, size, f"at size {size}, by {by}")

    def look_for_silent(self) -> None:
        """Whoever is enrolled below and of whom nothing is here."""
        if not self._manifest.below:
            return
        here = {division_in(origin) for origin in self._whole}
        for code in sorted(set(self._trust.directory.topology.parents) - here):
            if self._is_below(code):
                self._found.add("silent_below", code)


def root_at(tiles: Tiles, log: LogLine, size: int) -> bytes | None:
    """The root that the log had at a size, out of its tiles; None where they cannot be read, which was found before."""
    try:
        return Prover(tiles.hashes(log), size).root()
    except (FileUnreadable, TileInvalid, HashesMissing):
        return None


def first_difference(one: Tiles, log: LogLine, other: Tiles, theirs: LogLine) -> int:
    """The first leaf that differs between two copies of a log, as long as the shorter one."""
    size = min(log.size, theirs.size)
    numbers = range(-(-size // TILE_WIDTH))
    pairs = (zip(one.tile(log, 0, at), other.tile(theirs, 0, at), strict=False) for at in numbers)
    return next((place for place, (a, b) in enumerate(chain.from_iterable(pairs)) if a != b), size)


class Side(NamedTuple):
    """One of two bundles that are compared, after each was verified by itself. made_us: by its manifest, and not before
    the newest that it holds."""

    manifest: Manifest
    bundle: Bundle
    logs: Mapping[str, LogLine]
    tiles: Tiles
    made_us: int


def compare_sides(one: Side, other: Side, trust: Trust, found: Findings) -> None:
    """Two bundles of two tiers (or of one tier at two times): every log that is in both must be one history."""
    for origin, log in one.logs.items():
        theirs = other.logs.get(origin)
        if theirs is None:
            continue
        size = min(log.size, theirs.size)
        roots = root_at(one.tiles, log, size), root_at(other.tiles, theirs, size)
        if None not in roots and roots[0] != roots[1]:
            found.add("split_view", origin, first_difference(one.tiles, log, other.tiles, theirs))
    for lower, upper in ((one, other), (other, one)):
        _compare_acknowledged(lower, upper, trust, found)


def _compare_acknowledged(lower: Side, upper: Side, trust: Trust, found: Findings) -> None:
    """What the upper node had cosigned of a log when its bundle was made, as the lower one shows, must be in it."""
    witness = trust.directory.division(upper.manifest.division)
    if witness is None or not upper.manifest.below:
        return
    upto_s = upper.made_us // US - COMMIT_S
    for origin, log in lower.logs.items():
        held = upper.logs.get(origin)
        size = cosigned_by(lower.bundle, log, witness.witness, upto_s)
        if not size or origin == upper.manifest.origin:
            continue
        if held is None:
            found.add("log_hidden", origin, detail=f"cosigned up to {size}")
        elif held.size < size:
            found.add("log_cut", origin, held.size, f"cosigned up to {size}")
