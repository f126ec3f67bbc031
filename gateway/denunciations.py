"""Denunciations: sealed as they are typed to the organ that manages the official, and opened only on its desk."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from domain.commands import Text
from domain.divisions import Division, Topology, tier_of
from domain.errors import DomainError
from domain.events import Actor, EventId, SealedItem, StreamId, encode, tag_of
from domain.events import Unit as UnitCode
from domain.parts import node_of
from gateway.clock import Clock
from gateway.ids import uuid7
from sync.append import Append, Appended, NewEvent
from sync.custody_postgres import keep_parts
from sync.keys import RecipientKey
from sync.sealed_item import seal_item, try_open_item
from sync.sealing import Recipient, SealBroken, digest_text

_MANAGER_ABOVE = {"village": 2, "township": 1, "county": 1, "city": 0}
"""How many tiers above an official's own office the organ stands that manages them, in this hierarchy.

A village's officials are managed past their township, which they answer to every day (干部管理权限; design choice).
"""


class Denunciation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is typed. accused_unit: the office of the official; contact: how to reach the denouncer, may be empty."""

    accused_unit: UnitCode
    text: Text
    contact: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Letter(msgspec.Struct, frozen=True, tag="letter.v0"):
    form: Denunciation


class _ReadNote(msgspec.Struct, frozen=True, tag="read.v0"):
    item: UUID
    by: Actor
    at_us: int


_contents: msgspec.json.Decoder[_Letter | _ReadNote] = msgspec.json.Decoder(_Letter | _ReadNote)


class ItemUnreadable(DomainError):
    """The letter opens with this node's key, and what is in it is no denunciation. Ask whoever sent it."""

    code = "item_unreadable"

    def __init__(self) -> None:
        super().__init__(
            "密件已打开但内容格式无法识别，请与来件单位联系",
            "the letter opens, but what is in it is not understood; ask the office it came from",
            field="item",
        )


class ItemUnknown(DomainError):
    """No sealed letter of this desk has this id. Open the list again."""

    code = "item_unknown"

    def __init__(self) -> None:
        super().__init__(
            "没有该密件，请重新打开列表", "there is no such sealed letter; open the list again", field="item"
        )


class Waiting(NamedTuple):
    """A letter for this node's organ. received_us: when this node learned it."""

    item: UUID
    received_us: int


class Denunciations:
    """Safe for threads. Nothing here counts, searches or names whom letters are about."""

    def __init__(
        self,
        here: Division,
        clock: Clock,
        append: Callable[[Append], "Future[Appended]"],
        keys: tuple[RecipientKey, ...],
        topology: Callable[[], Topology],
        recipient: Callable[[Division], Recipient],
        connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
    ) -> None:
        """append: to the one writer. keys: this node's own, newest first. recipient: whom to seal for, by division."""
        self._here = here
        self._clock = clock
        self._append = append
        self._keys = keys
        self._topology = topology
        self._recipient = recipient
        self._connect = connect

    def file(self, form: Denunciation, actor: Actor, command_id: UUID) -> UUID:
        """Seal and record it; nothing of it stays in clear. Returns the item's id, the same for a repeated command."""
        organ = managing_organ(node_of(form.accused_unit), self._here, self._topology())
        return self._record(_Letter(form), organ, actor, command_id)

    def arrived(self, item: UUID, ciphertext: bytes, received_us: int) -> None:
        """Told of every sealed item that reaches this node: keeps the letters that are for its own organ."""
        payload = self._opened(item, ciphertext)
        if payload is None or isinstance(_content(payload), _ReadNote):
            return
        with self._connect() as conn:
            conn.execute(
                "insert into web.organ_item (item, received_us) values (%s, %s) on conflict do nothing",
                (item, received_us),
            )

    def waiting(self) -> list[Waiting]:
        """The letters of this organ's desk, oldest first, without a word of what they say."""
        with self._connect() as conn:
            rows = conn.execute("select item, received_us from web.organ_item order by received_us, item").fetchall()
        return [Waiting(item, received_us) for item, received_us in rows]

    def open(self, item: UUID, actor: Actor, command_id: UUID) -> Denunciation:
        """Read one. The reading is itself a sealed item of this organ, written before the letter is shown."""
        letter = _content(self._payload(item))
        if not isinstance(letter, _Letter):
            raise ItemUnreadable
        self._record(_ReadNote(item, actor, self._clock.now_us()), self._here, actor, command_id)
        return letter.form

    def _payload(self, item: UUID) -> bytes:
        with self._connect() as conn:
            row = conn.execute(
                "select beside.body from beside join ledger using (log_id, seq) where ledger.stream = %s"
                " and ledger.topic = %s and beside.part = 0 and exists (select from web.organ_item where item = %s)",
                (item, tag_of_item(), item),
            ).fetchone()
        payload = self._opened(item, bytes(row[0])) if row else None
        if payload is None:
            raise ItemUnknown
        return payload

    def _opened(self, item: UUID, ciphertext: bytes) -> bytes | None:
        """None for somebody else's; a spoiled one is empty, so that the desk sees that it came."""
        try:
            return try_open_item(item, ciphertext, (key.private for key in self._keys))
        except SealBroken:
            return b""

    def _record(self, content: "_Letter | _ReadNote", organ: Division, actor: Actor, command_id: UUID) -> UUID:
        now_us = self._clock.now_us()
        item = uuid7(now_us)
        ciphertext = seal_item(self._recipient(organ).key, item, msgspec.json.encode(content))
        event = SealedItem(
            id=EventId(uuid7(now_us)),
            stream=StreamId(item),
            version=1,
            case=None,
            node=self._here,
            actor=Actor(account=UUID(int=0), role="system", unit=actor.unit),
            occurred_us=now_us,
            recorded_us=now_us,
            cause=(),
            law=None,
            sealed=(),
            item=item,
            ciphertext=digest_text(ciphertext),
        )
        new = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
        beside = keep_parts(event.stream, event.version, [ciphertext])
        # The digest is of the command's id alone: a digest of the form would confirm a guess at what it says.
        appended = self._append(Append([new], command_id, command_id.bytes, item.bytes, beside)).result(60)
        return UUID(bytes=appended.result) if appended.repeated else item


def _content(payload: bytes) -> _Letter | _ReadNote | None:
    try:
        return _contents.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def tag_of_item() -> str:
    """The neutral tag that all sealed items share."""
    return str(SealedItem.__struct_config__.tag)


def managing_organ(accused: Division, here: Division, topology: Topology) -> Division:
    """To whom a denunciation of an official at `accused` is sealed when it is typed on the node `here`.

    The organ that manages the official, where it is this node or stands above it; else the first superior of both,
    whose confidential desk passes it on, because nothing sealed is ever sent down.
    """
    if accused == here and not topology.parents:
        return here  # a root that has enrolled nobody yet
    line = topology.path_up(accused)
    organ = line[min(_MANAGER_ABOVE[tier_of(accused)], len(line) - 1)]
    own = topology.path_up(here)
    if organ in own:
        return organ
    above = set(topology.path_up(organ))
    return next(step for step in own if step in above)
