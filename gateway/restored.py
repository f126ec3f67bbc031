"""A node that was restored from a backup: it asks what its superior holds of its log before it writes anything."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

RESTORED = Path("trust/restored.json")


class Restored(msgspec.Struct, frozen=True):
    """The mark that a restore leaves in a node's folder. made_us: when the backup was made (UTC microseconds).

    pos, own_size: of the ledger and the own log then. While the mark stands, the node neither appends, nor signs a
    checkpoint, nor sends an event: what it would write may have been written already, and otherwise.
    """

    made_us: int
    pos: int
    own_size: int


class Resume(msgspec.Struct, frozen=True):
    """Everything the superior holds stands here: take the mark away and go on; the rest is sent again."""


class Behind(msgspec.Struct, frozen=True):
    """The superior holds leaves that the backup lacks. Write nothing under this log; restore a later backup.

    Where there is none, the log ends here and the node goes on in a new shard.
    """

    own_size: int
    held_size: int


class Forked(msgspec.Struct, frozen=True):
    """The superior holds other leaves under the same numbers. Write nothing; find out which of the two is true."""

    held_size: int


Verdict = Resume | Behind | Forked


def may_write(own_size: int, root_at: Callable[[int], bytes], held_size: int, held_root: bytes) -> Verdict:
    """Whether a restored node may go on with its log, given the head that its superior has verified and stored.

    root_at: the own log's root at a size up to own_size (such as `frontier_at(hashes, size).root()`). held_root is
    not looked at where held_size is 0. The question must go by the lane that carries the frames: then the answer
    comes after everything that the node had sent before its loss.
    """
    if held_size > own_size:
        return Behind(own_size, held_size)
    if held_size > 0 and root_at(held_size) != held_root:
        return Forked(held_size)
    return Resume()


def mark_of(folder: Path) -> Restored | None:
    """The mark, if this node was restored and its superior has not answered yet."""
    try:
        return msgspec.json.decode((folder / RESTORED).read_bytes(), type=Restored)
    except FileNotFoundError:
        return None


def take_mark_away(folder: Path) -> None:
    """The superior has answered with what allows writing. On the disk on return, so before the first write."""
    (folder / RESTORED).unlink(missing_ok=True)
    flush_folder(folder / RESTORED.parent)


def flush_folder(folder: Path) -> None:
    """Return once the names in `folder` are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
