"""A letter that also accuses an official is two matters: one is sealed, one registered, and nothing joins them."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.events import SealedItem, decode
from tests.gateway.conftest import VILLAGE, Office, Town, wait_until
from tests.gateway.hostile import fresh_key, nothing_happens, petition, refused
from tests.gateway.hostile import registration as command
from tests.gateway.test_denunciations import TEXT, sealed
from tests.gateway.test_pages import citizen, filling, form, registration

pytestmark = pytest.mark.usefixtures("listening")

APART = {"accused_unit": f"{VILLAGE}.office", "accusation": TEXT}
DENUNCIATION = {"accused_unit": f"{VILLAGE}.office", "text": TEXT}


def number_on(page: str) -> UUID:
    found = re.search(r'密件编号 <span class="mono">([0-9a-f-]{36})<', page)
    assert found is not None, page
    return UUID(found[1])


def registrations(office: Office) -> int:
    with office.node.pool.connection() as conn:
        ((count,),) = conn.execute(
            "select count(*) from ledger where topic = 'case.registered.v0' and via = 0"
        ).fetchall()
    return int(count)


def reaches_county(town: Town, item: UUID) -> bool:
    return item in {letter.item for letter in town.county.node.denunciations.waiting()}


def test_the_clerk_registers_a_mixed_letter_with_one_form_and_each_part_arrives_where_it_belongs(town: Town) -> None:
    clerk = town.village.browser("clerk")
    filled = registration(clerk.get("/register"), **APART)

    page = clerk.post("/register", filled)

    assert page.status_code == 200, page.text
    item = number_on(page.text)
    assert re.search(r"登〔\d+〕", page.text)
    wait_until(lambda: reaches_county(town, item))
    before = registrations(town.village), len(sealed(town.village.node, item))
    again = clerk.post("/register", filled)
    assert number_on(again.text) == item
    assert (registrations(town.village), len(sealed(town.village.node, item))) == before == (before[0], 1)


def test_where_the_rest_is_refused_the_repeat_sends_the_sealed_part_no_second_time(town: Town) -> None:
    clerk = town.village.browser("clerk")
    right = registration(clerk.get("/register"), **APART)
    before = len(sealed(town.village.node))

    refusal = clerk.post("/register", right | {"received_on": "2999-01-01"})

    assert refusal.status_code == 422
    item = number_on(refusal.text)
    assert TEXT in refusal.text
    assert form(refusal, "/register")["key"] == right["key"]
    page = clerk.post("/register", right)
    assert page.status_code == 200, page.text
    assert number_on(page.text) == item
    assert len(sealed(town.village.node)) == before + 1


def test_nothing_is_sealed_while_something_on_the_form_is_missing(town: Town) -> None:
    browser = citizen(town.village)
    blank = form(browser.get("/file"), "/file")
    with nothing_happens(town.village):
        for fields in (
            filling(title="") | APART,
            filling() | {"accusation": TEXT},
            filling() | {"accused_unit": APART["accused_unit"]},
            filling() | APART | {"accused_unit": "419001000000.office"},
        ):
            assert browser.post("/file", blank | fields).status_code == 422


def test_a_citizen_files_both_and_the_printed_receipt_knows_nothing_of_the_other(town: Town) -> None:
    browser = citizen(town.village)

    page = browser.post("/file", form(browser.get("/file"), "/file") | filling() | APART)

    item = number_on(page.text)
    receipt = browser.post("/receipt", form(page, "/receipt"))
    assert str(item) not in receipt.text
    printed = re.sub(r'<div class="alert alert-info no-print".*?</div>', "", page.text, flags=re.DOTALL)
    assert str(item) not in printed


def test_by_the_api_too_one_request_under_one_key_does_both_once(town: Town) -> None:
    key, body = fresh_key(), petition(denunciation=DENUNCIATION)
    one, two = (town.village.client().post("/api/public/petitions", json=body, headers=key) for _ in range(2))
    assert one.status_code == 201, one.text
    assert one.json()["item"] == two.json()["item"]
    letter = {"command": "mixed_letter", "register": command(), "denunciation": DENUNCIATION}
    clerk, again = town.village.api("clerk"), str(uuid4())
    first, second = (clerk.give(letter, again).json() for _ in range(2))
    assert (first["item"], first["case"]) == (second["item"], second["case"])
    for item in (one.json()["item"], first["item"]):
        assert len(sealed(town.village.node, UUID(item))) == 1
    clerk_sends = {
        "command": "mixed_letter",
        "register": command(),
        "denunciation": DENUNCIATION | {"accused_unit": "x"},
    }
    refused(clerk.give(clerk_sends), 422, "input_invalid")


def test_nothing_that_is_kept_joins_the_two(town: Town) -> None:
    node, key = town.village.node, str(uuid4())
    letter = {"command": "mixed_letter", "register": command(), "denunciation": DENUNCIATION}
    told: dict[str, Any] = town.village.api("clerk").give(letter, key).json()

    registered = next(event for event in told["events"] if event["id"] == told["case"])
    (held,) = sealed(node, UUID(told["item"]))
    kept = decode(held.body)
    assert isinstance(kept, SealedItem)
    assert kept.case is None
    assert kept.cause == ()
    assert not {str(kept.id), str(kept.stream), str(kept.item)} & set(re.findall(r"[0-9a-f-]{36}", str(registered)))
    with node.pool.connection() as conn:
        rows = conn.execute("select id, digest from command order by pos desc limit 2").fetchall()
    assert len({*rows}) == 2
    assert UUID(key) not in {row[0] for row in rows}
    assert {len(row[1]) for row in rows} == {32}


def test_however_a_matter_is_registered_a_decoy_may_stand_where_a_sealed_part_would(town: Town) -> None:
    """Else whatever stands right before a registration would say that its writer has accused somebody."""
    node, clerk, browser = town.village.node, town.village.browser("clerk"), citizen(town.village)
    ways: list[Callable[[], Any]] = [
        lambda: clerk.post("/register", registration(clerk.get("/register"))),
        lambda: browser.post("/file", form(browser.get("/file"), "/file") | filling()),
        lambda: town.village.client().post("/api/public/petitions", json=petition(), headers=fresh_key()),
        lambda: town.village.api("clerk").give(command()),
    ]
    for register in ways:
        before = node.reader.head().pos
        node.cover._waits_until_us = 2**62  # one is due, and waits for a registration
        assert register().status_code < 300
        own = [row.topic for row in node.reader.read(before, 10) if row.via == 0]
        assert own[:2] == ["sealed.item.v0", "case.registered.v0"]
