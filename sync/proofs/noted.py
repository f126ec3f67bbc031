"""What a node knew when, by its own word: the heads of other logs that it has logged, and the proof of one such leaf.

A node logs now and then which heads it has accepted since (`node.heads.v0`). So for any moment its log says up to where
it held another one at least, and the next such leaf, how far at most. A leaf is proven by a `.tlog-proof` of its own
log, whose cosignatures bear the time by which it stood there: a node cannot say later that it had known less, or more.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from domain.events import HeadsNoted, NotCanonical, read
from sync.proofs.merkle import leaf_hash, verify_inclusion
from sync.proofs.note import NoteInvalid, decode64, parse_note
from sync.proofs.policy import Policy, check_checkpoint
from sync.proofs.tlog_proof import TlogProof, parse_tlog_proof
from sync.proofs.tree import TreeReader, prove


class Noted(NamedTuple):
    """A head of another log as leaf `seq` of a node's own log names it, recorded at `recorded_us` by its clock."""

    seq: int
    recorded_us: int
    size: int
    root: bytes


class Knew(NamedTuple):
    """at_least: the last head noted by the moment asked for, null for none. before: the first one noted after it, so
    that no more than this was known then; null where none followed yet."""

    at_least: Noted | None
    before: Noted | None


class Shown(msgspec.Struct, frozen=True):
    """What a proof shows: that `by` had noted this head of `log`, in a leaf that stood in its log by `stood_by_s`
    (POSIX seconds, by the clock of whoever cosigned first)."""

    by: str
    log: str
    noted: Noted
    stood_by_s: int


def knew(leaves: Iterable[bytes], log: str, at_us: int) -> Knew:
    """What a node had accepted of `log` at a moment (UTC microseconds). leaves: of its own log, from the first on."""
    at_least: Noted | None = None
    for noted in _notes(leaves, log):
        if noted.recorded_us > at_us:
            return Knew(at_least, noted)
        at_least = noted
    return Knew(at_least, None)


def prove_noted(store: TreeReader, log_id: int, seq: int, witness: str, leaf: bytes) -> bytes | None:
    """The `.tlog-proof` of such a leaf under the first head that `witness` cosigned; None before there is one."""
    head = store.cosigned_head(log_id, seq, witness)
    if head is None:
        return None
    proof = prove(store, log_id, seq, head)
    return TlogProof(leaf, proof.index, proof.path, proof.checkpoint.encode()).to_bytes()


def verify_noted(proof: bytes, policy: Policy, log: str) -> Shown:
    """Check it with the published policy of the log that the leaf stands in. Raises NoteInvalid, ProofInvalid."""
    parsed = parse_tlog_proof(proof)
    checkpoint, cosigned = check_checkpoint(policy, parse_note(parsed.checkpoint))
    verify_inclusion(parsed.index, checkpoint.size, leaf_hash(parsed.extra), parsed.path, checkpoint.root)
    found = [noted._replace(seq=parsed.index) for noted in _notes([parsed.extra], log)]
    if not found:
        raise NoteInvalid("所附条目未记该日志", f"the leaf says nothing of {log}")
    times = [one.time_s for one in cosigned if one.time_s is not None]
    return Shown(checkpoint.origin, log, found[0], min(times))


def _notes(leaves: Iterable[bytes], log: str) -> Iterator[Noted]:
    for seq, body in enumerate(leaves):
        try:
            event = read(body)
            if isinstance(event, HeadsNoted):
                heads = [(head.size, decode64(head.root)) for head in event.heads if head.log == log]
                yield from (Noted(seq, event.recorded_us, size, root) for size, root in heads)
        except (NotCanonical, NoteInvalid):
            continue  # a leaf that is no event says nothing, nor does a root that is none
