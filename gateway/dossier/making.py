"""Puts the evidence of a case together: the files that everything rests on, then what is made from them."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.divisions import Division
from domain.errors import DomainError
from gateway.dossier.deriving import derive
from gateway.dossier.evidence import read_evidence, units_in
from gateway.dossier.setting import SETTER
from gateway.dossier.shape import (
    CERTIFICATES,
    FILES,
    FORMAT,
    LINKS,
    LOGS,
    MANIFEST,
    OPENINGS,
    STEPS,
    Dossier,
    Files,
    LinkLine,
    LogLine,
    OpeningLine,
    StepLine,
    event_file,
    lines_of,
    listed,
    policy_file,
)
from gateway.reading.history import Step
from sync.proofs.note import Note, parse_checkpoint, parse_note
from sync.proofs.tlog_proof import TlogProof
from sync.sealed.commitment import Opening
from sync.trust.certificates import Directory

Sign = Callable[[str], Note]
"""Signs a text with the log key of the node that says it."""


class NothingProven(DomainError):
    """No event of the case stands under a checkpoint yet. Try again in a moment."""

    code = "nothing_proven"

    def __init__(self) -> None:
        super().__init__(
            "该事项尚无已封入检查点的记录，请稍后再试", "no event of the case stands under a checkpoint yet; try later"
        )


class ProvenLeaf(NamedTuple):
    """A step with its bytes, its path and the note that the path leads to."""

    step: Step
    body: bytes
    path: tuple[bytes, ...]
    checkpoint: str


class Said(NamedTuple):
    """What the node says of itself: see shape.Dossier."""

    division: Division
    origin: str
    made_us: int
    below: bool
    left_out: int
    reader: str = ""
    excerpt_of: str | None = None


class Opened(NamedTuple):
    """Part `part` of what is sealed in a step, opened, or why not."""

    step: Step
    part: int
    openings: tuple[Opening, ...]
    withheld: Any = None


Links = Callable[[str, int, int], Sequence[bytes] | None]
"""links(log, old size, new size): the consistency proof between two heads; null where it cannot be made here."""


def make(
    case: UUID,
    said: Said,
    leaves: Iterable[ProvenLeaf],
    directory: Directory,
    policies: Mapping[str, str],
    links: Links,
    sign: Sign | None,
    opened: Sequence[Opened] | None = None,
) -> Files:
    """The whole dossier. sign: null for an excerpt; the others, and what it raises, as of `gather`."""
    return complete(*gather(case, said, leaves, directory, policies, links, opened), sign)


def complete(dossier: Dossier, files: Files, sign: Sign | None) -> Files:
    """The dossier out of its evidence: what is made from it, which takes long, the list and the manifest."""
    return finish(dossier, files | derive(read_evidence(dossier, files), files), sign)


def gather(
    case: UUID,
    said: Said,
    leaves: Iterable[ProvenLeaf],
    directory: Directory,
    policies: Mapping[str, str],
    links: Links,
    opened: Sequence[Opened] | None = None,
) -> tuple[Dossier, Files]:
    """What everything rests on. directory: everybody that the node knows. policies: by origin, as far as known.

    opened: null for one without openings. Raises NothingProven.
    """
    steps = sorted(leaves, key=lambda leaf: (leaf.step.at_us, leaf.step.order))
    if not steps:
        raise NothingProven
    logs = sorted({leaf.step.log for leaf in steps})
    maker = directory.division(said.division)
    orders = {order: number for number, order in enumerate(sorted(leaf.step.order for leaf in steps))}
    dossier = Dossier(
        case=case,
        division=said.division,
        name=maker.certificate.name if maker else "",
        origin=said.origin,
        root=directory.root_fingerprint,
        made_us=said.made_us,
        below=said.below,
        left_out=said.left_out,
        openings=opened is not None,
        reader=said.reader,
        excerpt_of=said.excerpt_of,
        setter=SETTER,
        files=0,
        files_sha256="",
    )
    files: Files = {
        CERTIFICATES: lines_of(_certificates(directory, said.division, steps)),
        LOGS: lines_of([LogLine(log, log in policies) for log in logs]),
        STEPS: lines_of([_line(leaf, logs, orders) for leaf in steps]),
        LINKS: lines_of(list(_links(steps, logs, links))),
    }
    files |= {policy_file(logs.index(log)): text.encode() for log, text in policies.items() if log in logs}
    for number, leaf in enumerate(steps, 1):
        files[event_file(number, "leaf")] = leaf.body
        proof = TlogProof(leaf.body, leaf.step.seq, leaf.path, leaf.checkpoint.encode())
        files[event_file(number, "tlog-proof")] = proof.to_bytes()
    if opened is not None:
        files[OPENINGS] = lines_of(list(_openings(steps, opened)))
    return dossier, files


def finish(dossier: Dossier, files: Files, sign: Sign | None) -> Files:
    """List and hash every file, and say so in the manifest, signed by the node if it makes the dossier itself."""
    lines = listed(files)
    data = lines_of(lines)
    said = msgspec.structs.replace(dossier, files=len(lines), files_sha256=sha256(data).hexdigest())
    text = f"{FORMAT}\n{msgspec.json.encode(said).decode()}\n"
    return files | {FILES: data, MANIFEST: sign(text).to_bytes() if sign else text.encode()}


def _line(leaf: ProvenLeaf, logs: list[str], orders: Mapping[int, int]) -> StepLine:
    step = leaf.step
    return msgspec.convert(
        {
            "log": logs.index(step.log),
            "seq": step.seq,
            "order": orders[step.order],
            "via": step.via,
            "learned_us": step.learned_us,
        },
        StepLine,
    )


def _certificates(directory: Directory, here: Division, steps: Iterable[ProvenLeaf]) -> list[str]:
    """The chains of everybody who wrote or is named, superiors first."""
    told = [leaf.step for leaf in steps]
    codes = {here, *(Division(unit[:12]) for unit in units_in(told))}
    codes |= {code for step in told if (code := directory.division_of(step.log)) is not None}
    return list(dict.fromkeys(text for code in sorted(codes) for text in directory.chain(code)))


def _links(steps: Iterable[ProvenLeaf], logs: list[str], links: Links) -> Iterable[LinkLine]:
    sizes: dict[str, set[int]] = {}
    for leaf in steps:
        sizes.setdefault(leaf.step.log, set()).add(parse_checkpoint(parse_note(leaf.checkpoint.encode()).text).size)
    for log in logs:
        ordered = sorted(sizes[log])
        for old, new in itertools.pairwise(ordered):
            path = links(log, old, new)
            if path is not None:
                yield LinkLine(logs.index(log), old, new, tuple(path))


def _openings(steps: Sequence[ProvenLeaf], opened: Iterable[Opened]) -> Iterable[OpeningLine]:
    numbers = {(leaf.step.log, leaf.step.seq): number for number, leaf in enumerate(steps, 1)}
    told = [(numbers.get((one.step.log, one.step.seq)), one) for one in opened]
    known = [(number, one) for number, one in told if number is not None]
    for number, one in sorted(known, key=lambda found: (found[0], found[1].part)):
        yield OpeningLine(number, one.part, one.openings, one.withheld)
