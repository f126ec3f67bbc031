"""A node from its backup: a new folder and an empty database become what was saved, whole or not at all."""

import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.divisions import Division
from gateway.backup.backup import (
    BLOCK_BYTES,
    CONTENTS_LIMIT_BYTES,
    FOLDERS,
    FORMAT,
    LENGTH,
    MIGRATIONS,
    Contents,
    Manifest,
    OtherNode,
    Progress,
)
from gateway.backup.backup_file import BackupDamaged, BackupNewer, BackupRefused, SealedReader
from gateway.backup.restored import RESTORED, Restored
from gateway.casework.store_postgres import skip_numbers
from gateway.hosting.config import FILE_NAME, Channels, Database, Http, NodeConfig, write
from gateway.hosting.databases import NODE_DATABASE, SERVER_FOLDER
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.store_postgres import PostgresTx
from sync.ledger.connections import connect
from sync.ledger.migrations import migrate
from sync.trust.keys import flush_folder, write_private

"""Where a node without a database of its own has the embedded one, and what it is called there."""

NUMBERS_SKIPPED: Final = 1 << 32
"""More than a node says to one child between a backup and its loss."""

T = TypeVar("T")


class Changes(msgspec.Struct, frozen=True):
    """What is different at the new place: whole sections that replace those of the saved node.toml."""

    http: Http | None = None
    database: Database | None = None
    channel: Channels | None = None


AS_SAVED: Final = Changes()


class FolderNotEmpty(BackupRefused):
    """A node is restored into a folder of its own. Choose one that is missing or empty, and no mount point."""

    code = "folder_not_empty"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} 不是空目录（或是挂载点、链接），请另选一个新目录",
            f"{folder} is not empty (or a mount point, or a link); choose a new folder",
        )


class DatabaseNotEmpty(BackupRefused):
    """The database named for the restored node holds tables already. Name an empty one."""

    code = "database_not_empty"

    def __init__(self, table: str) -> None:
        super().__init__(
            f"数据库中已有表 {table}，请指定一个空数据库",
            f"the database holds {table} already; name an empty database",
        )


def restore_backup(
    source: Path,
    folder: Path,
    passphrase: str,
    progress: Progress,
    *,
    changes: Changes = AS_SAVED,
    expected: Division | None = None,
) -> Manifest:
    """Make `folder`, which must be missing or empty, and an empty database the node that was saved in `source`.

    The database is the one that `changes` or the saved node.toml names, filled in one transaction; where none is
    named it is the embedded one in `folder`. The folder appears last and whole, with the mark of a restored node
    (gateway/backup/restored.py). Everybody is signed out. expected: refuse the backup of any other division.

    Raises PassphraseWrong, BackupDamaged, NotABackup, BackupNewer, FolderNotEmpty, DatabaseNotEmpty, OtherNode,
    PostgresServerError, psycopg.Error, OSError; then nothing is there that looks like a node.
    """
    folder = folder.absolute()
    if not _is_free(folder):
        raise FolderNotEmpty(folder)
    with source.open("rb") as file:
        blocks = _Blocks(SealedReader(file, passphrase))
        manifest = blocks.read(Manifest)
        if expected is not None and manifest.division != expected:
            raise OtherNode(manifest.division, expected)
        contents = blocks.read(Contents)
        config = _config(contents, changes)
        with _staging(folder) as staging:
            with _database(staging, config) as dsn:
                _prepare(dsn, contents, staging)
                with connect(dsn) as conn:
                    _fill(conn, contents, blocks, progress)
                    ask_before_writing(conn, manifest.made_us)
                    _write_files(staging, contents, manifest, config if changes != AS_SAVED else None)
            try:
                staging.rename(folder)
            except OSError as error:
                raise FolderNotEmpty(folder) from error
    flush_folder(folder.parent)
    return manifest


class _Blocks:
    """The blocks of a sealed file, in order."""

    def __init__(self, sealed: SealedReader) -> None:
        self._sealed = sealed
        self.expect_end = sealed.expect_end

    def next(self, limit_bytes: int) -> bytes:
        """The next block. Raises BackupDamaged where it is longer than this program ever wrote."""
        (size_bytes,) = LENGTH.unpack(self._sealed.read(LENGTH.size))
        if size_bytes > limit_bytes:
            raise BackupDamaged
        return self._sealed.read(size_bytes)

    def read(self, shape: type[T]) -> T:
        """The manifest or the contents. Raises BackupNewer where this program cannot know what it means."""
        block = self.next(CONTENTS_LIMIT_BYTES)
        try:
            found = msgspec.msgpack.decode(block, type=shape)
        except msgspec.ValidationError as error:
            raise BackupNewer from error
        if isinstance(found, Manifest) and found.format != FORMAT:
            raise BackupNewer
        return found


def _is_free(folder: Path) -> bool:
    if folder.is_symlink() or folder.is_mount():
        return False
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _config(contents: Contents, changes: Changes) -> NodeConfig:
    try:
        saved = msgspec.convert(tomllib.loads(contents.files[FILE_NAME].decode()), NodeConfig)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BackupNewer from error  # it was right for the program that saved it
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not None}
    return msgspec.structs.replace(saved, **given)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` for its owner alone, which is gone afterwards unless it was renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.restoring-"))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _database(staging: Path, config: NodeConfig) -> Iterator[str]:
    if config.database.dsn:
        yield config.database.dsn
        return
    server = PostgresServer(staging / SERVER_FOLDER)
    try:
        with server:
            server.create_database(NODE_DATABASE)
            yield server.dsn(NODE_DATABASE)
    finally:
        # It may stand outside, where a path is too long for a socket, and would never be used again.
        shutil.rmtree(str(conninfo_to_dict(server.dsn())["host"]), ignore_errors=True)


def _prepare(dsn: str, contents: Contents, no_scripts: Path) -> None:
    """Refuse a database that holds anything, and give it the empty tables in which migrations are kept."""
    with connect(dsn) as conn:
        # Lanes may be made by whoever comes first to a database that carries a channel too.
        known = conn.execute(
            "select schemaname, tablename from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema', 'channel') order by 1, 2"
        ).fetchall()
        for schema, table in known:
            name = sql.Identifier(schema, table)
            if table != "migration" or conn.execute(sql.SQL("select 1 from {} limit 1").format(name)).fetchone():
                raise DatabaseNotEmpty(f"{schema}.{table}")
        for saved in contents.schemas:
            conn.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(saved.name)))
    for saved in contents.schemas:
        migrate(make_conninfo(dsn, options=f"-c search_path={saved.name}"), no_scripts)


def _fill(conn: psycopg.Connection, contents: Contents, blocks: _Blocks, progress: Progress) -> None:
    """Bring the database to where it was, tables and rows; the caller's transaction makes it all true at once."""
    for schema in contents.schemas:
        conn.execute("select set_config('search_path', %s, true)", (schema.name,))
        scripts = [_script(schema.name, name, digest) for name, digest in sorted(schema.migrations.items())]
        for script in scripts:  # each of them known: a later one may rest on one that this program lacks
            conn.execute(script)
    conn.execute("set local search_path to default")
    tables = [sql.Identifier(table.schema, table.name) for table in contents.tables]
    conn.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))  # rows that migrations put there
    for table in contents.tables:
        done_bytes = 0
        with conn.cursor() as cursor, cursor.copy(table.copy("from stdin")) as copy:
            while block := blocks.next(BLOCK_BYTES):
                copy.write(block)
                done_bytes += len(block)
                progress(table.full_name, done_bytes)
    blocks.expect_end()


def ask_before_writing(conn: psycopg.Connection, made_us: int) -> None:
    """In a database as of `made_us`, what must not simply go on, because others have gone on since."""
    PostgresTx(conn).ask_held(os.urandom(16))
    # A child takes no number twice, and it has had some since: those would be lost on it without a word.
    conn.execute("update public.child set down_size = down_size + %s", (NUMBERS_SKIPPED,))
    if conn.execute("select to_regclass('web.session')").fetchone() != (None,):
        skip_numbers(conn, made_us)
        conn.execute("delete from web.session")  # one that was ended since must not come to life again
    if conn.execute("select to_regclass('web.auditor_token')").fetchone() != (None,):
        conn.execute(  # the same of a token that was revoked since
            "update web.auditor_token set revoked_us = %s where revoked_us is null", (made_us,)
        )


def _script(schema: str, name: str, digest: bytes) -> bytes:
    if schema not in MIGRATIONS:
        raise BackupNewer
    room, folder = MIGRATIONS[schema]
    script = files(room) / folder / name
    if not script.is_file() or hashlib.sha256(script.read_bytes()).digest() != digest:
        raise BackupNewer
    return script.read_bytes()


def _write_files(staging: Path, contents: Contents, manifest: Manifest, changed: NodeConfig | None) -> None:
    """Keys first and node.toml last, so that nothing unfinished looks like a node."""
    mark = Restored(manifest.made_us, manifest.pos, manifest.own_size)
    saved = {**contents.files, str(RESTORED): msgspec.json.encode(mark)}
    settings = saved.pop(FILE_NAME)
    for name, content in saved.items():
        path = PurePosixPath(name)
        if len(path.parts) < 2 or path.parts[0] not in FOLDERS or ".." in path.parts:
            raise BackupDamaged
        (staging / path.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(staging / path, content)
    if changed is None:
        write_private(staging / FILE_NAME, settings)
    else:
        write(staging, changed)
    flush_folder(staging)
