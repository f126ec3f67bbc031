"""A bundle taken apart and put together again by somebody who has every key: what no outsider could do to it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.auditing.bundle import (
    ABOVE,
    CERTIFICATES,
    FAULTS,
    LOGS,
    OPENINGS,
    ORDER,
    POLICY,
    AboveLine,
    Bundle,
    FaultLine,
    LogLine,
    Manifest,
    OpeningLine,
    Run,
    folder_of,
)
from gateway.auditing.leaves import Tiles
from gateway.auditing.manifest import read_manifest
from gateway.auditing.trusting import Pins
from gateway.auditing.verifying import Report, verify_bundles
from gateway.auditing.writing import BundleWriter
from gateway.hosting import founding
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import Checkpoint, Note, NoteInvalid, Signer, cosign, parse_checkpoint, parse_note, sign_note
from sync.proofs.tiles import CHECKPOINT
from sync.trust.keys import load_keys


class Keys:
    """The keys of a town's nodes."""

    def __init__(self, folder: Path) -> None:
        self._of = {name: load_keys(folder / name / founding.KEYS) for name in ("county", "village")}

    def log(self, origin: str) -> Signer:
        return next(keys.log for keys in self._of.values() if keys.log.verifier.name == origin)

    def witness(self, name: str) -> Signer | None:
        found = (keys.witness for keys in self._of.values())
        return next((signer for signer in found if signer.verifier.name == name), None)

    @property
    def county(self) -> Signer:
        return self._of["county"].log

    @property
    def cosigner(self) -> Signer:
        return self._of["county"].witness


@dataclass
class LogParts:
    """One log, its leaves and heads; newest: the `checkpoint` beside its tiles, the last of the heads if null."""

    line: LogLine
    policy: str = ""
    leaves: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    newest: str | None = None

    def sizes(self) -> list[int]:
        return [int(head.split("\n")[1]) for head in self.heads]


@dataclass
class Parts:
    """All that a bundle says."""

    manifest: Manifest
    certificates: list[str]
    logs: list[LogParts]
    above: list[AboveLine]
    order: list[Run]
    faults: list[FaultLine]
    openings: list[OpeningLine]

    @classmethod
    def of(cls, folder: Path) -> "Parts":
        bundle = Bundle(folder)
        tiles = Tiles(bundle)
        logs = []
        for line in bundle.lines(LOGS, LogLine):
            parts = LogParts(line)
            if line.folder is not None:
                at = folder / folder_of(line)
                parts.policy = (at / POLICY).read_text("utf-8")
                parts.leaves = [tiles.leaf(line, seq) for seq in range(line.size)]
                parts.heads = list(bundle.lines(f"{folder_of(line)}/checkpoints.jsonl", str))
                parts.newest = (at / CHECKPOINT).read_text("utf-8")
            logs.append(parts)
        manifest, _ = read_manifest(bundle)
        return cls(
            manifest,
            list(bundle.lines(CERTIFICATES, str)),
            logs,
            list(bundle.lines(ABOVE, AboveLine)),
            list(bundle.lines(ORDER, Run)),
            list(bundle.lines(FAULTS, FaultLine)),
            list(bundle.lines(OPENINGS, OpeningLine)) if manifest.openings else [],
        )

    def log(self, code: str) -> LogParts:
        return next(log for log in self.logs if log.line.origin.split("/")[1] == code)

    def number(self, code: str) -> int:
        return next(n for n, log in enumerate(self.logs) if log.line.origin.split("/")[1] == code)

    def write(self, folder: Path, signer: Signer) -> Path:
        """Put it together, with a manifest that fits, signed by whoever forges it."""
        writer = BundleWriter(folder)
        writer.certificates(self.certificates)
        for log in self.logs:
            size = len(log.leaves) if log.line.folder else log.line.size
            written = writer.log(msgspec.structs.replace(log.line, size=size), log.policy)
            if written is not None:
                for head in log.heads:
                    written.checkpoint(head)
                for leaf in log.leaves:
                    written.add(leaf, leaf_hash(leaf))
                written.finish(log.newest, min(_size_in(log.newest), len(log.leaves)))
        for run in self.order:
            for seq in range(run.first, run.first + run.count):
                writer.learned(run.log, seq, run.via, run.known_us)
        for above in self.above:
            writer.above(above)
        for fault in self.faults:
            writer.fault(fault)
        if self.manifest.openings:
            writer.with_openings()
        for opening in self.openings:
            writer.opening(opening)
        writer.finish(self.manifest, signer)
        return folder

    def reorder(self) -> None:
        """Say again in which order all was learned, where leaves were added or taken away: each log after the other's
        turn as before, what is new at the end."""
        runs: list[Run] = []
        done = [0] * len(self.logs)
        for run in self.order:
            whole = self.logs[run.log].line.folder is not None
            count = min(run.count, len(self.logs[run.log].leaves) - run.first) if whole else run.count
            if count > 0:
                runs.append(msgspec.structs.replace(run, count=count))
                done[run.log] = max(done[run.log], run.first + count)
        for number, log in enumerate(self.logs):
            if log.line.folder is not None and done[number] < len(log.leaves):
                via = next(run.via for run in self.order if run.log == number)
                runs.append(Run(number, done[number], len(log.leaves) - done[number], via, runs[-1].known_us))
        self.order = runs

    def sign_again(self, log: LogParts, keys: Keys) -> None:
        """New heads over the leaves as they are now, at the sizes there were, signed by all whose keys we have."""
        old = [parse_note(head.encode()) for head in log.heads]
        sizes = [min(size, len(log.leaves)) for size in log.sizes()]
        sizes[-1] = len(log.leaves)
        heads = {size: _signed(log, size, note, keys) for size, note in zip(sizes, old, strict=True) if size}
        log.heads = [heads[size] for size in sorted(heads)]
        log.newest = log.heads[-1]


def _signed(log: LogParts, size: int, was: Note, keys: Keys) -> str:
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in log.leaves[:size]])
    text = Checkpoint(log.line.origin, size, frontier.root()).text()
    note = sign_note(text, keys.log(log.line.origin))
    lines = []
    for line in was.signatures:
        signer = keys.witness(line.name)
        if signer is not None:
            lines.append(cosign(text, signer, line.time_s))
    return note.with_lines(lines).to_bytes().decode()


def _size_in(note: str | None) -> int:
    """What a head says, where it can be read; 0 where not."""
    try:
        return parse_checkpoint(parse_note((note or "").encode()).text).size
    except NoteInvalid:
        return 0


def head_of(log: LogParts, leaves: Sequence[bytes], keys: Keys, time_s: int | None = None) -> str:
    """A head over these leaves, cosigned by the county at a moment if one is named."""
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    text = Checkpoint(log.line.origin, len(leaves), frontier.root()).text()
    lines = [] if time_s is None else [cosign(text, keys.cosigner, time_s)]
    return sign_note(text, keys.log(log.line.origin)).with_lines(lines).to_bytes().decode()


def audited(folder: Path, root: str | None, *policies: str, is_demonstration: bool = False) -> Report:
    """The report of one bundle."""
    (report,), _ = verify_bundles([folder], Pins(root, policies, is_demonstration), lambda *_: None)
    return report


def found(report: Report, *, grave: bool = True) -> set[tuple[str, str, int | None]]:
    """Code, division and index of what was found; grave: what makes a bundle unsound."""
    return {
        (one.code, one.log.split("/")[1] if "/" in one.log else one.log, one.index)
        for one in report.findings
        if not grave or one.severity != "notice"
    }


__all__ = ["Keys", "LogParts", "NoteInvalid", "Parts", "audited", "base64", "found", "head_of"]
