"""Which organ manages the officials of an office (干部管理权限), and so may read what is said against them."""

from types import MappingProxyType
from typing import Final

from domain.divisions import Division, Tier, Topology, tier_of
from domain.errors import DomainError

_TIERS: Final[tuple[Tier, ...]] = ("village", "township", "county", "city")

_MANAGED_BY: Final = MappingProxyType[Tier, Tier]({"village": "county", "township": "county", "county": "city"})
"""The tier whose organ manages the officials of a tier; a city's are managed by the province, which has no node here.

A village's officials are managed past their township, which they answer to every day (design choice).
"""


class ManagedAbove(DomainError):
    """The organ that manages this office's officials stands above every node. Take the letter there; nothing is kept.

    The root's own desk is no way out: it is on the node of the accused, whose operators hold its keys.
    """

    code = "managed_above"

    def __init__(self) -> None:
        super().__init__(
            "该单位的干部由更高一级机关管理，本系统内没有该机关的节点，为免落入被反映单位，本系统未接收、未保存；"
            "请直接向上一级纪检监察机关反映（接待窗口、来信或12388举报电话）",
            "officials of this office are managed by an organ above this system, so nothing was taken in or kept; turn "
            "to the discipline inspection and supervision organ one level up: its window, by letter or telephone 12388",
            field="accused_unit",
        )


def managing_organ(accused: Division, topology: Topology) -> Division:
    """The organ that manages the officials of `accused`: the nearest superior of the tier that does, or of a higher.

    Never `accused` itself. Raises ManagedAbove where there is none in the tree, DivisionUnknown.
    """
    if not topology.parents:
        raise ManagedAbove  # a root that has enrolled nobody yet
    managed_by = _MANAGED_BY.get(tier_of(accused))
    superiors = topology.path_up(accused)[1:]
    able = [] if managed_by is None else _TIERS[_TIERS.index(managed_by) :]
    organ = next((step for step in superiors if tier_of(step) in able), None)
    if organ is None:
        raise ManagedAbove
    return organ


def first_stop(organ: Division, here: Division, topology: Topology) -> Division:
    """Where a letter typed on the node `here` goes for `organ`: to it, if it is here or above; else to the first
    superior of both, which may be here, and which sends it down. Raises DivisionUnknown."""
    above = topology.path_up(organ)
    return next(step for step in topology.path_up(here) if step in above)
