"""Attacks 41, 42 and 43: no room, no right to write, a second process, a key that others can read: each is named."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import accounts
from gateway.hosting import founding
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import held
from sync.trust.keys import load_keys
from tests.crash.commands import Ran
from tests.crash.test_commands_killed import COUNTY, OUTSIDE, PASSPHRASE, VILLAGE, is_node, is_root, node_of, ran

INIT = {
    "node init": (("node", "init", "DIR/node", *VILLAGE), is_node),
    "node init --root": (("node", "init", "DIR/node", *COUNTY, "--root", *OUTSIDE), is_root),
}


def refused(answer: Ran, *words: str) -> None:
    """By name: Chinese first, exit code 1, no traceback, and nothing of a key."""
    assert answer.code == 1, answer.said
    assert "Traceback" not in answer.said
    assert "PRIVATE" not in answer.said
    assert any("\u4e00" <= sign <= "\u9fff" for sign in answer.said.partition(" / ")[0]), answer.said
    assert [word for word in words if word not in answer.said] == [], answer.said


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own at `folder`; the test is skipped where nobody may mount one."""
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode:
        pytest.skip("only who may mount a file system can fill one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("name", INIT)
def test_41_a_disk_that_is_full_is_named_and_once_there_is_room_the_same_command_ends(
    name: str, tmp_path: Path
) -> None:
    words, is_done = INIT[name]
    refusals = 0
    with mounted(tmp_path / "small", "size=256k") as disk:
        for left_kib in range(0, 48, 8):
            here = disk / "here"
            here.mkdir()
            fill = here / "fill"
            fill.write_bytes(bytes(shutil.disk_usage(disk).free - left_kib * 1024))
            answer = _said_beside(words, here, tmp_path)
            if answer.code != 0:
                refused(answer, "磁盘空间不足", "make room")
                assert not (here / "node" / "node.toml").exists(), "nothing that looks like a node"
                refusals += 1
            fill.unlink()
            assert answer.code == 0 or _said_beside(words, here, tmp_path).code == 0
            assert is_done(here)
            shutil.rmtree(here)
    assert refusals >= 3


@pytest.mark.parametrize("name", INIT)
def test_41_a_folder_that_nobody_may_write_to_is_named(name: str, tmp_path: Path) -> None:
    words, is_done = INIT[name]
    with mounted(tmp_path / "sealed", "size=256k") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        refused(_said_beside(words, disk, tmp_path), str(disk))
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert _said_beside(words, disk, tmp_path).code == 0
        assert is_done(disk)


def _said_beside(words: tuple[str, ...], disk: Path, beside: Path) -> Ran:
    return ran(tuple(word.replace("DIR", str(disk)) for word in words), beside / "words")


def test_41_a_backup_for_which_there_is_no_room_is_named_and_leaves_no_file(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.create_database("no_room", template="template_node")
    accounts.prepare(postgres.dsn("no_room"))
    founding.found_root(tmp_path / "node", node_of(postgres.dsn("no_room")), time.time_ns() // 1000)
    target = tmp_path / "out" / "node.backup"
    target.parent.mkdir()
    words = ("node", "backup", str(tmp_path / "node"), "--out", str(target))
    refused(ran(words, tmp_path / "said", PASSPHRASE + "\n", limit_bytes=4096), "磁盘空间不足")
    assert list(target.parent.iterdir()) == []
    assert ran(words, tmp_path / "said", PASSPHRASE + "\n").code == 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in which a root was founded."""
    assert ran(INIT["node init --root"][0], tmp_path).code == 0
    return tmp_path / "node"


def test_42_a_second_process_on_one_folder_is_refused_and_the_first_keeps_it(root: Path) -> None:
    with held(root):
        before = (root / "node.lock").read_text("ascii")
        refused(ran(("node", "run", str(root)), root.with_suffix(".run")), "do not start it twice")
        assert (root / "node.lock").read_text("ascii") == before


def _readable(root: Path) -> None:
    (root / "keys" / "log.skey").chmod(0o644)


def _missing(root: Path) -> None:
    (root / "keys" / "witness.skey").unlink()


def _open_folder(root: Path) -> None:
    (root / "keys").chmod(0o755)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_readable, "log.skey"), (_missing, "witness.skey"), (_open_folder, "keys")],
)
def test_43_a_key_that_others_can_read_or_that_is_gone_is_refused_by_name(
    root: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    saved = tmp_path / "saved"
    shutil.copytree(root, saved)
    secret = (root / "keys" / "log.skey").read_text("ascii").strip()
    spoil(root)
    answer = ran(("node", "run", str(root)), tmp_path / "run")
    refused(answer, words)
    assert secret not in answer.said
    assert not (root / "postgres").exists(), "nothing was begun"
    shutil.rmtree(root / "keys")
    shutil.copytree(saved / "keys", root / "keys")
    assert load_keys(root / "keys").log.skey == secret
