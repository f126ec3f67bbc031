"""What a node stores, as tables in memory, and its trees, heads and cosignatures over them."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec

from domain.divisions import Division
from sync.exchange.dispatch import Enclosed
from sync.exchange.downlink import ChildState
from sync.exchange.inbox_store import Parked
from sync.exchange.introducing import Learned as LearnedCertificate
from sync.ledger.rows import Row
from sync.proofs.merkle import Frontier
from sync.proofs.tree import Growth, LastCosigned, SignedHead, Tree, TreeMoved

T = TypeVar("T")


class Standing(NamedTuple):
    """A fault as it stands. evidence is the first one's."""

    child: str
    detail: str
    evidence: bytes
    times: int
    first_us: int
    last_us: int
    healed_us: int | None


@dataclass
class Tables:
    """All that is stored. No value in it is ever changed, so a copy of each table is a snapshot."""

    ledger: list[Row] = field(default_factory=list)
    logs: dict[str, int] = field(default_factory=dict)
    beside: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    trees: dict[int, Tree] = field(default_factory=dict)
    tiles: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    heads: dict[tuple[int, int], SignedHead] = field(default_factory=dict)
    cosignatures: dict[tuple[int, int, str], str] = field(default_factory=dict)
    enclosures: dict[tuple[int, int], Enclosed] = field(default_factory=dict)
    tracking: dict[str, int] = field(default_factory=dict)
    children: dict[Division, ChildState] = field(default_factory=dict)
    heard_us: dict[Division, int] = field(default_factory=dict)
    down: dict[tuple[Division, int], tuple[bytes, int]] = field(default_factory=dict)
    parked: dict[tuple[str, int], Parked] = field(default_factory=dict)
    faults: dict[tuple[str, str], Standing] = field(default_factory=dict)
    certificates: dict[tuple[Division, int], LearnedCertificate] = field(default_factory=dict)
    onward: dict[UUID, Division] = field(default_factory=dict)
    question: dict[bytes, int | None] = field(default_factory=dict)
    unread: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)

    def snapshot(self) -> "Tables":
        """What is stored now, whatever is done to this one later."""
        return Tables(**{table.name: copy.copy(getattr(self, table.name)) for table in fields(self)})


class MemoryTrees:
    """Trees, heads and cosignatures; see sync.proofs.tree and the protocols of sync.exchange."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def tree(self, log_id: int) -> Tree:
        if log_id not in self.tables.trees:
            raise LookupError(f"log {log_id} has no tree here")
        return self.tables.trees[log_id]

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        wanted = set(origins)
        return {tree.origin: tree for tree in self.tables.trees.values() if tree.origin in wanted}

    def trees_by_id(self, log_ids: Iterable[int]) -> dict[int, Tree]:
        return {log_id: self.tables.trees[log_id] for log_id in log_ids if log_id in self.tables.trees}

    def plant(self, origin: str, division: Division) -> Tree:
        tree = Tree(self.log_id(origin, division), origin, Frontier(), None, 0, None)
        self.tables.trees.setdefault(tree.log_id, tree)
        return tree

    def log_id(self, origin: str, _: Division) -> int:
        return self.tables.logs.setdefault(origin, len(self.tables.logs) + 1)

    def grow(self, growths: Sequence[Growth]) -> None:
        for before, frontier, tiles, heads in (
            (growth.before, growth.frontier, growth.tiles, growth.heads) for growth in growths
        ):
            tree = self.tables.trees[before.log_id]
            if tree.size != before.size:
                raise TreeMoved
            self.tables.trees[before.log_id] = msgspec.structs.replace(tree, frontier=frontier)
            for run in tiles:
                for number, digest in enumerate(run.hashes, run.start):
                    self.tables.tiles[before.log_id, run.level, number] = digest
            for head in heads:
                self.tables.heads.setdefault((before.log_id, head.size), head)

    def freeze(self, log_id: int, reason: str) -> None:
        self.tables.trees[log_id] = msgspec.structs.replace(self.tables.trees[log_id], frozen=reason)

    def hashes(self, log_id: int) -> "_Hashes":
        return _Hashes(self.tables, log_id)

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        return self.tables.heads.get((log_id, size))

    def heads(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[SignedHead]]:
        found: dict[int, list[SignedHead]] = {}
        for log_id, first, last in spans:
            heads = self._heads(log_id)
            bound = min((head.size for head in heads if head.size > last), default=0)
            if chosen := [head for head in heads if first < head.size <= bound]:
                found.setdefault(log_id, []).extend(chosen)
        return found

    def head_beyond(self, log_id: int, seq: int) -> SignedHead | None:
        return next((head for head in self._heads(log_id) if head.size > seq), None)

    def cosigned_head(self, log_id: int, seq: int, witness: str) -> SignedHead | None:
        signed = (head for head in self._heads(log_id) if (log_id, head.size, witness) in self.tables.cosignatures)
        return next((head for head in signed if head.size > seq), None)

    def cosigned_size(self, log_id: int, witness: str) -> int:
        sizes = (size for log, size, name in self.tables.cosignatures if (log, name) == (log_id, witness))
        return max(sizes, default=0)

    def cosignature_lines(self, log_id: int, size: int) -> list[str]:
        return [line for key, line in sorted(self.tables.cosignatures.items()) if key[:2] == (log_id, size)]

    def keep_cosignatures(self, witness: str, lines: Sequence[tuple[int, int, str]], _: int) -> None:
        for log_id, size, line in lines:
            self.tables.cosignatures.setdefault((log_id, size, witness), line)

    def last_cosigned(self, log_ids: Iterable[int], witness: str) -> dict[int, LastCosigned]:
        found: dict[int, LastCosigned] = {}
        for log_id in log_ids:
            for head in self._heads(log_id):
                if (line := self.tables.cosignatures.get((log_id, head.size, witness))) is not None:
                    found[log_id] = LastCosigned(head.size, head.root, line)
        return found

    def _heads(self, log_id: int) -> list[SignedHead]:
        return [head for (log, _), head in sorted(self.tables.heads.items(), key=first_of) if log == log_id]


class _Hashes:
    """A HashReader over one log."""

    def __init__(self, tables: Tables, log_id: int) -> None:
        self._tables = tables
        self._log_id = log_id

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        rows = [row for row in self._tables.ledger if row.log_id == self._log_id and start <= row.seq < end]
        return [row.leaf for row in sorted(rows, key=lambda row: row.seq)]

    def tile_hashes(self, level: int, start: int, end: int) -> list[bytes]:
        keys = [(self._log_id, level, number) for number in range(start, end)]
        return [self._tables.tiles[key] for key in keys if key in self._tables.tiles]


def first_of(item: tuple[T, object]) -> T:
    """The key of an item."""
    return item[0]
