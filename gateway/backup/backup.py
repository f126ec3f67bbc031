"""A node in one file: its configuration, its trust, its keys and its database, saved as of one moment while it runs.

Inside the sealed file (gateway/backup/backup_file.py) stand blocks, each after its length in 4 bytes: the manifest, the
contents, then the rows of each table that the contents name, in that order, as PostgreSQL's binary COPY cut into
blocks and ended by an empty one. gateway/backup/restore.py reads them.

Saved is every table of every schema that migrations made, whatever it is called. Views are made anew from the
ledger, and channels are pipes: neither is saved.
"""

import os
import struct
import tempfile
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from domain.divisions import Division
from gateway.backup.backup_file import COST, BackupRefused, Cost, SealedWriter
from gateway.hosting.config import FILE_NAME, NodeConfig, load
from sync.ledger.connections import connect
from sync.trust.keys import flush_folder

FORMAT: Final = 1

Progress = Callable[[str, int], None]
"""Told the table's name and how many bytes of it are done."""

BLOCK_BYTES: Final = 256 * 1024
CONTENTS_LIMIT_BYTES: Final = 16 << 20
LENGTH: Final = struct.Struct(">I")
FOLDERS: Final = ("trust", "keys")
MIGRATIONS: Final = MappingProxyType({"public": ("sync", "sql"), "web": ("gateway", "sql")})
"""Which files made a schema. One that is not named here cannot be saved, and says so at the first backup."""


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is. pos: last ledger position; own_size: leaves of the own log; made_us: UTC microseconds."""

    format: int
    division: Division
    name: str
    origin: str
    pos: int
    own_size: int
    made_us: int


class Schema(msgspec.Struct, frozen=True):
    """A schema and the migrations it had: file name to SHA-256."""

    name: str
    migrations: dict[str, bytes]


class Table(msgspec.Struct, frozen=True):
    """A table and its columns in the order in which they are saved."""

    schema: str
    name: str
    columns: list[str]

    @property
    def full_name(self) -> str:
        """As people write it."""
        return f"{self.schema}.{self.name}"

    def copy(self, way: str) -> sql.Composed:
        """COPY of all rows. way: `to stdout` or `from stdin`."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        target = sql.Identifier(self.schema, self.name)
        return sql.SQL("copy {} ({}) " + way + " (format binary)").format(target, columns)


class Contents(msgspec.Struct, frozen=True):
    """What follows in the file, and the small files themselves by their path in the node's folder."""

    files: dict[str, bytes]
    schemas: list[Schema]
    tables: list[Table]


class TargetTaken(BackupRefused):
    """Something stands where the backup should go. Choose another name; nothing is overwritten."""

    code = "backup_target_taken"

    def __init__(self, target: Path) -> None:
        super().__init__(
            f"{target} 已存在或其目录不存在，请另选文件名",
            f"{target} exists already or its folder does not; choose another name",
        )


class OtherNode(BackupRefused):
    """Folder, database or backup belong to another node than was asked for. Name the right one."""

    code = "other_node"

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(
            f"这是 {found} 的数据，不是 {expected} 的，请核对",
            f"this belongs to {found}, not to {expected}; name the right one",
        )


class NothingToSave(BackupRefused):
    """The database has no tables of a node, or some that this program does not know. Start the node once."""

    code = "nothing_to_save"

    def __init__(self) -> None:
        super().__init__(
            "数据库中没有本程序所知的节点数据，请先用本版本启动一次节点",
            "the database is not that of a node as this program knows it; start the node with this version once",
        )


class FolderTooLarge(BackupRefused):
    """Something that is neither trust nor a key lies in those folders. Move it elsewhere."""

    code = "folder_too_large"

    def __init__(self) -> None:
        super().__init__(
            "trust 或 keys 目录中有不属于那里的大文件，请移走后重试",
            "the folders trust and keys hold large files that do not belong there; move them and try again",
        )


def make_backup(
    folder: Path,
    dsn: str,
    target: Path,
    passphrase: str,
    progress: Progress,
    *,
    made_us: int,
    cost: Cost = COST,
) -> Manifest:
    """Save the node of `folder` and `dsn` as of one moment into the new file `target`, on the disk on return.

    The node may run meanwhile and waits for nothing. made_us: UTC microseconds, the caller's clock. Raises
    TargetTaken, PassphraseWeak, OtherNode, NothingToSave, FolderTooLarge, ConfigInvalid, psycopg.Error, OSError; then
    no file is left.
    """
    target = target.absolute()
    if target.exists() or not target.parent.is_dir():
        raise TargetTaken(target)
    handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")  # for its owner alone
    try:
        with os.fdopen(handle, "wb") as file:
            manifest = _save(folder, dsn, SealedWriter(file, passphrase, cost), progress, made_us)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, target)
    except BaseException:
        os.unlink(draft)
        raise
    flush_folder(target.parent)
    return manifest


def _save(folder: Path, dsn: str, sealed: SealedWriter, progress: Progress, made_us: int) -> Manifest:
    config = load(folder)
    with connect(dsn) as conn:
        # A large table takes as long as it takes.
        conn.execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
        conn.commit()
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        schemas = _schemas(conn)
        manifest = _manifest(conn, config, made_us)
        # Read after the snapshot was taken: a key that the snapshot speaks of is among them.
        contents = Contents(_read_files(folder), schemas, saved_tables(conn))
        _put(sealed, msgspec.msgpack.encode(manifest))
        _put(sealed, _encoded(contents))
        for table in contents.tables:
            _save_rows(conn, table, sealed, progress)
    sealed.finish()
    return manifest


def _schemas(conn: psycopg.Connection) -> list[Schema]:
    names = conn.execute("select schemaname from pg_tables where tablename = 'migration' order by 1").fetchall()
    if ("public",) not in names or any(name not in MIGRATIONS for (name,) in names):
        raise NothingToSave
    query = sql.SQL("select name, sha256 from {}")
    return [
        Schema(name, dict(conn.execute(query.format(sql.Identifier(name, "migration"))).fetchall()))
        for (name,) in names
    ]


def _manifest(conn: psycopg.Connection, config: NodeConfig, made_us: int) -> Manifest:
    node = config.node
    owner = conn.execute(
        "select division, origin from public.log, public.head order by (id = head.log_id) desc, id limit 1"
    ).fetchone()
    if owner is not None and owner[0] != node.division:
        raise OtherNode(owner[0], node.division)
    origin = config.origin if owner is None else owner[1]
    ((pos, own_size),) = conn.execute("select pos, own_size from public.head").fetchall()
    return Manifest(FORMAT, node.division, node.name, origin, pos, own_size, made_us)


def saved_tables(conn: psycopg.Connection) -> list[Table]:
    """Every table of every schema that keeps track of migrations, each after those that it refers to."""
    found = conn.execute(
        "select c.oid, n.nspname, c.relname, array(select attname::text from pg_attribute where attrelid = c.oid"
        " and attnum > 0 and not attisdropped and attgenerated = '' order by attnum)"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r'"
        " and n.nspname in (select schemaname from pg_tables where tablename = 'migration') order by 2, 3"
    ).fetchall()
    tables = {oid: Table(schema, name, columns) for oid, schema, name, columns in found}
    order: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(tables, ()))
    for child, parent in conn.execute(
        "select conrelid, confrelid from pg_constraint where contype = 'f' and conrelid <> confrelid"
    ):
        if child in tables:
            order.add(child, parent)
    return [tables[oid] for oid in order.static_order()]


def _read_files(folder: Path) -> dict[str, bytes]:
    paths = [folder / FILE_NAME]
    paths += [path for name in FOLDERS for path in sorted((folder / name).rglob("[!.]*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _encoded(contents: Contents) -> bytes:
    block = msgspec.msgpack.encode(contents)
    if len(block) > CONTENTS_LIMIT_BYTES:
        raise FolderTooLarge
    return block


def _save_rows(conn: psycopg.Connection, table: Table, sealed: SealedWriter, progress: Progress) -> None:
    waiting, done_bytes = bytearray(), 0
    with conn.cursor() as cursor, cursor.copy(table.copy("to stdout")) as copy:
        for data in copy:
            waiting += data
            while len(waiting) >= BLOCK_BYTES:
                _put(sealed, bytes(waiting[:BLOCK_BYTES]))
                del waiting[:BLOCK_BYTES]
                done_bytes += BLOCK_BYTES
                progress(table.full_name, done_bytes)
    _put(sealed, bytes(waiting))
    progress(table.full_name, done_bytes + len(waiting))
    if waiting:
        _put(sealed, b"")


def _put(sealed: SealedWriter, block: bytes) -> None:
    sealed.write(LENGTH.pack(len(block)))
    sealed.write(block)
