"""How verified leaves become rows: ledger rows, parts beside them, and what is noted about either."""

from typing import NamedTuple

from sync.exchange.faults import Fault, evidence_of
from sync.exchange.inbox_store import Part
from sync.exchange.leaf import certificate_in, is_part_of, parts_expected
from sync.exchange.opening import OpenFrame
from sync.ledger.append import Learned
from sync.proofs.tree import Tree
from sync.trust.certificates import CertificateRefused, Directory
from sync.trust.statements import Statement, read_statement


class Filed(NamedTuple):
    """certificates: (leaf index, text) of every enrolment among the leaves, not checked yet.

    missing: as `log#seq.part`, what belongs beside a leaf and did not come, or not as the leaf says.
    """

    rows: list[Learned]
    parts: list[Part]
    faults: list[Fault]
    certificates: list[tuple[int, str]]
    missing: list[str]


def file_frame(opened: OpenFrame, tree: Tree, sparse: dict[tuple[int, int], bytes]) -> Filed:
    """What the leaves beyond `tree` become. sparse: (log_id, seq) -> leaf hash of what was learned from above."""
    frame, log_id = opened.frame, tree.log_id
    skipped = tree.size - frame.first
    filed = Filed([], [], [], [], [])
    new = zip(opened.leaves[skipped:], frame.entries[skipped:], opened.hashes[skipped:], strict=True)
    for seq, (leaf, body, digest) in enumerate(new, tree.size):
        held = sparse.get((log_id, seq)) if sparse else None
        if held is None:
            filed.rows.append(Learned(log_id, seq, leaf.stream, leaf.version, leaf.topic, leaf.case_id, body, digest))
        elif held != digest:
            where = f"{frame.log}#{seq}"
            detail = "the enclosure that came from above holds another leaf"
            filed.faults.append(Fault("enclosure_differs", where, opened.child, detail, evidence_of(opened.record)))
        if leaf.fault is not None:
            where = f"{frame.log}#{seq}"
            filed.faults.append(Fault("undecodable", where, opened.child, leaf.fault))
        elif (text := certificate_in(leaf.event)) is not None:
            filed.certificates.append((seq, text))
    _file_parts(opened, tree, filed, sparse)
    return filed


def enrolled(directory: Directory, log: str, text: str) -> tuple[Statement, Directory]:
    """A certificate or a revocation in a leaf of `log`, believed where that log is its issuer's, or that of whom it
    places somebody below. Raises CertificateRefused."""
    said, author = read_statement(text), directory.division_of(log)
    if author is None or not (author == getattr(said, "parent", None) or directory.has_signed(author, text)):
        raise CertificateRefused("issuer", "并非由该上级登记", "its leaf is not its issuer's")
    grown = directory.adding(text)
    if author not in (grown.issuer_of(text), getattr(said, "parent", None)):
        raise CertificateRefused("issuer", "并非由该上级登记", "its leaf is not its issuer's")
    return said, grown


def _file_parts(opened: OpenFrame, tree: Tree, filed: Filed, held: dict[tuple[int, int], bytes]) -> None:
    """held: leaves that came from above with their parts, which may have been erased since: those stay as they are."""
    frame = opened.frame
    skipped = tree.size - frame.first
    new = {seq for seq in range(tree.size, opened.head.size) if (tree.log_id, seq) not in held}
    missing = {
        (seq, part)
        for seq, leaf in enumerate(opened.leaves[skipped:], tree.size)
        for part in range(parts_expected(leaf.event))
        if seq in new
    }
    for beside in frame.beside:
        if beside.seq in new and is_part_of(opened.leaves[beside.seq - frame.first].event, beside.part, beside.body):
            filed.parts.append(Part(tree.log_id, beside.seq, beside.part, beside.body))
            missing.discard((beside.seq, beside.part))
    filed.missing.extend(f"{frame.log}#{seq}.{part}" for seq, part in sorted(missing))
