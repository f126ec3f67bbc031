"""Keeps the processes of a demo city alive: starts them, starts them again when they die, stops them together."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx2
import psycopg

from gateway.demo.city import City, Member, Tell
from gateway.demo.player import DemoFailed

READY_S: Final = 90.0
_LOOK_S: Final = 0.25
_STOP_S: Final = 25.0


class Keeper:
    """Used as a context: inside it, everything of the city runs."""

    def __init__(self, city: City, tell: Tell) -> None:
        self._city = city
        self._tell = tell
        self._plan = city.plan
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)
        (city.folder / "log").mkdir(exist_ok=True)

    def __enter__(self) -> "Keeper":
        try:
            self._start("witness")
            for member in self._plan.members:
                self._start(member.division)
            self._thread.start()
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            process.kill()
            process.wait()
            _close_pipe(process)

    def _start(self, name: str) -> None:
        what = ["witness", "run", str(self._city.folder / "witness")]
        if name != "witness":
            what = ["node", "run", str(self._city.folder / "nodes" / name)]
        with _log_file(self._city, name).open("ab") as log:
            # The pipe is never written to: it closes when this process dies, however it dies, and ends the node.
            self._processes[name] = subprocess.Popen(  # noqa: S603  our own program, no shell
                [sys.executable, "-m", "gateway", *what, "--with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._revive_database()
            for name, process in list(self._processes.items()):
                if process.poll() is not None and not self._stopping.is_set():
                    self._tell(f"{name} 已停止，重新启动 / stopped, started again: {_last_words(self._city, name)}")
                    _close_pipe(process)
                    self._start(name)

    def _revive_database(self) -> None:
        try:
            psycopg.connect(self._city.server.dsn(), connect_timeout=5).close()
        except psycopg.OperationalError:
            self._tell("数据库已停止，重新启动 / the database stopped, started again")
            self._city.server.start()

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + READY_S
        waiting = {"witness": f"http://127.0.0.1:{self._plan.witness_port}"}
        waiting |= {str(member.division): self._city.url(member) for member in self._plan.members}
        while waiting:
            for name, url in list(waiting.items()):
                if _answers(url):
                    del waiting[name]
            if time.monotonic() > give_up:
                logs = ", ".join(str(_log_file(self._city, name)) for name in waiting)
                raise DemoFailed(f"未能启动，请查看日志 / did not start, see {logs}")
            time.sleep(0.1)


def pid_of(city: City, member: Member) -> int:
    """The process that runs a node now, as the node itself wrote it down."""
    return int((city.node_folder(member.division) / "node.lock").read_text("ascii"))


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _log_file(city: City, name: str) -> Path:
    return city.folder / "log" / f"{name}.log"


def _last_words(city: City, name: str) -> str:
    """The end of a process's log, which says why it ended."""
    with _log_file(city, name).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 2_000))
        lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
