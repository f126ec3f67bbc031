"""Whether a node may write: at once, or, after a restore, only when its superior holds nothing else of its log."""

from collections.abc import Callable

from domain.errors import DomainError
from sync.exchange.exchange import Standing


class AwaitingSuperior(DomainError):
    """The node comes from a backup, and its superior has not said yet what it holds. Wait, or mend the link."""

    code = "awaiting_superior"

    def __init__(self) -> None:
        super().__init__(
            "本节点由备份恢复，正在向上级核对日志，核对完成前不能办理，请检查与上级的连接后稍候",
            "this node comes from a backup and is asking its superior what it holds; check the link and wait",
        )


class SuperiorKnowsMore(DomainError):
    """The superior holds what this backup lacks, or something else. Restore a later backup; write nothing here."""

    code = "superior_knows_more"

    def __init__(self) -> None:
        super().__init__(
            "上级保存的本节点日志比此备份更新或不一致，为免改写历史，本节点只能查阅；请恢复更晚的备份",
            "the superior holds more of this node's log than the backup, or something else; only reading is possible: "
            "restore a later backup",
        )


class Probation:
    """Ends by itself, for good, once the superior agrees."""

    def __init__(self, is_on: bool, end: Callable[[], None], standing: Callable[[], Standing]) -> None:
        """is_on: whether the node was restored and nobody has agreed yet. end: keeps that somebody has."""
        self._is_on = is_on
        self._end = end
        self._standing = standing

    @property
    def is_on(self) -> bool:
        """Whether the node must not write now; asks how the answer stands."""
        if self._is_on and self._standing() == "agrees":
            self._end()
            self._is_on = False
        return self._is_on

    def require_over(self) -> None:
        """Raises AwaitingSuperior or SuperiorKnowsMore while the node must not write."""
        if self.is_on:
            raise AwaitingSuperior if self._standing() in {"unasked", "unanswered"} else SuperiorKnowsMore
