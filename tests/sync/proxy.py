"""A pipe between a client and PostgreSQL that can be cut at the worst moment."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Cut = Literal["request", "reply"]


class CuttingProxy:
    """Forwards a Unix socket. `cut("request")` drops the next statement, `cut("reply")` only its answer.

    Either way the client sees a lost connection and cannot know which of the two it was.
    """

    def __init__(self, dsn: str, folder: Path) -> None:
        known = conninfo_to_dict(dsn)
        self._server = f"{known['host']}/.s.PGSQL.{known['port']}"
        self.dsn = make_conninfo(dsn, host=str(folder))
        self._path = folder / f".s.PGSQL.{known['port']}"
        self._cut: Cut | None = None
        self._left = 0
        self.reopen()

    def reopen(self) -> None:
        """From now on whoever comes gets through."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self, what: Cut, after: int = 0) -> None:
        """after: how many statements go through before."""
        self._left = after
        self._cut = what

    def close(self) -> None:
        """From now on nobody gets through anew."""
        self._path.unlink(missing_ok=True)
        self._listener.close()

    def fall_silent(self) -> None:
        """From now on whoever comes is let in and never answered, as behind a host that has gone away."""
        self.close()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._forward, args=(client, server, "request"), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, "reply"), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, direction: Cut) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if self._cut == direction:
                    self._left -= 1
                    if self._left < 0:
                        self._cut = None
                        break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()


def terminate_writer(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'huiyin-writer' and datname = current_database()"
        )
