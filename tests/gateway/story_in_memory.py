"""One case from its registration to its erasure, on whole nodes in memory; `python -m tests.gateway.story_in_memory`
prints what of it every run of one seed has in common: everything.
"""

import hashlib
import sys
from collections.abc import Callable
from datetime import date
from uuid import UUID

from domain.case import CaseFile
from domain.commands import (
    Accept,
    AnswerClaim,
    AnyCommand,
    Claim,
    Close,
    ConfirmErasure,
    HandOver,
    IssueOpinion,
    Object,
    OrderErasure,
    Petitioner,
    Register,
    RuleObjection,
    Serve,
)
from domain.events import CaseId, ClaimId, LegId, OpinionIssued, Role
from domain.ids import new_id
from gateway.casework.denunciations import Denunciation
from gateway.casework.desk import Recorded
from sync.ledger.append import LedgerUnavailable
from tests.gateway.memory_node import MemoryNode
from tests.sync.hierarchy import CITY, TOWNSHIP, VILLAGE, Clock
from tests.sync.memory_channel import MemoryChannel
from tests.sync.memory_ledger import ConnectionLost
from tests.sync.memory_tables import Point
from tests.sync.seeded_hpke import seeded_hpke

NAME = "张桂兰"
REGISTRATION = Register(
    channel="visit",
    matter_class="claim_petition",
    category="010203",
    issue_region=VILLAGE,
    petitioner=Petitioner(name=NAME),
    title="浇地水源",
    body="渠道断水",
    claims=(Claim(claim=ClaimId(new_id(VILLAGE, 1, 1)), text="修复渠道"),),
)


class PowerCut(BaseException):
    """A node loses power. Nobody in it can contain that."""


class Story:
    """City, township and village, and at most one thing that goes wrong in one of them."""

    def __init__(
        self,
        seed: int = 0,
        strikes_at: int | None = None,
        blow: type[BaseException] = PowerCut,
        *,
        has_city: bool = True,
    ) -> None:
        """strikes_at: at which point, counted from 0 over all nodes. blow: what happens there.

        has_city: without it the township is the root.
        """
        self.clock = Clock()
        self.points: list[Point] = []
        self._strikes_at = strikes_at
        self._blow = blow
        self._is_on = False
        channel = MemoryChannel()
        self.city = MemoryNode(CITY, channel, self.clock, None, self._at, seed)
        superior = self.city if has_city else None
        self.township = MemoryNode(TOWNSHIP, channel, self.clock, superior, self._at, seed)
        self.village = MemoryNode(VILLAGE, channel, self.clock, self.township, self._at, seed)
        self.nodes = [*([self.city] if has_city else []), self.township, self.village]
        for node in self.nodes:
            node.begin()
        self.case: CaseId | None = None
        self._commands = 0

    def _at(self, point: Point) -> None:
        if self._is_on:
            self.points.append(point)
            if len(self.points) - 1 == self._strikes_at:
                raise self._blow

    def tell(self) -> "Story":
        """From the registration to the erasure."""
        return self.tell_until_closed().erase()

    def tell_until_closed(self) -> "Story":
        """From the registration over objection, ruling and opinion to the end of the matter."""
        self._is_on = True
        village, township = self.village, self.township
        registered = self.do(village, "clerk", lambda _: REGISTRATION)
        assert registered.case is not None
        self.case = registered.case
        self.hand_over()
        self.do(township, "handler", lambda file: Object(case=file.case, leg=leg_of(file), reason="不属本单位"))
        self.settle()
        self.do(village, "leader", self._rules)
        self.settle()
        self.do(township, "handler", lambda file: Accept(case=file.case, leg=leg_of(file)))
        opinion = self.do(township, "handler", self._answers)
        (paper,) = [event.id for event in opinion.events if isinstance(event, OpinionIssued)]
        day = date(2026, 1, 1)
        self.do(
            township,
            "handler",
            lambda file: Serve(case=file.case, leg=leg_of(file), paper=paper, method="in_person", served_on=day),
        )
        self.do(township, "leader", lambda file: Close(case=file.case, leg=leg_of(file), ending="opinion"))
        self.settle()
        return self

    def erase(self) -> "Story":
        """On the word of two persons."""
        self.do(self.township, "leader", self._orders_erasure)
        self.do(self.township, "supervisor", self._confirms_erasure, person=2)
        self.settle()
        self._is_on = False
        return self

    def hand_over(self) -> None:
        """From the village to the township."""
        self.do(self.village, "clerk", self._hands_over)
        self.settle()

    def denounce(self) -> "Story":
        """Somebody in the village writes a letter about an official of the township."""
        form = Denunciation(accused_unit=self.township.office, text="收受礼金")
        self.village.casework.denunciations.file(form, UUID(int=9))
        self.settle()
        return self

    def do(self, node: MemoryNode, role: Role, command: Callable[[CaseFile], AnyCommand], person: int = 1) -> Recorded:
        """Somebody gives a command, again under the same key where the node went down or was in doubt."""
        self._commands += 1
        actor = node.actor(role, person)
        file = node.casework.desk.file(self.case) if self.case else None
        wish = command(file)  # type: ignore[arg-type]
        for _ in range(3):
            try:
                key = node.journal.of_account(actor.account, str(self._commands))
                return node.casework.desk.do(wish, actor, key)
            except PowerCut:
                node.crash()
                node.start()
            except (LedgerUnavailable, ConnectionLost):
                continue
        raise AssertionError("three times in doubt")

    def settle(self) -> None:
        """Let every node work until nothing moves, and time pass until all are at rest."""
        for _ in range(60):
            self.work()
            if all(node.is_at_rest() for node in self.nodes):
                return
            self.clock.pass_s(7)
        raise AssertionError({node.here: node.faults() for node in self.nodes})

    def work(self) -> None:
        """Let every node work until nothing moves."""
        is_moving = True
        while is_moving:
            is_moving = any([self._step(node) for node in self.nodes])  # noqa: C419 - each of them works

    def _step(self, node: MemoryNode) -> bool:
        try:
            return node.step()
        except PowerCut:
            node.crash()
            node.start()
        except (LedgerUnavailable, ConnectionLost):
            pass  # passes by itself
        return True

    def digest(self) -> str:
        """Of every byte that every node stores."""
        said = hashlib.sha256()
        for node in self.nodes:
            for name, table in sorted(vars(node.tables).items()):
                content = table.rows if name == "ledger" else sorted(map(repr, getattr(table, "items", list)()))
                said.update(repr((node.here, name, content if name != "head" else "")).encode())
        return said.hexdigest()

    def _hands_over(self, file: CaseFile) -> AnyCommand:
        to = self.township.office
        return HandOver(case=file.case, leg=leg_of(file), to=to, mode="transfer", report_by=None, reason="属其职责")

    def _rules(self, file: CaseFile) -> AnyCommand:
        (objection,) = file.objections
        return RuleObjection(case=file.case, objection=objection, agreed=False, holder=None, reason="经核实属其职责")

    def _answers(self, file: CaseFile) -> AnyCommand:
        answers = tuple(
            AnswerClaim(claim=claim.id, outcome="explain", law="条例第32条", text="已列入计划")
            for claim in file.unanswered_claims
        )
        return IssueOpinion(case=file.case, leg=leg_of(file), facts="查明渠道淤塞", answers=answers)

    def _orders_erasure(self, file: CaseFile) -> AnyCommand:
        (subject,) = file.keys
        return OrderErasure(case=file.case, subject=subject, ground="retention_ended")

    def _confirms_erasure(self, file: CaseFile) -> AnyCommand:
        (erasure,) = file.erasures
        return ConfirmErasure(case=file.case, erasure=erasure)


def leg_of(file: CaseFile) -> LegId:
    """The present leg, or the last one."""
    leg = file.present_leg or list(file.legs.values())[-1]
    return leg.id


if __name__ == "__main__":
    number = int(sys.argv[1])
    with seeded_hpke(number):
        print(Story(number).tell().denounce().digest())
