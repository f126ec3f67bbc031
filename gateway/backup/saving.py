"""Backing up a node and starting one from a backup, for the command line."""

from collections.abc import Callable
from pathlib import Path

from gateway.backup.backup import Manifest, make_backup
from gateway.backup.restore import Changes, restore_backup
from gateway.hosting import config
from gateway.hosting.clock import SystemClock
from gateway.hosting.config import Database
from gateway.hosting.databases import database_of


def save(folder: Path, out: Path, passphrase: str, progress: Callable[[str, int], None]) -> Manifest:
    """Make the backup of a node, running or not. Raises BackupRefused, ConfigInvalid."""
    with database_of(folder) as dsn:
        return make_backup(folder, dsn, out, passphrase, progress, made_us=SystemClock().now_us())


def put_back(source: Path, folder: Path, passphrase: str, port: int | None, dsn: str | None) -> Manifest:
    """Make `folder` the node that was saved. port, dsn: in place of the saved ones; an empty dsn is the embedded one.

    Raises BackupRefused, ConfigInvalid.
    """
    changes = Changes(
        http=None if port is None else config.Http(port=port),
        database=None if dsn is None else Database(dsn=dsn),
    )
    return restore_backup(source, folder, passphrase, lambda *_: None, changes=changes)
