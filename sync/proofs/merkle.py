"""The Merkle tree over a log: RFC 6962 hashes, its growing right edge, and proofs that stand alone.

The store keeps the hash of every leaf and one hash for every complete subtree of 256, 256², … leaves (the levels
of C2SP tlog-tiles); everything between is hashed again when a proof needs it. No I/O happens here.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

import msgspec

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

_CACHED_TILES = 512  # about 20 MB, and enough to hold every tile of a log of 100,000 leaves


class ProofInvalid(Exception):
    """A proof does not show what it claims. Refuse what rests on it, keep it as evidence, ask for another."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"证明无效：{zh}，请保留并重新索取 / proof invalid: {en}; keep it and ask for another")
        self.zh = zh
        self.en = en


class FrontierDamaged(Exception):
    """Stored bytes are no frontier. Rebuild it from the stored leaf hashes with `Frontier().extend`."""


class HashesMissing(Exception):
    """The store returned fewer hashes than the tree has. Rebuild its subtree hashes from the leaves."""


class HashReader(Protocol):
    """Where stored hashes come from. Both calls return `end - start` hashes of 32 bytes, in order.

    They are only asked for what is complete at the size in question, never more than 256 at a time, always
    within one run of 256 that starts at a multiple of 256.
    """

    def leaf_hashes(self, start: int, end: int) -> Sequence[bytes]:
        """Leaf hashes [start, end)."""

    def tile_hashes(self, level: int, start: int, end: int) -> Sequence[bytes]:
        """Hashes [start, end) of the complete subtrees of 256**level leaves, level from 1."""


class TileRun(msgspec.Struct, frozen=True):
    """Subtree hashes that an extension completed: numbers start, start+1, … of the subtrees of 256**level leaves."""

    level: int
    start: int
    hashes: tuple[bytes, ...]


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf), RFC 6962 section 2.1."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""
    return sha256(b"\x01" + left + right).digest()


class Frontier(msgspec.Struct, frozen=True):
    """The right edge of a tree: all that is needed to append and to know the root.

    peaks: roots of the complete subtrees that `size` falls into, largest first (one per set bit of size).
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """Root hash of the tree, 32 bytes; that of the empty tree is SHA-256 of nothing."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def extend(self, leaf_hashes: Sequence[bytes]) -> "tuple[Frontier, tuple[TileRun, ...]]":
        """The frontier after these leaf hashes, and the tile-level subtree hashes they completed, lowest level first.

        The tuple is what the store has to save beside the leaf hashes; it is empty when no boundary of 256 was met.
        """
        heights = [height for height in range(self.size.bit_length()) if self.size >> height & 1]
        peaks = dict(zip(reversed(heights), self.peaks, strict=True))
        runs: list[TileRun] = []
        nodes, height = list(leaf_hashes), 0
        while nodes:
            start = self.size >> height
            if height and height % TILE_HEIGHT == 0:
                runs.append(TileRun(height // TILE_HEIGHT, start, tuple(nodes)))
            if start & 1:
                nodes.insert(0, peaks.pop(height))
            if len(nodes) & 1:
                peaks[height] = nodes.pop()
            nodes = _parents(nodes)
            height += 1
        largest_first = tuple(peaks[height] for height in sorted(peaks, reverse=True))
        return Frontier(self.size + len(leaf_hashes), largest_first), tuple(runs)

    def to_bytes(self) -> bytes:
        """Size as 8 bytes, big-endian, then the peaks: at most 8 + 63 * 32 bytes."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """The inverse of `to_bytes`. Raises: FrontierDamaged."""
        size, hashes = int.from_bytes(data[:8], "big"), data[8:]
        if len(data) < 8 or size > MAX_SIZE or len(hashes) != size.bit_count() * HASH_BYTES:
            raise FrontierDamaged(
                "树边缘数据已损坏，请用已存的叶哈希重建 / the stored frontier is damaged; "
                "rebuild it from the stored leaf hashes"
            )
        return cls(size, tuple(hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)))


class Prover:
    """Makes proofs for one size of one log, reading each run of 256 hashes once while it remembers it."""

    def __init__(self, reader: HashReader, size: int) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise ValueError(f"no tree has {size} leaves")
        self._reader = reader
        self._size = size
        self._tiles: dict[tuple[int, int], list[list[bytes]]] = {}

    def root(self) -> bytes:
        """Root of the tree of this size. Raises: HashesMissing."""
        return self._range(0, self._size) if self._size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """Audit path of the leaf at this 0-based index, from its sibling up (RFC 6962, 2.1.1).

        Raises: HashesMissing.
        """
        size = self._size
        if not 0 <= index < size:
            raise ValueError(f"no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        for level in range(((size - 1).bit_length() + TILE_HEIGHT - 1) // TILE_HEIGHT):
            rows = self._tile(level, index >> TILE_HEIGHT * (level + 1))
            position = index >> TILE_HEIGHT * level & (TILE_WIDTH - 1)
            for row, nodes in enumerate(rows):
                sibling = (position >> row) ^ 1
                if sibling < len(nodes):
                    path.append(nodes[sibling])
                    continue
                height = TILE_HEIGHT * level + row
                start = ((index >> height) ^ 1) << height
                if start < size:  # the ragged right edge: no stored hash stands for it
                    path.append(self._range(start, size))
        return path

    def consistency(self, old_size: int) -> list[bytes]:
        """Proof that the tree of `old_size` leaves is a prefix of this one (RFC 6962, 2.1.2). Raises: HashesMissing.

        Empty when old_size is 0 or the size itself.
        """
        if not 0 <= old_size <= self._size:
            raise ValueError(f"no tree of {old_size} leaves comes before one of {self._size}")
        proof: list[bytes] = []
        low, high = (0, self._size) if old_size else (0, 0)
        while old_size < high:
            middle = low + _split(high - low)
            if old_size <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        if low:  # else the old tree is itself a subtree, and its root is known to whoever checks
            proof.append(self._range(low, high))
        return proof[::-1]

    def _range(self, start: int, end: int) -> bytes:
        """Hash over leaves [start, end), where start is the left edge of a subtree of this tree."""
        width = end - start
        if width & (width - 1) == 0:
            height = width.bit_length() - 1
            level, row = divmod(height, TILE_HEIGHT)
            number = start >> height
            tile = self._tile(level, number >> TILE_HEIGHT - row)
            return tile[row][number & (TILE_WIDTH >> row) - 1]
        middle = start + _split(width)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def _tile(self, level: int, number: int) -> list[list[bytes]]:
        """Rows of a tile: its up to 256 hashes, then their parents as far as complete, eight rows at most."""
        rows = self._tiles.get((level, number))
        if rows is None:
            start = number * TILE_WIDTH
            rows = [self._read(level, start, min(start + TILE_WIDTH, self._size >> TILE_HEIGHT * level))]
            while len(rows) < TILE_HEIGHT:
                rows.append(_parents(rows[-1]))
            if len(self._tiles) >= _CACHED_TILES:
                del self._tiles[next(iter(self._tiles))]
            self._tiles[level, number] = rows
        return rows

    def _read(self, level: int, start: int, end: int) -> list[bytes]:
        if start >= end:
            return []
        reader = self._reader
        hashes = reader.leaf_hashes(start, end) if level == 0 else reader.tile_hashes(level, start, end)
        if len(hashes) != end - start:
            raise HashesMissing(
                f"哈希库缺少第{level}级[{start}, {end})，请由事件重建 / "
                f"the store lacks hashes [{start}, {end}) of level {level}; rebuild them from the leaves"
            )
        return list(hashes)


class MemoryHashes:
    """A HashReader in memory, for verifiers and tests. Not for a log of millions: it keeps every leaf hash."""

    def __init__(self, leaf_hashes: Sequence[bytes] = ()) -> None:
        self.frontier = Frontier()
        self._levels: dict[int, list[bytes]] = {0: []}
        self.extend(leaf_hashes)

    def extend(self, leaf_hashes: Sequence[bytes]) -> None:
        """Append leaf hashes and keep what they complete, as a store would."""
        self.frontier, runs = self.frontier.extend(leaf_hashes)
        self._levels[0].extend(leaf_hashes)
        for run in runs:
            self._levels.setdefault(run.level, []).extend(run.hashes)

    def leaf_hashes(self, start: int, end: int) -> Sequence[bytes]:
        """Leaf hashes [start, end)."""
        return self._levels[0][start:end]

    def tile_hashes(self, level: int, start: int, end: int) -> Sequence[bytes]:
        """Hashes [start, end) of the complete subtrees of 256**level leaves."""
        return self._levels.get(level, [])[start:end]


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that this leaf hash at this 0-based index must have in a tree of this size (RFC 9162, 2.1.3.2).

    Raises: ProofInvalid if index, size and length of the path do not fit together.
    """
    if not 0 <= index < size <= MAX_SIZE or any(len(item) != HASH_BYTES for item in [leaf, *path]):
        raise ProofInvalid("包含证明的序号或哈希长度不对", "index or hash length of an inclusion proof is off")
    position, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofInvalid("包含证明过长", "the inclusion proof is too long")
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofInvalid("包含证明过短", "the inclusion proof is too short")
    return root


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf hash stands at this 0-based index in the tree of this size and root. Raises: ProofInvalid."""
    if root_from_inclusion(index, size, leaf, path) != root:
        raise ProofInvalid("该条目不在此树根之下", "the leaf is not under this root")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if the new tree only appended to the old one (RFC 9162, 2.1.4.2). Raises: ProofInvalid.

    An old size of 0 needs an empty proof and the empty root, as C2SP tlog-witness asks.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE or any(len(h) != HASH_BYTES for h in [old_root, new_root, *proof]):
        raise ProofInvalid(
            "一致性证明的大小或哈希长度不对", "a size or hash length of the consistency proof is out of range"
        )
    if 0 in (old_size, new_size) or old_size == new_size:
        _verify_trivial(old_size, new_size, old_root, new_root, proof)
        return
    steps = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if len(steps) < 1:
        raise ProofInvalid("一致性证明为空", "the consistency proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofInvalid("一致性证明过长", "the consistency proof is too long")
        if position & 1 or position == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, step)
        position, last = position >> 1, last >> 1
    if last or old != old_root or new != new_root:
        raise ProofInvalid("新树改写了旧树", "the new tree does not continue the old one")


def _verify_trivial(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofInvalid("此处一致性证明必须为空", "the consistency proof must be empty here")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofInvalid("空树的树根不对", "the root of the empty tree is wrong")
    if old_size == new_size and old_root != new_root:
        raise ProofInvalid("同一大小有两个树根", "two roots for one size")


def _parents(nodes: Sequence[bytes]) -> list[bytes]:
    """Hashes of the complete pairs; a last odd one has no parent yet."""
    pairs = iter(nodes)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]


def _split(width: int) -> int:
    """Largest power of two below width, where RFC 6962 splits a tree."""
    return 1 << (width - 1).bit_length() - 1
