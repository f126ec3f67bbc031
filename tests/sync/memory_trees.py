"""A node's trees, heads and cosignatures in memory."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from domain.divisions import Division
from domain.shards import log_id_of, shard_of
from sync.ledger.rows import Head
from sync.proofs.merkle import Frontier
from sync.proofs.note import Verifier, encode64
from sync.proofs.tree import Growth, LastCosigned, Latest, SignedHead, Tree, TreeMoved
from tests.sync.memory_tables import HEAD, OWN_ROW, Tables

T = TypeVar("T")

NO_END: Final = 2**63


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
        return self.tables.logs.setdefault(origin, log_id_of(shard_of(origin) or 1, len(self.tables.logs) + 1))

    def own_log(self) -> int:
        if OWN_ROW not in self.tables.own_log:
            raise LookupError("this database has no own log yet")
        return self.tables.own_log[OWN_ROW]

    def write_log(self, log_id: int, own_size: int) -> None:
        head, mark = self.tables.head.get(HEAD, (Head(0, 0, 0, 0, 0), None))
        if head.own_size != own_size:
            raise TreeMoved
        fenced = head.epoch + (OWN_ROW in self.tables.own_log)
        self.tables.head[HEAD] = (head._replace(own_size=0, epoch=fenced), mark)
        self.tables.own_log[OWN_ROW] = log_id

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

    def thaw(self, log_id: int) -> None:
        self.tables.trees[log_id] = msgspec.structs.replace(self.tables.trees[log_id], frozen=None)

    def all_trees(self) -> list[Tree]:
        return [tree for _, tree in sorted(self.tables.trees.items())]

    def heads_beyond(self, log_id: int, size: int) -> list[SignedHead]:
        return [self.tables.heads[key] for key in self.tables.heads.between((log_id, size + 1), (log_id, NO_END))]

    def put_note(self, log_id: int, size: int, note: str) -> None:
        self.tables.heads[log_id, size] = msgspec.structs.replace(self.tables.heads[log_id, size], note=note)

    def hashes(self, log_id: int) -> "_Hashes":
        return _Hashes(self.tables, log_id)

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        return self.tables.heads.get((log_id, size))

    def heads(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[SignedHead]]:
        found: dict[int, list[SignedHead]] = {}
        for log_id, first, last in spans:
            bound = self.head_beyond(log_id, last)
            if bound is not None and (keys := self.tables.heads.between((log_id, first + 1), (log_id, bound.size + 1))):
                found.setdefault(log_id, []).extend(self.tables.heads[key] for key in keys)
        return found

    def head_beyond(self, log_id: int, seq: int) -> SignedHead | None:
        key = self.tables.heads.first((log_id, seq + 1), (log_id, NO_END))
        return None if key is None else self.tables.heads[key]

    def newest_note(self, log_id: int) -> str | None:
        key = self.tables.heads.last((log_id, 0), (log_id, NO_END))
        return None if key is None else self.tables.heads[key].note

    def head_upto(self, log_id: int, seq: int) -> int:
        key = self.tables.heads.last((log_id, 0), (log_id, seq + 1))
        return 0 if key is None else key[1]

    def cosigned_head(self, log_id: int, seq: int, witness: str) -> SignedHead | None:
        keys = self.tables.cosigned.between((log_id, witness, seq + 1), (log_id, witness, NO_END))
        return next((head for _, _, size in keys if (head := self.head_at(log_id, size)) is not None), None)

    def cosigned_size(self, log_id: int, witness: str) -> int:
        key = self.tables.cosigned.last((log_id, witness, 0), (log_id, witness, NO_END))
        return 0 if key is None else key[2]

    def cosigned_by(self, log_id: int, key: Verifier) -> int:
        keys = self.tables.cosigned.between((log_id, key.name, 0), (log_id, key.name, NO_END))
        short = encode64(key.key_id)[:5]
        sizes = [size for *_, size in keys if _key_in(self.tables.cosignatures[log_id, size, key.name]) == short]
        return max(sizes, default=0)

    def cosigned_since(self, log_id: int, witnesses: Sequence[str], beyond: int) -> int | None:
        cosigned = self.tables.cosigned
        keys = [key for one in witnesses for key in cosigned.between((log_id, one, beyond + 1), (log_id, one, NO_END))]
        return min((cosigned[key] for key in keys), default=None)

    def cosignature_lines(self, log_id: int, size: int) -> list[str]:
        keys = self.tables.cosignatures.between((log_id, size, ""), (log_id, size + 1, ""))
        return [self.tables.cosignatures[key] for key in keys]

    def keep_cosignatures(self, witness: str, lines: Sequence[tuple[int, int, str]], now_us: int) -> None:
        for log_id, size, line in lines:
            known = self.tables.cosignatures.setdefault((log_id, size, witness), line)
            if _key_in(known) != _key_in(line):
                self.tables.cosignatures[log_id, size, witness] = line
            self.tables.cosigned.setdefault((log_id, witness, size), now_us)

    def heads_by(
        self, log_id: int, witnesses: Sequence[str], at_least: int, beyond: int, limit: int, *, newest_first: bool
    ) -> list[SignedHead]:
        known = self.tables.cosignatures
        sizes = [size for _, size in self.tables.heads.between((log_id, beyond + 1), (log_id, NO_END))]
        found = [size for size in sizes if sum((log_id, size, one) in known for one in witnesses) >= at_least]
        return [self.tables.heads[log_id, size] for size in sorted(found, reverse=newest_first)[:limit]]

    def keep_latest(self, log_id: int, latest: Latest) -> None:
        self.tables.latest[log_id, latest.witness] = latest

    def latest(self, log_id: int, witness: str) -> Latest | None:
        return self.tables.latest.get((log_id, witness))

    def last_cosigned(self, log_ids: Iterable[int], witness: str) -> dict[int, LastCosigned]:
        found: dict[int, LastCosigned] = {}
        for log_id in log_ids:
            for key in reversed(self.tables.cosigned.between((log_id, witness, 0), (log_id, witness, NO_END))):
                if (head := self.head_at(log_id, key[2])) is not None:
                    line = self.tables.cosignatures[log_id, head.size, witness]
                    found[log_id] = LastCosigned(head.size, head.root, line)
                    break
        return found


class _Hashes:
    """A HashReader over one log."""

    def __init__(self, tables: Tables, log_id: int) -> None:
        self._tables = tables
        self._log_id = log_id

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        return [row.leaf for row in self._tables.ledger.run(self._log_id, start, end)]

    def tile_hashes(self, level: int, start: int, end: int) -> list[bytes]:
        keys = [(self._log_id, level, number) for number in range(start, end)]
        return [self._tables.tiles[key] for key in keys if key in self._tables.tiles]


def _key_in(line: str) -> str:
    """The key id that a signature line begins with."""
    return line.split(" ")[2][:5] if line.count(" ") > 1 else ""


def first_of(item: tuple[T, object]) -> T:
    """The key of an item."""
    return item[0]
