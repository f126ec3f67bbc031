"""Connections to a node's database that say soon when it is away, and find it soon when it is back."""

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

ANSWER_S: Final = 2.0
"""So long a caller waits for a database that does not answer before it is told so."""

SILENT_S: Final = 15
"""So long the other end of a TCP connection may acknowledge nothing before the connection counts as lost."""

_CONNECT_S: Final = 10
_FIRST_S: Final = 30.0


_PROBE_S: Final = 5
_HEARD: Final = {
    "keepalives": "1",
    "keepalives_idle": str(_PROBE_S),
    "keepalives_interval": str(_PROBE_S),
    "keepalives_count": str(SILENT_S // _PROBE_S - 1),
    "tcp_user_timeout": str(SILENT_S * 1000),
}
"""Left to itself TCP waits many minutes for a host that has gone away in the middle of a statement, or for ever."""


def connect(
    dsn: str, *, autocommit: bool = False, connect_s: int = _CONNECT_S, name: str | None = None
) -> psycopg.Connection[Any]:
    """A connection that is lost, psycopg.OperationalError, once its server's host has said nothing for SILENT_S.

    A statement may take as long as it takes while the host is there. What the dsn says of keepalives itself stands;
    a Unix socket knows none. Raises psycopg.OperationalError where nobody lets it in within connect_s.
    """
    return psycopg.connect(heard(dsn), autocommit=autocommit, connect_timeout=connect_s, application_name=name)


def heard(dsn: str) -> str:
    """The same database, told how long its host may be silent."""
    said = conninfo_to_dict(dsn)
    return make_conninfo(dsn, **{name: value for name, value in _HEARD.items() if name not in said})


def open_pool(
    dsn: str, name: str, max_connections: int, *, autocommit: bool
) -> ConnectionPool[psycopg.Connection[Any]]:
    """A pool with its first connection made. Whoever gets none within ANSWER_S gets psycopg_pool.PoolTimeout.

    Its connections end as those of `connect`. Raises psycopg_pool.PoolTimeout where the database does not answer.
    """
    pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
        heard(dsn),
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
