"""What a node that lost its disk makes of what its parent gives back: verified like any frame, own or from below."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from domain.divisions import Division
from sync.exchange.faults import Fault, evidence_of
from sync.exchange.filing import enrolled, file_frame
from sync.exchange.inbox_store import Part
from sync.exchange.leaf import read_leaf
from sync.exchange.opening import OpenFrame
from sync.exchange.wire import Frame, Returned, encode
from sync.ledger.append import Learned
from sync.ledger.rows import FROM_BELOW, OWN
from sync.proofs.merkle import TileRun, leaf_hash
from sync.proofs.note import NoteInvalid, parse_checkpoint, parse_note, verify
from sync.proofs.tree import Growth, SignedHead, Tree
from sync.trust.certificates import CertificateRefused, Directory
from sync.trust.statements import Statement

INVALID = "returned_invalid"
"""The kind of the fault that names what a parent gave back and its author never signed so."""


class RegainingStore(Protocol):
    """What is asked of the transaction in which it is taken in."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held."""

    def plant(self, origin: str, division: Division) -> Tree:
        """An empty tree for a log that has none."""

    def sparse(self, sizes: Mapping[int, int]) -> dict[tuple[int, int], bytes]:
        """(log_id, seq) -> leaf hash of what is known of these logs beyond their sizes, learned from above."""


class _Growing(msgspec.Struct):
    before: Tree
    now: Tree
    tiles: list[TileRun]
    heads: list[SignedHead]


class Regained(NamedTuple):
    """What one frame that came back becomes. via: OWN or FROM_BELOW."""

    via: int
    rows: list[Learned]
    parts: list[Part]
    faults: list[Fault]


class Regaining:
    """One batch of what came back; nothing is written but new trees, and the sizes are those of the batch."""

    def __init__(self, store: RegainingStore, here: Division) -> None:
        self._store = store
        self._here = here
        self._growing: dict[str, _Growing] = {}
        self.statements: list[tuple[Statement, str]] = []

    def take(self, item: Returned, directory: Directory) -> tuple[Regained, Directory]:
        """The rows of a frame, and the directory with whom it enrols; a fault where its author signed no such thing."""
        frame = Frame(item.log, item.first, item.checkpoint, item.entries, item.beside)
        try:
            head, author = self._checked(frame, directory)
        except NoteInvalid as error:
            return self._invalid(frame, str(error)), directory
        growing = self._growing_of(item.log, author)
        if head.size <= growing.now.size:
            return Regained(FROM_BELOW, [], [], []), directory
        hashes = [leaf_hash(entry) for entry in frame.entries]
        frontier, tiles = growing.now.frontier.extend(hashes[growing.now.size - frame.first :])
        if frame.first > growing.now.size or frontier.root() != head.root:
            why = f"it does not go on from the {growing.now.size} leaves that are back"
            return self._invalid(frame, why), directory
        leaves = [read_leaf(entry, frame.log, directory) for entry in frame.entries]
        opened = OpenFrame(self._here, encode(frame), frame, head, hashes, leaves, None)
        tree = growing.now
        rows, parts, faults, texts, _ = file_frame(opened, tree, self._store.sparse({tree.log_id: tree.size}))
        growing.now = msgspec.structs.replace(tree, frontier=frontier)
        growing.tiles += tiles
        growing.heads.append(head)
        for _, text in texts:
            directory = self._enrol(directory, item.log, text)
        return Regained(OWN if author == self._here else FROM_BELOW, rows, parts, faults), directory

    def growths(self) -> list[Growth]:
        """How the trees have grown."""
        return [
            Growth(growing.before, growing.now.frontier, growing.tiles, growing.heads)
            for growing in self._growing.values()
            if growing.heads
        ]

    def _checked(self, frame: Frame, directory: Directory) -> tuple[SignedHead, Division]:
        note = parse_note(frame.checkpoint.encode())
        checkpoint = parse_checkpoint(note.text)
        verify(note, directory.past_authors(frame.log))
        author = directory.division_of(frame.log)
        if (checkpoint.origin, checkpoint.size) != (frame.log, frame.first + len(frame.entries)) or author is None:
            raise NoteInvalid("检查点与所附条目不符", "the checkpoint is not the one that these entries end at")
        if self._here not in directory.topology.path_up(author):
            raise NoteInvalid("不是本节点或下级的日志", "the log is neither this node's nor of one below it")
        return SignedHead(checkpoint.size, checkpoint.root, frame.checkpoint), author

    def _growing_of(self, log: str, author: Division) -> _Growing:
        growing = self._growing.get(log)
        if growing is None:
            tree = self._store.trees([log]).get(log) or self._store.plant(log, author)
            growing = self._growing[log] = _Growing(tree, tree, [], [])
        return growing

    def _enrol(self, directory: Directory, log: str, text: str) -> Directory:
        try:
            certificate, directory = enrolled(directory, log, text)
        except CertificateRefused:  # its author's parent did not believe it either, and has said so
            return directory
        self.statements.append((certificate, text))
        return directory

    def _invalid(self, frame: Frame, why: str) -> Regained:
        fault = Fault(INVALID, f"{frame.log}#{frame.first}", "", why, evidence_of(encode(frame)))
        return Regained(FROM_BELOW, [], [], [fault])
