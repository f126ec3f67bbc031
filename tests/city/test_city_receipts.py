"""What a citizen holds: a promise at once, the proof soon after, and with either the way back to their case."""

import base64
import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import pytest

from gateway.demo.scripted_day import CITY, WULIHE, WULIHE_VILLAGE, office
from sync.proofs.receipt import standard_part
from tests.city.conftest import Town
from tests.city.living import Living, huiyin

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

PETITION = {
    "petitioner": {"name": "何秋生", "phone": "13900000077"},
    "title": "灌溉渠闸门坏了两年",
    "body": "渠首闸门坏了两年，浇地靠人抬水，请派人修理。",
    "claims": [{"claim": str(uuid4()), "text": "修好闸门"}],
}


class Filed(NamedTuple):
    """What the citizen took home. promise, policy: as files. answer: of the filing, as JSON."""

    promise: Path
    policy: Path
    answer: dict[str, Any]
    key: str


@pytest.fixture(scope="module")
def filed(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Filed:
    """Filed online at a village."""
    folder = tmp_path_factory.mktemp("citizen")
    key = str(uuid4())
    with town.living.visitor(WULIHE_VILLAGE) as http:
        done = http.post("/api/public/petitions", json=PETITION, headers={"Idempotency-Key": key})
        assert done.status_code == 201, done.text
        (folder / "promise").write_bytes(base64.b64decode(done.json()["receipt"]))
        (folder / "policy").write_text(http.get("/policy").text, "utf-8")
    return Filed(folder / "promise", folder / "policy", done.json(), key)


@pytest.fixture(scope="module")
def proof(town: Town, filed: Filed) -> Path:
    """The proof, in exchange for the promise."""
    give_up = time.monotonic() + 60
    with town.living.visitor(WULIHE_VILLAGE) as http:
        while not (answer := renewed(http, filed))["proven"]:
            assert time.monotonic() < give_up
            time.sleep(0.1)
    path = filed.promise.with_name("proof")
    path.write_bytes(base64.b64decode(answer["receipt"]))
    return path


def renewed(http: httpx2.Client, filed: Filed) -> dict[str, Any]:
    """The receipt as it stands now."""
    answer = http.post("/api/public/receipts", json={"receipt": filed.answer["receipt"]})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def verify(receipt: Path, policy: Path, *options: str) -> tuple[int, str, str]:
    """Exit code and words of the verifier."""
    run = huiyin("verify", "receipt", str(receipt), "--policy", str(policy), *options)
    return run.returncode, run.stdout, run.stderr


def test_a_filing_is_answered_with_a_promise_that_anybody_can_check_offline(filed: Filed) -> None:
    assert filed.answer["proven"] is False
    code, said, wrong = verify(filed.promise, filed.policy, "--accept-simulated-clock")
    assert code == 0, wrong
    assert "title: 灌溉渠闸门坏了两年" in said
    assert "petitioner.name: 何秋生" in said
    assert f"leaf: {filed.answer['code']}" in said
    assert "kept closed" not in said


def test_a_promise_of_the_demo_is_not_called_overdue_by_the_machines_own_clock(filed: Filed) -> None:
    said = verify(filed.promise, filed.policy, "--accept-simulated-clock")[1]
    assert "a valid promise" in said
    assert "suppression" not in said


def test_a_demos_receipt_is_refused_by_whoever_did_not_ask_for_a_simulated_clock(filed: Filed, proof: Path) -> None:
    for receipt in (filed.promise, proof):
        code, said, wrong = verify(receipt, filed.policy)
        assert (code, said) == (1, "")
        assert "simulated" in wrong
        assert "Traceback" not in wrong


def test_once_the_parent_has_cosigned_the_promise_becomes_a_proof(town: Town, filed: Filed, proof: Path) -> None:
    code, said, wrong = verify(proof, filed.policy, "--accept-simulated-clock")
    assert code == 0, wrong
    assert "cosigned by" in said
    assert WULIHE in said.partition("cosigned by")[2], "by the township"
    assert f"leaf: {filed.answer['code']}" in said
    assert "title: 灌溉渠闸门坏了两年" in said
    assert standard_part(proof.read_bytes()).startswith(b"c2sp.org/tlog-proof@v1\n")


def test_a_receipt_that_was_altered_or_belongs_to_another_log_is_refused(
    living: Living, filed: Filed, proof: Path, tmp_path: Path
) -> None:
    altered = tmp_path / "altered"
    altered.write_bytes(proof.read_bytes().replace("闸门".encode(), "水门".encode(), 1))
    code, said, wrong = verify(altered, filed.policy, "--accept-simulated-clock")
    assert (code, said) == (1, "")
    assert "receipt invalid" in wrong
    foreign = tmp_path / "policy"
    foreign.write_text(httpx2.get(living.url(WULIHE, "/policy")).text, "utf-8")
    assert verify(proof, foreign, "--accept-simulated-clock")[0] == 1


def test_the_same_filing_sent_again_is_the_same_case(living: Living, filed: Filed) -> None:
    with living.visitor(WULIHE_VILLAGE) as http:
        again = http.post("/api/public/petitions", json=PETITION, headers={"Idempotency-Key": filed.key})
        other = http.post(
            "/api/public/petitions", json=PETITION | {"title": "另一件"}, headers={"Idempotency-Key": filed.key}
        )
    assert again.status_code == 201, again.text
    assert {name: again.json()[name] for name in ("number", "case", "code")} == {
        name: filed.answer[name] for name in ("number", "case", "code")
    }
    assert other.status_code == 409, other.text


def test_the_citizen_follows_each_step_with_the_receipt_or_with_its_code_alone(living: Living, filed: Filed) -> None:
    case = filed.answer["case"]
    with living.person(WULIHE_VILLAGE, "clerk") as clerk:
        (leg,) = (one["leg"] for one in clerk.get(f"/api/cases/{case}")["legs"])
        done = clerk.give(
            {
                "command": "hand_over",
                "case": case,
                "leg": leg,
                "to": office(WULIHE),
                "mode": "transfer",
                "reason": "水利设施由镇管理",
            }
        )
        assert done.status_code == 201, done.text
    living.settle()
    with living.visitor(WULIHE_VILLAGE) as http:
        by_file = http.post("/api/public/follow", json={"receipt": filed.answer["receipt"]})
        by_code = http.post("/api/public/follow", json={"code": filed.answer["code"]})
        stranger = http.post("/api/public/follow", json={"code": "0" * 64})
    assert by_file.status_code == by_code.status_code == 200, by_file.text
    assert by_file.json() == by_code.json()
    steps = [(step["topic"], step["secured"]) for step in by_code.json()["milestones"]]
    assert steps == [
        ("case.registered.v0", True),
        ("leg.opened.v0", True),
        ("leg.handed_over.v0", True),
        ("leg.opened.v0", True),
    ]
    assert by_code.json()["holder_name"].startswith(living.members[WULIHE].name)
    assert "水利设施" not in by_code.text, "what offices write to one another stays between them"
    assert (stranger.status_code, stranger.json()["code"]) == (404, "receipt_unknown")


def test_the_citizen_rates_once_with_the_codes_and_the_city_learns_it(living: Living, filed: Filed) -> None:
    codes = {name: filed.answer[name] for name in ("code", "rating_code")}
    rating = codes | {"office": "satisfied", "unit": "dissatisfied", "comment": "等得太久"}
    with living.visitor(WULIHE_VILLAGE) as http:
        rated = http.post("/api/public/rate", json=rating, headers={"Idempotency-Key": str(uuid4())})
        assert rated.status_code == 200, rated.text
        assert rated.json()["may_rate"] is False
        changed = rating | {"unit": "satisfied"}
        again = http.post("/api/public/rate", json=changed, headers={"Idempotency-Key": str(uuid4())})
    assert (again.status_code, again.json()["code"]) == (422, "rated_already"), again.text
    living.settle()
    with living.person(CITY, "auditor") as auditor:
        ((office_says, unit_says),) = (
            (one["rated_office"], one["rated_unit"])
            for one in auditor.get("/api/cases", scope="all", number=filed.answer["number"])["cases"]
        )
    assert (office_says, unit_says) == ("satisfied", "dissatisfied")
