"""The key files of a node: made once, never overwritten, refused when anybody else could have read them.

A folder (mode 0700) holds files (mode 0600): `log.skey`, `witness.skey`, `intake.skey` (Ed25519 with the name it
signs under, as golang.org/x/mod/sumdb/note writes it); `recipient-0001.pem` and later ones (X25519 in PKCS #8,
to which data keys are wrapped: the highest number is advertised, the older ones still open what was wrapped to
them); and `command.secret` (32 random bytes in hex, under which repeated commands are recognised).

The three signing keys that follow others lie in `signing-0002` and so on: which of them are in force the certificate
says, so that no file is moved or replaced where one follows the other.
"""

import base64
import hashlib
import hmac
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NewType
from uuid import UUID

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sync.proofs.note import COSIGNATURE_V1, ED25519, KEY_BYTES, Ed25519Signer, KeyInvalid, Signer, parse_skey
from sync.sealed.sealing import RecipientKey

SigningUse = Literal["log", "witness", "intake"]

KINDS: Final[Mapping[SigningUse, int]] = MappingProxyType(
    {"log": ED25519, "witness": COSIGNATURE_V1, "intake": ED25519}
)
"""What each signing key is for: heads and letters of the own log, cosignatures, promises to citizens."""

COMMAND_FILE = "command.secret"
MAX_KEY_FILE_BYTES = 4096
SECRET_BYTES: Final = 32
RATING_CODE_LENGTH: Final = 10

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFileRefused(Exception):
    """A key file cannot be used; nothing was read into use or written. The operator acts on `path`."""

    def __init__(self, path: Path, zh: str, en: str) -> None:
        super().__init__(f"{path}：{zh} / {path}: {en}")
        self.path = path


class KeyFileMissing(KeyFileRefused):
    """There is no such file. Restore the node's keys from its backup; new keys would be another node."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "密钥文件不存在，请从备份恢复", "no such key file; restore it from the node's backup")


class KeyFileExposed(KeyFileRefused):
    """Others on this machine may read it. Take their rights away, and replace the key if they may have used them."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            "其他用户可以读取，请收回权限（目录 0700，文件 0600），必要时更换密钥",
            "others can read it; take their rights away (folder 0700, file 0600) and replace the key if in doubt",
        )


class KeyFileMalformed(KeyFileRefused):
    """The file holds no key of the kind its name says. Restore it from the backup."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "不是有效的密钥文件，请从备份恢复", "not a key of this kind; restore it from the backup")


class KeyFileExists(KeyFileRefused):
    """Keys stand there already and are never overwritten. Use them, or choose another folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "已有密钥，不会覆盖；请另选目录", "keys stand here already; choose another folder")


class KeyFileReused(KeyFileRefused):
    """The file holds the same key as another one. Each use needs a key of its own: restore the right file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, "与另一用途的密钥相同，请恢复正确的文件", "the key serves another use too; restore the right file"
        )


CommandId = NewType("CommandId", UUID)
"""Under which the ledger keeps a command. Made by `CommandSecret.command_id` alone."""


class CommandSecret:
    """Recognises a command that comes again, by an id nobody else can make and a digest that tells nobody anything.

    A plain hash would confirm a guess at a name or a telephone number; this one cannot be computed without the secret.
    """

    def __init__(self, secret: bytes) -> None:
        """secret: SECRET_BYTES random bytes, the same for the life of the node."""
        self._secret = secret

    def command_id(self, source: str, key: str) -> CommandId:
        """The id of what `source` calls `key`, the same for the life of the node.

        Keys come from outside and what the node does by itself can be foreseen, so that under a plain id one could
        take the place of the other.
        """
        said = b"command-id\0" + msgspec.json.encode((source, key))
        return CommandId(UUID(bytes=hmac.digest(self._secret, said, hashlib.sha256)[:16]))

    def digest(self, command_id: CommandId, content: bytes) -> bytes:
        """HMAC-SHA256 (RFC 2104) over the id and what was sent under it."""
        return hmac.digest(self._secret, command_id.bytes + content, hashlib.sha256)

    def rating_code(self, case: UUID) -> str:
        """RATING_CODE_LENGTH characters of base32 (RFC 4648), the same for a case for the life of the node.

        Nothing that is recorded tells it: whoever knows it was given it with the receipt.
        """
        return base64.b32encode(hmac.digest(self._secret, b"rating\0" + case.bytes, hashlib.sha256))[
            :RATING_CODE_LENGTH
        ].decode()


class SigningKeys(msgspec.Struct, frozen=True):
    """The three keys that a node signs with."""

    log: Signer
    witness: Signer
    intake: Signer

    @property
    def vkeys(self) -> tuple[str, str, str]:
        """Their public halves as C2SP vkeys."""
        return (self.log.verifier.vkey, self.witness.verifier.vkey, self.intake.verifier.vkey)


class NodeKeys(msgspec.Struct, frozen=True):
    """The keys of one node. recipients: newest first. following: signing keys that are not certified yet, if any;
    former: the log key before the one in force, until it is destroyed."""

    log: Signer
    witness: Signer
    intake: Signer
    recipients: tuple[RecipientKey, ...]
    commands: CommandSecret
    following: SigningKeys | None = None
    former: Signer | None = None

    @property
    def recipient(self) -> RecipientKey:
        """The one to advertise."""
        return self.recipients[0]


def generate_keys(folder: Path, origin: str) -> NodeKeys:
    """Make all keys of a new node in `folder`, which must be missing or empty; all of them, or none.

    origin: of the node's log, `<trust domain>/<division>/<shard>`; witness and intake are named beside it. On
    the disk when it returns. Raises KeyFileExists.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        _write_signing(staging, origin)
        write_private(staging / _recipient_file(1), _private_pem(X25519PrivateKey.generate()))
        write_private(staging / COMMAND_FILE, f"{os.urandom(SECRET_BYTES).hex()}\n".encode())
        _put_in_place(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return load_keys(folder)


def load_keys(
    folder: Path, devices: Mapping[SigningUse, Signer] = MappingProxyType({}), certified: str | None = None
) -> NodeKeys:
    """The keys in `folder`. devices: signers that never give their key away; no file is looked for in their place.

    certified: the vkey of the log key that the certificate in force names; null before there is one, and then the
    oldest keys count. Raises KeyFileMissing, KeyFileExposed, KeyFileMalformed, KeyFileReused.
    """
    _check_folder(folder)
    generations = _generations(folder)
    at = 0 if certified is None else _which(generations, certified)
    signing = _signing_keys(generations[at], devices)
    following = _signing_keys(generations[-1]) if generations[at + 1 :] else None
    return NodeKeys(
        signing.log,
        signing.witness,
        signing.intake,
        _recipients(folder),
        _command_secret(folder / COMMAND_FILE),
        following,
        _former(generations[:at]),
    )


def add_signing_keys(folder: Path, origin: str) -> SigningKeys:
    """New signing keys beside the old, to be certified; on the disk when it returns, whole or not at all.

    origin: of the node's log. Raises what `load_keys` raises, KeyFileExists where two do so at once.
    """
    _check_folder(folder)
    target = folder / f"signing-{_number(_generations(folder)[-1]) + 1:04}"
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".signing-"))
    try:
        _write_signing(staging, origin)
        _put_in_place(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return _signing_keys(target)


def destroy_former(folder: Path, certified: str) -> None:
    """Destroy every signing key before those in force. A stop half-way leaves the rest for the next time."""
    generations = _generations(folder)
    for generation in generations[: _which(generations, certified)]:
        for use in KINDS:
            _signing_file(generation, use).unlink(missing_ok=True)
        flush_folder(generation)
        if generation != folder:
            generation.rmdir()


def rotate_recipient(folder: Path) -> RecipientKey:
    """Add a new recipient key; from the next load it is the one advertised. The older ones stay.

    A stop half-way leaves the old state. Raises what `load_keys` raises, KeyFileExists where two rotate at once.
    """
    _check_folder(folder)
    number = _recipients(folder)[0].number + 1
    new = RecipientKey(number, X25519PrivateKey.generate())
    write_private(folder / _recipient_file(number), _private_pem(new.private))
    return new


def write_private(path: Path, content: bytes) -> None:
    """A new file that its owner alone can read, whole or not at all, on the disk on return; KeyFileExists."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # unlike a rename, refuses to replace a file
    except FileExistsError as error:
        raise KeyFileExists(path) from error
    finally:
        os.unlink(name)
    flush_folder(path.parent)


def replace_private(path: Path, content: bytes) -> None:
    """A file that its owner alone can read, in the place of an older one: the new bytes or the old, on the disk."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    flush_folder(path.parent)


def read_private(path: Path, max_bytes: int = MAX_KEY_FILE_BYTES) -> bytes:
    """The bytes of a key file. Raises KeyFileMissing, KeyFileExposed, KeyFileMalformed (too long, no plain file)."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileMissing(path) from error
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode  # of the very file that is read, not of what the path names by then
        if not stat.S_ISREG(mode):
            raise KeyFileMalformed(path)
        if mode & _OTHERS:
            raise KeyFileExposed(path)
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise KeyFileMalformed(path)
    return content


def flush_folder(folder: Path) -> None:
    """Return once the names in `folder` are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise KeyFileMissing(folder)
    if folder.stat().st_mode & _OTHERS:
        raise KeyFileExposed(folder)


def _name(origin: str, use: SigningUse) -> str:
    return origin if use == "log" else f"{origin.rpartition('/')[0]}/{use}"


def _write_signing(folder: Path, origin: str) -> None:
    for use, kind in KINDS.items():
        signer = Ed25519Signer(_name(origin, use), kind, os.urandom(KEY_BYTES))
        write_private(_signing_file(folder, use), f"{signer.skey}\n".encode())


def _generations(folder: Path) -> list[Path]:
    """Where signing keys lie, the oldest first; the first ones lie in the folder itself."""
    return [folder, *sorted(folder.glob("signing-[0-9][0-9][0-9][0-9]"))]


def _number(generation: Path) -> int:
    return int(generation.name.removeprefix("signing-")) if generation.name.startswith("signing-") else 1


def _which(generations: Sequence[Path], certified: str) -> int:
    """Which of them has the log key that the certificate names; else the first, which the certificate then refuses."""
    for at, generation in enumerate(generations):
        log = _signing_file(generation, "log")
        if log.exists() and _signing_key(log, KINDS["log"]).verifier.vkey == certified:
            return at
    return 0


def _signing_keys(generation: Path, devices: Mapping[SigningUse, Signer] = MappingProxyType({})) -> SigningKeys:
    _check_folder(generation)
    signers = {
        use: devices.get(use) or _signing_key(_signing_file(generation, use), kind) for use, kind in KINDS.items()
    }
    seen: set[bytes] = set()
    for use, signer in signers.items():
        if signer.verifier.public_key in seen:
            raise KeyFileReused(_signing_file(generation, use))
        seen.add(signer.verifier.public_key)
    return SigningKeys(signers["log"], signers["witness"], signers["intake"])


def _former(generations: Sequence[Path]) -> Signer | None:
    log = _signing_file(generations[-1], "log") if generations else None
    return _signing_key(log, KINDS["log"]) if log is not None and log.exists() else None


def _signing_file(folder: Path, use: SigningUse) -> Path:
    return folder / f"{use}.skey"


def _put_in_place(staging: Path, folder: Path) -> None:
    try:
        staging.rename(folder)  # succeeds over an empty folder, never over one that holds something
    except OSError as error:
        if folder.exists():
            raise KeyFileExists(folder) from error
        raise
    flush_folder(folder.parent)


def _recipient_file(number: int) -> str:
    return f"recipient-{number:04}.pem"


def _recipients(folder: Path) -> tuple[RecipientKey, ...]:
    paths = sorted(folder.glob("recipient-[0-9][0-9][0-9][0-9].pem"), reverse=True)
    if not paths:
        raise KeyFileMissing(folder / _recipient_file(1))
    return tuple(RecipientKey(int(path.stem.removeprefix("recipient-")), _recipient_key(path)) for path in paths)


def _signing_key(path: Path, kind: int) -> Signer:
    try:
        signer = parse_skey(read_private(path).decode("ascii").removesuffix("\n"))
    except (KeyInvalid, UnicodeDecodeError):
        signer = None  # refused outside the handler: a decoder's error carries the file
    if signer is None or signer.verifier.kind != kind:
        raise KeyFileMalformed(path)
    return signer


def _recipient_key(path: Path) -> X25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileMalformed(path) from None
    if not isinstance(key, X25519PrivateKey):
        raise KeyFileMalformed(path)
    return key


def _command_secret(path: Path) -> CommandSecret:
    content = read_private(path)
    if not re.fullmatch(rb"[0-9a-f]{%d}\n" % (2 * SECRET_BYTES), content):
        raise KeyFileMalformed(path)
    return CommandSecret(bytes.fromhex(content.decode("ascii")))


def _private_pem(key: X25519PrivateKey) -> bytes:
    """Not encrypted: the file's mode guards it, and a backup seals it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
