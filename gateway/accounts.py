"""Local accounts with one role in one unit each, and the sessions in which they are signed in."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from threading import BoundedSemaphore
from typing import Annotated, Final, Literal, NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from domain.divisions import Division
from domain.events import Actor, Unit, UnitOpened, decode
from gateway.refusals import InputInvalid, NotFound, NotSignedIn, Refusal, TooManyAttempts, WrongPassword
from sync.ledger.connections import connect
from sync.ledger.migrations import migrate

AccountRole = Literal["citizen", "clerk", "handler", "leader", "supervisor", "auditor", "operator"]
"""citizen: a demonstration's player only; real citizens need no account, their receipt speaks for them."""

MINUTE_US: Final = 60_000_000
IDLE_US: Final = 60 * MINUTE_US
ABSOLUTE_US: Final = 12 * 60 * MINUTE_US
SEEN_EVERY_US: Final = MINUTE_US
"""A session's last use is noted at most this often, so that reading a page is not a write."""

WINDOW_US: Final = 15 * MINUTE_US
ATTEMPTS_PER_PAIR: Final = 10
ATTEMPTS_PER_LOGIN: Final = 100
ATTEMPTS_PER_NETWORK: Final = 60
"""Low for one name from one address; high for one name from anywhere, so that a stranger cannot lock a clerk out."""

HASHES_AT_ONCE: Final = 2
HASH_WAIT_S: Final = 5.0
"""argon2id takes 64 MiB and 0.15 s; a thousand sign-ins at once must not take the memory of the node."""

PASSWORD_MIN: Final = 10
PASSWORD_MAX: Final = 128
_COMMON: Final = frozenset({"1234567890", "0123456789", "qwertyuiop", "password123", "password1234", "1q2w3e4r5t"})


class Cost(NamedTuple):
    """What argon2id spends on one password: memory in KiB, passes over it, lanes side by side."""

    memory_kib: int
    passes: int
    lanes: int

    def hasher(self) -> PasswordHash:
        """What hashes at this cost; it verifies at the cost that a stored hash names."""
        return PasswordHash((Argon2Hasher(self.passes, self.memory_kib, self.lanes),))

    def of_nobody(self) -> str:
        """A stored hash that no password fits, and that takes as long to find out as any other; made in no time."""
        salt, digest = (base64.b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (16, 32))
        return f"$argon2id$v=19$m={self.memory_kib},t={self.passes},p={self.lanes}${salt}${digest}"


COST: Final = Cost(65_536, 3, 4)
"""The second choice of RFC 9106, section 4, for where memory is scarce."""


class LoginTaken(Refusal):
    """Another account has this login. Choose another."""

    code = "login_taken"
    status = 409

    def __init__(self) -> None:
        super().__init__("该用户名已被使用，请换一个", "this login is taken; choose another", field="login")


class PasswordWeak(Refusal):
    """A password that is too short, too long or well known. Choose another."""

    code = "password_weak"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            f"密码应为{PASSWORD_MIN}至{PASSWORD_MAX}个字符，不含用户名，且不是常见密码，请重新设置",
            f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters, not the login in it, and is no common one",
            field="password",
        )


class LastOperator(Refusal):
    """The only operator cannot be closed or given another role. Open a second one first."""

    code = "last_operator"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "这是唯一的系统管理员，请先另设一名管理员",
            "this is the only operator; open a second one first",
            field="role",
        )


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account to open. discipline: it may open the sealed letters that are addressed to this organ."""

    login: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{1,31}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    role: AccountRole
    unit: Unit
    discipline: bool = False


class Duties(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an account may do, and for which unit."""

    role: AccountRole
    unit: Unit
    discipline: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account without its secret. closed_us: since when it can no longer sign in."""

    id: UUID
    login: str
    name: str
    role: AccountRole
    unit: Unit
    discipline: bool
    created_us: int
    closed_us: int | None

    @property
    def actor(self) -> Actor:
        """How events name whoever acts through this account."""
        return Actor(account=self.id, role=self.role, unit=self.unit)


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session as an operator sees it; moments are UTC microseconds."""

    id: UUID
    account: UUID
    login: str
    role: AccountRole
    network: str
    created_us: int
    seen_us: int
    ends_us: int


class Visitor(NamedTuple):
    """Who sends a request: an account, its session, and the token that this session's forms carry."""

    account: Account
    session: UUID
    csrf: str


class SignedIn(NamedTuple):
    """The secret token, given once, and whom it stands for."""

    token: str
    visitor: Visitor


_ACCOUNT = "id, login, name, role, unit, discipline, created_us, closed_us"


def prepare(dsn: str) -> None:
    """Bring the tables of `web`, a schema of its own, up to date. Raises sync.ledger.migrations.MigrationRefused."""
    with connect(dsn) as conn:
        conn.execute("create schema if not exists web")
    migrate(make_conninfo(dsn, options="-c search_path=web"), files("gateway") / "sql")


class Accounts:
    """The accounts of one node. Thread-safe; every change is committed when a method returns.

    now_us: the machine's clock, also where the node runs on a simulated one, since a session's end is about
    real hours at a real desk.
    """

    def __init__(self, pool: ConnectionPool[psycopg.Connection], division: Division, now_us: Callable[[], int]) -> None:
        self._pool = pool
        self._division = division
        self._now_us = now_us
        self._hasher = COST.hasher()
        self._hashing = BoundedSemaphore(HASHES_AT_ONCE)
        self._nobody = COST.of_nobody()

    # --- accounts -------------------------------------------------------------------------------------------------

    def open(self, new: NewAccount, by: UUID | None) -> Account:
        """The account opened. by: the operator, None for the command line. LoginTaken, PasswordWeak, InputInvalid."""
        self._check_unit(new.unit)
        return self._open(new, self._hash(new.login, new.password), by)

    def open_missing(self, news: Sequence[NewAccount]) -> None:
        """Open those whose login is free, as the command line. Who shares a password shares its hash: for a demo,
        whose one password is printed. InputInvalid, PasswordWeak.
        """
        hashes: dict[str, str] = {}
        for new in news:
            self._check_unit(new.unit)
            _require_strong(new.login, new.password)
            if new.password not in hashes:
                hashes[new.password] = self._hash(new.login, new.password)
            with suppress(LoginTaken):
                self._open(new, hashes[new.password], None)

    def _open(self, new: NewAccount, hashed: str, by: UUID | None) -> Account:
        account, now = uuid4(), self._now_us()
        with self._pool.connection() as conn, conn.transaction():
            try:
                conn.execute(
                    "insert into web.account (id, login, name, password, role, unit, discipline, created_us)"
                    " values (%s, %s, %s, %s, %s, %s, %s, %s)",
                    (account, new.login, new.name, hashed, new.role, new.unit, new.discipline, now),
                )
            except psycopg.errors.UniqueViolation as error:
                raise LoginTaken from error
            self.note(conn, by, account, f"opened as {new.role} of {new.unit}")
        return self.account(account)

    def account(self, account: UUID) -> Account:
        """The account of this id; NotFound."""
        with self._pool.connection() as conn, conn.cursor(row_factory=class_row(Account)) as cursor:
            found = cursor.execute(f"select {_ACCOUNT} from web.account where id = %s", (account,)).fetchone()
        if found is None:
            raise NotFound
        return found

    def all(self) -> list[Account]:
        """Every account, open ones first, by login."""
        with self._pool.connection() as conn, conn.cursor(row_factory=class_row(Account)) as cursor:
            return cursor.execute(
                f"select {_ACCOUNT} from web.account order by closed_us is not null, login"
            ).fetchall()

    def assign(self, account: UUID, duties: Duties, by: UUID) -> Account:
        """Give the account another role or unit; its next request already has it. NotFound, LastOperator."""
        self._check_unit(duties.unit)
        with self._pool.connection() as conn, conn.transaction():
            self._keep_an_operator(conn, account, duties.role == "operator")
            changed = conn.execute(
                "update web.account set role = %s, unit = %s, discipline = %s where id = %s",
                (duties.role, duties.unit, duties.discipline, account),
            )
            if changed.rowcount == 0:
                raise NotFound
            self.note(conn, by, account, f"now {duties.role} of {duties.unit}")
        return self.account(account)

    def set_password(self, account: UUID, password: str, by: UUID) -> None:
        """Set a new password and end every session of the account. NotFound, PasswordWeak."""
        hashed = self._hash(self.account(account).login, password)
        with self._pool.connection() as conn, conn.transaction():
            conn.execute("update web.account set password = %s where id = %s", (hashed, account))
            conn.execute("delete from web.session where account = %s", (account,))
            self.note(conn, by, account, "password set")

    def close(self, account: UUID, by: UUID) -> None:
        """Close the account and end its sessions; what it did stays its own. NotFound, LastOperator."""
        with self._pool.connection() as conn, conn.transaction():
            self._keep_an_operator(conn, account, False)
            changed = conn.execute(
                "update web.account set closed_us = coalesce(closed_us, %s) where id = %s", (self._now_us(), account)
            )
            if changed.rowcount == 0:
                raise NotFound
            conn.execute("delete from web.session where account = %s", (account,))
            self.note(conn, by, account, "closed")

    # --- sessions -------------------------------------------------------------------------------------------------

    def log_in(self, login: str, password: str, network: str) -> SignedIn:
        """A new session. network: the peer's address, never a header. WrongPassword, TooManyAttempts.

        A name that does not exist costs the same time as a wrong password.
        """
        login = login.strip().lower()[:64]
        now = self._now_us()
        self._count_attempt(login, network, now)
        with self._pool.connection() as conn:
            row = conn.execute(
                "select id, password from web.account where login = %s and closed_us is null", (login,)
            ).fetchone()
        account, hashed = row if row is not None else (None, self._nobody)
        if not self._verify(password, hashed) or account is None:
            raise WrongPassword
        with self._pool.connection() as conn, conn.transaction():
            conn.execute("delete from web.attempt where login = %s", (login,))
            conn.execute("delete from web.session where not (ends_us > %s and seen_us between %s and %s)", _good(now))
            return self._open_session(conn, account, network, now)

    def visitor(self, token: str) -> Visitor:
        """Whom the token stands for now; NotSignedIn once it is idle, ended, revoked or the account closed."""
        now, digest = self._now_us(), _digest(token)
        with self._pool.connection() as conn:
            row = conn.execute(
                "select s.id, s.csrf, s.seen_us, a.id, a.login, a.name, a.role, a.unit, a.discipline,"
                " a.created_us, a.closed_us from web.session s join web.account a on a.id = s.account"
                " where s.token_hash = %s and s.ends_us > %s and s.seen_us between %s and %s and a.closed_us is null",
                (digest, *_good(now)),
            ).fetchone()
            if row is None:
                raise NotSignedIn
            session, csrf, seen_us, *account = row
            if now - seen_us > SEEN_EVERY_US:
                conn.execute("update web.session set seen_us = %s where token_hash = %s", (now, digest))
        return Visitor(Account(**dict(zip(Account.__struct_fields__, account, strict=True))), session, csrf)

    def log_out(self, token: str) -> None:
        """End the token's session; nothing happens where it has ended already."""
        with self._pool.connection() as conn:
            conn.execute("delete from web.session where token_hash = %s", (_digest(token),))

    def sessions(self) -> list[SessionRow]:
        """Every session that is still good, the latest used first."""
        now = self._now_us()
        with self._pool.connection() as conn, conn.cursor(row_factory=class_row(SessionRow)) as cursor:
            return cursor.execute(
                "select s.id, a.id as account, a.login, a.role, s.network, s.created_us, s.seen_us, s.ends_us"
                " from web.session s join web.account a on a.id = s.account"
                " where s.ends_us > %s and s.seen_us between %s and %s order by s.seen_us desc, s.id",
                _good(now),
            ).fetchall()

    def revoke(self, session: UUID, by: UUID) -> None:
        """End a session by its id. NotFound."""
        with self._pool.connection() as conn, conn.transaction():
            row = conn.execute("delete from web.session where id = %s returning account", (session,)).fetchone()
            if row is None:
                raise NotFound
            self.note(conn, by, row[0], "session ended")

    # --- inside ---------------------------------------------------------------------------------------------------

    def _open_session(self, conn: psycopg.Connection, account: UUID, network: str, now: int) -> SignedIn:
        token, csrf, session = secrets.token_urlsafe(16), secrets.token_urlsafe(16), uuid4()
        conn.execute(
            "insert into web.session (token_hash, id, account, csrf, network, created_us, seen_us, ends_us)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            (_digest(token), session, account, csrf, network, now, now, now + ABSOLUTE_US),
        )
        with conn.cursor(row_factory=class_row(Account)) as cursor:
            found = cursor.execute(f"select {_ACCOUNT} from web.account where id = %s", (account,)).fetchone()
        if found is None:
            raise NotSignedIn
        return SignedIn(token, Visitor(found, session, csrf))

    def _count_attempt(self, login: str, network: str, now: int) -> None:
        """Counted before the password is looked at, so that attempts in parallel count one another."""
        since = now - WINDOW_US
        with self._pool.connection() as conn, conn.transaction():
            # One after the other: two that have not committed yet would not see each other.
            conn.execute("lock table web.attempt in share row exclusive mode")
            conn.execute("delete from web.attempt where at_us not between %s and %s", (since + 1, now + WINDOW_US))
            conn.execute("insert into web.attempt (login, network, at_us) values (%s, %s, %s)", (login, network, now))
            pair, by_login, by_network, first = conn.execute(
                "select count(*) filter (where login = %(login)s and network = %(network)s),"
                " count(*) filter (where login = %(login)s), count(*) filter (where network = %(network)s),"
                " min(at_us) from web.attempt where login = %(login)s or network = %(network)s",
                {"login": login, "network": network},
            ).fetchone() or (0, 0, 0, now)
        if pair > ATTEMPTS_PER_PAIR or by_login > ATTEMPTS_PER_LOGIN or by_network > ATTEMPTS_PER_NETWORK:
            raise TooManyAttempts(max(1, (first + WINDOW_US - now) // 1_000_000))

    def _hash(self, login: str, password: str) -> str:
        _require_strong(login, password)
        with self._hashing:
            return self._hasher.hash(password)

    def _verify(self, password: str, hashed: str) -> bool:
        if not self._hashing.acquire(timeout=HASH_WAIT_S):
            raise TooManyAttempts(int(HASH_WAIT_S))
        try:
            return self._hasher.verify(password[: PASSWORD_MAX + 1], hashed)
        finally:
            self._hashing.release()

    def _check_unit(self, unit: Unit) -> None:
        if unit != f"{self._division}.office" and not self._was_opened(unit):
            raise InputInvalid(
                "账户所属单位应为本节点已设立的单位，请重新选择，或先设立该单位",
                "an account belongs to a unit of this node; choose one, or open that unit first",
                field="unit",
            )

    def _was_opened(self, unit: Unit) -> bool:
        with self._pool.connection() as conn:
            rows = conn.execute("select body from ledger where via = 0 and log_id = 1 and topic = 'unit.opened.v0'")
            events = [decode(bytes(body)) for (body,) in rows]
        return any(isinstance(event, UnitOpened) and event.unit == unit for event in events)

    def _keep_an_operator(self, conn: psycopg.Connection, account: UUID, stays: bool) -> None:
        operators = {
            row[0]
            for row in conn.execute(
                "select id from web.account where role = 'operator' and closed_us is null for update"
            )
        }
        if operators == {account} and not stays:
            raise LastOperator

    def note(self, conn: psycopg.Connection, by: UUID | None, account: UUID, what: str) -> None:
        """Write down, in the transaction of `conn`, what an operator (None: the command line) did to an account."""
        conn.execute(
            "insert into web.administration (at_us, by_account, account, what) values (%s, %s, %s, %s)",
            (self._now_us(), by, account, what),
        )


def _require_strong(login: str, password: str) -> None:
    long_enough = PASSWORD_MIN <= len(password) <= PASSWORD_MAX
    if not long_enough or login in password.lower() or password.lower() in _COMMON:
        raise PasswordWeak


def _good(now: int) -> tuple[int, int, int]:
    """After what a session ends, and between what it was last used: one of a clock that was ahead is none for years."""
    return now, now - IDLE_US + 1, now + IDLE_US


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
