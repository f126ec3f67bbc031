import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from domain.divisions import Division
from gateway.accounts import prepare
from gateway.backup.backup import (
    LENGTH,
    FolderTooLarge,
    Manifest,
    NothingToSave,
    OtherNode,
    TargetTaken,
    make_backup,
    saved_tables,
)
from gateway.backup.backup_file import (
    BackupDamaged,
    BackupNewer,
    BackupRefused,
    Cost,
    PassphraseWeak,
    PassphraseWrong,
    SealedReader,
    SealedWriter,
)
from gateway.backup.restore import (
    Changes,
    DatabaseNotEmpty,
    FolderNotEmpty,
    restore_backup,
)
from gateway.backup.restored import Restored, mark_of
from gateway.casework.numbers import Numbers
from gateway.casework.store_postgres import PostgresCasework
from gateway.hosting.config import Database, Http, Identity, NodeConfig, load, write
from gateway.hosting.databases import NODE_DATABASE, SERVER_FOLDER
from gateway.hosting.postgres_server import PostgresServer
from sync.ledger.append import Append, NewEvent
from sync.ledger.migrations import migrate
from sync.ledger.reader import register_log
from sync.ledger.writer import Writer
from sync.sealed.acts import PartsBeside
from sync.trust.keys import generate_keys, load_keys

CITY = Division("410200000000")
PASSPHRASE = "green wheat 1978"
CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
NAME = "张桂兰"
MADE_US = 1_900_000_000_000_000
ROOT = Path(__file__).parents[2]


class Node(NamedTuple):
    folder: Path
    dsn: str


def quiet(_table: str, _size_bytes: int) -> None:
    pass


def now_us() -> int:
    return time.time_ns() // 1000


def event(stream: UUID, version: int = 0) -> tuple[NewEvent, list[bytes]]:
    body = f'{{"type":"leg.opened.v0","of":"{NAME}","version":{version}}}'.encode()
    return NewEvent(stream, version, "leg.opened.v0", stream, body), [os.urandom(900), f"sealed {NAME}".encode()]


def append(writer: Writer, stream: UUID, version: int = 0) -> None:
    new, parts = event(stream, version)
    command = uuid4()
    writer.append(Append([new], command, b"digest", b"result", [PartsBeside(stream, version, parts)])).result(20)


@pytest.fixture(scope="module")
def original(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A root with a few events, parts beside them, an account that is signed in, views, and a channel."""
    folder = tmp_path_factory.mktemp("original") / "city"
    postgres.create_database("original", template="template_node")
    dsn = postgres.dsn("original")
    identity = Identity(division=CITY, name="开封市信访局", tier="city", trust_domain="huiyin.example")
    config = NodeConfig(node=identity, http=Http(port=8499), database=Database(dsn=dsn))
    generate_keys(folder / "keys", config.origin)
    (folder / "escrow-share-1.json").write_text("carried away by a person, and no part of the node")
    (folder / "trust").mkdir()
    (folder / "trust/enrolment.json").write_bytes(b'{"root_fingerprint":"00","certificates":[]}')
    write(folder, config)
    with (folder / "node.toml").open("a") as file:
        file.write("# a word by the operator\n")
    prepare(dsn)
    with psycopg.connect(dsn) as conn:
        register_log(conn, config.origin, CITY, 1)
        account = uuid4()
        conn.execute(
            "insert into web.account (id, login, name, password, role, unit, created_us)"
            " values (%s, 'zhang', %s, 'hash', 'clerk', 'office', 1)",
            (account, NAME),
        )
        session = (os.urandom(32), uuid4(), account)
        conn.execute("insert into web.session values (%s, %s, %s, 'csrf', 'here', 1, 1, 9)", session)
        conn.execute("create schema views; create table views.duty (case_id uuid)")
        conn.execute("create schema channel; create table channel.lane (name text)")
    with Writer(dsn, 1, now_us) as writer:
        for _ in range(20):
            append(writer, uuid4())
    return Node(folder, dsn)


@pytest.fixture(scope="module")
def backup(original: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    target = tmp_path_factory.mktemp("backup") / "backup"
    save(original, target)
    return target


@pytest.fixture
def node(original: Node, postgres: PostgresServer, tmp_path: Path) -> Iterator[Node]:
    """A copy of it that a test may change."""
    name = f"copy_{uuid4().hex}"
    postgres.create_database(name, template="original")
    yield Node(shutil.copytree(original.folder, tmp_path / "city"), postgres.dsn(name))
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of a database without any table."""
    name = f"restored_{uuid4().hex}"
    postgres.create_database(name)
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')


def save(node: Node, target: Path) -> Manifest:
    return make_backup(node.folder, node.dsn, target, PASSPHRASE, quiet, made_us=MADE_US, cost=CHEAP)


def restore(source: Path, folder: Path, dsn: str, passphrase: str = PASSPHRASE) -> Manifest:
    return restore_backup(source, folder, passphrase, quiet, changes=Changes(database=Database(dsn=dsn)))


def rows(dsn: str) -> dict[str, list[bytes]]:
    """Every row of every saved table in the bytes of binary COPY, in any order."""
    with psycopg.connect(dsn) as conn:
        found: dict[str, list[bytes]] = {}
        for table in saved_tables(conn):
            with conn.cursor() as cursor, cursor.copy(table.copy("to stdout")) as copy:
                found[table.full_name] = sorted(bytes(row) for row in copy)
        return found


def private_files(folder: Path) -> dict[str, bytes]:
    paths = [path for name in ("keys", "trust") for path in (folder / name).rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name != "restored.json"}


def tables_in(dsn: str) -> list[tuple[str, ...]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute(
            "select tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
            " and tablename <> 'migration'"
        ).fetchall()


def remains(folder: Path) -> list[str]:
    """What a restore left where `folder` should be, or beside it under a temporary name."""
    return [path.name for path in folder.parent.iterdir() if folder.name in path.name]


def opened(source: Path) -> list[bytes]:
    """The blocks in a backup."""
    blocks: list[bytes] = []
    with source.open("rb") as file, suppress(BackupDamaged):  # the end
        reader = SealedReader(file, PASSPHRASE)
        while True:
            (size_bytes,) = LENGTH.unpack(reader.read(LENGTH.size))
            blocks.append(reader.read(size_bytes))
    return blocks


def seal(blocks: list[bytes], target: Path) -> None:
    """What somebody who knows the passphrase can make."""
    with target.open("wb") as file:
        writer = SealedWriter(file, PASSPHRASE, CHEAP)
        for block in blocks:
            writer.write(LENGTH.pack(len(block)) + block)
        writer.finish()


def test_a_node_comes_back_in_another_folder_and_database_byte_for_byte(
    original: Node, backup: Path, empty: str, tmp_path: Path
) -> None:
    manifest = restore(backup, tmp_path / "new", empty)
    assert manifest == Manifest(1, CITY, "开封市信访局", "huiyin.example/410200000000/1", 20, 20, MADE_US)

    before, after = rows(original.dsn), rows(empty)
    assert (len(before.pop("web.session")), len(after.pop("web.session"))) == (1 + 1, 1), "everybody is signed out"
    assert (len(before.pop("public.held")), len(after.pop("public.held"))) == (1, 1 + 1), "the superior is asked"
    assert after == before
    assert {"duty", "lane"}.isdisjoint(name for (name,) in tables_in(empty)), "no views, no channel"
    assert len(after["public.beside"]) == 40 + 1, "two parts for each event, and the end of the copy"
    assert private_files(tmp_path / "new") == private_files(original.folder)
    assert load_keys(tmp_path / "new" / "keys").log.verifier == load_keys(original.folder / "keys").log.verifier
    assert mark_of(tmp_path / "new") == Restored(made_us=MADE_US, pos=20, own_size=20)
    assert mark_of(original.folder) is None
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["keys", "node.toml", "trust"]
    assert migrate(empty) == []


def test_a_token_of_an_auditor_that_was_revoked_since_does_not_come_to_life_again(
    node: Node, empty: str, tmp_path: Path
) -> None:
    with psycopg.connect(node.dsn) as conn:
        for number, revoked_us in enumerate((None, 5)):
            conn.execute(
                "insert into web.auditor_token (id, token_hash, account, made_us, ends_us, revoked_us)"
                " select %s, %s, id, 1, 9, %s from web.account",
                (uuid4(), bytes([number]) * 32, revoked_us),
            )
    save(node, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new", empty)
    with psycopg.connect(empty) as conn:
        kept = conn.execute("select revoked_us from web.auditor_token order by token_hash").fetchall()
    assert kept == [(MADE_US,), (5,)]


def test_the_restored_node_writes_on_where_the_backup_ended(
    original: Node, backup: Path, empty: str, tmp_path: Path
) -> None:
    restore(backup, tmp_path / "new", empty)
    with Writer(empty, 1, now_us) as writer:
        new, _ = event(uuid4())
        assert writer.append(Append([new])).result(20).seqs == range(20, 21)


def test_a_restored_node_gives_no_paper_number_that_it_may_have_given_since_the_backup(
    node: Node, empty: str, tmp_path: Path
) -> None:
    def give(dsn: str, tag: str) -> str:
        with psycopg.connect(dsn) as conn:
            store = PostgresCasework(lambda: nullcontext(conn))
            number, given = Numbers(CITY, store.last_numbers()).draw(tag, now_us())
            store.do(given)
        return number

    given = {give(node.dsn, "case.registered.v0") for _ in range(2)}
    make_backup(node.folder, node.dsn, tmp_path / "saved", PASSPHRASE, quiet, made_us=now_us(), cost=CHEAP)
    given |= {give(node.dsn, tag) for tag in ("case.registered.v0", "leg.accepted.v0")}
    restore(tmp_path / "saved", tmp_path / "new", empty)
    again = {give(empty, tag) for tag in ("case.registered.v0", "leg.accepted.v0", "opinion.issued.v0")}
    assert len(given) == 4
    assert not given & again


def test_a_node_without_a_database_of_its_own_comes_back_with_the_embedded_one(
    original: Node, backup: Path, empty: str, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    changes = Changes(http=Http(port=8500), database=Database())
    restore_backup(backup, folder, PASSPHRASE, quiet, changes=changes)
    config = load(folder)
    assert (config.http.port, config.database.dsn, config.node) == (8500, "", load(original.folder).node)
    with PostgresServer(folder / SERVER_FOLDER) as server:
        assert rows(server.dsn(NODE_DATABASE))["public.ledger"] == rows(original.dsn)["public.ledger"]
    assert remains(folder) == ["new"]


def test_the_settings_are_kept_as_they_were_where_nothing_changes(
    node: Node, postgres: PostgresServer, tmp_path: Path
) -> None:
    lost = psycopg.conninfo.conninfo_to_dict(node.dsn)["dbname"]
    settings = (node.folder / "node.toml").read_text().replace("dbname=original", f"dbname={lost}")
    (node.folder / "node.toml").write_text(settings)
    save(node, tmp_path / "backup")
    with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
        conn.execute(f'drop database "{lost}" with (force)')
        conn.execute(f'create database "{lost}"')
    restore_backup(tmp_path / "backup", tmp_path / "new", PASSPHRASE, quiet, expected=CITY)
    assert (tmp_path / "new/node.toml").read_text() == settings
    assert "a word by the operator" in settings
    assert len(rows(node.dsn)["public.ledger"]) == 20 + 1


def test_no_table_is_forgotten(original: Node) -> None:
    with psycopg.connect(original.dsn) as conn:
        saved = {table.full_name for table in saved_tables(conn)}
        everything = conn.execute(
            "select schemaname || '.' || tablename from pg_tables where schemaname not in"
            " ('pg_catalog', 'information_schema', 'views', 'channel')"
        ).fetchall()
        assert saved == {name for (name,) in everything}
        assert {"public.ledger", "public.beside", "web.account", "public.migration"} < saved
        assert conn.execute("select sequencename from pg_sequences").fetchall() == [], "their state is not saved"
        oids = "select coalesce(max(atttypid), 0) < 16384 from pg_attribute join pg_class c on c.oid = attrelid"
        plain = conn.execute(oids + " where relnamespace in ('public'::regnamespace, 'web'::regnamespace)").fetchone()
        assert plain == (True,), "numbers of types made here differ from database to database"


def test_a_table_that_a_later_migration_makes_is_saved_without_being_named_anywhere(node: Node) -> None:
    with psycopg.connect(node.dsn) as conn:
        conn.execute("create table public.made_later (id int)")
        conn.execute("create table web.aaa_first (account uuid references web.account)")
        names = [table.full_name for table in saved_tables(conn)]
    assert "public.made_later" in names
    assert names.index("web.account") < names.index("web.aaa_first"), "what is referred to comes first"


def test_a_backup_taken_while_the_node_writes_is_of_one_moment(node: Node, empty: str, tmp_path: Path) -> None:
    with Writer(node.dsn, 1, now_us) as writer:

        def write_meanwhile(table: str, _size_bytes: int) -> None:
            append(writer, uuid4())  # returns: the backup keeps nobody waiting

        made = make_backup(
            node.folder, node.dsn, tmp_path / "backup", PASSPHRASE, write_meanwhile, made_us=MADE_US, cost=CHEAP
        )
    restore(tmp_path / "backup", tmp_path / "new", empty)
    with psycopg.connect(empty) as conn:
        counts = conn.execute(
            "select (select own_size from head), (select pos from head), (select count(*) from ledger),"
            " (select max(pos) from ledger), (select count(*) from beside), (select count(*) from command)"
        ).fetchone()
    assert counts == (20, 20, 20, 20, 40, 20)
    assert (made.own_size, made.pos) == (20, 20)
    with psycopg.connect(node.dsn) as conn:
        ((size,),) = conn.execute("select own_size from head").fetchall()
        assert size > 30


def test_nothing_in_the_file_can_be_read(original: Node, backup: Path, tmp_path: Path) -> None:
    data = backup.read_bytes()
    secrets = [line for content in private_files(original.folder).values() for line in content.splitlines()]
    secrets += [word.encode() for word in (NAME, "开封市信访局", "PRIVATE", "leg.opened", CITY, "PGCOPY", PASSPHRASE)]
    assert [secret for secret in secrets if secret in data] == []
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_refused_wherever_it_is_damaged_and_nothing_is_left(
    original: Node, backup: Path, empty: str, tmp_path: Path
) -> None:
    data = backup.read_bytes()
    middle = len(data) // 2
    damaged = [data[:middle], data[:-1], data + b"\0", data + data[80:], data[:middle] + data[middle - 64 :]]
    places = [50, 100, middle, len(data) - 1]
    damaged += [data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :] for place in places]
    (tmp_path / "away").mkdir()
    for bad in damaged:
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(BackupDamaged):
            restore(tmp_path / "bad", tmp_path / "away/new", empty)
        assert list((tmp_path / "away").iterdir()) == []
        assert tables_in(empty) == []
    restore(backup, tmp_path / "away/new", empty)


def test_a_file_damaged_behind_many_rows_leaves_no_row(node: Node, empty: str, tmp_path: Path) -> None:
    with psycopg.connect(node.dsn) as conn:
        conn.execute("insert into beside select 9, n, 0, repeat('x', 2000)::bytea from generate_series(1, 1000) n")
    save(node, tmp_path / "backup")
    data = (tmp_path / "backup").read_bytes()
    assert len(data) > 4 * 256 * 1024, "several chunks"
    (tmp_path / "bad").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BackupDamaged):
        restore(tmp_path / "bad", tmp_path / "new", empty)
    assert tables_in(empty) == []
    assert remains(tmp_path / "new") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.hosting.config import Database
from gateway.backup.restore import Changes, restore_backup
source, folder, dsn, passphrase = sys.argv[1:]
def die(table, size_bytes):
    if table == "public.ledger":
        os.kill(os.getpid(), signal.SIGKILL)
restore_backup(Path(source), Path(folder), passphrase, die, changes=Changes(database=Database(dsn=dsn)))
"""


def test_a_restore_killed_half_way_leaves_nothing_that_looks_like_a_node(
    original: Node, backup: Path, empty: str, tmp_path: Path
) -> None:
    folder = tmp_path / "away/new"
    folder.mkdir(parents=True)
    arguments = [str(backup), str(folder), empty, PASSPHRASE]
    died = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, check=False)
    assert died.returncode == -signal.SIGKILL
    assert list(folder.iterdir()) == []
    assert [path for path in folder.parent.rglob("*") if path.is_file()] == []
    assert tables_in(empty) == []
    restore(backup, folder, empty)
    assert rows(empty)["public.ledger"] == rows(original.dsn)["public.ledger"]


def test_a_backup_that_breaks_off_leaves_no_file(node: Node, tmp_path: Path) -> None:
    def full(_table: str, _size_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        make_backup(node.folder, node.dsn, tmp_path / "backup", PASSPHRASE, full, made_us=MADE_US, cost=CHEAP)
    assert remains(tmp_path / "backup") == []


def test_what_cannot_be_saved_is_refused_by_name(node: Node, empty: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(TargetTaken):
        save(node, tmp_path / "kept")
    with pytest.raises(TargetTaken):
        save(node, tmp_path / "no such folder/backup")
    with pytest.raises(NothingToSave):
        save(Node(node.folder, empty), tmp_path / "backup")
    with pytest.raises(PassphraseWeak):
        make_backup(node.folder, node.dsn, tmp_path / "backup", "hunter2", quiet, made_us=MADE_US)
    with psycopg.connect(node.dsn) as conn:
        conn.execute("update log set division = '410221000000'")
    with pytest.raises(OtherNode, match="410221000000"):
        save(node, tmp_path / "backup")
    with psycopg.connect(node.dsn) as conn:
        conn.execute("update log set division = %s", (CITY,))
    (node.folder / "trust/film.mp4").write_bytes(bytes(17 << 20))
    with pytest.raises(FolderTooLarge):
        save(node, tmp_path / "backup")
    assert remains(tmp_path / "backup") == []
    assert (tmp_path / "kept").read_text() == "kept"


def test_44_what_cannot_be_restored_is_refused_by_name(
    original: Node, backup: Path, empty: str, tmp_path: Path
) -> None:
    with pytest.raises(PassphraseWrong):
        restore(backup, tmp_path / "new", empty, "another passphrase")
    with pytest.raises(FolderNotEmpty):
        restore(backup, original.folder, empty)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderNotEmpty):
        restore(backup, tmp_path / "link", empty)
    with pytest.raises(DatabaseNotEmpty):
        restore(backup, tmp_path / "new", original.dsn)
    other = Division("410221000000")
    with pytest.raises(OtherNode, match=f"{CITY}.*{other}"):
        restore_backup(backup, tmp_path / "new", PASSPHRASE, quiet, expected=other)
    assert remains(tmp_path / "new") == []
    assert tables_in(empty) == []


@pytest.mark.parametrize(
    "damage",
    [
        "update migration set name = '9999_newer.sql' where name like '0001%'",
        "update migration set sha256 = '\\x00' where name like '0001%'",
    ],
)
def test_the_backup_of_another_program_is_refused(node: Node, empty: str, tmp_path: Path, damage: str) -> None:
    with psycopg.connect(node.dsn) as conn:
        conn.execute(damage.encode())
    save(node, tmp_path / "backup")
    with pytest.raises(BackupNewer):
        restore(tmp_path / "backup", tmp_path / "new", empty)
    assert tables_in(empty) == []


def test_a_newer_format_is_refused_before_anything_else_is_understood(empty: str, tmp_path: Path) -> None:
    seal([msgspec.msgpack.encode(Manifest(2, CITY, "", "", 0, 0, 0)), b"something new"], tmp_path / "backup")
    with pytest.raises(BackupNewer):
        restore(tmp_path / "backup", tmp_path / "new", empty)


def test_a_crafted_backup_writes_nowhere_but_into_its_folder(backup: Path, empty: str, tmp_path: Path) -> None:
    for path in ["trust/../../escaped", "/escaped", "keys", "postgres/data", "../trust/escaped"]:
        blocks = opened(backup)
        contents = msgspec.msgpack.decode(blocks[1])
        contents["files"][path] = b"escaped"
        blocks[1] = msgspec.msgpack.encode(contents)
        seal(blocks, tmp_path / "bad")
        with pytest.raises(BackupDamaged):
            restore(tmp_path / "bad", tmp_path / "away/new", empty)
        assert list((tmp_path / "away").iterdir()) == []
        assert list(tmp_path.rglob("escaped")) == []


def test_no_refusal_shows_the_passphrase(original: Node, backup: Path, empty: str, tmp_path: Path) -> None:
    wrong = "correct horse battery"
    for passphrase, folder in [
        (wrong, tmp_path / "new"),
        (PASSPHRASE, original.folder),
        (wrong + "\udcff", tmp_path / "x"),
    ]:
        with pytest.raises(BackupRefused) as refusal:
            restore(backup, folder, empty, passphrase)
        said = "".join(traceback.format_exception(refusal.value))
        assert wrong not in said
        assert PASSPHRASE not in said
        assert refusal.value.zh
        assert refusal.value.en


MEASURED = r"""
import re, sys
from pathlib import Path
from gateway.backup.backup import make_backup
from gateway.backup.backup_file import Cost
from gateway.hosting.config import Database
from gateway.backup.restore import Changes, restore_backup
folder, dsn, empty, target, new, passphrase = sys.argv[1:]
def peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
def quiet(table, size_bytes):
    pass
begun = peak_bytes()
make_backup(Path(folder), dsn, Path(target), passphrase, quiet, made_us=1, cost=Cost(64, 1, 1))
made = peak_bytes()
restore_backup(Path(target), Path(new), passphrase, quiet, changes=Changes(database=Database(dsn=empty)))
print(made - begun, peak_bytes() - begun)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux")
def test_a_large_ledger_needs_no_more_memory_than_a_small_one(node: Node, empty: str, tmp_path: Path) -> None:
    with psycopg.connect(node.dsn) as conn:
        conn.execute(
            "insert into ledger select 100 + n, 2, n, 1, gen_random_uuid(), 0, 'leg.opened.v0', null,"
            " convert_to(repeat(md5(n::text), 16), 'UTF8'), sha256(n::text::bytea), 1 from generate_series(1, 100000) n"
        )
    target, new = tmp_path / "backup", tmp_path / "new"
    arguments = [str(node.folder), node.dsn, empty, str(target), str(new), PASSPHRASE]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    making, both = map(int, done.stdout.split())
    print(f"peak while making +{making >> 10} KiB, while restoring +{both >> 10} KiB, file {target.stat().st_size}")
    assert target.stat().st_size > 50_000_000
    assert making < 12_000_000
    assert both < 16_000_000
    with psycopg.connect(empty) as conn:
        assert conn.execute("select count(*) from ledger").fetchone() == (100_020,)
