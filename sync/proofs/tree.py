"""The Merkle trees a node holds: its own log's, which it signs, and its replicas'; and proofs out of either."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from sync.exchange.wire import FRAME_BYTES, FRAME_ENTRIES
from sync.proofs.merkle import TILE_HEIGHT, Frontier, HashReader, Prover, TileRun
from sync.proofs.note import Checkpoint, Signer, sign_note

OWN_LOG = 1
"""The id of the node's own log in its own database."""

SEALED = "exchange.sealed"
"""Ledger position up to which own events are leaves under a signed checkpoint."""

_PAGE = 2_000


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


class Growth(msgspec.Struct, frozen=True):
    """A tree before and after new leaves: the store applies it only where the tree still has its old size."""

    before: Tree
    frontier: Frontier
    tiles: Sequence[TileRun]
    heads: Sequence[SignedHead]


class Outline(NamedTuple):
    """A ledger row without its body. size_bytes: of body and parts beside it."""

    pos: int
    log_id: int
    seq: int
    via: int
    leaf: bytes
    size_bytes: int


class TreeReader(Protocol):
    """What proofs are made from. Everything read in one transaction is of one moment."""

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


class SealStore(TreeReader, Protocol):
    """One transaction over the ledger's outline and the own tree."""

    def claim(self, name: str) -> int:
        """How far a follower of the ledger has come, 0 at first; nobody else moves it before this commits."""

    def move(self, name: str, pos: int) -> None:
        """Keep how far it has come."""

    def outline(self, after_pos: int, limit: int) -> list[Outline]:
        """Rows beyond a position, in order."""

    def grow(self, growths: Sequence[Growth]) -> None:
        """Apply all of them or raise TreeMoved."""


class TreeMoved(Exception):
    """Another process has changed a tree meanwhile; the transaction rolls back. Look again; it will be up to date."""


class Proof(msgspec.Struct, frozen=True):
    """That a leaf stands in its log: its 0-based index, the path, and the note (log's and witnesses' lines)."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str


def seal(store: SealStore, signer: Signer) -> bool:
    """Sign a checkpoint at the end of every run of own events that is not under one yet; whether there was any row.

    A run ends where something learned from below stands between, so that the frames that end here can be sent in
    the order in which this node learned things, and at the limits of a frame.
    """
    rows = store.outline(store.claim(SEALED), _PAGE)
    if not rows:
        return False
    tree = store.tree(OWN_LOG)
    frontier, tiles, heads = tree.frontier, list[TileRun](), list[SignedHead]()
    for run in _own_runs(rows):
        frontier, completed = frontier.extend([row.leaf for row in run])
        tiles += completed
        heads.append(_sign(tree.origin, frontier, signer))
    if heads:
        store.grow([Growth(tree, frontier, tiles, heads)])
    store.move(SEALED, rows[-1].pos)
    return True


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


def proof_for(store: TreeReader, seq: int, witness: str) -> Proof | None:
    """For a receipt: own leaf `seq` under the first head that `witness` cosigned beyond it; None before that."""
    head = store.cosigned_head(OWN_LOG, seq, witness)
    return None if head is None else prove(store, OWN_LOG, seq, head)


def _own_runs(rows: Iterable[Outline]) -> Iterable[list[Outline]]:
    run: list[Outline] = []
    size_bytes = 0
    for row in rows:
        if row.via == 2:
            continue  # what came from above is never sent up, so it parts nothing
        is_full = len(run) == FRAME_ENTRIES or size_bytes + row.size_bytes > FRAME_BYTES
        if run and (row.via == 1 or is_full):
            yield run
            run, size_bytes = [], 0
        if row.via == 0:
            run.append(row)
            size_bytes += row.size_bytes
    if run:
        yield run


def _sign(origin: str, frontier: Frontier, signer: Signer) -> SignedHead:
    root = frontier.root()
    note = sign_note(Checkpoint(origin, frontier.size, root).text(), signer)
    return SignedHead(frontier.size, root, note.to_bytes().decode())
