"""Hostile bytes: each ends in a named refusal in two languages, and nothing has happened. A test a kind of attack."""

import gzip
import itertools
import logging
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest

from gateway.web import bounded, gate
from gateway.web.gate import BODY_LIMIT_BYTES
from gateway.web.refused import listen
from tests.gateway.conftest import BASE, COUNTY, PASSWORD, Office, free_port, serve, wait_until
from tests.gateway.hostile import (
    INSIDE,
    JSON,
    api,
    fresh_key,
    nothing_happens,
    refused,
    registration,
    security_events,
    send,
    text_of,
)

pytestmark = pytest.mark.usefixtures("listening")


@pytest.fixture(scope="module")
def address(lone: Office) -> Iterator[tuple[str, int]]:
    """The node behind its real HTTP server."""
    port = free_port()
    stop = serve(lone.app, port)
    ears = listen(lone.app.state.refused)
    yield "127.0.0.1", port
    logging.getLogger("uvicorn.error").removeHandler(ears)
    stop()


def raw(address: tuple[str, int], request: bytes) -> bytes:
    """Everything that is answered until the server hangs up or says no more."""
    with socket.create_connection(address, timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while some := connection.recv(65_536):
                answer += some
                connection.settimeout(0.5)
        except (TimeoutError, ConnectionError):
            pass
        return answer


def unrequested() -> list[str]:
    """The security events of what was no request; who hangs up is heard a moment later."""
    wait_until(lambda: bool(security_events(None)))
    return security_events(None)


def still_answers(address: tuple[str, int]) -> bool:
    return httpx2.get(f"http://{address[0]}:{address[1]}/healthz", timeout=5).text == "ok\n"


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b'{"command": "withdraw", "command": "rate"}',
        b'{"petitioner": {"name": "a", "name": "b"}}',
        b'{"comm\\u0061nd": "rate", "command": "rate"}',
    ],
)
def test_01_a_key_that_stands_twice(lone: Office, content: bytes) -> None:
    with nothing_happens(lone):
        refused(send(lone, content), 400, "body_invalid")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1.5", "9" * 5_000, "-" + "9" * 5_000])
def test_02_a_number_that_not_everybody_reads_alike(lone: Office, number: str) -> None:
    content = text_of(registration(person_count=1)).replace(b'"person_count":1', b'"person_count":' + number.encode())
    with nothing_happens(lone):
        refused(send(lone, content), 400, "body_invalid")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("person_count", 2**53 + 1, "input_invalid"),
        ("occurred_us", 2**53 + 1, "in_future"),
        ("occurred_us", 10**18 - 1, "in_future"),
        ("occurred_us", 1 - 10**17, "day_implausible"),
        ("occurred_us", -62_135_596_800_000_001, "day_implausible"),
    ],
)
def test_02_a_whole_number_out_of_all_measure(lone: Office, field: str, value: int, code: str) -> None:
    with nothing_happens(lone):
        refused(send(lone, text_of(registration(**{field: value}))), 422, code, field)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
def test_03_a_body_a_hundred_thousand_levels_deep(lone: Office, content: bytes) -> None:
    with nothing_happens(lone):
        refused(send(lone, content), 400, "body_invalid")


@pytest.mark.parametrize("sign", ["\\ud800", "\\u0000", "\\u202e", "\\u2066", "e\\u0301", "\\u200b", "\\u001b[31m"])
def test_04_text_that_is_not_what_it_shows(lone: Office, sign: str) -> None:
    content = text_of(registration(title="@")).replace(b"@", sign.encode())
    with nothing_happens(lone):
        refused(send(lone, content), 422, "text_unsafe", "title")


def test_04_the_twin_of_a_name_that_exists(lone: Office) -> None:
    operator = api(lone, "operator").http
    new = {"login": "jose", "name": "Jos\u00e9", "password": PASSWORD, "role": "clerk", "unit": f"{COUNTY}.office"}
    assert operator.post("/api/admin/accounts", json=new).status_code == 201
    with nothing_happens(lone):
        twin = operator.post("/api/admin/accounts", json=new | {"login": "jose2", "name": "Jose\u0301"})
        refused(twin, 422, "text_unsafe", "name")
        for login in ("jos\u00e9", "JOSE", "\uff4aose"):
            twin = operator.post("/api/admin/accounts", json=new | {"login": login})
            refused(twin, 422, "input_invalid", "login")


@pytest.mark.parametrize("path", ["cases?number=%00", "cases?matter_class=a%1Bb", "cases?limit=%00", "cases%00"])
def test_04_control_characters_in_an_address(lone: Office, path: str) -> None:
    with nothing_happens(lone):
        refused(api(lone, "clerk").http.get(f"/api/{path}"), 422, "text_unsafe")


@pytest.mark.parametrize("path", ["cases?number=%ff%fe", "cases?number=%ed%a0%80", "duties?number=%"])
def test_04_an_address_that_is_no_text(lone: Office, path: str) -> None:
    assert api(lone, "clerk").http.get(f"/api/{path}").status_code == 200


@pytest.mark.parametrize(
    ("encoding", "kind", "status", "code"),
    [
        ("utf-8-sig", "application/json", 400, "body_invalid"),
        ("utf-16", "application/json", 400, "body_invalid"),
        ("gb18030", "application/json", 400, "body_invalid"),
        ("utf-16", "application/json; charset=utf-16", 415, "content_type_wrong"),
        ("gbk", 'application/json; charset="gbk"', 415, "content_type_wrong"),
        ("utf-8", "text/plain", 415, "content_type_wrong"),
        ("utf-8", "application/jsonp", 415, "content_type_wrong"),
    ],
)
def test_05_bytes_in_another_alphabet(lone: Office, encoding: str, kind: str, status: int, code: str) -> None:
    content = text_of(registration()).decode().encode(encoding)
    with nothing_happens(lone):
        refused(send(lone, content, **{"content-type": kind}), status, code)


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity"])
def test_06_a_body_that_swells(lone: Office, coding: str) -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    with nothing_happens(lone):
        refused(send(lone, bomb, **{"content-encoding": coding}), 415, "content_type_wrong")


def test_07_more_than_a_request_may_carry(lone: Office) -> None:
    def drops() -> Iterator[bytes]:
        yield from itertools.repeat(b" " * 65_536, BODY_LIMIT_BYTES // 65_536 + 1)

    with nothing_happens(lone):
        refused(send(lone, b" " * (BODY_LIMIT_BYTES + 1)), 413, "body_too_large")
        unmeasured = api(lone, "clerk").http.post("/api/commands", content=drops(), headers=JSON | fresh_key())
        refused(unmeasured, 413, "body_too_large")


def test_07_no_body_at_all(lone: Office) -> None:
    with nothing_happens(lone):
        refused(send(lone, b""), 400, "body_invalid")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: -5",
        "Content-Length: 5, 6",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
    ],
)
def test_07_a_body_of_two_lengths(lone: Office, address: tuple[str, int], head: str) -> None:
    smuggled = b"0\r\n\r\nGET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with nothing_happens(lone):
        answers = raw(address, f"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n".encode() + smuggled)
        assert answers.count(b"HTTP/1.1 ") <= 1, answers
        assert not answers or answers.startswith(b"HTTP/1.1 4"), answers
        assert b"ledger_size" not in answers
    assert unrequested() == ["http_invalid"]


def test_08_a_body_that_never_ends(lone: Office, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_WAIT_S", 0.3)
    with nothing_happens(lone):
        answer = raw(address, b"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"body_too_slow" in answer


@pytest.mark.parametrize("half", [b"G", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_08_a_head_that_never_ends(address: tuple[str, int], half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_WAIT_S", 0.3)
    assert raw(address, half).startswith(b"HTTP/1.1 408")
    assert unrequested() == ["head_too_slow"]


def test_08_a_connection_on_which_nothing_comes(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_WAIT_S", 0.3)
    with socket.create_connection(address, timeout=20) as silent:
        assert silent.recv(1) == b"", "hung up on, without a word"


def test_08_connections_that_are_held_open(address: tuple[str, int]) -> None:
    held = [socket.create_connection(address) for _ in range(200)]
    for one in held[::2]:
        one.sendall(b"GET /api/st")
    try:
        assert still_answers(address)
    finally:
        for one in held:
            one.close()


def test_08_a_caller_who_hangs_up_half_way(lone: Office, address: tuple[str, int]) -> None:
    with nothing_happens(lone):
        with socket.create_connection(address) as half:
            half.sendall(b"POST /api/public/petitions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{")
        assert still_answers(address)


def test_17_a_header_of_a_megabyte(lone: Office, address: tuple[str, int]) -> None:
    huge = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + b"a" * 1_000_000 + b"\r\n\r\n"
    with nothing_happens(lone):
        answer = raw(address, huge)
        assert not answer or answer.startswith(b"HTTP/1.1 431"), "whoever still sends may lose the answer"
        assert still_answers(address)
    assert unrequested() == ["head_too_large"]


# --- forms and files --------------------------------------------------------------------------------------------------


def part(name: str, more: str = "", content: str = "x") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{content}\r\n'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("".join(part(f"f{n}") for n in range(10_000)) + "--b--\r\n", id="ten thousand parts"),
        pytest.param(part("code", f'; x="{"a" * 500_000}"') + "--b--\r\n", id="a huge part header"),
        pytest.param(part("code", content="ab" * 32), id="no closing boundary"),
        pytest.param(part("receipt", '; filename="../../etc/passwd"') + "--b--\r\n", id="a path as file name"),
        pytest.param(part("receipt", "; filename*=utf-8''%2e%2e%2fx%00") + "--b--\r\n", id="a coded file name"),
        pytest.param("", id="nothing at all"),
        pytest.param('--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--b--\r\n', id="no text"),
    ],
)
def test_09_a_form_in_parts_that_do_not_fit(lone: Office, content: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b", "origin": BASE}
    with nothing_happens(lone):
        answer = lone.client().post("/follow", content=content.encode("latin-1"), headers=headers)
        assert answer.status_code in {400, 422}, answer.text
        assert not [word for word in INSIDE if word in answer.text]


def test_09_a_form_without_a_boundary(lone: Office) -> None:
    headers = {"content-type": "multipart/form-data", "origin": BASE}
    with nothing_happens(lone):
        assert lone.client().post("/follow", content=b"--b--", headers=headers).status_code == 400


def test_10_ten_thousand_ranges_of_one_file(lone: Office) -> None:
    spans = {"range": "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 20_000, 2))}
    started = time.monotonic()
    for path in ("/openapi.json", "/healthz", "/static/huiyin.css", "/static/nothing.css"):
        answer = lone.client().get(path, headers=spans)
        assert answer.status_code < 500
        assert len(answer.content) < 4_000_000
    assert time.monotonic() - started < 5
