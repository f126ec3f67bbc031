"""The mark of a node that was restored, or whose database was put back: while it stands, the node writes nothing."""

from pathlib import Path

import msgspec

from sync.trust.keys import flush_folder, write_private

RESTORED = Path("trust/restored.json")


class Restored(msgspec.Struct, frozen=True):
    """made_us: when the backup was made, UTC microseconds. pos, own_size: of the ledger and the own log then.

    The node may have written on after the backup, and its superior may hold what it wrote: under the same numbers it
    must write nothing else. The restore has put the question to the superior into the database (`Exchange.standing`
    tells the answer), by the lane that carries the frames: so the answer comes after all that the node had sent
    before its loss. `agrees`: take the mark away and go on. `behind`, `differs`: stay, and restore a later backup.
    At the root the outside witness answers instead: it has cosigned a head of this size or larger, or it refuses.
    """

    made_us: int
    pos: int
    own_size: int


def mark_of(folder: Path) -> Restored | None:
    """The mark, if this node was restored and may not write yet."""
    try:
        return msgspec.json.decode((folder / RESTORED).read_bytes(), type=Restored)
    except FileNotFoundError:
        return None


def set_mark(folder: Path, mark: Restored) -> None:
    """Let it stand: on the disk on return, so before anything is asked."""
    write_private(folder / RESTORED, msgspec.json.encode(mark))


def take_mark_away(folder: Path) -> None:
    """The superior has answered with what allows writing. On the disk on return, so before the first write."""
    (folder / RESTORED).unlink(missing_ok=True)
    flush_folder(folder / RESTORED.parent)
