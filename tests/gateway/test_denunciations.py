"""A letter against an official reaches the desk of the organ that manages them, and leaves no trace elsewhere."""

import time
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from domain.divisions import Division
from domain.events import Actor, decode
from domain.managing import ManagedAbove
from gateway.casework.denunciations import Denunciation, ItemUnknown, tag_of_item
from gateway.hosting import config, founding
from gateway.hosting.enrolling import enrol_child
from gateway.hosting.outside_witness import WitnessConfig, found_witness
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.ledger.append import CommandReused
from sync.sealed.sealed_item import ITEM_SIZES_BYTES
from tests.gateway.conftest import COUNTY, VILLAGE, Office, Town, changed, database, free_port, settings, wait_until
from tests.gateway.hostile import fresh_key, nothing_happens, petition, refused
from tests.gateway.test_pages import citizen, form

CITY = Division("410200000000")
OTHER_COUNTY = Division("410222000000")
OTHER_VILLAGE = Division("410222100201")
TREE = {CITY: None, COUNTY: CITY, OTHER_COUNTY: CITY, VILLAGE: COUNTY, OTHER_VILLAGE: OTHER_COUNTY}
TEXT = "修路款被截留，账页附后"

Nodes = dict[Division, Node]


class Row(NamedTuple):
    """A sealed item as a node holds it."""

    body: bytes
    part: bytes


@pytest.fixture(scope="module")
def nodes(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A city with two counties and a village in each."""
    folder = tmp_path_factory.mktemp("city")
    channel = config.ChannelEnd(dsn=database(postgres, "denunciations_channel"))
    key = found_witness(folder / "witness", WitnessConfig(name="audit.test.example/witness", port=free_port()))
    outside = config.OutsideWitness(url="http://127.0.0.1:9", key=key)
    for code, parent in TREE.items():
        own = settings(postgres, code, f"信访局{code}", 99, parent)
        if parent is None:
            own = changed(own, channel=config.Channels(down=channel), witness=outside)
            founding.found_root(folder / code, own, time.time_ns() // 1000)
        else:
            own = changed(own, channel=config.Channels(up=channel, down=channel))
            request = founding.found(folder / code, own)
            founding.install(folder / code, enrol_child(folder / parent, request))
    running = {code: Node(folder / code) for code in TREE}
    for node in running.values():
        node.start()
    wait_until(lambda: all(set(node.around.topology().parents) == set(TREE) - {CITY} for node in running.values()))
    yield running
    for node in reversed(running.values()):
        node.stop()


def letter(accused: Division, text: str = TEXT) -> Denunciation:
    return Denunciation(accused_unit=f"{accused}.office", text=text)


def desks(nodes: Nodes, item: UUID) -> list[Division]:
    return [code for code, node in nodes.items() if item in {one.item for one in node.denunciations.waiting()}]


def sealed(node: Node, item: UUID | None = None) -> list[Row]:
    with node.pool.connection() as conn:
        rows = conn.execute(
            "select ledger.body, beside.body from ledger join beside using (log_id, seq)"
            " where topic = %s and coalesce(stream = %s, true) order by pos",
            (tag_of_item(), item),
        ).fetchall()
    return [Row(bytes(body), bytes(part)) for body, part in rows]


def officer(node: Node) -> Actor:
    return Actor(account=uuid4(), role="leader", unit=f"{node.here}.discipline")


@pytest.mark.parametrize("typed_at", [VILLAGE, COUNTY, OTHER_VILLAGE, OTHER_COUNTY, CITY])
def test_typed_anywhere_it_waits_on_the_desk_of_the_managing_organ_alone(nodes: Nodes, typed_at: Division) -> None:
    item = nodes[typed_at].denunciations.file(letter(VILLAGE), uuid4())

    wait_until(lambda: desks(nodes, item) == [COUNTY])

    opened = nodes[COUNTY].denunciations.open(item, officer(nodes[COUNTY]), uuid4())
    assert opened == letter(VILLAGE)
    for code in (CITY, VILLAGE, OTHER_COUNTY, OTHER_VILLAGE):
        with pytest.raises(ItemUnknown):
            nodes[code].denunciations.open(item, officer(nodes[code]), uuid4())
    if typed_at != VILLAGE:
        assert sealed(nodes[VILLAGE], item) == [], "not even sealed does it go to the node of the accused"


def test_one_that_is_passed_on_looks_like_every_other_and_is_passed_on_once(nodes: Nodes) -> None:
    item = nodes[OTHER_VILLAGE].denunciations.file(letter(VILLAGE), uuid4())
    wait_until(lambda: desks(nodes, item) == [COUNTY])
    typed, passed = sealed(nodes[CITY], item)

    nodes[CITY].denunciations.arrived(item, typed.part, 0)  # offered again, as after a restart

    assert len(sealed(nodes[CITY], item)) == 2
    assert len(typed.part) == len(passed.part) == ITEM_SIZES_BYTES[0]
    assert len(typed.body) == len(passed.body)
    for secret in (TEXT.encode(), VILLAGE.encode(), COUNTY.encode()):
        assert secret not in typed.body + typed.part + passed.body + passed.part


def test_the_note_of_a_reading_tells_no_more_than_the_letter_itself(nodes: Nodes) -> None:
    county = nodes[COUNTY]
    item = county.denunciations.file(letter(VILLAGE), uuid4())
    wait_until(lambda: desks(nodes, item) == [COUNTY])
    reader = officer(county)

    county.denunciations.open(item, reader, uuid4())

    (filed,), note = sealed(county, item), sealed(county)[-1]
    assert note.body != filed.body
    assert len(note.body) == len(filed.body)
    assert len(note.part) == len(filed.part)
    assert decode(note.body).actor == decode(filed.body).actor
    assert reader.unit.encode() not in note.body
    assert str(reader.account).encode() not in note.body


def test_a_city_official_is_managed_above_every_node_so_nothing_is_taken_in(nodes: Nodes) -> None:
    for code in (VILLAGE, CITY):
        before = nodes[code].reader.head().own_size
        with pytest.raises(ManagedAbove):
            nodes[code].denunciations.file(letter(CITY), uuid4())
        assert nodes[code].reader.head().own_size == before


def test_the_refusal_tells_the_denouncer_where_to_go(lone: Office) -> None:
    body = {"accused_unit": f"{COUNTY}.office", "text": TEXT}
    with nothing_happens(lone):
        refused(lone.client().post("/api/denunciations", json=body, headers=fresh_key()), 422, "managed_above")


def test_the_page_tells_it_too_and_keeps_what_was_typed(town: Town) -> None:
    browser = citizen(town.village)
    filled = form(browser.get("/denounce"), "/denounce") | {"accused_unit": f"{COUNTY}.office", "text": TEXT}
    told = browser.post("/denounce", filled)
    assert told.status_code == 422
    assert "12388" in told.text
    assert TEXT in told.text


def test_under_one_key_the_same_letter_is_filed_once_and_an_edited_one_is_refused(nodes: Nodes) -> None:
    village, key = nodes[VILLAGE], uuid4()
    first = village.denunciations.file(letter(VILLAGE), key)
    before = len(sealed(village))

    assert village.denunciations.file(letter(VILLAGE), key) == first
    with pytest.raises(CommandReused):
        village.denunciations.file(letter(VILLAGE, TEXT + "，另有一事"), key)

    assert len(sealed(village)) == before


def test_what_recognises_a_repeat_confirms_no_guess(nodes: Nodes) -> None:
    village, key = nodes[VILLAGE], uuid4()
    village.denunciations.file(letter(VILLAGE), key)
    with village.pool.connection() as conn:
        ((digest,),) = conn.execute("select digest from command where id = %s", (key,)).fetchall()
        ((ordinary,),) = conn.execute("select distinct octet_length(digest) from command").fetchall()
    assert len(digest) == ordinary == 32


def test_the_page_offers_every_office_of_the_city_and_an_edited_letter_is_a_conflict(town: Town) -> None:
    client, key = town.village.client(), fresh_key()
    assert f'value="{VILLAGE}.office"' in client.get("/denounce").text
    body = {"accused_unit": f"{VILLAGE}.office", "text": TEXT}
    assert client.post("/api/denunciations", json=body, headers=key).status_code == 201
    edited = client.post("/api/denunciations", json=body | {"text": "另一件事"}, headers=key)
    refused(edited, 409, "command_reused")


def test_neither_metrics_nor_logs_tell_that_a_letter_was_handed_in_or_read(town: Town) -> None:
    office = town.county
    with capture_logs() as said:
        client, body = office.client(), {"accused_unit": f"{VILLAGE}.office", "text": TEXT}
        item = client.post("/api/denunciations", json=body, headers=fresh_key()).json()["item"]
        visitor = citizen(office)
        filled = form(visitor.get("/denounce"), "/denounce") | body
        assert visitor.post("/denounce", filled).status_code == 200
        assert client.post("/api/denunciations", json=body | {"accused_unit": "x"}, headers=fresh_key()).is_client_error
        organ = office.browser("discipline")
        wait_until(lambda: item in organ.get("/sealed").text)
        assert TEXT in organ.post(f"/sealed/{item}", form(organ.get("/sealed"), f"/sealed/{item}")).text
        shown = client.get("/metrics").text

    requests = [line for line in said if line["event"] == "request"]
    assert {line["route"] for line in requests} <= {"public", "staff", "/login"}
    for line in requests:
        assert line["route"] == "/login" or "ms" not in line, "how long it took would tell which it was"
    for word in ("denounc", "denunc", "sealed"):
        assert word not in shown
        assert word not in str(said)


def test_ordinary_filings_bear_the_same_name_so_that_nothing_is_left_over_when_they_are_taken_away(town: Town) -> None:
    client = town.village.client()
    with capture_logs() as said:
        for path, body in (
            ("/api/public/petitions", petition()),
            ("/api/denunciations", {"accused_unit": f"{VILLAGE}.office", "text": TEXT}),
        ):
            assert client.post(path, json=body, headers=fresh_key()).status_code == 201
    one, other = (line for line in said if line["event"] == "request")
    assert one == other
