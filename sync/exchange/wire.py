"""What travels between two nodes: frames of a log upward, signed letters both ways, and how large they may be.

Every record is msgpack of one tagged Struct. A frame needs no signature of its own: its author's checkpoint covers
it, whoever carried it. Everything else is a letter, signed by the node that speaks. The golden bytes of each shape
stand in `tests/golden`; a change of any field is a new tag.
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from domain.bounds import Origin, Size, StatementText
from domain.events import MAX_LEAF_BYTES

MAX_RECORD_BYTES = 980 * 1024
"""What a channel must carry in one record; Kafka's default broker limit is 1 MiB."""

FRAME_ENTRIES = 500
"""At most so many leaves stand in a frame, and so between two checkpoints of a log."""

FRAME_BYTES = 512 * 1024
"""Entries and beside parts of a frame or of a downward letter; a single larger event travels alone."""

MAX_EVENT_BYTES = 850 * 1024
"""One leaf with all that travels beside it. Whoever writes an event must refuse a larger one."""

ADDRESSEES = 64
"""At most so many divisions one enclosure is for; one for more goes down several times."""

EDITION = 4
"""Counts what this program can read: raised with every event tag, letter or item kind that joins. A child says it, so
that its parent can tell what it must not be sent yet (`tests/golden/editions.txt`)."""

_T = TypeVar("_T")

_LETTER_DOMAIN = b"huiyin-letter/v0\0"

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Note = Annotated[str, Meta(max_length=8_192)]
LeafBytes = Annotated[bytes, Meta(max_length=MAX_LEAF_BYTES)]
DivisionCode = Annotated[str, Meta(pattern=r"\A[0-9]{12}\Z")]


class ItemUnknown(ValueError):
    """An item of a kind that joined after this program was made. The receiver keeps it until it is upgraded."""


class WireInvalid(ValueError):
    """Bytes that are no record of this protocol. The receiver counts them as a fault of the lane and goes on."""


class Beside(msgspec.Struct, frozen=True, array_like=True):
    """What belongs to leaf `seq` of the same log without standing in it: a ciphertext, a wrapped key, by part."""

    seq: Size
    part: Annotated[int, Meta(ge=0, lt=32_768)]
    body: Annotated[bytes, Meta(max_length=MAX_EVENT_BYTES)]


Parts = Annotated[list[Beside], Meta(max_length=65_536)]


class Frame(msgspec.Struct, frozen=True, tag="frame.v0", tag_field="type"):
    """Leaves `first`, `first` + 1 … of one log, verbatim, ending exactly at the size its author's checkpoint names.

    checkpoint: C2SP signed note by the author. beside: parts of these leaves, any of which may be missing.
    """

    log: Origin
    first: Size
    checkpoint: Note
    entries: Annotated[list[LeafBytes], Meta(min_length=1, max_length=FRAME_ENTRIES)]
    beside: Parts


# --- upward -------------------------------------------------------------------------------------------------------


class Acknowledge(msgspec.Struct, frozen=True, tag="acknowledge.v0", tag_field="type"):
    """The child has stored everything of its downward sequence up to here. knows: its EDITION."""

    down_seq: Size
    knows: Annotated[int, Meta(ge=0, lt=2**31)]


class AskDown(msgspec.Struct, frozen=True, tag="ask_down.v0", tag_field="type"):
    """The child misses its downward sequence from this number on."""

    from_seq: Size


class AskHeld(msgspec.Struct, frozen=True, tag="ask_held.v0", tag_field="type"):
    """Before its first write a node asks what its parent holds of its log. nonce: repeated in the answer."""

    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]


class AskReturn(msgspec.Struct, frozen=True, tag="ask_return.v0", tag_field="type"):
    """A node that lost its disk, certified for another shard, wants back all that its parent holds of it and of those
    below it. nonce: repeated in the answer; another one begins anew."""

    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]


Up = Acknowledge | AskDown | AskHeld | AskReturn


# --- downward -----------------------------------------------------------------------------------------------------


class Cosigned(msgspec.Struct, frozen=True, tag="cosigned.v0", tag_field="type"):
    """An ancestor has verified and stored `log` up to `size`. line: its C2SP cosignature/v1 note signature line."""

    log: Origin
    size: Size
    root: Hash
    line: Note


class Introduction(msgspec.Struct, frozen=True, tag="introduction.v0", tag_field="type"):
    """Certificates, superior first: of those whom the same letter encloses, or of whoever was enrolled anywhere.

    Revocations stand among them.
    """

    certificates: Annotated[list[StatementText], Meta(max_length=2_000)]


class Enclosure(msgspec.Struct, frozen=True, tag="enclosure.v0", tag_field="type"):
    """One leaf of another node's log for the divisions `to`, provable without that log.

    proof: RFC 6962 inclusion path of leaf `seq`, lowest sibling first, in the tree that `checkpoint` signs.
    """

    to: Annotated[list[DivisionCode], Meta(min_length=1, max_length=ADDRESSEES)]
    log: Origin
    seq: Size
    body: LeafBytes
    proof: Annotated[list[Hash], Meta(max_length=63)]
    checkpoint: Note
    beside: Parts


class AskRange(msgspec.Struct, frozen=True, tag="ask_range.v0", tag_field="type"):
    """The parent wants `log` again from leaf `from_seq` on; it lifts an earlier refusal."""

    log: Origin
    from_seq: Size


class Refused(msgspec.Struct, frozen=True, tag="refused.v0", tag_field="type"):
    """The parent takes no more of `log` beyond `size`, for a reason that sending again does not heal."""

    log: Origin
    size: Size
    reason: Annotated[str, Meta(max_length=64)]


class Held(msgspec.Struct, frozen=True, tag="held.v0", tag_field="type"):
    """The answer to AskHeld: the largest signed size of the asker's log that the parent knows, stored or waiting.

    checkpoint: as the asker signed it; empty for size 0.
    """

    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    log: Origin
    size: Size
    checkpoint: Note


class Returned(msgspec.Struct, frozen=True, tag="returned.v0", tag_field="type"):
    """A frame as the parent was sent it, of the child's own log or of one below it, given back after a lost disk."""

    log: Origin
    first: Size
    checkpoint: Note
    entries: Annotated[list[LeafBytes], Meta(min_length=1, max_length=FRAME_ENTRIES)]
    beside: Parts


class ReturnedAll(msgspec.Struct, frozen=True, tag="returned_all.v0", tag_field="type"):
    """All is given back that was asked for with `nonce`. log, size: the child's last shard, and where it has ended."""

    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    log: Origin
    size: Size


Item = Cosigned | Introduction | Enclosure | AskRange | Refused | Held | Returned | ReturnedAll


class Down(msgspec.Struct, frozen=True, tag="down.v0", tag_field="type"):
    """Number `seq` of what one parent says to one child.

    after: the number before it that the parent can still give; anything but `seq` - 1 owns up to a loss. items: each
    an Item, encoded, and read by itself: one of a kind that is not known here is no reason to miss the others.
    """

    seq: Annotated[int, Meta(ge=1, le=2**62)]
    after: Size
    items: Annotated[list[msgspec.Raw], Meta(max_length=1_000)]


class Letter(msgspec.Struct, frozen=True, tag="letter.v0", tag_field="type", omit_defaults=True):
    """A body that `sender` said to `to`. signature: Ed25519 by the sender's log key over `signed_bytes(to, body)`.

    papers: the sender's certificates, superiors first, where it has had other keys: they prove themselves, and who was
    away while the keys were changed learns the new ones by them.
    """

    sender: DivisionCode
    to: DivisionCode
    body: Annotated[bytes, Meta(max_length=MAX_RECORD_BYTES)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    papers: Annotated[list[StatementText], Meta(max_length=1_000)] = []


Record = Frame | Letter

_encoder = msgspec.msgpack.Encoder()
_records: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_ups: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)
_downs: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_item: msgspec.msgpack.Decoder[Item] = msgspec.msgpack.Decoder(Item)
_items: msgspec.msgpack.Decoder[list[msgspec.Raw]] = msgspec.msgpack.Decoder(list[msgspec.Raw])


class _Kind(msgspec.Struct):
    type: Annotated[str, Meta(pattern=r"\A[a-z0-9_.]{1,64}\Z")]


_kind: msgspec.msgpack.Decoder[_Kind] = msgspec.msgpack.Decoder(_Kind)
_KINDS = frozenset(str(shape.__struct_config__.tag) for shape in Item.__args__)


def encode(message: Record | Up | Down | Item | list[Item]) -> bytes:
    """The bytes of a record, of a letter's body, or of a row of kept items."""
    return _encoder.encode(message)


def decode_record(data: bytes) -> Record:
    """The frame or letter in foreign bytes; WireInvalid."""
    if len(data) > MAX_RECORD_BYTES:
        raise WireInvalid(f"a record is at most {MAX_RECORD_BYTES} bytes, this one has {len(data)}")
    return _decode(_records, data)


def decode_up(body: bytes) -> Up:
    """What a child says in a letter whose signature holds; WireInvalid."""
    return _decode(_ups, body)


def decode_down(body: bytes) -> Down:
    """What a parent says in a letter whose signature holds; WireInvalid."""
    return _decode(_downs, body)


def decode_item(data: msgspec.Raw | bytes) -> Item:
    """One item of a downward letter; ItemUnknown, WireInvalid."""
    try:
        return _decode(_item, data)
    except WireInvalid:
        kind = _decode(_kind, data).type
        if kind in _KINDS:
            raise
        raise ItemUnknown(f"{kind} is of a newer version") from None


def items_of(data: bytes) -> list[msgspec.Raw]:
    """Items that this node wrote into its own table of letters to come."""
    return _decode(_items, data)


def encode_items(items: Sequence[Item]) -> list[msgspec.Raw]:
    """The items of a downward letter."""
    return [msgspec.Raw(_encoder.encode(item)) for item in items]


def signed_bytes(to: str, body: bytes) -> bytes:
    """What a letter's signature covers: it is for one reader and can be taken for nothing else."""
    return _LETTER_DOMAIN + to.encode() + b"\0" + body


def _decode(decoder: "msgspec.msgpack.Decoder[_T]", data: msgspec.Raw | bytes) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WireInvalid(f"no record of this protocol: {error}") from error
