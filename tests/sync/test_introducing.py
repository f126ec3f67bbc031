"""Every node comes to know every other: certificates travel down from wherever they became known, and must hold."""

from collections.abc import Iterator

import msgspec
import pytest

from domain.divisions import Division
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import down_lane
from sync.exchange.downlink import sign_letter
from sync.exchange.introducing import INTRODUCED
from sync.exchange.starting import SET_ASIDE
from sync.exchange.wire import Down, Introduction, encode_items
from sync.proofs.note import sign_note
from sync.trust.certificates import Certificate, Directory, fingerprint, read_certificate
from tests.sync.hierarchy import (
    CITY,
    COUNTY,
    NEIGHBOUR,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    START_US,
    TOWNSHIP,
    VILLAGE,
    YEARS_US,
    Hierarchy,
    Node,
    hierarchy,
)
from tests.sync.test_trust import Applicant

ALL = (CITY, COUNTY, TOWNSHIP, OTHER_TOWNSHIP, VILLAGE, NEIGHBOUR, OTHER_VILLAGE)


@pytest.fixture
def nodes(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "introducing", *ALL) as built:
        yield built


def known(node: Node) -> Directory:
    return node.exchange.trust.directory


def test_a_village_knows_the_line_of_every_other_village_by_certificates_from_the_root_down(nodes: Hierarchy) -> None:
    nodes.settle()

    for node in nodes.nodes.values():
        assert {code for code in ALL if known(node).division(code)} == set(ALL), node.division
        assert node.faults() == {}
    line = known(nodes[VILLAGE]).topology.path_up(OTHER_VILLAGE)
    assert line == (OTHER_VILLAGE, OTHER_TOWNSHIP, COUNTY, CITY)


def test_each_certificate_travels_down_to_a_node_once(nodes: Hierarchy) -> None:
    nodes.settle()
    sent = nodes[TOWNSHIP].query("select items from down where child = %s", (VILLAGE,))
    told = [
        text
        for (items,) in sent
        for item in msgspec.msgpack.decode(items)
        if item["type"] == "introduction.v0"
        for text in item["certificates"]
    ]

    assert len(told) == len(set(told))
    assert sorted(known(nodes[VILLAGE]).texts()) == sorted({*told, *nodes[VILLAGE].certificates})


def test_a_node_that_was_killed_or_starts_again_still_knows_them(nodes: Hierarchy) -> None:
    nodes[COUNTY].store.dies_before_commit = True
    nodes.settle()
    before = nodes[COUNTY].query("select notification_id from tracking where application_name = %s", (INTRODUCED,))
    for code in (COUNTY, VILLAGE):
        nodes[code].crash()
        nodes[code].start()
    nodes.settle()

    assert known(nodes[VILLAGE]).division(OTHER_VILLAGE)
    after = nodes[COUNTY].query("select notification_id from tracking where application_name = %s", (INTRODUCED,))
    assert before == after == nodes[COUNTY].query("select max(num) from certificate")


def test_a_certificate_that_does_not_hold_is_named_and_keeps_no_other_out(nodes: Hierarchy) -> None:
    county, township = nodes[COUNTY], nodes[TOWNSHIP]
    good = known(nodes[COUNTY]).division(OTHER_TOWNSHIP)
    assert good is not None
    forged = good.text.replace(OTHER_TOWNSHIP, "410221109000")
    letter = sign_letter(county.station, TOWNSHIP, Down(1, 0, encode_items([Introduction([forged, good.text])])))
    county.channel.publish(down_lane(TOWNSHIP), [letter])

    assert township.exchange.pump_arrivals()

    assert known(township).division(OTHER_TOWNSHIP)
    assert not known(township).division("410221109000")
    assert township.faults() == {"certificate_refused": "down"}


def stored_by_an_earlier_program(node: Node, division: str, like: str) -> str:
    """In the node's database: a certificate like `like` of a division outside the node's digits, signed by the node."""
    model = read_certificate(like)
    origin = model.origin.replace(model.division, division)
    keys = msgspec.json.decode(msgspec.json.encode(model.keys).replace(model.origin.encode(), origin.encode()))
    said = msgspec.structs.replace(model, division=division, origin=origin, keys=keys, parent=node.division)
    said = msgspec.convert(msgspec.to_builtins(said), Certificate)
    text = f"huiyin-certificate/v0\n{msgspec.json.encode(said).decode()}\n"
    body = sign_note(text, node.signer).to_bytes().decode()
    with node.store.transaction() as tx:
        tx.keep_certificate(said.division, 1, body)
    return body


def test_a_stored_certificate_that_a_later_rule_refuses_is_set_aside_by_name_and_the_node_starts(
    nodes: Hierarchy,
) -> None:
    nodes.settle()
    county = nodes[COUNTY]
    refused = stored_by_an_earlier_program(county, "419001000000", nodes[TOWNSHIP].certificates[-1])
    with county.store.transaction() as tx:
        tx.keep_certificate(NEIGHBOUR, 7, "no certificate at all")

    for _ in range(2):
        county.crash()
        county.start()
    nodes.settle()

    assert {code for code in ALL if known(county).division(code)} == set(ALL)
    assert refused not in known(county).texts()
    assert county.query("select kind, subject, healed_us from fault order by subject") == [
        (SET_ASIDE, "419001000000", None),
        (SET_ASIDE, "certificate", None),
    ]
    assert nodes[TOWNSHIP].faults() == {}, "nobody is told of it"


def test_the_certificate_of_the_true_superior_takes_the_place_of_one_set_aside(nodes: Hierarchy) -> None:
    nodes.settle()
    township = nodes[TOWNSHIP]
    genuine = known(township).division(NEIGHBOUR)
    assert genuine is not None
    township.query("delete from certificate where division = %s returning 1", (NEIGHBOUR,))
    stored_by_an_earlier_program(township, NEIGHBOUR, nodes[VILLAGE].certificates[-1])
    township.crash()
    township.start()
    assert known(township).division(NEIGHBOUR) is None
    assert township.faults() == {SET_ASIDE: NEIGHBOUR}

    with nodes[COUNTY].store.transaction() as tx:
        tx.enqueue(TOWNSHIP, [Introduction([genuine.text])], nodes.clock.now_us())
    nodes.settle()
    township.crash()
    township.start()

    assert known(township).division(NEIGHBOUR) == genuine
    assert township.faults() == {}


def test_a_zone_of_other_digits_placed_by_the_root_is_known_everywhere_and_served_by_its_superior(
    nodes: Hierarchy,
) -> None:
    zone = Applicant(Division("410299000000"), "county")
    zone.wish = msgspec.structs.replace(zone.wish, parent=COUNTY)
    city = nodes[CITY]

    given = city.exchange.admit(zone.request, START_US, START_US + YEARS_US, city.recording(zone.division))
    nodes.settle()

    assert read_certificate(given.certificates[-1]).parent == COUNTY
    assert zone.division in nodes[COUNTY].exchange.children
    assert all(known(node).division(zone.division) for node in nodes.nodes.values())
    assert all(node.faults() == {} for node in nodes.nodes.values())
    told = nodes[COUNTY].query("select items from down where child = %s", (zone.division,))
    items = [item for (packed,) in told for item in msgspec.msgpack.decode(packed)]
    assert {text for item in items for text in item["certificates"]} >= set(nodes[VILLAGE].certificates)


def test_two_certificates_with_one_number_are_a_fault_that_keeps_both_of_them(nodes: Hierarchy) -> None:
    county, township = nodes[COUNTY], nodes[TOWNSHIP]
    first = known(county).division(OTHER_TOWNSHIP)
    assert first is not None
    twins = [twin_of(county, first.certificate, later_us) for later_us in range(1, 20)]
    smaller = min(twins, key=fingerprint)
    larger = max(twins, key=fingerprint)
    for number, (text, kinds) in enumerate(
        [(first.text, set()), (smaller, {"certified_twice"}), (larger, {"certified_twice", "certificate_refused"})], 1
    ):
        letter = sign_letter(county.station, TOWNSHIP, Down(number, 0, encode_items([Introduction([text])])))
        county.channel.publish(down_lane(TOWNSHIP), [letter])
        assert township.exchange.pump_arrivals()
        assert {kind for kind in township.faults() if kind.startswith("certifi")} == kinds
    assert [text for text in known(township).texts() if f'"{OTHER_TOWNSHIP}"' in text] == [smaller]
    kept = dict(township.query("select kind, evidence from fault"))
    assert kept["certified_twice"].decode() == f"{smaller}\n{first.text}"
    assert kept["certificate_refused"].decode() == f"{larger}\n{smaller}"


def twin_of(issuer: Node, certificate: Certificate, later_us: int) -> str:
    said = msgspec.structs.replace(certificate, valid_to_us=certificate.valid_to_us + later_us)
    return (
        sign_note(f"huiyin-certificate/v0\n{msgspec.json.encode(said).decode()}\n", issuer.signer).to_bytes().decode()
    )
