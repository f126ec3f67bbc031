"""Keeps the processes of a demo city alive: starts them, starts them again when they die, stops them together."""

import multiprocessing
import os
import threading
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import httpx2
import psycopg

from gateway.demo.city import City, Member, Tell
from gateway.demo.player import DemoFailed
from gateway.serving import run_node, run_witness

READY_S: Final = 90.0
_LOOK_S: Final = 0.25
_STOP_S: Final = 25.0

# One process loads the program and every node is forked from it: eight times three seconds of loading are saved.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["gateway.serving"])


class Keeper:
    """Used as a context: inside it, everything of the city runs."""

    def __init__(self, city: City, tell: Tell) -> None:
        self._city = city
        self._tell = tell
        self._plan = city.plan
        self._processes: dict[str, ForkServerProcess] = {}
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
            process.join(_STOP_S)
            process.kill()
            process.join()
            process.close()
        self._processes.clear()

    def _start(self, name: str) -> None:
        is_witness = name == "witness"
        folder = self._city.folder / "witness" if is_witness else self._city.folder / "nodes" / name
        process = _forks.Process(
            target=_live, args=(folder, _log_file(self._city, name), is_witness), name=f"huiyin {name}", daemon=True
        )
        process.start()
        self._processes[name] = process

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._revive_database()
            for name, process in list(self._processes.items()):
                if not process.is_alive() and not self._stopping.is_set():
                    self._tell(f"{name} 已停止，重新启动 / stopped, started again: {_last_words(self._city, name)}")
                    process.close()
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


def _live(folder: Path, log: Path, is_witness: bool) -> None:
    """What a forked process does: be the node or the witness of `folder` until it is told to stop."""
    os.setsid()  # Ctrl-C is for the demo, which ends its nodes one by one
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    demo = multiprocessing.parent_process()
    run = run_witness if is_witness else run_node
    raise SystemExit(run(folder, until=demo.join if demo else None))


def pid_of(city: City, member: Member) -> int:
    """The process that runs a node now, as the node itself wrote it down."""
    return int((city.node_folder(member.division) / "node.lock").read_text("ascii"))


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
