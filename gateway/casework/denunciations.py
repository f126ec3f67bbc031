"""Denunciations: sealed as they are typed to the organ that manages the official, and opened only on its desk."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import msgspec

from domain.commands import Text
from domain.context import Envelope
from domain.divisions import Division, DivisionUnknown, Topology
from domain.errors import DomainError
from domain.events import Actor, SealedItem, decode, encode, tag_of
from domain.events import Unit as UnitCode
from domain.managing import first_stop, managing_organ
from domain.parts import node_of
from gateway.casework.journal import Journal
from gateway.casework.store import CaseworkStore, Leaf, Letter
from gateway.hosting.ids import Ids
from sync.exchange.acts import ForOrganBelow
from sync.ledger.append import Act, Append, NewEvent
from sync.sealed.acts import PartsBeside
from sync.sealed.sealed_item import INNER_SIZES_BYTES, ITEM_SIZES_BYTES, Onward, read_onward, seal_item, try_open_item
from sync.sealed.sealing import Random, Recipient, RecipientKey, SealBroken, digest_text
from sync.trust.keys import CommandId

_WAIT_S: Final = 60.0


class Denunciation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is typed. accused_unit: the office of the official; contact: how to reach the denouncer, may be empty."""

    accused_unit: UnitCode
    text: Annotated[Text, msgspec.Meta(pattern=r"\S")]
    contact: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Letter(msgspec.Struct, frozen=True, tag="letter.v0"):
    form: Denunciation


class _ReadNote(msgspec.Struct, frozen=True, tag="read.v0"):
    item: UUID
    by: Actor
    at_us: int


class _Nothing(msgspec.Struct, frozen=True, tag="nothing.v0"):
    """What a decoy says to the organ that it is addressed to."""


_Content = _Letter | _ReadNote | _Nothing
_contents: msgspec.json.Decoder[_Content] = msgspec.json.Decoder(_Content)


class ItemUnreadable(DomainError):
    """The letter opens with this node's key, and what is in it is no denunciation. Ask whoever sent it."""

    code = "item_unreadable"

    def __init__(self) -> None:
        super().__init__(
            "密件已打开但内容格式无法识别，请与来件单位联系",
            "the letter opens, but what is in it is not understood; ask the office it came from",
            field="item",
        )


class OfficeUnknown(DomainError):
    """The office is of no node that is known here, so nobody knows who manages its officials. Nothing is kept."""

    code = "office_unknown"

    def __init__(self) -> None:
        super().__init__(
            "没有找到您填写的被反映单位，本次未发出、未保存；请在名单中重新选择，"
            "名单中没有的，请直接向纪检监察机关反映（接待窗口、来信或12388举报电话）",
            "the office you named was not found, so nothing was sent or kept; choose it from the list again, or where "
            "it is not on it turn to the discipline inspection and supervision organ: its window, by letter or "
            "telephone 12388",
            field="accused_unit",
        )


class ItemUnknown(DomainError):
    """No sealed letter of this desk has this id. Open the list again."""

    code = "item_unknown"

    def __init__(self) -> None:
        super().__init__(
            "没有该密件，请重新打开列表", "there is no such sealed letter; open the list again", field="item"
        )


class _Opened(NamedTuple):
    """What an item says, and under which id its writer was told to quote it."""

    item: UUID
    payload: bytes


class Denunciations:
    """Safe for threads. Nothing here counts, searches or names whom letters are about."""

    def __init__(
        self,
        here: Division,
        ids: Ids,
        envelope: Callable[[int], Envelope],
        journal: Journal,
        keys: tuple[RecipientKey, ...],
        topology: Callable[[], Topology],
        recipient: Callable[[Division], Recipient],
        escrow: Recipient | None,
        store: CaseworkStore,
        random: Random,
    ) -> None:
        """envelope: of an event that the node records about itself at a moment. keys: this node's own, newest first.

        recipient: whom to seal for, by division. escrow: to whom each item is sealed as well. random: `os.urandom`.
        """
        self._here = here
        self._ids = ids
        self._envelope = envelope
        self._journal = journal
        self._keys = keys
        self._topology = topology
        self._recipient = recipient
        self._escrow = escrow.key if escrow else None
        self._store = store
        self._random = random

    def file(self, form: Denunciation, key: UUID) -> UUID:
        """Seal and record it; nothing of it stays in clear. Returns the item's id, the same for one sent again.

        key: the visitor's. Raises ManagedAbove, OfficeUnknown, OrganKeyInvalid, ItemTooLong; CommandReused where
        another letter was sent under it.
        """
        return self._send(node_of(form.accused_unit), _Letter(form), key)

    def send_nothing(self, about: Division) -> None:
        """A decoy: on its way the very same as a letter about an official there, and shown to nobody. Raises as `file`.

        Its command, too, is like a visitor's, under a key that nobody has.
        """
        self._send(about, _Nothing(), UUID(bytes=self._random(16), version=4))

    def _send(self, about: Division, content: "_Content", key: UUID) -> UUID:
        topology, payload = self._topology(), msgspec.json.encode(content)
        try:
            organ = managing_organ(about, topology)
            stop = first_stop(organ, self._here, topology)
        except DivisionUnknown:
            raise OfficeUnknown from None

        def seal(item: UUID) -> bytes:
            if stop in (organ, self._here):
                return self._sealed(organ, item, payload)
            inner = self._sealed(organ, item, payload, INNER_SIZES_BYTES)
            return self._sealed(stop, item, Onward(organ, item, inner).to_bytes())

        sent_down = organ if stop == self._here != organ else None
        return self._record(seal, payload, self._journal.of_visitor(key), to=sent_down)

    def arrived(self, leaf: Leaf, item: UUID, ciphertext: bytes, received_us: int) -> None:
        """Told of every sealed item that reaches this node: keeps the letters that are for its own organ.

        What is for an organ below is passed on to it, unread: each leaf once, however often it is offered. Raises
        OrganKeyInvalid, ItemTooLong, RecipientUnknown where that cannot be done.
        """
        opened = self._opened(item, ciphertext)
        if opened is None or isinstance(_content(opened.payload), _ReadNote | _Nothing):
            return
        onward = read_onward(opened.payload)
        if onward is not None and self._is_below(onward.to):
            self._pass_on(leaf, onward)
            return
        self._store.keep_letter(Letter(leaf, opened.item, received_us))

    def waiting(self) -> list[Letter]:
        """The letters of this organ's desk, oldest first, without a word of what they say."""
        return self._store.letters()

    def open(self, leaf: Leaf, actor: Actor) -> Denunciation:
        """Read one. The reading is itself a sealed item of this organ, written before the letter is shown.

        Raises ItemUnknown, ItemUnreadable, ClockInDoubt.
        """
        held = self._held(leaf)
        letter = _content(held.payload)
        if not isinstance(letter, _Letter):
            raise ItemUnreadable
        note = msgspec.json.encode(_ReadNote(held.item, actor, self._journal.sure_us()))
        self._record(lambda id_: self._sealed(self._here, id_, note), note)
        return letter.form

    def _held(self, leaf: Leaf) -> "_Opened":
        kept = self._store.letter(leaf)
        event = decode(kept[0]) if kept else None
        opened = self._opened(event.item, kept[1]) if kept and isinstance(event, SealedItem) else None
        if opened is None:
            raise ItemUnknown
        return opened

    def _opened(self, item: UUID, ciphertext: bytes) -> "_Opened | None":
        """None for somebody else's; a spoiled one is empty, so that the desk sees that it came."""
        private = [key.private for key in self._keys]
        try:
            payload = try_open_item(item, ciphertext, private)
            onward = read_onward(payload) if payload else None
            if onward is not None and onward.to == self._here:
                item = onward.item
                payload = try_open_item(item, onward.ciphertext, private) or b""
        except SealBroken:
            payload = b""
        return None if payload is None else _Opened(item, payload)

    def _is_below(self, organ: Division) -> bool:
        try:
            return self._topology().is_below(organ, self._here)
        except DivisionUnknown:
            return False

    def _pass_on(self, leaf: Leaf, onward: Onward) -> None:
        """As an item of this node like every other, under an id of its own."""
        payload = onward.to_bytes()
        act = self._journal.of_node(f"pass_on/{leaf.log_id}/{leaf.seq}")
        self._record(lambda id_: self._sealed(onward.to, id_, payload), payload, act, to=onward.to)

    def _sealed(self, to: Division, item: UUID, payload: bytes, sizes_bytes: Sequence[int] = ITEM_SIZES_BYTES) -> bytes:
        return seal_item(self._recipient(to).key, self._escrow, item, payload, sizes_bytes, self._random)

    def _record(
        self,
        seal: Callable[[UUID], bytes],
        said: bytes,
        command_id: CommandId | None = None,
        *,
        to: Division | None = None,
    ) -> UUID:
        """said: what makes a repeated command the same. to: an organ below, if so. Returns the item's id."""
        digest = self._journal.digest(command_id, said) if command_id else b""
        with self._journal.turn() as turn:
            item = self._ids.fresh(turn.now_us)
            ciphertext = seal(item)
            # The same for letter, note, decoy and passing on: not even the office of whoever acts is told.
            event = SealedItem(**self._envelope(turn.now_us), item=item, ciphertext=digest_text(ciphertext))
            beside: list[Act] = [PartsBeside(event.stream, event.version, [ciphertext])]
            if to is not None:
                beside.append(ForOrganBelow(event.stream, to))
            new = NewEvent(event.stream, event.version, tag_of(event), None, encode(event))
            future = turn.append(Append([new], command_id, digest, item.bytes, beside))
        appended = future.result(_WAIT_S)
        return UUID(bytes=appended.result) if appended.repeated else item


def _content(payload: bytes) -> _Content | None:
    try:
        return _contents.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
