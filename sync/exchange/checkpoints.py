"""Signing the own log: a checkpoint at the end of every run of own events that goes up as one frame."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from sync.exchange.wire import FRAME_BYTES, FRAME_ENTRIES
from sync.ledger.rows import FROM_ABOVE, FROM_BELOW, OWN
from sync.proofs.merkle import Frontier, TileRun
from sync.proofs.note import Checkpoint, Signer, sign_note
from sync.proofs.tree import OWN_LOG, Growth, SignedHead, TreeReader

SEALED = "exchange.sealed"
"""Ledger position up to which own events are leaves under a signed checkpoint."""

_PAGE = 2_000


class Outline(NamedTuple):
    """A ledger row without its body. size_bytes: of body and parts beside it."""

    pos: int
    log_id: int
    seq: int
    via: int
    leaf: bytes
    size_bytes: int


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


def _own_runs(rows: Iterable[Outline]) -> Iterable[list[Outline]]:
    run: list[Outline] = []
    size_bytes = 0
    for row in rows:
        if row.via == FROM_ABOVE:
            continue  # what came from above is never sent up, so it parts nothing
        is_full = len(run) == FRAME_ENTRIES or size_bytes + row.size_bytes > FRAME_BYTES
        if run and (row.via == FROM_BELOW or is_full):
            yield run
            run, size_bytes = [], 0
        if row.via == OWN:
            run.append(row)
            size_bytes += row.size_bytes
    if run:
        yield run


def _sign(origin: str, frontier: Frontier, signer: Signer) -> SignedHead:
    root = frontier.root()
    note = sign_note(Checkpoint(origin, frontier.size, root).text(), signer)
    return SignedHead(frontier.size, root, note.to_bytes().decode())
