"""Which ending the law gives each class of matter (Art. 29 to 34), and what must have happened before it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import get_args

from domain.case import CaseFile
from domain.events import Declined, Ending, EventId, MatterClass, OpinionIssued, PaperReply, Replied
from domain.parts import Leg, Paper
from domain.refusals_of_papers import (
    ClaimUnanswered,
    EndingUnlawful,
    NotAccepted,
    ReportMissing,
    ServiceMissing,
)

_BY_PROCEDURE: tuple[Ending, ...] = ("imported", "declined")

ENDINGS: Mapping[MatterClass, tuple[Ending, ...]] = MappingProxyType(
    {
        "suggestion": ("simple_reply", "declined"),
        "claim_litigation": _BY_PROCEDURE,
        "claim_arbitration": _BY_PROCEDURE,
        "claim_party_appeal": _BY_PROCEDURE,
        "claim_admin_procedure": _BY_PROCEDURE,
        "claim_duty": ("simple_reply", "agreement", "declined"),
        "claim_petition": ("opinion", "agreement", "simple_reply", "declined"),
    }
)
"""The usual ending first. A petition that was withdrawn ends as `withdrawn`, whatever its class."""

REPLIES: Mapping[MatterClass, tuple[PaperReply, ...]] = MappingProxyType(
    {
        "suggestion": ("adopted", "partly_adopted", "not_adopted", "answered"),
        "claim_litigation": ("procedure_named",),
        "claim_arbitration": ("procedure_named",),
        "claim_party_appeal": ("procedure_named",),
        "claim_admin_procedure": ("procedure_named",),
        "claim_duty": ("answered",),
        "claim_petition": ("answered",),
    }
)
"""What a reply may say, where the matter ends in one."""

_CHINESE: Mapping[str, str] = MappingProxyType(
    {
        "opinion": "出具处理意见",
        "simple_reply": "答复",
        "imported": "导入法定程序",
        "declined": "不予受理",
        "agreement": "调解、和解",
        "withdrawn": "撤回",
        "adopted": "采纳",
        "partly_adopted": "部分采纳",
        "not_adopted": "不采纳",
        "answered": "答复",
        "procedure_named": "告知法定程序",
    }
)


def named(choices: Iterable[Ending | PaperReply]) -> dict[str, str]:
    """The words for a refusal: the choices in both languages."""
    return {"zh": "、".join(_CHINESE[choice] for choice in choices), "en": ", ".join(choices)}


def check_ending(file: CaseFile, leg: Leg, matter: MatterClass, ending: Ending) -> None:
    """Raises what stands between this leg and `ending`: EndingUnlawful, NotAccepted, ClaimUnanswered,
    ServiceMissing, ReportMissing."""
    possible: tuple[Ending, ...] = ("withdrawn",) if file.withdrawn else ENDINGS[matter]
    if ending not in possible:
        raise EndingUnlawful(**named(possible))
    if ending == "agreement":
        _check_agreement(file)
        return
    if ending != "withdrawn":
        _check_papers(file, ending)
    if leg.report_by is not None and leg.report is None:
        raise ReportMissing


def _check_agreement(file: CaseFile) -> None:
    """An agreement settles accepted claims that have no answer; answers given to others have been served."""
    if any(claim.accepted is None for claim in file.unanswered_claims):
        raise NotAccepted
    answers = _answers(file)
    if not file.unanswered_claims:
        raise EndingUnlawful(**named([_ending_of(file.papers[id_] for id_ in answers)]))
    if not answers <= file.served.keys():
        raise ServiceMissing


def _check_papers(file: CaseFile, ending: Ending) -> None:
    """Every living claim has an answer, the answers are of the kind that this ending closes, and all are served."""
    for claim in file.unanswered_claims:
        if claim.accepted is None and ending == "opinion":
            raise NotAccepted
        raise ClaimUnanswered(claim=claim.id)
    answers = _answers(file)
    fitting = _ending_of(file.papers[id_] for id_ in answers)
    if fitting != ending:
        raise EndingUnlawful(**named([fitting]))
    if not answers <= file.served.keys():
        raise ServiceMissing


def _answers(file: CaseFile) -> set[EventId]:
    """The papers that answer what is still to be closed."""
    return {claim.answer for claim in file.living_claims if claim.answer and not claim.is_closed}


def _ending_of(papers: Iterable[Paper]) -> Ending:
    """The ending that a set of papers amounts to: the weightiest among them."""
    kinds = {_kind(paper) for paper in papers}
    return next((ending for ending in get_args(Ending) if ending in kinds), "declined")


def _kind(paper: Paper) -> Ending | None:
    match paper:
        case OpinionIssued():
            return "opinion"
        case Replied(result="procedure_named"):
            return "imported"
        case Replied():
            return "simple_reply"
        case Declined():
            return "declined"
        case _:
            return None
