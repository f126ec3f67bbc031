"""The tree against the definition in RFC 6962 written out as it stands there, and proofs against their corruptions."""

from collections.abc import Callable
from functools import cache

import pytest

from sync.proofs.merkle import (
    EMPTY_ROOT,
    Frontier,
    FrontierDamaged,
    HashesMissing,
    MemoryHashes,
    ProofInvalid,
    Prover,
    TileRun,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)

MANY = 70_000
LEAVES = [leaf_hash(b"%d" % number) for number in range(MANY)]


@pytest.fixture(scope="module")
def stored() -> MemoryHashes:
    return MemoryHashes(LEAVES)


def largest_power_below(width: int) -> int:
    power = 1
    while power * 2 < width:
        power *= 2
    return power


@cache
def tree_hash(low: int, high: int) -> bytes:
    if high - low == 1:
        return LEAVES[low]
    middle = low + largest_power_below(high - low)
    return node_hash(tree_hash(low, middle), tree_hash(middle, high))


def audit_path(index: int, low: int, high: int) -> list[bytes]:
    if high - low == 1:
        return []
    middle = low + largest_power_below(high - low)
    if index < middle:
        return [*audit_path(index, low, middle), tree_hash(middle, high)]
    return [*audit_path(index, middle, high), tree_hash(low, middle)]


def subproof(old: int, low: int, high: int, is_whole: bool) -> list[bytes]:
    if old == high:
        return [] if is_whole else [tree_hash(low, high)]
    middle = low + largest_power_below(high - low)
    if old <= middle:
        return [*subproof(old, low, middle, is_whole), tree_hash(middle, high)]
    return [*subproof(old, middle, high, False), tree_hash(low, middle)]


# The eight leaves of the Certificate Transparency test data and the roots published with them.
KNOWN_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_published_roots_come_out() -> None:
    frontier, roots = Frontier(), [Frontier().root()]
    for leaf in KNOWN_LEAVES:
        frontier, _ = frontier.extend([leaf_hash(bytes.fromhex(leaf))])
        roots.append(frontier.root())
    assert [root.hex() for root in roots] == KNOWN_ROOTS


def test_every_root_and_proof_up_to_130_leaves_is_that_of_the_rfc() -> None:
    frontier, stored = Frontier(), MemoryHashes(LEAVES[:130])
    for size in range(1, 131):
        frontier, _ = frontier.extend([LEAVES[size - 1]])
        prover, root = Prover(stored, size), tree_hash(0, size)
        assert frontier.root() == prover.root() == root
        for index in range(size):
            path = prover.inclusion(index)
            assert path == audit_path(index, 0, size)
            assert root_from_inclusion(index, size, LEAVES[index], path) == root
        for old in range(1, size + 1):
            proof = prover.consistency(old)
            assert proof == subproof(old, 0, size, True)
            verify_consistency(old, size, tree_hash(0, old), root, proof)


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 65_793, MANY])
def test_proofs_across_the_stored_subtrees_are_those_of_the_rfc(stored: MemoryHashes, size: int) -> None:
    prover = Prover(stored, size)
    assert prover.root() == tree_hash(0, size)
    edges = {0, 1, 254, 255, 256, 257, 300, 511, 512, 65_535, 65_536, 65_791, size // 3, size // 2, size - 2, size - 1}
    for number in sorted(edge for edge in edges if edge < size):
        assert prover.inclusion(number) == audit_path(number, 0, size)
        if number:
            assert prover.consistency(number) == subproof(number, 0, size, True)


@pytest.mark.parametrize("step", [1, 7, 255, 256, 257, 5_000])
def test_appending_in_any_portions_completes_the_same_subtrees(stored: MemoryHashes, step: int) -> None:
    frontier, completed = Frontier(), {1: list[bytes](), 2: list[bytes]()}
    for start in range(0, MANY, step):
        frontier, runs = frontier.extend(LEAVES[start : start + step])
        for run in runs:
            assert run.start == len(completed[run.level])
            completed[run.level].extend(run.hashes)
    assert frontier == stored.frontier
    assert completed[1] == [tree_hash(i * 256, i * 256 + 256) for i in range(MANY // 256)]
    assert completed[2] == [tree_hash(0, 65_536)]


def test_nothing_to_save_until_a_subtree_is_complete() -> None:
    frontier, runs = Frontier().extend(LEAVES[:255])
    assert runs == ()
    _, runs = frontier.extend(LEAVES[255:256])
    assert runs == (TileRun(level=1, start=0, hashes=(tree_hash(0, 256),)),)


def test_a_frontier_survives_its_bytes() -> None:
    for size in (0, 1, 2, 3, 255, 256, 1000):
        frontier, _ = Frontier().extend(LEAVES[:size])
        assert Frontier.from_bytes(frontier.to_bytes()) == frontier


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"", lambda b: b"\xff" + b[1:]])
def test_a_damaged_frontier_is_named(damage: Callable[[bytes], bytes]) -> None:
    frontier, _ = Frontier().extend(LEAVES[:100])
    with pytest.raises(FrontierDamaged):
        Frontier.from_bytes(damage(frontier.to_bytes()))


def test_a_proof_reads_one_run_per_level(stored: MemoryHashes) -> None:
    asked: list[tuple[int, int, int]] = []

    class Watched:
        def leaf_hashes(self, start: int, end: int) -> list[bytes]:
            asked.append((0, start, end))
            return list(stored.leaf_hashes(start, end))

        def tile_hashes(self, level: int, start: int, end: int) -> list[bytes]:
            asked.append((level, start, end))
            return list(stored.tile_hashes(level, start, end))

    Prover(Watched(), 65_536).inclusion(1000)
    assert asked == [(0, 768, 1024), (1, 0, 256)]


def test_a_store_with_holes_is_named() -> None:
    with pytest.raises(HashesMissing, match="rebuild"):
        Prover(MemoryHashes(LEAVES[:300]), 301).inclusion(3)


def test_asking_beyond_the_tree_is_the_callers_mistake(stored: MemoryHashes) -> None:
    prover = Prover(stored, 10)
    for ask in (lambda: prover.inclusion(10), lambda: prover.inclusion(-1), lambda: prover.consistency(11)):
        with pytest.raises(ValueError, match="no "):
            ask()


def corrupted(proof: list[bytes]) -> list[list[bytes]]:
    flipped = [
        [*proof[:i], bytes([h[0] ^ 1]) + h[1:], *proof[i + 1 :]] for i, h in enumerate(proof)
    ]  # fmt: skip
    short = [[*proof[:i], *proof[i + 1 :]] for i in range(len(proof))]
    odd = [[*proof[:i], h[:-1], *proof[i + 1 :]] for i, h in enumerate(proof)]
    swapped = [list(reversed(proof))] if len(proof) > 1 else []
    return [*flipped, *short, *odd, *swapped, [*proof, LEAVES[0]], [LEAVES[0], *proof], [*proof, *proof, LEAVES[1]]]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 100, 130])
def test_no_corrupted_inclusion_proof_passes(stored: MemoryHashes, size: int) -> None:
    root = tree_hash(0, size)
    for index in range(size):
        path = Prover(stored, size).inclusion(index)
        verify_inclusion(index, size, LEAVES[index], path, root)
        for wrong in corrupted(path):
            with pytest.raises(ProofInvalid):
                verify_inclusion(index, size, LEAVES[index], wrong, root)
        for wrong_index in (index ^ 1, index + size, -1):
            with pytest.raises(ProofInvalid):
                verify_inclusion(wrong_index, size, LEAVES[index], path, root)
        with pytest.raises(ProofInvalid):
            verify_inclusion(index, size, LEAVES[index + 1], path, root)


def test_an_inner_node_is_no_leaf() -> None:
    pair = LEAVES[0] + LEAVES[1]
    with pytest.raises(ProofInvalid):
        verify_inclusion(0, 2, leaf_hash(pair), [tree_hash(2, 4)], tree_hash(0, 4))
    assert leaf_hash(pair) != tree_hash(0, 2)


@pytest.mark.parametrize("size", [2, 7, 8, 100])
def test_no_corrupted_consistency_proof_passes(stored: MemoryHashes, size: int) -> None:
    root = tree_hash(0, size)
    for old in range(1, size):
        proof = Prover(stored, size).consistency(old)
        for wrong in corrupted(proof):
            with pytest.raises(ProofInvalid):
                verify_consistency(old, size, tree_hash(0, old), root, wrong)
        for sizes_and_roots in (
            (old, size, root, tree_hash(0, old)),
            (old, size, LEAVES[-1], root),
            (old, size, tree_hash(0, old), LEAVES[-1]),
            (size, old, root, tree_hash(0, old)),
        ):
            with pytest.raises(ProofInvalid):
                verify_consistency(*sizes_and_roots, proof)


def test_every_tree_continues_the_empty_one_without_a_proof(stored: MemoryHashes) -> None:
    assert Prover(stored, 8).consistency(0) == []
    verify_consistency(0, 8, EMPTY_ROOT, tree_hash(0, 8), [])
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    for old_root, new_root, proof in (
        (EMPTY_ROOT, tree_hash(0, 8), [LEAVES[0]]),
        (LEAVES[0], tree_hash(0, 8), []),
    ):
        with pytest.raises(ProofInvalid):
            verify_consistency(0, 8, old_root, new_root, proof)
    with pytest.raises(ProofInvalid):
        verify_consistency(0, 0, EMPTY_ROOT, LEAVES[0], [])


def test_two_roots_for_one_size_are_a_fork() -> None:
    verify_consistency(5, 5, tree_hash(0, 5), tree_hash(0, 5), [])
    with pytest.raises(ProofInvalid, match="two roots"):
        verify_consistency(5, 5, tree_hash(0, 5), LEAVES[0], [])


def test_a_tree_has_no_negative_size_and_none_beyond_63_bits(stored: MemoryHashes) -> None:
    for size in (-1, 2**63):
        with pytest.raises(ValueError, match="no tree has"):
            Prover(stored, size)
    assert Prover(stored, 0).root() == EMPTY_ROOT


def test_a_prover_remembers_so_many_tiles_and_no_more() -> None:
    reads = 0

    class Endless:
        def leaf_hashes(self, start: int, end: int) -> list[bytes]:
            nonlocal reads
            reads += 1
            return [b"%032d" % number for number in range(start, end)]

        def tile_hashes(self, level: int, start: int, end: int) -> list[bytes]:
            return self.leaf_hashes(start, end)

    prover = Prover(Endless(), 2**40)
    paths = [prover.inclusion(tile << 8) for tile in range(600)]
    assert len(prover._tiles) == 512
    before = reads
    assert prover.inclusion(599 << 8) == paths[599]
    assert reads == before, "the latest are remembered"
    assert prover.inclusion(0) == paths[0]
    assert reads > before, "the first have made room, and are read again"


def test_a_proof_from_a_ragged_old_tree_is_not_empty() -> None:
    for old in (3, 5, 6, 7):
        with pytest.raises(ProofInvalid, match="is empty"):
            verify_consistency(old, 8, tree_hash(0, old), tree_hash(0, 8), [])
    for old in (1, 2, 4):
        with pytest.raises(ProofInvalid, match="does not continue"):
            verify_consistency(old, 8, tree_hash(0, old), tree_hash(0, 8), [])
