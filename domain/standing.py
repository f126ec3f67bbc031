"""Who stands where in one case: the little that must be known of it to judge what another node signed."""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from domain.divisions import Division
from domain.events import (
    AnyEvent,
    Closed,
    EventId,
    HandedOver,
    LegId,
    LegOpened,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OrderId,
    Served,
    StreamId,
    Unit,
)
from domain.parts import Paper, node_of

Act = HandedOver | Paper | Closed | Objected | ObjectionLapsed
"""What only the unit that has the matter does, and what a directive that had not seen it leaves without effect."""

Stake = tuple[LegId, int] | EventId
"""A leg and the version of it that must have been seen, or an objection that must not have ended before."""


class Hold(msgspec.Struct, frozen=True):
    """A leg as custody goes. is_named: an event of who had the matter, or a directive, gave it.

    directed_by: division and id of the directive that gave it, null for a registration or a hand-over; objection: the
    one that it ruled on. seen_version, seen_place: how far its author says to have known the stream of the leg that it
    took the matter from, and the log that this stream is in. is_handed: passed on. leaves: version and place of what
    was learned of this leg's own stream (`domain.shards.place`).
    """

    unit: Unit
    from_leg: LegId | None
    is_named: bool = False
    directed_by: tuple[Division, EventId] | None = None
    objection: EventId | None = None
    seen_version: int = 0
    seen_place: int = 0
    is_opened: bool = False
    is_handed: bool = False
    leaves: tuple[tuple[int, int], ...] = ()

    @property
    def node(self) -> Division:
        """The division whose node alone writes this leg's stream."""
        return node_of(self.unit)


Precedence = tuple[str, bool, str]


def precedence(node: str, directive: tuple[str, str] | None) -> Precedence:
    """Of two legs that were given from one leg, at least one of them by a directive, the smaller one holds.

    node: the division of the leg; directive: division and id of the one that gave it, null for a hand-over. A
    directive comes before a hand-over, whichever was learned first, unless the matter was handed to somebody above
    who gave the directive. Of two directives that crossed, the one of the smaller code holds: a superior's code is
    smaller than those below it (GB/T 2260), and where codes do not tell, all nodes still choose alike.
    """
    return (node, True, "") if directive is None else (directive[0], False, directive[1])


class Dispute(msgspec.Struct, frozen=True):
    """An objection: against which leg, at which version of it, when recorded, and who has to rule.

    ruled, ruled_us: the one ruling, and when it was recorded; lapsed_us: when its silence was. Zero is not yet.
    """

    leg: LegId
    version: int
    raised_us: int
    ruler: Division
    ruled: EventId | None = None
    ruled_us: int = 0
    lapsed_us: int = 0

    @property
    def is_ruled_too_late(self) -> bool:
        """Whether silence had ended the objection before it was ruled on."""
        return 0 < self.lapsed_us <= self.ruled_us


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Who stands where in one case: a value; `domain.authority.judged` makes the next.

    registrar: the node that registered it; null until that is known here. orders: by order, the division of the
    unit ordered. erasures: those ordered, in the order told. papers: the leg and the version there of each paper.
    versions: how far each stream was learned. passed: of those, first and last version of each gap, since not every
    event of a case is sent to every node that has it.
    """

    registrar: Division | None = None
    legs: Mapping[LegId, Hold] = {}
    disputes: Mapping[EventId, Dispute] = {}
    orders: Mapping[OrderId, Division] = {}
    erasures: tuple[UUID, ...] = ()
    papers: Mapping[EventId, tuple[LegId, int]] = {}
    versions: Mapping[StreamId, int] = {}
    passed: Mapping[StreamId, tuple[tuple[int, int], ...]] = {}

    @property
    def path(self) -> tuple[LegId, ...]:
        """The lawful succession, from the first leg to the one whose unit answers now."""
        first = next((id_ for id_, leg in self.legs.items() if leg.from_leg not in self.legs), None)
        path: list[LegId] = []
        while first is not None and first not in path:
            path.append(first)
            first = self.successor(first)
        return tuple(path)

    def successor(self, leg: LegId) -> LegId | None:
        """The leg that took custody from `leg`, or null while `leg` itself has it: of hand-overs the first, and of
        that and the directives the one that `precedence` puts first.
        """
        followers: list[tuple[Precedence, LegId]] = []
        is_handed = False
        for id_, hold in self.legs.items():
            if not hold.is_named or hold.from_leg != leg or self._is_ruled_too_late(hold.objection):
                continue
            if hold.directed_by is not None:
                division, directive = hold.directed_by
                followers.append((precedence(hold.node, (division, str(directive))), id_))
            elif hold.is_opened and not is_handed:
                is_handed = True
                followers.append((precedence(hold.node, None), id_))
        return min(followers)[1] if followers else None

    def version_of(self, stream: UUID) -> int:
        """How many events of the stream are known here."""
        return self.versions.get(StreamId(stream), 0)

    def was_told(self, stream: StreamId, version: int) -> bool:
        """Whether this version of the stream was told before, whatever it said."""
        gaps = self.passed.get(stream, ())
        return version <= self.version_of(stream) and not any(first <= version <= last for first, last in gaps)

    def told(self, stream: StreamId, version: int) -> "Standing":
        """The standing once this version was told."""
        known, gaps = self.version_of(stream), self.passed.get(stream, ())
        if version > known:
            gaps = (*gaps, (known + 1, version - 1)) if version > known + 1 else gaps
        else:
            cut = [((first, version - 1), (version + 1, last)) for first, last in gaps if first <= version <= last]
            gaps = tuple(gap for gap in gaps if not gap[0] <= version <= gap[1])
            gaps += tuple((first, last) for pair in cut for first, last in pair if first <= last)
        passed = {**self.passed, stream: gaps} if gaps or stream in self.passed else self.passed
        return msgspec.structs.replace(self, versions={**self.versions, stream: max(known, version)}, passed=passed)

    def is_taken(self, id_: UUID) -> bool:
        """Whether a leg, an order or an erasure bears this id."""
        return id_ in self.legs or id_ in self.orders or id_ in self.erasures

    def meets_petitioner(self, node: Division) -> bool:
        """Whether the petitioner deals with this node: the case was registered there, or given to it."""
        return self.registrar == node or any(leg.node == node for leg in self.legs.values())

    def stake(self, event: AnyEvent) -> Stake | None:
        """What the effect of `event` hangs on, which has happened here; null where nothing can take it away."""
        match event:
            case ObjectionRuled():
                return event.objection
            case Served():
                return self.papers.get(event.paper)
            case LegOpened() if event.from_leg is not None:
                return event.leg, event.version
            case _:
                return (event.leg, event.version) if isinstance(event, Act) else None

    def is_lost(self, stake: Stake) -> bool:
        """Whether a directive took away the leg, not having seen so much; or silence came before the ruling."""
        return self._was_taken_before(*stake) if isinstance(stake, tuple) else self._is_ruled_too_late(stake)

    def is_overtaken(self, event: AnyEvent) -> bool:
        """Whether `event`, which its author had the right to write, has lost its effect by what is known now."""
        stake = self.stake(event)
        return stake is not None and self.is_lost(stake)

    def _was_taken_before(self, leg: LegId, version: int) -> bool:
        if leg not in self.legs or not any(one.directed_by for one in self.legs.values()):
            return False
        if leg not in self.path:
            return True
        after = self.successor(leg)
        taken = self.legs[after] if after else None
        return taken is not None and taken.directed_by is not None and version > self._seen(self.legs[leg], taken)

    def _seen(self, leg: Hold, taken: Hold) -> int:
        """The version that the directive had seen: what its author says, and no less than what it says of the log."""
        covered = (version for version, place in leg.leaves if place < taken.seen_place)
        return max(taken.seen_version, *covered, 0)

    def _is_ruled_too_late(self, objection: EventId | None) -> bool:
        dispute = self.disputes.get(objection) if objection else None
        return dispute is not None and dispute.is_ruled_too_late
