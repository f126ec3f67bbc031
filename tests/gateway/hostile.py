"""What the tests of hostile requests share: an office in which only requests write, and what a refusal must be."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier
from typing import Any, Final
from uuid import uuid4

import httpx2
import msgspec

from gateway.node import Node
from tests.gateway import conftest
from tests.gateway.conftest import COUNTY, Api, Browser, Office

JSON: Final = {"content-type": "application/json"}
FOREIGN: Final = {"origin": "https://evil.example"}
INSIDE: Final = ("Traceback", "psycopg", "site-packages", ".py", 'File "')


def fresh_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


@cache
def api(office: Office, role: str) -> Api:
    """A program signed in in this role, the same one each time: signing in is slow on purpose."""
    return office.api(role)


@cache
def browser(office: Office, role: str) -> Browser:
    """The same for a browser."""
    return office.browser(role)


def written(node: Node) -> list[Any]:
    """How much there is of everything that a request can write, but for sign-ins and attempts at them."""
    tables = ("account", "administration", "organ_item", "paper_number")
    with node.pool.connection() as conn:
        counts = [conn.execute(f"select count(*) from web.{table}").fetchone() for table in tables]
    return [node.reader.head().pos, *counts]


@contextmanager
def nothing_happens(office: Office) -> Iterator[None]:
    before = written(office.node)
    yield
    assert written(office.node) == before


def security_events(request_id: str | None) -> list[str]:
    """The codes of the security events of one request; None: of what was no request."""
    return [line["code"] for line in conftest.heard if line["event"] == "refused" and line["request_id"] == request_id]


def refused(answer: httpx2.Response, status: int, code: str, field: str | None = None) -> None:
    """Named, in Chinese and English, with an id to quote, no word of the inside, and one security event."""
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert error["code"] == code, error
    assert field is None or error["field"] == field, error
    assert any("一" <= sign <= "鿿" for sign in error["zh"])
    assert error["en"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert not [word for word in INSIDE if word in answer.text]
    assert security_events(error["request_id"]) in ([[code], ["rule"]] if status < 500 else [[]])


def registration(**changes: Any) -> dict[str, Any]:
    return {
        "command": "register",
        "channel": "visit",
        "matter_class": "claim_petition",
        "category": "020000",
        "issue_region": COUNTY,
        "received_on": "2026-03-02",
        "petitioner": {"name": "张桂兰"},
        "title": "大棚补偿",
        "body": "修路占用大棚。",
        "claims": [{"claim": str(uuid4()), "text": "补偿大棚"}],
    } | changes


def petition(**changes: Any) -> dict[str, Any]:
    return {name: registration()[name] for name in ("title", "body", "claims")} | changes


def filed(office: Office) -> dict[str, str]:
    """A case that was registered here, and its leg."""
    answer = api(office, "clerk").give(registration()).json()
    return {"case": answer["case"], "leg": answer["events"][1]["leg"]}


def send(office: Office, content: bytes, **headers: str) -> httpx2.Response:
    """Exactly these bytes as a clerk's command."""
    return api(office, "clerk").http.post("/api/commands", content=content, headers=JSON | fresh_key() | headers)


def text_of(value: Any) -> bytes:
    return msgspec.json.encode(value)


def at_once(calls: Iterable[Callable[[], httpx2.Response]]) -> list[httpx2.Response]:
    """Every call in a thread of its own, let go together."""
    waiting = list(calls)
    gun = Barrier(len(waiting))

    def run(call: Callable[[], httpx2.Response]) -> httpx2.Response:
        gun.wait()
        return call()

    with ThreadPoolExecutor(len(waiting)) as pool:
        return list(pool.map(run, waiting))
