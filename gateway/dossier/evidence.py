"""The evidence of a case as it is read from its files: nothing is verified here, and nothing else is believed."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from domain.case import CaseFile
from domain.divisions import Division
from domain.events import EventId, NotCanonical, Unit, read
from domain.shards import place_in
from gateway.dossier.shape import (
    CERTIFICATES,
    FORMAT,
    LINKS,
    LOGS,
    MANIFEST,
    OPENINGS,
    STEPS,
    Dossier,
    DossierUnreadable,
    Files,
    LinkLine,
    LogLine,
    OpeningLine,
    StepLine,
    event_file,
    policy_file,
    read_lines,
)
from gateway.reading.history import History, Step, fold, history, step_of
from sync.proofs.merkle import leaf_hash
from sync.proofs.note import Checkpoint, Note, NoteInvalid, Verifier, parse_checkpoint, parse_note
from sync.proofs.policy import PolicyInvalid, has_quorum
from sync.proofs.signed_policy import parse_either
from sync.proofs.tlog_proof import TlogProof, parse_tlog_proof
from sync.trust.certificates import MAX_SKEW_US, Directory

OFFICE = "office"
US = 1_000_000

_S = TypeVar("_S")


class EvidenceUnreadable(Exception):
    """A file of the evidence cannot be understood. path: which."""

    def __init__(self, path: str, why: object) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class Proven(NamedTuple):
    """A step with its leaf, and the proof that it is said to have. number: from 1."""

    number: int
    line: StepLine
    step: Step
    leaf: bytes
    proof: TlogProof
    note: Note
    checkpoint: Checkpoint

    @property
    def leaf_hash(self) -> str:
        """RFC 6962, hex."""
        return leaf_hash(self.leaf).hex()


class Evidence(NamedTuple):
    """All that is in a dossier beside what is made from it. policies: by origin. file: the case by all
    of its steps. openings: null where none were asked for."""

    dossier: Dossier
    certificates: list[str]
    directory: Directory
    logs: list[LogLine]
    policies: Mapping[str, str]
    steps: list[Proven]
    history: History
    file: CaseFile | None
    links: list[LinkLine]
    openings: list[OpeningLine] | None

    def log(self, number: int) -> str:
        """The origin of a log by its number."""
        return self.logs[number].origin

    def texts(self) -> Mapping[int, Mapping[str, str]]:
        """The opened texts by step and path."""
        found: dict[int, dict[str, str]] = {}
        for line in self.openings or ():
            found.setdefault(line.step, {}).update((one.path, one.value) for one in line.openings)
        return found

    def unit_name(self, unit: str) -> str:
        """What people call an office, by the certificates alone."""
        known = self.directory.division(unit[:12])
        name = known.certificate.name if known else unit[:12]
        return name if unit[13:] in ("", OFFICE) else f"{name}（{unit[13:]}）"

    def number_of(self, event: EventId) -> int | None:
        """The step that an event is."""
        return next((one.number for one in self.steps if one.step.said_to and one.step.said_to.id == event), None)

    def cosigners(self, one: Proven) -> Iterator[tuple[str, int]]:
        """Who says that the checkpoint of a step was there, and when (POSIX seconds): superiors, by keys that were in
        force then; at the root the outside witnesses, where they are as many as its policy asks for."""
        above = self.directory.cosigners_above(self.directory.division_of(one.step.log) or Division(""))
        known: Mapping[Verifier, int | None] = above or self._outside(one)
        until = {(key.name, key.key_id): last_us for key, last_us in known.items()}
        for line in one.note.signatures:
            last_us = until.get((line.name, line.key_id), -1 << 62)
            if last_us is None or line.time_s * US <= last_us + MAX_SKEW_US:
                yield line.name, line.time_s

    def _outside(self, one: Proven) -> dict[Verifier, int | None]:
        """The outside witnesses whose lines the checkpoint bears; none where they are no quorum, or none is known."""
        try:
            policy = parse_either(self.policies[one.step.log], accept_simulated_clock=True)
        except (KeyError, PolicyInvalid):
            return {}
        size, lines = one.checkpoint.size, {(line.name, line.key_id) for line in one.note.signatures}
        known = [key for witness in policy.witnesses for key in witness.keys(size)]
        signed = dict.fromkeys(key for key in known if (key.name, key.key_id) in lines)
        return signed if has_quorum(policy, {*signed, policy.log}, size) else {}


def read_manifest(files: Files) -> tuple[Dossier, Note | None]:
    """What the dossier says it is, and the note in which that is signed, if it is. Raises DossierUnreadable."""
    data = files.get(MANIFEST)
    if data is None:
        raise DossierUnreadable("没有清单文件", "there is no manifest")
    try:
        is_signed = b"\n\n" in data
        note = parse_note(data) if is_signed else None
        kind, line, rest = (note.text if note else data.decode()).split("\n")
        dossier = msgspec.json.decode(line, type=Dossier)
    except (NoteInvalid, ValueError, RecursionError) as error:
        raise DossierUnreadable("清单无法解读", f"its manifest cannot be understood ({error})") from error
    if kind != FORMAT or rest or msgspec.json.encode(dossier).decode() != line:
        raise DossierUnreadable("不是本程序所知的格式", f"it is no {FORMAT}, or not written in its one way")
    return dossier, note


def read_evidence(dossier: Dossier, files: Files) -> Evidence:
    """Raises EvidenceUnreadable for a file that is missing or malformed, or that names what is not there."""
    certificates = _lines(files, CERTIFICATES, str)
    directory, _ = Directory(dossier.root).adding_what_holds(certificates)
    logs = _lines(files, LOGS, LogLine)
    if len({log.origin for log in logs}) != len(logs):
        raise EvidenceUnreadable(LOGS, "it names a log twice")
    policies = {log.origin: _text(files, policy_file(number)) for number, log in enumerate(logs) if log.has_policy}
    here = Division(dossier.division)
    lines = _lines(files, STEPS, StepLine)
    if not lines:
        raise EvidenceUnreadable(STEPS, "it holds no step, so nothing is proven")
    steps = [_proven(files, here, logs, line, number) for number, line in enumerate(lines, 1)]
    if sorted(line.order for line in lines) != list(range(len(lines))):
        raise EvidenceUnreadable(STEPS, "the order in which they were learned counts no one twice and leaves none out")
    learned = sorted((one.step for one in steps), key=lambda step: step.order)
    told = history(here, dossier.case, learned)
    if [(step.log, step.seq) for step in told.steps] != [(one.step.log, one.step.seq) for one in steps]:
        raise EvidenceUnreadable(STEPS, "they do not stand in the order in which they were recorded")
    openings = _openings(files) if dossier.openings else None
    links = _lines(files, LINKS, LinkLine)
    return Evidence(dossier, certificates, directory, logs, policies, steps, told, fold(learned), links, openings)


def _openings(files: Files) -> list[OpeningLine]:
    """Each part once, and no text where it is said that none can be shown: what is shown is then what is checked."""
    lines = _lines(files, OPENINGS, OpeningLine)
    if len({(line.step, line.part) for line in lines}) != len(lines):
        raise EvidenceUnreadable(OPENINGS, "it opens a part twice")
    if any(line.withheld is not None and line.openings for line in lines):
        raise EvidenceUnreadable(OPENINGS, "it shows a text that it says cannot be shown")
    return lines


def _proven(files: Files, here: Division, logs: list[LogLine], line: StepLine, number: int) -> Proven:
    path = event_file(number, "tlog-proof")
    leaf = _data(files, event_file(number, "leaf"))
    if line.log >= len(logs):
        raise EvidenceUnreadable(STEPS, f"step {number} names a log that is not listed")
    log = logs[line.log].origin
    try:
        proof = parse_tlog_proof(_data(files, path))
        note = parse_note(proof.checkpoint)
        event, checkpoint = read(leaf), parse_checkpoint(note.text)
    except (NoteInvalid, NotCanonical) as error:
        raise EvidenceUnreadable(path, error) from error
    at = place_in(log, line.seq)
    step = step_of(here, log, line.seq, at, line.order, line.via, event, line.learned_us)
    return Proven(number, line, step, leaf, proof, note, checkpoint)


def _data(files: Files, path: str) -> bytes:
    if path not in files:
        raise EvidenceUnreadable(path, "it is missing")
    return files[path]


def _text(files: Files, path: str) -> str:
    try:
        return _data(files, path).decode()
    except UnicodeDecodeError as error:
        raise EvidenceUnreadable(path, error) from error


def _lines(files: Files, path: str, shape: type[_S]) -> list[_S]:
    try:
        return read_lines(_data(files, path), shape)
    except (msgspec.DecodeError, ValueError) as error:
        raise EvidenceUnreadable(path, error) from error


def units_in(steps: Iterable[Step]) -> set[Unit]:
    """Every office that the events name."""
    found: set[Unit | None] = set()
    for step in steps:
        if (event := step.said_to) is not None:
            found |= {event.actor.unit, *(getattr(event, name, None) for name in ("unit", "to", "holder"))}
    return {unit for unit in found if unit is not None}
