"""Real messages as stories: each row of a file becomes a case that takes as long as it really took."""

import csv
import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from domain.commands import (
    Accept,
    AnswerClaim,
    Claim,
    Close,
    HandOver,
    IssueOpinion,
    Petitioner,
    Register,
    Reply,
    Serve,
)
from domain.divisions import Division
from domain.events import CaseId, HandedOver, LegId, LegOpened, OpinionIssued, Replied
from gateway.demo.scripted_day import Telling, office
from gateway.demo.story import HOUR_US, Act, Story, claim_id, moment_us

COLUMNS = ("title", "body", "created_at", "reply", "replied_at")


class InputInvalid(ValueError):
    """The file is not what `--input` needs. The message names line and column; correct it and start again."""


class Message(NamedTuple):
    """One row. received_us, replied_us: UTC microseconds, read as China's time."""

    line: int
    title: str
    body: str
    received_us: int
    reply: str
    replied_us: int

    @property
    def name(self) -> str:
        """What its story is called: the same however often the file is played, another for another message."""
        told = "\x00".join(map(str, self))
        return f"message-{self.line}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def digest(messages: Sequence[Message]) -> str:
    """What these messages, and no others, are known by."""
    return hashlib.sha256("\n".join(message.name for message in messages).encode()).hexdigest()


def read(path: Path) -> list[Message]:
    """Every row of the file, oldest first, at least one. Raises InputInvalid, OSError; no row is ever left out."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = _messages(path.name, csv.DictReader(file, restval=""))
    except UnicodeDecodeError:
        raise InputInvalid(
            f"{path.name} 不是 UTF-8 编码，请另存为 UTF-8 的 CSV 后重试 / it is not in UTF-8; save it as a CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise InputInvalid(f"{path.name} 不是有效的 CSV，请更正后重试 / it is no CSV, correct it: {error}") from None
    if not found:
        raise InputInvalid(f"{path.name} 中没有来信，请核对文件 / there are no messages in it, check the file")
    return sorted(found, key=lambda message: (message.received_us, message.line))


def _messages(name: str, rows: "csv.DictReader[str]") -> list[Message]:
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise InputInvalid(
            f"{name} 缺少列 {', '.join(missing)}，请补齐后重试 / columns are missing, add them: {', '.join(missing)}"
        )
    return [_message(number, row) for number, row in enumerate(rows, start=2)]


def _message(line: int, row: dict[str, str]) -> Message:
    received, replied = (_moment_us(line, column, row[column]) for column in ("created_at", "replied_at"))
    texts = {column: clean(row[column]) for column in ("title", "body", "reply")}
    empty = [column for column, text in texts.items() if not text]
    if empty or replied < received:
        what = f"{', '.join(empty)} 为空 / empty" if empty else "答复早于来信 / replied before received"
        raise InputInvalid(f"第 {line} 行 / line {line}: {what}")
    return Message(line, texts["title"][:200], texts["body"], received, texts["reply"], replied)


def _moment_us(line: int, column: str, text: str) -> int:
    try:
        return moment_us(text)
    except ValueError:
        raise InputInvalid(
            f"第 {line} 行 {column} 列的时间无法识别，请写成 2020-01-31 09:30:00 的形式 / "
            f"line {line}, column {column}: write the time like 2020-01-31 09:30:00"
        ) from None


def clean(text: str) -> str:
    """The text as a clerk would have typed it: composed characters, no control or direction marks."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        c for c in composed if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    ).strip()


class Way(NamedTuple):
    """Who passes a message on to whom; the last one handles it."""

    nodes: tuple[Division, ...]


def stories(messages: list[Message], ways: list[Way]) -> Iterator[tuple[str, int, Story]]:
    """Name, first moment and telling of every message's case, dealt out evenly over the ways."""
    for number, message in enumerate(messages):
        yield message.name, message.received_us, _tell(message, ways[number % len(ways)])


def _tell(message: Message, way: Way) -> Story:
    t = Telling(message.name, message.received_us)
    is_suggestion = "建议" in message.title
    filed = yield Act(t.start_us, way.nodes[0], "clerk", _registration(t, message, way.nodes[0], is_suggestion))
    case, leg = filed.of_case, filed.the(LegOpened).leg
    # However fast the reply came, every step before it keeps its place in time.
    step_us = min(12 * HOUR_US, (message.replied_us - message.received_us) // (len(way.nodes) + 2))
    for number, (here, there) in enumerate(zip(way.nodes, way.nodes[1:], strict=False), start=1):
        command = HandOver(case=case, leg=leg, to=office(there), mode="transfer", reason="按职责转送")
        moved = yield Act(t.start_us + number * step_us, here, "clerk", command)
        leg = moved.the(HandedOver).next_leg
    handler = way.nodes[-1]
    yield Act(t.start_us + (len(way.nodes) + 1) * step_us, handler, "handler", Accept(case=case, leg=leg))
    yield from _answer(t, message, handler, case, leg, is_suggestion)


def _registration(t: Telling, message: Message, node: Division, is_suggestion: bool) -> Register:
    return Register(
        channel="online",
        matter_class="suggestion" if is_suggestion else "claim_petition",
        category="990000",
        issue_region=node,
        received_on=t.day(0),
        petitioner=Petitioner(),
        title=message.title,
        body=message.body,
        claims=(Claim(claim=claim_id(t.name, 0), text=message.title),),
    )


def _answer(t: Telling, message: Message, node: Division, case: CaseId, leg: LegId, is_suggestion: bool) -> Story:
    if is_suggestion:
        reply = Reply(case=case, leg=leg, result="answered", text=message.reply)
        paper = (yield Act(message.replied_us, node, "handler", reply)).the(Replied).id
    else:
        claim = AnswerClaim(claim=claim_id(t.name, 0), outcome="explain", law="见答复正文", text=message.reply)
        opinion = IssueOpinion(case=case, leg=leg, facts=message.title, answers=(claim,))
        paper = (yield Act(message.replied_us, node, "handler", opinion)).the(OpinionIssued).id
    served_on = t.day((message.replied_us - t.start_us) / (24 * HOUR_US))
    serve = Serve(case=case, leg=leg, paper=paper, method="online", served_on=served_on)
    yield Act(message.replied_us, node, "clerk", serve)
    ending = Close(case=case, leg=leg, ending="simple_reply" if is_suggestion else "opinion")
    yield Act(message.replied_us, node, "handler", ending)
