"""Hostile words, questions asked by receipt, and a node whose witness or database is gone.

Not tried, because there is nothing to attack yet: sign-in by another party, images, archives and exports.
"""

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
import structlog

from gateway.hosting import logs
from gateway.hosting.postgres_server import PostgresServer
from gateway.web.refused import listen
from sync.ledger.append import LedgerUnavailable
from sync.ledger.connections import ANSWER_S
from tests.gateway.conftest import BASE, PASSWORD, VILLAGE, Office, Town
from tests.gateway.hostile import (
    api,
    browser,
    filed,
    fresh_key,
    petition,
    refused,
    registration,
    written,
)

pytestmark = pytest.mark.usefixtures("listening")

HERE = {"origin": BASE}
SOON_S = 2 * ANSWER_S


@pytest.mark.parametrize(
    "words",
    [
        "'; drop table ledger; --",
        "{{1234567*7}}{% raw %}",
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "=cmd|' /C calc'!A0",
    ],
)
def test_20_words_that_would_be_code_elsewhere(lone: Office, words: str) -> None:
    told = api(lone, "clerk").give(registration(title=words, body=words, petitioner={"name": words})).json()
    case, event = told["case"], told["events"][0]["id"]
    wanted = {"events": [event], "purpose": "handle"}
    read = api(lone, "handler").http.post(f"/api/cases/{case}/read", json=wanted, headers=fresh_key())
    assert read.json()["texts"][event]["title"] == words, "kept as it was written"
    handler = browser(lone, "handler")
    csrf = handler.get(f"/cases/{case}").text.split('name="csrf" value="')[1].split('"')[0]
    shown = handler.post(f"/cases/{case}/read", {"csrf": csrf}).text
    pages = [
        handler.http.get(f"/{path}", params={name: words}).text
        for path, name in (("cases", "number"), ("follow", "code"))
    ]
    for page in (shown, *pages):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "8641969" not in page
    assert words[:4].replace("<", "&lt;").replace("'", "&#39;").replace('"', "&#34;").replace(">", "&gt;") in shown


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the process logs, as it does when it serves."""
    written_to, before = io.StringIO(), structlog.get_config()
    logs.configure(written_to)
    yield written_to
    structlog.configure(**before)


def test_20_lines_slipped_into_headers_and_logs(lone: Office, log: io.StringIO) -> None:
    client = lone.client()
    signing_in = {"login": "clerk", "password": PASSWORD}
    slipped = (
        "/duties\r\nset-cookie: huiyin=mine",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:x",
    )
    for after in slipped:
        answer = client.post("/login", data=signing_in | {"next": after}, headers=HERE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/duties")
        assert "mine" not in answer.headers["set-cookie"]
        client.cookies.clear()
    client.get('/api/x%0a{"event":"forged"}')
    client.post("/api/login", content=b"{", headers={"x-request-id": 'y"}\\n{"event":"forged"}'})
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert lines
    assert "forged" not in {line["event"] for line in lines}
    assert PASSWORD not in log.getvalue()


def test_20_what_the_http_server_says_of_itself_brings_no_callers_words_into_the_log(
    lone: Office, log: io.StringIO
) -> None:
    server, ears = logging.getLogger("uvicorn.error"), listen(lone.app.state.refused)
    try:
        server.warning("cannot serve %s", '张桂兰"}\n{"event":"forged"}')
        server.error("Exception in ASGI application", exc_info=ValueError("张桂兰"))
    finally:
        server.removeHandler(ears)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["event"], line["said"], line["error"]) for line in lines] == [
        ("server", "cannot serve %s", None),
        ("server", "Exception in ASGI application", "ValueError"),
    ]
    assert "张桂兰" not in log.getvalue()


def test_21_a_receipt_is_handed_out_never_shown(lone: Office) -> None:
    client = lone.client()
    receipt = client.post("/api/public/petitions", json=petition(title="<script>"), headers=fresh_key()).json()
    answer = client.post("/receipt", data={"data": receipt["receipt"]}, headers=HERE)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_24_asking_by_receipt_whether_somebody_complained(town: Town) -> None:
    office = town.village
    client, on = office.client(), filed(office)
    api(office, "handler").give({"command": "accept"} | on)
    letter = {"accused_unit": f"{VILLAGE}.office", "text": "截留"}
    assert client.post("/api/denunciations", json=letter, headers=fresh_key()).status_code == 201
    leaves = {row.topic: row.leaf.hex() for row in office.node.reader.read(0, 10_000)}
    codes = ["ab" * 32, *(leaves[topic] for topic in ("leg.accepted.v0", "leg.opened.v0", "sealed.item.v0"))]
    before = office.node.reader.head().own_size
    answers = [client.post("/api/public/follow", json={"code": code}) for code in codes]
    for answer in answers:
        refused(answer, 404, "receipt_unknown")
    assert len({json.dumps(answer.json() | {"request_id": ""}) for answer in answers}) == 1
    pages = [client.post("/follow", data={"code": code}, headers=HERE).text for code in codes]
    assert len({page.replace(code, "") for page, code in zip(pages, codes, strict=True)}) == 1
    refused(client.post("/api/public/follow", json={"code": on["case"]}), 422, "input_invalid", "code")
    assert office.node.reader.head().own_size == before


def test_25_without_its_witness_a_node_gives_promises_and_no_proof(lone: Office) -> None:
    client = lone.client()
    receipt = client.post("/api/public/petitions", json=petition(), headers=fresh_key()).json()
    renewed = client.post("/api/public/receipts", json={"receipt": receipt["receipt"]}).json()
    assert receipt["proven"] is renewed["proven"] is False
    assert api(lone, "clerk").give(registration()).json()["state"] == "recorded"


def within(seconds: float, ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer, which must not take longer."""
    began = time.monotonic()
    answer = ask()
    assert time.monotonic() - began < seconds
    return answer


def test_25_a_writer_that_lost_its_database_says_so_in_its_own_words_only(
    lone: Office, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise LedgerUnavailable("server closed the connection, says psycopg")

    clerk = api(lone, "clerk")
    monkeypatch.setattr(lone.node.desk, "do", lost)
    answer = clerk.give(registration())
    refused(answer, 503, "ledger_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "server closed" in log.getvalue()


def test_views_that_cannot_go_on_say_so_in_one_line_of_json_without_the_words_of_the_error(
    lone: Office, log: io.StringIO
) -> None:
    api(lone, "clerk").give(registration())
    stop = threading.Event()
    following = threading.Thread(target=lone.node.views.run, args=(stop,))
    with lone.node.pool.connection() as conn:
        conn.execute("alter table views.duty rename to duty_elsewhere")
    try:
        following.start()
        began = time.monotonic()
        while "views_stopped" not in log.getvalue() and time.monotonic() - began < 30:
            time.sleep(0.05)
    finally:
        stop.set()
        following.join()
        with lone.node.pool.connection() as conn:
            conn.execute("alter table views.duty_elsewhere rename to duty")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {line["reason"] for line in lines if line["event"] == "views_stopped"} == {"UndefinedTable"}
    assert "does not exist" not in log.getvalue()


def test_25_without_its_database_a_node_never_says_yes(lone: Office, own_postgres: PostgresServer) -> None:
    before, client = written(lone.node), lone.client()
    body, key, filing = registration(), fresh_key(), fresh_key()

    def command() -> httpx2.Response:
        return api(lone, "clerk").give(body, key["Idempotency-Key"])

    own_postgres.stop()
    try:
        for ask in (
            command,
            lambda: api(lone, "clerk").get("/api/cases"),
            lambda: client.post("/api/public/petitions", json=petition(), headers=filing),
            lambda: client.post("/api/login", json={"username": "clerk", "password": PASSWORD}),
            lambda: client.get("/api/status"),
        ):
            answer = within(SOON_S, ask)
            refused(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        refused(within(SOON_S, lambda: client.get("/readyz")), 503, "not_ready")
        assert client.get("/healthz").text == "ok\n"
        page = within(SOON_S, lambda: client.get("/duties", headers={"cookie": "huiyin=x"}))
        assert page.status_code == 503
        assert page.headers["retry-after"]
        assert "数据库暂时没有应答" in page.text
    finally:
        own_postgres.start()
    give_up = time.monotonic() + 20
    while (answer := command()).status_code == 503:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert answer.status_code in {200, 201}, "200 where a 503 left it open whether it was recorded, and it was"
    again = command()
    assert again.status_code == 200
    assert written(lone.node)[0] == before[0] + len(again.json()["events"])
