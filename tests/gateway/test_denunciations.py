"""A letter against an official reaches the desk of the organ that manages them, and leaves no trace elsewhere."""

import re
import time
from collections.abc import Iterator
from typing import LiteralString, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from domain.divisions import Division
from domain.events import Actor, SealedItem, decode, encode
from domain.ids import maker_of
from domain.managing import ManagedAbove
from gateway.casework.denunciations import Denunciation, ItemUnknown
from gateway.casework.store import Leaf
from gateway.enrolling import enrol_child
from gateway.hosting import config, founding
from gateway.hosting.outside_witness import WitnessConfig, found_witness
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.exchange.status import FaultStatus
from sync.ledger.append import Append, CommandReused, NewEvent
from sync.ledger.rows import OWN
from sync.sealed.acts import PartsBeside
from sync.sealed.sealed_item import INNER_SIZES_BYTES, ITEM_SIZES_BYTES, Onward, seal_item
from sync.sealed.sealing import Recipient, digest_text
from tests.gateway.conftest import COUNTY, VILLAGE, Office, Town, changed, database, free_port, settings, wait_until
from tests.gateway.hostile import fresh_key, nothing_happens, petition, refused
from tests.gateway.test_pages import citizen, form

pytestmark = pytest.mark.usefixtures("listening")

CITY = Division("410200000000")
OTHER_COUNTY = Division("410222000000")
OTHER_VILLAGE = Division("410222100201")
TREE = {CITY: None, COUNTY: CITY, OTHER_COUNTY: CITY, VILLAGE: COUNTY, OTHER_VILLAGE: OTHER_COUNTY}
TEXT = "修路款被截留，账页附后"

Nodes = dict[Division, Node]


class Held(NamedTuple):
    """A sealed item as a node holds it."""

    leaf: Leaf
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


def sealed(node: Node, item: UUID | None = None) -> list[Held]:
    with node.pool.connection() as conn:
        rows = conn.execute(
            "select log_id, seq, ledger.body, beside.body from ledger join beside using (log_id, seq)"
            " where topic = 'sealed.item.v0' order by pos"
        ).fetchall()
    held = [Held(Leaf(log_id, seq), bytes(body), bytes(part)) for log_id, seq, body, part in rows]
    return [one for one in held if item in (None, item_of(one.body))]


def item_of(body: bytes) -> UUID:
    event = decode(body)
    assert isinstance(event, SealedItem)
    return event.item


def ids_in(body: bytes) -> set[UUID]:
    event = decode(body)
    assert isinstance(event, SealedItem)
    return {event.id, event.stream, event.item}


def leaves(node: Node, item: UUID) -> list[Leaf]:
    return [one.leaf for one in sealed(node, item)]


def read(node: Node, item: UUID) -> list[Denunciation]:
    """Every letter of the desk that bears this id, opened."""
    waiting = [one.leaf for one in node.denunciations.waiting() if one.item == item]
    return [node.denunciations.open(leaf, officer(node)) for leaf in waiting]


def publish(node: Node, item: UUID, ciphertext: bytes) -> None:
    """What a dishonest node can do: sign a sealed item of its own making under any id."""
    envelope = node._own_envelope(node.clock.now_us())
    event = SealedItem(**envelope, item=item, ciphertext=digest_text(ciphertext))
    beside = [PartsBeside(event.stream, event.version, [ciphertext])]
    new = NewEvent(event.stream, event.version, "sealed.item.v0", None, encode(event))
    node.append(Append([new], beside=beside)).result(10)


def forged(node: Node, item: UUID, words: str) -> bytes:
    """A letter for the county in one for the city to pass on, as a node seals it, under an id of its choice."""
    typed = msgspec.json.encode({"type": "letter.v0", "form": letter(VILLAGE, words)})
    inner = seal_item(node.around.recipient(COUNTY).key, None, item, typed, INNER_SIZES_BYTES)
    return seal_item(node.around.recipient(CITY).key, None, item, Onward(COUNTY, item, inner).to_bytes())


def unattended(node: Node) -> list[FaultStatus]:
    return [fault for fault in node.links.faults() if fault.kind == "unattended"]


def officer(node: Node) -> Actor:
    return Actor(account=uuid4(), role="leader", unit=f"{node.here}.discipline")


@pytest.mark.parametrize("typed_at", [VILLAGE, COUNTY, OTHER_VILLAGE, OTHER_COUNTY, CITY])
def test_typed_anywhere_it_waits_on_the_desk_of_the_managing_organ_alone(nodes: Nodes, typed_at: Division) -> None:
    at_the_accused = len(sealed(nodes[VILLAGE]))
    item = nodes[typed_at].denunciations.file(letter(VILLAGE), uuid4())

    wait_until(lambda: desks(nodes, item) == [COUNTY])

    assert read(nodes[COUNTY], item) == [letter(VILLAGE)]
    for code in (CITY, VILLAGE, OTHER_COUNTY, OTHER_VILLAGE):
        for leaf in (one.leaf for one in sealed(nodes[code])):
            with pytest.raises(ItemUnknown):
                nodes[code].denunciations.open(leaf, officer(nodes[code]))
    if typed_at != VILLAGE:
        assert len(sealed(nodes[VILLAGE])) == at_the_accused, "not even sealed does it go to the node of the accused"


def test_one_that_is_passed_on_looks_like_every_other_and_is_passed_on_once(nodes: Nodes) -> None:
    item = nodes[OTHER_VILLAGE].denunciations.file(letter(VILLAGE), uuid4())
    wait_until(lambda: desks(nodes, item) == [COUNTY])
    (typed,) = sealed(nodes[CITY], item)
    passed = sealed(nodes[CITY])[-1]
    before = len(sealed(nodes[CITY]))

    nodes[CITY].denunciations.arrived(typed.leaf, item, typed.part, 0)  # offered again, as after a restart

    assert len(sealed(nodes[CITY])) == before
    assert ids_in(typed.body) & ids_in(passed.body) == set(), "nothing tells that the two belong together"
    assert {maker_of(id_) for id_ in ids_in(passed.body)} == {CITY}, (
        "it names none but who wrote it, as every other does"
    )
    assert {maker_of(id_) for id_ in ids_in(typed.body)} == {OTHER_VILLAGE}
    assert len(typed.part) == len(passed.part) == ITEM_SIZES_BYTES[0]
    assert len(typed.body) == len(passed.body)
    for secret in (TEXT.encode(), VILLAGE.encode(), COUNTY.encode()):
        assert secret not in typed.body + typed.part + passed.body + passed.part


def test_a_second_letter_under_the_same_id_stops_nobody_and_hides_neither(nodes: Nodes) -> None:
    village, county = nodes[OTHER_VILLAGE], nodes[COUNTY]
    item = village.denunciations.file(letter(VILLAGE), uuid4())
    wait_until(lambda: desks(nodes, item) == [COUNTY])
    publish(village, item, forged(village, item, "另一封信"))

    wait_until(lambda: len(read(county, item)) == 2)

    assert {one.text for one in read(county, item)} == {TEXT, "另一封信"}
    assert unattended(nodes[CITY]) == []


def test_a_letter_under_the_id_of_a_stream_of_the_city_is_passed_on_like_any_other(nodes: Nodes) -> None:
    village, city = nodes[OTHER_VILLAGE], nodes[CITY]
    own = next(row.stream for row in city.reader.read(0, 100) if row.via == OWN)
    publish(village, own, forged(village, own, TEXT))

    wait_until(lambda: desks(nodes, own) == [COUNTY])

    assert read(nodes[COUNTY], own) == [letter(VILLAGE)]


def test_what_cannot_be_passed_on_is_a_fault_of_its_leaf_and_the_next_letter_goes_on(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    village, city = nodes[OTHER_VILLAGE], nodes[CITY]
    with monkeypatch.context() as dishonest:  # as a superior that certified a key to which nothing can be sealed
        dishonest.setattr(city.denunciations, "_recipient", lambda code: Recipient(code, bytes(32)))
        lost = village.denunciations.file(letter(VILLAGE), uuid4())
        wait_until(lambda: unattended(city) != [])
    item = village.denunciations.file(letter(VILLAGE), uuid4())

    wait_until(lambda: desks(nodes, item) == [COUNTY])

    (fault,), (leaf,) = unattended(city), leaves(city, lost)
    assert fault.subject == f"{city.around.origin(leaf.log_id)}#{leaf.seq}"
    assert fault.detail == "OrganKeyInvalid"
    assert not city.failed.is_set()


def test_the_note_of_a_reading_tells_no_more_than_the_letter_itself(nodes: Nodes) -> None:
    county = nodes[COUNTY]
    item = county.denunciations.file(letter(VILLAGE), uuid4())
    wait_until(lambda: desks(nodes, item) == [COUNTY])
    reader = officer(county)

    county.denunciations.open(leaves(county, item)[0], reader)

    (filed,), note = sealed(county, item), sealed(county)[-1]
    assert note.body != filed.body
    assert len(note.body) == len(filed.body)
    assert len(note.part) == len(filed.part)
    assert decode(note.body).actor == decode(filed.body).actor
    assert reader.unit.encode() not in note.body
    assert str(reader.account).encode() not in note.body


@pytest.mark.parametrize(("typed_at", "about"), [(VILLAGE, VILLAGE), (VILLAGE, OTHER_VILLAGE), (CITY, VILLAGE)])
def test_a_decoy_looks_and_travels_like_a_letter_and_only_the_organ_finds_that_it_says_nothing(
    nodes: Nodes, typed_at: Division, about: Division
) -> None:
    wait_until(lambda: is_quiet(nodes))
    node, start = nodes[typed_at], heights(nodes)
    item = node.denunciations.file(letter(about), uuid4())
    wait_until(lambda: desks(nodes, item) != [] and is_quiet(nodes))
    one = {code: height - start[code] for code, height in heights(nodes).items()}
    rows = {code: traces(each) for code, each in nodes.items()}

    node.denunciations.send_nothing(about)

    wait_until(lambda: is_quiet(nodes))
    assert heights(nodes) == {code: start[code] + 2 * one[code] for code in nodes}
    real, decoy = [held for held in sealed(node) if held.leaf.log_id == 1][-2:]
    assert item_of(real.body) == item
    assert len(real.body) == len(decoy.body)
    assert len(real.part) == len(decoy.part)
    events = decode(real.body), decode(decoy.body)
    assert events[0].actor == events[1].actor
    assert [row[1:] for row in traces(node)[-1:]] == [row[1:] for row in rows[typed_at][-1:]]
    assert len(traces(node)) == len(rows[typed_at]) + 1
    for each in nodes.values():
        assert item_of(decoy.body) not in {waits.item for waits in each.denunciations.waiting()}


def heights(nodes: Nodes) -> dict[Division, int]:
    """How many sealed items each node holds."""
    return {code: len(sealed(node)) for code, node in nodes.items()}


def is_quiet(nodes: Nodes) -> bool:
    """Whether every sealed item has come wherever it goes, and every steward has looked at everything."""
    before = heights(nodes)
    held = {code: {one.body for one in sealed(node)} for code, node in nodes.items()}
    for code, node in nodes.items():
        (pos,) = node.reader.fetch("select pos from web.steward")[0]
        own = {one.body for one in sealed(node) if one.leaf.log_id == 1}
        above = node.around.topology().path_up(code)
        if pos < node.reader.head().pos or not all(own <= held[step] for step in above):
            return False
        for stream, division in node.reader.fetch("select stream, division from onward"):
            if not any(str(stream).encode() in body for body in held[Division(division)]):
                return False
    return heights(nodes) == before


def traces(node: Node) -> list[tuple[object, ...]]:
    """What lies in the node's tables of each own sealed item, but for what is random: size of it, and to whom."""
    query: LiteralString = (
        "select ledger.pos, octet_length(ledger.body), octet_length(command.digest), octet_length(command.result),"
        " command.events, onward.division from ledger left join command using (pos) left join onward using (stream)"
        " where topic = 'sealed.item.v0' and via = 0 order by ledger.pos"
    )
    return [tuple(row) for row in node.reader.fetch(query)]


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


def test_an_office_that_nobody_knows_is_refused_in_the_words_of_the_denouncer(town: Town) -> None:
    unknown = "419001000000.office"
    body = {"accused_unit": unknown, "text": TEXT}
    refused(town.village.client().post("/api/denunciations", json=body, headers=fresh_key()), 422, "office_unknown")
    browser = citizen(town.village)
    filled = form(browser.get("/denounce"), "/denounce") | {"accused_unit": unknown, "text": TEXT}
    told = browser.post("/denounce", filled)
    assert told.status_code == 422
    assert "没有找到您填写的被反映单位" in told.text
    assert "12388" in told.text
    assert "登记该节点" not in told.text


def test_an_organ_to_which_nothing_can_be_sealed_is_a_refusal_and_keeps_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(town.village.node.denunciations, "_recipient", lambda code: Recipient(code, bytes(32)))
    body = {"accused_unit": f"{VILLAGE}.office", "text": TEXT}
    before = sealed(town.village.node)
    answer = town.village.client().post("/api/denunciations", json=body, headers=fresh_key())
    refused(answer, 422, "organ_key_invalid")
    assert sealed(town.village.node) == before


def test_the_page_tells_it_too_and_keeps_what_was_typed(town: Town) -> None:
    browser = citizen(town.village)
    filled = form(browser.get("/denounce"), "/denounce") | {"accused_unit": f"{COUNTY}.office", "text": TEXT}
    told = browser.post("/denounce", filled)
    assert told.status_code == 422
    assert "12388" in told.text
    assert TEXT in told.text


def test_the_page_gives_the_number_to_quote_and_not_a_word_more(town: Town) -> None:
    browser = citizen(town.village)
    filled = form(browser.get("/denounce"), "/denounce") | {"accused_unit": f"{VILLAGE}.office", "text": TEXT}
    told = browser.post("/denounce", filled)
    item = re.search(r'密件编号 <span class="mono">([0-9a-f-]{36})<', told.text)
    assert item is not None
    assert len(sealed(town.village.node, UUID(item[1]))) == 1
    assert "报这个编号" in told.text
    assert TEXT not in told.text
    assert VILLAGE not in told.text.split("<main")[1]
    assert f"/{item[1]}" not in told.text


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
        ((digest,),) = conn.execute(
            "select digest from command where id = %s", (village.journal.of_visitor(key),)
        ).fetchall()
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
        path = "/sealed/{}/{}".format(*leaves(office.node, UUID(item))[0])
        assert TEXT in organ.post(path, form(organ.get("/sealed"), path)).text
        shown = client.get("/metrics").text

    requests = [line for line in said if line["event"] == "request"]
    assert {line["route"] for line in requests} <= {"public", "staff", "/login"}
    for line in requests:
        assert line["route"] == "/login" or "ms" not in line, "how long it took would tell which it was"
    for word in ("denounc", "denunc", "sealed"):
        assert word not in shown
        assert word not in str(said)


def test_what_a_denunciation_was_refused_for_shows_in_no_event(town: Town) -> None:
    client = town.village.client()
    nobody, empty = {"accused_unit": "419001000000.office", "text": TEXT}, {"accused_unit": "x"}
    with capture_logs() as said:
        for body in (nobody, empty):
            assert client.post("/api/denunciations", json=body, headers=fresh_key()).status_code == 422
    events = [(line["code"], line["route"]) for line in said if line["event"] == "refused"]
    assert events == [("rule", "public"), ("input_invalid", "public")]
    assert 'huiyin_refused_total{code="office_unknown"}' not in client.get("/metrics").text


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
