"""Whether the evidence of a case is what it says: every leaf, signature, word and page of it, from the pinned root."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from domain.authority import judged
from domain.case import CaseFile, evolve
from domain.divisions import Division
from domain.events import AnyEvent, EventId, KeyDestroyed, SealedRead, tag_of
from domain.standing import Standing
from gateway.auditing.bundle import Bundle, FileUnreadable, Manifest
from gateway.auditing.bundle import LogLine as BundleLog
from gateway.auditing.excerpting import excerpt
from gateway.auditing.findings import Finding, Findings
from gateway.auditing.manifest import read_manifest as read_bundle_manifest
from gateway.auditing.trusting import Head, Pins, Trust, build_trust
from gateway.dossier.deriving import derive
from gateway.dossier.evidence import Evidence, EvidenceUnreadable, Proven, read_evidence, read_manifest
from gateway.dossier.setting import SETTER
from gateway.dossier.shape import (
    CERTIFICATES,
    COVER,
    FILES,
    LINKS,
    LOGS,
    MANIFEST,
    OPENINGS,
    README,
    STEPS,
    Dossier,
    FileLine,
    Files,
    event_file,
    listed,
    paper_file,
    policy_file,
    read_files,
    read_lines,
)
from gateway.reading.history import Step
from sync.exchange.leaf import read_leaf
from sync.proofs.merkle import ProofInvalid, leaf_hash, verify_consistency, verify_inclusion
from sync.proofs.note import Note, NoteInvalid, verify
from sync.sealed.commitment import Opening, is_opened_by
from sync.trust.statements import MAX_SKEW_US, CertificateRefused

US: Final = 1_000_000
_FROM_ABOVE: Final = 2


class Judged(msgspec.Struct, frozen=True):
    """What was found of one dossier. cosigned: so many of its steps stand under a head that a witness has cosigned."""

    dossier: Dossier
    steps: int
    cosigned: int
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing graver than a notice was found."""
        return all(finding.severity == "notice" for finding in self.findings)


def judge(path: Path, pins: Pins, bundle: Path | None = None) -> Judged:
    """Verify a dossier, a zip or a folder. bundle: the one that it is an excerpt of, to see that nothing was left out.

    Raises DossierUnreadable, BundleUnreadable, NothingProven, OSError; PolicyInvalid for a pinned policy that is not
    signed by whom it says.
    """
    files = read_files(path)
    dossier, note = read_manifest(files)
    found = Findings()
    _check_files(files, dossier, found)
    try:
        evidence = read_evidence(dossier, files)
    except EvidenceUnreadable as error:
        found.add("file_unreadable", detail=str(error))
        return Judged(dossier, 0, 0, tuple(found))
    _check_names(evidence, files, found)
    trust = _trust(evidence, files, pins, found)
    _check_author(dossier, note, trust, found)
    heads = _check_steps(evidence, trust, found)
    _check_links(evidence, heads, found)
    _check_streams(evidence, found)
    _check_order(evidence, found)
    _check_right(evidence, found)
    _check_openings(evidence, found)
    _check_made(evidence, files, found)
    if bundle is not None:
        _compare(evidence, bundle, found)
    cosigned = sum(head.cosigned_s is not None for head in heads.values())
    return Judged(dossier, len(evidence.steps), cosigned, tuple(found))


def _check_files(files: Files, dossier: Dossier, found: Findings) -> None:
    """Every file that the manifest lists, as it lists it, and nothing besides."""
    data = files.get(FILES, b"")
    if sha256(data).hexdigest() != dossier.files_sha256:
        found.add("file_altered" if FILES in files else "file_missing", detail=FILES)
    try:
        lines = {line.path: line for line in read_lines(data, FileLine)}
    except ValueError as error:
        found.add("file_unreadable", detail=f"{FILES}: {error}")
        return
    here = {line.path: line for line in listed(files)}
    for name in sorted(lines.keys() - here.keys()):
        found.add("file_missing", detail=name)
    for name in sorted(here.keys() - lines.keys()):
        found.add("file_extra", detail=name)
    for name in sorted(here.keys() & lines.keys()):
        if here[name] != lines[name]:
            found.add("file_altered", detail=name)


def _check_names(evidence: Evidence, files: Files, found: Findings) -> None:
    """Nothing lies among them that is neither evidence nor made from it: a page more would be read as one of these."""
    numbers = range(1, len(evidence.steps) + 1)
    wanted = {CERTIFICATES, COVER, FILES, LINKS, LOGS, MANIFEST, README, STEPS, *map(paper_file, numbers)}
    wanted |= {event_file(number, kind) for number in numbers for kind in ("leaf", "tlog-proof", "json")}
    wanted |= {policy_file(number) for number, log in enumerate(evidence.logs) if log.has_policy}
    wanted |= {OPENINGS} if evidence.dossier.openings else set()
    for name in sorted(files.keys() - wanted):
        found.add("file_foreign", detail=name)


# --- whom to believe --------------------------------------------------------------------------------------------------


class _Policies(Bundle):
    """The policies of a dossier, where `build_trust` looks for those of a bundle."""

    def __init__(self, files: Files) -> None:
        super().__init__(Path())
        self._files = files

    def read(self, path: str, limit_bytes: int) -> bytes:
        """See Bundle."""
        data = self._files.get(path)
        if data is None or len(data) > limit_bytes:
            raise FileUnreadable(path, "it is missing or too long")
        return data


def _trust(evidence: Evidence, files: Files, pins: Pins, found: Findings) -> Trust:
    said = evidence.dossier
    logs = [
        BundleLog(log.origin, str(number) if log.has_policy else None, 0, None)
        for number, log in enumerate(evidence.logs)
    ]
    policies = {path: files[path] for log in range(len(logs)) if (path := policy_file(log)) in files}
    return build_trust(evidence.certificates, _as_manifest(said), _Policies(policies), logs, pins, found)


def _as_manifest(said: Dossier) -> Manifest:
    return Manifest(
        division=said.division,
        name=said.name,
        origin=said.origin,
        root=said.root,
        made_us=said.made_us,
        pos=0,
        left_out=said.left_out,
        below=said.below,
        openings=said.openings,
        reader=said.reader,
        files=said.files,
        files_sha256="0" * 64,
    )


def _check_author(dossier: Dossier, note: Note | None, trust: Trust, found: Findings) -> None:
    """That the node which the manifest names bears that name, and has signed; or that it says that it is an excerpt."""
    known = trust.directory.division(dossier.division)
    is_its_log = trust.directory.division_of(dossier.origin) == dossier.division
    if known is None or known.certificate.name != dossier.name or not is_its_log:
        found.add("maker_false", detail=f"{dossier.name} {dossier.division} {dossier.origin}")
    if dossier.excerpt_of is not None:
        found.add("excerpt", detail=dossier.excerpt_of)
        return
    if note is None:
        found.add("manifest_unsigned")
        return
    try:
        verify(note, trust.speakers(_as_manifest(dossier)))
    except NoteInvalid as error:
        found.add("manifest_unsigned", detail=str(error))


# --- the steps --------------------------------------------------------------------------------------------------------


def _check_steps(evidence: Evidence, trust: Trust, found: Findings) -> dict[int, Head]:
    heads: dict[int, Head] = {}
    for one in evidence.steps:
        _check_leaf(evidence, one, trust, found)
        head = _head(one, trust, found)
        if head is not None:
            heads[one.number] = head
            _check_proof(one, head, trust, found)
    return heads


def _check_leaf(evidence: Evidence, one: Proven, trust: Trust, found: Findings) -> None:
    log, seq = one.step.log, one.step.seq
    leaf = read_leaf(one.leaf, log, trust.directory)
    if leaf.fault is not None:
        found.add("not_canonical", log, seq, leaf.fault)
    elif leaf.event is None:
        found.add("unknown_type", log, seq, leaf.topic)
    if leaf.case_id != evidence.dossier.case:
        found.add("leaf_foreign", log, seq, str(leaf.case_id))
    if one.proof.extra != one.leaf or one.proof.index != seq:
        found.add("file_altered", log, seq, event_file(one.number, "tlog-proof"))


def _head(one: Proven, trust: Trust, found: Findings) -> Head | None:
    log, seq = one.step.log, one.step.seq
    if trust.directory.division_of(log) is None:
        found.add("log_uncertified", log)
        return None
    try:
        return trust.head(log, one.note)
    except CertificateRefused as error:
        code = "head_by_old_key" if error.reason in ("key_revoked", "key_retired") else "log_uncertified"
        found.add(code, log, seq, str(error))
    except NoteInvalid as error:
        names = {key.name for key in trust.authors(log)}
        is_unsigned = not any(line.name in names for line in one.note.signatures)
        found.add("head_unsigned" if is_unsigned else "signature_false", log, seq, str(error))
    return None


def _check_proof(one: Proven, head: Head, trust: Trust, found: Findings) -> None:
    """That the leaf stands under the head, and that its time and the cosignature's go together."""
    log, seq, size = one.step.log, one.step.seq, head.checkpoint.size
    try:
        verify_inclusion(seq, size, leaf_hash(one.leaf), one.proof.path, head.checkpoint.root)
    except (ProofInvalid, ValueError) as error:
        found.add("root_mismatch", log, seq, str(error))
    if head.cosigned_s is None:
        found.add("not_yet_cosigned", log, seq, f"step {one.number}")
        return
    if not trust.is_valid_at(log, head.cosigned_s * US):
        found.add("expired", log, seq)
    event = one.step.said_to
    if event is not None and not trust.is_simulated(log) and event.recorded_us > head.cosigned_s * US + MAX_SKEW_US:
        found.add("postdated", log, seq, f"step {one.number}")


def _check_links(evidence: Evidence, heads: Mapping[int, Head], found: Findings) -> None:
    """All heads of one log are one history."""
    roots: dict[str, dict[int, bytes]] = {}
    for one in evidence.steps:
        if one.number not in heads:
            continue
        head = heads[one.number].checkpoint
        if roots.setdefault(one.step.log, {}).setdefault(head.size, head.root) != head.root:
            found.add("root_mismatch", one.step.log, one.step.seq, f"two roots at size {head.size}")
    known = {
        (evidence.log(link.log), link.old_size, link.new_size): link.path
        for link in evidence.links
        if link.log < len(evidence.logs)
    }
    for log, by_size in roots.items():
        for old, new in pairwise(sorted(by_size)):
            path = known.get((log, old, new))
            if path is None:
                found.add("heads_not_linked", log, old, f"{old}, {new}")
                continue
            try:
                verify_consistency(old, new, by_size[old], by_size[new], path)
            except ProofInvalid as error:
                found.add("root_mismatch", log, old, f"{old} → {new}: {error}")


def _check_streams(evidence: Evidence, found: Findings) -> None:
    """The versions of every stream that the node holds without a gap go 1, 2, 3, …; and no leaf comes twice."""
    streams: dict[object, list[Proven]] = {}
    seen: set[tuple[str, int]] = set()
    for one in sorted(evidence.steps, key=lambda it: (it.step.place, it.step.log)):
        event = one.step.event
        if (one.step.log, one.step.seq) in seen:
            found.add("version_twice", one.step.log, one.step.seq, "the leaf is in it twice")
        seen.add((one.step.log, one.step.seq))
        if event.stream is not None and event.version:
            streams.setdefault(event.stream, []).append(one)
    for stream, steps in streams.items():
        is_partial = any(_is_from_above(evidence, one) for one in steps)  # whence comes only what this node has to know
        for wanted, one in enumerate(steps, 1):
            if one.step.event.version != wanted:
                detail = f"stream {stream}: version {one.step.event.version}, {wanted} was to come"
                found.add("version_absent" if is_partial else "version_gap", one.step.log, one.step.seq, detail)
                break


def _is_from_above(evidence: Evidence, one: Proven) -> bool:
    """Whether it came from above as the node says, and the certificates put its author neither here nor below."""
    here, author, tree = Division(evidence.dossier.division), _author(evidence, one), evidence.directory.topology
    is_held = author == here or (author is not None and author in tree.parents and tree.is_below(author, here))
    return one.line.via == _FROM_ABOVE and not is_held


def _author(evidence: Evidence, one: Proven) -> Division | None:
    return evidence.directory.division_of(one.step.log)


def _check_order(evidence: Evidence, found: Findings) -> None:
    """Nothing is said to have been learned before its cause, nor the leaves of a log out of turn."""
    orders = {(step.log, step.seq): step.order for step in evidence.history.learned}
    last: dict[str, Step] = {}
    for step in evidence.history.learned:
        for cause in step.said_to.cause if step.said_to else ():
            if orders.get((cause.log or "", -1 if cause.seq is None else cause.seq), -1) > step.order:
                found.add("effect_before_cause", step.log, step.seq, step.tag)
        before = last.get(step.log)
        if before is not None and before.seq > step.seq and before.via != _FROM_ABOVE:
            found.add("order_broken", step.log, step.seq)
        last[step.log] = step


def _check_right(evidence: Evidence, found: Findings) -> None:
    """Fold the case as the node did: who wrote what without right."""
    is_other = any(
        not _is_from_above(evidence, one) and one.step.log != evidence.dossier.origin for one in evidence.steps
    )
    if not (evidence.dossier.below or is_other):
        return  # one log alone does not tell who was given the matter
    file: CaseFile | None = None
    for step in evidence.history.learned:
        event = step.event
        if event.case is None or event.stream is None or event.version is None:
            continue
        _, is_lawful = judged(file.standing if file else Standing(), event, step.place)
        if not is_lawful:
            found.add("without_right", step.log, step.seq, step.tag)
        file = evolve(file, event, step.place)


# --- openings ---------------------------------------------------------------------------------------------------------


def _check_openings(evidence: Evidence, found: Findings) -> None:
    """Each opened text is what was committed to; none is missing, none left against its erasure, each reading noted."""
    if evidence.openings is None:
        return
    told = {(line.step, line.part): line for line in evidence.openings}
    events = {one.number: one.step.said_to for one in evidence.steps}
    noted = {read for event in events.values() if isinstance(event, SealedRead) for read in event.events}
    asked = {(number, part) for number, event in events.items() if event for part in range(len(event.sealed))}
    for step, part in sorted(told.keys() - asked):
        found.add("opening_unasked", detail=f"step {step}.{part}")
    for number, part in sorted(asked):
        one, event = evidence.steps[number - 1], events[number]
        line = told.get((number, part))
        if event is None:
            continue
        if line is None or (line.withheld and not _may_be_withheld(evidence, line.withheld, event, part)):
            found.add("opening_missing", one.step.log, one.step.seq, f"part {part}")
        elif line.withheld is None:
            _check_opening(one, event, part, line.openings, noted, found)


def _may_be_withheld(evidence: Evidence, why: str, event: AnyEvent, part: int) -> bool:
    """Whether the events bear out why a text is not shown."""
    file, subject = evidence.file, event.sealed[part].subject
    if why == "erased":
        events = [one.step.said_to for one in evidence.steps]
        is_destroyed = any(isinstance(one, KeyDestroyed) and one.subject == subject for one in events)
        return is_destroyed or (file is not None and file.due_erasure(subject) is not None)
    is_reader = file is not None and Division(evidence.dossier.division) in file.readers(subject)
    return why == "no_key" and not is_reader


def _check_opening(
    one: Proven, event: AnyEvent, part: int, openings: Sequence[Opening], noted: set[EventId], found: Findings
) -> None:
    fields = event.sealed[part].fields
    opened = {opening.path: opening for opening in openings}
    if opened.keys() != fields.keys() or not all(is_opened_by(fields[path], it) for path, it in opened.items()):
        found.add("opening_wrong", one.step.log, one.step.seq, f"part {part}")
    if event.id not in noted:
        found.add("reading_unnoted", one.step.log, one.step.seq, tag_of(event))


# --- what is made from it ---------------------------------------------------------------------------------------------


def _check_made(evidence: Evidence, files: Files, found: Findings) -> None:
    """Make the cover, the papers and all words again out of the evidence, and compare byte by byte."""
    if evidence.dossier.setter != SETTER:
        found.add("not_made_again", detail=evidence.dossier.setter)
        return
    derived = {name for name in files if name.endswith((".json", ".pdf", ".txt"))}
    basis = {name: data for name, data in files.items() if name not in derived and name not in (FILES, MANIFEST)}
    made = derive(evidence, basis)
    for name in sorted(made.keys() | derived):
        if made.get(name) != files.get(name):
            found.add("cover_false", detail=name)


def _compare(evidence: Evidence, folder: Path, found: Findings) -> None:
    """With the bundle that it was taken from: it is that bundle, and no event of the case in it was left out."""
    bundle = Bundle(folder)
    read_bundle_manifest(bundle)
    digest = sha256((folder / MANIFEST).read_bytes()).hexdigest()
    if evidence.dossier.excerpt_of not in (None, digest):
        found.add("excerpt_other", detail=digest)
    whole = read_evidence(*_excerpt(folder, evidence.dossier))
    here = {(one.step.log, one.step.seq) for one in evidence.steps}
    for one in whole.steps:
        if (one.step.log, one.step.seq) not in here:
            found.add("step_left_out", one.step.log, one.step.seq, one.step.tag)


def _excerpt(folder: Path, dossier: Dossier) -> tuple[Dossier, Files]:
    """All that the bundle can prove of the case: what the dossier says that it left out is believed by nobody."""
    files = excerpt(folder, dossier.case, with_texts=False)
    taken, _ = read_manifest(files)
    return taken, files
