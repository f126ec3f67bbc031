"""The end of a year for the command line: the log of a stopped node passes from one shard to the next."""

import time
from pathlib import Path
from typing import NamedTuple

from domain.errors import DomainError
from gateway.node import Node
from sync.proofs.tree import TreeMoved

WAIT_S = 60.0
_LOOK_S = 0.2


class FreezeUnsecured(DomainError):
    """Not all of the shard is cosigned, so it cannot end. Nothing has changed: mend the link and ask again."""

    code = "freeze_unsecured"

    def __init__(self) -> None:
        super().__init__(
            "本分片尚有记录未经上级（根节点：外部见证）联署，未作任何变更；请检查连接后重试",
            "not all of this shard is cosigned by the superior (at the root: the outside witness), and nothing has "
            "changed; check the link, then freeze again",
        )


class Passed(NamedTuple):
    """ended, size: the shard that ended, and with how many leaves. begun, log_key: the one that is written now."""

    ended: str
    size: int
    begun: str
    log_key: str


def freeze(folder: Path, wait_s: float = WAIT_S) -> Passed:
    """End the shard that the node in `folder` writes, once all of it is cosigned, and open the next one.

    Whatever breaks off leaves the old shard, or the new one, which its first start opens. Raises FreezeUnsecured,
    FolderInUse, and while the node is on probation, as `Node.append`.
    """
    node = Node(folder)
    try:
        node.open()
        ended, size = _pass_on(node, wait_s)
    finally:
        node.stop()
    node = Node(folder)
    try:
        node.open()
        return Passed(ended, size, node.config.origin, node.log_key)
    finally:
        node.stop()


def _pass_on(node: Node, wait_s: float) -> tuple[str, int]:
    node.probation.require_over()
    node.links.start(node.fail)
    give_up = time.monotonic() + wait_s
    while time.monotonic() < give_up:
        try:
            if node.links.pass_on():
                return node.config.origin, node.reader.size_of(node.own_log)
        except TreeMoved:  # what was recorded last is being sealed
            pass
        time.sleep(_LOOK_S)
    raise FreezeUnsecured
