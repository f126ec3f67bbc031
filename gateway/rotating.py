"""Changing a node's signing keys from the command line; whatever breaks off is taken up where it stopped.

The new keys lie beside the old ones and sign checkpoints with them from now on; the log says so; the request, signed by
both, waits for the superior. A root needs none: its old keys certify the new ones.
"""

from pathlib import Path

from gateway.hosting import founding
from gateway.hosting.config import load
from gateway.hosting.founding import RotatedLately
from gateway.node import Node


def rotate(folder: Path) -> str | None:
    """Have other signing keys follow; the vkey of a root's log, to be told to its witness, or null where the request
    is to be carried to the superior. The node must not be running.

    Raises FolderInUse, RotatedLately, NotEnrolled, KeyFileRefused, LedgerError.
    """
    is_root = load(folder).node.parent is None
    founding.own_certificate(folder)
    before = founding.keys_of(folder)
    if before.following is None and before.former is not None:
        raise RotatedLately
    keys = founding.begin_rotation(folder)
    node = Node(folder)
    try:
        node.open()
        since_size = node.record_rotation(keys)
        now_us = node.clock.now_us()
    finally:
        node.stop()
    if is_root:
        return founding.rotate_root(folder, since_size, now_us)
    founding.ask_rotation(folder, since_size)
    return None
