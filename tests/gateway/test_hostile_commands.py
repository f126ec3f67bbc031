"""Hostile commands: used twice, aimed at others' cases, with more fields, out of turn, or on days that never were."""

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx2
import pytest

from domain.clocks import day_start_us
from domain.divisions import Division
from gateway.hosting import founding
from gateway.hosting.config import Identity, NodeConfig
from tests.gateway.conftest import COUNTY, PASSWORD, Office, Town
from tests.gateway.hostile import (
    api,
    at_once,
    browser,
    filed,
    fresh_key,
    nothing_happens,
    petition,
    refused,
    registration,
)

pytestmark = pytest.mark.usefixtures("listening")


def test_11_one_key_for_two_commands(lone: Office) -> None:
    clerk, key = api(lone, "clerk"), str(uuid4())
    assert clerk.give(registration(), key).status_code == 201
    with nothing_happens(lone):
        refused(clerk.give(registration(title="别的事"), key), 409, "command_reused")


def test_11_one_key_of_several_people_is_several_keys(lone: Office) -> None:
    body, key = registration(), str(uuid4())
    first = api(lone, "clerk").give(body, key)
    other = api(lone, "handler").give(body, key)
    visitor = lone.client().post("/api/public/petitions", json=petition(), headers={"Idempotency-Key": key})
    assert [first.status_code, visitor.status_code] == [201, 201]
    assert other.json().get("case") != first.json()["case"], "nobody is given another's answer"
    with lone.node.pool.connection() as conn:
        assert conn.execute("select 1 from command where id = %s", (key,)).fetchall() == []


def test_11_a_visitors_key_stands_in_the_way_of_no_enrolment(lone: Office, tmp_path: Path) -> None:
    code = Division("410221100299")
    identity = Identity(division=code, name="东村", tier="village", trust_domain="test.example", parent=COUNTY)
    request = founding.found(tmp_path / "child", NodeConfig(node=identity))
    key = str(uuid5(UUID("6f0e7a2c-52a1-4f43-9f0b-3a1e5a0d9c77"), f"{code}/1"))  # once the id of the enrolment
    filed = lone.client().post("/api/public/petitions", json=petition(), headers={"Idempotency-Key": key})
    assert filed.status_code == 201
    assert len(lone.node.admit(request).certificates) == 2


def test_11_one_command_six_times_at_once(lone: Office) -> None:
    clerk, before = api(lone, "clerk"), lone.node.reader.head().pos
    body, key = registration(), str(uuid4())
    answers = at_once([lambda: clerk.give(body, key)] * 6)
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["case"] for answer in answers}) == 1
    one = clerk.give(registration()).json()
    assert lone.node.reader.head().pos == before + 2 * len(one["events"])


def test_11_one_step_of_a_case_four_times_at_once(lone: Office) -> None:
    handler, key, body = api(lone, "handler"), str(uuid4()), {"command": "accept"} | filed(lone)
    answers = at_once([lambda: handler.give(body, key)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["events"][0]["id"] for answer in answers}) == 1


def test_12_a_case_of_another_office(town: Town) -> None:
    village = town.village.api("clerk")
    foreign = town.county.api("clerk").give(registration()).json()
    event, leg = foreign["events"][0]["id"], foreign["events"][1]["leg"]
    wanted = {"events": [event], "purpose": "handle"}

    def everything(case: str) -> Iterator[httpx2.Response]:
        for path in ("", "/timeline", "/steps", f"/events/{event}"):
            yield village.get(f"/api/cases/{case}{path}")
        yield village.http.post(f"/api/cases/{case}/read", json=wanted, headers=fresh_key())
        yield village.give({"command": "add_material", "case": case, "note": "x"})
        yield village.give({"command": "accept", "case": case, "leg": leg})

    for known, unknown in zip(everything(foreign["case"]), everything(str(uuid4())), strict=True):
        refused(known, 404, "not_found")
        assert known.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


def test_12_an_event_of_another_case(lone: Office) -> None:
    clerk = api(lone, "clerk")
    case, event = filed(lone)["case"], clerk.give(registration()).json()["events"][0]["id"]
    wanted = {"events": [event], "purpose": "handle"}
    with nothing_happens(lone):
        refused(clerk.get(f"/api/cases/{case}/events/{event}"), 404, "not_found")
        refused(clerk.http.post(f"/api/cases/{case}/read", json=wanted, headers=fresh_key()), 404, "not_found")


@pytest.mark.parametrize("field", ["actor", "recorded_us", "recorded", "status", "node", "case", "number", "version"])
def test_13_a_field_that_only_the_node_writes(lone: Office, field: str) -> None:
    with nothing_happens(lone):
        refused(api(lone, "clerk").give(registration(**{field: "x"})), 422, "input_invalid", field)


def test_13_an_account_that_is_more_than_it_may_be(lone: Office) -> None:
    operator = api(lone, "operator").http
    new = {"login": "mine", "name": "a", "password": PASSWORD, "role": "operator", "unit": f"{COUNTY}.office"}
    with nothing_happens(lone):
        refused(api(lone, "clerk").http.post("/api/admin/accounts", json=new), 403, "role_forbidden")
        for field, value in (("id", str(uuid4())), ("role", "system"), ("unit", "410200000000.office")):
            answer = operator.post("/api/admin/accounts", json=new | {field: value})
            refused(answer, 422, "input_invalid", field)


def test_14_a_step_that_is_skipped(lone: Office) -> None:
    handler, on = api(lone, "handler"), filed(lone)
    served = {"command": "serve", "paper": str(uuid4()), "method": "in_person", "served_on": "2026-03-02"}
    answers = [{"claim": str(uuid4()), "outcome": "explain", "law": "x", "text": "x"}]
    with nothing_happens(lone):
        refused(handler.give({"command": "close", "ending": "opinion"} | on), 422, "not_accepted")
        refused(handler.give({"command": "issue_opinion", "facts": "x", "answers": answers} | on), 422, "not_accepted")
        refused(handler.give(served | on), 422, "paper_unknown")
        refused(handler.give({"command": "accept"} | on | {"leg": str(uuid4())}), 422, "leg_unknown")


@pytest.mark.parametrize(
    ("command", "about"),
    [
        ("open_leg", "directive"),
        ("lapse_objection", "objection"),
        ("answer_directive", "directive"),
        ("note_destruction", "erasure"),
    ],
)
def test_14_a_step_that_only_the_node_takes(lone: Office, command: str, about: str) -> None:
    body = {"command": command, "case": filed(lone)["case"], about: str(uuid4())}
    for role in ("handler", "leader", "supervisor"):
        with nothing_happens(lone):
            refused(api(lone, role).give(body), 403, "role_not_allowed")


def ready_to_close(lone: Office) -> dict[str, str]:
    """A case in which nothing is left to do but to close it."""
    handler, on = api(lone, "handler"), filed(lone)
    accepted = handler.give({"command": "accept"} | on).json()["events"][0]
    answer = {"claim": accepted["claims"][0], "outcome": "explain", "law": "条例第32条", "text": "已答复"}
    opinion = handler.give({"command": "issue_opinion", "facts": "查明", "answers": [answer]} | on).json()["events"][0]
    today = time.strftime("%Y-%m-%d", time.gmtime(opinion["occurred_us"] / 1_000_000 + 8 * 3_600))
    served = {"command": "serve", "paper": opinion["id"], "method": "in_person", "served_on": today}
    assert handler.give(served | on).status_code == 201
    return on


def test_14_two_officials_whose_steps_exclude_each_other_at_once(lone: Office) -> None:
    on = ready_to_close(lone)
    close = {"command": "close", "ending": "opinion"} | on
    add = {"command": "amend_claim", "case": on["case"], "claim": str(uuid4()), "change": "added", "text": "还有一项"}
    before = lone.node.reader.head().pos
    answers = at_once([lambda: api(lone, "handler").give(close), lambda: api(lone, "clerk").give(add)])
    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert won.status_code == 201
    refused(lost, 422, "case_ended" if won is answers[0] else "not_accepted")
    assert lone.node.reader.head().pos == before + len(won.json()["events"])


def test_14_two_officials_who_close_one_case_at_once(lone: Office) -> None:
    close = {"command": "close", "ending": "opinion"} | ready_to_close(lone)
    before = lone.node.reader.head().pos
    answers = at_once([lambda role=role: api(lone, role).give(close) for role in ("handler", "leader")])
    assert sorted((answer.status_code, answer.json()["repeated"]) for answer in answers) == [(200, True), (201, False)]
    assert lone.node.reader.head().pos == before + 1


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"received_on": "2026-02-30"}, "input_invalid", "received_on"),
        ({"received_on": "1900-02-29"}, "input_invalid", "received_on"),
        ({"received_on": "2099-01-01"}, "in_future", "received_on"),
        ({"received_on": "0001-01-01"}, "day_implausible", "received_on"),
        ({"received_on": "9999-12-31"}, "day_implausible", "received_on"),
        ({"petitioner": {"id_number": "41022119000229001"}}, "input_invalid", "petitioner.id_number"),
        ({"petitioner": {"id_number": "\uff14" * 18}}, "input_invalid", "petitioner.id_number"),
        ({"petitioner": {"phone": "call me"}}, "input_invalid", "petitioner.phone"),
        ({"issue_region": "000000000000"}, "division_invalid", "division"),
        ({"issue_region": "\uff14" * 12}, "division_invalid", "division"),
        ({"person_count": 0}, "input_invalid", "person_count"),
        ({"issue_region": "999999999999"}, "region_unknown", "issue_region"),
        ({"category": "777777"}, "category_unknown", "category"),
        ({"title": " \u3000"}, "text_blank", "title"),
    ],
)
def test_23_days_and_numbers_that_do_not_exist(lone: Office, changes: dict[str, Any], code: str, field: str) -> None:
    with nothing_happens(lone):
        refused(api(lone, "clerk").give(registration(**changes)), 422, code, field)


@pytest.mark.parametrize("day", ["1949-10-01", "2004-11-09"])
def test_23_a_case_of_a_day_that_is_taken_stays_readable(lone: Office, day: str) -> None:
    clerk, then = api(lone, "clerk"), {"occurred_us": day_start_us(date.fromisoformat(day))}
    letter = clerk.give(registration(received_on=day) | then).json()
    on = {"case": letter["case"], "leg": letter["events"][1]["leg"]}
    assert api(lone, "handler").give({"command": "accept"} | on | then).status_code == 201
    shown = clerk.get(f"/api/cases/{on['case']}")
    assert shown.status_code == 200, shown.text
    assert [clock["article"] for clock in shown.json()["clocks"]] == ["当时有效的规定"]
    leaf = clerk.get(f"/api/cases/{on['case']}/events/{on['case']}").json()["leaf_hash"]
    followed = lone.client().post("/api/public/follow", json={"code": leaf})
    assert followed.status_code == 200, followed.text
    assert browser(lone, "clerk").get(f"/cases/{on['case']}").status_code == 200


def test_23_a_date_that_no_clock_can_count_to(lone: Office) -> None:
    on = filed(lone)
    order = {"command": "issue_order", "trigger": "delay", "reply_by": "9999-12-31", "demand": "x"}
    with nothing_happens(lone):
        refused(api(lone, "supervisor").give(order | on), 422, "day_implausible", "reply_by")


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00+23:59", "2026-02-30", "²026-01-01"])
def test_23_moments_at_the_end_of_time(lone: Office, moment: str) -> None:
    supervisor = api(lone, "supervisor")
    for path in (f"/api/cases/{filed(lone)['case']}/timeline", "/api/board", f"/api/board/{COUNTY}.office/overdue"):
        for name in ("as_of", "known_by"):
            refused(supervisor.get(path, **{name: moment}), 422, "input_invalid", name)


@pytest.mark.parametrize("unit", ["410299000000.office", "000000000000.office", "410221.x", "999999999999.office"])
def test_23_an_office_that_does_not_exist(lone: Office, unit: str) -> None:
    handed = {"command": "hand_over", "to": unit, "mode": "transfer", "reason": "x"} | filed(lone)
    letter = {"accused_unit": unit, "text": "x"}
    with nothing_happens(lone):
        for answer in (
            api(lone, "handler").give(handed),
            lone.client().post("/api/denunciations", json=letter, headers=fresh_key()),
            api(lone, "supervisor").get(f"/api/board/{unit}/cases"),
        ):
            assert answer.status_code in {404, 422}, answer.text
            refused(answer, answer.status_code, answer.json()["code"])


def test_23_a_unit_that_nobody_has_opened(lone: Office) -> None:
    handed = {"command": "hand_over", "to": f"{COUNTY}.nosuch", "mode": "transfer", "reason": "x"} | filed(lone)
    operator = api(lone, "operator").http
    account = {"login": "ghost", "name": "a", "password": PASSWORD, "role": "clerk", "unit": f"{COUNTY}.ghost"}
    with nothing_happens(lone):
        refused(api(lone, "handler").give(handed), 422, "unit_unknown", "to")
        refused(operator.post("/api/admin/accounts", json=account), 422, "input_invalid", "unit")
        blank = operator.post("/api/admin/units", json={"short": "ghost", "name": " "}, headers=fresh_key())
        refused(blank, 422, "input_invalid", "name")


def test_23_a_unit_that_was_opened_just_now_is_known(lone: Office) -> None:
    operator, short = api(lone, "operator").http, f"u{uuid4().hex[:8]}"
    unit = f"{COUNTY}.{short}"
    opened = operator.post("/api/admin/units", json={"short": short, "name": "接访科"}, headers=fresh_key())
    assert opened.status_code < 300, opened.text
    account = {"login": short, "name": "a", "password": PASSWORD, "role": "clerk", "unit": unit}
    assert operator.post("/api/admin/accounts", json=account).status_code == 201
    handed = {"command": "hand_over", "to": unit, "mode": "transfer", "reason": "x"} | filed(lone)
    assert api(lone, "handler").give(handed).status_code == 201
