"""Bearer tokens with which an auditor's own programs read a node's logs, and can do nothing else."""

import hashlib
import secrets
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg
import structlog
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from gateway.accounts import SEEN_EVERY_US, Accounts
from gateway.refusals import InputInvalid, NotFound, Refusal

DAY_US: Final = 24 * 60 * 60 * 1_000_000
MAX_DAYS: Final = 366
_PREFIX: Final = "huiyin-audit-"
"""So that a token that was left lying about is recognised as one."""

_log = structlog.get_logger("audit")


class TokenRefused(Refusal):
    """No token, or one that is unknown, ended, revoked, or whose account is no auditor's any more. Ask for another."""

    code = "token_refused"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "缺少审计令牌，或令牌无效、已过期、已撤销，请向本节点管理员重新索取",
            "there is no auditor's token, or it is unknown, ended or revoked; ask this node's operator for one",
        )


class NotAnAuditor(Refusal):
    """Only an open account whose role is auditor is given a token. Open one in that role first."""

    code = "not_an_auditor"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "只能为在用的审计员账户签发令牌，请先开设审计员账户",
            "a token is only given to an open account in the role auditor; open one first",
            field="account",
        )


class NewToken(msgspec.Struct, frozen=True):
    """A token to make, good for so many days."""

    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)]


class TokenNamed(msgspec.Struct, frozen=True):
    """A token to revoke, by its id."""

    token: UUID


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token as an operator sees it; moments are UTC microseconds, null where it has not happened."""

    id: UUID
    account: UUID
    login: str
    made_us: int
    ends_us: int
    revoked_us: int | None
    seen_us: int | None


class Made(NamedTuple):
    """A new token, told once, and its row."""

    token: str
    row: TokenRow


_ROW: Final = (
    "select t.id, t.account, a.login, t.made_us, t.ends_us, t.revoked_us, t.seen_us"
    " from web.auditor_token t join web.account a on a.id = t.account"
)


class AuditorTokens:
    """The tokens of one node, beside its accounts. Thread-safe; every change is committed when a method returns."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection], accounts: Accounts, now_us: Callable[[], int]) -> None:
        """now_us: the machine's clock, as for sessions."""
        self._pool = pool
        self._accounts = accounts
        self._now_us = now_us

    def make(self, account: UUID | str, days: int, by: UUID | None) -> Made:
        """A new token for an account, by its id or login, good for 1 to 366 days.

        by: the operator, None for the command line.

        Raises InputInvalid, NotAnAuditor.
        """
        if not 1 <= days <= MAX_DAYS:
            raise InputInvalid(
                f"有效期应为1至{MAX_DAYS}天",
                f"a token is good for 1 to {MAX_DAYS} days; give another number",
                field="days",
            )
        now, token, made = self._now_us(), _PREFIX + secrets.token_urlsafe(32), uuid4()
        with self._pool.connection() as conn, conn.transaction():
            found = conn.execute(
                "select id from web.account where %s in (id::text, login) and role = 'auditor' and closed_us is null"
                " for share",
                (str(account),),
            ).fetchone()
            if found is None:
                raise NotAnAuditor
            conn.execute(
                "insert into web.auditor_token (id, token_hash, account, made_us, ends_us) values (%s, %s, %s, %s, %s)",
                (made, _digest(token), found[0], now, now + days * DAY_US),
            )
            self._accounts.note(conn, by, found[0], f"auditor token {made} made for {days} days")
            return Made(token, _row(conn, made))

    def revoke(self, token: UUID, by: UUID | None) -> TokenRow:
        """End a token at once, by its id; nothing happens where it has ended already. NotFound."""
        with self._pool.connection() as conn, conn.transaction():
            changed = conn.execute(
                "update web.auditor_token set revoked_us = %s where id = %s and revoked_us is null returning account",
                (self._now_us(), token),
            ).fetchone()
            if changed is not None:
                self._accounts.note(conn, by, changed[0], f"auditor token {token} revoked")
            return _row(conn, token)

    def all(self, account: UUID | None = None) -> list[TokenRow]:
        """Every token ever made, or those of one account, the newest first."""
        with self._pool.connection() as conn, conn.cursor(row_factory=class_row(TokenRow)) as cursor:
            return cursor.execute(
                f"{_ROW} where %(account)s::uuid is null or t.account = %(account)s order by t.made_us desc, t.id",
                {"account": account},
            ).fetchall()

    def is_good(self, row: TokenRow) -> bool:
        """Whether a token can still be used, as far as it is not its account that was closed."""
        return row.revoked_us is None and row.made_us <= self._now_us() < row.ends_us

    def check(self, token: str | None) -> TokenRow:
        """Whose token it is; its use is noted, once a minute. Raises TokenRefused.

        Wrong ones are not slowed down: 256 bits are not guessed, and whoever tries must not shut the auditor out.
        """
        now = self._now_us()
        with self._pool.connection() as conn, conn.cursor(row_factory=class_row(TokenRow)) as cursor:
            row = cursor.execute(
                f"{_ROW} where t.token_hash = %s and a.role = 'auditor' and a.closed_us is null",
                (_digest(token or ""),),
            ).fetchone()
            if row is not None and self.is_good(row):
                if row.seen_us is None or abs(now - row.seen_us) > SEEN_EVERY_US:
                    conn.execute("update web.auditor_token set seen_us = %s where id = %s", (now, row.id))
                    _log.info("auditor_token_used", token=str(row.id), account=str(row.account))
                return row
        if token is not None:
            _log.warning("auditor_token_refused", token=None if row is None else str(row.id))
        raise TokenRefused


def _row(conn: psycopg.Connection, token: UUID) -> TokenRow:
    with conn.cursor(row_factory=class_row(TokenRow)) as cursor:
        found = cursor.execute(f"{_ROW} where t.id = %s", (token,)).fetchone()
    if found is None:
        raise NotFound
    return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
