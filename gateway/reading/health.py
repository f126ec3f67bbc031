"""How the node and its links are: each child's silence, every standing fault, every view's position."""

import msgspec

from domain.divisions import Division
from gateway.hosting.clock_doubt import STEP_US, Doubt
from gateway.hosting.status import NodeStatus
from gateway.node import Node
from projections.runner import Progress
from sync.exchange.status import ChildStatus, FaultStatus, ShardStatus


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The node, the shards of its log, the nodes directly below with their names, the standing faults, and its views.

    failure: which part has stopped and why, or null; the process ends then. doubt: why the machine's clock is
    not believed, or null.
    """

    status: NodeStatus
    failure: str | None
    doubt: Doubt | None
    shards: list[ShardStatus]
    children: list[ChildStatus]
    names: dict[str, str]
    faults: list[FaultStatus]
    views: list[Progress]

    @property
    def is_skewed(self) -> bool:
        """Whether the parent's clock differs from the own by more than clocks may."""
        return abs(self.status.clock_skew_s) * 1_000_000 > STEP_US


def health(node: Node) -> Health:
    """How the node is now."""
    children = node.links.children()
    with node.pool.connection() as conn:
        views = node.views.progress(conn)
    return Health(
        status=node.status(),
        failure=node.failure,
        doubt=node.clock.doubt(),
        shards=node.links.shards(),
        children=children,
        names={child.division: node.around.name_of(Division(child.division)) for child in children},
        faults=node.links.faults(),
        views=views,
    )
