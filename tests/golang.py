"""Other people's Go programs, built once from pinned modules: what our logs and proofs are shown to."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

MODULE = Path(__file__).parent / "sync" / "independent"
FSCK = "github.com/transparency-dev/tessera/cmd/fsck"
MERKLE = "github.com/transparency-dev/merkle"


def environment() -> dict[str, str]:
    """For the Go command: this toolchain, exactly the modules that go.mod and go.sum pin."""
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent), "/usr/local/go/bin"])
    return {**os.environ, "PATH": path, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}


@cache
def go() -> str:
    """The Go command, its modules at hand. Skips the test where there is none, in CI fails it."""
    found = shutil.which("go", path=environment()["PATH"])
    if found is None:
        _do_without("go is not on PATH: no independent code has looked at our logs and proofs here")
    fetched = run(found, "mod", "download", cwd=MODULE)
    if fetched.returncode:
        _do_without(f"Go modules cannot be had, so no independent check: {fetched.stderr[-200:]}")
    return found


@cache
def program(package: str) -> Path:
    """The executable of a package; "." is our own in tests/sync/independent."""
    built = Path(mkdtemp(prefix="huiyin-go-")) / package.rsplit("/", 1)[-1].strip(".") / "program"
    made = run(go(), "build", "-o", built, package, cwd=MODULE)
    assert made.returncode == 0, made.stderr
    return built


def source_of(module: str) -> Path:
    """Where the Go command keeps the source of a pinned module."""
    told = run(go(), "list", "-m", "-f", "{{.Dir}}", module, cwd=MODULE)
    assert told.returncode == 0, told.stderr
    return Path(told.stdout.strip())


def run(*words: object, cwd: Path | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command done, its words as text. more: of the environment."""
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment() | more,
        capture_output=True,
        text=True,
        check=False,
    )


def fsck(url: str, key: Path, token: str = "") -> str:
    """What tessera's `fsck` says of a log: "" if it is sound, else why not. key: a file with the log's vkey.

    The program ends with status 0 either way; what it says last tells. Its workers end at the first file that is
    wrong, and with the last of them gone it would wait for ever: there are more of them than files that a test alters.
    """
    words = [f"--storage_url={url}", f"--public_key={key}", "--ui=false", "--N=8"]
    done = run(program(FSCK), *words, *([f"--bearer_token={token}"] if token else []))
    said = done.stderr
    is_sound = done.returncode == 0 and "Successfully fsck'd log" in said and "fsck failed" not in said
    return "" if is_sound else said


def _do_without(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
