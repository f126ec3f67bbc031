"""The people of a world: at random, somebody somewhere takes one of the next steps that the rules allow."""

from collections.abc import Callable, Iterator, Set
from datetime import timedelta
from typing import Final
from uuid import NAMESPACE_OID, UUID, uuid5

from domain.case import CaseFile
from domain.clocks import shanghai_date
from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    AnswerClaim,
    AnyCommand,
    Claim,
    Close,
    ConfirmErasure,
    CorrectRegistration,
    Decline,
    Extend,
    HandOver,
    IssueOpinion,
    IssueOrder,
    JudgeOrder,
    Object,
    OrderErasure,
    Petitioner,
    Rate,
    Register,
    Reply,
    ReplyOrder,
    Report,
    RuleObjection,
    Serve,
    TakeOver,
    Withdraw,
)
from domain.context import Situation
from domain.divisions import Division
from domain.endings import ENDINGS, REPLIES
from domain.events import Actor, ClaimId, LegId, MatterClass, Role, Unit
from domain.sealed import unconfirmed_erasure
from domain.steps import lawful_steps
from domain.supervision import order_to_judge, order_to_reply
from tests.world.fate import Fate

_CLASSES: Final[tuple[MatterClass, ...]] = (
    "suggestion",
    "claim_duty",
    "claim_petition",
    "claim_petition",
    "claim_petition",
    "claim_arbitration",
)

_LIKELY: Final = {
    "hand_over": 4,
    "object": 4,
    "rule_objection": 8,
    "accept": 6,
    "issue_opinion": 10,
    "reply": 6,
    "serve": 10,
    "report": 8,
    "close": 12,
    "issue_order": 2,
    "reply_order": 8,
    "judge_order": 8,
    "order_erasure": 2,
    "confirm_erasure": 10,
}
"""How likely a step is taken when it is allowed; any other is 1."""


MARK: Final = "密语密文"
"""Stands in whatever anybody writes, so that it can be looked for."""

PHONE: Final = "13912348765"
ID_NUMBER: Final = "410299197001010018"
"""Of everybody who petitions."""


class People:
    """Whoever acts in a world."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._written = 0

    def somebody(self, node: Division) -> Actor:
        """An official of a node's first office, in one of the roles; two persons have each role."""
        role: Role = self._fate.one_of(("clerk", "handler", "leader", "supervisor"))
        number = self._fate.one_of((1, 2))
        return Actor(account=uuid5(NAMESPACE_OID, f"{node}/{role}/{number}"), role=role, unit=office(node))

    def letter(self, here: Situation) -> Register:
        """A petition that comes in."""
        claims = range(self._fate.one_of((1, 1, 2)))
        return Register(
            channel=self._fate.one_of(("visit", "letter", "online", "phone")),
            matter_class=self._fate.one_of(_CLASSES),
            category="010203",
            issue_region=here.node,
            received_on=shanghai_date(here.now_us),
            petitioner=Petitioner(name=self._words(), phone=PHONE, id_number=ID_NUMBER, address=self._words()),
            title=self._words(),
            body=self._words(),
            claims=tuple(Claim(claim=ClaimId(self._fresh_id()), text=self._words()) for _ in claims),
        )

    def next_step(self, file: CaseFile, here: Situation, without: Set[str] = frozenset()) -> AnyCommand | None:
        """One of the steps that this person may take now; None where there is none, or what it needs is not there.

        without: what the program that the person uses does not offer.
        """
        allowed = [step.command for step in lawful_steps(file, here) if step.allowed and step.command not in without]
        if not allowed:
            return None
        (tag,) = self._fate.random.choices(allowed, [_LIKELY.get(tag, 1) for tag in allowed])
        return _Filling(self._fate, file, here, self._words, self._fresh_id).fill(tag)

    def _words(self) -> str:
        self._written += 1
        return f"{MARK}{self._fate.random.randrange(16**8):08x}第{self._written}句"

    def _fresh_id(self) -> UUID:
        return UUID(int=self._fate.random.getrandbits(128), version=4)


class _Filling:
    """Fills in the form of one step of one case."""

    def __init__(
        self,
        fate: Fate,
        file: CaseFile,
        here: Situation,
        words: Callable[[], str],
        fresh_id: Callable[[], UUID],
    ) -> None:
        self._fate = fate
        self._file = file
        self._here = here
        self._words = words
        self._fresh_id = fresh_id
        self._today = shanghai_date(here.now_us)

    def fill(self, tag: str) -> AnyCommand | None:
        """The command of this tag; None where it needs what the case does not have."""
        fill: Callable[[], AnyCommand | None] = getattr(self, f"_{tag}")
        return fill()

    @property
    def _leg(self) -> LegId:
        present = self._file.present_leg
        assert present is not None
        return present.id

    def _units(self) -> Iterator[Unit]:
        for node in (*self._here.topology.path_up(self._here.node)[1:], *self._below()):
            yield office(node)

    def _below(self) -> Iterator[Division]:
        parents = self._here.topology.parents
        yield from sorted(node for node in parents if self._here.node in self._here.topology.path_up(node)[1:])

    def _hand_over(self) -> AnyCommand | None:
        to = self._fate.one_of(list(self._units()))
        is_assigned = self._here.topology.is_below(Division(to[:12]), self._here.node) and self._fate.happens(0.4)
        return HandOver(
            case=self._file.case,
            leg=self._leg,
            to=to,
            mode="assign_with_report" if is_assigned else "transfer",
            report_by=self._today + timedelta(days=40) if is_assigned else None,
            reason=self._words(),
        )

    def _object(self) -> AnyCommand:
        return Object(case=self._file.case, leg=self._leg, reason=self._words())

    def _rule_objection(self) -> AnyCommand | None:
        objection = self._file.standing_objection
        if objection is None:
            return None
        return RuleObjection(
            case=self._file.case,
            objection=objection.raised.id,
            agreed=self._fate.happens(0.5),
            reason=self._words(),
        )

    def _accept(self) -> AnyCommand:
        kind = self._fate.one_of(("procedural", "substantive", "substantive"))
        return Accept(case=self._file.case, leg=self._leg, kind=kind)

    def _decline(self) -> AnyCommand:
        return Decline(
            case=self._file.case,
            leg=self._leg,
            ground="npc_or_judicial",
            right_organ="人民法院",
            reason=self._words(),
        )

    def _extend(self) -> AnyCommand:
        return Extend(case=self._file.case, leg=self._leg, days=20, reason=self._words())

    def _issue_opinion(self) -> AnyCommand:
        answers = tuple(
            AnswerClaim(claim=claim.id, outcome="explain", law="条例第三十二条", text=self._words())
            for claim in self._file.unanswered_claims
        )
        return IssueOpinion(case=self._file.case, leg=self._leg, facts=self._words(), answers=answers)

    def _reply(self) -> AnyCommand | None:
        matter = self._file.matter_class
        if matter is None:
            return None
        result = self._fate.one_of(sorted(REPLIES[matter]))
        return Reply(case=self._file.case, leg=self._leg, result=result, text=self._words())

    def _serve(self) -> AnyCommand | None:
        unserved = [paper for id_, paper in self._file.papers.items() if id_ not in self._file.served]
        if not unserved:
            return None
        paper = self._fate.one_of(unserved)
        return Serve(
            case=self._file.case, leg=paper.leg, paper=paper.id, method="registered_mail", served_on=self._today
        )

    def _report(self) -> AnyCommand:
        return Report(case=self._file.case, leg=self._leg, text=self._words())

    def _close(self) -> AnyCommand | None:
        matter = self._file.matter_class
        if matter is None:
            return None
        ending = "withdrawn" if self._file.withdrawn else self._fate.one_of(ENDINGS[matter])
        return Close(case=self._file.case, leg=self._leg, ending=ending)

    def _amend_claim(self) -> AnyCommand:
        claim = ClaimId(self._fresh_id())
        return AmendClaim(case=self._file.case, claim=claim, change="added", text=self._words())

    def _add_material(self) -> AnyCommand:
        return AddMaterial(case=self._file.case, note=self._words())

    def _correct_registration(self) -> AnyCommand | None:
        matter = self._file.matter_class
        if matter is None:
            return None
        return CorrectRegistration(
            case=self._file.case,
            matter_class=matter,
            category="010204",
            issue_region=self._here.node,
            reason=self._words(),
        )

    def _withdraw(self) -> AnyCommand | None:
        return Withdraw(case=self._file.case, reason=self._words()) if self._fate.happens(0.2) else None

    def _rate(self) -> AnyCommand:
        return Rate(case=self._file.case, office="satisfied", unit="dissatisfied", comment=self._words())

    def _take_over(self) -> AnyCommand | None:
        if not self._fate.happens(0.3):
            return None
        return TakeOver(case=self._file.case, leg=self._leg, unit=self._here.actor.unit, reason=self._words())

    def _issue_order(self) -> AnyCommand:
        return IssueOrder(
            case=self._file.case,
            leg=self._leg,
            trigger=self._fate.one_of(("delay", "shirking", "perfunctory", "dissatisfied")),
            reply_by=self._today + timedelta(days=10),
            demand=self._words(),
        )

    def _reply_order(self) -> AnyCommand | None:
        order = order_to_reply(self._file, self._here.actor.unit)
        return ReplyOrder(case=self._file.case, order=order, text=self._words()) if order else None

    def _judge_order(self) -> AnyCommand | None:
        order = order_to_judge(self._file, self._here.actor.unit)
        if order is None:
            return None
        accepted = self._fate.happens(0.7)
        reply_by = None if accepted else self._today + timedelta(days=10)
        return JudgeOrder(
            case=self._file.case, order=order, accepted=accepted, reply_by=reply_by, comment=self._words()
        )

    def _order_erasure(self) -> AnyCommand | None:
        subjects = [subject for subject in self._file.keys if self._here.node in self._file.custodians(subject)]
        if not subjects:
            return None
        subject = self._fate.one_of(sorted(subjects))
        return OrderErasure(case=self._file.case, subject=subject, ground="subject_request")

    def _confirm_erasure(self) -> AnyCommand | None:
        erasure = unconfirmed_erasure(self._file, self._here.node)
        return ConfirmErasure(case=self._file.case, erasure=erasure) if erasure else None


def office(node: Division) -> Unit:
    """The unit that every node has from its first day."""
    return f"{node}.office"
