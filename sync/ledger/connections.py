"""Connections to a node's database that say soon when it is away, and find it soon when it is back."""

from typing import Any, Final

import psycopg
from psycopg_pool import ConnectionPool

ANSWER_S: Final = 2.0
"""So long a caller waits for a database that does not answer before it is told so."""

_CONNECT_S: Final = 10
_FIRST_S: Final = 30.0


def open_pool(
    dsn: str, name: str, max_connections: int, *, autocommit: bool
) -> ConnectionPool[psycopg.Connection[Any]]:
    """A pool with its first connection made. Whoever gets none within ANSWER_S gets psycopg_pool.PoolTimeout.

    Raises psycopg_pool.PoolTimeout where the database does not answer at all.
    """
    pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
        dsn,
        min_size=1,
        max_size=max_connections,
        open=True,
        name=name,
        timeout=ANSWER_S,
        # Left to itself the pool looks ever more seldom, minutes apart at last; so the next caller makes it look.
        reconnect_timeout=ANSWER_S,
        kwargs={"autocommit": autocommit, "connect_timeout": _CONNECT_S},
    )
    try:
        pool.wait(_FIRST_S)
    except BaseException:
        pool.close()
        raise
    return pool
