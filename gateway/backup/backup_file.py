"""The file of a backup: sealed with a passphrase, written and read as a stream, refused when any byte was changed.

Layout, integers big-endian:
    magic `huiyin-backup/1` LF, memory KiB (4 bytes), iterations (2), lanes (2), salt (16)   what Argon2id is given
    check (32)      HMAC-SHA256 over all before it: tells a wrong passphrase from a damaged file
    digest (8)      of SHA-256 over all before it: a header that was damaged says so
    chunks          CHUNK_BYTES of content each, the last one perhaps fewer, each with its 16-byte AES-256-GCM tag

The chunks are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce is the chunk's number
(11 bytes) and whether it is the last (1 byte), so none can be dropped, repeated, moved, or added. The salt makes the
key, and so every nonce, unique to the file.
"""

import hmac
import os
import struct
import unicodedata
from hashlib import sha256
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from domain.errors import DomainError

CHUNK_BYTES: Final = 256 * 1024
PASSPHRASE_CHARACTERS: Final = 12

_TAG_BYTES: Final = 16
_FAMILY: Final = b"huiyin-backup/"
_MAGIC: Final = _FAMILY + b"1\n"
_PARAMETERS: Final = struct.Struct(">IHH16s")
_CHECK_BYTES: Final = 32
_DIGEST_BYTES: Final = 8


class BackupRefused(DomainError):
    """A backup cannot be made or used as asked; nothing was left behind. The message says what to do next."""

    code = "backup_refused"


class PassphraseWeak(BackupRefused):
    """Whoever finds the file may guess at leisure. Choose a longer passphrase."""

    code = "passphrase_weak"

    def __init__(self) -> None:
        super().__init__(
            f"口令太短，请至少用 {PASSPHRASE_CHARACTERS} 个字符",
            f"the passphrase is too short; use at least {PASSPHRASE_CHARACTERS} characters",
        )


class PassphraseWrong(BackupRefused):
    """The file is whole as far as can be told, and another passphrase opens it."""

    code = "passphrase_wrong"

    def __init__(self) -> None:
        super().__init__("口令不正确，请核对后重试", "the passphrase is wrong; check it and try again")


class BackupDamaged(BackupRefused):
    """Bytes were changed, cut or added since it was written. Use another copy or an earlier backup."""

    code = "backup_damaged"

    def __init__(self) -> None:
        super().__init__(
            "备份文件已损坏，请使用另一份副本或更早的备份",
            "the backup file is damaged; use another copy or an earlier backup",
        )


class NotABackup(BackupRefused):
    """The file is something else. Name the right one."""

    code = "not_a_backup"

    def __init__(self) -> None:
        super().__init__(
            "这不是回音节点的备份文件，请核对文件名", "this is not a backup of a node; check the file name"
        )


class BackupNewer(BackupRefused):
    """A newer program wrote it. Install that version, then restore."""

    code = "backup_newer"

    def __init__(self) -> None:
        super().__init__(
            "备份由更新版本的程序写成，请先升级程序再恢复",
            "a newer version of the program wrote this backup; upgrade, then restore",
        )


class Cost(msgspec.Struct, frozen=True):
    """What one guess at a passphrase costs: Argon2id's memory in KiB, iterations and lanes."""

    memory_kib: int
    iterations: int
    lanes: int


COST: Final = Cost(memory_kib=64 * 1024, iterations=3, lanes=4)
"""RFC 9106 section 4, the second recommended choice: 64 MiB, which the smallest office has."""

_LIMIT: Final = Cost(memory_kib=1024 * 1024, iterations=16, lanes=16)
"""What a file may ask of its reader."""


class SealedWriter:
    """Seals what is written to it into `file`. Without `finish` the file stays without an end and is refused."""

    def __init__(self, file: BinaryIO, passphrase: str, cost: Cost = COST) -> None:
        """Raises PassphraseWeak."""
        if len(passphrase) < PASSPHRASE_CHARACTERS:
            raise PassphraseWeak
        salt = os.urandom(16)
        header = _MAGIC + _PARAMETERS.pack(cost.memory_kib, cost.iterations, cost.lanes, salt)
        self._aead, check_key = _keys(passphrase, cost, salt)
        header += _check(check_key, header)
        file.write(header + _digest(header))
        self._file = file
        self._number = 0
        self._waiting = bytearray()

    def write(self, content: bytes) -> None:
        """Take any number of bytes; at most one chunk of them waits in memory."""
        self._waiting += content
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk. Nothing may follow."""
        self._seal(bytes(self._waiting), is_last=True)

    def _seal(self, content: bytes, *, is_last: bool) -> None:
        self._file.write(self._aead.encrypt(_nonce(self._number, is_last), content, None))
        self._number += 1


class SealedReader:
    """Gives back what was sealed, in order; never a byte that was not authenticated.

    That nothing is missing is known only once `expect_end` has returned: act on nothing before.
    """

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """file: read from its present position. Raises NotABackup, BackupNewer, BackupDamaged, PassphraseWrong."""
        self._aead = _open_header(file, passphrase)
        self._file = file
        self._number = 0
        self._ready = memoryview(b"")
        self._sealed = file.read(CHUNK_BYTES + _TAG_BYTES)

    def read(self, size_bytes: int) -> bytes:
        """Exactly so many bytes; the caller bounds them. Raises BackupDamaged."""
        parts: list[memoryview] = []
        while size_bytes > 0:
            if not self._ready:
                self._ready = self._next_chunk()
            parts.append(self._ready[:size_bytes])
            self._ready = self._ready[len(parts[-1]) :]
            size_bytes -= len(parts[-1])
        return b"".join(parts)

    def expect_end(self) -> None:
        """Return if everything was read and nothing follows. Raises BackupDamaged."""
        if self._ready or self._sealed:
            raise BackupDamaged

    def _next_chunk(self) -> memoryview:
        sealed, self._sealed = self._sealed, self._file.read(CHUNK_BYTES + _TAG_BYTES)
        try:
            content = self._aead.decrypt(_nonce(self._number, is_last=not self._sealed), sealed, None)
        except InvalidTag:
            raise BackupDamaged from None
        if not content:
            raise BackupDamaged
        self._number += 1
        return memoryview(content)


def _open_header(file: BinaryIO, passphrase: str) -> AESGCM:
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise BackupNewer if magic.startswith(_FAMILY) else NotABackup
    rest = file.read(_PARAMETERS.size + _CHECK_BYTES + _DIGEST_BYTES)
    header, check = magic + rest[: _PARAMETERS.size], rest[_PARAMETERS.size : -_DIGEST_BYTES]
    if len(check) != _CHECK_BYTES or _digest(header + check) != rest[-_DIGEST_BYTES:]:
        raise BackupDamaged
    memory_kib, iterations, lanes, salt = _PARAMETERS.unpack_from(rest)
    cost = Cost(memory_kib, iterations, lanes)
    if not _is_bearable(cost):
        raise BackupDamaged
    aead, check_key = _keys(passphrase, cost, salt)
    if not hmac.compare_digest(check, _check(check_key, header)):
        raise PassphraseWrong
    return aead


def _is_bearable(cost: Cost) -> bool:
    return (
        1 <= cost.lanes <= _LIMIT.lanes
        and 1 <= cost.iterations <= _LIMIT.iterations
        and 8 * cost.lanes <= cost.memory_kib <= _LIMIT.memory_kib
    )


def _keys(passphrase: str, cost: Cost, salt: bytes) -> tuple[AESGCM, bytes]:
    # The same words typed on another machine may come composed in another way: RFC 8265 section 4.2 takes NFC.
    words = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    derive = Argon2id(
        salt=salt, length=64, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    ).derive(words)
    return AESGCM(derive[:32]), derive[32:]


def _check(key: bytes, header: bytes) -> bytes:
    return hmac.digest(key, header, "sha256")


def _digest(header: bytes) -> bytes:
    return sha256(header).digest()[:_DIGEST_BYTES]


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
