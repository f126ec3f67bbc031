"""Keeps the processes of a demo city alive: starts them, starts them again when they die, stops them together."""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import httpx2

from gateway.demo.city import City, Member, Tell
from gateway.demo.ending import Ending
from gateway.demo.player import DemoFailed
from gateway.demo.retries import Retries
from gateway.hosting.postgres_server import PostgresServerError
from gateway.serving import run_node, run_witness

READY_S: Final = 90.0
_LOOK_S: Final = 0.25
_STOP_S: Final = 3.0
"""What has not ended by then is killed: a node takes no harm from that."""

_DATABASE: Final = "postgres"
_WITNESS: Final = "witness"

# One process loads the program and every node is forked from it: eight times three seconds of loading are saved.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["gateway.serving"])


class Keeper:
    """Used as a context: inside it, everything of the city runs."""

    def __init__(self, city: City, tell: Tell, ending: Ending) -> None:
        """ending: the start is broken off with Interrupted once it is asked for."""
        self._city = city
        self._tell = tell
        self._ending = ending
        self._plan = city.plan
        self._processes: dict[str, ForkServerProcess] = {}
        self._retries = Retries(time.monotonic)
        self._again_s: dict[str, float] = {}
        self._words_before: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)
        (city.folder / "log").mkdir(exist_ok=True)

    def __enter__(self) -> "Keeper":
        self._ending.kills(self.kill)
        try:
            for name in self._names():
                self._ending.check()
                self._start(name)
            self._thread.start()
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def kill(self) -> None:
        """End everything on the spot, the database too; each is safe against that. Waits for nothing."""
        for process in list(self._processes.values()):
            with suppress(ValueError, ProcessLookupError):  # closed, or gone, meanwhile
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGKILL)
        self._city.server.kill()

    def _names(self) -> list[str]:
        return [_WITNESS, *(member.division for member in self._plan.members)]

    def _stop(self) -> None:
        self._stopping.set()
        give_up_s = time.monotonic() + _STOP_S
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(max(0.0, give_up_s - time.monotonic()))
            process.kill()
            process.join()
            process.close()
        self._processes.clear()

    def _start(self, name: str) -> None:
        is_witness = name == _WITNESS
        folder = self._city.folder / "witness" if is_witness else self._city.folder / "nodes" / name
        log = _log_file(self._city, name)
        self._words_before[name] = log.stat().st_size if log.exists() else 0
        self._retries.begins(name)
        process = _forks.Process(target=_live, args=(folder, log, is_witness), name=f"huiyin {name}", daemon=True)
        process.start()
        self._processes[name] = process

    # --- what dies --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            if not self._city.server.answers():
                self._revive(_DATABASE, "")
            for name, process in list(self._processes.items()):
                if not process.is_alive():
                    self._revive(name, self._last_words(name))

    def _revive(self, name: str, reason: str) -> None:
        """Start it again when its time has come; `reason` is told when its death is first seen."""
        now_s = time.monotonic()
        if name not in self._again_s:
            wait_s = self._retries.falls(name)
            self._again_s[name] = now_s + wait_s
            self._tell(f"{name} {_outlook(wait_s)}: {reason}")
        if now_s < self._again_s[name] or self._stopping.is_set():
            return
        del self._again_s[name]
        if name == _DATABASE:
            self._start_database()
        else:
            self._processes[name].close()
            self._start(name)

    def _start_database(self) -> None:
        self._retries.begins(_DATABASE)
        try:
            self._city.server.start()
        except PostgresServerError as refusal:
            self._tell(str(refusal))

    def _last_words(self, name: str) -> str:
        """The end of what a process has logged since it was started, which says why it ended."""
        with _log_file(self._city, name).open("rb") as log:
            log.seek(max(self._words_before[name], log.seek(0, os.SEEK_END) - 2_000))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + READY_S
        waiting = {_WITNESS: f"http://127.0.0.1:{self._plan.witness_port}"}
        waiting |= {str(member.division): self._city.url(member) for member in self._plan.members}
        while waiting:
            for name, url in list(waiting.items()):
                self._ending.check()
                if _answers(url):
                    del waiting[name]
            if waiting and (time.monotonic() > give_up or any(self._is_given_up(name) for name in waiting)):
                reasons = "; ".join(f"{name}: {self._last_words(name)}" for name in waiting)
                raise DemoFailed(
                    f"未能启动，请查看 {self._city.folder / 'log'} / did not start, "
                    f"see {self._city.folder / 'log'}: {reasons}"
                )
            time.sleep(0.1)

    def _is_given_up(self, name: str) -> bool:
        return self._again_s.get(name) == math.inf


def _outlook(wait_s: float) -> str:
    if wait_s == math.inf:
        return (
            "屡次停止，不再启动；排除原因后重新运行 / stopped again and again, given up; mend the cause, then run again"
        )
    return f"已停止，{wait_s:.0f} 秒后重新启动 / stopped, started again in {wait_s:.0f} s"


def _live(folder: Path, log: Path, is_witness: bool) -> None:
    """What a forked process does: be the node or the witness of `folder` until it is told to stop."""
    from gateway.named import NAMED

    os.setsid()  # Ctrl-C is for the demo, which ends its nodes one by one
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    demo = multiprocessing.parent_process()
    run = run_witness if is_witness else run_node
    try:
        code = run(folder, until=demo.join if demo else None)
    except NAMED as refusal:
        sys.stderr.write(f"{refusal}\n")
        code = 1
    raise SystemExit(code)


def pid_of(city: City, member: Member) -> int:
    """The process that runs a node now, as the node itself wrote it down."""
    return int((city.node_folder(member.division) / "node.lock").read_text("ascii"))


def _log_file(city: City, name: str) -> Path:
    return city.folder / "log" / f"{name}.log"


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
