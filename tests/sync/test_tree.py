"""What a store keeps of a log gives back every earlier edge of its tree, and proofs with every line that is kept."""

import pytest

from sync.proofs.merkle import Frontier, MemoryHashes, leaf_hash, verify_inclusion
from sync.proofs.tree import OWN_LOG, Proof, SignedHead, Tree, frontier_at, proof_for, prove

LEAVES = [leaf_hash(b"%d" % number) for number in range(1300)]
HASHES = MemoryHashes(LEAVES)


class Kept:
    """Hashes, one cosigned head, and its two lines."""

    def __init__(self, size: int) -> None:
        self.head = SignedHead(size, frontier_at(HASHES, size).root(), f"note of {size}\n")

    def tree(self, log_id: int) -> Tree:
        return Tree(log_id, "o/1/1", HASHES.frontier, None, 0, None)

    def hashes(self, log_id: int) -> MemoryHashes:
        assert log_id == OWN_LOG
        return HASHES

    def cosigned_head(self, log_id: int, seq: int, witness: str) -> SignedHead | None:
        return self.head if (log_id, witness) == (OWN_LOG, "w") and seq < self.head.size else None

    def cosigned_size(self, log_id: int, witness: str) -> int:
        raise NotImplementedError

    def cosignature_lines(self, log_id: int, size: int) -> list[str]:
        assert (log_id, size) == (OWN_LOG, self.head.size)
        return ["first line\n", "second line\n"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 1024, 1280, 1300])
def test_every_edge_that_a_log_had_comes_back_from_what_is_kept_now(size: int) -> None:
    assert frontier_at(HASHES, size) == Frontier().extend(LEAVES[:size])[0]


def test_a_tree_is_as_large_as_its_edge() -> None:
    assert Kept(7).tree(1).size == 1300


def test_a_proof_has_its_path_and_every_line_that_is_kept() -> None:
    kept = Kept(1000)
    proof = prove(kept, OWN_LOG, 700, kept.head)
    verify_inclusion(700, 1000, LEAVES[700], proof.path, kept.head.root)
    assert (proof.index, proof.checkpoint) == (700, "note of 1000\nfirst line\nsecond line\n")
    assert isinstance(proof, Proof)


def test_a_leaf_is_proven_under_the_first_head_beyond_it_that_its_witness_cosigned() -> None:
    kept = Kept(1000)
    assert proof_for(kept, OWN_LOG, 999, "w") == prove(kept, OWN_LOG, 999, kept.head)
    assert proof_for(kept, OWN_LOG, 1000, "w") is None
    assert proof_for(kept, OWN_LOG, 999, "another") is None
