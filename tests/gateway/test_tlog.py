"""A node's logs as tlog-tiles over HTTP: what an auditor with a token reads, and what everybody else does not."""

import base64
import json
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg_pool import ConnectionPool
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from domain.divisions import Division
from domain.events import Event, SealedItem, read
from gateway.__main__ import app
from gateway.accounts import ATTEMPTS_PER_PAIR, MINUTE_US, Account, Accounts, Duties, NewAccount, prepare
from gateway.auditor_tokens import DAY_US, AuditorTokens, NotAnAuditor, TokenRefused
from gateway.refusals import InputInvalid, NotFound
from sync.proofs.merkle import Prover
from sync.proofs.note import parse_checkpoint, parse_note
from sync.proofs.policy import check_checkpoint, parse_policy
from sync.proofs.tiles import (
    TileHashes,
    TilePath,
    check_bundle,
    parse_entry_bundle,
    parse_hash_tile,
    tile_paths,
    tile_width,
)
from tests.gateway.conftest import BASE, COUNTY, VILLAGE, Office, Town, wait_until

OWN = f"test.example/{VILLAGE}/1"
ABOVE = f"test.example/{COUNTY}/1"
CANARY = "王翠花家的水井"


class Auditor:
    """A program that holds a token and reads one log."""

    def __init__(self, office: Office, origin: str) -> None:
        made = AuditorTokens(office.node.pool, office.app.state.accounts, office.app.state.accounts._now_us)
        self.http: TestClient = office.client()
        self.http.headers["authorization"] = f"Bearer {made.make('auditor', 1, None).token}"
        self.prefix = f"/tlog/{origin}"

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(f"{self.prefix}/{path}")

    def fetch(self, path: TilePath) -> bytes:
        answer = self.get(str(path))
        assert answer.status_code == 200, answer.text
        return answer.content


@pytest.fixture(scope="module")
def filed(town: Town) -> str:
    """The id of a letter against an official; beside it some cases, whose every word is the canary."""
    village, titled = town.village, {"title": CANARY, "body": CANARY}
    for _ in range(3):
        petition = titled | {"claims": [{"claim": str(uuid4()), "text": CANARY}], "petitioner": {"name": CANARY}}
        key = {"Idempotency-Key": str(uuid4())}
        assert village.client().post("/api/public/petitions", json=petition, headers=key).status_code == 201
    letter = {"accused_unit": f"{VILLAGE}.office", "text": CANARY, "contact": CANARY}
    sealed = village.client().post("/api/denunciations", json=letter, headers={"Idempotency-Key": str(uuid4())})
    assert sealed.status_code == 201, sealed.text

    def is_secured() -> bool:
        status = village.node.status()
        return status.cosigned_size == status.log_size

    wait_until(is_secured)
    return str(sealed.json()["item"])


@pytest.fixture(scope="module")
def auditor(town: Town, filed: str) -> Auditor:
    return Auditor(town.village, OWN)


def test_the_checkpoint_has_the_logs_line_and_the_quorum_that_the_policy_asks_for(town: Town, auditor: Auditor) -> None:
    answer = auditor.get("checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    policy = parse_policy(town.village.node.policy())
    checkpoint, cosigned = check_checkpoint(policy, parse_note(answer.content))
    assert checkpoint.origin == OWN
    assert [it.verifier for it in cosigned] == [policy.witnesses[0].verifier]


def test_every_file_of_the_log_leads_to_the_root_of_its_checkpoint(auditor: Auditor) -> None:
    head = parse_checkpoint(parse_note(auditor.get("checkpoint").content).text)
    assert Prover(TileHashes(auditor.fetch, head.size), head.size).root() == head.root
    bundles = [path for path in tile_paths(head.size) if path.level is None]
    for path in bundles:
        hashes = parse_hash_tile(auditor.fetch(TilePath(0, path.index, path.width)), path.width)
        check_bundle(parse_entry_bundle(auditor.fetch(path), path.width), hashes)


def test_a_superior_serves_the_replica_with_the_same_files(town: Town, auditor: Auditor) -> None:
    above = Auditor(town.county, OWN)
    head = parse_checkpoint(parse_note(auditor.get("checkpoint").content).text)
    for path in tile_paths(head.size):
        assert above.fetch(path) == auditor.fetch(path)
    assert parse_checkpoint(parse_note(above.get("checkpoint").content).text).size >= head.size


def test_the_list_says_which_logs_are_held_and_whose_keys_sign_them(town: Town, auditor: Auditor) -> None:
    county = Auditor(town.county, ABOVE)
    logs = {log["origin"]: log for log in county.http.get("/tlog").json()["logs"]}
    assert set(logs) == {OWN, ABOVE}
    assert logs[OWN]["keys"] == [parse_policy(town.village.node.policy()).log.vkey]
    assert logs[OWN]["prefix"] == f"/tlog/{OWN}/"
    assert (logs[OWN]["division"], logs[OWN]["frozen"]) == (VILLAGE, False)
    held = {log["origin"]: log["size"] for log in auditor.http.get("/tlog").json()["logs"]}
    assert set(held) == {OWN}, "a subordinate holds no log of its superior's without a gap"
    head = parse_checkpoint(parse_note(auditor.get("checkpoint").content).text)
    assert 0 < held[OWN] <= head.size or head.size <= held[OWN] <= town.village.node.status().log_size


def test_what_never_changes_may_be_kept_by_the_auditor_alone(auditor: Auditor) -> None:
    for path in ("tile/0/000.p/1", "tile/entries/000.p/1"):
        answer = auditor.get(path)
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "application/octet-stream"


def test_a_bundle_is_compressed_for_whoever_takes_it_so(auditor: Auditor) -> None:
    plain = auditor.http.get(f"{auditor.prefix}/tile/entries/000.p/2", headers={"accept-encoding": "identity"})
    packed = auditor.http.get(f"{auditor.prefix}/tile/entries/000.p/2", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert packed.content == plain.content
    assert len(parse_entry_bundle(plain.content, 2)) == 2


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/x999/000",
        "tile/2/000.p/1",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/8/000.p/1",
        "tile/63/000.p/1",
        "tile/64/000",
        "tile/+0/000.p/1",
        "tile/00/000.p/1",
        "tile/entries",
        "tile/entries/",
        "tile/entries/x000/000",
        "tile/entries/x999/000.p/1",
        "tile/0/x036/x028/x797/x018/x963/967",
        "tile/0/..%2f..%2fcheckpoint",
        "CHECKPOINT",
    ],
)
def test_a_path_that_is_no_file_of_the_log_is_not_found(auditor: Auditor, path: str) -> None:
    answer = auditor.http.get(f"{auditor.prefix}/{path}", follow_redirects=True)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_no_leaf_is_given_before_its_author_has_signed_for_it(lone: Office) -> None:
    node, auditor = lone.node, Auditor(lone, ABOVE)
    node.links.seal_all()
    size = node.reader.head().own_size
    given = [TilePath(level, (size - 1) >> 8, tile_width(level, (size - 1) >> 8, size)) for level in (0, None)]
    before = [auditor.fetch(path) for path in given]
    assert parse_checkpoint(parse_note(auditor.get("checkpoint").content).text).size == size, "nobody has cosigned it"
    key = {"Idempotency-Key": str(uuid4())}
    petition = {"title": "井", "body": "井", "claims": [{"claim": str(uuid4()), "text": "井"}]}
    assert lone.client().post("/api/public/petitions", json=petition, headers=key).status_code == 201
    assert node.reader.head().own_size > size
    beyond = [TilePath(level, size >> 8, tile_width(level, size >> 8, size + 1)) for level in (0, None)]
    assert [auditor.get(str(path)).status_code for path in beyond] == [404, 404]
    node.links.seal_all()
    assert [auditor.get(str(path)).status_code for path in beyond] == [200, 200]
    assert [auditor.fetch(path) for path in given] == before, "what was given once stays what it was"


@pytest.mark.parametrize("origin", [ABOVE, f"test.example/{VILLAGE}/2", "x/y/z", OWN.upper(), "test.example/1/1"])
def test_a_log_that_is_not_held_is_not_found(auditor: Auditor, origin: str) -> None:
    for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"):
        answer = auditor.http.get(f"/tlog/{origin}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_nothing_sealed_is_opened_and_no_reading_is_recorded(town: Town, auditor: Auditor, filed: str) -> None:
    before = town.village.node.reader.head().pos
    head = parse_checkpoint(parse_note(auditor.get("checkpoint").content).text)
    entries = [
        entry
        for path in tile_paths(head.size)
        if path.level is None
        for entry in parse_entry_bundle(auditor.fetch(path), path.width)
    ]
    told = b"".join(entries)
    assert b"case.registered" in told, "the cases stand in what was read"
    for form in (CANARY.encode(), json.dumps(CANARY).encode(), base64.b64encode(CANARY.encode())):
        assert form not in told
    letters = [event for event in map(read, entries) if isinstance(event, SealedItem)]
    assert filed in {str(event.item) for event in letters}
    for event in letters:  # beside the envelope, which all items share: an id, and a hash of padded bytes
        assert set(event.__struct_fields__) - set(Event.__struct_fields__) == {"item", "ciphertext"}
        assert event.actor.account == UUID(int=0)
        assert event.case is None
    since = [row.topic for row in town.village.node.reader.read(before, 100)]
    assert "sealed.read.v0" not in since


@pytest.mark.parametrize("path", ["/tlog", f"/tlog/{OWN}/checkpoint", f"/tlog/{OWN}/tile/entries/000.p/1"])
def test_without_a_good_token_nothing_is_given(town: Town, path: str) -> None:
    signed_in = town.village.api("auditor").http
    signed_in_token = signed_in.headers["authorization"]
    for headers in ({}, {"authorization": "Bearer huiyin-audit-guessed"}, {"authorization": signed_in_token}):
        answer = town.village.client().get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_refused")
        assert answer.headers["www-authenticate"] == "Bearer"
    browser = town.village.browser("auditor")
    assert browser.get(path).status_code == 401, "a cookie is no token"


def test_a_token_opens_nothing_but_the_logs(auditor: Auditor) -> None:
    for path in ("/api/admin/accounts", "/api/admin/health", "/api/cases", "/api/duties"):
        assert auditor.http.get(path).status_code == 401
    answer = auditor.http.post("/api/commands", json={}, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 401
    for method in ("POST", "PUT", "DELETE"):
        assert auditor.http.request(method, f"/tlog/{OWN}/checkpoint").status_code == 405


def test_a_token_is_not_taken_over_a_link_that_others_can_read(town: Town, auditor: Auditor) -> None:
    far = TestClient(town.village.app, base_url="http://node.example", client=("192.0.2.7", 50_000))
    answer = far.get(f"/tlog/{OWN}/checkpoint", headers=dict(auditor.http.headers))
    assert (answer.status_code, answer.json()["code"]) == (403, "insecure_connection")


def test_what_was_read_is_counted_by_kind_and_no_token_is_logged(town: Town, auditor: Auditor) -> None:
    def served() -> float:
        name, labels = "huiyin_http_requests_total", {"method": "GET", "status": "200"}
        route = "/tlog/{domain}/{division}/{shard}/tile/entries/{path:path}"
        return town.village.node.metrics.get_sample_value(name, labels | {"route": route}) or 0

    before, fresh = served(), Auditor(town.village, OWN)
    with capture_logs() as lines:
        fresh.get("tile/entries/000.p/1")
        fresh.get("tile/entries/000.p/1")
        town.village.client().get("/tlog", headers={"authorization": "Bearer huiyin-audit-wrong"})
    assert served() == before + 2
    uses = [line for line in lines if line["event"] == "auditor_token_used"]
    assert len(uses) == 1, "once a minute"
    assert [line["log_level"] for line in lines if line["event"] == "auditor_token_refused"] == ["warning"]
    token = fresh.http.headers["authorization"].removeprefix("Bearer ")
    assert token not in str(lines)
    assert "huiyin-audit-wrong" not in str(lines)


def test_an_operator_makes_and_revokes_a_token_on_the_page_and_it_is_shown_once(town: Town) -> None:
    office, browser = town.village, town.village.browser("operator")
    account = next(it for it in office.app.state.accounts.all() if it.login == "auditor")
    page = f"/accounts/{account.id}"
    csrf = _field(browser.get(page).text, "csrf")
    made = browser.post(page, {"csrf": csrf, "act": "token", "days": "7"})
    assert made.status_code == 200
    token = made.text.split('id="token">')[1].split("<")[0]
    auditor = {"authorization": f"Bearer {token}"}
    assert office.client().get("/tlog", headers=auditor).status_code == 200
    assert token not in browser.get(page).text
    row = office.app.state.auditor_tokens.check(token)
    assert row.ends_us - row.made_us == 7 * DAY_US
    assert browser.post(page, {"csrf": csrf, "act": "revoke", "token": str(row.id)}).status_code == 303
    assert office.client().get("/tlog", headers=auditor).status_code == 401
    for days in ("0", "367", "many", ""):
        assert browser.post(page, {"csrf": csrf, "act": "token", "days": days}).status_code == 422


def _field(page: str, name: str) -> str:
    return page.split(f'name="{name}" value="')[1].split('"')[0]


# --- the tokens alone ------------------------------------------------------------------------------------------------


class HandClock:
    def __init__(self) -> None:
        self.us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def pool(database: str) -> Iterator["ConnectionPool[psycopg.Connection]"]:
    prepare(database)
    with ConnectionPool(database, min_size=1, max_size=4, open=True) as opened:
        yield opened


@pytest.fixture
def accounts(pool: "ConnectionPool[psycopg.Connection]", clock: HandClock) -> Accounts:
    return Accounts(pool, Division(VILLAGE), clock)


@pytest.fixture
def tokens(pool: "ConnectionPool[psycopg.Connection]", accounts: Accounts, clock: HandClock) -> AuditorTokens:
    return AuditorTokens(pool, accounts, clock)


@pytest.fixture
def person(accounts: Accounts) -> Account:
    unit = f"{VILLAGE}.office"
    return accounts.open(
        NewAccount(login="li", name="李", password="green wheat 1978", role="auditor", unit=unit), None
    )


def test_a_token_is_good_until_its_last_day_is_over(tokens: AuditorTokens, person: Account, clock: HandClock) -> None:
    token, row = tokens.make("li", 30, None)
    assert tokens.check(token).account == person.id
    clock.us += 30 * DAY_US - 1
    tokens.check(token)
    clock.us += 1
    with pytest.raises(TokenRefused):
        tokens.check(token)
    assert not tokens.is_good(row)


def test_a_token_from_a_clock_that_was_ahead_is_none_yet(
    tokens: AuditorTokens, person: Account, clock: HandClock
) -> None:
    clock.us += 1000 * DAY_US
    token = tokens.make("li", 1, None).token
    clock.us -= 1000 * DAY_US
    with pytest.raises(TokenRefused):
        tokens.check(token)


@pytest.mark.parametrize(
    "end",
    [
        lambda tokens, accounts, person, row: tokens.revoke(row.id, None),
        lambda tokens, accounts, person, row: accounts.close(person.id, person.id),
        lambda tokens, accounts, person, row: accounts.assign(
            person.id, Duties(role="clerk", unit=person.unit), person.id
        ),
    ],
    ids=["revoked", "account closed", "another role"],
)
def test_a_token_ends_with_its_revocation_its_account_or_its_role(
    tokens: AuditorTokens, accounts: Accounts, person: Account, end: Callable[..., object]
) -> None:
    token, row = tokens.make(person.id, 30, None)
    tokens.check(token)
    end(tokens, accounts, person, row)
    with pytest.raises(TokenRefused):
        tokens.check(token)


def test_the_token_itself_is_kept_nowhere(
    tokens: AuditorTokens, person: Account, pool: "ConnectionPool[psycopg.Connection]"
) -> None:
    token = tokens.make("li", 30, None).token
    with pool.connection() as conn:
        kept = conn.execute(
            "select t::text from web.auditor_token t union all select n::text from web.administration n"
        )
        assert token.encode().hex() not in str(rows := kept.fetchall())
    assert token not in str(rows)
    assert "auditor token" in str(rows), "that it was made is"


def test_its_last_use_is_noted_once_a_minute(tokens: AuditorTokens, person: Account, clock: HandClock) -> None:
    token = tokens.make("li", 30, None).token
    assert tokens.all()[0].seen_us is None
    tokens.check(token)
    first = clock.us
    clock.us += MINUTE_US
    tokens.check(token)
    assert tokens.all(person.id)[0].seen_us == first
    clock.us += 1
    tokens.check(token)
    assert tokens.all(person.id)[0].seen_us == clock.us
    assert tokens.all(uuid4()) == []


def test_however_many_wrong_tokens_are_tried_the_right_one_still_passes(tokens: AuditorTokens, person: Account) -> None:
    token = tokens.make("li", 30, None).token
    for number in range(ATTEMPTS_PER_PAIR + 2):
        with pytest.raises(TokenRefused):
            tokens.check(f"wrong {number}")
    assert tokens.check(token).login == "li"
    with pytest.raises(TokenRefused):
        tokens.check(None)


def test_a_token_is_given_to_an_open_auditors_account_alone(
    tokens: AuditorTokens, accounts: Accounts, person: Account
) -> None:
    for login in ("nobody", "", str(uuid4())):
        with pytest.raises(NotAnAuditor):
            tokens.make(login, 30, None)
    for days in (0, -1, 367):
        with pytest.raises(InputInvalid):
            tokens.make("li", days, None)
    accounts.close(person.id, person.id)
    with pytest.raises(NotAnAuditor):
        tokens.make("li", 30, None)
    assert tokens.all() == []


def test_revoking_twice_keeps_the_first_moment_and_a_token_that_is_not_there_is_named(
    tokens: AuditorTokens, person: Account, clock: HandClock
) -> None:
    row = tokens.make("li", 30, None).row
    first = tokens.revoke(row.id, None).revoked_us
    clock.us += 5
    assert tokens.revoke(row.id, None).revoked_us == first
    with pytest.raises(NotFound):
        tokens.revoke(uuid4(), None)


def test_the_command_line_makes_lists_and_revokes_a_token(town: Town) -> None:
    folder, tokens = str(town.village.node.folder), town.village.app.state.auditor_tokens

    def huiyin(*words: str) -> Result:
        done = CliRunner().invoke(app, ["account", *words])
        assert done.exit_code == 0, done.output
        return done

    made = huiyin("token", folder, "auditor", "--days", "3")
    row = tokens.check(made.stdout.strip())
    assert str(row.id) in made.stderr
    listed = huiyin("tokens", folder).stdout
    assert f"{row.id}  auditor  有效至 / good until" in listed
    assert made.stdout.strip() not in listed
    huiyin("revoke", folder, str(row.id))
    with pytest.raises(TokenRefused):
        tokens.check(made.stdout.strip())
    assert f"{row.id}  auditor  已失效 / ended" in huiyin("tokens", folder).stdout


def test_a_token_is_only_taken_on_loopback_or_https(town: Town, auditor: Auditor) -> None:
    secure = TestClient(town.village.app, base_url="https://node.example", client=("192.0.2.7", 50_000))
    assert secure.get("/tlog", headers=dict(auditor.http.headers)).status_code == 200
    assert BASE.startswith("http://127.")
