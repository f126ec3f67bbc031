"""Writes a bundle's files, each log in the order of its leaves, in memory that does not grow with them."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.auditing.bundle import (
    ABOVE,
    CERTIFICATES,
    CHECKPOINTS,
    FAULTS,
    FILES,
    FORMAT,
    LOGS,
    MANIFEST,
    OPENINGS,
    ORDER,
    POLICY,
    AboveLine,
    Bundle,
    FaultLine,
    FileLine,
    LogLine,
    Manifest,
    OpeningLine,
    Run,
    folder_of,
)
from gateway.auditing.manifest import digest_of
from sync.proofs.merkle import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, Frontier
from sync.proofs.note import Signer, sign_note
from sync.proofs.tiles import CHECKPOINT, TilePath, entry_bundle, parse_entry_bundle, tile_paths, tile_width


class BundleWriter:
    """A bundle on its way, in a folder that is new."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._lists: dict[str, BinaryIO] = {}
        self._encoder = msgspec.json.Encoder()
        for name in (CERTIFICATES, LOGS, ABOVE, ORDER, FAULTS):
            self._open(name)
        self._run: Run | None = None

    def close(self) -> None:
        """Let the files go; safe to call twice."""
        for file in self._lists.values():
            file.close()

    def certificates(self, texts: Iterable[str]) -> None:
        """Every certificate."""
        for text in texts:
            self._line(CERTIFICATES, text)

    def log(self, line: LogLine, policy: str = "") -> "LogWriter | None":
        """The next log of the list; what writes its leaves, where it is here as a whole."""
        self._line(LOGS, line)
        if line.folder is None:
            return None
        folder = self._folder / folder_of(line)
        folder.mkdir(parents=True)
        (folder / POLICY).write_text(policy, "utf-8")
        return LogWriter(folder)

    def learned(self, log: int, seq: int, via: int, known_us: int) -> None:
        """The next leaf in the order learned; those that follow each other in all become one run."""
        run = self._run
        is_next = run is not None and (run.log, run.via, run.known_us) == (log, via, known_us)
        if run is not None and is_next and seq == run.first + run.count:
            self._run = Run(log, run.first, run.count + 1, run.via, known_us)
            return
        self._flush_run()
        self._run = msgspec.convert((log, seq, 1, via, known_us), Run)

    def above(self, line: AboveLine) -> None:
        """The single leaf that was just said to be learned."""
        self._line(ABOVE, line)

    def fault(self, line: FaultLine) -> None:
        """One fault."""
        self._line(FAULTS, line)

    def opening(self, line: OpeningLine) -> None:
        """One sealed part, opened or not; only where the manifest says that texts are opened."""
        self._line(OPENINGS, line)

    def with_openings(self) -> None:
        """Openings are among what is written, even if there are none."""
        self._open(OPENINGS)

    def finish(self, manifest: Manifest, signer: Signer) -> Manifest:
        """List and hash every file as it lies there, and sign; fills in `files` and `files_sha256` of the manifest."""
        self._flush_run()
        self.close()
        count, digest = 0, sha256()
        with (self._folder / FILES).open("wb") as files:
            for path, entry in Bundle(self._folder).walk():
                if path == FILES:
                    continue
                line = FileLine(path, entry.stat().st_size, digest_of(self._folder / path))
                data = self._encoder.encode(line) + b"\n"
                files.write(data)
                digest.update(data)
                count += 1
        signed = msgspec.structs.replace(manifest, files=count, files_sha256=digest.hexdigest())
        note = sign_note(f"{FORMAT}\n{self._encoder.encode(signed).decode()}\n", signer)
        (self._folder / MANIFEST).write_bytes(note.to_bytes())
        return signed

    def _flush_run(self) -> None:
        if self._run is not None:
            self._line(ORDER, self._run)
        self._run = None

    def _open(self, name: str) -> None:
        self._lists[name] = (self._folder / name).open("wb")

    def _line(self, name: str, value: object) -> None:
        self._lists[name].write(self._encoder.encode(value) + b"\n")


class LogWriter:
    """One log as C2SP tlog-tiles, with every kept checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._frontier = Frontier()
        self._checkpoints = (folder / CHECKPOINTS).open("wb")

    def add(self, entry: bytes, leaf_hash: bytes) -> None:
        """The next leaf and its hash as it is kept."""
        self._entries.append(entry)
        self._levels[0].append(leaf_hash)
        if len(self._entries) == TILE_WIDTH:
            self._flush()

    def checkpoint(self, note: str) -> None:
        """The next larger head, with the cosignature lines kept for it."""
        self._checkpoints.write(msgspec.json.encode(note) + b"\n")

    def finish(self, newest: str | None, newest_size: int = 0) -> None:
        """Write the partial tiles at the right edge. newest: the newest cosigned head, else the newest.

        newest_size: where that is not the last head, so that its own partial tiles are there, too: other people's
        programs ask for those.
        """
        self._flush()
        for level, hashes in enumerate(self._levels):
            if level and hashes:
                self._write_tile(level, self._frontier.size >> TILE_HEIGHT * (level + 1), hashes)
        if newest is not None:
            (self._folder / CHECKPOINT).write_text(newest, "utf-8")
            self._write_shown(newest_size)
        self._checkpoints.close()

    def _write_shown(self, size: int) -> None:
        for path in tile_paths(size):
            width = tile_width(path.level, path.index, self._frontier.size)
            if path.width != width:
                held = (self._folder / str(TilePath(path.level, path.index, width))).read_bytes()
                part = parse_entry_bundle(held, width)[: path.width] if path.level is None else ()
                self._write(path, entry_bundle(part) if part else held[: path.width * HASH_BYTES])

    def _flush(self) -> None:
        if not self._entries:
            return
        index = self._frontier.size // TILE_WIDTH
        hashes = self._levels[0]
        self._write(TilePath(None, index, len(self._entries)), entry_bundle(self._entries))
        self._write_tile(0, index, hashes)
        self._frontier, runs = self._frontier.extend(hashes)
        self._entries, self._levels[0] = [], []
        for run in runs:
            while len(self._levels) <= run.level:
                self._levels.append([])
            level = self._levels[run.level]
            level += run.hashes
            if len(level) == TILE_WIDTH:  # 256 leaves complete at most one subtree of each level
                self._write_tile(run.level, run.start // TILE_WIDTH, level)
                level.clear()

    def _write_tile(self, level: int, index: int, hashes: Sequence[bytes]) -> None:
        self._write(TilePath(level, index, len(hashes)), b"".join(hashes))

    def _write(self, path: TilePath, data: bytes) -> None:
        file = self._folder / str(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
