from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import thread_time

import msgspec
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from domain.divisions import Division
from gateway import accounts as module
from gateway.accounts import (
    ABSOLUTE_US,
    ATTEMPTS_PER_PAIR,
    COST,
    IDLE_US,
    MINUTE_US,
    WINDOW_US,
    Account,
    Accounts,
    Duties,
    LastOperator,
    LoginTaken,
    NewAccount,
    PasswordWeak,
    prepare,
)
from gateway.refusals import InputInvalid, NotFound, NotSignedIn, TooManyAttempts, WrongPassword

VILLAGE = Division("410221100201")
UNIT = f"{VILLAGE}.office"
PASSWORD = "green wheat 1978"


class HandClock:
    def __init__(self) -> None:
        self.us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def accounts(database: str, clock: HandClock) -> Iterator[Accounts]:
    prepare(database)
    with ConnectionPool(database, min_size=1, max_size=8, open=True) as pool:
        yield Accounts(pool, VILLAGE, clock)


def new(login: str = "wang", role: str = "clerk") -> NewAccount:
    return msgspec.convert(
        {"login": login, "name": "王某", "password": PASSWORD, "role": role, "unit": UNIT}, NewAccount
    )


@pytest.fixture
def clerk(accounts: Accounts) -> Account:
    return accounts.open(new(), by=None)


@pytest.fixture
def operator(accounts: Accounts) -> Account:
    return accounts.open(new("root", "operator"), by=None)


def test_preparing_the_tables_again_keeps_who_is_in_them(accounts: Accounts, clerk: Account, database: str) -> None:
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    prepare(database)
    assert accounts.visitor(token).account == clerk


def test_a_session_stands_for_the_account_that_signed_in(accounts: Accounts, clerk: Account) -> None:
    signed_in = accounts.log_in(" Wang", PASSWORD, "127.0.0.1")
    visitor = accounts.visitor(signed_in.token)
    assert visitor.account == clerk
    assert visitor.csrf == signed_in.visitor.csrf
    assert visitor.account.actor.unit == UNIT


def test_the_token_itself_is_not_in_the_database(accounts: Accounts, clerk: Account, database: str) -> None:
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    with psycopg.connect(database) as conn:
        rows = conn.execute("select s::text || a::text from web.session s, web.account a").fetchall()
    assert rows
    assert not [row for (row,) in rows if token in row or PASSWORD in row]


def test_each_sign_in_has_a_token_of_its_own(accounts: Accounts, clerk: Account) -> None:
    assert accounts.log_in("wang", PASSWORD, "a").token != accounts.log_in("wang", PASSWORD, "a").token


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(accounts: Accounts, clerk: Account) -> None:
    with pytest.raises(WrongPassword) as wrong:
        accounts.log_in("wang", "not this one", "127.0.0.1")
    with pytest.raises(WrongPassword) as unknown:
        accounts.log_in("nobody", "not this one", "127.0.0.1")
    assert str(wrong.value) == str(unknown.value)


@pytest.fixture
def real_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST", COST)


def test_a_password_is_kept_as_argon2id_of_64_mib_in_three_passes(
    real_cost: None, accounts: Accounts, clerk: Account, database: str
) -> None:
    with psycopg.connect(database) as conn:
        ((kept,),) = conn.execute("select password from web.account").fetchall()
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert [len(part) for part in kept.split("$")] == [len(part) for part in COST.of_nobody().split("$")]


def test_logins_opened_together_are_each_there_once_and_each_password_has_to_be_strong(accounts: Accounts) -> None:
    first, second = new("wang"), new("zhang")
    accounts.open(first, by=None)
    accounts.open_missing([first, second])
    assert [one.login for one in accounts.all()] == ["wang", "zhang"]
    assert accounts.log_in("zhang", PASSWORD, "127.0.0.1").visitor.account.login == "zhang"
    with pytest.raises(PasswordWeak):
        accounts.open_missing([new("li"), new("wheat")])


def test_an_unknown_name_costs_a_hash_like_a_known_one(real_cost: None, accounts: Accounts, clerk: Account) -> None:
    def cpu_s(login: str) -> float:
        started = thread_time()
        with pytest.raises(WrongPassword):
            accounts.log_in(login, "not this one", "127.0.0.1")
        return thread_time() - started

    known, unknown = (min(times) for times in zip(*((cpu_s("wang"), cpu_s("nobody")) for _ in range(3)), strict=True))
    assert 0.4 < unknown / known < 2.5


def test_too_many_failures_close_the_door_for_a_while_and_not_for_others(
    accounts: Accounts, clerk: Account, clock: HandClock
) -> None:
    for _ in range(ATTEMPTS_PER_PAIR):
        with pytest.raises(WrongPassword):
            accounts.log_in("wang", "not this one", "10.0.0.9")
    with pytest.raises(TooManyAttempts) as refused:
        accounts.log_in("wang", PASSWORD, "10.0.0.9")
    assert refused.value.retry_after_s == WINDOW_US // 1_000_000
    assert accounts.log_in("wang", PASSWORD, "10.0.0.10")
    clock.us += WINDOW_US + 1
    assert accounts.log_in("wang", PASSWORD, "10.0.0.9")


def test_a_clock_that_was_years_ahead_leaves_no_session_without_an_end_and_no_door_that_stays_closed(
    accounts: Accounts, clerk: Account, clock: HandClock
) -> None:
    right_us, clock.us = clock.us, 2 * clock.us
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    for _ in range(ATTEMPTS_PER_PAIR):
        with pytest.raises(WrongPassword):
            accounts.log_in("wang", "not this one", "127.0.0.1")
    clock.us = right_us
    assert accounts.sessions() == []
    with pytest.raises(NotSignedIn):
        accounts.visitor(token)
    assert accounts.log_in("wang", PASSWORD, "127.0.0.1")


def test_attempts_in_parallel_count_one_another(accounts: Accounts, clerk: Account) -> None:
    def attempt(_: int) -> type[Exception]:
        try:
            accounts.log_in("wang", "not this one", "10.0.0.9")
        except (WrongPassword, TooManyAttempts) as refused:
            return type(refused)
        raise AssertionError

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(ATTEMPTS_PER_PAIR + 6)))
    assert outcomes.count(WrongPassword) <= ATTEMPTS_PER_PAIR
    assert TooManyAttempts in outcomes


def test_a_session_ends_when_idle_and_in_any_case_after_half_a_day(
    accounts: Accounts, clerk: Account, clock: HandClock
) -> None:
    idle, busy = (accounts.log_in("wang", PASSWORD, "127.0.0.1").token for _ in range(2))
    started = clock.us
    while clock.us + IDLE_US - MINUTE_US < started + ABSOLUTE_US:
        clock.us += IDLE_US - MINUTE_US
        assert accounts.visitor(busy)
    with pytest.raises(NotSignedIn):
        accounts.visitor(idle)
    clock.us = started + ABSOLUTE_US
    with pytest.raises(NotSignedIn):
        accounts.visitor(busy)


def test_signing_out_ends_the_session_for_good(accounts: Accounts, clerk: Account) -> None:
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    accounts.log_out(token)
    with pytest.raises(NotSignedIn):
        accounts.visitor(token)


def test_a_role_taken_away_is_gone_at_the_next_request(accounts: Accounts, clerk: Account, operator: Account) -> None:
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    accounts.assign(clerk.id, Duties(role="auditor", unit=UNIT), operator.id)
    assert accounts.visitor(token).account.actor.role == "auditor"


def test_an_operator_sees_and_ends_a_session(accounts: Accounts, clerk: Account, operator: Account) -> None:
    token = accounts.log_in("wang", PASSWORD, "192.0.2.7").token
    (row,) = accounts.sessions()
    assert (row.login, row.network) == ("wang", "192.0.2.7")
    accounts.revoke(row.id, operator.id)
    assert accounts.sessions() == []
    with pytest.raises(NotSignedIn):
        accounts.visitor(token)
    with pytest.raises(NotFound):
        accounts.revoke(row.id, operator.id)


def test_closing_an_account_ends_its_sessions_and_its_password(
    accounts: Accounts, clerk: Account, operator: Account
) -> None:
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    accounts.close(clerk.id, operator.id)
    with pytest.raises(NotSignedIn):
        accounts.visitor(token)
    with pytest.raises(WrongPassword):
        accounts.log_in("wang", PASSWORD, "127.0.0.1")


def test_a_new_password_ends_every_session(accounts: Accounts, clerk: Account, operator: Account) -> None:
    token = accounts.log_in("wang", PASSWORD, "127.0.0.1").token
    accounts.set_password(clerk.id, "another wheat 1979", operator.id)
    with pytest.raises(NotSignedIn):
        accounts.visitor(token)
    assert accounts.log_in("wang", "another wheat 1979", "127.0.0.1")


def test_the_only_operator_stays(accounts: Accounts, operator: Account) -> None:
    with pytest.raises(LastOperator):
        accounts.close(operator.id, operator.id)
    with pytest.raises(LastOperator):
        accounts.assign(operator.id, Duties(role="clerk", unit=UNIT), operator.id)
    second = accounts.open(new("root2", "operator"), operator.id)
    accounts.close(operator.id, second.id)


def test_a_login_is_given_once(accounts: Accounts, clerk: Account) -> None:
    with pytest.raises(LoginTaken):
        accounts.open(new(), by=None)


def test_an_account_belongs_to_a_unit_of_this_node(accounts: Accounts) -> None:
    with pytest.raises(InputInvalid) as refused:
        accounts.open(msgspec.structs.replace(new(), unit="410221000000.petition"), by=None)
    assert refused.value.field == "unit"


@pytest.mark.parametrize("password", ["short", "1234567890", "wang wang wang", "x" * 129])
def test_a_weak_password_is_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(PasswordWeak):
        accounts.open(msgspec.structs.replace(new(), password=password), by=None)


def test_what_operators_do_is_kept(accounts: Accounts, clerk: Account, operator: Account, database: str) -> None:
    accounts.assign(clerk.id, Duties(role="handler", unit=UNIT), operator.id)
    with psycopg.connect(database) as conn:
        rows = conn.execute(
            "select by_account, what from web.administration where account = %s", (clerk.id,)
        ).fetchall()
    assert rows == [(None, f"opened as clerk of {UNIT}"), (operator.id, f"now handler of {UNIT}")]
