"""The command line in a process of its own, killed at the n-th thing that it does to files."""

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["gateway.serving", "gateway.enrolling", "gateway.backup.saving"])

OPERATIONS = ("open", "write", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "chmod", "chown")
LIMIT_S = 120


class Ran(NamedTuple):
    """code: -9 where it was killed. said: what it wrote."""

    code: int | None
    said: str


def run(words: tuple[str, ...], said_to: Path, *, given: str = "", killed_at: int = 0, limit_bytes: int = 0) -> Ran:
    """`huiyin` with these words. given: its standard input. said_to: a file for what it says.

    killed_at: the operation before which it is killed, counted from 1; 0 for none. limit_bytes: no file may grow
    beyond; 0 for no limit.
    """
    said_to.write_text("")
    process = _forks.Process(target=_live, args=(words, said_to, given, killed_at, limit_bytes))
    process.start()
    process.join(LIMIT_S)
    code = process.exitcode
    process.kill()
    process.join()
    process.close()
    return Ran(code, said_to.read_text("utf-8"))


def _live(words: tuple[str, ...], said_to: Path, given: str, killed_at: int, limit_bytes: int) -> None:
    from gateway.__main__ import main

    sys.argv, sys.stdin = ["huiyin", *words], StringIO(given)
    with said_to.open("a", encoding="utf-8", buffering=1) as out, redirect_stdout(out), redirect_stderr(out):
        if limit_bytes:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        if killed_at:
            _watch(killed_at)
        main()


def _watch(killed_at: int) -> None:
    count = itertools.count(1)
    for name in OPERATIONS:
        real = getattr(os, name)

        def counted(*args: Any, _real: Callable[..., Any] = real, **more: Any) -> Any:
            if next(count) == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return _real(*args, **more)

        setattr(os, name, counted)
