import base64
import hashlib
import re
from datetime import date, timedelta
from uuid import uuid4

import msgspec
import pytest

from domain.clocks import day_start_us, shanghai_date
from domain.divisions import Division
from domain.events import AnyEvent
from gateway.hosting.surroundings import RecipientUnknown
from gateway.web.gate import BODY_LIMIT_BYTES
from sync.sealed.sealing import Recipient
from tests.gateway.conftest import BASE, COUNTY, PASSWORD, VILLAGE, Api, Office, Town, wait_until


def registration(**changes: object) -> dict[str, object]:
    return {
        "command": "register",
        "channel": "visit",
        "matter_class": "claim_petition",
        "category": "020000",
        "issue_region": VILLAGE,
        "received_on": "2026-11-20",
        "petitioner": {"name": "张桂兰", "phone": "13900000000"},
        "title": "大棚补偿",
        "body": "修路占用大棚。",
        "claims": [{"claim": str(uuid4()), "text": "补偿大棚"}],
    } | changes


class Filed(msgspec.Struct):
    case: str
    leg: str
    claim: str
    registered: str


def file_case(api: Api, **changes: object) -> Filed:
    answer = api.give(registration(**changes)).json()
    registered, opened = answer["events"][:2]
    return Filed(answer["case"], opened["leg"], registered["claims"][0], registered["id"])


@pytest.fixture
def village(town: Town) -> Office:
    return town.village


@pytest.fixture
def clerk(village: Office) -> Api:
    return village.api("clerk")


def test_a_command_answers_what_was_recorded(clerk: Api) -> None:
    answer = clerk.give(registration())
    assert answer.status_code == 201
    body = answer.json()
    assert body["state"] in {"recorded", "secured"}
    assert body["repeated"] is False
    events = msgspec.convert(body["events"], list[AnyEvent])
    assert str(events[0].case) == body["case"]
    assert "张桂兰" not in answer.text


def test_a_command_sent_twice_under_one_key_is_done_once(clerk: Api) -> None:
    body, key = registration(), str(uuid4())
    first, second = clerk.give(body, key), clerk.give(body, key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["repeated"] is True
    assert first.json()["events"] == second.json()["events"]


def test_a_key_used_for_another_command_is_refused(clerk: Api) -> None:
    key = str(uuid4())
    clerk.give(registration(), key)
    refused = clerk.give(registration(title="别的事"), key)
    assert (refused.status_code, refused.json()["code"]) == (409, "command_reused")


def test_a_command_without_a_key_is_refused_by_name(clerk: Api) -> None:
    refused = clerk.http.post("/api/commands", json=registration())
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_missing")


def test_a_skipped_step_is_refused_with_what_to_do(clerk: Api, village: Office) -> None:
    filed = file_case(clerk)
    refused = village.api("handler").give(
        {"command": "close", "case": filed.case, "leg": filed.leg, "ending": "opinion"}
    )
    assert refused.status_code == 422
    assert refused.json()["zh"]
    assert refused.json()["en"]


def test_a_role_that_may_not_is_refused(clerk: Api, village: Office) -> None:
    filed = file_case(clerk)
    refused = village.api("auditor").give({"command": "accept", "case": filed.case, "leg": filed.leg})
    assert (refused.status_code, refused.json()["code"]) == (403, "role_not_allowed")


@pytest.mark.parametrize("field", ["actor", "recorded_us", "status", "node"])
def test_a_command_cannot_say_what_only_the_node_says(clerk: Api, field: str) -> None:
    refused = clerk.give(registration(**{field: "x"}))
    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_a_case_of_another_node_is_answered_as_one_that_does_not_exist(town: Town, clerk: Api) -> None:
    foreign = town.county.api("clerk").give(registration(issue_region=COUNTY)).json()["case"]
    missing = str(uuid4())
    for path in ("", "/timeline", "/steps", f"/events/{foreign}"):
        one, other = (clerk.get(f"/api/cases/{case}{path}") for case in (foreign, missing))
        assert one.status_code == other.status_code == 404
        assert {**one.json(), "request_id": ""} == {**other.json(), "request_id": ""}
    refused = clerk.give({"command": "add_material", "case": foreign, "note": "x"})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_reading_sealed_text_is_an_event_before_it_is_an_answer(clerk: Api) -> None:
    filed = file_case(clerk)
    answer = clerk.http.post(
        f"/api/cases/{filed.case}/read",
        json={"events": [filed.registered], "purpose": "handle"},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert answer.json()["texts"][filed.registered]["petitioner.name"] == "张桂兰"
    lines = clerk.get(f"/api/cases/{filed.case}/timeline").json()["lines"]
    assert lines[-1]["entry"]["tag"] == "sealed.read.v0"
    assert lines[-1]["entry"]["event"]["events"] == [filed.registered]


def test_a_case_shows_its_clocks_with_their_articles(clerk: Api) -> None:
    view = clerk.get(f"/api/cases/{file_case(clerk).case}").json()
    (clock,) = view["clocks"]
    assert clock["due_date"] == "2026-12-07"
    assert "第22条" in clock["article"]
    assert clock["derivation"]
    assert view["claims"][0]["state"] == "open"


def test_steps_tell_what_is_allowed_and_why_the_rest_is_not(clerk: Api, village: Office) -> None:
    filed = file_case(clerk)
    steps = {
        step["command"]: step for step in village.api("handler").get(f"/api/cases/{filed.case}/steps").json()["steps"]
    }
    assert steps["accept"]["allowed"] is True
    assert steps["issue_opinion"]["allowed"] is False
    assert steps["issue_opinion"]["why_zh"]


def test_the_time_line_as_of_a_moment_leaves_out_what_came_later(clerk: Api) -> None:
    filed = file_case(clerk)
    then = clerk.get(f"/api/cases/{filed.case}/timeline", as_of="2026-01-01T00:00").json()["lines"]
    now = clerk.get(f"/api/cases/{filed.case}/timeline").json()["lines"]
    assert then == []
    assert len(now) >= 2
    refused = clerk.get(f"/api/cases/{filed.case}/timeline", as_of="yesterday")
    assert (refused.status_code, refused.json()["field"]) == (422, "as_of")


def test_the_county_sees_a_village_case_on_its_board_down_to_the_event(town: Town, clerk: Api) -> None:
    supervisor = town.county.api("supervisor")
    filed = file_case(clerk)
    wait_until(lambda: supervisor.get(f"/api/cases/{filed.case}").status_code == 200)
    unit = f"{VILLAGE}.office"
    wait_until(lambda: any(line["unit"] == unit for line in supervisor.get("/api/board").json()["units"]))
    lines = supervisor.get(f"/api/board/{unit}/duties").json()["cases"]
    assert filed.case in {line["case_id"] for line in lines}
    event = supervisor.get(f"/api/cases/{filed.case}/events/{filed.registered}").json()
    assert event["state"] == "secured"
    assert event["log"].endswith(f"{VILLAGE}/1")
    assert supervisor.get("/api/board", node="410299000000").status_code == 404
    assert clerk.get("/api/board").status_code == 403


def test_a_recorded_event_becomes_secured(clerk: Api) -> None:
    filed = file_case(clerk)
    path = f"/api/cases/{filed.case}/events/{filed.registered}"
    wait_until(lambda: clerk.get(path).json()["state"] == "secured")


def test_what_is_said_to_have_happened_before_the_last_cosignature_is_shown_as_claimed(town: Town, clerk: Api) -> None:
    handler, supervisor = town.village.api("handler"), town.county.api("supervisor")
    yesterday = shanghai_date(town.village.node.clock.now_us()) - timedelta(days=1)
    early_us = day_start_us(yesterday)
    filed = file_case(clerk, received_on=yesterday.isoformat(), occurred_us=early_us)
    first = f"/api/cases/{filed.case}/events/{filed.registered}"
    wait_until(lambda: clerk.get(first).json()["state"] == "secured")
    accept = {"command": "accept", "case": filed.case, "leg": filed.leg, "occurred_us": early_us}
    accepted = handler.give(accept).json()["events"][0]
    path = f"/api/cases/{filed.case}/events/{accepted['id']}"
    wait_until(lambda: supervisor.get(path).status_code == 200)

    for api in (clerk, supervisor):
        doubt = api.get(path).json()["unproven"]
        assert (doubt["why"], doubt["claimed_us"]) == ("cosigned", early_us)
        assert early_us < doubt["since_us"] <= accepted["recorded_us"]
        lines = api.get(f"/api/cases/{filed.case}/timeline").json()["lines"]
        assert doubt in [line["unproven"] for line in lines]
    browser = town.village.browser("clerk")
    for page in (f"/cases/{filed.case}", f"/cases/{filed.case}/events/{accepted['id']}"):
        assert "未经证明" in browser.get(page).text


def test_what_was_written_down_later_on_the_same_day_is_no_remark(clerk: Api, town: Town) -> None:
    now_us = town.village.node.clock.now_us()
    early_us = max(now_us - 3_600_000_000, day_start_us(shanghai_date(now_us)))
    filed = file_case(clerk, occurred_us=early_us, received_on=shanghai_date(now_us).isoformat())
    line = clerk.get(f"/api/cases/{filed.case}/events/{filed.registered}").json()
    assert line["event"]["occurred_us"] == early_us
    assert line["unproven"] is None


def test_what_comes_to_a_node_days_after_it_is_said_to_have_happened_is_shown_as_claimed(lone: Office) -> None:
    clerk = lone.api("clerk")
    early_us = day_start_us(date(2026, 3, 2))
    case = clerk.give(registration(received_on="2026-03-02", occurred_us=early_us)).json()["case"]
    (line, _) = clerk.get(f"/api/cases/{case}/timeline").json()["lines"][:2]
    assert line["unproven"] == {
        "claimed_us": early_us,
        "since_us": line["entry"]["known_us"],
        "why": "learned",
    }


def test_the_case_list_is_paged_by_its_last_line(clerk: Api) -> None:
    for _ in range(3):
        file_case(clerk)
    wait_until(lambda: clerk.get("/api/cases", scope="filed").json()["count"] >= 3)
    first = clerk.get("/api/cases", scope="filed", limit=2).json()
    after = f"{first['next']['received_on']}_{first['next']['case_id']}"
    second = clerk.get("/api/cases", scope="filed", limit=2, after=after).json()
    assert not {row["case_id"] for row in first["cases"]} & {row["case_id"] for row in second["cases"]}
    assert clerk.get("/api/cases", scope="all").status_code == 403


def test_a_citizen_files_follows_and_rates_by_receipt(village: Office) -> None:
    http = village.client()
    petition = {key: registration()[key] for key in ("title", "body", "claims", "petitioner")}
    headers = {"Idempotency-Key": str(uuid4())}
    filed = http.post("/api/public/petitions", json=petition, headers=headers)
    assert filed.status_code == 201
    assert http.post("/api/public/petitions", json=petition, headers=headers).json()["case"] == filed.json()["case"]
    held = {"receipt": filed.json()["receipt"]}
    followed = http.post("/api/public/follow", json=held).json()
    assert [step["topic"] for step in followed["milestones"]] == ["case.registered.v0", "leg.opened.v0"]
    assert (
        http.post("/api/public/follow", json={"code": filed.json()["code"]}).json()["number"] == filed.json()["number"]
    )
    rating = held | {"office": "satisfied", "unit": "dissatisfied"}
    rated = http.post("/api/public/rate", json=rating, headers={"Idempotency-Key": str(uuid4())})
    assert rated.json()["may_rate"] is False
    again = http.post(
        "/api/public/rate", json=rating | {"unit": "satisfied"}, headers={"Idempotency-Key": str(uuid4())}
    )
    assert (again.status_code, again.json()["code"]) == (422, "rated_already")


def test_whoever_sees_the_leaf_hash_cannot_rate_in_the_petitioners_place(village: Office, clerk: Api) -> None:
    http = village.client()
    petition = {key: registration()[key] for key in ("title", "body", "claims")}
    filed = http.post("/api/public/petitions", json=petition, headers={"Idempotency-Key": str(uuid4())}).json()
    seen = clerk.get(f"/api/cases/{filed['case']}/events/{filed['case']}")
    assert seen.json()["leaf_hash"] == filed["code"]
    assert filed["rating_code"] not in seen.text
    rating = {"code": seen.json()["leaf_hash"], "office": "satisfied", "unit": "satisfied"}
    for guess in ({}, {"rating_code": ""}, {"rating_code": "A" * 10}, {"rating_code": filed["code"][:10]}):
        refused = http.post("/api/public/rate", json=rating | guess, headers={"Idempotency-Key": str(uuid4())})
        assert (refused.status_code, refused.json()["code"]) == (422, "rating_code_wrong")
    whole = base64.b64decode(filed["receipt"])
    head, _, rest = whole.partition(b"\n")
    lines = [line for line in rest.split(b"\n") if not line.startswith(b"opening ")]
    without_texts = b"\n".join(lines)
    digest = base64.b64encode(hashlib.sha256(without_texts).digest())
    part = base64.b64encode(head.partition(b" ")[0] + b" " + digest + b"\n" + without_texts).decode()
    assert http.post("/api/public/follow", json={"receipt": part}).status_code == 200
    by_part = rating | {"code": "", "receipt": part}
    refused = http.post("/api/public/rate", json=by_part, headers={"Idempotency-Key": str(uuid4())})
    assert (refused.status_code, refused.json()["field"]) == (422, "receipt")
    by_codes = rating | {"rating_code": filed["rating_code"], "unit": "dissatisfied"}
    rated = http.post("/api/public/rate", json=by_codes, headers={"Idempotency-Key": str(uuid4())})
    assert (rated.status_code, rated.json()["may_rate"]) == (200, False)


def test_a_registration_answers_the_clerk_with_the_rating_code_and_nothing_else_does(clerk: Api) -> None:
    given = clerk.give(registration()).json()
    assert re.fullmatch("[A-Z2-7]{10}", given["rating_code"])
    case = given["case"]
    for path in ("", "/timeline", "/steps", f"/events/{case}"):
        assert given["rating_code"] not in clerk.get(f"/api/cases/{case}{path}").text


def test_a_promise_is_exchanged_for_the_proof_and_a_code_alone_opens_nothing(village: Office) -> None:
    http = village.client()
    petition = {key: registration()[key] for key in ("title", "body", "claims")}
    filed = http.post("/api/public/petitions", json=petition, headers={"Idempotency-Key": str(uuid4())}).json()
    wait_until(lambda: http.post("/api/public/receipts", json={"receipt": filed["receipt"]}).json()["proven"])
    refused = http.post("/api/public/receipts", json={"code": filed["code"]})
    assert refused.status_code == 422
    altered = filed["receipt"][:-8] + "AAAAAAA="
    assert http.post("/api/public/receipts", json={"receipt": altered}).json()["field"] == "receipt"


def test_an_unknown_code_tells_nothing(village: Office) -> None:
    refused = village.client().post("/api/public/follow", json={"code": "ab" * 32})
    assert (refused.status_code, refused.json()["code"]) == (404, "receipt_unknown")


def test_a_denunciation_is_answered_with_a_number_and_leaves_no_word(village: Office) -> None:
    key = str(uuid4())
    body = {"accused_unit": f"{VILLAGE}.office", "text": "修路款被截留", "contact": ""}
    answers = [
        village.client().post("/api/denunciations", json=body, headers={"Idempotency-Key": key}) for _ in range(2)
    ]
    assert answers[0].status_code == 201
    assert answers[0].json() == answers[1].json()
    with village.node.pool.connection() as conn:
        bodies = b"".join(bytes(row) for (row,) in conn.execute("select body from ledger"))
    assert "截留".encode() not in bodies


# --- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "body_invalid"),
        (b"[" * 50_000, 400, "body_invalid"),
        (b'{"username": "a", "username": "b"}', 400, "body_invalid"),
        (b'{"username": NaN}', 400, "body_invalid"),
        (b'{"username": "a\\u0000", "password": "x"}', 422, "text_unsafe"),
        (b'{"username": 5, "password": "x"}', 422, "input_invalid"),
        (b" " * (BODY_LIMIT_BYTES + 1), 413, "body_too_large"),
    ],
)
def test_a_bad_body_gets_a_named_error(village: Office, content: bytes, status: int, code: str) -> None:
    refused = village.client().post("/api/login", content=content, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["x-request-id"] == refused.json()["request_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_a_body_of_another_type_is_refused(village: Office, headers: dict[str, str]) -> None:
    refused = village.client().post("/api/login", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (415, "content_type_wrong")


def test_nothing_of_an_unexpected_error_reaches_the_caller(village: Office, capfd: pytest.CaptureFixture[str]) -> None:
    @village.app.get("/api/broken-for-this-test", include_in_schema=False)
    def broken() -> None:
        raise RuntimeError("张桂兰")

    refused = village.client().get("/api/broken-for-this-test")
    assert (refused.status_code, refused.json()["code"]) == (500, "unexpected")
    assert "张桂兰" not in refused.text
    assert "张桂兰" not in capfd.readouterr().out


# --- who ----------------------------------------------------------------------------------------------------------


def test_a_session_that_was_signed_out_is_refused(village: Office) -> None:
    api = village.api("clerk")
    assert api.http.post("/api/logout").status_code == 204
    refused = api.get("/api/duties")
    assert (refused.status_code, refused.json()["code"]) == (401, "not_signed_in")
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_cookie_alone_gives_no_command_from_another_site(village: Office) -> None:
    browser = village.browser("clerk")
    headers = {"Idempotency-Key": str(uuid4())}
    sites = [{}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": BASE}]
    for site in sites:
        refused = browser.http.post("/api/commands", json=registration(), headers=headers | site)
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")


def test_signing_in_over_plain_http_from_elsewhere_is_refused(village: Office) -> None:
    client = village.client()
    client.base_url = "http://huiyin.example"
    refused = client.post("/api/login", json={"username": "clerk", "password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (403, "insecure_connection")


def test_an_operator_administers_and_sees_no_case(village: Office, clerk: Api) -> None:
    operator, filed = village.api("operator"), file_case(clerk)
    assert operator.get(f"/api/cases/{filed.case}").status_code == 404
    assert operator.get("/api/cases").status_code == 403
    new = {"login": f"u{uuid4().hex[:8]}", "name": "李某", "password": PASSWORD, "role": "clerk"}
    opened = operator.http.post("/api/admin/accounts", json=new | {"unit": f"{VILLAGE}.office"})
    assert opened.status_code == 201
    account = opened.json()["id"]
    assert PASSWORD not in operator.http.get("/api/admin/accounts").text
    duties = {"role": "auditor", "unit": f"{VILLAGE}.office"}
    assert operator.http.put(f"/api/admin/accounts/{account}/duties", json=duties).json()["role"] == "auditor"
    assert operator.http.delete(f"/api/admin/accounts/{account}").status_code == 204
    assert clerk.get("/api/admin/accounts").status_code == 403


def test_an_operator_opens_a_unit_that_matters_can_be_given_to(village: Office) -> None:
    operator = village.api("operator")
    body, headers = {"short": "water", "name": "供水组"}, {"Idempotency-Key": str(uuid4())}
    assert operator.http.post("/api/admin/units", json=body, headers=headers).status_code == 201
    wait_until(
        lambda: {"unit": f"{VILLAGE}.water", "name": "供水组"} in operator.get("/api/admin/units").json()["units"]
    )


# --- the whole surface --------------------------------------------------------------------------------------------


def test_every_named_schema_of_the_openapi_is_there(village: Office) -> None:
    text = village.client().get("/openapi.json").text
    spec = msgspec.json.decode(text)
    names = spec["components"]["schemas"]
    refs = {ref.split('"')[0] for ref in text.split('"#/components/schemas/')[1:]}
    assert refs <= set(names)
    documented = {"400", "401", "403", "404", "409", "413", "422", "429"}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            assert documented <= set(operation["responses"]), (path, method)


def test_every_operation_that_names_a_token_refuses_without_one(village: Office) -> None:
    http = village.client()
    spec = http.get("/openapi.json").json()
    guarded = [
        (method, path)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
        if "security" in operation
    ]
    assert len(guarded) > 15
    for method, path in guarded:
        address = re.sub(r"{(case|event|account|session)}", str(uuid4()), path)
        address = address.replace("{unit}", f"{VILLAGE}.office").replace("{about}", "cases")
        refused = http.request(method, address, headers={"Idempotency-Key": str(uuid4())}, json={})
        code = "token_refused" if path.startswith("/tlog") else "not_signed_in"  # an auditor's token is another's
        assert (refused.status_code, refused.json()["code"]) == (401, code), (method, path)


def test_a_case_is_not_handed_to_a_node_that_cannot_be_given_its_texts(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = town.county.api("handler")
    answer = town.county.api("clerk").give(registration(issue_region=COUNTY)).json()
    case, leg = answer["case"], answer["events"][1]["leg"]
    to = {"to": f"{VILLAGE}.office", "mode": "transfer", "reason": "属地办理"}
    hand_over = {"command": "hand_over", "case": case, "leg": leg} | to
    with monkeypatch.context() as dishonest:  # as a superior that certified a key to which nothing can be wrapped
        sealer = town.county.node.desk._sealer
        dishonest.setattr(sealer, "_recipient", lambda code: Recipient(code, bytes(32)))
        refusal = handler.give(hand_over)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "recipient_key_invalid")
    assert VILLAGE in refusal.json()["zh"]
    assert handler.give(hand_over).status_code == 201


def test_nothing_is_sealed_to_a_node_without_a_certificate(town: Town) -> None:
    with pytest.raises(RecipientUnknown):
        town.county.node.around.recipient(Division("419001000000"))
