"""Hostile visitors: pages of other sites, looks that would write, sessions that are not theirs, guessed passwords."""

import itertools
import resource
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from gateway.accounts import ATTEMPTS_PER_PAIR, COST, HASHES_AT_ONCE, NewAccount
from tests.gateway import conftest
from tests.gateway.conftest import BASE, COUNTY, PASSWORD, Office
from tests.gateway.hostile import (
    FOREIGN,
    api,
    at_once,
    browser,
    filed,
    fresh_key,
    nothing_happens,
    petition,
    refused,
    registration,
    text_of,
)

pytestmark = pytest.mark.usefixtures("listening")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        FOREIGN,
        {"origin": "null"},
        {"origin": f"{BASE}.evil.example"},
        {"origin": BASE},
        {"origin": BASE, "sec-fetch-site": "cross-site"},
        {"origin": BASE, "sec-fetch-site": "same-site"},
        {"referer": f"{BASE}/cases"},
    ],
)
def test_15_a_page_of_another_site_that_uses_the_cookie(lone: Office, headers: dict[str, str]) -> None:
    clerk = browser(lone, "clerk").http
    with nothing_happens(lone):
        refused(clerk.post("/api/commands", json=registration(), headers=fresh_key() | headers), 403, "cross_site")
        assert clerk.post("/register", data={"title": "x"}, headers=headers).status_code == 403


def test_15_a_form_of_another_site_that_speaks_json(lone: Office) -> None:
    plain, content = fresh_key() | {"content-type": "text/plain"}, text_of(petition())
    clerk, stranger = browser(lone, "clerk").http, lone.client()
    with nothing_happens(lone):
        refused(clerk.post("/api/commands", content=content, headers=plain | FOREIGN), 403, "cross_site")
        refused(stranger.post("/api/login", content=b"{}", headers=plain), 415, "content_type_wrong")
        refused(stranger.post("/api/public/petitions", content=content, headers=plain), 415, "content_type_wrong")


@pytest.mark.parametrize("headers", [FOREIGN, {"origin": "null"}, {"sec-fetch-site": "cross-site"}])
def test_15_another_site_that_files_in_its_visitors_name(lone: Office, headers: dict[str, str]) -> None:
    stranger, letter = lone.client(), {"accused_unit": f"{COUNTY}.office", "text": "x"}
    rating = {"code": "ab" * 32, "office": "satisfied", "unit": "satisfied"}
    bodies = {"/api/public/petitions": petition(), "/api/denunciations": letter, "/api/public/rate": rating}
    with nothing_happens(lone):
        for path, body in bodies.items():
            refused(stranger.post(path, json=body, headers=fresh_key() | headers), 403, "cross_site")
        assert stranger.post("/file", data={"title": "x"}, headers=headers).status_code == 403


def test_15_a_sign_in_that_another_site_sends(lone: Office) -> None:
    forged = lone.client().post("/login", data={"login": "clerk", "password": PASSWORD}, headers=FOREIGN)
    assert forged.status_code == 403
    assert "set-cookie" not in forged.headers


def readable(office: Office) -> list[str]:
    """Every address of the node that takes GET."""

    def walk(routes: Iterable[Any]) -> Iterator[str]:
        for route in routes:
            included = getattr(route, "original_router", None)
            if included is not None:
                yield from walk(included.routes)
            elif "GET" in (getattr(route, "methods", None) or ()):
                yield route.path

    return sorted(set(walk(office.app.routes)))


def test_15_nothing_is_written_by_looking(lone: Office) -> None:
    case = filed(lone)["case"]
    operator = api(lone, "operator").http
    names = {
        "{case}": case,
        "{event}": case,
        "{unit}": f"{COUNTY}.office",
        "{about}": "cases",
        "{account}": operator.get("/api/admin/accounts").json()["accounts"][0]["id"],
        "{item}": str(uuid4()),
    }
    paths = readable(lone)
    assert {"/duties", "/api/cases/{case}", "/healthz", "/board/{unit}/{about}"} <= set(paths)
    for name, value in names.items():
        paths = [path.replace(name, value) for path in paths]
    roles = [browser(lone, role).http for role in ("handler", "supervisor", "operator")]
    sessions = len(operator.get("/api/admin/sessions").json()["sessions"])
    with nothing_happens(lone):
        found = [http.get(path).status_code for path, http in itertools.product(paths, roles)]
    assert max(found) < 500
    assert found.count(200) > 40
    assert len(operator.get("/api/admin/sessions").json()["sessions"]) == sessions


def test_16_a_session_that_was_planted_before_signing_in(lone: Office) -> None:
    planted = {"cookie": "huiyin=planted-by-an-attacker"}
    fields = {"login": "clerk", "password": PASSWORD}
    answer = lone.client().post("/login", data=fields, headers={"origin": BASE} | planted)
    assert answer.status_code == 303
    assert "planted" not in answer.headers["set-cookie"]
    refused(lone.client().get("/api/duties", headers=planted), 401, "not_signed_in")


def test_16_a_session_that_has_ended(lone: Office) -> None:
    clerk = lone.api("clerk")
    assert clerk.http.post("/api/logout").status_code == 204
    with nothing_happens(lone):
        refused(clerk.get("/api/duties"), 401, "not_signed_in")
        refused(clerk.give(registration()), 401, "not_signed_in")


def test_16_a_role_that_is_taken_away_while_signed_in(lone: Office) -> None:
    operator, login = api(lone, "operator").http, f"u{uuid4().hex[:8]}"
    duties = {"role": "handler", "unit": f"{COUNTY}.office"}
    new = {"login": login, "name": "李某", "password": PASSWORD} | duties
    account = operator.post("/api/admin/accounts", json=new).json()["id"]
    official, on = lone.api(login), filed(lone)
    accept = {"command": "accept"} | on
    assert official.get(f"/api/cases/{on['case']}").status_code == 200
    operator.put(f"/api/admin/accounts/{account}/duties", json=duties | {"role": "auditor"})
    with nothing_happens(lone):
        refused(official.give(accept), 403, "role_not_allowed")
    operator.delete(f"/api/admin/accounts/{account}")
    with nothing_happens(lone):
        refused(official.give(accept), 401, "not_signed_in")


@pytest.mark.parametrize("token", ["", "x", "0" * 10_000, "ünïcode", "' or 1=1 --", "null"])
def test_16_a_token_that_is_made_up(lone: Office, token: str) -> None:
    headers = {"authorization": f"Bearer {token}".encode("latin-1")}
    refused(lone.client().get("/api/duties", headers=headers), 401, "not_signed_in")


def guess(login: str) -> dict[str, str]:
    return {"username": login, "password": "not this one"}


def from_address(office: Office, network: str) -> TestClient:
    return TestClient(office.app, base_url=BASE, client=(network, 50_000))


def test_18_guessing_from_ever_other_addresses_in_a_header(lone: Office) -> None:
    client = from_address(lone, "10.0.0.18")
    for turn in range(ATTEMPTS_PER_PAIR):
        forwarded = {"x-forwarded-for": f"10.1.1.{turn}", "forwarded": f"for=10.1.1.{turn}"}
        refused(client.post("/api/login", json=guess("discipline"), headers=forwarded), 401, "wrong_password")
    last = client.post("/api/login", json=guess("discipline"), headers={"x-forwarded-for": "10.9.9.9"})
    refused(last, 429, "too_many_attempts")
    assert int(last.headers["retry-after"]) > 0
    lone.api("discipline")  # who comes from elsewhere is not locked out


@pytest.fixture
def costly(lone: Office, monkeypatch: pytest.MonkeyPatch) -> Office:
    """With passwords hashed as in a real office, and somebody named costly."""
    known = lone.app.state.accounts
    monkeypatch.setattr(known, "_hasher", COST.hasher())
    monkeypatch.setattr(known, "_nobody", COST.of_nobody())
    costly = NewAccount(login="costly", name="贵", password=PASSWORD, role="auditor", unit=f"{COUNTY}.office")
    known.open_missing([costly])
    return lone


def test_18_many_sign_ins_at_once_in_little_memory(costly: Office) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client = from_address(costly, "10.0.0.20")
    answers = at_once([lambda n=n: client.post("/api/login", json=guess(f"nobody{n}")) for n in range(12)])
    assert {answer.status_code for answer in answers} <= {401, 429}
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    assert grown_mib < 400, "twelve hashes at once would take 768"


class CountedHasher:
    """Says no to every password, and remembers how many it was asked about at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = self.asked = 0

    def verify(self, _password: str, _hashed: str) -> bool:
        with self._lock:
            self.now, self.asked = self.now + 1, self.asked + 1
            self.most = max(self.most, self.now)
        time.sleep(0.001)
        with self._lock:
            self.now -= 1
        return False


def test_18_a_thousand_sign_ins_from_twenty_places_hash_two_at_once(
    lone: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher, places, each = CountedHasher(), 20, 50
    monkeypatch.setattr(lone.app.state.accounts, "_hasher", hasher)
    clients = [from_address(lone, f"10.18.0.{place}") for place in range(places)]

    def keep_guessing(place: int) -> list[int]:
        return [
            clients[place].post("/api/login", json=guess(f"nobody{place}-{turn}")).status_code for turn in range(each)
        ]

    with ThreadPoolExecutor(places) as pool, nothing_happens(lone):
        answers = [status for found in pool.map(keep_guessing, range(places)) for status in found]

    assert len(answers) == places * each
    assert set(answers) <= {401, 429}, "429 for whoever waited too long for a turn"
    assert hasher.asked == answers.count(401)
    assert 0 < hasher.most <= HASHES_AT_ONCE
    codes = [line["code"] for line in conftest.heard if line["event"] == "refused"]
    assert len(codes) == places * each
    assert set(codes) <= {"wrong_password", "too_many_attempts"}


def test_19_finding_out_which_names_exist(costly: Office) -> None:
    client = from_address(costly, "10.0.0.19")

    def ask(login: str) -> tuple[float, dict[str, Any]]:
        started = time.perf_counter()
        answer = client.post("/api/login", json=guess(login))
        refused(answer, 401, "wrong_password")
        return time.perf_counter() - started, answer.json() | {"request_id": ""}

    known, unknown = [ask("costly") for _ in range(4)], [ask("nobody-here") for _ in range(4)]
    assert known[0][1] == unknown[0][1]
    ratio = min(seconds for seconds, _ in known) / min(seconds for seconds, _ in unknown)
    assert 0.3 < ratio < 3
