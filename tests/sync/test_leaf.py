"""What a node reads in another's leaf: whom the author may speak for, and whom it stands above."""

import pytest

from domain import events
from domain.divisions import Division
from sync.exchange.leaf import UNREADABLE, Leaf, read_leaf
from sync.trust.certificates import Directory, fingerprint, make_root, read_request
from tests.domain.examples import examples
from tests.sync.test_trust import CITY, COUNTY, FROM_US, TO_US, TOWNSHIP, Applicant, below


@pytest.fixture
def directory() -> Directory:
    city, county, township = Applicant(CITY, "city"), Applicant(COUNTY, "county"), Applicant(TOWNSHIP, "township")
    text = make_root(read_request(city.request), city.signer, FROM_US, TO_US)
    return below(below(Directory(fingerprint(text)).adding(text), city, county), county, township)


def leaf(directory: Directory, by: Division, shape: type[events.Event], **fields: object) -> Leaf:
    example = next(event for event in examples() if type(event) is shape)
    unit = f"{by}.office"
    named = {name: getattr(example, name) for name in example.__struct_fields__}
    actor = events.Actor(account=example.actor.account, role="leader", unit=unit)
    event = shape(**(named | {"node": by, "actor": actor} | fields))
    return read_leaf(events.encode(event), f"huiyin.example/{by}/1", directory)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "holder", "lawful"),
    [
        (CITY, COUNTY, True),
        (CITY, TOWNSHIP, True),
        (COUNTY, TOWNSHIP, True),
        (TOWNSHIP, COUNTY, False),
        (COUNTY, CITY, False),
        (TOWNSHIP, CITY, False),
        (COUNTY, COUNTY, False),
    ],
)
def test_only_a_superior_takes_over_and_nobody_stands_above_the_root(
    directory: Directory, by: Division, holder: Division, lawful: bool
) -> None:
    last_log = f"huiyin.example/{holder}/1"
    read = leaf(directory, by, events.TakenOver, last_log=last_log, unit=f"{by}.office")
    assert (read.topic != UNREADABLE, read.fault is None) == (lawful, lawful)


@pytest.mark.parametrize(
    ("by", "ordered", "lawful"),
    [(COUNTY, TOWNSHIP, True), (TOWNSHIP, TOWNSHIP, True), (TOWNSHIP, COUNTY, False), (COUNTY, CITY, False)],
)
def test_an_order_goes_down_or_to_another_unit_of_the_same_node(
    directory: Directory, by: Division, ordered: Division, lawful: bool
) -> None:
    read = leaf(directory, by, events.OrderIssued, unit=f"{ordered}.water")
    assert (read.fault is None) == lawful


@pytest.mark.parametrize(("by", "lawful"), [(COUNTY, True), (TOWNSHIP, False)])
def test_a_newer_event_speaks_for_its_own_author_only(directory: Directory, by: Division, lawful: bool) -> None:
    example = next(examples())
    body = events.encode(example).replace(events.tag_of(example).encode(), b"leg.imagined.v7")
    body = body.replace(b'"node":"%b"' % example.node.encode(), b'"node":"%b"' % COUNTY.encode())
    read = read_leaf(body, f"huiyin.example/{by}/1", directory)
    assert (read.topic, read.fault is None) == (("leg.imagined.v7", True) if lawful else (UNREADABLE, False))
