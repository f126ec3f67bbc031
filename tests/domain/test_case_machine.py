"""Random days in a small city, lawful and unlawful, links up and down: one unit answers, and no claim is left out."""

from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.case import CaseFile, evolve
from domain.commands import (
    Accept,
    AmendClaim,
    AnswerClaim,
    AnyCommand,
    Close,
    Decline,
    Extend,
    HandOver,
    IssueOpinion,
    IssueOrder,
    Object,
    Reply,
    ReplyOrder,
    Report,
    RuleObjection,
    Serve,
    TakeOver,
    Withdraw,
)
from domain.divisions import Division
from domain.errors import DomainError
from domain.events import AnyEvent, CaseId, ClaimId, LegId, Role, StreamId
from domain.holding import held_leg
from tests.domain.test_duties import running
from tests.given import CITY, GAOYANG, LIUZHUANG, QI, YUWANG, City, office

PLACES = (CITY, QI, GAOYANG, YUWANG, LIUZHUANG)
UNITS = (*(office(place) for place in PLACES), office(GAOYANG, "water"))
OF_A_LEG = {"register_route", "accept_notice", "objection", "report_back"}
ROLES: tuple[Role, ...] = ("clerk", "handler", "leader", "supervisor", "citizen")

units = st.sampled_from(UNITS)
places = st.sampled_from(PLACES)


class CaseMachine(RuleBasedStateMachine):
    """One case on five nodes; `at` picks the unit that tries, mostly the one that its own node thinks the holder."""

    city: City
    case: CaseId

    @initialize(where=units, claims=st.integers(1, 3), matter=st.sampled_from(["claim_petition", "suggestion"]))
    def registers(self, where: str, claims: int, matter: Any) -> None:
        self.city = City.of(*PLACES)
        self.case = self.city.at(where, "clerk").registers(claims, matter)
        self.holders: list[str | None] = []

    def tries(self, place: Division, role: Role, make: Any, unit: str | None = None) -> None:
        """Give a command to a node that knows the case; whatever happened, a second time nothing happens."""
        file = self.city.nodes[place].files.get(self.case)
        if file is None or file.present_leg is None:
            return
        holder = file.accountable or office(place)
        actor = unit or (holder if holder.startswith(place) else office(place))
        somebody = self.city.at(actor, role)
        command: AnyCommand | None = make(file, file.present_leg.id)
        if command is None:
            return
        before = len(self.city.history)
        try:
            somebody.does(command)
        except DomainError:
            assert len(self.city.history) == before
            return
        with suppress(DomainError):
            assert somebody.does(command) == []

    @rule(place=places, to=units, assigned=st.booleans())
    def hand_over(self, place: Division, to: str, assigned: bool) -> None:
        report_by = self.city.today if assigned else None
        mode: Any = "assign_with_report" if assigned else "transfer"
        self.tries(
            place,
            "handler",
            lambda file, leg: HandOver(case=file.case, leg=leg, to=to, mode=mode, report_by=report_by, reason="转"),
        )

    @rule(place=places)
    def object_to(self, place: Division) -> None:
        self.tries(place, "handler", lambda file, leg: Object(case=file.case, leg=leg, reason="异议"))

    @rule(place=places, agreed=st.booleans(), holder=st.none() | units)
    def rule_objection(self, place: Division, agreed: bool, holder: str | None) -> None:
        def make(file: CaseFile, _: LegId) -> AnyCommand | None:
            if not file.objections:
                return None
            last = list(file.objections)[-1]
            return RuleObjection(case=file.case, objection=last, agreed=agreed, holder=holder, reason="裁定")

        self.tries(place, "leader", make, office(place))

    @rule(place=places)
    def take_over(self, place: Division) -> None:
        unit = office(place)
        self.tries(place, "leader", lambda file, leg: TakeOver(case=file.case, leg=leg, unit=unit, reason="收回"), unit)

    @rule(place=places, kind=st.sampled_from(["substantive", "substantive", "procedural"]))
    def accept(self, place: Division, kind: Any) -> None:
        self.tries(place, "handler", lambda file, leg: Accept(case=file.case, leg=leg, kind=kind))

    @rule(place=places)
    def decline(self, place: Division) -> None:
        def make(file: CaseFile, leg: LegId) -> AnyCommand:
            return Decline(case=file.case, leg=leg, ground="not_a_petition", right_organ="法院", reason="无")

        self.tries(place, "handler", make)

    @rule(place=places)
    def extend(self, place: Division) -> None:
        self.tries(place, "leader", lambda file, leg: Extend(case=file.case, leg=leg, days=30, reason="复杂"))

    @rule(place=places, drop=st.booleans())
    def answer(self, place: Division, drop: bool) -> None:
        def make(file: CaseFile, leg: LegId) -> AnyCommand | None:
            claims = [claim.id for claim in file.unanswered_claims][drop:]
            answers = tuple(AnswerClaim(claim=c, outcome="reject", law="32", text="不支持") for c in claims)
            return IssueOpinion(case=file.case, leg=leg, facts="查", answers=answers) if answers else None

        self.tries(place, "handler", make)

    @rule(place=places, result=st.sampled_from(["adopted", "answered", "procedure_named"]))
    def reply(self, place: Division, result: Any) -> None:
        self.tries(place, "handler", lambda file, leg: Reply(case=file.case, leg=leg, result=result, text="复"))

    @rule(place=places)
    def serve(self, place: Division) -> None:
        def make(file: CaseFile, leg: LegId) -> AnyCommand | None:
            unserved = [paper for id_, paper in file.papers.items() if id_ not in file.served and paper.leg == leg]
            if not unserved:
                return None
            today = self.city.today
            return Serve(case=file.case, leg=leg, paper=unserved[-1].id, method="in_person", served_on=today)

        self.tries(place, "clerk", make)

    @rule(place=places)
    def report(self, place: Division) -> None:
        self.tries(place, "handler", lambda file, leg: Report(case=file.case, leg=leg, text="报"))

    @rule(place=places, ending=st.sampled_from(["opinion", "simple_reply", "declined", "agreement", "withdrawn"]))
    def close(self, place: Division, ending: Any) -> None:
        self.tries(place, "handler", lambda file, leg: Close(case=file.case, leg=leg, ending=ending))

    @rule(place=places, change=st.sampled_from(["added", "dropped"]))
    def amend(self, place: Division, change: Any) -> None:
        def make(file: CaseFile, _: LegId) -> AnyCommand:
            last = ClaimId(self.city.fresh()) if change == "added" else list(file.claims)[-1]
            return AmendClaim(case=file.case, claim=last, change=change, text="变更")

        self.tries(place, "citizen", make)

    @rule(place=places, sure=st.integers(0, 4))
    def withdraw(self, place: Division, sure: int) -> None:
        if sure == 0:
            self.tries(place, "citizen", lambda file, _: Withdraw(case=file.case, reason="撤"))

    @rule(place=places, reply=st.booleans())
    def order(self, place: Division, reply: bool) -> None:
        def make(file: CaseFile, leg: LegId) -> AnyCommand | None:
            if not reply:
                day = self.city.today
                return IssueOrder(case=file.case, leg=leg, trigger="delay", reply_by=day, demand="办")
            return ReplyOrder(case=file.case, order=list(file.orders)[-1], text="回") if file.orders else None

        self.tries(place, "handler" if reply else "supervisor", make)

    @rule(place=places, role=st.sampled_from(ROLES))
    def a_stranger_tries(self, place: Division, role: Role) -> None:
        stranger = office(place, "stranger")
        before = len(self.city.history)
        self.tries(place, role, lambda file, leg: Close(case=file.case, leg=leg, ending="agreement"), stranger)
        assert len(self.city.history) == before

    @rule(place=places)
    def a_link_breaks(self, place: Division) -> None:
        self.city.cut.add(place)

    @rule()
    def everything_that_can_travel_travels(self) -> None:
        self.city.syncs()

    @rule(days=st.integers(1, 9))
    def days_pass(self, days: int) -> None:
        self.city.days_pass(days)

    @rule()
    def every_link_heals(self) -> None:
        self.city.cut = set()
        self.city.syncs()
        self.all_nodes_agree()

    def all_nodes_agree(self) -> None:
        files = [node.files[self.case] for node in self.city.nodes.values() if self.case in node.files]
        assert len({file.accountable for file in files}) == 1
        assert len({file.present_leg.id for file in files if file.present_leg}) == 1
        assert len({str(sorted(map(str, file.claims.values()))) for file in files}) == 1
        writable = Counter(place for place in self.city.nodes for unit in UNITS if self.writes(place, unit))
        top = self.city.file(self.case)
        assert writable.total() == (0 if top.is_ended else 1)
        if top.is_ended and top.withdrawn is None:
            assert all(claim.is_closed for claim in top.living_claims)
        holder_ids = {leg.id for leg in top.legs.values() if leg.opened and not (leg.handed or leg.closed)}
        ended = {leg.id for leg in top.legs.values() if leg.ended_by}
        present = top.present_leg
        assert present is not None
        assert holder_ids <= ended | {present.id}
        clocks = running(self.city.history).values()
        assert {duty.leg for duty in clocks if duty.leg and duty.rule in OF_A_LEG} <= {present.id}

    def writes(self, place: Division, unit: str) -> bool:
        """Whether this unit's node would let it write some leg now."""
        file = self.city.nodes[place].files.get(self.case)
        if file is None or not unit.startswith(place):
            return False
        here = self.city.at(unit, "handler").situation()
        for leg in file.legs:
            try:
                held_leg(file, leg, here)
            except DomainError:
                continue
            return True
        return False

    @invariant()
    def exactly_one_unit_answers_at_every_moment(self) -> None:
        """Also on the full history, and whatever order a tier learned it in."""
        file: CaseFile | None = None
        for event in self.city.history:
            file = evolve(file, event)
            assert file.accountable is not None
        assert file is not None
        for event in self.city.history:
            assert evolve(file, event) is file

    @invariant()
    def each_stream_has_one_writer_and_no_gap(self) -> None:
        streams: dict[StreamId, list[AnyEvent]] = defaultdict(list)
        for event in self.city.history:
            streams[event.stream].append(event)
        for events in streams.values():
            assert len({event.node for event in events}) == 1
            assert [event.version for event in events] == list(range(1, len(events) + 1))

    @invariant()
    def no_clock_is_started_twice(self) -> None:
        running(self.city.history)


CaseMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCaseMachine = CaseMachine.TestCase
