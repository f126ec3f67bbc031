"""What two signed statements look like that contradict each other, and the file in which they leave a node."""

import hashlib
import re
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from domain.bounds import StatementText
from sync.exchange.faults import EVIDENCE_BYTES, Fork, Outlived
from sync.proofs.merkle import HashReader, Prover
from sync.proofs.tree import SignedHead, Tree, frontier_at
from sync.proofs.witness import RolledBack

MAX_FILE_BYTES: Final = 64 << 20
"""No evidence file is longer: 1 MiB of evidence in base64, and the certificates of one line of superiors."""

MAX_CERTIFICATES: Final = 2_000
"""A line of superiors has some hundreds at most; what weighing them costs grows with the square of their number."""


class Split(msgspec.Struct, frozen=True, tag="split.v0", tag_field="type"):
    """A head of a log as its author signed it, and another that a superior has cosigned: one tree holds not both.

    ours: the signed note, with every cosignature that was kept for it. theirs: checkpoint and cosignature.
    prefix_root, proof: the root that the tree of `ours` had at the size of `theirs`, not larger, and its RFC 6962
    consistency proof.
    """

    ours: str
    theirs: str
    prefix_root: bytes
    proof: list[bytes]


class NotedOtherwise(msgspec.Struct, frozen=True, tag="noted_otherwise.v0", tag_field="type"):
    """A leaf in which a node has noted a head of another log, and what the author of that log has signed.

    leaf, seq, path, head: the `node.heads.v0`, its place, the RFC 6962 inclusion path under the signed note `head`.
    ours, prefix_root, proof: as in `Split`, for the noted log at the noted size.
    """

    leaf: bytes
    seq: int
    path: list[bytes]
    head: str
    ours: str
    noted_size: int
    prefix_root: bytes
    proof: list[bytes]


class ProvenLeaf(msgspec.Struct, frozen=True):
    """A leaf, its place, and its RFC 6962 inclusion path under the signed note `head`."""

    leaf: bytes
    seq: int
    path: list[bytes]
    head: str


class KeptKey(msgspec.Struct, frozen=True, tag="kept_key.v0", tag_field="type"):
    """Two leaves of one author: that it has destroyed a subject's key, and later, that it gives this key on."""

    destroyed: ProvenLeaf
    granted: ProvenLeaf


Evidence = Fork | Outlived | Split | NotedOtherwise | KeptKey | RolledBack

_evidence: msgspec.msgpack.Decoder[Fork | Outlived | Split | NotedOtherwise | KeptKey] = msgspec.msgpack.Decoder(
    Fork | Outlived | Split | NotedOtherwise | KeptKey
)


class EvidenceFile(msgspec.Struct, frozen=True, tag="huiyin-evidence.v0", tag_field="type", forbid_unknown_fields=True):
    """One fault as it leaves the node `by`, with the certificates from the root down that it takes to check it.

    Nothing in it is believed but what is signed. first_us, last_us: when the fault was first and last met (UTC
    microseconds), by that node's clock. evidence: as the fault keeps it, in base64.
    """

    by: str
    kind: str
    subject: str
    detail: str
    count: int
    first_us: int
    last_us: int
    evidence: Annotated[bytes, Meta(max_length=EVIDENCE_BYTES)]
    certificates: Annotated[list[StatementText], Meta(max_length=MAX_CERTIFICATES)]


class Met(NamedTuple):
    """How often a fault was met, first and last (UTC microseconds)."""

    times: int
    first_us: int
    last_us: int


class EvidenceUnreadable(Exception):
    """A file that holds no evidence. Have it made again: `huiyin node evidence DIR --out FOLDER`."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"不是证据文件，请用 huiyin node evidence 重新导出（{why}） / "
            f"no file of evidence; make it again with huiyin node evidence ({why})"
        )


def name_of(kind: str, subject: str) -> str:
    """The name of the file: the same for a fault each time, whatever stands in its subject."""
    digest = hashlib.sha256(f"{kind}\0{subject}".encode()).hexdigest()[:12]
    return f"{re.sub('[^a-z0-9_]', '', kind)}-{digest}.evidence.json"


def read_file(data: bytes) -> EvidenceFile:
    """The file in foreign bytes. Raises EvidenceUnreadable."""
    if len(data) > MAX_FILE_BYTES:
        raise EvidenceUnreadable(f"{len(data)} bytes")
    try:
        return msgspec.json.decode(data, type=EvidenceFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceUnreadable(str(error)) from None


def read_evidence(data: bytes) -> Evidence | None:
    """What a fault keeps; null where it is no pair of signed statements, but a trace for whoever looks into it."""
    try:
        return _evidence.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(data, type=RolledBack)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def split_at(hashes: HashReader, tree: Tree, ours: str, size: int, theirs: str) -> bytes:
    """The evidence that `theirs`, a head of `size` leaves, is none of the tree under `ours`, the newest signed head."""
    prefix, proof = prefix_of(hashes, tree.size, size)
    return msgspec.msgpack.encode(Split(ours, theirs, prefix, proof))


def noted_otherwise(
    noter: tuple[HashReader, SignedHead, int, bytes], hashes: HashReader, tree: Tree, ours: str, size: int
) -> bytes:
    """noter: the hashes of the log in which the note stands, a head over it, its place, its bytes. The rest: as for
    `split_at`, of the noted log."""
    reader, head, seq, leaf = noter
    prefix, proof = prefix_of(hashes, tree.size, size)
    path = Prover(reader, head.size).inclusion(seq)
    return msgspec.msgpack.encode(NotedOtherwise(leaf, seq, path, head.note, ours, size, prefix, proof))


def prefix_of(hashes: HashReader, whole: int, size: int) -> tuple[bytes, list[bytes]]:
    """The root that a tree of `whole` leaves had at `size`, and the consistency proof; none where they are one."""
    proof = Prover(hashes, whole).consistency(size) if 0 < size < whole else []
    return frontier_at(hashes, size).root(), proof
