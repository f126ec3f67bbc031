"""What was found of the evidence of one case, in words for a terminal or as JSON."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from domain.clocks import SHANGHAI
from gateway.auditing.findings import harmless
from gateway.auditing.judging import Judged
from gateway.auditing.telling import ToldFinding, told_finding, words_of

_VERDICTS: Final = {
    True: "结论：完整可信 / verdict: sound",
    False: "结论：不可信，见上列篡改或违规 / verdict: not sound, see what is tampered or unlawful above",
}


class ToldCase(msgspec.Struct, frozen=True):
    """The evidence of one case, as JSON. made_us: UTC microseconds, by the maker's own word."""

    verdict: Literal["sound", "tampered"]
    case: UUID
    division: str
    name: str
    made_us: int
    excerpt: bool
    root: str
    steps: int
    cosigned: int
    findings: tuple[ToldFinding, ...]


def as_json(judged: Judged) -> str:
    """For a program, on one line."""
    said = judged.dossier
    told = ToldCase(
        verdict="sound" if judged.is_sound else "tampered",
        case=said.case,
        division=said.division,
        name=harmless(said.name),
        made_us=said.made_us,
        excerpt=said.excerpt_of is not None,
        root=said.root,
        steps=judged.steps,
        cosigned=judged.cosigned,
        findings=tuple(map(told_finding, judged.findings)),
    )
    return msgspec.json.encode(told).decode()


def in_words(judged: Judged) -> Iterator[str]:
    """For a person, line by line; the gravest first."""
    said = judged.dossier
    made = datetime.fromtimestamp(said.made_us // 1_000_000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
    yield f"事项 / case {said.case}"
    yield f"  {harmless(said.name)} {said.division}：{made} 出具 / made by it at that time"
    yield f"  {judged.steps} 步，其中 {judged.cosigned} 步已会签 / steps, of which so many are cosigned"
    if said.left_out:
        yield f"  另有 {said.left_out} 步尚未封入检查点 / more steps stood under no checkpoint yet"
    if said.openings:
        yield f"  含开示内容，查阅人 / with sealed texts, opened by: {harmless(said.reader)}"
    yield f"  根证书 / root: {said.root}"
    yield from words_of(judged.findings)
    yield "；".join([_VERDICTS[judged.is_sound], *(_reservations(judged) if judged.is_sound else ())])


def _reservations(judged: Judged) -> Iterator[str]:
    """What a reader of the verdict alone would take to be proven, and is not."""
    if judged.steps > judged.cosigned:
        count = judged.steps - judged.cosigned
        yield f"其中 {count} 步仅凭作者一方之言 / {count} steps on the word of their author alone"
    if any(finding.code == "not_made_again" for finding in judged.findings):
        yield "封面、文书与说明未经核验，不可采信 / its cover, papers and words were not checked: do not rely on them"
