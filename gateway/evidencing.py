"""`huiyin node evidence` and `huiyin verify evidence`: what a node keeps of lies leaves it as files, and is judged."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from domain.clocks import SHANGHAI
from gateway.auditing.bundle import FaultLine
from gateway.auditing.findings import harmless
from gateway.auditing.rows import snapshot
from gateway.auditing.trusting import pins_from
from gateway.hosting import config, founding
from gateway.hosting.databases import database_of
from sync.exchange.convicting import ByRoot, Judged, NotProven, convict, file_for, judge
from sync.exchange.evidence import Met, name_of, read_evidence
from sync.exchange.faults import Fault
from sync.proofs.signed_policy import parse_either
from sync.trust.certificates import Directory

CONVICTS: Final = 0
CONVICTS_NOBODY: Final = 1
UNREADABLE: Final = 2

_LIES: Final = {
    "forked": ("以同一日志的密钥签署了两份互相矛盾的历史", "has signed two histories of its log, no tree holds both"),
    "shard_not_continued": ("新分片未从前一分片签署的终点接续", "began a shard elsewhere than where it had ended one"),
    "key_outlived": (
        "的密钥在已更换或已收回的范围之外仍有签名，签名者或为窃取者，或为尚未获知收回的本机关，签名不能区分",
        "bears signatures beyond where its key was followed or taken back: a thief's, or its own before it heard of it",
    ),
    "kept_key": ("签署销毁密钥之后又授予该密钥", "gave on a key that it had signed to have destroyed"),
    "cosigned_two_histories": ("会签了同一日志的两份历史", "has cosigned two histories of one log"),
    "cosigned_otherwise": ("一方签署、另一方会签了不同历史", "one has signed, the other cosigned another history"),
    "noted_otherwise": ("一方签署、另一方记下了不同历史", "one has signed, the other noted another history"),
    "witness_rolled_back": (
        "会签较大者之后又会签较小者，曾被恢复旧状态，或其时钟曾有误",
        "cosigned less, later: it was put back, or its clock was wrong",
    ),
}
"""By the code of a verdict."""


class Told(NamedTuple):
    """What to print, and how the command ends."""

    text: str
    exit_code: int


def judged_in_words(judged: Judged) -> Told:
    """The verdict first; nothing that a foreign hand wrote acts on a terminal."""
    file, verdict = judged.file, judged.verdict
    kept = f"{_local(file.first_us)} — {_local(file.last_us)}, {file.count}×"
    about = [
        f"故障 / fault: {harmless(file.kind)} {harmless(file.subject)}",
        f"说明 / detail: {harmless(file.detail)}",
        f"由 {harmless(file.by)} 保存，时间为其自称 / kept by it, times by its own word: {kept}",
    ]
    if verdict is None:
        return Told("\n".join([f"不能定责：{judged.why_not}", *about]), CONVICTS_NOBODY)
    zh, en = _LIES[verdict.code]
    liars = ", ".join(map(harmless, verdict.liars))
    if len(verdict.liars) == 1:
        first = f"已证实：{liars} {zh} / proven: {liars} {en}"
    else:
        first = f"已证实：{zh}，{liars} 中至少一方说谎 / proven: {en}; one of {liars} at least has lied"
    ask = "请要求会签或记录的一方出示作者签名 / ask who cosigned or noted it for the author's signature"
    lines = [first, *([ask] if len(verdict.liars) > 1 else []), f"日志 / log: {harmless(verdict.log)}"]
    return Told("\n".join([*lines, *about]), CONVICTS)


def judge_file(data: bytes, root: str | None, policies: Sequence[str]) -> Told:
    """root: fingerprint of the root's certificate, or null. policies: texts.

    Raises EvidenceUnreadable, PinInvalid, PolicyInvalid.
    """
    pins = pins_from(root, policies)
    known = [parse_either(text, accept_simulated_clock=True) for text in pins.policies]
    return judged_in_words(judge(data, pins.root, known))


class Listed(NamedTuple):
    """One fault of a node that keeps evidence. name: of its file. liars: whom it convicts, by the node's own root."""

    name: str
    kind: str
    subject: str
    first_us: int
    is_over: bool
    liars: tuple[str, ...]
    data: bytes


def kept_evidence(folder: Path) -> Iterator[Listed]:
    """Every fault with evidence of the node in `folder`, running or not, the oldest first. Raises ConfigInvalid."""
    settings, enrolled = config.load(folder), founding.enrolment(folder)
    with database_of(folder) as dsn, snapshot(dsn) as at:
        certificates = [*enrolled.certificates, *at.certificates()]
        directory, _ = Directory(enrolled.root_fingerprint).adding_what_holds(certificates)
        for row in at.faults():
            line = msgspec.convert(dict(zip(FaultLine.__struct_fields__, row, strict=True)), FaultLine)
            if line.evidence:
                yield _listed(line, settings.node.division, directory)


def list_evidence(folder: Path, out: Path | None) -> Iterator[str]:
    """Tell of each; into `out`, made if it is not there, goes a file of each."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    is_empty = True
    for one in kept_evidence(folder):
        is_empty = False
        if out is not None:
            (out / one.name).write_bytes(one.data)
        over = "，已消除 / over" if one.is_over else ""
        whom = f"定责 / convicts: {', '.join(map(harmless, one.liars))}" if one.liars else "线索 / a trace"
        yield f"{one.name}  {_local(one.first_us)}  {harmless(one.kind)} {harmless(one.subject)}  {whom}{over}"
    if is_empty:
        yield "没有留有证据的故障 / no fault keeps evidence"


def _listed(line: FaultLine, by: str, directory: Directory) -> Listed:
    fault = Fault(line.kind, line.subject, line.child, line.detail, line.evidence)
    data = file_for(by, fault, Met(line.count, line.first_us, line.last_us), directory)
    name = name_of(line.kind, line.subject)
    liars = _liars(line.evidence, directory)
    return Listed(name, line.kind, line.subject, line.first_us, line.healed_us is not None, liars, data)


def _liars(kept: bytes, directory: Directory) -> tuple[str, ...]:
    evidence = read_evidence(kept)
    if evidence is not None:
        with suppress(NotProven):
            return convict(evidence, ByRoot(directory)).liars
    return ()


def _local(at_us: int) -> str:
    try:
        return datetime.fromtimestamp(at_us / 1_000_000, SHANGHAI).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{at_us} us"
