"""`huiyin audit` as people type it: what it says, how it ends, and what it refuses by name."""

import io
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway.__main__ import main
from gateway.auditing import command_line, verifying
from gateway.auditing.bundle import FaultLine
from tests.auditing.conftest import Made
from tests.auditing.forging import Parts

SOUND, TAMPERED, UNREADABLE = 0, 1, 2


def audit(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type it; the exit code."""
    monkeypatch.setattr(sys, "argv", ["huiyin", "audit", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_a_sound_bundle_ends_with_0_and_says_what_it_is(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(monkeypatch, "verify", str(made.county), "--root", made.root) == SOUND
    said = capsys.readouterr().out
    assert "杞县信访局 410221000000" in said
    assert "opened by: auditor" in said
    assert said.rstrip().endswith("结论：完整可信 / verdict: sound")


def test_a_tampered_bundle_ends_with_1_and_says_what_where_and_what_to_do(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts.of(made.county)
    leaves = parts.log("410221100201").leaves
    leaves[3], leaves[4] = leaves[4], leaves[3]
    folder = parts.write(tmp_path / "b", made.keys.county)
    assert audit(monkeypatch, "verify", str(folder), "--root", made.root) == TAMPERED
    said = capsys.readouterr().out
    assert "root_mismatch test.example/410221100201/1#" in said
    assert "→ " in said
    assert "verdict: not sound" in said


@pytest.mark.parametrize("words", [["nowhere"], ["{}", "--root", "xyz"], ["{}", "--policy", "nowhere"]])
def test_what_cannot_be_read_ends_with_2_and_one_line(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert audit(monkeypatch, "verify", *(word.format(made.county) for word in words)) == UNREADABLE
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_a_policy_that_is_none_ends_with_2(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy"
    policy.write_bytes(b"\xff quorum none\n")
    assert audit(monkeypatch, "verify", str(made.county), "--policy", str(policy)) == UNREADABLE


def test_the_report_for_programs_is_one_line_of_json(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", str(made.county), str(made.village), "--root", made.root, "--json"]
    assert audit(monkeypatch, *words) == SOUND
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["verdict"] == "sound"
    assert [bundle["division"] for bundle in told["bundles"]] == ["410221000000", "410221100201"]
    assert told["between"] == []


def test_45_terminal_escapes_in_names_act_on_no_terminal(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts.of(made.county)
    parts.manifest = msgspec.structs.replace(parts.manifest, name="\x1b[2J\u202e", reader="\x1b]0;x\x07")
    parts.faults.append(FaultLine("\x1b[31mgap", "\r\nverdict: sound", "", "", b"", 1, 0, 0, None))
    folder = parts.write(tmp_path / "b", made.keys.county)
    for more in ([], ["--json"]):
        audit(monkeypatch, "verify", str(folder), "--root", made.root, *more)
        said = capsys.readouterr().out
        assert "\x1b" not in said
        assert "\x07" not in said
        assert "\u202e" not in said or more


def test_47_who_stops_reading_gets_the_verdict_by_the_exit_code_all_the_same(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made.county, folder)
    (folder / "extra").write_text("x")
    code = "; ".join(
        [
            "import sys",
            "from gateway.__main__ import main",
            f"sys.argv = ['huiyin', 'audit', 'verify', {str(folder)!r}, '--root', {made.root!r}]",
            "main()",
        ]
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=120)
    assert process.returncode == TAMPERED
    assert err == b""


def test_openings_and_the_auditors_name_go_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert audit(monkeypatch, "export", str(tmp_path), "--out", str(tmp_path / "b"), "--openings") == 2
    assert audit(monkeypatch, "export", str(tmp_path), "--out", str(tmp_path / "b"), "--as", "auditor") == 2


def test_how_far_it_is_is_shown_where_somebody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with command_line._bar() as progress:
        progress("files", 5 << 20, 0)
        progress("leaves", 2_000, 4_000)
        progress("leaves", 1, 4_000)
        progress("leaves", 1_999, 4_000)
    told = capsys.readouterr().err
    assert "files: 5 MiB" in told
    assert " 50% 2000/4000" in told
    assert "100% 4000/4000" in told
    assert "2001" not in told


def test_a_full_folder_for_temporary_files_ends_with_2_and_accuses_nobody(made: Made, tmp_path: Path) -> None:
    def with_little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))

    words = ["verify", str(made.county), "--root", made.root, "--room", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "gateway", "audit", *words],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=with_little_room,
    )

    assert done.returncode == UNREADABLE, done.stderr
    assert "--room" in done.stderr
    assert "Traceback" not in done.stderr


def test_temporary_files_that_cannot_be_written_accuse_nobody(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(verifying, "verify_bundles", full)
    assert audit(monkeypatch, "verify", str(made.county), "--root", made.root) == UNREADABLE
    told = capsys.readouterr()
    assert "--room" in told.err
    assert told.out == ""


def test_the_password_is_asked_for_where_somebody_sits_and_read_from_a_pipe_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    assert command_line._password() == "secret"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[object] = []
    monkeypatch.setattr(command_line.typer, "prompt", lambda *words, hide_input: asked.append(hide_input) or "typed")
    assert (command_line._password(), asked) == ("typed", [True])


def test_47_a_pipe_that_breaks_is_not_written_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    def breaks(_: str) -> None:
        raise BrokenPipeError

    with Path(os.devnull).open("w") as out, monkeypatch.context() as broken:
        broken.setattr(sys, "stdout", out)
        broken.setattr(command_line.typer, "echo", breaks)
        broken.setattr(command_line.os, "dup2", lambda _, to: closed.append(to))
        command_line._say(["one", "two"])
        assert closed == [out.fileno()]
