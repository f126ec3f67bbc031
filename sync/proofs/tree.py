"""The Merkle trees a node holds: its own log's and its replicas'; and proofs out of either."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from sync.proofs.merkle import TILE_HEIGHT, Frontier, HashReader, Prover, TileRun

OWN_LOG = 1
"""The id that the first shard of a node's own log has in its own database."""


class Tree(msgspec.Struct, frozen=True):
    """How far one log is held here without a gap.

    frozen: why no more of it is taken (a fork), or null. acked_size: the parent holds it up to here. refused: why
    the parent takes no more of it, or null.
    """

    log_id: int
    origin: str
    frontier: Frontier
    frozen: str | None
    acked_size: int
    refused: str | None

    @property
    def size(self) -> int:
        """Number of leaves held."""
        return self.frontier.size


class SignedHead(msgspec.Struct, frozen=True):
    """A head that its author signed. note: the signed note, verbatim."""

    size: int
    root: bytes
    note: str


class LastCosigned(NamedTuple):
    """The newest cosignature that a witness gave for a log."""

    size: int
    root: bytes
    line: str


class Latest(NamedTuple):
    """The last word of a witness on a log: its name, the size it signed, the signature line, when that came here.

    at_us: by this node's clock; the witness's own time stands in the line.
    """

    witness: str
    size: int
    line: str
    at_us: int


class Growth(msgspec.Struct, frozen=True):
    """A tree before and after new leaves: the store applies it only where the tree still has its old size."""

    before: Tree
    frontier: Frontier
    tiles: Sequence[TileRun]
    heads: Sequence[SignedHead]


class TreeReader(Protocol):
    """What proofs are made from. Everything read in one transaction is of one moment."""

    def own_log(self) -> int:
        """The id of the log that this node writes now; LookupError where it has none yet."""

    def tree(self, log_id: int) -> Tree:
        """The tree of a log that is held without a gap; LookupError for any other."""

    def hashes(self, log_id: int) -> HashReader:
        """Its stored hashes."""

    def cosigned_head(self, log_id: int, seq: int, witness: str) -> SignedHead | None:
        """The smallest head beyond leaf `seq` that `witness` has cosigned."""

    def cosigned_size(self, log_id: int, witness: str) -> int:
        """The largest size that `witness` has cosigned, or 0."""

    def cosignature_lines(self, log_id: int, size: int) -> list[str]:
        """Every cosignature line kept for this head, in order of the witness's name."""


class TreeMoved(Exception):
    """Another process has changed a tree meanwhile; the transaction rolls back. Look again; it will be up to date."""


class Proof(msgspec.Struct, frozen=True):
    """That a leaf stands in its log: its 0-based index, the path, and the note (log's and witnesses' lines)."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str


def frontier_at(hashes: HashReader, size: int) -> Frontier:
    """The right edge that a stored log had at an earlier size; reads one hash per 256 leaves."""
    whole = size >> TILE_HEIGHT
    tiles, _ = Frontier().extend(hashes.tile_hashes(1, 0, whole))
    # A tile's hash is the root of its 256 leaves, so the peaks over tiles are the peaks over their leaves.
    frontier, _ = Frontier(whole << TILE_HEIGHT, tiles.peaks).extend(hashes.leaf_hashes(whole << TILE_HEIGHT, size))
    return frontier


def prove(store: TreeReader, log_id: int, seq: int, head: SignedHead) -> Proof:
    """The inclusion of leaf `seq` under `head`, with every cosignature kept for that head."""
    path = Prover(store.hashes(log_id), head.size).inclusion(seq)
    lines = "".join(store.cosignature_lines(log_id, head.size))
    return Proof(seq, tuple(path), head.note + lines)


def proof_for(store: TreeReader, log_id: int, seq: int, witness: str) -> Proof | None:
    """For a receipt: leaf `seq` of an own log under the first head that `witness` cosigned beyond it; None before."""
    head = store.cosigned_head(log_id, seq, witness)
    return None if head is None else prove(store, log_id, seq, head)
