"""Two heads that one author signed and that contradict each other: checked from the kept evidence alone."""

from collections.abc import Sequence

import msgspec

from gateway.auditing.bundle import FaultLine
from sync.exchange.faults import Fork
from sync.exchange.wire import Frame, WireInvalid, decode_record
from sync.proofs.merkle import Frontier, FrontierDamaged, ProofInvalid, leaf_hash, verify_consistency
from sync.proofs.note import Checkpoint, NoteInvalid, Verifier, parse_checkpoint, parse_note, verify


def is_proven_fork(fault: FaultLine, authors: Sequence[Verifier]) -> bool:
    """Whether the evidence convicts: both heads signed by keys of that log, and no tree holds both."""
    try:
        fork = msgspec.msgpack.decode(fault.evidence, type=Fork)
        ours, theirs = _signed(fork.ours, authors), _signed(fork.theirs, authors)
        if ours.origin != theirs.origin or ours.origin != fault.subject:
            return False
        return _is_below(fork, ours, theirs) if theirs.size <= ours.size else _is_beyond(fork, theirs)
    except (msgspec.MsgspecError, NoteInvalid, ProofInvalid, FrontierDamaged, WireInvalid, ValueError):
        return False


def _signed(text: str, authors: Sequence[Verifier]) -> Checkpoint:
    note = parse_note(text.encode())
    verify(note, authors)
    return parse_checkpoint(note.text)


def _is_below(fork: Fork, ours: Checkpoint, theirs: Checkpoint) -> bool:
    """The tree under `ours` had another root at the size of `theirs`."""
    if theirs.size == ours.size:
        return theirs.root != ours.root
    verify_consistency(theirs.size, ours.size, fork.prefix_root, ours.root, fork.proof)
    return fork.prefix_root != theirs.root


def _is_beyond(fork: Fork, theirs: Checkpoint) -> bool:
    """The kept entries lead from an edge of our tree to the root of `theirs`; that they differ from ours is the word
    of the node that kept them, whose own log is in the bundle to compare."""
    frame = decode_record(fork.record)
    if not isinstance(frame, Frame):
        return False
    edge = Frontier.from_bytes(fork.frontier)
    hashes = [leaf_hash(entry) for entry in frame.entries][edge.size - frame.first :]
    return edge.size >= frame.first and edge.extend(hashes)[0].root() == theirs.root
