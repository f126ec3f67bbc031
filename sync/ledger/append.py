"""What is asked of the writer, what it answers, and how it refuses."""

from collections.abc import Sequence
from typing import ClassVar, Final, LiteralString, Protocol, TypeVar
from uuid import UUID

import msgspec

T_co = TypeVar("T_co", covariant=True)

BODY_LIMIT_BYTES: Final = 65_535
"""The largest event: what one entry of a C2SP tlog-tiles bundle can hold."""


class NewEvent(msgspec.Struct, frozen=True):
    """An event of this node. version: its 0- or 1-based place in the stream. topic: its tag. body: its exact bytes."""

    stream: UUID
    version: int
    topic: str
    case_id: UUID | None
    body: bytes


class Act(Protocol):
    """What is to be done to other tables in the transaction that records events: its type and fields say what."""

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        """The same for PostgreSQL: SQL with `%s`, and its parameters."""


class Append(msgspec.Struct, frozen=True):
    """Events that are recorded together or not at all.

    command_id: makes the append idempotent: a second one with the same id and digest gets the first answer.
    result: bytes kept with the command and given back to whoever repeats it.
    beside: acts of the same transaction, done in this order after its events; one that fails fails this append.
    """

    events: Sequence[NewEvent]
    command_id: UUID | None = None
    command_digest: bytes = b""
    result: bytes = b""
    beside: Sequence[Act] = ()

    def body_bytes(self) -> int:
        """Of all its events. Raises BodyTooLarge."""
        total = 0
        for event in self.events:
            size_bytes = len(event.body)
            if size_bytes > BODY_LIMIT_BYTES:
                raise BodyTooLarge(size_bytes)
            total += size_bytes
        return total


class Appended(msgspec.Struct, frozen=True):
    """Durable on this node's disk. positions: in the ledger; seqs: leaf indexes in the own log; both may be empty.

    repeated: this was done before under the same command id; positions, seqs and result are the first ones.
    """

    positions: range
    seqs: range
    result: bytes
    repeated: bool = False


class Learned(msgspec.Struct, frozen=True):
    """An event of another node, verified by the caller: body, leaf hash and place are taken as they are."""

    log_id: int
    seq: int
    stream: UUID
    version: int
    topic: str
    case_id: UUID | None
    body: bytes
    leaf: bytes


class Answer(Protocol[T_co]):
    """What comes of something asked of the writer."""

    def result(self, timeout: float | None = None) -> T_co:
        """Waits for it; raises what it raised, or TimeoutError after so many seconds without an answer."""


class LedgerError(Exception):
    """The ledger did not do what was asked. code: stable name; zh, en: what is wrong and what to do next."""

    code: ClassVar[str] = "ledger_error"

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(zh, en)
        self.zh = zh
        self.en = en

    def __str__(self) -> str:
        return f"{self.zh} / {self.en}"


class StaleVersion(LedgerError):
    """Somebody wrote to the stream first; nothing was recorded. Load it again, decide again, append again.

    version: what was asked for; expected: what the stream takes next.
    """

    code = "stale_version"

    def __init__(self, stream: UUID, version: int, expected: int) -> None:
        super().__init__(
            f"该环节已有新的记录(第 {version} 号已过时,应为第 {expected} 号),请刷新后重新办理",
            f"stream {stream} has moved on: version {version} is stale, {expected} is next; reload and decide again",
        )
        self.stream = stream
        self.version = version
        self.expected = expected


class CommandReused(LedgerError):
    """The command id was used for another command; nothing was recorded. Send this one under an id of its own."""

    code = "command_reused"

    def __init__(self, command_id: UUID) -> None:
        super().__init__(
            "该命令编号已用于另一项操作,请换用新的编号",
            "this command id was already used for a different command; use a new id",
        )
        self.command_id = command_id


class BodyTooLarge(LedgerError):
    """An event above BODY_LIMIT_BYTES; nothing was recorded. Let the long part travel beside it, by its hash."""

    code = "body_too_large"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"单条记录 {size_bytes} 字节,超过 {BODY_LIMIT_BYTES} 字节,请缩短内容或改为附件",
            f"an event of {size_bytes} bytes exceeds {BODY_LIMIT_BYTES}; shorten it or attach the long part",
        )


class Busy(LedgerError):
    """The writer's queue is full; nothing was recorded. The same append may be sent again after `retry_s` seconds."""

    code = "busy"

    def __init__(self, retry_s: int) -> None:
        super().__init__(
            f"系统繁忙,请 {retry_s} 秒后重试", f"the node has too much waiting to be written; retry in {retry_s} s"
        )
        self.retry_s = retry_s


class LedgerUnavailable(LedgerError):
    """The database went away and it is not known whether this was recorded. Repeat it under the same command id.

    reason: the database's own words, for the operator's log and nobody else.
    """

    code = "ledger_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "数据库暂时不可用,本次操作是否已记录尚不确定,请用同一命令编号重试",
            "the database is not available and the outcome is unknown; repeat under the same command id",
        )
        self.reason = reason


class Fenced(LedgerError):
    """Another process has become this node's writer; this one writes no more. Stop it, and find out who runs twice."""

    code = "fenced"

    def __init__(self) -> None:
        super().__init__(
            "本节点已有另一个写入进程,本进程停止写入,请检查是否重复启动",
            "another process has become this node's writer; this one stops writing; check what was started twice",
        )


class WriterClosed(LedgerError):
    """The writer was not started or is stopping; nothing was recorded. Send it again when the node is back."""

    code = "writer_closed"

    def __init__(self) -> None:
        super().__init__("节点正在停止,请稍后重试", "the node is stopping; send it again when it is back")
