"""What another node has noted of logs that are held here, compared: more than came, or another history, is named."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

from domain.divisions import Division
from domain.events import HeadsNoted, encode
from sync.exchange.evidence import noted_otherwise
from sync.exchange.faults import NOTED_BEYOND, Fault
from sync.proofs.merkle import HashReader
from sync.proofs.note import NoteInvalid, decode64
from sync.proofs.tree import SignedHead, Tree, frontier_at

NOTED_OTHERWISE: Final = "noted_otherwise"
"""The kind of the fault that keeps a note of another history of a log than the one that is held: one of the two who
signed has lied."""


MAX_COMPARED: Final = 250
"""So many different heads are compared at a time, so that a flood of notes holds up nobody; an auditor compares all."""


class Note(NamedTuple):
    """A note that came: by whose lane, in which log, at which place."""

    child: Division
    log: str
    seq: int
    event: HeadsNoted


class NotingStore(Protocol):
    """What is asked of the store."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held."""

    def hashes(self, log_id: int) -> HashReader:
        """Its stored hashes."""

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        """The signed head of exactly this size, if one was kept."""


def compared(store: NotingStore, notes: Sequence[Note], followed: Iterable[str]) -> list[Fault]:
    """The faults that these notes show. followed: of which logs this node has to hold everything.

    Whoever notes a head has accepted all under it before, and passes it on before its note: what it names and has not
    come is being held back, or was lost on the way and is over once it comes.
    """
    if not notes:
        return []
    wanted = frozenset(followed)
    trees = store.trees(wanted | {note.log for note in notes})
    named = {(head.log, head.size, head.root): note for note in notes for head in note.event.heads}
    faults: dict[str, Fault] = {}
    for (log, size, root), note in islice(named.items(), MAX_COMPARED):
        if log in wanted and log != note.log and log not in faults:
            fault = _compare(store, note, trees[note.log], log, size, _root(root), trees)
            if fault is not None:
                faults[log] = fault
    return list(faults.values())


def _compare(
    store: NotingStore, note: Note, noter: Tree, log: str, size: int, root: bytes, trees: dict[str, Tree]
) -> Fault | None:
    tree = trees.get(log)
    held = 0 if tree is None else tree.size
    if tree is None or size > held:
        detail = f"{note.log}#{note.seq} names {size} leaves, {held} came"
        return None if tree is not None and tree.frozen else Fault(NOTED_BEYOND, log, note.child, detail, _leaf(note))
    hashes = store.hashes(tree.log_id)
    if not size or _root_at(store, hashes, tree, size) == root:
        return None
    ours, over = store.head_at(tree.log_id, tree.size), store.head_at(noter.log_id, noter.size)
    evidence = _leaf(note)
    if ours is not None and over is not None:
        said = (store.hashes(noter.log_id), over, note.seq, evidence)
        evidence = noted_otherwise(said, hashes, tree, ours.note, size)
    detail = f"{note.log}#{note.seq} names another root at {size} leaves"
    return Fault(NOTED_OTHERWISE, log, note.child, detail, evidence)


def _root_at(store: NotingStore, hashes: HashReader, tree: Tree, size: int) -> bytes:
    if size == tree.size:
        return tree.frontier.root()
    head = store.head_at(tree.log_id, size)
    return frontier_at(hashes, size).root() if head is None else head.root


def _root(text: str) -> bytes:
    try:
        return decode64(text)
    except NoteInvalid:
        return b""


def _leaf(note: Note) -> bytes:
    """The event's own bytes: a stored leaf is what its event encodes to."""
    return encode(note.event)
