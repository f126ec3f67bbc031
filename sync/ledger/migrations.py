"""Brings a node's database to the tables this program needs: numbered SQL files, each applied once, never edited."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from sync.ledger.connections import connect

_LOCK_KEY = 0x4875_6979_696E  # "Huiyin"; one migration at a time in a database

_KEPT = """create table if not exists migration (
    name text primary key,
    sha256 bytea not null,
    applied_at timestamptz not null default now()
)"""


class MigrationRefused(Exception):
    """The files and the database disagree; nothing was changed. Use the program that fits the database."""


def migrate(dsn: str, folder: Traversable | None = None) -> list[str]:
    """Apply every `NNNN_name.sql` of `folder` (default: this package's) not yet applied, all in one transaction.

    Returns the names applied now, in order. Safe to run from several processes at once.
    Raises: MigrationRefused if an applied file was edited or is missing.
    """
    scripts = _scripts(files("sync") / "sql" if folder is None else folder)
    with connect(dsn) as conn:
        conn.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        conn.execute(_KEPT)
        kept: dict[str, bytes] = dict(conn.execute("select name, sha256 from migration").fetchall())
        _compare(kept, scripts)
        missing = [name for name in sorted(scripts) if name not in kept]
        for name in missing:
            conn.execute(scripts[name])
            conn.execute("insert into migration (name, sha256) values (%s, %s)", (name, _sha256(scripts[name])))
    return missing


def _scripts(folder: Traversable) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".sql")}


def _compare(kept: dict[str, bytes], scripts: dict[str, bytes]) -> None:
    for name, digest in kept.items():
        if name not in scripts:
            raise MigrationRefused(
                f"数据库比程序新:缺少迁移文件 {name},请升级程序 / the database is newer than this program "
                f"(it has {name}); upgrade the program"
            )
        if _sha256(scripts[name]) != digest:
            raise MigrationRefused(
                f"迁移文件 {name} 在应用之后被改动,请恢复原文件并另写新文件 / {name} was edited after it was applied; "
                "restore it and put the change into a new file"
            )


def _sha256(script: bytes) -> bytes:
    return hashlib.sha256(script).digest()
