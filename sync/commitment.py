"""What an event says of a sealed text: a salted hash that gives nothing away and that an opening proves."""

import base64
import hashlib
import hmac

import msgspec

SALT_BYTES = 32
MAX_PATH_BYTES = 65_535

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


def commit(salt: bytes, path: str, value: str) -> bytes:
    """SHA-256("huiyin-field/v0" NUL, salt, u16 length of path, path, value): 32 bytes; both texts in UTF-8.

    salt: 32 random bytes, fresh for every text: without it the ID numbers of a county fall in seconds to a list
    of guesses. Raises ValueError on a salt or a path of another length than the format holds.
    """
    name = path.encode()
    if len(salt) != SALT_BYTES or len(name) > MAX_PATH_BYTES:
        raise ValueError(f"salt of {SALT_BYTES} bytes and a path of at most {MAX_PATH_BYTES} are expected")
    return hashlib.sha256(_DOMAIN + salt + len(name).to_bytes(2) + name + value.encode()).digest()


def commitment_text(opening: Opening) -> str:
    """The commitment as it stands in an event's `sealed.fields`: 44 characters of base64."""
    return base64.b64encode(commit(opening.salt, opening.path, opening.value)).decode()


def is_opened_by(commitment: str, opening: Opening) -> bool:
    """Whether `opening` is what was committed to; False too for a salt of a wrong length."""
    if len(opening.salt) != SALT_BYTES:
        return False
    return hmac.compare_digest(commitment.encode(), commitment_text(opening).encode())
