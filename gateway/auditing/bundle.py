"""The audit bundle as files: what lies where, in which shape, read strictly and never out of its folder.

manifest             a signed note: `huiyin-bundle/v0`, one line of JSON (`Manifest`); signed by the node's log key
files.jsonl          every other file with its size and SHA-256 (`FileLine`), in the order of `walk`
certificates.jsonl   the certificates, each a JSON string
logs.jsonl           the logs (`LogLine`); a log is named by its number in this list everywhere else
logs/<folder>/       checkpoint, tile/…: C2SP tlog-tiles; policy: C2SP tlog-policy, signed once it was
logs/<folder>/checkpoints.jsonl   every signed head with its cosignatures, each a JSON string, by size
above.jsonl          single leaves that came from above, each with its proof (`AboveLine`), in the order learned
order.jsonl          what the node learned in which order (`Run` as an array)
faults.jsonl         what went wrong, with its evidence (`FaultLine`)
openings.jsonl       only where asked for: the sealed texts opened, or why not (`OpeningLine`)
"""

import binascii
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from domain import bounds
from domain.divisions import Division
from sync.proofs.merkle import MAX_SIZE
from sync.sealed.commitment import Opening

FORMAT: Final = "huiyin-bundle/v0"
MANIFEST: Final = "manifest"
FILES: Final = "files.jsonl"
CERTIFICATES: Final = "certificates.jsonl"
LOGS: Final = "logs.jsonl"
ABOVE: Final = "above.jsonl"
ORDER: Final = "order.jsonl"
FAULTS: Final = "faults.jsonl"
OPENINGS: Final = "openings.jsonl"
POLICY: Final = "policy"
CHECKPOINTS: Final = "checkpoints.jsonl"

MAX_LINE_BYTES: Final = 4 << 20
"""A line of faults.jsonl holds up to 1 MiB of evidence in base64; nothing is longer."""

MAX_LOGS: Final = 100_000
"""So many logs, and so many certificates, are read: they are held in memory."""

_Count = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
_Text = Annotated[str, Meta(max_length=512)]
_Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
_S = TypeVar("_S")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bundle is. Times in UTC microseconds.

    division, origin: of the node that made it and of its log. root: hex SHA-256 of the root's certificate, as that
    node pins it. pos: the ledger position up to which it was taken; left_out: own events up to there that no checkpoint
    covered yet. below: with every log below. openings: with sealed texts, `reader` being the account that had them
    opened. files, files_sha256: number of lines, and hash, of files.jsonl.
    """

    division: bounds.Code
    name: _Text
    origin: _Text
    root: _Hex
    made_us: bounds.InstantUs
    pos: _Count
    left_out: _Count
    below: bool
    openings: bool
    reader: _Text
    files: _Count
    files_sha256: _Hex


class FileLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle, its path with slashes."""

    path: _Text
    size_bytes: _Count
    sha256: _Hex


class LogLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log. folder: its folder below `logs`, null where only single leaves of it are here. size: leaves in it.

    frozen: why the node takes no more of it, or null.
    """

    origin: _Text
    folder: Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]{0,99}$")] | None
    size: _Count
    frozen: _Text | None


class Run(msgspec.Struct, frozen=True, array_like=True):
    """`count` leaves of a log from `first` on, learned one after the other at `known_us`.

    via: 0 own, 1 from below, 2 from above.
    """

    log: _Count
    first: _Count
    count: Annotated[int, Meta(ge=1, le=MAX_SIZE)]
    via: Literal[0, 1, 2]
    known_us: _Count


class AboveLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf (bytes in base64), its inclusion path from its sibling up, and the signed checkpoint that it leads to."""

    log: _Count
    seq: _Count
    leaf: bytes
    path: Annotated[tuple[bytes, ...], Meta(max_length=64)]
    checkpoint: str


class FaultLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See sync.exchange.faults.Fault; healed_us: since when it is over, or null."""

    kind: str
    subject: str
    child: str
    detail: str
    evidence: bytes
    count: int
    first_us: int
    last_us: int
    healed_us: int | None


class OpeningLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part `part` of `sealed` in a leaf: its texts with their salts, or why the node could not open them."""

    log: _Count
    seq: _Count
    part: _Count
    openings: tuple[Opening, ...]
    withheld: Literal["erased", "no_key", "damaged"] | None


class BundleUnreadable(Exception):
    """The folder is no bundle that this program can read: nothing was verified. Name the right folder, or ask again."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(
            f"无法读取证据包：{zh}，请核对目录或重新索取 / "
            f"the bundle cannot be read: {en}; check the folder or ask for it again"
        )


class FileUnreadable(Exception):
    """One file of the bundle is not what its place says. line: 0-based, null where the whole file is meant."""

    def __init__(self, path: str, why: str, line: int | None = None) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.line = line


class Bundle:
    """The files of one bundle in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str, limit_bytes: int) -> bytes:
        """The whole of a small file. Raises FileUnreadable for one that is missing, no plain file or longer."""
        try:
            handle = os.open(self.folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise FileUnreadable(path, type(error).__name__) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise FileUnreadable(path, "no plain file")
        with os.fdopen(handle, "rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise FileUnreadable(path, f"longer than {limit_bytes} bytes")
        return data

    def lines(self, path: str, shape: type[_S]) -> Iterator[_S]:
        """The lines of a list, one JSON value each, in bounded memory. Raises FileUnreadable."""
        decoder = msgspec.json.Decoder(shape)
        for number, line in enumerate(self._raw_lines(path)):
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, RecursionError, UnicodeError, binascii.Error) as error:
                raise FileUnreadable(path, str(error), number) from error

    def _raw_lines(self, path: str) -> Iterator[bytes]:
        try:
            with (self.folder / path).open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES):
                    if not line.endswith(b"\n"):
                        raise FileUnreadable(path, "a line is cut or longer than any can be")
                    yield line
        except OSError as error:
            raise FileUnreadable(path, type(error).__name__) from error

    def walk(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Every entry below the folder that is no folder itself, by name within each folder: path and entry."""
        yield from _walk(self.folder, "")


def folder_of(log: LogLine) -> str:
    """Where the files of a log lie that is here as a whole."""
    return f"logs/{log.folder}"


def sort_key(path: str) -> list[str]:
    """The order of `walk`, and of files.jsonl."""
    return path.split("/")


def division_in(origin: str) -> Division:
    """Whose log this is by its name alone; an empty code where the name says nothing."""
    return Division((origin.split("/")[1:2] or [""])[0])


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{path}/")
        else:
            yield path, entry
