"""Given, when, then: a small city whose nodes decide, fold and route with the real rules, and pass events by hand.

`City.of("...")` makes the nodes; `city.at(unit, role)` gives somebody there; `somebody.does(command)` decides on what
that node knows and keeps the events; `city.syncs()` lets everything travel, and the nodes do what they do themselves.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
import pytest

from domain.calendar import Calendar, seed_calendar
from domain.case import CaseFile, evolve, has_effect, must_be_told
from domain.clocks import DAY_US, SHANGHAI, shanghai_date
from domain.commands import (
    Accept,
    AnswerClaim,
    AnswerDirective,
    AnyCommand,
    Claim,
    Close,
    HandOver,
    IssueOpinion,
    LapseObjection,
    Object,
    OpenLeg,
    Petitioner,
    Register,
    RuleObjection,
    Serve,
    TakeOver,
)
from domain.context import Context, Situation
from domain.decisions import decide
from domain.divisions import Division, Topology
from domain.errors import DomainError
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    ClaimId,
    Ending,
    EventId,
    KeyGranted,
    LegId,
    MatterClass,
    Outcome,
    Role,
    TransferMode,
    Unit,
)
from domain.ids import new_id
from domain.parts import CustodyEvent
from domain.refusals import ObjectionRuns
from domain.routing import addressees, file_receivers, key_receivers

CITY = Division("410200000000")
QI = Division("410221000000")
WEISHI = Division("410223000000")
GAOYANG = Division("410221100000")
YUWANG = Division("410221101000")
LIUZHUANG = Division("410221100201")
WANGZHAI = Division("410221101202")
NODES = (CITY, QI, WEISHI, GAOYANG, YUWANG, LIUZHUANG, WANGZHAI)

MONDAY = date(2026, 3, 2)
"""A plain Monday: the next holiday is five weeks away."""


def office(node: Division, name: str = "office") -> Unit:
    return f"{node}.{name}"


def us(day: date, hour: int = 9) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=SHANGHAI).timestamp()) * 1_000_000


@dataclass
class Node:
    """One node: all it knows in the order it learned it, and how far it has relayed up and dispatched down.

    void: what had no effect when it came. untold: of that, what nobody else needs either.
    """

    division: Division
    ledger: list[tuple[AnyEvent, bool]] = field(default_factory=list)
    known: set[EventId] = field(default_factory=set)
    void: set[EventId] = field(default_factory=set)
    untold: set[EventId] = field(default_factory=set)
    files: dict[CaseId, CaseFile] = field(default_factory=dict)
    relayed: int = 0
    dispatched: int = 0

    def learns(self, event: AnyEvent, *, from_above: bool = False) -> None:
        if event.id not in self.known:
            self.known.add(event.id)
            self.ledger.append((event, from_above))
            if event.case is not None and not has_effect(self.files.get(event.case), event):
                self.void.add(event.id)
            if event.case is not None and not must_be_told(self.files.get(event.case), event):
                self.untold.add(event.id)
        if event.case is not None:
            self.files[event.case] = evolve(self.files.get(event.case), event)


@dataclass
class City:
    """The nodes, their tree, one calendar and one clock for all; `history` is every event in the order it happened."""

    nodes: dict[Division, Node]
    topology: Topology
    calendar: Calendar
    now_us: int
    history: list[AnyEvent] = field(default_factory=list)
    cut: set[Division] = field(default_factory=set)
    numbers: int = 0
    ghosts: set[Unit] = field(default_factory=set)
    """Units that somebody names and that are not."""

    @classmethod
    def of(cls, *divisions: Division, day: date = MONDAY) -> "City":
        chosen = divisions or NODES
        nodes = {division: Node(division) for division in chosen}
        return cls(nodes, Topology.by_digits(chosen), seed_calendar(), us(day))

    def at(self, unit: Unit, role: Role = "handler", name: str = "") -> "Somebody":
        return Somebody(self, Actor(account=uuid5(NAMESPACE_OID, unit + role + name), role=role, unit=unit))

    @property
    def today(self) -> date:
        return shanghai_date(self.now_us)

    def days_pass(self, days: int) -> None:
        self.now_us += days * DAY_US

    def fresh(self, maker: Division = CITY) -> UUID:
        self.numbers += 1
        return new_id(maker, us(MONDAY) // 1000, self.numbers)

    def ids(self, maker: Division) -> Iterator[UUID]:
        while True:
            yield self.fresh(maker)

    def node(self, division: Division) -> Node:
        return self.nodes[division]

    def file(self, case: CaseId, division: Division = CITY) -> CaseFile:
        return self.nodes[division].files[case]

    def holder(self, case: CaseId, division: Division = CITY) -> Unit | None:
        return self.file(case, division).accountable

    def leg(self, case: CaseId, division: Division = CITY) -> LegId:
        present = self.file(case, division).present_leg
        assert present is not None
        return present.id

    def syncs(self) -> None:
        """Everything travels wherever no link is cut, and every node does its own part, until nothing moves."""
        moved = True
        while moved:
            before = [len(node.ledger) for node in self.nodes.values()]
            for division in sorted(self.nodes, reverse=True):
                self._relay(self.nodes[division])
            for division in sorted(self.nodes):
                self._dispatch(self.nodes[division])
            for division in sorted(self.nodes):
                self._tend(division)
            moved = before != [len(node.ledger) for node in self.nodes.values()]

    def _relay(self, node: Node) -> None:
        parent = self.topology.parents.get(node.division)
        if parent is None or node.division in self.cut:
            return
        for event, from_above in node.ledger[node.relayed :]:
            if not from_above:
                self.nodes[parent].learns(event)
        node.relayed = len(node.ledger)

    def _dispatch(self, node: Node) -> None:
        """The exchange's rule: what was authored below a child is not sent to that child's side again."""
        while node.dispatched < len(node.ledger):
            event, _ = node.ledger[node.dispatched]
            is_sent = event.case is not None and event.id not in node.untold
            if is_sent and event.case is not None and not self._send_down(node, event, event.case):
                return
            node.dispatched += 1

    def _send_down(self, node: Node, event: AnyEvent, case: CaseId) -> bool:
        receivers: frozenset[Division] = frozenset()
        if event.id not in node.void:
            receivers = file_receivers(event, node.division, self.topology)
        targets = {
            target
            for target in addressees(node.files[case], event, node.division, self.topology) | receivers
            if not self._is_within(event.node, self.topology.next_hop(node.division, target))
        }
        newcomers = key_receivers(event, node.division, self.topology)
        if any(hop in self.cut for target in targets | newcomers for hop in self._way(node.division, target)):
            return False
        for target in sorted(targets):
            sent = [event]
            if target in receivers:
                sent = [known for known, _ in node.ledger[: node.dispatched] if known.case == case] + sent
            for enclosed in sent:
                self.nodes[target].learns(enclosed, from_above=True)
        for target in sorted(newcomers):
            for earlier, from_above in node.ledger[: node.dispatched]:
                is_due = not self._is_within(earlier.node, self.topology.next_hop(node.division, target))
                if is_due and not from_above and _is_of_the_same_key(earlier, event):
                    self.nodes[target].learns(earlier, from_above=True)
        return True

    def _way(self, above: Division, below: Division) -> tuple[Division, ...]:
        path = self.topology.path_up(below)
        return path[: path.index(above)]

    def _is_within(self, division: Division, top: Division) -> bool:
        return division == top or self.topology.is_below(division, top)

    def _tend(self, division: Division) -> None:
        """What a node does by itself: open the legs it was given, answer directives, note the end of silence."""
        system = self.at(office(division), "system")
        for case, file in list(self.nodes[division].files.items()):
            for leg in file.legs.values():
                if leg.named_by and leg.node == division:
                    system.does(OpenLeg(case=case, directive=leg.named_by))
            for directive in file.directives:
                system.does(AnswerDirective(case=case, directive=directive))
            for id_, objection in file.objections.items():
                if objection.stands and file.legs[objection.raised.leg].node == division:
                    try:
                        system.does(LapseObjection(case=case, objection=id_))
                    except ObjectionRuns:
                        continue


@dataclass
class Somebody:
    """A person, or the node itself, in one role of one unit."""

    city: City
    actor: Actor

    @property
    def node(self) -> Node:
        return self.city.nodes[Division(self.actor.unit[:12])]

    def situation(self) -> Situation:
        return Situation(
            now_us=self.city.now_us,
            node=self.node.division,
            actor=self.actor,
            topology=self.city.topology,
            calendar=self.city.calendar,
            is_unit=lambda unit: unit not in self.city.ghosts,
        )

    def decides(self, command: AnyCommand, **changes: Any) -> list[AnyEvent]:
        """What the rules make of the command, without keeping it."""
        context = Context(
            **msgspec.structs.asdict(self.situation()),
            ids=self.city.ids(self.node.division),
            number=lambda tag: f"{tag}/{self.city.numbers}",
            last_known=self._last_known(command),
        )
        case: CaseId | None = getattr(command, "case", None)
        file = self.node.files.get(case) if case else None
        return decide(file, command, msgspec.structs.replace(context, **changes))

    def _last_known(self, command: AnyCommand) -> tuple[str, int] | None:
        """The log of the holder that a take-over names, as its superior's witness keeps it."""
        file = self.node.files.get(command.case) if isinstance(command, TakeOver) else None
        leg = file.legs.get(command.leg) if file and isinstance(command, TakeOver) else None
        return (f"city.example/{leg.node}/1", 7) if leg else None

    def does(self, command: AnyCommand) -> list[AnyEvent]:
        """Decide and keep the events on this node."""
        events = self.decides(command)
        self.city.now_us += 1
        for event in events:
            self.node.learns(event)
            self.city.history.append(event)
        return events

    def registers(self, claims: int = 1, matter: MatterClass = "claim_petition", persons: int = 1) -> CaseId:
        (registered, _) = self.does(self.registration(claims, matter, persons))
        assert registered.case is not None
        return registered.case

    def registration(self, claims: int = 1, matter: MatterClass = "claim_petition", persons: int = 1) -> Register:
        return Register(
            channel="visit",
            matter_class=matter,
            category="010203",
            issue_region=self.node.division,
            received_on=self.city.today,
            person_count=persons,
            petitioner=Petitioner(name="某某"),
            title="浇地水源",
            body="渠道断水",
            claims=tuple(Claim(claim=ClaimId(self.city.fresh()), text=f"第{n + 1}项") for n in range(claims)),
        )

    def hands_over(self, case: CaseId, to: Unit, report_by: date | None = None) -> list[AnyEvent]:
        mode: TransferMode = "assign_with_report" if report_by else "transfer"
        leg = self.city.leg(case, self.node.division)
        return self.does(HandOver(case=case, leg=leg, to=to, mode=mode, report_by=report_by, reason="属其职责"))

    def objects(self, case: CaseId) -> list[AnyEvent]:
        return self.does(Object(case=case, leg=self.city.leg(case, self.node.division), reason="不属本单位"))

    def rules(self, case: CaseId, agreed: bool, holder: Unit | None = None) -> list[AnyEvent]:
        objection = list(self.city.file(case, self.node.division).objections)[-1]
        return self.does(RuleObjection(case=case, objection=objection, agreed=agreed, holder=holder, reason="经核实"))

    def takes_over(self, case: CaseId) -> list[AnyEvent]:
        leg = self.city.leg(case, self.node.division)
        return self.does(TakeOver(case=case, leg=leg, unit=self.actor.unit, reason="久拖不决"))

    def accepts(self, case: CaseId) -> list[AnyEvent]:
        return self.does(Accept(case=case, leg=self.city.leg(case, self.node.division)))

    def answers(self, case: CaseId, *claims: ClaimId, outcome: Outcome = "explain") -> list[AnyEvent]:
        """An opinion on these claims, or on all that wait for an answer."""
        file = self.city.file(case, self.node.division)
        wanted = claims or tuple(claim.id for claim in file.unanswered_claims)
        answers = tuple(AnswerClaim(claim=claim, outcome=outcome, law="条例第32条", text="答复") for claim in wanted)
        leg = self.city.leg(case, self.node.division)
        return self.does(IssueOpinion(case=case, leg=leg, facts="查明", answers=answers))

    def serves(self, case: CaseId, paper: EventId) -> list[AnyEvent]:
        leg = self.city.file(case, self.node.division).papers[paper].leg
        return self.does(Serve(case=case, leg=leg, paper=paper, method="in_person", served_on=self.city.today))

    def closes(self, case: CaseId, ending: Ending = "opinion") -> list[AnyEvent]:
        return self.does(Close(case=case, leg=self.city.leg(case, self.node.division), ending=ending))


def refused(why: type[DomainError], act: Callable[[], object]) -> DomainError:
    """`act` is refused by this name, in two languages, with something to do next."""
    with pytest.raises(why) as caught:
        act()
    error = caught.value
    assert type(error) is why
    assert any("一" <= sign <= "鿿" for sign in error.zh)
    assert error.en.isascii()
    return error


def _is_of_the_same_key(earlier: AnyEvent, event: AnyEvent) -> bool:
    return isinstance(earlier, CustodyEvent) and isinstance(event, KeyGranted) and earlier.subject == event.subject
