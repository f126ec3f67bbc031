import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from gateway.hosting.postgres_server import SMALL_OFFICE, PostgresServer, PostgresServerError

LIGHT = {**SMALL_OFFICE, "shared_buffers": "8MB", "max_connections": "20"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path / "pg", LIGHT) as running:
        yield running


def postmaster(server: PostgresServer) -> int:
    return int((server.data / "postmaster.pid").read_text().split("\n", 1)[0])


def write(server: PostgresServer, value: int) -> None:
    with psycopg.connect(server.dsn()) as conn:
        conn.execute("create table if not exists kept (value int)")
        conn.execute("insert into kept values (%s)", (value,))


def values(server: PostgresServer) -> list[int]:
    with psycopg.connect(server.dsn()) as conn:
        return [value for (value,) in conn.execute("select value from kept order by value")]


def start_in_another_process(folder: Path) -> "subprocess.Popen[str]":
    code = (
        "import sys, pathlib; from gateway.hosting.postgres_server import PostgresServer\n"
        f"PostgresServer(pathlib.Path({str(folder)!r}), {LIGHT!r}).start(); print('up', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_a_fresh_folder_becomes_a_durable_server_without_tcp(server: PostgresServer) -> None:
    with psycopg.connect(server.dsn()) as conn:
        asked = [
            conn.execute(f"show {name}").fetchone() for name in ("fsync", "synchronous_commit", "listen_addresses")
        ]
        assert asked == [("on",), ("on",), ("",)]
        assert conn.execute("select lower('ÄÖ'), '村' < '镇'").fetchone() == ("äö", True)


def test_creating_a_database_twice_leaves_the_first_one(server: PostgresServer) -> None:
    server.create_database("village")
    with psycopg.connect(server.dsn("village")) as conn:
        conn.execute("create table kept ()")
    server.create_database("village")
    with psycopg.connect(server.dsn("village")) as conn:
        assert conn.execute("select count(*) from kept").fetchone() == (0,)


def test_after_a_stop_the_rows_are_there_again(server: PostgresServer) -> None:
    write(server, 1)
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn())
    server.start()
    assert values(server) == [1]


def test_the_last_of_two_users_stops_the_server(server: PostgresServer) -> None:
    second = PostgresServer(server.folder, LIGHT)
    second.start()
    server.stop()
    write(second, 2)
    second.stop()
    assert not (server.data / "postmaster.pid").exists()


def test_kill_of_server_and_owner_keeps_committed_rows(tmp_path: Path) -> None:
    owner = start_in_another_process(tmp_path / "pg")
    server = PostgresServer(tmp_path / "pg", LIGHT)
    write(server, 3)
    os.kill(postmaster(server), signal.SIGKILL)
    end(owner)
    with server:
        assert values(server) == [3]


def test_a_pid_file_whose_number_was_given_to_another_process_is_stale(server: PostgresServer) -> None:
    write(server, 4)
    killed = postmaster(server)
    os.kill(killed, signal.SIGKILL)
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(killed), str(os.getppid()), 1))
    again = PostgresServer(server.folder, LIGHT)
    with again:
        assert values(again) == [4]


def test_after_the_owner_was_killed_the_next_user_stops_the_server(tmp_path: Path) -> None:
    owner = start_in_another_process(tmp_path / "pg")
    end(owner)
    server = PostgresServer(tmp_path / "pg", LIGHT)
    server.start()
    server.stop()
    assert not (server.data / "postmaster.pid").exists()


def test_three_at_once_on_a_fresh_folder_share_one_server(tmp_path: Path) -> None:
    servers = [PostgresServer(tmp_path / "pg", LIGHT) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(PostgresServer.start, servers))
    assert len({postmaster(server) for server in servers}) == 1
    for server in servers:
        server.stop()
    assert not (servers[0].data / "postmaster.pid").exists()


def test_a_folder_too_deep_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    with PostgresServer(tmp_path / ("深" * 40), LIGHT) as server:
        write(server, 5)
        sockets = Path(psycopg.conninfo.conninfo_to_dict(server.dsn())["host"] or "")
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert values(server) == [5]
    sockets.rmdir()


def test_a_wrong_setting_is_refused_and_the_folder_stays_usable(tmp_path: Path) -> None:
    with pytest.raises(PostgresServerError, match=r"server\.log"):
        PostgresServer(tmp_path / "pg", {**LIGHT, "max_connections": "many"}).start()
    with PostgresServer(tmp_path / "pg", LIGHT) as server:
        write(server, 6)
        assert values(server) == [6]
