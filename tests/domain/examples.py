"""One example of every stored event, with every field filled; run as a program, it writes their golden bytes anew.

`python -m tests.domain.examples` is for a change on purpose, before release 1.0: the diff shows what it costs.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.divisions import Division
from domain.events import (
    Accepted,
    Actor,
    Answer,
    AnyEvent,
    CaseId,
    Cause,
    ChildEnrolled,
    ClaimAmended,
    ClaimId,
    Closed,
    Declined,
    DirectiveAnswered,
    ErasureConfirmed,
    ErasureOrdered,
    EscrowFounded,
    EscrowOpened,
    EventId,
    Extended,
    Grant,
    HandedOver,
    Head,
    HeadsNoted,
    HolidaysNoticed,
    KeyDestroyed,
    KeyGranted,
    KeysRevoked,
    KeysRotated,
    LegEnded,
    LegId,
    LegOpened,
    MaterialAdded,
    NodeMoved,
    NodeOpened,
    Objected,
    ObjectionLapsed,
    ObjectionRuled,
    OpinionIssued,
    OrderId,
    OrderIssued,
    OrderJudged,
    OrderReplied,
    Rated,
    Registered,
    RegistrationCorrected,
    Replied,
    Reported,
    Sealed,
    SealedItem,
    SealedRead,
    Served,
    ShardOpened,
    StreamId,
    TakenOver,
    UnitOpened,
    Withdrawn,
    encode,
    tag_of,
)
from domain.ids import new_id
from domain.keys import new_subject

GOLDEN = Path(__file__).parents[1] / "golden" / "events"

VILLAGE = Division("410221100201")
TOWN = Division("410221100000")
COUNTY = Division("410221000000")
OFFICE = "410221100201.office"
DIGEST = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
SUBJECT = new_subject(VILLAGE, bytes(range(10)))
DAY = date(2026, 3, 2)


def uuid(number: int) -> UUID:
    """An id of the village."""
    return new_id(VILLAGE, 0x019CB0000000, number)


def claim(number: int) -> ClaimId:
    return ClaimId(uuid(40 + number))


LEG = LegId(uuid(20))
NEXT = LegId(uuid(21))


def _envelope(number: int, law: str | None = "《信访工作条例》第22条") -> dict[str, Any]:
    return {
        "id": EventId(uuid(100 + number)),
        "stream": StreamId(LEG),
        "version": number,
        "case": CaseId(uuid(1)),
        "node": VILLAGE,
        "actor": Actor(account=uuid(9), role="handler", unit=OFFICE),
        "occurred_us": 1_772_413_200_000_000,
        "recorded_us": 1_772_413_200_000_001,
        "cause": (
            Cause(id=EventId(uuid(90)), log="huiyin.example/410221000000/1", seq=17),
            Cause(id=EventId(uuid(91)), log=None, seq=None),
        ),
        "law": law,
        "sealed": (Sealed(subject=SUBJECT, fields={"reason": DIGEST}, ciphertext=DIGEST),),
    }


def examples() -> Iterator[AnyEvent]:
    """One of each type, in the order of `domain/events.py`."""
    number = iter(range(1, 100))

    def of(shape: Any, /, **fields: Any) -> Any:
        return shape(**_envelope(next(number)), **fields)

    def of_the_node(shape: Any, /, **fields: Any) -> Any:
        return shape(**(_envelope(next(number), None) | {"case": None, "cause": (), "sealed": ()}), **fields)

    def of_matter() -> dict[str, Any]:
        return {"matter_class": "claim_petition", "category": "010203", "issue_region": TOWN}

    yield of(
        Registered,
        number="410221100201-2026-000001",
        channel="visit",
        received_on=DAY,
        person_count=3,
        unit=OFFICE,
        claims=(claim(1), claim(2)),
        **of_matter(),
    )
    yield of(RegistrationCorrected, **of_matter())
    yield of(ClaimAmended, claim=claim(3), change="added")
    yield of(MaterialAdded, material=uuid(50), digest=DIGEST, size_bytes=1024)
    yield of(Withdrawn)
    yield of(Rated, office="satisfied", unit="dissatisfied")
    opened = {"unit": OFFICE, "mode": "assign_with_report", "sender": f"{COUNTY}.office", "report_by": DAY}
    yield of(LegOpened, leg=NEXT, from_leg=LEG, **opened)
    yield of(HandedOver, leg=LEG, to=OFFICE, mode="assign_with_report", next_leg=NEXT, report_by=DAY)
    yield of(Objected, leg=NEXT, proposed=f"{TOWN}.water", sender=f"{COUNTY}.office", ruler=COUNTY)
    ruling = {"leg": NEXT, "leg_version": 2, "agreed": True, "by": "sender", "holder": f"{COUNTY}.office"}
    yield of(ObjectionRuled, objection=EventId(uuid(92)), next_leg=LegId(uuid(22)), **ruling)
    yield of(ObjectionLapsed, objection=EventId(uuid(92)), leg=NEXT)
    taken = {"last_log": "huiyin.example/410221100201/1", "last_size": 12, "unit": f"{COUNTY}.office"}
    yield of(TakenOver, leg=NEXT, leg_version=2, next_leg=LegId(uuid(23)), **taken)
    yield of(LegEnded, leg=NEXT, directive=EventId(uuid(93)))
    yield of(Accepted, leg=NEXT, kind="substantive", number="杞信受〔2026〕1号", claims=(claim(1), claim(2)))
    declined = {"ground": "npc_or_judicial", "number": "杞信不受〔2026〕1号", "right_organ": "杞县人民法院"}
    yield of(Declined, leg=NEXT, claims=(claim(1),), **declined)
    yield of(Extended, leg=NEXT, days=30, claims=(claim(1),))
    supported = {"law": "《土地管理法》第48条", "performer": f"{TOWN}.office", "perform_by": DAY}
    answers = (
        Answer(claim=claim(1), outcome="support", **supported),  # type: ignore[arg-type]
        Answer(claim=claim(2), outcome="explain", law="无政策依据", performer=None, perform_by=None),
    )
    yield of(OpinionIssued, leg=NEXT, number="杞信处〔2026〕1号", answers=answers)
    yield of(Replied, leg=NEXT, number="杞信复〔2026〕1号", result="adopted", claims=(claim(1),))
    yield of(Served, leg=NEXT, paper=EventId(uuid(94)), method="in_person", served_on=DAY)
    yield of(Reported, leg=NEXT, number="杞信报〔2026〕1号")
    yield of(Closed, leg=NEXT, ending="opinion", claims=(claim(1), claim(2)))
    order = OrderId(uuid(60))
    ordered = {"unit": OFFICE, "number": "杞信督〔2026〕1号", "trigger": "delay", "reply_by": DAY}
    yield of(OrderIssued, order=order, leg=NEXT, leg_version=3, **ordered)
    yield of(OrderReplied, order=order, leg=NEXT)
    yield of(OrderJudged, order=order, unit=OFFICE, reply=EventId(uuid(95)), accepted=False, reply_by=DAY)
    yield of(DirectiveAnswered, directive=order, leg=NEXT, effect="applied", holder=OFFICE, leg_version=3)
    grants = (
        Grant(custodian=TOWN, recipient_key="k1", wrapped=DIGEST, purpose="handle"),
        Grant(custodian=COUNTY, recipient_key="k2", wrapped=DIGEST, purpose="escrow"),
    )
    yield of(KeyGranted, subject=SUBJECT, grants=grants)
    yield of(SealedRead, subject=SUBJECT, events=(EventId(uuid(96)),), purpose="handle")
    yield of_the_node(SealedItem, item=uuid(70), ciphertext=DIGEST)
    yield of(ErasureOrdered, erasure=uuid(80), subject=SUBJECT, ground="retention_ended")
    yield of(ErasureConfirmed, erasure=uuid(80), subject=SUBJECT, custodians=(TOWN, COUNTY))
    yield of(KeyDestroyed, erasure=uuid(80), subject=SUBJECT, custodian=TOWN)
    yield of_the_node(NodeOpened, origin="huiyin.example/410221100201/1", name="刘庄村", parent=TOWN)
    yield of_the_node(ChildEnrolled, division=VILLAGE, name="刘庄村", certificate="{}")
    yield of_the_node(UnitOpened, unit=OFFICE, name="刘庄村信访室")
    yield of_the_node(HeadsNoted, heads=(Head(log="huiyin.example/410221100201/1", size=12, root=DIGEST),))
    notice = {"source": "国办发明电〔2025〕7号", "edition": 1}
    yield of_the_node(HolidaysNoticed, year=2026, off=(date(2026, 1, 1),), working=(date(2026, 1, 4),), **notice)
    yield of_the_node(KeysRotated, log="log+key", witness="witness+key", intake="intake+key")
    yield of_the_node(KeysRevoked, division=VILLAGE, revocation="{}")
    yield of_the_node(NodeMoved, division=VILLAGE, name="刘庄村", parent=TOWN, certificate="{}")
    released = {"receiver": COUNTY, "ground": "holder_gone", "request": "huiyin-escrow-request/v0\n{}\n"}
    yield of(EscrowOpened, order=uuid(81), subject=SUBJECT, **released)
    yield of_the_node(EscrowFounded, key="k2", first="escrow/k2/first+00+AA==", second="escrow/k2/second+00+AA==")
    shard = {"origin": "huiyin.example/410221100201/2", "before": "huiyin.example/410221100201/1", "size": 12}
    yield of_the_node(ShardOpened, root=DIGEST, checkpoint="", why="lost", **shard)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for example in examples():
        (GOLDEN / f"{tag_of(example)}.json").write_bytes(encode(example))
