"""Makes the audit bundle of a node, alone or with everything below it, as of one moment, beside the running node."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from domain.errors import DomainError
from domain.shards import shard_of
from gateway.auditing.bundle import AboveLine, FaultLine, LogLine, Manifest, OpeningLine
from gateway.auditing.rows import HeldLog, Snapshot, path_in, snapshot
from gateway.auditing.writing import BundleWriter, LogWriter
from gateway.hosting import config, founding, policies
from gateway.hosting.config import NodeConfig
from gateway.hosting.databases import database_of
from sync.proofs.note import NoteInvalid, parse_note
from sync.proofs.policy import Policy, check_checkpoint
from sync.proofs.signed_policy import parse_either
from sync.trust.certificates import Directory
from sync.trust.keys import load_keys

Progress = Callable[[str, int, int], None]
"""Told the stage (`leaves`, `order`), how much of it is done now, and of how much in all (0: not known)."""


class ExportRefused(DomainError):
    """The bundle cannot be made so. The message says what to do."""

    code = "export_refused"


class TargetTaken(ExportRefused):
    """Something stands where the bundle should go. Choose another name; nothing is overwritten."""

    code = "export_target_taken"

    def __init__(self, target: Path) -> None:
        super().__init__(
            f"{target} 已存在或有未完成的导出，请另选目录或先将其移走",
            f"{target} is there already, perhaps of an export that broke off; choose another name or move it away",
        )


class NotOnce(ExportRefused):
    """The database has no tables of a node yet. Start the node once."""

    code = "export_nothing"

    def __init__(self) -> None:
        super().__init__("节点尚无日志，请先启动一次节点", "the node has no log yet; start it once")


class Texts(Protocol):
    """Opens sealed texts for a bundle, each reading noted before. reader: the account that reads."""

    reader: str

    def note(self) -> None:
        """Record that everything which can be opened is read for an audit, before any of it is."""

    def openings(self, at: Snapshot, number_of: Callable[[int], int | None]) -> Iterator[OpeningLine]:
        """Every sealed part, opened or not. number_of: a log's place in the bundle by its id."""


def export_bundle(
    folder: Path,
    out: Path,
    made_us: int,
    progress: Progress,
    *,
    below: bool,
    texts: Texts | None = None,
    dsn: str | None = None,
) -> Manifest:
    """Make the bundle of the node in `folder` at `out`, which must not exist or be empty: whole, or not at all.

    texts: opens what is sealed, with which `dsn`, the database of the node that does, is given. Raises TargetTaken,
    NotOnce, ConfigInvalid, KeyFileRefused, OSError where there is no room.
    """
    settings = config.load(folder)
    part = out.with_name(f"{out.name}.part")
    if part.exists() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise TargetTaken(part if part.exists() else out)
    if texts is not None:
        texts.note()
    with database_of(folder) if dsn is None else nullcontext(dsn) as database, _removed_on_failure(part):
        manifest = _write(folder, settings, database, part, made_us, progress, below=below, texts=texts)
        if out.exists():
            out.rmdir()
        part.rename(out)
    return manifest


def _write(
    folder: Path,
    settings: NodeConfig,
    dsn: str,
    part: Path,
    made_us: int,
    progress: Progress,
    *,
    below: bool,
    texts: Texts | None,
) -> Manifest:
    enrolled, keys = founding.enrolment(folder), load_keys(folder / founding.KEYS)
    writer = BundleWriter(part)
    try:
        with snapshot(dsn) as at:
            pos, left_out = at.position()
            logs = at.logs(below=below)
            if not logs:
                raise NotOnce
            certificates = list(dict.fromkeys([*enrolled.certificates, *at.certificates()]))
            directory, _ = Directory(enrolled.root_fingerprint).adding_what_holds(certificates)
            writer.certificates(certificates)
            export = _Export(writer, at, folder, settings, directory, logs, progress)
            export.logs_and_leaves()
            export.order()
            export.faults()
            if texts is not None:
                export.openings(texts)
        said = Manifest(
            division=settings.node.division,
            name=settings.node.name,
            origin=settings.origin,
            root=enrolled.root_fingerprint,
            made_us=made_us,
            pos=pos,
            left_out=left_out,
            below=export.is_complete,
            openings=texts is not None,
            reader=texts.reader if texts is not None else "",
            files=0,
            files_sha256="0" * 64,
        )
        return writer.finish(said, keys.log)
    finally:
        writer.close()


class _Export:
    """The parts of one bundle, in turn."""

    def __init__(
        self,
        writer: BundleWriter,
        at: Snapshot,
        folder: Path,
        settings: NodeConfig,
        directory: Directory,
        logs: list[HeldLog],
        progress: Progress,
    ) -> None:
        self._writer, self._at, self._settings, self._directory = writer, at, settings, directory
        self._folder = folder
        self._logs, self._progress = logs, progress
        self._numbers = {log.id: number for number, log in enumerate(logs)}
        self._total = sum(log.size for log in logs)
        self.is_complete = all(log in logs for log in at.logs(below=True))

    def logs_and_leaves(self) -> None:
        """Every log that is here as a whole: heads, leaves, policy."""
        taken: set[str] = set()
        for log in self._logs:
            name = _free_name(log, taken) if log.size else None
            line = LogLine(log.origin, name, log.size, log.frozen)
            policy = self._policy(log) if name else ""
            writer = self._writer.log(line, policy)
            if writer is not None:
                self._write_log(log, policy, writer)

    def _write_log(self, log: HeldLog, policy: str, writer: LogWriter) -> None:
        read = parse_either(policy, accept_simulated_clock=True) if policy else None
        newest: tuple[str | None, int] = (None, 0)
        secured: tuple[str, int] | None = None
        for size, note, lines in self._at.heads(log.id, log.size):
            text = note + "".join(line for _, line in lines)
            newest = (text, size)
            secured = (text, size) if lines and _is_secured(read, text) else secured
            writer.checkpoint(text)
        for body, leaf in self._at.leaves(log.id, log.size):
            writer.add(bytes(body), bytes(leaf))
            self._progress("leaves", 1, self._total)
        writer.finish(*(secured or newest))

    def _policy(self, log: HeldLog) -> str:
        """What the node publishes of its own log; of a log below, that one of those above its author has cosigned."""
        cosigned_by = partial(self._at.cosigned_by, log.id)
        own = self._settings.node
        if log.division == own.division:  # of each of its shards
            node = msgspec.structs.replace(own, shard=shard_of(log.origin) or own.shard)
            settings = msgspec.structs.replace(self._settings, node=node)
            return policies.published(self._folder, settings, self._directory, cosigned_by).text
        is_simulated = self._settings.clock.kind == "shared"
        return policies.policy_of_replica(self._directory, log.origin, cosigned_by, simulated_clock=is_simulated)

    def order(self) -> None:
        """What the node learned, in order, with the single leaves themselves."""
        for row in self._at.learned([log for log in self._logs if log.size]):
            number = self._numbers[row.log_id]
            self._writer.learned(number, row.seq, row.via, row.known_us)
            if row.body is not None:
                path = path_in(bytes(row.path or b""))
                line = AboveLine(number, row.seq, bytes(row.body), path, str(row.checkpoint))
                self._writer.above(line)
            self._progress("order", 1, self._total)

    def faults(self) -> None:
        """Every fault with its evidence."""
        for row in self._at.faults():
            self._writer.fault(msgspec.convert(dict(zip(FaultLine.__struct_fields__, row, strict=True)), FaultLine))

    def openings(self, texts: Texts) -> None:
        """What is sealed, opened."""
        self._writer.with_openings()
        for line in texts.openings(self._at, self._numbers.get):
            self._writer.opening(line)


def _is_secured(policy: Policy | None, head: str) -> bool:
    """Whether the whole quorum signed it: the newest such head is what the folder shows as the log's checkpoint."""
    try:
        return policy is not None and bool(check_checkpoint(policy, parse_note(head.encode())))
    except NoteInvalid:
        return False


def _free_name(log: HeldLog, taken: set[str]) -> str:
    """A folder's name: division and shard, as far as they are plain; numbered where two logs would share it."""
    shard = "".join(char for char in log.origin.rpartition("/")[2] if char.isascii() and char.isalnum())
    plain = f"{log.division}-{shard}"[:40]
    name, number = plain, 1
    while name in taken:
        number += 1
        name = f"{plain}.{number}"
    taken.add(name)
    return name


@contextmanager
def _removed_on_failure(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
