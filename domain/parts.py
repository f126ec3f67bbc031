"""What a case file is made of: claims, legs, objections, orders, erasures, each as far as it is known."""

from datetime import date

import msgspec

from domain.divisions import Division
from domain.events import (
    Accepted,
    ClaimId,
    Closed,
    Declined,
    ErasureConfirmed,
    ErasureOrdered,
    EscrowOpened,
    EventId,
    Extended,
    HandedOver,
    KeyDestroyed,
    KeyGranted,
    LegEnded,
    LegId,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OpeningMode,
    OpinionIssued,
    OrderIssued,
    OrderJudged,
    Replied,
    Reported,
    Served,
    TakenOver,
    Unit,
)

Paper = Accepted | Declined | Extended | OpinionIssued | Replied
"""The events that a paper for the petitioner is rendered from."""
Directive = ObjectionRuled | TakenOver | OrderIssued
"""What the node of the leg it names answers exactly once."""
CustodyEvent = KeyGranted | EscrowOpened | ErasureOrdered | ErasureConfirmed | KeyDestroyed
"""Who holds a subject's data key, how it was taken out of the escrow, and its destruction."""
LegEvent = HandedOver | Objected | ObjectionLapsed | LegEnded | Paper | Served | Reported | Closed
"""What only the holder of a leg writes, into the leg's own stream."""


def node_of(unit: Unit) -> Division:
    """The division whose node the unit works on."""
    return Division(unit[:12])


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim. accepted: by which substantive acceptance. answer: the paper that answers it, declining included."""

    id: ClaimId
    is_dropped: bool = False
    accepted: EventId | None = None
    accepted_us: int = 0
    extra_days: int = 0
    answer: EventId | None = None
    is_closed: bool = False


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One unit's custody. named_by: the event that gave it the matter. opened_us: null until its node opened it.

    moved_version: the stream's version at the last act that matters to a directive about this leg.
    """

    id: LegId
    unit: Unit
    mode: OpeningMode
    from_leg: LegId | None
    sender: Unit | None
    report_by: date | None = None
    named_by: EventId | None = None
    opened: EventId | None = None
    opened_us: int | None = None
    moved_version: int = 0
    procedural: EventId | None = None
    handed: HandedOver | None = None
    report: EventId | None = None
    closed: Closed | None = None
    ended_by: EventId | None = None

    @property
    def node(self) -> Division:
        """The division whose node alone writes this leg's stream."""
        return node_of(self.unit)


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """An objection and what became of it; it stands while both endings are null."""

    raised: Objected
    ruling: ObjectionRuled | None = None
    lapsed: EventId | None = None

    @property
    def stands(self) -> bool:
        """Whether it still waits for an answer."""
        return self.ruling is None and self.lapsed is None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A supervision order, its latest reply and the issuer's judgement of that reply."""

    issued: OrderIssued
    reply: EventId | None = None
    reply_us: int = 0
    judged: OrderJudged | None = None


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure on its way. destroyed_by: who has signed the destruction, `destroyed_us` the last one's moment.

    is_due: a custodian's two persons agreed on it, and this node has known the matter to be ended since.
    """

    ordered: ErasureOrdered
    confirmed: ErasureConfirmed | None = None
    is_due: bool = False
    destroyed_by: frozenset[Division] = frozenset()
    destroyed_us: int = 0
