"""How the exchange of a node stands: what is secured, what lags, who was last heard, what went wrong."""

from typing import Literal, LiteralString, NamedTuple

import msgspec

from domain.events import AnyEvent, ShardOpened, decode
from sync.exchange.evidence import Met
from sync.exchange.faults import Fault
from sync.proofs.note import parse_signature_lines
from sync.proofs.postgres_trees import Statements


class OwnStatus(msgspec.Struct, frozen=True):
    """This node. log_size, ledger_size: own events, all events. cosigned_size: own leaves its witness has cosigned.

    unsealed: own events not under a checkpoint yet. unsecured_rows: of what goes up, what the parent does not hold.
    refused_logs: logs the parent takes no more of. open_faults: kinds and subjects that are not over.
    """

    log_size: int
    ledger_size: int
    cosigned_size: int
    unsealed: int
    unsecured_rows: int
    refused_logs: int
    open_faults: int


class ChildStatus(msgspec.Struct, frozen=True):
    """One child. heard_us: when its last record was dealt with (UTC microseconds), 0 for never.

    log_size: leaves of its own log held here. lag: numbers of its downward sequence that it has not acknowledged.
    quarantined: frames of its lane that wait. open_faults: that came by its lane. frozen: why no more of its own log
    is taken, or null. knows: the newest edition of shapes that it says it can read (`wire.EDITION`), 0 for not yet.
    """

    division: str
    heard_us: int
    log_size: int
    lag: int
    quarantined: int
    open_faults: int
    frozen: str | None
    knows: int


class FaultStatus(msgspec.Struct, frozen=True):
    """One fault, as on the board of faults. healed_us: since when it is over, or null.

    evidence_bytes: how long what is kept of it is, 0 for nothing.
    """

    kind: str
    subject: str
    child: str
    detail: str
    count: int
    first_us: int
    last_us: int
    healed_us: int | None
    evidence_bytes: int


class ShardStatus(msgspec.Struct, frozen=True):
    """One shard of the own log. size: its sealed leaves. begun_us: when its first event was recorded, in UTC.

    why: the year before was over (`year`), or its disk was lost (`lost`), or null for a first shard. after: with how
    many leaves the shard before ended: whatever more of it there was is gone with the disk.
    """

    origin: str
    size: int
    begun_us: int
    why: Literal["year", "lost"] | None
    after: int


class OwnCosigned(NamedTuple):
    """The newest cosignature of the own log, all in UTC microseconds.

    signed_us: by the witness's clock, which is cut to seconds. kept_us: when it came. body: of the last event under it.
    """

    signed_us: int
    kept_us: int
    body: bytes


_OWN: LiteralString = """
select head.own_size, head.pos,
    coalesce((select size from cosignature where log_id = head.log_id and witness = %b order by size desc limit 1), 0),
    head.own_size - coalesce((select size from tree where log_id = head.log_id), 0),
    coalesce((select sum(size - acked_size) from tree where refused is null), 0)::bigint,
    (select count(*) from tree where refused is not null),
    (select count(*) from fault where healed_us is null)
from head"""

_OWN_COSIGNED: LiteralString = """
select line, at_us, body from cosignature join head on head.log_id = cosignature.log_id
join ledger on ledger.log_id = cosignature.log_id and seq = size - 1
where witness = %b order by size desc limit 1"""

_CHILDREN: LiteralString = """
select child.division, child.heard_us, coalesce(own.size, 0), child.down_size - child.down_acked,
    (select count(*) from parked where parked.lane = child.division),
    (select count(*) from fault where fault.child = child.division and healed_us is null),
    own.frozen, child.knows
from child left join lateral (
    select tree.size, tree.frozen from log join tree on tree.log_id = log.id
    where log.division = child.division order by log.shard desc limit 1
) as own on true
order by child.division"""

_SHARDS: LiteralString = """
select log.origin, tree.size, first.body
from head join log as own on own.id = head.log_id
join log on log.division = own.division join tree on tree.log_id = log.id
join ledger as first on first.log_id = log.id and first.seq = 0
order by log.shard"""

_FAULTS: LiteralString = """
select kind, subject, child, detail, count, first_us, last_us, healed_us, length(evidence) from fault
where healed_us is null or %b order by last_us desc limit %b"""


def own_status(store: Statements, witness: str) -> OwnStatus:
    """witness: name of the key whose cosignature secures: the parent's, at the root the outside witness's."""
    return OwnStatus(*store.rows(_OWN, (witness,))[0])


def own_cosigned(store: Statements, witness: str) -> OwnCosigned | None:
    """witness: as for `own_status`; None before its first cosignature."""
    rows = store.rows(_OWN_COSIGNED, (witness,))
    if not rows:
        return None
    line, kept_us, body = rows[0]
    (signature,) = parse_signature_lines(line.encode())
    return OwnCosigned(signature.time_s * 1_000_000, kept_us, bytes(body))


def own_shards(store: Statements) -> list[ShardStatus]:
    """Every shard of the own log that has begun, in order."""
    return [_shard(origin, size, decode(bytes(first))) for origin, size, first in store.rows(_SHARDS)]


def _shard(origin: str, size: int, first: AnyEvent) -> ShardStatus:
    if isinstance(first, ShardOpened):
        return ShardStatus(origin, size, first.recorded_us, first.why, first.size)
    return ShardStatus(origin, size, first.recorded_us, None, 0)


def child_statuses(store: Statements) -> list[ChildStatus]:
    """Every child that was ever said something or heard from, in order of division."""
    return [ChildStatus(*row) for row in store.rows(_CHILDREN)]


def faults(store: Statements, limit: int = 200, *, healed: bool = False) -> list[FaultStatus]:
    """The latest faults first; with those that are over too, if asked."""
    return [FaultStatus(*row) for row in store.rows(_FAULTS, (healed, limit))]


def fault_kept(store: Statements, kind: str, subject: str) -> tuple[Fault, Met] | None:
    """One fault with its evidence, over or not; null where there is none."""
    rows = store.rows(
        "select kind, subject, child, detail, evidence, count, first_us, last_us from fault"
        " where kind = %b and subject = %b",
        (kind, subject),
    )
    if not rows:
        return None
    of, about, child, detail, evidence, times, first_us, last_us = rows[0]
    return Fault(of, about, child, detail, bytes(evidence)), Met(times, first_us, last_us)
