"""How a later shard of a log begins: with a leaf that names where the one before ended, as this node holds that one."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from domain.divisions import Division
from domain.events import ShardOpened
from domain.shards import shard_after, shard_before
from sync.exchange.faults import Fault, Fork, evidence_of
from sync.exchange.opening import OpenFrame
from sync.proofs.merkle import EMPTY_ROOT
from sync.proofs.note import NoteInvalid, decode64, encode64
from sync.proofs.tree import SignedHead, Tree, TreeReader
from sync.trust.certificates import Directory

ENDED: Final = "ended"
"""Why no more of a shard is taken: the next one has begun."""

NOT_CONTINUED: Final = "shard_not_continued"
"""The kind of the fault that names a shard which does not begin where the one before ended."""

LATE: Final = "late_leaves"
"""The kind of the fault that keeps what was signed in a shard beyond its end: evidence, and without effect."""


class End(msgspec.Struct, frozen=True):
    """What the first leaf of a shard says of the one before: see `ShardOpened`."""

    before: str
    size: int
    root: str
    checkpoint: str


class PassingStore(TreeReader, Protocol):
    """One transaction in which a node's own log goes from one shard to the next."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held."""

    def plant(self, origin: str, division: Division) -> Tree:
        """An empty tree for a log that has none."""

    def freeze(self, log_id: int, reason: str) -> None:
        """Take no more of this log."""

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        """The signed head of exactly this size, if one was kept."""

    def write_log(self, log_id: int, own_size: int) -> None:
        """Own events are of this log from the next writer on; TreeMoved where the present one has other leaves."""


def pass_on(store: PassingStore, here: Division, witness: str) -> bool:
    """Write in the next shard from the next start on; False while anything of this one is not cosigned by `witness`.

    Raises TreeMoved where something was recorded that is not sealed yet.
    """
    tree = store.tree(store.own_log())
    if store.cosigned_size(tree.log_id, witness) < tree.size:
        return False
    store.freeze(tree.log_id, ENDED)
    store.write_log(store.plant(shard_after(tree.origin), here).log_id, tree.size)
    return True


def has_lost_all(store: TreeReader, origin: str, directory: Directory) -> bool:
    """Whether this node is certified for a shard that goes on from another one, and has begun nothing of it."""
    is_empty = store.tree(store.own_log()).size == 0
    return is_empty and shard_before(origin) is not None and directory.is_named(origin)


def opening(store: PassingStore, origin: str) -> End | None:
    """What the first leaf of this own shard has to say; None where it is the first shard."""
    name = shard_before(origin)
    if name is None:
        return None
    tree = store.trees([name]).get(name)
    if tree is None or not tree.size:
        return End(name, 0, encode64(EMPTY_ROOT), "")
    head = store.head_at(tree.log_id, tree.size)
    lines = "".join(store.cosignature_lines(tree.log_id, tree.size))
    return End(name, tree.size, encode64(tree.frontier.root()), "" if head is None else head.note + lines)


class Succession(NamedTuple):
    """Whether a shard may begin. awaits: the size up to which the one before has to be held first."""

    verdict: Literal["begins", "waits", "refused"]
    before: str
    awaits: int
    why: str


def succession(opened: OpenFrame, before: Tree | None, good: tuple[int, str] | None = None) -> Succession | None:
    """What is to be made of the first leaves of a log, given what is held of the shard before; None for a first shard.

    A shard whose first leaf does not name exactly the end of what its author has signed before begins nothing.
    good: size and base64 root up to which that shard is held good, where its keys were taken back: it may end there.
    """
    name = shard_before(opened.frame.log)
    if name is None:
        return None
    leaf = opened.leaves[0].event if opened.leaves and opened.frame.first == 0 else None
    if not isinstance(leaf, ShardOpened) or (leaf.origin, leaf.before) != (opened.frame.log, name):
        return Succession("refused", name, 0, f"its first leaf does not say where {name} ended")
    if before is not None and good == (leaf.size, leaf.root) and leaf.size <= before.size:
        return Succession("begins", name, 0, "")
    size, root = (0, EMPTY_ROOT) if before is None else (before.size, before.frontier.root())
    if leaf.size > size:
        return Succession("waits", name, leaf.size, "")
    if leaf.size < size or _root_of(leaf) != root:
        return Succession("refused", name, 0, f"it goes on from {leaf.size} leaves, {size} stand in {name}")
    return Succession("begins", name, 0, "")


def not_continued(opened: OpenFrame, why: str, held: SignedHead | None) -> Fault:
    """With both signed heads, that of what is held of the shard before and the frame's, checkable by anybody."""
    ours = "" if held is None else held.note
    evidence = Fork(ours, opened.head.note, b"", [], 0, b"", evidence_of(opened.record))
    return Fault(NOT_CONTINUED, opened.frame.log, opened.child, why, msgspec.msgpack.encode(evidence))


def late(opened: OpenFrame, tree: Tree) -> Fault:
    """One that its author signed in a shard beyond its end."""
    frame = opened.frame
    detail = f"leaves up to {opened.head.size} of a shard that ended at {tree.size}"
    return Fault(LATE, f"{frame.log}#{max(frame.first, tree.size)}", opened.child, detail, evidence_of(opened.record))


def _root_of(leaf: ShardOpened) -> bytes:
    try:
        return decode64(leaf.root)
    except NoteInvalid:
        return b""
