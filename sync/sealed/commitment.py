"""The salted hash that stands in an event for what a person wrote, and how it is opened."""

import base64
from hashlib import sha256

import msgspec

SALT_BYTES = 32
MAX_PATH_BYTES = 0xFFFF

_DOMAIN = b"huiyin-field/v0\0"


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text with what proves it: the citizen's own part of a receipt. Holds plaintext, so it never prints it.

    path: where the text stands in its event, such as `body`. salt: 32 bytes, base64 in JSON. value: the text.
    """

    path: str
    salt: bytes
    value: str

    def __repr__(self) -> str:
        return f"Opening(path={self.path!r}, sealed)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("path", self.path)]

    def commitment(self) -> str:
        """What an event's `sealed.fields` says of this text: 44 characters of base64. ValueError as `commit`."""
        return base64.b64encode(commit(self.salt, self.path, self.value.encode())).decode()


def commit(salt: bytes, path: str, value: bytes) -> bytes:
    """SHA-256 over domain, salt, length of path, path and value: 32 bytes that hide the value and bind it to its path.

    salt: 32 bytes of chance, never used twice; without it, an ID number would be found by trial in seconds.
    path: where the value stands in the sealed text, at most 65,535 bytes of UTF-8. value: the text itself in UTF-8,
    not its JSON. ValueError where salt or path have another length.
    """
    encoded = path.encode()
    if len(salt) != SALT_BYTES or len(encoded) > MAX_PATH_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes and a path at most {MAX_PATH_BYTES}")
    return sha256(_DOMAIN + salt + len(encoded).to_bytes(2, "big") + encoded + value).digest()


def is_opened_by(commitment: str, opening: Opening) -> bool:
    """Whether `opening` is what was committed to; False, too, for a salt that is none."""
    return len(opening.salt) == SALT_BYTES and opening.commitment() == commitment
