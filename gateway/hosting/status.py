"""How a node is: what its page, its metrics, `huiyin node status` and `huiyin demo status` all show."""

import msgspec

from domain.divisions import Division, Tier


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """log_size: own events; ledger_size: all that it knows; cosigned_size: of the own log, by the direct parent.

    lag: own events and events from below that the parent has not cosigned yet. quarantined: faults that stand.
    projection_lag: ledger positions that the views do not show yet.
    """

    division: Division
    tier: Tier
    name: str
    url: str
    parent: Division | None
    log_size: int
    ledger_size: int
    cosigned_size: int
    lag: int
    quarantined: int
    projection_lag: int


Statuses: msgspec.json.Decoder[NodeStatus] = msgspec.json.Decoder(NodeStatus)
