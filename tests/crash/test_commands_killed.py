"""Attacks 41 and 48: a command is killed at every single thing that it does to files, and then simply repeated."""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from domain.divisions import Division, tier_of
from gateway import accounts
from gateway.hosting import config, founding
from gateway.hosting.clock_watch import ACCEPTED
from gateway.hosting.outside_witness import build_witness, load_config
from gateway.hosting.postgres_server import PostgresServer
from sync.trust.escrow import join_shares, read_share
from sync.trust.keys import load_keys
from tests.crash.commands import Ran, run

COUNTY = ("--division", "410221000000", "--name", "杞县信访局", "--trust-domain", "test.example")
VILLAGE = (
    "--division",
    "410221100201",
    "--name",
    "葛岗村",
    "--parent",
    "410221000000",
    "--trust-domain",
    "test.example",
)
KEY = "test.example/410221000000/1+23b08d77+AdA2wgYzjnPF77eOeRRO4PuSGl6CMx6uJX/7n8MXIgb0"
PASSPHRASE = "green wheat under snow 1978"
WITNESS = ("witness", "init", "DIR/witness", "--name", "audit.test.example/w")
OUTSIDE = ("--witness-url", "http://127.0.0.1:9", "--witness-key", "KEY")

EVERY = int(os.environ.get("HUIYIN_TEST_EVERY", "3"))
"""1 for each single operation, as `make crash` does it."""


_copies = itertools.count(1)


class Command(NamedTuple):
    """words: with DIR for the folder. before: what has to be there. is_done, is_undone: the only states allowed."""

    words: tuple[str, ...]
    is_done: Callable[[Path], bool]
    before: tuple[tuple[str, ...], ...] = ()
    given: str = ""
    refused_when_done: str = ""


def is_node(folder: Path) -> bool:
    """Everything that a node needs before it is enrolled is there and fits."""
    settings, keys = config.load(folder / "node"), load_keys(folder / "node" / "keys")
    return founding.request_of(settings, keys).origin == settings.origin and (folder / "node/request.note").exists()


def is_root(folder: Path) -> bool:
    """The same for a root, which is enrolled at once, with an escrow key that its two shares make."""
    one, other = map(read_share, sorted((folder / "node").glob("escrow-share-*.json")))
    given = founding.enrolment(folder / "node")
    return is_node(folder) and len(given.certificates) == 1 and join_shares(one, other).public_key() is not None


def is_renewed(folder: Path) -> bool:
    """The newest recipient key is the one that is asked for, and the older ones open what they opened."""
    keys = load_keys(folder / "node" / "keys")
    return keys.recipient.key_id in (folder / "node/request.note").read_text("utf-8") and len(keys.recipients) >= 2


def is_witness(folder: Path) -> bool:
    """It can be run."""
    return build_witness(folder / "witness") is not None


COMMANDS = {
    "node init": Command(("node", "init", "DIR/node", *VILLAGE), is_node, refused_when_done="choose another folder"),
    "node init --root": Command(
        ("node", "init", "DIR/node", *COUNTY, "--root", *OUTSIDE), is_root, refused_when_done="choose another folder"
    ),
    "node clock": Command(
        ("node", "clock", "DIR/node", "--accept"),
        lambda folder: (folder / "node" / ACCEPTED).exists(),
        (("node", "init", "DIR/node", *COUNTY, "--root", *OUTSIDE),),
    ),
    "witness init": Command(
        WITNESS,
        is_witness,
        refused_when_done="keys stand here already",
    ),
    "witness watch": Command(
        ("witness", "watch", "DIR/witness", "KEY"),
        lambda folder: len(load_config(folder / "witness").logs) == 1,
        (WITNESS,),
    ),
}
ROTATION = Command(
    ("node", "renew", "DIR/node", "--new-recipient-key"), is_renewed, (("node", "init", "DIR/node", *VILLAGE),)
)


def killed_everywhere(command: Command, folder: Path, between: Callable[[Path], None] = lambda _: None) -> int:
    """Kill it at its first operation on files (at EVERY so many), at its second, until its end; at how many it died.

    After every kill the same command is given once more and comes to its end, or says that it had.
    """
    start = folder / "start"
    start.mkdir()
    for words in command.before:
        assert ran(words, start).code == 0
    number, here = 1, _copied(start)
    while ran(command.words, here, command.given, number * EVERY).code != 0:
        between(here)
        again = ran(command.words, here, command.given)
        assert "Traceback" not in again.said
        assert again.code == 0 or (command.refused_when_done and command.refused_when_done in again.said), again.said
        assert command.is_done(here)
        number, here = number + 1, _copied(start)
    assert command.is_done(here)
    return number - 1


def _copied(start: Path) -> Path:
    here = start.parent / f"copy-{next(_copies)}"
    shutil.copytree(start, here)
    return here


def ran(words: tuple[str, ...], folder: Path, given: str = "", killed_at: int = 0, *, limit_bytes: int = 0) -> Ran:
    """A command about this folder; what it says lies beside it."""
    told = tuple(word.replace("DIR", str(folder)).replace("KEY", KEY) for word in words)
    return run(told, folder.with_suffix(".said"), given=given, killed_at=killed_at, limit_bytes=limit_bytes)


@pytest.mark.parametrize("name", COMMANDS)
def test_41_a_command_killed_at_any_file_operation_is_simply_repeated(name: str, tmp_path: Path) -> None:
    assert killed_everywhere(COMMANDS[name], tmp_path) >= 5 // EVERY


def test_48_a_rotation_killed_half_way_leaves_the_old_key_or_both(tmp_path: Path) -> None:
    def old_key_is_there(folder: Path) -> None:
        keys = load_keys(folder / "node" / "keys")
        assert keys.recipients[-1].number == 1
        assert is_node(folder)

    assert killed_everywhere(ROTATION, tmp_path, old_key_is_there) >= 5 // EVERY


def test_a_backup_killed_anywhere_leaves_no_file_or_a_whole_one(postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.create_database("saved", template="template_node")
    accounts.prepare(postgres.dsn("saved"))
    sizes = set[int]()

    def is_saved(folder: Path) -> bool:
        file = folder.parent / f"{folder.name}.backup"
        sizes.add(file.stat().st_size)
        return oct(file.stat().st_mode & 0o777) == "0o600"

    def is_nothing_or_whole(folder: Path) -> None:
        if (folder.parent / f"{folder.name}.backup").exists():
            assert is_saved(folder)

    founding.found_root(tmp_path / "root/node", node_of(postgres.dsn("saved")), time.time_ns() // 1000)
    words = ("node", "backup", f"{tmp_path}/root/node", "--out", "DIR.backup")
    backup = Command(words, is_saved, given=PASSPHRASE + "\n", refused_when_done="choose another name")
    assert killed_everywhere(backup, tmp_path, is_nothing_or_whole) >= 4 // EVERY
    assert len(sizes) == 1, "whole means as long as every other of the same"


def node_of(dsn: str) -> config.NodeConfig:
    """A root whose database somebody else runs."""
    division = Division("410221000000")
    identity = config.Identity(
        division=division, name="杞县信访局", tier=tier_of(division), trust_domain="test.example"
    )
    outside = config.OutsideWitness(url="http://127.0.0.1:9", key=KEY)
    return config.NodeConfig(node=identity, database=config.Database(dsn=dsn), witness=outside)
