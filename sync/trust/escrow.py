"""The escrow above: a key pair whose private half exists only as two shares, held by two persons.

Data keys are wrapped to the public half, so that a dead node takes no case with it. A share is one time pad or
its product (2 of 2, XOR): alone it tells nothing about the key.
"""

from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sync.sealed.sealing import Random, recipient_key_id
from sync.trust.keys import KeyFileMalformed, read_private, write_private

_PRIVATE_BYTES = 32


class SharesDoNotFit(Exception):
    """The two shares are not the two halves of one escrow key. Bring the other person's share of the same key."""

    def __init__(self) -> None:
        super().__init__(
            "两份密钥不是同一托管密钥的两半，请由另一人提供对应的一份 / "
            "these are not the two shares of one escrow key; bring the other person's share of the same key"
        )


class EscrowShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="escrow-share.v0"):
    """One person's half. holder: which of the two; key: base64 of the public half; share: 32 bytes, never printed."""

    holder: Literal["first", "second"]
    key: bytes
    share: bytes

    def __repr__(self) -> str:
        return f"EscrowShare(holder={self.holder!r}, key_id={recipient_key_id(self.key)!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("holder", self.holder), ("key_id", recipient_key_id(self.key))]


def new_escrow(random: Random) -> tuple[EscrowShare, EscrowShare]:
    """A new escrow key as its two shares; both carry the public half. The whole private half is kept nowhere."""
    private, pad = random(_PRIVATE_BYTES), random(_PRIVATE_BYTES)
    key = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return (
        EscrowShare(holder="first", key=key, share=pad),
        EscrowShare(holder="second", key=key, share=_xor(private, pad)),
    )


def join_shares(one: EscrowShare, other: EscrowShare) -> X25519PrivateKey:
    """The private half, in either order of shares. Use it at once and drop it. Raises SharesDoNotFit."""
    if {one.holder, other.holder} != {"first", "second"} or len(one.share) != len(other.share):
        raise SharesDoNotFit
    try:
        private = X25519PrivateKey.from_private_bytes(_xor(one.share, other.share))
    except ValueError:
        raise SharesDoNotFit from None
    if not one.key == other.key == private.public_key().public_bytes_raw():
        raise SharesDoNotFit
    return private


def write_share(path: Path, share: EscrowShare) -> None:
    """A new file, for its holder's eyes only, to be carried to another place. Raises KeyFileExists."""
    write_private(path, msgspec.json.encode(share) + b"\n")


def read_share(path: Path) -> EscrowShare:
    """Raises KeyFileMissing, KeyFileExposed, KeyFileMalformed."""
    content = read_private(path)
    try:
        return msgspec.json.decode(content, type=EscrowShare)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # refused outside the handler: a decoder's error carries the file
    raise KeyFileMalformed(path)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
