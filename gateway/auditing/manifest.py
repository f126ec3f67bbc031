"""Whether a bundle is whole: every file that its signed manifest lists, as it lists it, and nothing besides."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from gateway.auditing.bundle import (
    FILES,
    FORMAT,
    MANIFEST,
    Bundle,
    BundleUnreadable,
    FileLine,
    FileUnreadable,
    Manifest,
    sort_key,
)
from gateway.auditing.findings import Findings
from sync.proofs.note import MAX_NOTE_BYTES, Note, NoteInvalid, Verifier, parse_note, verify

CHUNK_BYTES = 1 << 20


def read_manifest(bundle: Bundle) -> tuple[Manifest, Note]:
    """What the bundle says it is; nothing is verified yet. Raises BundleUnreadable."""
    try:
        note = parse_note(bundle.read(MANIFEST, MAX_NOTE_BYTES))
        kind, line, rest = note.text.split("\n")
        manifest = msgspec.json.decode(line, type=Manifest)
    except FileUnreadable as error:
        raise BundleUnreadable("没有清单文件", f"there is no manifest ({error})") from error
    except (NoteInvalid, ValueError, RecursionError) as error:
        raise BundleUnreadable("清单无法解读", f"its manifest cannot be understood ({error})") from error
    if kind != FORMAT or rest or msgspec.json.encode(manifest).decode() != line:
        raise BundleUnreadable("不是本程序所知的格式", f"it is no {FORMAT}, or not written in its one way")
    return manifest, note


def check_manifest(note: Note, keys: list[Verifier], findings: Findings) -> None:
    """That the node which the manifest names has signed it. keys: those its log was certified with."""
    try:
        verify(note, keys)
    except NoteInvalid as error:
        findings.add("manifest_unsigned", detail=str(error))


def check_files(bundle: Bundle, manifest: Manifest, findings: Findings, progress: Callable[[int], None]) -> None:
    """Compare what lies there with files.jsonl, both in one order, file by file. progress: told bytes read.

    Raises BundleUnreadable where there is something else than plain files: it could lead anywhere.
    """
    listed = _Listed(bundle, manifest, findings)
    for path, entry in bundle.walk():
        if not entry.is_file(follow_symlinks=False):
            raise BundleUnreadable("含有链接或特殊文件", f"{path!a} is neither a plain file nor a folder")
        if path == MANIFEST:
            continue
        if path == FILES:
            if digest_of(bundle.folder / path, progress) != manifest.files_sha256:
                findings.add("file_altered", detail=path)
            continue
        line = listed.at(path)
        if line is None:
            findings.add("file_extra", detail=path)
        elif entry.stat(follow_symlinks=False).st_size != line.size_bytes:
            findings.add("file_altered", detail=f"{path}: {line.size_bytes} bytes are listed")
        elif digest_of(bundle.folder / path, progress) != line.sha256:
            findings.add("file_altered", detail=path)
    listed.finish()


class _Listed:
    """The lines of files.jsonl, taken in step with what is there."""

    def __init__(self, bundle: Bundle, manifest: Manifest, findings: Findings) -> None:
        self._lines: Iterator[FileLine] = bundle.lines(FILES, FileLine)
        self._manifest = manifest
        self._findings = findings
        self._taken = 0
        self._next = self._read()

    def at(self, path: str) -> FileLine | None:
        """The line about this file; those before it that nothing lies there for are missing files."""
        while self._next is not None and sort_key(self._next.path) < sort_key(path):
            self._findings.add("file_missing", detail=self._next.path)
            self._next = self._read()
        line = self._next
        if line is None or line.path != path:
            return None
        self._next = self._read()
        return line

    def finish(self) -> None:
        """What is listed beyond is missing, too."""
        while self._next is not None:
            self._findings.add("file_missing", detail=self._next.path)
            self._next = self._read()
        if self._taken != self._manifest.files:
            self._findings.add("file_altered", detail=f"{FILES}: {self._manifest.files} lines were signed for")

    def _read(self) -> FileLine | None:
        try:
            line = next(self._lines, None)
        except FileUnreadable as error:
            self._findings.add("file_unreadable", index=error.line, detail=str(error))
            return None
        self._taken += line is not None
        return line


def digest_of(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """Hex SHA-256 of a file of any size."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()
