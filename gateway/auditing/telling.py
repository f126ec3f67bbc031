"""What an audit found, in words for a terminal or as JSON; nothing that a foreign hand wrote acts on either."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from domain.clocks import SHANGHAI
from gateway.auditing.findings import Finding, Severity, harmless
from gateway.auditing.verifying import Report

SOUND: Final = 0
TAMPERED: Final = 1
UNREADABLE: Final = 2

_SEVERITIES: Final[dict[Severity, str]] = {
    "tampered": "篡改 / tampered",
    "unlawful": "违规 / unlawful",
    "notice": "提示 / notice",
}
_ORDER: Final[tuple[Severity, ...]] = ("tampered", "unlawful", "notice")


class ToldFinding(msgspec.Struct, frozen=True):
    """A finding with its words, as JSON."""

    code: str
    severity: Severity
    log: str
    index: int | None
    detail: str
    zh: str
    en: str
    to_do_zh: str
    to_do_en: str


class ToldLog(msgspec.Struct, frozen=True):
    """What was seen of one log, as JSON."""

    origin: str
    size: int
    cosigned_size: int
    witnesses: tuple[str, ...]


class ToldBundle(msgspec.Struct, frozen=True):
    """One bundle, as JSON. made_us: UTC microseconds, by the node's own word. more: findings that are not listed."""

    division: str
    name: str
    origin: str
    made_us: int
    position: int
    below: bool
    openings: bool
    root: str
    leaves: int
    logs: tuple[ToldLog, ...]
    findings: tuple[ToldFinding, ...]
    more: int


class Told(msgspec.Struct, frozen=True):
    """The whole audit, as JSON. between: what two of the bundles tell differently."""

    verdict: Literal["sound", "tampered"]
    bundles: tuple[ToldBundle, ...]
    between: tuple[ToldFinding, ...]


def exit_code(reports: Sequence[Report], between: Sequence[Finding]) -> int:
    """SOUND, or TAMPERED where anything graver than a notice was found."""
    is_sound = all(report.is_sound for report in reports) and all(one.severity == "notice" for one in between)
    return SOUND if is_sound else TAMPERED


def as_json(reports: Sequence[Report], between: Sequence[Finding]) -> str:
    """The audit for a program, on one line."""
    verdict: Literal["sound", "tampered"] = "tampered" if exit_code(reports, between) else "sound"
    told = Told(verdict, tuple(map(_bundle, reports)), tuple(map(told_finding, between)))
    return msgspec.json.encode(told).decode()


def in_words(reports: Sequence[Report], between: Sequence[Finding]) -> Iterator[str]:
    """The audit for a person, line by line; the gravest first."""
    for report in reports:
        yield from _of_bundle(report)
    if len(reports) > 1:
        yield f"各证据包之间 / between the bundles: {len(between)} 项发现 / findings"
        yield from words_of(between)
    if exit_code(reports, between):
        yield "结论：不可信，见上列篡改或违规 / verdict: not sound, see what is tampered or unlawful above"
    else:
        yield "结论：完整可信 / verdict: sound"


def _of_bundle(report: Report) -> Iterator[str]:
    said = report.manifest
    made = datetime.fromtimestamp(said.made_us / 1_000_000, SHANGHAI).strftime("%Y-%m-%d %H:%M")
    scope = "本级及下级 / with all below" if said.below else "仅本日志 / its own log alone"
    yield f"{harmless(said.name)} {said.division}：{made} 出具，{scope} / made then, by its own word"
    yield f"  账本 {said.pos} 位，{report.leaves} 条 / ledger position {said.pos}, {report.leaves} leaves"
    if said.openings:
        yield f"  含开示内容，查阅人 / with sealed texts, opened by: {harmless(said.reader)}"
    yield f"  根证书 / root: {said.root}"
    for log in report.logs:
        witnesses = ", ".join(map(harmless, log.witnesses)) or "无 / none"
        yield (
            f"  {harmless(log.origin)}: {log.size} 条，会签至 {log.cosigned_size} / "
            f"{log.size} leaves, cosigned up to {log.cosigned_size} by {witnesses}"
        )
    yield from words_of(report.findings)
    for code, origin, count in report.untold:
        yield f"  … {code} {harmless(origin)}: 另有 {count} 项 / {count} more"


def words_of(found: Sequence[Finding]) -> Iterator[str]:
    """Findings for a person, the gravest first; what several have in common is said once."""
    for severity in _ORDER:
        alike: dict[str, list[Finding]] = {}
        for finding in found:
            if finding.severity == severity:
                alike.setdefault(finding.code, []).append(finding)
        for findings in alike.values():
            yield from _told(findings)


def _told(findings: Sequence[Finding]) -> Iterator[str]:
    first, *others = findings
    head = f"  [{_SEVERITIES[first.severity]}] {first.code}"
    yield head if others else f"{head} {_place(first)}".rstrip()
    yield f"    {first.meaning.zh} / {first.meaning.en}"
    for finding in findings:
        said = (_place(finding) if others else "", finding.detail)
        if any(said):
            yield f"    {': '.join(filter(None, said))}"
    yield f"    → {first.meaning.to_do_zh} / {first.meaning.to_do_en}"


def _place(finding: Finding) -> str:
    return f"{finding.log}#{finding.index}" if finding.index is not None else finding.log


def _bundle(report: Report) -> ToldBundle:
    said = report.manifest
    return ToldBundle(
        division=said.division,
        name=harmless(said.name),
        origin=harmless(said.origin),
        made_us=said.made_us,
        position=said.pos,
        below=said.below,
        openings=said.openings,
        root=said.root,
        leaves=report.leaves,
        logs=tuple(
            ToldLog(harmless(log.origin), log.size, log.cosigned_size, tuple(map(harmless, log.witnesses)))
            for log in report.logs
        ),
        findings=tuple(map(told_finding, report.findings)),
        more=sum(count for _, _, count in report.untold),
    )


def told_finding(finding: Finding) -> ToldFinding:
    """A finding for a program."""
    meaning = finding.meaning
    return ToldFinding(
        code=finding.code,
        severity=finding.severity,
        log=finding.log,
        index=finding.index,
        detail=finding.detail,
        zh=meaning.zh,
        en=meaning.en,
        to_do_zh=meaning.to_do_zh,
        to_do_en=meaning.to_do_en,
    )
