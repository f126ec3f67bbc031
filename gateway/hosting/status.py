"""How a node is: what its page, its metrics, `huiyin node status` and `huiyin demo status` all show."""

import msgspec

from domain.divisions import Division, Tier
from gateway.hosting.clock_doubt import Kind


class WitnessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One witness outside the line of command. name: of its key; cosigned_size: of the own log, when last asked.

    is_demanded: nothing is secured without it. signed_us: the time of its last cosignature, by its own clock (UTC
    microseconds), 0 for never. is_late: it has missed two of the cosignatures that are asked for every hour.
    trouble_zh, trouble_en: why it gave none when last asked, and what to do; empty where it did.
    """

    name: str
    url: str
    is_demanded: bool
    cosigned_size: int
    signed_us: int
    is_late: bool
    trouble_zh: str
    trouble_en: str


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """log_size: own events; ledger_size: all that it knows; cosigned_size: of the own log, by the direct parent.

    lag: own events and events from below that the parent has not cosigned yet. quarantined: faults that stand.
    projection_lag: ledger positions that the views do not show yet. clock_doubt: why nothing is recorded, or null
    (gateway.hosting.clock_doubt.Doubt). clock_skew_s: how far the parent's clock was ahead of the own when it last
    cosigned; behind: negative. certificate_ends_us: when the own certificate runs out (UTC microseconds), told from 90
    days before. All three are left out of the JSON where there is nothing to say.
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
    clock_doubt: Kind | None = None
    clock_skew_s: int = 0
    certificate_ends_us: int = 0
    secured_size: int = 0
    witnesses: tuple[WitnessStatus, ...] = ()
    policy_is_outdated: bool = False


Statuses: msgspec.json.Decoder[NodeStatus] = msgspec.json.Decoder(NodeStatus)
