"""What is made from the evidence alone: the cover, the papers, each event in words, and how all of it is checked.

Whoever verifies makes it again and compares, so that no word on the cover says anything that the evidence does not.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from domain.events import ClaimAmended, Registered
from gateway.catalog import words
from gateway.dossier.evidence import Evidence, Proven
from gateway.dossier.setting import local, set_pdf
from gateway.dossier.shape import COVER, README, Files, event_file, listed, paper_file
from gateway.reading import labels
from gateway.reading.papers import Desk, Paper, Printable, name_of, paper
from gateway.reading.wording import detail_of

US: Final = 1_000_000

_CHECKING: Final = (
    "凭根证书指纹（须从本文件以外的公开渠道取得）即可离线核验，无需联网、数据库或信任出具单位：",
    "huiyin audit verify 本文件.zip --root 指纹",
    "程序逐条核对：事件是否在日志中、检查点是否由该单位签名并由上级会签、有无改动、各流有无断号，并由证据重新生成本封面与文书逐字节比对。",
    "events 目录中的 .tlog-proof 文件按 C2SP tlog-proof@v1 写成，他人的程序也能核验。",
    (
        "Anybody who has the fingerprint of the root, got by another way than this file, checks all of it offline with "
        "the command above: that each event stands in its log, that the log and its superior signed, that nothing was "
        "altered and no stream has a gap; and it makes this cover and the papers again and compares them byte by byte."
    ),
)


def derive(evidence: Evidence, files: Files) -> Files:
    """Everything that is made from the evidence. files: those of the evidence, which the cover lists."""
    made: Files = {event_file(one.number, "json"): _in_words(evidence, one) for one in evidence.steps}
    for number, found in _papers(evidence):
        made[paper_file(number)] = set_pdf("paper", _as_data(found), evidence.dossier.made_us)
    made[README] = _readme(evidence)
    made[COVER] = set_pdf("cover", _cover(evidence, {**files, **made}), evidence.dossier.made_us)
    return made


# --- events -----------------------------------------------------------------------------------------------------------


def _in_words(evidence: Evidence, one: Proven) -> bytes:
    step, event = one.step, one.step.said_to
    zh, en = _zh, words("en").gettext
    name = labels.EVENTS.get(step.tag, step.tag)
    said = {
        "step": one.number,
        "zh": name,
        "en": en(name),
        "detail": detail_of(event, evidence.unit_name, zh) if event else "",
        "by": evidence.unit_name(event.actor.unit) if event else step.event.node,
        "article": event.law if event else None,
        "recorded": local(step.recorded_us),
        "said_to_have_happened": local(step.occurred_us),
        "learned": local(step.learned_us),
        "has_effect": step.has_effect,
        "log": step.log,
        "index": step.seq,
        "leaf_hash": one.leaf_hash,
        "event": msgspec.Raw(one.leaf),
    }
    return msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n"


def _zh(text: str) -> str:
    return text


# --- papers -----------------------------------------------------------------------------------------------------------


def _papers(evidence: Evidence) -> Iterator[tuple[int, Paper]]:
    """By step; without those of events that have no effect. The period is not on them: it follows from the calendar."""
    file = evidence.file
    texts = evidence.texts()
    of_all: dict[str, str] = {}
    for one in evidence.steps:
        if isinstance(one.step.said_to, Registered | ClaimAmended):
            of_all |= texts.get(one.number, {})
    for one in evidence.steps:
        event = one.step.said_to
        if isinstance(event, Printable) and one.step.has_effect and file is not None:
            desk = Desk(
                unit_name=evidence.unit_name,
                review_organ="",
                texts=of_all | dict(texts.get(one.number, {})),
                deadline=None,
                contact=evidence.unit_name(event.actor.unit),
            )
            yield one.number, paper(file, event, desk)


def _as_data(found: Paper) -> dict[str, Any]:
    day = found.issued_on
    return {
        "title": found.title,
        "number": found.number,
        "addressee": found.addressee,
        "rows": [list(row) for row in found.rows],
        "sections": [
            {"heading": one.heading, "paragraphs": [_ticked(text) for text in one.paragraphs]} for one in found.sections
        ],
        "remedy": found.remedy or "",
        "seal_of": found.seal_of,
        "issued_on": f"{day.year}年{day.month}月{day.day}日",
        "check": found.check,
    }


def _ticked(text: str) -> str:
    """With boxes that the fonts have."""
    return text.replace("☑", "【√】").replace("☐", "【　】")


# --- the cover --------------------------------------------------------------------------------------------------------


def _cover(evidence: Evidence, files: Files) -> dict[str, Any]:
    number = _number(evidence)
    return {
        "title": f"卷宗封面 {number}",
        "number": number,
        "maker": evidence.dossier.name,
        "facts": list(_facts(evidence).items()),
        "steps": [_row(evidence, one) for one in evidence.steps],
        "heads": list(_heads(evidence)),
        "files": [{"path": it.path, "size": it.size_bytes, "sha256": it.sha256} for it in listed(files)],
        "checking": list(_CHECKING),
    }


def _facts(evidence: Evidence) -> Mapping[str, str]:
    """Names and what the matter is only where they were opened."""
    said, file = evidence.dossier, evidence.file
    registered = file.registered if file else None
    opened: Mapping[str, str] = {}
    if registered is not None:
        opened = evidence.texts().get(evidence.number_of(registered.id) or 0, {})
    holder = file.accountable if file else None
    hidden = "（未开示）"
    facts = {
        "案号（信访编号）": _number(evidence),
        "登记日期": local(registered.recorded_us)[:10] if registered else "（本节点未知）",
        "收到日期": registered.received_on.isoformat() if registered else "（本节点未知）",
        "登记单位": evidence.unit_name(registered.actor.unit) if registered else "（本节点未知）",
        "责任单位": evidence.unit_name(holder) if holder else "（已办结或未知）",
        "经办单位": "、".join(evidence.unit_name(leg.unit) for leg in file.legs.values()) if file else "",
        "信访人": opened.get("petitioner.name", hidden),
        "信访事项": opened.get("title", hidden),
        "步骤数": f"{len(evidence.steps)}"
        + (f"（另有{said.left_out}步尚未封入检查点，未收入）" if said.left_out else ""),
        "文书": "、".join(_paper_names(evidence)) or "无",
        "出具单位": f"{said.name}（{said.division}）",
        "出具时间": local(said.made_us),
        "出具方式": _how(said.excerpt_of),
        "开示内容": f"有，查阅人 {said.reader}" if said.openings else "无：密封内容只有承诺值",
        "事项标识": str(said.case),
        "根证书指纹": _broken(said.root),
    }
    return {name: value for name, value in facts.items() if value}


def _how(excerpt_of: str | None) -> str:
    if excerpt_of is None:
        return "由出具单位以其日志密钥签名（manifest）"
    return f"由他人自该单位签名的证据包摘出，证据包清单SHA-256 {_broken(excerpt_of)}；是否摘全须与该证据包核对"


def _paper_names(evidence: Evidence) -> Iterator[str]:
    for number, _ in _papers(evidence):
        event = evidence.steps[number - 1].step.said_to
        if isinstance(event, Printable):
            yield f"{name_of(event)}（步骤{number}）"


def _row(evidence: Evidence, one: Proven) -> dict[str, Any]:
    step, event = one.step, one.step.said_to
    role = labels.ROLES.get(event.actor.role, event.actor.role) if event else ""
    is_claimed = step.recorded_us - step.occurred_us >= US
    detail = detail_of(event, evidence.unit_name, _zh) if event else ""
    by = f"{evidence.unit_name(event.actor.unit)}（{role}）" if event else str(step.event.node or "")
    return {
        "number": one.number,
        "recorded": local(step.recorded_us),
        "claimed": local(step.occurred_us) if is_claimed else "",
        "what": "：".join(filter(None, (labels.EVENTS.get(step.tag, step.tag), detail))),
        "by": by,
        "law": (event.law if event else None) or "",
        "has_effect": step.has_effect,
        "leaf": _broken(one.leaf_hash),
        "secured": _secured(evidence, one),
    }


def _secured(evidence: Evidence, one: Proven) -> str:
    signed = sorted(time_s for _, time_s in evidence.cosigners(one))
    return f"至迟 {local(signed[0] * US)} 已会签固证" if signed else "仅由作者签名，尚无会签"


def _heads(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Every checkpoint that a step rests on, once."""
    resting: dict[tuple[str, int], list[Proven]] = {}
    for one in evidence.steps:
        resting.setdefault((one.step.log, one.checkpoint.size), []).append(one)
    for (log, size), steps in sorted(resting.items()):
        yield {
            "log": log,
            "size": size,
            "root": _broken(steps[0].checkpoint.root.hex()),
            "steps": _ranges([one.number for one in steps]),
            "cosigned": [f"{name} {local(at_s * US)}" for name, at_s in evidence.cosigners(steps[0])],
        }


def _ranges(numbers: list[int]) -> str:
    return "、".join(map(str, numbers))


def _broken(digits: str) -> str:
    """64 digits with places where a line may break."""
    return " ".join(re.findall(".{16}", digits))


def _number(evidence: Evidence) -> str:
    file = evidence.file
    return file.registered.number if file and file.registered else str(evidence.dossier.case)


def _readme(evidence: Evidence) -> bytes:
    said = evidence.dossier
    text = f"""回音 · 一件信访事项的电子证据 / Evidence of one petition case

案号 / number: {_number(evidence)}
事项 / case: {said.case}
出具 / made by: {said.name} {said.division}, {local(said.made_us)} (UTC+8)
步骤 / steps: {len(evidence.steps)}

核验 / To check, offline, trusting nobody
  1. 从公开渠道（不是从本文件）取得根证书指纹。
     Get the fingerprint of the root by another way than this file.
  2. huiyin audit verify FILE.zip --root FINGERPRINT
     0 完整可信 sound · 1 不可信 tampered · 2 无法读取 unreadable
  3. 不用本程序：每个 events/*.tlog-proof 是 C2SP tlog-proof@v1，其检查点是 C2SP tlog-checkpoint 及
     tlog-cosignature；任何支持这些规范的程序都能核验，日志与会签的公钥在 certificates.jsonl 中，均可追溯到根。
     Without our program: each events/*.tlog-proof is a C2SP tlog-proof@v1 with a C2SP checkpoint and
     cosignatures; the public keys stand in certificates.jsonl and lead to the root.

文件 / Files
  cover.pdf               卷宗封面、步骤表、各文件SHA-256 / cover, steps, SHA-256 of each file
  events/NNNN.leaf        事件原文，与日志逐字节相同 / the event, byte for byte as in its log
  events/NNNN.json        同一事件，便于阅读 / the same, to be read by people
  events/NNNN.tlog-proof  该事件在日志中的证明 / that it stands in its log
  links.jsonl             同一日志的检查点前后一致 / that checkpoints of a log continue each other
  papers/NNNN.pdf         由该事件生成的文书 / the paper that the event stands for
  openings.jsonl          开示的密封内容及其盐值（如有）/ opened texts with their salts, if asked for
  manifest, files.jsonl   清单 / what this file consists of

README.txt、cover.pdf、events/*.json、papers/*.pdf 均由其余文件生成；核验时重新生成并逐字节比对。
README.txt, cover.pdf, events/*.json and papers/*.pdf are made from the other files, and made again to be compared.

不能证明什么 / What this does not prove
  - 从未录入的事，或按时录入的虚假内容。What was never entered, or false facts entered in time.
  - 会签之前的改动。What was changed before the first cosignature saw it.
  - {_left(evidence)}
"""
    return text.encode()


def _left(evidence: Evidence) -> str:
    if evidence.dossier.excerpt_of is None:
        return (
            "出具之后发生的事。出具单位隐瞒的后续步骤或整条流，由上级的证据揭示。What happened afterwards; a later "
            "step or a whole stream that the office hides is shown by the evidence of its superior."
        )
    return (
        "摘录是否完整：须与原证据包核对。Whether the excerpt is complete: compare it with the bundle that it was taken "
        f"from (SHA-256 of its manifest: {evidence.dossier.excerpt_of})."
    )
