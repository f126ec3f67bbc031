import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import config, outside_witness
from gateway.__main__ import app
from gateway.config import ConfigInvalid
from gateway.node import Node

VKEY = re.compile(r"\S+\+[0-9a-f]{8}\+\S+")
CITY = ("--division", "410200000000", "--name", "开封市信访局", "--trust-domain", "huiyin.example")
COUNTY = ("--division", "410221000000", "--name", "杞县信访局", "--trust-domain", "huiyin.example")


def huiyin(*words: object) -> str:
    """What the command line says to this, when it does it."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def key_in(said: str) -> str:
    found = VKEY.search(said)
    assert found is not None, said
    return found[0]


def test_a_root_and_its_outside_witness_are_founded_with_each_others_keys(tmp_path: Path) -> None:
    witness_key = key_in(huiyin("witness", "init", tmp_path / "audit", "--name", "audit.example/witness"))
    witness = ("--witness-url", "http://127.0.0.1:8420", "--witness-key", witness_key)
    log_key = key_in(huiyin("node", "init", tmp_path / "city", *CITY, "--root", *witness))
    for _ in range(2):
        huiyin("witness", "watch", tmp_path / "audit", log_key)
    assert outside_witness.load_config(tmp_path / "audit").logs == (log_key,)
    assert config.load(tmp_path / "city").witness == config.OutsideWitness(url="http://127.0.0.1:8420", key=witness_key)


def test_a_node_that_nobody_would_cosign_does_not_start(tmp_path: Path) -> None:
    huiyin("node", "init", tmp_path / "city", *CITY, "--root")
    with pytest.raises(ConfigInvalid, match="witness"):
        Node(tmp_path / "city")
    huiyin("node", "init", tmp_path / "county", *COUNTY, "--parent", "410200000000")
    with pytest.raises(ConfigInvalid, match=r"channel\.up"):
        Node(tmp_path / "county")


@pytest.mark.parametrize(
    ("words", "reason"),
    [(("node", "run"), "database cannot be reached"), (("projections", "rebuild", "weather", "--node"), "no view")],
)
def test_what_stops_a_command_is_told_in_one_line(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    witness = ("--witness-url", "http://127.0.0.1:9", "--witness-key", "audit.example/witness+64cd50a2+BEQT")
    huiyin("node", "init", tmp_path / "city", *CITY, "--root", *witness)
    with (tmp_path / "city" / config.FILE_NAME).open("a") as file:
        file.write('[database]\ndsn = "host=127.0.0.1 port=9 dbname=x user=x"\n')
    command = [sys.executable, "-m", "gateway", *words, str(tmp_path / "city")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert reason in line
