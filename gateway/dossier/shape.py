"""The evidence of one case as files: what lies where, in which shape, as a folder or as one deterministic zip.

manifest             a signed note: `huiyin-dossier/v0`, one line of JSON (`Dossier`); unsigned where it is an excerpt
files.jsonl          every other file with its size and SHA-256 (`FileLine`), by name
certificates.jsonl   the certificates that the case needs, each a JSON string
logs.jsonl           the logs (`LogLine`); a log is named by its number in this list everywhere else
logs/<n>/policy      C2SP tlog-policy of a log, where the node has one
steps.jsonl          the events in the order in which they were recorded (`StepLine`)
events/<nnnn>.leaf        an event, byte for byte as it stands in its log
events/<nnnn>.tlog-proof  C2SP tlog-proof@v1: leaf, path, checkpoint with its signatures
links.jsonl          that the checkpoints of one log continue each other (`LinkLine`)
openings.jsonl       only where asked for: the sealed texts opened, or why not (`OpeningLine`)

and what is made from these alone, so that whoever checks makes it again and compares: README.txt, cover.pdf,
events/<nnnn>.json, papers/<nnnn>.pdf. A step's number, from 1, is the <nnnn> of its files.
"""

import re
import stat
import zipfile
import zlib
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from domain import bounds
from sync.proofs.merkle import MAX_SIZE
from sync.sealed.commitment import Opening

FORMAT: Final = "huiyin-dossier/v0"
MANIFEST: Final = "manifest"
FILES: Final = "files.jsonl"
CERTIFICATES: Final = "certificates.jsonl"
LOGS: Final = "logs.jsonl"
STEPS: Final = "steps.jsonl"
LINKS: Final = "links.jsonl"
OPENINGS: Final = "openings.jsonl"
README: Final = "README.txt"
COVER: Final = "cover.pdf"

MAX_FILES: Final = 40_000
MAX_TOTAL_BYTES: Final = 512 << 20
"""All of it is held in memory: some ten thousand events with their proofs."""

_NAME: Final = re.compile(r"(?:[0-9A-Za-z][0-9A-Za-z._-]{0,63}/){0,2}[0-9A-Za-z][0-9A-Za-z._-]{0,63}", re.ASCII)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip: it says when nothing was made, so that the same evidence has the same bytes."""

_Count = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
_Text = Annotated[str, Meta(max_length=512)]
_Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
_S = TypeVar("_S")

Files = dict[str, bytes]
"""A dossier in memory: file by name."""


class Dossier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it is. Times in UTC microseconds.

    division, name, origin: of the node that knows the case so, by its certificate, and of its log. root: hex SHA-256 of
    the root's certificate, as that node pins it. below: it knows everything below it. left_out: events of the case that
    no checkpoint covered yet. openings: with sealed texts, `reader` being the account that had them opened.
    excerpt_of: hex SHA-256 of the manifest of the bundle that somebody took it from; null where the node made it and
    signs. setter: the program that set the PDF files, which another edition may set otherwise. files, files_sha256:
    number of lines, and hash, of files.jsonl.
    """

    case: UUID
    division: bounds.Code
    name: _Text
    origin: _Text
    root: _Hex
    made_us: bounds.InstantUs
    below: bool
    left_out: _Count
    openings: bool
    reader: _Text
    excerpt_of: _Hex | None
    setter: _Text
    files: _Count
    files_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$|^$")]


class FileLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file, its name with slashes."""

    path: _Text
    size_bytes: _Count
    sha256: _Hex


class LogLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log by its origin. has_policy: its policy is here."""

    origin: _Text
    has_policy: bool


class StepLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event of the case. order: its number, from 0, in the order in which the node learned them. via: 0 own, 1 from
    below, 2 from above. learned_us: by the node's own word, too."""

    log: _Count
    seq: _Count
    order: _Count
    via: Literal[0, 1, 2]
    learned_us: bounds.InstantUs


class LinkLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the checkpoint of `new_size` leaves continues that of `old_size`: a consistency proof (RFC 6962)."""

    log: _Count
    old_size: _Count
    new_size: _Count
    path: Annotated[tuple[bytes, ...], Meta(max_length=128)]


class OpeningLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part `part` of `sealed` in step `step` (from 1): its texts with their salts, or why they could not be opened."""

    step: _Count
    part: _Count
    openings: tuple[Opening, ...]
    withheld: Literal["erased", "no_key", "damaged"] | None


class DossierUnreadable(Exception):
    """It is no dossier that this program can read: nothing was verified. Name the right file, or ask again."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(
            f"无法读取事项证据：{zh}，请核对文件或重新索取 / "
            f"the evidence of the case cannot be read: {en}; check the file or ask for it again"
        )


def event_file(number: int, kind: str) -> str:
    """The file of step `number`, from 1. kind: leaf, tlog-proof or json."""
    return f"events/{number:04d}.{kind}"


def paper_file(number: int) -> str:
    """The paper that step `number`, from 1, stands for."""
    return f"papers/{number:04d}.pdf"


def policy_file(log: int) -> str:
    """The policy of the log of that number."""
    return f"logs/{log}/policy"


def lines_of(values: "list[Any]") -> bytes:
    """A list, one JSON value a line."""
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


def read_lines(data: bytes, shape: type[_S]) -> list[_S]:
    """The values of such a list. Raises ValueError for anything else."""
    decoder = msgspec.json.Decoder(shape)
    if data and not data.endswith(b"\n"):
        raise ValueError("a line is cut")
    try:
        return [decoder.decode(line) for line in data.split(b"\n")[:-1]]
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def listed(files: Files) -> list[FileLine]:
    """Every file but the list itself and the manifest, by name."""
    names = sorted(name for name in files if name not in (FILES, MANIFEST))
    return [FileLine(name, len(files[name]), sha256(files[name]).hexdigest()) for name in names]


def zipped(files: Files) -> bytes:
    """The dossier as one file: the same bytes for the same dossier."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(entry, files[name])
    return out.getvalue()


def is_dossier(path: Path) -> bool:
    """Whether this is a zip, or a folder whose manifest begins like that of a dossier."""
    if path.is_dir():
        try:
            with (path / MANIFEST).open("rb") as file:
                return file.read(len(FORMAT) + 1) == FORMAT.encode() + b"\n"
        except OSError:
            return False
    return zipfile.is_zipfile(path)


def read_files(path: Path) -> Files:
    """The files of a dossier, a zip or a folder. Raises DossierUnreadable, OSError."""
    return _read_folder(path) if path.is_dir() else _read_zip(path)


def _read_zip(path: Path) -> Files:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_extent(len(entries), sum(entry.file_size for entry in entries))
            if archive.comment or min((entry.header_offset for entry in entries), default=0):
                raise DossierUnreadable("压缩包之外另有内容", "something stands before or behind the zip itself")
            if len({entry.filename for entry in entries}) != len(entries):
                raise DossierUnreadable("同一文件出现两次", "it holds a file twice")
            for entry in entries:
                _check_name(entry.filename)
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise DossierUnreadable("压缩方式不当", "it is packed in another way than deflate")
            return {entry.filename: _member(archive, entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        raise DossierUnreadable("压缩包损坏", f"the zip is damaged ({type(error).__name__})") from error


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(entry.file_size)


def _read_folder(folder: Path) -> Files:
    found = [path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink()]
    for path in found:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DossierUnreadable("含有链接或特殊文件", "it holds something else than plain files and folders")
        _check_name(path.relative_to(folder).as_posix())
    _check_extent(len(found), sum(path.lstat().st_size for path in found))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _check_extent(count: int, size_bytes: int) -> None:
    if count > MAX_FILES or size_bytes > MAX_TOTAL_BYTES:
        raise DossierUnreadable("文件过多或过大", f"it has more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DossierUnreadable("含有名称不当的文件", f"{name[:80]!a} is no name that a file of it may have")
