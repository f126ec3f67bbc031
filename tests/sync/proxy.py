"""A pipe between a client and PostgreSQL that can be cut at the worst moment."""

import contextlib
import ctypes
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Cut = Literal["request", "reply"]

_SO_ATTACH_FILTER = 26  # of Linux; Python names it from 3.13 on


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


class SilentLink:
    """Forwards TCP on loopback to a server's Unix socket, until it says nothing more.

    Then it acknowledges nothing either, as when a cable is pulled: what arrives is dropped before TCP sees it.
    """

    def __init__(self, dsn: str) -> None:
        known = conninfo_to_dict(dsn)
        self._server = f"{known['host']}/.s.PGSQL.{known['port']}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._listener.getsockname()[1])
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.heard = threading.Event()
        self._start(self._accept)

    def fall_silent(self) -> None:
        """From now on whoever is connected hears nothing, not even that nothing arrives."""
        drop_all = struct.pack("=HBBI", 0x06, 0, 0, 0)  # the classic BPF program `ret #0`, see filter.rst of Linux
        program = ctypes.create_string_buffer(drop_all)
        for end in self._clients:
            end.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))

    def close(self) -> None:
        """Let everybody go."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in (*self._clients, *self._servers):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (*self._clients, *self._servers):
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._clients.append(client)
                self._servers.append(server)
                self._start(self._forward, client, server)
                self._start(self._forward, server, client)

    def _start(self, run: Callable[..., None], *given: socket.socket) -> None:
        thread = threading.Thread(target=run, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                target.sendall(data)
                if b"pg_sleep" in data:
                    self.heard.set()
            target.shutdown(socket.SHUT_RDWR)


def terminate_writer(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'huiyin-writer' and datname = current_database()"
        )
