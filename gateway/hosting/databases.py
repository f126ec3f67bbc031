"""The database of a node's folder, for whoever needs it beside the node: the one named, or the embedded one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.hosting import config
from gateway.hosting.postgres_server import PostgresServer

SERVER_FOLDER: Final = Path("postgres")
NODE_DATABASE: Final = "node"


@contextmanager
def database_of(folder: Path) -> Iterator[str]:
    """The DSN, good until the end of the block. Raises ConfigInvalid, PostgresServerError."""
    settings = config.load(folder)
    if settings.database.dsn:
        yield settings.database.dsn
        return
    with PostgresServer(folder / SERVER_FOLDER) as server:
        server.create_database(NODE_DATABASE)
        yield server.dsn(NODE_DATABASE)
