"""Signing the own log: a checkpoint at the end of every run of own events that goes up as one frame."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from sync.exchange.wire import FRAME_BYTES, FRAME_ENTRIES
from sync.ledger.rows import FROM_ABOVE, FROM_BELOW, OWN
from sync.proofs.merkle import Frontier, TileRun
from sync.proofs.note import Checkpoint, Note, Signer, parse_note, sign_note
from sync.proofs.tree import Growth, SignedHead, TreeReader

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

    def head_beyond(self, log_id: int, seq: int) -> SignedHead | None:
        """The smallest signed head kept beyond leaf `seq`."""

    def heads_beyond(self, log_id: int, size: int) -> list[SignedHead]:
        """Every head kept of a log beyond this size, in order."""

    def put_note(self, log_id: int, size: int, note: str) -> None:
        """The same head, signed otherwise."""


def seal(store: SealStore, signers: Sequence[Signer]) -> bool:
    """Sign a checkpoint at the end of every run of own events that is not under one yet; whether there was any row.

    A run ends where something learned from below stands between, so that the frames that end here can be sent in
    the order in which this node learned things, and at the limits of a frame. signers: the log key in force first.
    """
    rows = store.outline(store.claim(SEALED), _PAGE)
    if not rows:
        return False
    tree = store.tree(store.own_log())
    frontier, tiles, heads = tree.frontier, list[TileRun](), list[SignedHead]()
    for run in _own_runs(rows, tree.log_id):
        frontier, completed = frontier.extend([row.leaf for row in run])
        tiles += completed
        heads.append(_sign(tree.origin, frontier, signers))
    if heads:
        store.grow([Growth(tree, frontier, tiles, heads)])
    store.move(SEALED, rows[-1].pos)
    return True


def _own_runs(rows: Iterable[Outline], own_log: int) -> Iterable[list[Outline]]:
    run: list[Outline] = []
    size_bytes = 0
    for row in rows:
        if row.via == FROM_ABOVE or (row.via == OWN and row.log_id != own_log):
            continue  # what came from above, or back from there, is never sent up, so it parts nothing
        is_full = len(run) == FRAME_ENTRIES or size_bytes + row.size_bytes > FRAME_BYTES
        if run and (row.via == FROM_BELOW or is_full):
            yield run
            run, size_bytes = [], 0
        if row.via == OWN:
            run.append(row)
            size_bytes += row.size_bytes
    if run:
        yield run


def sign_again(store: SealStore, since_size: int, signers: Sequence[Signer]) -> int:
    """Sign every own head beyond this size that lacks the key in force; how many there were.

    After the keys before were taken back, what they had signed beyond the last good size is this node's own all the
    same: it is not lost, but only the new key can say so.
    """
    (now, *_) = signers
    own = store.own_log()
    first = store.head_beyond(own, since_size)
    if first is None or _is_by(first, now):
        return 0
    lacking = [head for head in store.heads_beyond(own, since_size) if not _is_by(head, now)]
    for head in lacking:
        text = parse_note(head.note.encode()).text
        store.put_note(own, head.size, _signed(text, signers))
    return len(lacking)


def _is_by(head: SignedHead, signer: Signer) -> bool:
    key = signer.verifier
    lines = parse_note(head.note.encode()).signatures
    return any((line.name, line.key_id) == (key.name, key.key_id) for line in lines)


def _sign(origin: str, frontier: Frontier, signers: Sequence[Signer]) -> SignedHead:
    root = frontier.root()
    return SignedHead(frontier.size, root, _signed(Checkpoint(origin, frontier.size, root).text(), signers))


def _signed(text: str, signers: Sequence[Signer]) -> str:
    lines = [line for signer in signers for line in sign_note(text, signer).signatures]
    return Note(text, tuple(lines)).to_bytes().decode()
