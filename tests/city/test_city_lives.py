"""The scripted day on real nodes: everything arrives everywhere, once, in order, sealed, and soon."""

import re
import time
from itertools import chain
from statistics import median

import msgspec
import pytest

from gateway.demo.scripted_day import CITY, COUNTY, STORIES, WULIHE, YUHUANG_VILLAGE, office
from tests.city.conftest import Town
from tests.city.living import Living, huiyin, registration

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

STATUS_FIELDS = {
    "division", "tier", "name", "url", "parent",
    "log_size", "ledger_size", "cosigned_size", "lag", "quarantined", "projection_lag",
}  # fmt: skip
SOON_S = 2.0


# --- the city as a whole


def test_the_scripted_day_ends_with_everything_cosigned_and_nothing_quarantined(living: Living) -> None:
    nodes = living.status()
    assert [(one.division, one.lag, one.quarantined) for one in nodes] == [(one, 0, 0) for one in living.members]
    assert all(one.cosigned_size == one.log_size > 0 for one in nodes)


def test_the_first_run_says_in_one_line_how_many_cases_and_events_there_are(town: Town) -> None:
    denounced_only = 1
    cases = len(STORIES) - denounced_only
    said = re.search(r"(\d+) cases at the city, \d+ closed, (\d+) events, \d+ s$", town.said.splitlines()[-1])
    assert said is not None, town.said
    assert int(said[1]) == cases
    assert town.first[CITY].ledger <= int(said[2]) <= town.living.position(CITY)


def test_a_second_start_continues_where_the_first_ended_and_doubles_nothing(town: Town) -> None:
    assert town.second == town.first
    assert [line for line in town.told if "stopped" in line] == [], "and no node had to be started twice"


def test_the_status_of_the_city_has_the_promised_shape(living: Living) -> None:
    run = huiyin("demo", "status", "--dir", str(living.city.folder), "--json")
    assert run.returncode == 0, run.stderr
    said = msgspec.json.decode(run.stdout)
    assert set(said) == {"nodes"}
    assert len(said["nodes"]) == len(living.members)
    assert all(set(node) >= STATUS_FIELDS for node in said["nodes"])
    assert {node["division"]: node["parent"] for node in said["nodes"]} == {
        member.division: member.parent for member in living.members.values()
    }
    tiers = ("city", "county", "township", "village")
    assert {node["division"]: node["tier"] for node in said["nodes"]} == {
        division: tiers[len(living.above(division))] for division in living.members
    }
    assert [len(living.tier(n)) for n in range(4)] == [1, 1, 2, 3]
    counts = STATUS_FIELDS - {"division", "tier", "name", "url", "parent"}
    assert all(isinstance(node[name], int) for node in said["nodes"] for name in counts)


def test_the_options_of_the_demo_may_stand_before_its_status_too(living: Living) -> None:
    run = huiyin("demo", "--dir", str(living.city.folder), "status")
    assert run.returncode == 0, run.stderr
    assert all(division in run.stdout for division in living.members)


def test_one_node_tells_its_own_status(living: Living) -> None:
    run = huiyin("node", "status", str(living.folder(WULIHE)), "--json")
    assert run.returncode == 0, run.stderr
    said = msgspec.json.decode(run.stdout)
    assert set(said) >= STATUS_FIELDS
    assert (said["division"], said["parent"], said["lag"]) == (WULIHE, COUNTY, 0)


def test_every_node_serves_what_machines_ask_for(living: Living) -> None:
    for division in living.members:
        with living.visitor(division) as http:
            said = {path: http.get(path) for path in ("/openapi.json", "/healthz", "/readyz", "/metrics", "/policy")}
            assert {path: answer.status_code for path, answer in said.items()} == dict.fromkeys(said, 200)
            assert said["/openapi.json"].json()["openapi"].startswith("3.")
            assert "/api/commands" in said["/openapi.json"].json()["paths"]
            shown = re.search(r"^huiyin_log_size ([0-9.]+)$", said["/metrics"].text, re.MULTILINE)
            assert shown is not None
            assert float(shown[1]) >= living.sizes()[division].own
            assert living.origin(division) in said["/policy"].text


# --- events on their way up


def test_every_log_stands_at_every_superior_once_in_the_same_bytes_and_order(living: Living) -> None:
    assert living.differing_logs() == []


def test_no_node_ever_sees_an_answer_before_its_question(living: Living) -> None:
    answered = 0
    for division in living.members:
        bodies = living.rows(division, "select body from ledger where via < 2 order by pos")
        everything = living.rows(division, "select body from ledger order by pos")
        place = {msgspec.json.decode(body)["id"]: pos for pos, (body,) in enumerate(everything)}
        for event in map(msgspec.json.decode, chain.from_iterable(bodies)):
            for cause in event["cause"]:
                answered += 1
                assert place[cause["id"]] < place[event["id"]], f"{event['type']} at {division}"
    assert answered > 100, "the day has causes to check"


@pytest.mark.quiet
def test_a_case_registered_in_a_village_is_on_the_citys_board_within_two_seconds(living: Living) -> None:
    waits_s = []
    unit = office(YUHUANG_VILLAGE)
    with living.person(YUHUANG_VILLAGE, "clerk") as clerk, living.person(CITY, "supervisor") as supervisor:
        for number in range(5):
            began = time.monotonic()
            done = clerk.give(registration(YUHUANG_VILLAGE, f"路灯第 {number} 杆不亮", living.today()))
            assert done.status_code == 201, done.text
            case = done.json()["case"]
            while case not in {one["case_id"] for one in supervisor.get("/api/cases", scope="all")["cases"]}:
                assert time.monotonic() < began + 30
                time.sleep(0.02)
            while case not in {one["case_id"] for one in supervisor.get(f"/api/board/{unit}/cases")["cases"]}:
                assert time.monotonic() < began + 30
                time.sleep(0.02)
            waits_s.append(time.monotonic() - began)
    assert median(waits_s) < SOON_S, waits_s


def test_the_citys_board_counts_what_the_nodes_below_hold(living: Living) -> None:
    with living.person(CITY, "leader") as leader:
        board = leader.get("/api/board")
    assert {one["division"] for one in board["nodes"]} >= set(living.members)
    held = {one["unit"]: one["cases"] for one in board["units"]}
    for division in living.members:
        with living.person(division, "clerk") as clerk:
            own = clerk.get("/api/cases", scope="held")["cases"]
        assert held[office(division)] == sum(one["closed_us"] is None for one in own), division
