"""How the node below and the links are: each child's silence, every standing fault, every view's position."""

import msgspec
from psycopg.rows import class_row

from gateway.node import Node
from gateway.status import NodeStatus
from projections.runner import Progress


class ChildHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A direct subordinate. log_size: what this node holds of its log; waiting: directives it has not acknowledged.

    heard_us: when its last record was dealt with; null for never.
    """

    division: str
    name: str
    log_size: int
    waiting: int
    heard_us: int | None


class FaultView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went wrong between nodes and stands. subject: the log, leaf or lane it is about."""

    kind: str
    subject: str
    child: str
    detail: str
    count: int
    first_us: int
    last_us: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The node, the nodes directly below, the standing faults, and its views."""

    status: NodeStatus
    children: list[ChildHealth]
    faults: list[FaultView]
    views: list[Progress]


_CHILDREN = """
select c.division, coalesce(max(t.size), 0)::bigint as log_size, (c.down_size - c.down_acked)::bigint as waiting,
    nullif(c.heard_us, 0) as heard_us
from child c left join log l on l.division = c.division left join tree t on t.log_id = l.id
group by c.division order by c.division"""

_FAULTS = """
select kind, subject, child, detail, count, first_us, last_us from fault where healed_us is null
order by last_us desc limit 200"""


def health(node: Node) -> Health:
    """How the node is now."""
    with node.pool.connection() as conn:
        children = [
            ChildHealth(
                division=code, name=node.around.name_of(code), log_size=size, waiting=waiting, heard_us=heard_us
            )
            for code, size, waiting, heard_us in conn.execute(_CHILDREN)
        ]
        with conn.cursor(row_factory=class_row(FaultView)) as cursor:
            faults = cursor.execute(_FAULTS).fetchall()
        views = node.views.progress(conn)
    return Health(status=node.status(), children=children, faults=faults, views=views)
