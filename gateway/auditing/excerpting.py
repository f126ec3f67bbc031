"""Takes one case out of a bundle: what a node makes as evidence of it, but unsigned, and said to be an excerpt."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from domain.divisions import Division
from gateway.auditing.bundle import (
    ABOVE,
    CERTIFICATES,
    CHECKPOINTS,
    LOGS,
    MANIFEST,
    MAX_LOGS,
    OPENINGS,
    POLICY,
    AboveLine,
    Bundle,
    BundleUnreadable,
    FileUnreadable,
    LogLine,
    Manifest,
    OpeningLine,
    folder_of,
)
from gateway.auditing.leaves import Tiles
from gateway.auditing.manifest import read_manifest
from gateway.auditing.replaying import read_case
from gateway.dossier.evidence import EvidenceUnreadable
from gateway.dossier.making import Opened, ProvenLeaf, Said, make
from gateway.dossier.shape import Files
from gateway.reading.history import Step
from sync.proofs.merkle import HashesMissing, Prover
from sync.proofs.note import MAX_NOTE_BYTES, NoteInvalid, parse_checkpoint, parse_note
from sync.proofs.policy import MAX_POLICY_CHARS
from sync.proofs.tiles import TileInvalid
from sync.trust.certificates import Directory


class OpeningsAbsent(ValueError):
    """The bundle opens no texts. Ask for one with openings, or leave --openings out."""

    def __init__(self) -> None:
        super().__init__(
            "该证据包不含开示内容，请去掉 --openings 或另索取含开示内容的证据包 / "
            "the bundle opens no texts: leave out --openings, or ask for a bundle with openings"
        )


def excerpt(folder: Path, case: UUID, *, with_texts: bool) -> Files:
    """The evidence of a case out of a bundle, which is not verified here.

    Raises BundleUnreadable, where no proof can be made of what is there, too; OpeningsAbsent, NothingProven.
    """
    bundle = Bundle(folder)
    manifest, _ = read_manifest(bundle)
    if with_texts and not manifest.openings:
        raise OpeningsAbsent
    try:
        return _excerpt(bundle, manifest, case, with_texts=with_texts)
    except (FileUnreadable, TileInvalid, HashesMissing, NoteInvalid, EvidenceUnreadable, ValueError) as error:
        raise BundleUnreadable("其中文件无法解读，请先核验证据包", f"verify it first ({error})") from error


def _excerpt(bundle: Bundle, manifest: Manifest, case: UUID, *, with_texts: bool) -> Files:
    logs = [line for _, line in zip(range(MAX_LOGS), bundle.lines(LOGS, LogLine), strict=False)]
    directory, _ = Directory(manifest.root).adding_what_holds(bundle.lines(CERTIFICATES, str))
    steps = read_case([bundle.folder], case).history.learned
    source = _Source(bundle, logs, steps)
    leaves = [leaf for step in steps if (leaf := source.proven(step)) is not None]
    said = Said(
        division=Division(manifest.division),
        origin=manifest.origin,
        made_us=manifest.made_us,
        below=manifest.below,
        left_out=len(steps) - len(leaves),
        reader=manifest.reader if with_texts else "",
        excerpt_of=sha256(bundle.read(MANIFEST, MAX_NOTE_BYTES)).hexdigest(),
    )
    opened = list(_opened(bundle, logs, steps)) if with_texts else None
    return make(case, said, leaves, directory, source.policies(), source.link, None, opened)


class _Head(NamedTuple):
    size: int
    note: str
    is_cosigned: bool


class _Source:
    """Proofs out of the bundle's tiles and kept heads."""

    def __init__(self, bundle: Bundle, logs: Sequence[LogLine], steps: Sequence[Step]) -> None:
        self._bundle, self._tiles = bundle, Tiles(bundle)
        named = {step.log for step in steps}
        self._whole = {log.origin: log for log in logs if log.folder is not None and log.origin in named}
        self._heads = {origin: _first_heads(bundle, log, steps) for origin, log in self._whole.items()}
        wanted = {(step.log, step.seq) for step in steps if step.log not in self._whole}
        self._above = _enclosed(bundle, logs, wanted) if wanted else {}

    def proven(self, step: Step) -> ProvenLeaf | None:
        """The leaf under the first head that somebody cosigned, else under the first one; null where there is none."""
        if step.log not in self._whole:
            found = self._above.get((step.log, step.seq))
            return ProvenLeaf(step, found.leaf, found.path, found.checkpoint) if found else None
        log, head = self._whole[step.log], self._heads[step.log].get(step.seq)
        if head is None:
            return None
        path = self._prover(log, head.size).inclusion(step.seq)
        return ProvenLeaf(step, self._tiles.leaf(log, step.seq), tuple(path), head.note)

    def link(self, origin: str, old: int, new: int) -> Sequence[bytes] | None:
        """See making.Links."""
        log = self._whole.get(origin)
        try:
            return self._prover(log, new).consistency(old) if log and new <= log.size else None
        except (FileUnreadable, TileInvalid, HashesMissing):
            return None

    def policies(self) -> dict[str, str]:
        """Of every log that is here as a whole."""
        limit_bytes = 4 * MAX_POLICY_CHARS
        texts = {
            origin: self._bundle.read(f"{folder_of(log)}/{POLICY}", limit_bytes).decode("utf-8", "replace")
            for origin, log in self._whole.items()
        }
        return {origin: text for origin, text in texts.items() if text}

    def _prover(self, log: LogLine, size: int) -> Prover:
        return Prover(self._tiles.hashes(log), size)


def _first_heads(bundle: Bundle, log: LogLine, steps: Sequence[Step]) -> dict[int, _Head]:
    """For each leaf the smallest cosigned head beyond it, or the smallest at all; in one pass over the heads."""
    seqs = sorted(step.seq for step in steps if step.log == log.origin)
    found: dict[int, _Head] = {}
    for text in bundle.lines(f"{folder_of(log)}/{CHECKPOINTS}", str):
        head = _head(text)
        if head is not None:
            for seq in seqs:
                known = found.get(seq)
                if seq < head.size and (known is None or (head.is_cosigned and not known.is_cosigned)):
                    found[seq] = head
            seqs = [seq for seq in seqs if seq not in found or not found[seq].is_cosigned]
    return found


def _head(text: str) -> _Head | None:
    try:
        note = parse_note(text.encode())
        checkpoint = parse_checkpoint(note.text)
    except NoteInvalid:
        return None
    is_cosigned = any(line.name != checkpoint.origin for line in note.signatures)
    return _Head(checkpoint.size, text, is_cosigned)


def _enclosed(
    bundle: Bundle, logs: Sequence[LogLine], wanted: set[tuple[str, int]]
) -> dict[tuple[str, int], AboveLine]:
    found = ((logs[line.log].origin, line) for line in bundle.lines(ABOVE, AboveLine) if line.log < len(logs))
    return {(log, line.seq): line for log, line in found if (log, line.seq) in wanted}


def _opened(bundle: Bundle, logs: Sequence[LogLine], steps: Sequence[Step]) -> Iterator[Opened]:
    by_leaf = {(step.log, step.seq): step for step in steps}
    for line in bundle.lines(OPENINGS, OpeningLine):
        step = by_leaf.get((logs[line.log].origin, line.seq)) if line.log < len(logs) else None
        if step is not None:
            yield Opened(step, line.part, line.openings, line.withheld)
