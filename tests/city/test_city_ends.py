"""Ctrl-C, as a terminal sends it, to a demo of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.city.living import huiyin

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

SOON_S = 15.0
"""Five seconds on a machine that does nothing else."""


class Demo:
    """A demo at a terminal: a process group of its own, whose output is read line by line."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "gateway", "demo", "--dir", str(folder)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def wait_for(self, words: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if words in line:
                return
        raise AssertionError(f"it ended without saying {words}")

    def interrupt(self) -> int:
        """Ctrl-C; the exit code, which must come soon."""
        began = time.monotonic()
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.communicate(timeout=60)
        assert time.monotonic() - began < SOON_S
        return self._process.returncode


def running(folder: Path) -> list[str]:
    """The command lines of the processes that still name the folder or stand in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in command or place.startswith(str(folder)):
            found.append(command)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ending") / "demo"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("founding", 130),
        ("the city is alive after", 130),
        ("under way", 130),
        ("Ctrl-C stops it", 0),
    ],
)
def test_ctrl_c_ends_the_demo_in_every_phase_and_the_next_start_goes_on(folder: Path, words: str, code: int) -> None:
    demo = Demo(folder)
    demo.wait_for(words)
    assert demo.interrupt() == code
    assert running(folder) == []


def test_after_every_interruption_the_day_is_played_to_its_end(folder: Path) -> None:
    run = huiyin("demo", "--dir", str(folder), "--exit", limit_s=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "cases at the city" in run.stdout
