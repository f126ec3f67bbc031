"""Letters whose kind and addressee nobody may see: sealed to an organ's key and padded, so that all look alike.

A denunciation is sealed at entry, on whatever node (Art. 30, 46⑤ of the Regulations). Its leaf names no organ:
each organ tries its own keys on every such item (HPKE's X25519 ciphertexts show no recipient, RFC 9180 section 9).

What is sealed is wrapped a second time to the escrow above, as every data key of a case is, so that a dead organ takes
no letter with it. Both wraps look alike and lie inside the one size that all items have.

Items travel upward. One for an organ on another line is sealed to that organ first and then, as an `Onward`, to the
first superior of both, whose node finds there whom to send it down to, under which id, and nothing else. It sends it
as an item of its own, under an id of its own: whoever sees both cannot tell that they belong together.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.divisions import Division
from domain.errors import DomainError
from sync.sealed.sealing import DATA_KEY_BYTES, HPKE, RECIPIENT_KEY_BYTES, Random, SealBroken

ITEM_SIZES_BYTES = (64 * 1024, 512 * 1024)
"""What every item weighs when sealed. The forms' own limits fit the first; the second is for pasted documents."""

WRAP_BYTES: Final = 32 + 32 + 16  # encapsulated key, data key, tag

OVERHEAD_BYTES = 2 * WRAP_BYTES + 16 + 4  # the organ's and the escrow's wrap; tag, length

_NONCE: Final = bytes(12)  # each data key seals one item

_DOMAIN = b"huiyin-item/v0\0"

_ONWARD: Final = b"\0onward/v0\0"  # no form begins with a zero byte
_CODE_BYTES: Final = 12
_ID_BYTES: Final = 16

INNER_SIZES_BYTES = tuple(size - OVERHEAD_BYTES - len(_ONWARD) - _CODE_BYTES - _ID_BYTES for size in ITEM_SIZES_BYTES)
"""What an item weighs that is sealed once more on its way: the outer one then weighs what every item does."""


class ItemTooLong(DomainError):
    """The letter exceeds the largest size that sealed letters have. Send it in several letters."""

    code = "sealed_item_too_long"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"来信内容超过{limit_bytes // 1024} KiB，请分几次提交",
            f"the letter exceeds {limit_bytes // 1024} KiB; send it in several letters",
        )


class OrganKeyInvalid(DomainError):
    """The organ's certified key is no X25519 key, so nothing can be sealed to it. Take the letter there on paper."""

    code = "organ_key_invalid"

    def __init__(self) -> None:
        super().__init__(
            "管理该单位干部的机关目前无法接收密封来信，本次未发出、未保存；"
            "请直接向该机关反映（接待窗口、来信或12388举报电话）",
            "the organ that manages this office cannot receive sealed letters now, so nothing was sent or kept; turn "
            "to it directly: its window, by letter or telephone 12388",
        )


class Onward(NamedTuple):
    """What a superior finds in an item that is not for itself: the organ, and the item as sealed to that organ.

    item: its id, as its writer was told it.
    """

    to: Division
    item: UUID
    ciphertext: bytes

    def to_bytes(self) -> bytes:
        """As the payload of an item."""
        return _ONWARD + self.to.encode("ascii") + self.item.bytes + self.ciphertext


def read_onward(payload: bytes) -> Onward | None:
    """The Onward that a payload is; None for any other."""
    body = payload.removeprefix(_ONWARD)
    code, item = body[:_CODE_BYTES], body[_CODE_BYTES : _CODE_BYTES + _ID_BYTES]
    if body == payload or not (code.isdigit() and len(item) == _ID_BYTES):
        return None
    return Onward(Division(code.decode("ascii")), UUID(bytes=item), body[_CODE_BYTES + _ID_BYTES :])


def seal_item(
    organ_key: bytes,
    escrow_key: bytes | None,
    item: UUID,
    payload: bytes,
    sizes_bytes: Sequence[int] = ITEM_SIZES_BYTES,
    random: Random = os.urandom,
) -> bytes:
    """`payload` for the holders of `organ_key` and `escrow_key` (32 raw bytes each), bound to `item`.

    escrow_key: null where the tree has no escrow; nobody can tell. sizes_bytes: ascending, one and the same tuple in
    all places; the item weighs the next of them. random: another one in tests only. Raises ItemTooLong,
    OrganKeyInvalid.
    """
    size = next((size for size in sizes_bytes if len(payload) + OVERHEAD_BYTES <= size), None)
    if size is None:
        raise ItemTooLong(sizes_bytes[-1] - OVERHEAD_BYTES)
    data_key = random(DATA_KEY_BYTES)
    try:
        wraps = _wrap(data_key, organ_key, item) + _wrap(data_key, escrow_key or _nobody(random), item)
    except ValueError:
        raise OrganKeyInvalid from None
    padded = len(payload).to_bytes(4) + payload.ljust(size - OVERHEAD_BYTES, b"\0")
    return wraps + AESGCM(data_key).encrypt(_NONCE, padded, _DOMAIN + item.bytes + wraps)


def try_open_item(item: UUID, ciphertext: bytes, keys: Iterable[X25519PrivateKey]) -> bytes | None:
    """The payload, if one of these keys opens it; None where the item is for somebody else.

    keys: an organ's, or the escrow's joined from its two shares. Raises SealBroken where it is ours and is not what
    `seal_item` makes.
    """
    wraps, body = ciphertext[: 2 * WRAP_BYTES], ciphertext[2 * WRAP_BYTES :]
    for key in keys:
        for wrap in (wraps[:WRAP_BYTES], wraps[WRAP_BYTES:]):
            try:
                data_key = HPKE.decrypt(wrap, key, _DOMAIN + item.bytes)
            except InvalidTag:
                continue
            return _unpadded(_decrypted(data_key, body, _DOMAIN + item.bytes + wraps))
    return None


def _wrap(data_key: bytes, recipient: bytes, item: UUID) -> bytes:
    return HPKE.encrypt(data_key, X25519PublicKey.from_public_bytes(recipient), _DOMAIN + item.bytes)


def _nobody(random: Random) -> bytes:
    return X25519PrivateKey.from_private_bytes(random(RECIPIENT_KEY_BYTES)).public_key().public_bytes_raw()


def _decrypted(data_key: bytes, body: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(data_key).decrypt(_NONCE, body, bound)
    except InvalidTag:
        raise SealBroken("seal") from None


def _unpadded(padded: bytes) -> bytes:
    end = 4 + int.from_bytes(padded[:4])
    if len(padded) < end or padded[end:].strip(b"\0"):
        raise SealBroken("padding")
    return padded[4:end]
