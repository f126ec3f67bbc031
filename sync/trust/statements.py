"""The signed texts that trust rests on: what a request, a certificate and a revocation say, signed and read back.

Each is a C2SP signed note whose text is one line that names its kind, then one line of JSON. A request is signed by the
key that it asks for, and by the one in force where another is to follow it; a certificate or a revocation by the
superior's log key, or by the root's. Certificates and revocations of a division are counted together.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from domain.bounds import STATEMENT_CHARS
from domain.divisions import Division, Tier, division
from domain.errors import DomainError
from domain.shards import shard_of
from sync.proofs.note import (
    KeyInvalid,
    NoteInvalid,
    Signer,
    Verifier,
    decode64,
    encode64,
    parse_note,
    parse_vkey,
    sign_note,
    verify,
)
from sync.sealed.sealing import RECIPIENT_KEY_BYTES, is_usable, recipient_key_id

MAX_SKEW_US = 10 * 60 * 1_000_000
"""How far two nodes' clocks may differ before a certificate counts as not yet or no longer valid."""

_FAMILIES = ("huiyin-certificate/", "huiyin-revocation/")
_CERTIFICATE = "huiyin-certificate/v0"
_REVOCATION = "huiyin-revocation/v0"
_REQUEST = "huiyin-request/v0"
_MARK_BYTES = 12
_S = TypeVar("_S", bound=msgspec.Struct)

Ground = Literal["stolen", "merged", "abolished"]
"""Why a division's keys count no more: others have them, or there is no such node any more."""

Size = Annotated[int, Meta(ge=0, le=2**62)]


class CertificateRefused(Exception):
    """A certificate or request that must not be trusted. reason: stable snake_case word for what is wrong.

    said_by: the statement against it, where one says so. Enrol the node again, or correct the clock where the reason is
    `expired` or `not_yet_valid`.
    """

    def __init__(self, reason: str, zh: str, en: str, said_by: str = "") -> None:
        super().__init__(f"证书不可信：{zh}，请重新登记节点 / certificate refused: {en}; enrol the node again")
        self.reason = reason
        self.said_by = said_by


class Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public keys of a node. log, witness, intake: C2SP vkeys; recipient: raw X25519 key in base64 and its id."""

    log: str
    witness: str
    intake: str
    recipient_id: str
    recipient: str


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a node asks its superior, or the root, to sign. parent: below whom; null for whoever enrols it.

    since_size: the size of the log from which on these keys sign it alone, where others went before.
    """

    division: Division
    parent: Division | None = None
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    tier: Tier
    origin: str
    keys: Keys
    since_size: Size = 0


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The keys of `division` from `valid_from_us` to `valid_to_us` (UTC microseconds), said by `parent`.

    parent: null for the root alone. escrow: on the root's alone, the X25519 key in base64 that every data key is
    wrapped to once more; the pin of the root covers it. serial: counts the certificates of one division; the highest
    is in force for what the division signs from now on, older ones stay good for what lies in logs. since_size: other
    log keys, of certificates before this one, sign nothing of this log beyond that many leaves.
    """

    division: Division
    name: str
    tier: Tier
    parent: Division | None
    origin: str
    keys: Keys
    escrow: str | None
    serial: Annotated[int, Meta(ge=1)]
    valid_from_us: int
    valid_to_us: int
    since_size: Size = 0

    @property
    def log(self) -> Verifier:
        """Checks this division's checkpoints and letters. Raises KeyInvalid."""
        return parse_vkey(self.keys.log)

    @property
    def witness(self) -> Verifier:
        """Checks this division's cosignatures. Raises KeyInvalid."""
        return parse_vkey(self.keys.witness)

    def is_valid_at(self, now_us: int) -> bool:
        """Whether its time has come and not passed, clocks allowed to differ by MAX_SKEW_US."""
        return self.valid_from_us - MAX_SKEW_US <= now_us <= self.valid_to_us + MAX_SKEW_US


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of `division` in all certificates numbered below `serial` count no more, from `at_us` on (UTC us).

    origin, size, root: its log, the last size of it that is held good, and the base64 root there; what these keys
    signed of it up to there stays good. successor: who goes on with what was open, for one that is merged or abolished.
    standing: the marks (`mark_of`) of all that these keys signed about others and that holds all the same.
    """

    division: Division
    serial: Annotated[int, Meta(ge=1)]
    origin: str
    size: Size
    root: Annotated[str, Meta(min_length=44, max_length=44)]
    ground: Ground
    successor: Division | None
    standing: Annotated[tuple[str, ...], Meta(max_length=2_000)]
    at_us: int


Statement = Certificate | Revocation


def make_request(request: Request, signer: Signer, former: Signer | None = None) -> str:
    """The text to carry to the superior, signed by the log key that it asks for, which proves possession.

    former: the log key in force, where the one that is asked for is to follow it.
    """
    own_keys_of(request)
    return _sign(_REQUEST, request, signer, former)


def read_request(text: str) -> Request:
    """A request whose signature holds and whose keys are well-formed. Raises CertificateRefused."""
    request = _read(text, _REQUEST, Request)
    log, _ = own_keys_of(request)
    signed_by(text, [log])
    if not is_usable(decode64(request.keys.recipient)):
        raise CertificateRefused("keys", "收件密钥无效", "nothing can be wrapped to its recipient key")
    return request


def make_root(
    request: Request, signer: Signer, valid_from_us: int, valid_to_us: int, escrow: bytes | None = None
) -> str:
    """The self-signed certificate of a root. escrow: the public half of the escrow's key, 32 raw bytes."""
    named = None if escrow is None else encode64(escrow)
    return make_certificate(request, None, 1, valid_from_us, valid_to_us, signer, escrow=named)


def make_next_root(
    request: Request, signer: Signer, former: Signer, older: Certificate, valid_from_us: int, valid_to_us: int
) -> str:
    """The certificate with which a root's keys follow others, signed by both: it leads on from the one pinned."""
    serial = older.serial + 1
    return make_certificate(
        request, None, serial, valid_from_us, valid_to_us, signer, escrow=older.escrow, former=former
    )


def make_certificate(
    request: Request,
    parent: Division | None,
    serial: int,
    valid_from_us: int,
    valid_to_us: int,
    signer: Signer,
    *,
    escrow: str | None = None,
    former: Signer | None = None,
) -> str:
    """The text of a certificate for whoever asks. former: a root's log key before this one."""
    certificate = Certificate(
        division=request.division,
        name=request.name,
        tier=request.tier,
        parent=parent,
        origin=request.origin,
        keys=request.keys,
        escrow=escrow,
        serial=serial,
        valid_from_us=valid_from_us,
        valid_to_us=valid_to_us,
        since_size=request.since_size,
    )
    return _sign(_CERTIFICATE, certificate, signer, former)


def make_revocation(revocation: Revocation, signer: Signer) -> str:
    """The text with which a superior, or the root, takes a division's keys back."""
    return _sign(_REVOCATION, revocation, signer)


def mark_of(text: str) -> str:
    """How a revocation names a text that stands: base64 of the first 12 bytes of its SHA-256."""
    return encode64(sha256(text.encode()).digest()[:_MARK_BYTES])


def fingerprint(text: str) -> str:
    """Hex SHA-256 of a certificate's text: how a root is pinned."""
    return sha256(text.encode()).hexdigest()


def read_certificate(text: str) -> Certificate:
    """What a certificate says, its signature not checked. Raises CertificateRefused."""
    return _read(text, _CERTIFICATE, Certificate)


def read_statement(text: str) -> Statement:
    """What a certificate or a revocation says, its signature not checked. Raises CertificateRefused."""
    if text.startswith(f"{_REVOCATION}\n"):
        return _read(text, _REVOCATION, Revocation)
    return read_certificate(text)


def is_newer(text: str) -> bool:
    """Whether it calls itself a statement of another shape than this program's, which an upgrade may read."""
    return text.startswith(_FAMILIES) and not text.startswith((f"{_CERTIFICATE}\n", f"{_REVOCATION}\n"))


def _sign(kind: str, content: msgspec.Struct, signer: Signer, former: Signer | None = None) -> str:
    note = sign_note(f"{kind}\n{msgspec.json.encode(content).decode()}\n", signer)
    if former is not None:
        note = note.with_lines(sign_note(note.text, former).signatures)
    return note.to_bytes().decode()


def _read(text: str, kind: str, shape: type[_S]) -> _S:
    try:
        if len(text) > STATEMENT_CHARS:
            raise CertificateRefused("malformed", "过长", "it is too long")
        lines = parse_note(text.encode()).text.split("\n")
        if len(lines) != 3 or lines[0] != kind:
            raise CertificateRefused("malformed", "格式不对", f"it is no {kind}")
        content = msgspec.json.decode(lines[1], type=shape)
        if msgspec.json.encode(content) != lines[1].encode():
            raise CertificateRefused("malformed", "写法不唯一", "its JSON is not canonical")
    except (NoteInvalid, msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise CertificateRefused("malformed", "格式不对", f"it is no {kind}: {error}") from error
    return content


def all_read(texts: Iterable[str]) -> tuple[dict[str, Statement], dict[str, CertificateRefused]]:
    """What each says, and why it says nothing, by text."""
    read: dict[str, Statement] = {}
    refused: dict[str, CertificateRefused] = {}
    for text in texts:
        try:
            read[text] = read_statement(text)
        except CertificateRefused as error:
            refused[text] = error
    return read, refused


def signed_by(text: str, keys: Sequence[Verifier]) -> Verifier:
    """Which of these keys signed it. Raises CertificateRefused where none did."""
    try:
        note = parse_note(text.encode())
        verify(note, keys)
        signed = {(line.name, line.key_id) for line in note.signatures}
        return next(key for key in keys if (key.name, key.key_id) in signed)
    except NoteInvalid as error:
        raise CertificateRefused("signature", "签名不对", str(error)) from error


def is_signed_by(text: str, key: Verifier) -> bool:
    """Whether this key, maybe among others, has signed it."""
    try:
        signed_by(text, [key])
    except CertificateRefused:
        return False
    return True


def own_keys_of(request: Request) -> tuple[Verifier, Verifier]:
    """The log and the witness key that it asks for. Raises CertificateRefused."""
    return checked_keys(request.division, request.origin, request.keys)


def checked_keys(code: Division, origin: str, keys: Keys) -> tuple[Verifier, Verifier]:
    """The log and the witness key of a division, all four well-formed and its own. Raises CertificateRefused."""
    try:
        division(code)
        log, witness, intake = parse_vkey(keys.log), parse_vkey(keys.witness), parse_vkey(keys.intake)
    except (KeyInvalid, DomainError) as error:
        raise CertificateRefused("keys", "密钥或区划不对", str(error)) from error
    if log.name != origin or origin.split("/")[1:2] != [code] or shard_of(origin) is None:
        raise CertificateRefused("origin", "日志名与区划不符", "its log is not named after the division and its key")
    if len({log.public_key, witness.public_key, intake.public_key}) != 3:
        raise CertificateRefused("keys", "三把密钥须各不相同", "log, witness and intake need a key each")
    if recipient_key_id(_raw_key(keys.recipient)) != keys.recipient_id:
        raise CertificateRefused("keys", "收件密钥与其编号不符", "its recipient key has another id")
    return log, witness


def check_escrow(certificate: Certificate) -> None:
    """The root alone names one. Raises CertificateRefused."""
    if certificate.escrow is not None:
        if certificate.parent is not None:
            raise CertificateRefused("escrow", "只有根证书可指定托管密钥", "only the root names an escrow")
        _raw_key(certificate.escrow)


def _raw_key(text: str) -> bytes:
    """An X25519 public key in base64. Raises CertificateRefused."""
    try:
        raw = decode64(text)
    except NoteInvalid as error:
        raise CertificateRefused("keys", "收件密钥格式不对", str(error)) from error
    if len(raw) != RECIPIENT_KEY_BYTES:
        raise CertificateRefused("keys", "收件密钥长度不对", "a recipient key has 32 bytes")
    return raw
