"""Signed notes, checkpoints and cosignatures as texts: C2SP signed-note, tlog-checkpoint, tlog-cosignature.

Every byte has one reading: what another program might read differently is refused, not repaired.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sync.proofs.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

ED25519: Final = 0x01
COSIGNATURE_V1: Final = 0x04
MAX_NOTE_BYTES = 128 * 1024  # a checkpoint with sixteen post-quantum lines of 5 kB still fits
MAX_SIGNATURES = 16
KEY_BYTES = 32

_DASH = "— "
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteInvalid(Exception):
    """A signed text is malformed, altered, or signed by none of the keys asked for. Trust nothing in it.

    What to do next: fetch it again from its source; if it comes back the same, keep it as evidence.
    """

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"签名文本无效：{zh}，请重新获取 / signed note invalid: {en}; fetch it again from its source")
        self.zh = zh
        self.en = en


class KeyInvalid(Exception):
    """A key text is malformed or does not fit its own id. Copy it again from whoever issued it."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"密钥文本无效：{zh}，请重新抄录 / key text invalid: {en}; copy it again from its issuer")


class Verifier(msgspec.Struct, frozen=True):
    """A public key with its name: what a signature line is checked against.

    kind: ED25519 (signs the note text) or COSIGNATURE_V1 (signs time and text). public_key: 32 bytes, RFC 8032.
    """

    name: str
    kind: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name, newline, kind, public key)."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as text: name+id+base64(kind, public key)."""
        return f"{self.name}+{self.key_id.hex()}+{encode64(bytes([self.kind]) + self.public_key)}"


class Signer(Protocol):
    """Who can sign: a key in memory, or a device that never gives it away."""

    @property
    def verifier(self) -> Verifier:
        """Name, kind and public half of the key."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of Ed25519 over exactly this message."""


class Ed25519Signer:
    """A Signer that holds its key in memory."""

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        _check_name(name)
        _check_kind(kind)
        if len(seed) != KEY_BYTES:
            raise KeyInvalid("种子须为32字节", "a seed has 32 bytes")
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, kind, self._key.public_key().public_bytes_raw())

    @property
    def skey(self) -> str:
        """The private key as text, in the encoding of golang.org/x/mod/sumdb/note. Keep it out of logs."""
        key = self.verifier
        return f"PRIVATE+KEY+{key.name}+{key.key_id.hex()}+{encode64(bytes([key.kind]) + self._seed)}"

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of Ed25519 over exactly this message."""
        return self._key.sign(message)


class _Named:
    """A Signer's key under another name."""

    def __init__(self, signer: Signer, name: str) -> None:
        _check_name(name)
        self.verifier = msgspec.structs.replace(signer.verifier, name=name)
        self.sign = signer.sign


def named(signer: Signer, name: str) -> Signer:
    """The same key, which signs in this name: a later shard of a log is written with the key of the first."""
    return signer if signer.verifier.name == name else _Named(signer, name)


class SignatureLine(msgspec.Struct, frozen=True):
    """One signature line, verified or not. signature: what follows the 4 bytes of key id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def time_s(self) -> int:
        """What a cosignature/v1 says of its time, POSIX seconds."""
        return int.from_bytes(self.signature[:8], "big")

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {encode64(self.key_id + self.signature)}\n"


class Note(msgspec.Struct, frozen=True):
    """A text that ends in a newline, and the signature lines under it, in order."""

    text: str
    signatures: tuple[SignatureLine, ...]

    def to_bytes(self) -> bytes:
        """The note as it travels, UTF-8."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()

    def with_lines(self, lines: Iterable[SignatureLine]) -> "Note":
        """The note with these lines added; a line of the same name and key id takes the place of the older one."""
        merged = {(line.name, line.key_id): line for line in (*self.signatures, *lines)}
        return Note(self.text, tuple(merged.values()))


class Signed(msgspec.Struct, frozen=True):
    """A signature that was verified: by whom, and for a cosignature when (POSIX seconds, else None)."""

    verifier: Verifier
    time_s: int | None


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log: its origin, its number of leaves, its root hash of 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed, C2SP tlog-checkpoint without extension lines."""
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"


def parse_vkey(text: str) -> Verifier:
    """A verifier key, `name+id+base64`. Raises: KeyInvalid."""
    name, key_id, kind, public_key = _parse_key(text)
    verifier = Verifier(name, kind, public_key)
    if verifier.key_id != key_id:
        raise KeyInvalid("密钥编号与公钥不符", "the key id does not fit the key")
    return verifier


def parse_skey(text: str) -> Ed25519Signer:
    """A private key, `PRIVATE+KEY+name+id+base64`. Raises: KeyInvalid, whose message never shows the key."""
    if not text.startswith("PRIVATE+KEY+"):
        raise KeyInvalid("不是私钥", "this is no private key")
    name, key_id, kind, seed = _parse_key(text.removeprefix("PRIVATE+KEY+"))
    signer = Ed25519Signer(name, kind, seed)
    if signer.verifier.key_id != key_id:
        raise KeyInvalid("密钥编号与私钥不符", "the key id does not fit the key")
    return signer


def sign_note(text: str, signer: Signer) -> Note:
    """The note with one plain Ed25519 signature over its text, which must end in a newline."""
    _check_use(signer, ED25519)
    signature = signer.sign(text.encode())
    return Note(text, (SignatureLine(signer.verifier.name, signer.verifier.key_id, signature),))


def cosign(text: str, signer: Signer, time_s: int) -> SignatureLine:
    """A cosignature/v1 line over a checkpoint's text, as of this POSIX second."""
    _check_use(signer, COSIGNATURE_V1)
    signature = time_s.to_bytes(8, "big") + signer.sign(_cosigned(text, time_s))
    return SignatureLine(signer.verifier.name, signer.verifier.key_id, signature)


def parse_note(data: bytes) -> Note:
    """Read a note; nothing is verified yet. Raises: NoteInvalid.

    Takes at most MAX_NOTE_BYTES and MAX_SIGNATURES lines.
    """
    text, blank, lines = _decode(data).rpartition("\n\n")
    if not blank or not text or text.endswith("\n"):
        raise NoteInvalid("正文与签名之间须恰有一个空行", "exactly one blank line stands between text and signatures")
    return Note(text + "\n", _parse_lines(lines))


def parse_signature_lines(data: bytes) -> tuple[SignatureLine, ...]:
    """Read bare signature lines, as a tlog-witness answers with. Raises: NoteInvalid."""
    return _parse_lines(_decode(data))


def verify(note: Note, verifiers: Iterable[Verifier]) -> list[Signed]:
    """The signatures by these keys, one for each key that signed, in the order of the lines.

    Lines by other keys are ignored. Raises: NoteInvalid if a line of a known name and key id does not verify, or
    if none of these keys signed. Having one of several keys is not a quorum: see `sync.proofs.policy`.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    found: dict[Verifier, Signed] = {}
    for line in note.signatures:
        verifier = known.get((line.name, line.key_id))
        if verifier is not None:
            signed = _verify_line(note.text, line, verifier)
            found.setdefault(verifier, signed)
    if not found:
        raise NoteInvalid("没有任何受信密钥的签名", "none of the trusted keys signed it")
    return list(found.values())


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint: three lines, no extension lines, size below 2^63. Raises: NoteInvalid."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteInvalid("检查点须恰为三行", "a checkpoint has exactly three lines")
    origin, size, root = lines[0], parse_decimal(lines[1]), decode64(lines[2])
    if not _is_name(origin):
        raise NoteInvalid("日志名不合规", "the origin is empty or has a space or plus sign")
    if len(root) != HASH_BYTES:
        raise NoteInvalid("树根须为32字节", "a root hash has 32 bytes")
    if size == 0 and root != EMPTY_ROOT:
        raise NoteInvalid("空树的树根不对", "the root of an empty tree is SHA-256 of nothing")
    return Checkpoint(origin, size, root)


def parse_decimal(text: str) -> int:
    """A number below 2^63 in ASCII digits, without sign or leading zero. Raises: NoteInvalid."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise NoteInvalid("数字写法不合规", "a number is not plain decimal below 2^63")
    return int(text)


def encode64(data: bytes) -> str:
    """Standard base64 with padding, RFC 4648 section 4."""
    return base64.b64encode(data).decode("ascii")


def decode64(text: str) -> bytes:
    """The bytes of canonical base64: of all spellings only the one `encode64` writes. Raises: NoteInvalid."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoteInvalid("不是base64", "not base64") from error
    if encode64(data) != text:
        raise NoteInvalid("base64写法不唯一", "base64 is not canonical")
    return data


def _decode(data: bytes) -> str:
    if len(data) > MAX_NOTE_BYTES:
        raise NoteInvalid("文本过长", f"longer than {MAX_NOTE_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NoteInvalid("不是UTF-8", "not UTF-8") from error
    if _CONTROLS.search(text):
        raise NoteInvalid("含控制字符", "control characters other than newline")
    return text


def _parse_lines(block: str) -> tuple[SignatureLine, ...]:
    *lines, rest = block.split("\n")
    if rest or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise NoteInvalid("签名行须为1至16行且以换行结尾", "1 to 16 signature lines, each ending in a newline")
    return tuple(map(_parse_line, lines))


def _parse_line(line: str) -> SignatureLine:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _is_name(name):
        raise NoteInvalid("签名行格式不对", "a signature line is em dash, space, key name, space, base64")
    data = decode64(encoded)
    if len(data) < 5:
        raise NoteInvalid("签名过短", "a signature is too short")
    return SignatureLine(name, data[:4], data[4:])


def _verify_line(text: str, line: SignatureLine, verifier: Verifier) -> Signed:
    signature, message, time_s = line.signature, text.encode(), None
    if verifier.kind == COSIGNATURE_V1:
        time_s, signature = line.time_s, signature[8:]
        message = _cosigned(text, time_s)
        if time_s > MAX_SIZE:
            raise NoteInvalid("联署时间越界", "a cosignature's time is out of range")
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public_key).verify(signature, message)
    except InvalidSignature as error:
        raise NoteInvalid(f"{line.name}的签名不对", f"the signature by {line.name} does not verify") from error
    return Signed(verifier, time_s)


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _parse_key(text: str) -> tuple[str, bytes, int, bytes]:
    """Name, key id, kind and 32 key bytes of a vkey, or of an skey without its prefix."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
        raise KeyInvalid("应为 名称+编号+base64", "expected name+id+base64")
    _check_name(parts[0])
    try:
        data = decode64(parts[2])
    except NoteInvalid:
        raise KeyInvalid("base64不合规", "its base64 is not canonical") from None  # the cause would show a private key
    if len(data) != 1 + KEY_BYTES:
        raise KeyInvalid("密钥长度不对", "a key has one byte of kind and 32 of key")
    _check_kind(data[0])
    return parts[0], bytes.fromhex(parts[1]), data[0], data[1:]


def _check_use(signer: Signer, kind: int) -> None:
    if signer.verifier.kind != kind:
        raise KeyInvalid("密钥用途不对", f"{signer.verifier.name} is not a key of type {kind:02x}")


def _check_name(name: str) -> None:
    if not _is_name(name):
        raise KeyInvalid("名称为空或含空白、加号", "the name is empty or has a space or plus sign")


def _check_kind(kind: int) -> None:
    if kind not in (ED25519, COSIGNATURE_V1):
        raise KeyInvalid("不支持的签名类型", "only Ed25519 (01) and cosignature/v1 (04) are supported")


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and name.isprintable() and not any(map(str.isspace, name))
