"""Sealing what people wrote: texts of one subject under one data key, bound to the event that speaks of them.

Here is cryptography only, no storage (see sync/sealed/custody). One data key serves one subject in one case. A sealed
part is `nonce (12 bytes), AES-256-GCM(JSON of {path: [salt, text]})`; what it authenticates along with the texts
is the event's id, the subject and every path with its commitment, so that no part can stand in for another
event's, another subject's or another path's. The commitments also give what GCM lacks: one part has one meaning.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from domain.divisions import Division
from domain.errors import DomainError
from domain.events import CaseId, EventId, Grant, Sealed
from sync.sealed.commitment import SALT_BYTES, Opening, is_opened_by

Random = Callable[[int], bytes]
"""Gives that many unpredictable bytes: `os.urandom` everywhere but in tests."""

Purpose = Literal["handle", "escrow", "access"]

DATA_KEY_BYTES = 32
RECIPIENT_KEY_BYTES = 32
MAX_SEALED_BYTES = 768 * 1024
"""One part beside an event; with a leaf of 64 KiB it still fits one record of a channel."""

HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
"""RFC 9180 in base mode: the encapsulated key (32 bytes), then the ciphertext."""

_NONCE_BYTES = 12
_SUBJECT_BYTES = 16
_TEXTS_DOMAIN = b"huiyin-sealed/v0\0"
_KEY_DOMAIN = b"huiyin-datakey/v0\0"
_RECIPIENT_DOMAIN = b"huiyin-recipient/v0\0"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, tuple[bytes, str]])


class TextsTooLong(DomainError):
    """The texts of one event are more than one sealed part holds. Shorten them, or split them into materials."""

    code = "texts_too_long"

    def __init__(self) -> None:
        super().__init__(
            f"本次填写的文字合计超过{MAX_SEALED_BYTES // 1024} KiB，请精简，或分次作为补充材料提交",
            f"the texts exceed {MAX_SEALED_BYTES // 1024} KiB together; shorten them or add them as materials",
        )


class TextNotUnicode(DomainError):
    """A text with half a character in it (a lone surrogate), which no UTF-8 can carry. Enter it again."""

    code = "text_not_unicode"

    def __init__(self, field: str) -> None:
        super().__init__(
            "文字中含有残缺字符，请重新输入该项",
            "the text holds half a character; enter it again",
            field=field,
        )


class SealBroken(Exception):
    """Bytes beside an event are not those that were sealed there: swapped, altered, or wrapped to another key.

    Never a user's mistake. Show the event's text as unreadable, record a fault, and fetch the part again from the
    event's author; where it stays broken it is evidence. what: which check failed first.
    """

    def __init__(self, what: Literal["digest", "seal", "commitment", "key", "padding"]) -> None:
        super().__init__(
            f"密封内容未通过校验（{what}），请向来源节点重新获取 / the sealed part fails its {what} check; "
            "fetch it again from its author"
        )
        self.what = what


class RandomBroken(Exception):
    """The source of randomness repeated itself. Stop sealing and repair the machine: no key made there is safe."""

    def __init__(self) -> None:
        super().__init__(
            "随机数源重复，请停用并检修本机 / the random source repeats itself; stop and repair the machine"
        )


class RecipientKeyInvalid(DomainError):
    """The public key of a custodian is no X25519 key, so it cannot be given the texts. Enrol it again with a good one.

    Refused at enrolment; a superior's own word for a node below it is all that others have.
    """

    code = "recipient_key_invalid"

    def __init__(self, custodian: Division) -> None:
        super().__init__(
            f"{custodian}的收件公钥无效，无法向其移交密封内容，本次操作未记录；请联系其上级机关重新登记该节点后再办理",
            f"the recipient key of {custodian} is invalid, so the sealed texts cannot be given to it and nothing was "
            "recorded; have its superior enrol that node again, then repeat this",
        )
        self.custodian = custodian


class Recipient(msgspec.Struct, frozen=True):
    """Whom a data key is wrapped to: a node's advertised X25519 public key (32 raw bytes), or an escrow's."""

    division: Division
    key: bytes

    @property
    def key_id(self) -> str:
        """The key's own id, so that no certificate can name another one."""
        return recipient_key_id(self.key)


class RecipientKey(msgspec.Struct, frozen=True):
    """One private key that data keys are wrapped to. number: 1, 2, ... in order of rotation."""

    number: int
    private: X25519PrivateKey

    @property
    def public(self) -> bytes:
        """What the node advertises: 32 raw bytes."""
        return self.private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        """The id that grants name."""
        return recipient_key_id(self.public)


class DataKey:
    """The secret of one subject in one case. It is never printed, compared, encoded or pickled."""

    __slots__ = ("_secret", "case", "subject")

    def __init__(self, case: CaseId, subject: str, secret: bytes) -> None:
        """subject: 128 bits in hex. secret: 32 bytes. ValueError on other lengths."""
        if len(secret) != DATA_KEY_BYTES or len(bytes.fromhex(subject)) != _SUBJECT_BYTES:
            raise ValueError("a data key has 32 bytes, its subject 16 in hex")
        self.case = case
        self.subject = subject
        self._secret = secret

    def __repr__(self) -> str:
        return "DataKey(secret)"

    def __reduce__(self) -> str:
        raise TypeError("a data key is not pickled; wrap it")

    @classmethod
    def fresh(cls, case: CaseId, subject: str, random: Random) -> "DataKey":
        """A new key for a subject that has none yet."""
        return cls(case, subject, random(DATA_KEY_BYTES))

    def encrypt(self, plaintext: bytes, bound: bytes, random: Random) -> bytes:
        """nonce || AES-256-GCM(plaintext), authenticated with `bound`."""
        nonce = random(_NONCE_BYTES)
        return nonce + AESGCM(self._secret).encrypt(nonce, plaintext, bound)

    def decrypt(self, part: bytes, bound: bytes) -> bytes:
        """What `encrypt` sealed with the same `bound`; SealBroken otherwise."""
        try:
            return AESGCM(self._secret).decrypt(part[:_NONCE_BYTES], part[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise SealBroken("seal") from None

    def wrap(self, recipient: Recipient) -> bytes:
        """The key for `recipient` alone: HPKE, bound to case, subject, custodian and recipient key; 80 bytes.

        Raises RecipientKeyInvalid.
        """
        info = _wrap_info(self.case, self.subject, recipient.division, recipient.key_id)
        try:
            return HPKE.encrypt(self._secret, X25519PublicKey.from_public_bytes(recipient.key), info)
        except ValueError:
            raise RecipientKeyInvalid(recipient.division) from None

    @classmethod
    def unwrap(
        cls, wrapped: bytes, private: X25519PrivateKey, case: CaseId, subject: str, custodian: Division
    ) -> "DataKey":
        """The key that was wrapped to `custodian` under this private key; SealBroken where any of it differs."""
        key_id = recipient_key_id(private.public_key().public_bytes_raw())
        try:
            secret = HPKE.decrypt(wrapped, private, _wrap_info(case, subject, custodian, key_id))
            return cls(case, subject, secret)
        except (InvalidTag, ValueError):
            raise SealBroken("key") from None


class Wrapped(msgspec.Struct, frozen=True):
    """What a `key.granted.v0` says and what travels beside it: part i is the data key wrapped to grant i."""

    subject: str
    grants: tuple[Grant, ...]
    parts: tuple[bytes, ...]


def is_usable(key: bytes) -> bool:
    """Whether anything can be wrapped to this public key: some points of the curve give everybody the same secret."""
    try:
        HPKE.encrypt(b"", X25519PublicKey.from_public_bytes(key), _RECIPIENT_DOMAIN)
    except ValueError:
        return False
    return True


def recipient_key_id(key: bytes) -> str:
    """The id of an X25519 public key: 128 bits of its SHA-256, in hex."""
    return hashlib.sha256(_RECIPIENT_DOMAIN + key).hexdigest()[:32]


def grant_key(key: DataKey, holders: Sequence[tuple[Recipient, Purpose]]) -> Wrapped:
    """The data key wrapped to each of `holders` in order: the node itself, whom it hands over to, the escrow."""
    parts = tuple(key.wrap(recipient) for recipient, _ in holders)
    grants = tuple(
        Grant(
            custodian=recipient.division,
            recipient_key=recipient.key_id,
            wrapped=digest_text(part),
            purpose=purpose,
        )
        for (recipient, purpose), part in zip(holders, parts, strict=True)
    )
    return Wrapped(key.subject, grants, parts)


def seal_texts(key: DataKey, event: EventId, texts: Mapping[str, str], random: Random) -> tuple[Sealed, bytes]:
    """The commitments that go into the event and the sealed part that goes beside it.

    texts: path -> text. Every text gets a salt of its own, so equal texts show no likeness. Raises TextNotUnicode,
    TextsTooLong, RandomBroken; nothing of a text stands in any of them.
    """
    _check_unicode(texts)
    openings = [Opening(path, random(SALT_BYTES), texts[path]) for path in sorted(texts)]
    if len({opening.salt for opening in openings}) != len(openings):
        raise RandomBroken
    fields = {opening.path: opening.commitment() for opening in openings}
    plaintext = _encoder.encode({opening.path: (opening.salt, opening.value) for opening in openings})
    part = key.encrypt(plaintext, _bound(event, key.subject, fields), random)
    if len(part) > MAX_SEALED_BYTES:
        raise TextsTooLong
    return Sealed(subject=key.subject, fields=fields, ciphertext=digest_text(part)), part


def open_texts(key: DataKey, event: EventId, sealed: Sealed, part: bytes) -> list[Opening]:
    """Every text of a sealed part with its salt, in order of path: to show, and for the citizen's receipt.

    Checks the part's digest, its seal and every commitment; raises SealBroken where one fails.
    """
    if digest_text(part) != sealed.ciphertext:
        raise SealBroken("digest")
    found = _texts_in(key.decrypt(part, _bound(event, sealed.subject, sealed.fields)))
    if found.keys() != sealed.fields.keys():
        raise SealBroken("commitment")
    openings = [Opening(path, *found[path]) for path in sorted(found)]
    if not all(is_opened_by(sealed.fields[opening.path], opening) for opening in openings):
        raise SealBroken("commitment")
    return openings


def digest_text(part: bytes) -> str:
    """What an event says of bytes that travel beside it: base64 of their SHA-256."""
    return base64.b64encode(hashlib.sha256(part).digest()).decode()


def _texts_in(plaintext: bytes) -> dict[str, tuple[bytes, str]]:
    try:
        return _decoder.decode(plaintext)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}  # the caller refuses it outside this handler: a decoder's error carries the plaintext


def _check_unicode(texts: Mapping[str, str]) -> None:
    for path, text in texts.items():
        if not _is_unicode(text):  # raised outside the handler: the codec's error would carry the whole text
            raise TextNotUnicode(path)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bound(event: EventId, subject: str, fields: Mapping[str, str]) -> bytes:
    pairs = (_counted(path, fields[path]) for path in sorted(fields))
    return _TEXTS_DOMAIN + event.bytes + _counted(subject) + b"".join(pairs)


def _wrap_info(case: CaseId, subject: str, custodian: Division, key_id: str) -> bytes:
    return _KEY_DOMAIN + case.bytes + _counted(subject, custodian, key_id)


def _counted(*texts: str) -> bytes:
    """Each text after its length, so that no two lists of texts give the same bytes."""
    return b"".join(len(raw).to_bytes(4) + raw for raw in (text.encode() for text in texts))
