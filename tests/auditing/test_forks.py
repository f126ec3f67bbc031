"""Evidence that an author signed two histories convicts it, and nothing less does."""

from collections.abc import Sequence

import msgspec
import pytest

from gateway.auditing.bundle import FaultLine
from gateway.auditing.forks import proven_lie
from sync.exchange.convicting import ByPolicies
from sync.exchange.faults import Fork, fork_below, fork_beyond
from sync.exchange.wire import AskRange, Frame, Letter, encode
from sync.proofs.merkle import Frontier, MemoryHashes, leaf_hash
from sync.proofs.note import ED25519, Checkpoint, Ed25519Signer, sign_note
from sync.proofs.policy import Policy
from sync.proofs.tree import SignedHead, Tree

ORIGIN = "test.example/410221100201/1"
AUTHOR = Ed25519Signer(ORIGIN, ED25519, bytes(32))
OURS = [b"one", b"two", b"three", b"four", b"five"]


def head(leaves: Sequence[bytes], signer: Ed25519Signer = AUTHOR, origin: str = ORIGIN) -> SignedHead:
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    note = sign_note(Checkpoint(origin, frontier.size, frontier.root()).text(), signer)
    return SignedHead(frontier.size, frontier.root(), note.to_bytes().decode())


def tree() -> Tree:
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in OURS])
    return Tree(1, ORIGIN, frontier, None, 0, None)


def hashes() -> MemoryHashes:
    return MemoryHashes([leaf_hash(leaf) for leaf in OURS])


def record(first: int, entries: Sequence[bytes]) -> bytes:
    return encode(Frame(ORIGIN, first, "", list(entries), []))


def below(theirs: Sequence[bytes]) -> Fork:
    fork = fork_below(hashes(), tree(), head(OURS), head(theirs), b"")
    assert fork is not None
    return fork


def beyond() -> Fork:
    other = [*OURS[:3], b"x", b"y", b"z", b"w"]
    entries = [leaf_hash(leaf) for leaf in other[3:]]
    fork = fork_beyond(hashes(), 3, entries, head(OURS), head(other), record(3, other[3:]))
    assert fork is not None
    return fork


def is_proven(fork: Fork, subject: str = ORIGIN, author: Ed25519Signer = AUTHOR) -> bool:
    line = FaultLine("fork", subject, "", "", msgspec.msgpack.encode(fork), 1, 0, 0, None)
    lie = proven_lie(line, ByPolicies([Policy(log=author.verifier, witnesses=(), groups=(), quorum="")]))
    return lie is not None and lie.log == subject


@pytest.mark.parametrize("theirs", [[b"one", b"x"], [b"one", b"two", b"three", b"four", b"x"]])
def test_another_tree_below_or_at_the_same_size_is_proven(theirs: list[bytes]) -> None:
    assert is_proven(below(theirs))


def test_another_continuation_beyond_is_proven() -> None:
    assert is_proven(beyond())


def test_one_history_told_twice_is_no_fork() -> None:
    same = msgspec.structs.replace(below([b"one", b"x"]), theirs=head(OURS).note)
    assert not is_proven(same)
    fork = below([b"one", b"x"])
    earlier = head(OURS[:2])
    proof = msgspec.structs.replace(fork, theirs=earlier.note, prefix_root=earlier.root)
    assert not is_proven(proof)


def test_what_somebody_else_signed_or_of_another_log_convicts_nobody() -> None:
    thief = Ed25519Signer(ORIGIN, ED25519, bytes(31) + b"\1")
    assert not is_proven(below([b"one", b"x"]), author=thief)
    assert not is_proven(below([b"one", b"x"]), subject="test.example/410221100202/1")
    other = head([b"x"], origin="test.example/410221100202/1")
    assert not is_proven(msgspec.structs.replace(below([b"one", b"x"]), theirs=other.note))


@pytest.mark.parametrize(
    "changes",
    [
        {"proof": []},
        {"prefix_root": bytes(32)},
        {"ours": "no note"},
    ],
)
def test_a_proof_that_does_not_hold_convicts_nobody(changes: dict[str, object]) -> None:
    assert not is_proven(msgspec.structs.replace(below([b"one", b"x"]), **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"frontier": b"short"},
        {"record": b"no record"},
        {"record": encode(AskRange(ORIGIN, 1))},
        {"record": encode(Letter("410221100201", "410221000000", b"x", bytes(64)))},
        {"record": record(3, [b"x", b"y"])},
        {"record": record(5, [b"x"])},
    ],
)
def test_entries_that_do_not_lead_to_the_other_head_convict_nobody(changes: dict[str, object]) -> None:
    assert not is_proven(msgspec.structs.replace(beyond(), **changes))
