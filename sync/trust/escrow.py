"""The escrow above: a key pair whose private half exists only as two shares, held by two persons.

Data keys are wrapped to the public half, so that a dead node takes no case with it. A share is one time pad or
its product (2 of 2, XOR): alone it tells nothing about the key.
"""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from sync.sealed.sealing import Random, recipient_key_id
from sync.trust.keys import KeyFileMalformed, read_private, write_private

_PRIVATE_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12


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


class PassphraseWrong(Exception):
    """The passphrase does not open this share. Type the one that its holder has chosen."""

    def __init__(self) -> None:
        super().__init__("口令不对，份额未打开 / the passphrase does not open the share; type its holder's")


class LockedShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="escrow-share-locked.v0"):
    """A share under its holder's passphrase: Argon2id (RFC 9106: 3 passes, 4 lanes), AES-256-GCM, the nonce first."""

    holder: Literal["first", "second"]
    key: bytes
    salt: bytes
    memory_kib: Annotated[int, msgspec.Meta(ge=32, le=1 << 20)]
    sealed: bytes


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


def lock_share(path: Path, share: EscrowShare, passphrase: str, random: Random, memory_kib: int = 64 * 1024) -> None:
    """A new file that only the holder's passphrase opens. memory_kib: what a guess costs. Raises KeyFileExists."""
    salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
    key = _passphrase_key(passphrase, salt, memory_kib)
    sealed = nonce + AESGCM(key).encrypt(nonce, share.share, _about(share.holder, share.key))
    locked = LockedShare(holder=share.holder, key=share.key, salt=salt, memory_kib=memory_kib, sealed=sealed)
    write_private(path, msgspec.json.encode(locked) + b"\n")


def read_share(path: Path, passphrase: Callable[[], str] | None = None) -> EscrowShare:
    """passphrase: asked for where the share is locked.

    Raises KeyFileMissing, KeyFileExposed, KeyFileMalformed, PassphraseWrong.
    """
    content = read_private(path)
    try:
        found = msgspec.json.decode(content, type=EscrowShare | LockedShare)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None  # refused outside the handler: a decoder's error carries the file
    if found is None or (isinstance(found, LockedShare) and passphrase is None):
        raise KeyFileMalformed(path)
    if isinstance(found, EscrowShare) or passphrase is None:
        return found
    return _unlocked(found, passphrase())


def _unlocked(locked: LockedShare, passphrase: str) -> EscrowShare:
    key = _passphrase_key(passphrase, locked.salt, locked.memory_kib)
    nonce, sealed = locked.sealed[:_NONCE_BYTES], locked.sealed[_NONCE_BYTES:]
    try:
        share = AESGCM(key).decrypt(nonce, sealed, _about(locked.holder, locked.key))
    except (InvalidTag, ValueError):
        raise PassphraseWrong from None
    return EscrowShare(holder=locked.holder, key=locked.key, share=share)


def _passphrase_key(passphrase: str, salt: bytes, memory_kib: int) -> bytes:
    # The same words typed on another machine may come composed in another way: RFC 8265 section 4.2 takes NFC.
    words = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=memory_kib).derive(words)


def _about(holder: str, key: bytes) -> bytes:
    return b"huiyin-escrow-share/v0\0" + holder.encode() + b"\0" + key


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
