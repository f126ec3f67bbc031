"""The C2SP tlog-proof text: a leaf's place in a log, its path to the root, and the checkpoint with that root."""

import msgspec

from sync.proofs.merkle import HASH_BYTES
from sync.proofs.note import NoteInvalid, decode64, encode64, parse_decimal

MAX_PATH = 63
MAX_PROOF_BYTES = 256 * 1024
"""A leaf of 65,535 bytes in base64, 63 hashes, and the longest note still fit."""

_HEADER = "c2sp.org/tlog-proof@v1"


class TlogProof(msgspec.Struct, frozen=True):
    """A proof as read or to be written; reading verifies nothing.

    extra: bytes for the application, here the leaf. index: 0-based. path: hashes from the leaf's sibling up.
    checkpoint: the signed note, verbatim.
    """

    extra: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        """The proof as a file that standard tools read (`.tlog-proof`)."""
        lines = [_HEADER, f"extra {encode64(self.extra)}", f"index {self.index}", *map(encode64, self.path), "", ""]
        return "\n".join(lines).encode() + self.checkpoint


def parse_tlog_proof(data: bytes) -> TlogProof:
    """Read a proof that carries its leaf in `extra`; at most MAX_PROOF_BYTES. Raises: NoteInvalid."""
    if len(data) > MAX_PROOF_BYTES:
        raise NoteInvalid("证明过长", f"a proof has at most {MAX_PROOF_BYTES} bytes")
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise NoteInvalid("证明首部不是ASCII", "the head of the proof is not ASCII") from error
    if not blank or lines[0] != _HEADER or not 3 <= len(lines) <= 3 + MAX_PATH:
        raise NoteInvalid("不是完整的tlog-proof", "this is no whole tlog-proof")
    path = tuple(map(decode64, lines[3:]))
    if any(len(item) != HASH_BYTES for item in path):
        raise NoteInvalid("证明中的哈希须为32字节", "a hash of the path has not 32 bytes")
    return TlogProof(decode64(_after("extra ", lines[1])), parse_decimal(_after("index ", lines[2])), path, checkpoint)


def _after(keyword: str, line: str) -> str:
    if not line.startswith(keyword):
        raise NoteInvalid(f"证明缺少{keyword.strip()}行", f"the proof lacks its {keyword.strip()} line")
    return line.removeprefix(keyword)
