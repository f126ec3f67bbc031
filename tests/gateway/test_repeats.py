"""The repeat of a request under its key gets the first answer, whatever the node would fill in by now."""

import re
from typing import Any
from uuid import uuid4

import pytest

from domain.clocks import shanghai_date
from gateway.hosting.clock import SystemClock
from tests.gateway.conftest import COUNTY, PASSWORD, Office
from tests.gateway.hostile import api, browser, fresh_key, nothing_happens, petition, registration, written
from tests.gateway.test_pages import citizen, filling, form, register, take

DAY_US = 86_400_000_000


class Tomorrow:
    """A clock that is a day ahead."""

    def now_us(self) -> int:
        return SystemClock().now_us() + DAY_US


def midnight_passes(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the node's clock shows the next day."""
    monkeypatch.setattr(office.node, "clock", Tomorrow())
    monkeypatch.setattr(office.node.journal, "_clock", Tomorrow())


def numbers(page: str) -> list[str]:
    return re.findall(r"登〔\d+〕\d+第\d+号", page)


def test_a_filing_repeated_after_midnight_is_the_same_filing(lone: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    client, body, key = lone.client(), petition(), fresh_key()
    first = client.post("/api/public/petitions", json=body, headers=key)
    midnight_passes(lone, monkeypatch)
    with nothing_happens(lone):
        again = client.post("/api/public/petitions", json=body, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())


def test_a_form_repeated_after_midnight_shows_the_same_receipt(lone: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = citizen(lone)
    filled = form(visitor.get("/file"), "/file") | filling()
    first = visitor.post("/file", filled)
    midnight_passes(lone, monkeypatch)
    with nothing_happens(lone):
        again = visitor.post("/file", filled)
    assert numbers(again.text) == numbers(first.text) != []


def test_a_clerks_form_without_a_day_is_the_same_after_midnight(lone: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    clerk = browser(lone, "clerk")
    filled = form(clerk.get("/register"), "/register") | filling(received_on="", channel="visit")
    filled |= {"matter_class": "claim_petition"}
    first = clerk.post("/register", filled)
    midnight_passes(lone, monkeypatch)
    with nothing_happens(lone):
        again = clerk.post("/register", filled)
    assert numbers(again.text) == numbers(first.text) != []


def test_a_registration_without_a_day_was_received_today(lone: Office) -> None:
    told = api(lone, "clerk").give(registration(received_on=None)).json()
    assert told["events"][0]["received_on"] == shanghai_date(lone.node.clock.now_us()).isoformat()


def test_an_opinion_sent_twice_from_one_page_is_issued_once(lone: Office) -> None:
    handler, case = browser(lone, "handler"), register(browser(lone, "clerk"))
    take(handler, case, "accept", kind="substantive")
    page = handler.get(case)
    claims = sorted(set(re.findall(r'name="outcome\.([0-9a-f-]{36})"', page.text)))
    answers = {f"{name}.{claim}": text for claim in claims for name, text in
               (("outcome", "explain"), ("law", "某条例第一条"), ("text", "说明如下。"))}  # fmt: skip
    filled = form(page, f"{case}/steps", command="issue_opinion") | answers | {"facts": "经查属实。"}
    first = handler.post(f"{case}/steps", filled)
    with nothing_happens(lone):
        again = handler.post(f"{case}/steps", filled)
    assert (again.status_code, again.headers["location"]) == (303, first.headers["location"])


def test_a_command_repeated_after_its_givers_role_was_changed_is_the_same_command(lone: Office) -> None:
    operator, login = api(lone, "operator").http, f"u{uuid4().hex[:8]}"
    duties: dict[str, Any] = {"role": "clerk", "unit": f"{COUNTY}.office"}
    new = {"login": login, "name": "李某", "password": PASSWORD} | duties
    account = operator.post("/api/admin/accounts", json=new).json()["id"]
    official, body, key = lone.api(login), registration(), str(uuid4())
    first = official.give(body, key)
    operator.put(f"/api/admin/accounts/{account}/duties", json=duties | {"role": "handler"})
    before = written(lone.node)
    again = official.give(body, key)
    assert (again.status_code, again.json()["case"]) == (200, first.json()["case"])
    assert written(lone.node) == before
