"""The logs that a node holds, its own and the replicas of those below, as the files of C2SP tlog-tiles."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from domain.divisions import Division
from gateway.node import Node
from gateway.refusals import NotFound
from sync.proofs.postgres_trees import PostgresTrees
from sync.proofs.tiles import TilePath, entry_bundle, hash_tile, tile_width
from sync.proofs.tree import Tree


class LogHeld(msgspec.Struct, frozen=True, kw_only=True):
    """A log that is held here without a gap. prefix: the path under which its files lie. keys: of its author (vkeys),
    the one in force last.

    size: leaves under a head that its author signed. frozen: it was seen to fork, and no more of it is taken.
    """

    origin: str
    division: Division
    prefix: str
    keys: list[str]
    size: int
    frozen: bool


class LogFiles:
    """Reads the files of the logs that one node holds. Nothing sealed is read, opened or noted as opened."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def held(self) -> list[LogHeld]:
        """Every log held here, by origin."""
        directory = self._node.around.directory()
        with self._trees() as trees:
            found = trees.trees(directory.origins())
        return [
            LogHeld(
                origin=origin,
                division=division,
                prefix=f"/tlog/{origin}/",
                keys=list(dict.fromkeys(key.vkey for key in directory.past_authors(origin))),
                size=tree.size,
                frozen=tree.frozen is not None,
            )
            for origin, tree in sorted(found.items())
            if (division := directory.division_of(origin)) is not None
        ]

    def checkpoint(self, origin: str) -> bytes:
        """The newest head that the policy of the own log asks for, or of a replica, that somebody has cosigned.

        With all its lines; before there is one, the newest. NotFound.
        """
        links = self._node.links
        secured_size = links.secured_size() if origin == self._node.config.origin else 0
        with self._trees() as trees:
            log_id = _tree(trees, origin).log_id
            head = trees.head_at(log_id, secured_size) or trees.newest_cosigned(log_id)
            note = trees.newest_note(log_id) if head is None else head.note
            if note is None:
                raise NotFound
            return (note + "".join(trees.cosignature_lines(log_id, head.size) if head else [])).encode()

    def tile(self, origin: str, path: TilePath) -> bytes:
        """A hash tile or a bundle of entries, full or partial, up to the newest head. NotFound."""
        with self._trees() as trees:
            tree = _tree(trees, origin)
            if path.width > tile_width(path.level, path.index, tree.size):
                raise NotFound
            hashes = trees.hashes(tree.log_id)
            return entry_bundle(hashes.entries(path.start, path.end)) if path.level is None else hash_tile(hashes, path)

    @contextmanager
    def _trees(self) -> Iterator[PostgresTrees]:
        with self._node.pool.connection() as conn, conn.transaction():
            yield PostgresTrees(conn)


def _tree(trees: PostgresTrees, origin: str) -> Tree:
    found = trees.trees([origin]).get(origin)
    if found is None:
        raise NotFound
    return found
