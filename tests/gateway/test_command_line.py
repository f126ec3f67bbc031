"""What the command line says: where all is well, and where something is missing, broken, taken or wrong."""

import gc
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog
from typer.testing import CliRunner

from domain.divisions import Division, tier_of
from gateway import __main__
from gateway.__main__ import app
from gateway.backup.backup_file import Cost, SealedWriter
from gateway.hosting import config, founding, outside_witness
from gateway.hosting.config import ConfigInvalid
from gateway.node import Node, held
from tests.sync.test_receipt import POLICY

CITY, COUNTY, OTHER = Division("410200000000"), Division("410221000000"), Division("410222000000")
WITNESS = config.OutsideWitness(url="http://127.0.0.1:9", key="audit.example/witness+64cd50a2+BEQT")
VKEY = re.compile(r"\S+\+[0-9a-f]{8}\+\S+")
ROOT_WORDS = ("--division", "410200000000", "--name", "开封市信访局", "--trust-domain", "huiyin.example")
COUNTY_WORDS = ("--division", "410221000000", "--name", "杞县信访局", "--trust-domain", "huiyin.example")
PASSPHRASE = "green wheat 1978"
NOWHERE = "host=/nowhere port=1 dbname=node"


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
    log_key = key_in(huiyin("node", "init", tmp_path / "city", *ROOT_WORDS, "--root", *witness))
    for _ in range(2):
        huiyin("witness", "watch", tmp_path / "audit", log_key)
    assert outside_witness.load_config(tmp_path / "audit").logs == (log_key,)
    assert config.load(tmp_path / "city").witness == config.OutsideWitness(url="http://127.0.0.1:8420", key=witness_key)


def test_a_node_that_nobody_would_cosign_does_not_start(tmp_path: Path) -> None:
    huiyin("node", "init", tmp_path / "city", *ROOT_WORDS, "--root")
    with pytest.raises(ConfigInvalid, match="witness"):
        Node(tmp_path / "city")
    huiyin("node", "init", tmp_path / "county", *COUNTY_WORDS, "--parent", "410200000000")
    with pytest.raises(ConfigInvalid, match=r"channel\.up"):
        Node(tmp_path / "county")


def settings(division: Division, parent: Division | None = None, port: int = 8410) -> config.NodeConfig:
    identity = config.Identity(
        division=division, name="某局", tier=tier_of(division), trust_domain="t.example", parent=parent
    )
    return config.NodeConfig(
        node=identity,
        http=config.Http(port=port),
        database=config.Database(dsn=NOWHERE),
        channel=config.Channels(up=config.ChannelEnd(dsn=NOWHERE) if parent else None),
        witness=None if parent else WITNESS,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose database is away, a county that nobody has enrolled, and files of every wrong kind."""
    place = tmp_path_factory.mktemp("place")
    founding.found_root(place / "root", settings(CITY), time.time_ns() // 1000)
    founding.found(place / "county", settings(COUNTY, CITY))
    shutil.copytree(place / "root", place / "exposed")
    (place / "exposed/keys/log.skey").chmod(0o640)
    (place / "broken").mkdir()
    (place / "broken/node.toml").write_text("[node\n")
    (place / "half").mkdir()
    (place / "half/node.toml").write_text('[node]\ndivision = "410200000000"\n')
    bundle = founding.enrolment(place / "root")
    (place / "others.json").write_bytes(msgspec.json.encode(bundle))
    (place / "garbage").write_bytes(b"\xff\x00garbage\n")
    (place / "policy").write_text(POLICY, "utf-8")
    for name in ("whole", "truncated"):
        with (place / name).open("wb") as file:
            writer = SealedWriter(file, PASSPHRASE, Cost(64, 1, 1))
            writer.write(b"x" * 1000)
            writer.finish()
    (place / "truncated").write_bytes((place / "truncated").read_bytes()[:-600])
    columns = "title,body,created_at,reply,replied_at\n"
    (place / "columns.csv").write_text("title,body\na,b\n")
    (place / "gbk.csv").write_bytes((columns + "题,文,2026-01-01 08:00,复,2026-01-02 08:00\n").encode("gbk"))
    (place / "empty.csv").write_text(columns)
    (place / "short.csv").write_text(columns + "a,b\n")
    return place


@pytest.fixture(autouse=True)
def left_as_it_was() -> Iterator[None]:
    """The command line takes collector, log and signals in hand, as its own process may."""
    before, handlers = structlog.get_config(), {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    gc.enable()
    structlog.configure(**before)
    for one, handler in handlers.items():
        signal.signal(one, handler)


CASES = [
    ("node run missing", "没有 node.toml", "huiyin node init"),
    ("node run garbage", "没有 node.toml", "huiyin node init"),
    ("node run broken", "有误", "correct it"),
    ("node run half", "有误", "`name`"),
    ("node run county", "尚未登记", "not enrolled yet"),
    ("node run exposed", "其他用户可以读取", "others can read it"),
    ("witness watch missing garbage", "", ""),
    ("node init root --division 410200000000 --name x --trust-domain t.example --root", "已有节点", "choose another"),
    ("node init new --division 41 --name x --trust-domain t.example --root", "", ""),
    ("node enrol county --bundle garbage", "不是上级", "enrol the node again"),
    ("node enrol county --bundle others.json", "不是上级", "for this node"),
    ("node enrol county --bundle missing", "无法读取", "check the path"),
    ("node enrol missing --bundle others.json", "没有 node.toml", "huiyin node init"),
    ("node enrol root --request garbage", "证书不可信", "certificate refused"),
    ("node enrol root --request county/request.note", "数据库无法连接", "cannot be reached"),
    ("node renew root", "没有上级", "huiyin node rotate"),
    ("node rotate missing", "没有 node.toml", "huiyin node init"),
    ("node rotate county", "尚未登记", "not enrolled yet"),
    ("node rotate county --after-theft", "尚未登记", "not enrolled yet"),
    ("node rotate exposed", "其他用户可以读取", "others can read it"),
    ("node rotate root", "数据库无法连接", "cannot be reached"),
    ("node revoke root --division 41", "不是有效的行政区划代码", "12 digits"),
    ("node revoke root --division 410221000000", "数据库无法连接", "cannot be reached"),
    ("node move root --division 410221000000 --parent 410222000000", "数据库无法连接", "cannot be reached"),
    ("node abolish missing --division 410221000000 --successor 410222000000", "没有 node.toml", "huiyin node init"),
    ("node status county", "没有节点应答", "start it first"),
    ("node backup root --out saved", "数据库无法连接", "cannot be reached"),
    ("node backup missing --out saved", "没有 node.toml", "huiyin node init"),
    ("node restore new --from missing", "无法读取", "check the path"),
    ("node restore new --from garbage", "不是回音节点的备份", "check the file name"),
    ("node restore new --from truncated", "备份文件已损坏", "another copy"),
    ("node restore root --from whole", "不是空目录", "choose a new folder"),
    ("account add root zhang --role king", "不符合要求", "role"),
    ("account add root zhang --role clerk", "数据库无法连接", "cannot be reached"),
    ("account token root li", "数据库无法连接", "cannot be reached"),
    ("account tokens missing", "没有 node.toml", "huiyin node init"),
    ("account revoke root 00000000-0000-0000-0000-000000000000", "数据库无法连接", "cannot be reached"),
    ("projections rebuild nothing --node root", "没有视图 nothing", "there are:"),
    ("projections rebuild --node root", "数据库无法连接", "cannot be reached"),
    ("projections retry nothing --node root", "没有视图 nothing", "there are:"),
    ("projections retry --node root", "数据库无法连接", "cannot be reached"),
    ("projections rebuild --node missing", "没有 node.toml", "huiyin node init"),
    ("witness run missing", "witness.toml", "correct it"),
    ("verify receipt garbage --policy policy", "回执无效", "receipt invalid"),
    ("verify receipt missing --policy policy", "无法读取", "check the path"),
    ("verify receipt garbage --policy missing", "无法读取", "check the path"),
    ("verify receipt garbage --policy garbage", "信任策略", "policy"),
    ("demo --dir city --input columns.csv", "缺少列", "created_at, reply, replied_at"),
    ("demo --dir city --input gbk.csv", "不是 UTF-8", "save it"),
    ("demo --dir city --input empty.csv", "没有来信", "no messages"),
    ("demo --dir city --input short.csv", "第 2 行", "line 2"),
    ("demo --dir city --input root", "无法读取", "check the path"),
    ("demo --dir city --input missing", "无法读取", "check the path"),
    ("demo --dir garbage", "无法读取", "check the path"),
    ("demo status --dir missing", "没有节点应答", "start it first"),
]


def say(place: Path, line: str, monkeypatch: pytest.MonkeyPatch, secret: str = PASSPHRASE) -> object:
    """Run a command line in `place`; its exit code."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["huiyin", *line.split()])
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{secret}\n"))
    with pytest.raises(SystemExit) as end:
        __main__.main()
    return end.value.code


def told_well(said: str) -> bool:
    """One line: Chinese first, then English, and nothing of the inside."""
    chinese, _, english = said.partition(" / ")
    has_chinese = any("一" <= sign <= "鿿" for sign in chinese)
    return has_chinese and bool(english.strip()) and said.count("\n") == 1 and "Traceback" not in said


@pytest.mark.parametrize(("line", "zh", "en"), CASES, ids=[line for line, _, _ in CASES])
def test_a_command_that_cannot_be_done_says_why_and_what_to_do(
    place: Path, line: str, zh: str, en: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(place, line, monkeypatch) == 1
    said = capsys.readouterr().err
    assert told_well(said)
    assert zh in said
    assert en in said


ROOT_INIT = "node init new --division 410200000000 --name x --trust-domain t.example --root"


@pytest.mark.parametrize(
    "line",
    [
        f"{ROOT_INIT} --port -5",
        f"{ROOT_INIT} --port 65536",
        f"{ROOT_INIT} --port 84l0",
        f"{ROOT_INIT} --shard 0",
        f"{ROOT_INIT} --shard 2001",
        f"{ROOT_INIT} --shard {'9' * 5_000}",
        f"{ROOT_INIT} --port \u0663",
        "node init new --division \uff14\uff11\uff10\uff12\uff10\uff10000000 --name x --trust-domain t.example --root",
        "node restore new --from whole --port 0",
        "node revoke root --division 410221000000 --size -1",
        "node revoke root --division 410221000000 --size \u0661",
        "witness init new --name a.example/w --port 99999",
    ],
)
def test_46_a_number_beyond_its_bounds_is_refused_before_anything_is_done(
    place: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path for path in place.rglob("*") if path.is_file())
    assert say(place, line, monkeypatch) in {1, 2}
    assert sorted(path for path in place.rglob("*") if path.is_file()) == before
    said = capsys.readouterr().err
    assert said
    assert "Traceback" not in said


def test_46_a_value_that_no_configuration_holds_founds_no_node(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="port"):
        founding.found_root(tmp_path / "new", settings(CITY, port=70_000), 1)
    assert not (tmp_path / "new").exists()


def test_a_wrong_passphrase_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(place, "node restore new --from whole", monkeypatch, secret="another one 1978") == 1
    assert "口令不正确" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["node run root", "demo --dir root"])
def test_a_second_process_on_the_same_folder_is_refused(
    place: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(place / "root"):
        assert say(place, line, monkeypatch) == 1
    said = capsys.readouterr().err
    assert told_well(said)
    assert "已在另一进程中运行" in said


def run(folder: Path) -> tuple[int, str]:
    """`huiyin node run` as a process: exit code, and what it said last."""
    command = [sys.executable, "-m", "gateway", "node", "run", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


def test_a_node_does_not_start_without_its_database(place: Path) -> None:
    code, said = run(place / "root")
    assert code == 1
    assert told_well(said)
    assert "数据库无法连接" in said


def test_a_node_does_not_start_where_its_port_is_taken(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        founding.found_root(place / "second", settings(OTHER, port=port), time.time_ns() // 1000)
        code, said = run(place / "second")
    assert code == 1
    assert told_well(said)
    assert f"无法监听 127.0.0.1:{port}" in said


def test_files_of_a_node_are_for_its_owner_alone_and_nothing_half_written_stays(place: Path) -> None:
    for name in ("node.toml", "request.note", "keys/log.skey", "trust/enrolment.json"):
        assert (place / "root" / name).stat().st_mode & 0o777 == 0o600, name
    assert [path.name for path in (place / "root").rglob(".*")] == []
