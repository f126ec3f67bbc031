"""What went wrong between nodes, kept with the bytes that show it: named, counted, never hidden, never fatal."""

import hashlib
from typing import Final

import msgspec

from sync.exchange.wire import Frame, WireInvalid, decode_record, encode
from sync.proofs.merkle import HashReader, Prover
from sync.proofs.tree import SignedHead, Tree, frontier_at
from sync.proofs.witness import Question, size_held
from sync.trust.statements import Statement

EVIDENCE_BYTES: Final = 1 << 20

FAULTS_PER_CHILD: Final = 200
"""So many rows stand for one child; whatever new comes by its lane beyond is counted in one row, MORE_FAULTS."""

MORE_FAULTS: Final = "more_faults"

OWN_KEYS_REVOKED: Final = "own_keys_revoked"
"""The kind of the fault that tells a node that its superior took its keys back: it needs new ones, in person."""

PROVEN: Final = ("fork", "key_retired", "key_revoked", "noted_otherwise", "shard_not_continued")
"""Kinds that always have a row of their own, one per certified log: their evidence convicts."""

NOTED_BEYOND: Final = "noted_beyond"
"""The kind of the fault that names leaves of a log which somebody below has noted and which have not come here."""

SUPERIOR_ROLLED_BACK: Final = "superior_rolled_back"
"""A superior has cosigned less than before, later; its subject is the name of its key. Over once it goes on."""

ROLLED_BACK: Final = "witness_rolled_back"
"""A witness holds less of the own log than it has cosigned; its subject is the witness's name."""

HEALING: Final = (
    "gap",
    "waits",
    "unknown_author",
    "mismatch",
    "incomplete",
    "expired",
    "not_yet_valid",
    "parked_full",
    "behind",
    NOTED_BEYOND,
)
"""Kinds that are over once their log goes on; from below no own log does, so `behind` of that stays."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that went wrong. kind: stable snake_case name; subject: the log, `log#seq` or lane it is about.

    child: by whose lane it came, '' for none. evidence: what shows it, cut to EVIDENCE_BYTES.
    """

    kind: str
    subject: str
    child: str
    detail: str
    evidence: bytes = b""


class Fork(msgspec.Struct, frozen=True, tag="fork.v0", tag_field="type"):
    """Two heads that one author signed and that cannot both be prefixes of one log; checkable by anybody.

    ours, theirs: signed notes. prefix_root, proof: the root that the tree of `ours` had at the size of `theirs`, and
    its RFC 6962 consistency proof; both empty where `theirs` is the larger: then `frontier` is the edge of the tree
    of `ours` at `first` (see merkle.Frontier), which `record`'s entries continue to the root of `theirs` although
    they differ from the leaves under `ours`.
    """

    ours: str
    theirs: str
    prefix_root: bytes
    proof: list[bytes]
    first: int
    frontier: bytes
    record: bytes


class Outlived(msgspec.Struct, frozen=True, tag="outlived.v0", tag_field="type"):
    """What a key signed beyond the size up to which it is good: the statement that says so, and the record."""

    statement: str
    record: bytes


def evidence_against(record: bytes, statement: str) -> bytes:
    """What a fault keeps of a record that a signed statement speaks against, if one does."""
    kept = evidence_of(record)
    return msgspec.msgpack.encode(Outlived(statement, kept)) if statement else kept


def evidence_between(text: str, other: str | None) -> bytes:
    """What a fault keeps of a statement, and behind it of the one that bears its number, if one does: both signed."""
    return f"{text}\n{other}".encode() if other else text.encode()


def certified_twice(where: str, child: str, said: Statement, text: str, other: str) -> Fault:
    """Two statements about one division bear one number; `text` holds from now on, and the other one no more."""
    detail = f"two statements about {said.division} are number {said.serial}; another one holds than before"
    return Fault("certified_twice", where, child, detail, evidence_between(text, other))


def evidence_of(record: bytes) -> bytes:
    """What a fault keeps of a record: a frame without what is sealed beside its leaves, else digest and length.

    Checkpoint and entries are what its author signed, and prove to anybody. Sealed texts and wrapped keys prove nothing
    and would outlast their erasure; so may whatever stands in bytes that cannot be read or that nobody has signed.
    """
    try:
        frame = decode_record(record)
    except WireInvalid:
        frame = None
    if isinstance(frame, Frame):
        return encode(msgspec.structs.replace(frame, beside=[]))
    return f"SHA-256 {hashlib.sha256(record).hexdigest()}, {len(record)} bytes\n".encode()


def fork_below(hashes: HashReader, tree: Tree, ours: SignedHead, theirs: SignedHead, record: bytes) -> Fork | None:
    """The evidence where `theirs`, not larger than the tree, has another root than the tree had at that size."""
    prefix = frontier_at(hashes, theirs.size)
    if prefix.root() == theirs.root:
        return None
    proof = Prover(hashes, tree.size).consistency(theirs.size)
    return Fork(ours.note, theirs.note, prefix.root(), proof, theirs.size, b"", evidence_of(record))


def fork_beyond(
    hashes: HashReader, first: int, entries: list[bytes], ours: SignedHead, theirs: SignedHead, record: bytes
) -> Fork | None:
    """The evidence where `theirs` is larger than the tree and rests on other leaves from `first` on.

    entries: the leaf hashes that came. None where these do not make the root of `theirs` either: then the record was
    spoiled on its way, or the histories part before `first`, and nothing is proven yet.
    """
    edge = frontier_at(hashes, first)
    continued, _ = edge.extend(entries)
    if continued.root() != theirs.root:
        return None
    return Fork(ours.note, theirs.note, b"", [], first, edge.to_bytes(), evidence_of(record))


def contradiction(asked: Question, status: int, body: bytes) -> Fault | None:
    """What the answer says against the own log, in the words a parent's would have: `behind` or `differs_above`.

    differs_above: the witness holds this very size under another root (409), or a smaller tree that this one does not
    continue (422). behind: it has cosigned more than is signed here. Evidence: the question, with the own signed
    checkpoint and the proof that failed, and the answer. None for every other answer. Raises NoteInvalid.
    """
    origin, size = asked.checkpoint.origin, asked.checkpoint.size
    if status == 422:
        kind, detail = "differs_above", f"the witness holds another tree of {asked.old_size} leaves"
    elif status == 409 and (held := size_held(body)) > size:
        kind, detail = "behind", f"{held} leaves are cosigned by the witness, {size} are signed here"
    elif status == 409 and held == size == asked.old_size:
        kind, detail = "differs_above", f"the witness has cosigned another root at {size} leaves"
    else:
        return None
    return Fault(kind, origin, "", detail, asked.body + f"\n{status}\n".encode() + body)
