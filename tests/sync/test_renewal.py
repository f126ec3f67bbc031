"""A certificate that runs out is followed by the next one, and a recipient key by another; nothing stands still."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.hosting.postgres_server import PostgresServer
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import RENEWAL_US, CertificateRefused, read_certificate
from sync.trust.granting import AlreadyEnrolled
from tests.sync.hierarchy import CITY, COUNTY, NEIGHBOUR, TOWNSHIP, VILLAGE, Hierarchy, Node, hierarchy

DAY_S = 86_400
LIFE_US = 200 * DAY_S * 1_000_000


def short_lived(postgres: PostgresServer, *divisions: str) -> Hierarchy:
    tree = hierarchy(postgres, "renewal", CITY, COUNTY, TOWNSHIP, VILLAGE, NEIGHBOUR)
    assert isinstance(tree, Hierarchy)
    for node in tree.nodes.values():
        node.valid_us = LIFE_US if node.division in divisions else node.valid_us
    return tree


def renew(node: Node) -> None:
    """At the superior, back at the node, and start it anew."""
    assert node.parent is not None
    node.be_certified(node.parent)
    node.crash()
    node.start()


def serial(at: Node, of: Node) -> int:
    known = at.exchange.trust.directory.division(of.division)
    assert known is not None
    return known.certificate.serial


def test_a_node_whose_certificate_runs_out_soon_is_renewed_and_goes_on(postgres: PostgresServer) -> None:
    with short_lived(postgres, TOWNSHIP) as tree:
        township = tree[TOWNSHIP]
        tree.settle()
        assert not asks_again(township), "there is time: the same certificate again"
        tree.clock.pass_s(120 * DAY_S)
        renew(township)
        tree.settle()
        assert {serial(node, township) for node in tree.nodes.values()} == {2}, "everybody is told"
        assert not asks_again(township)
        tree.clock.pass_s(100 * DAY_S)  # beyond the end of the first
        for division in (TOWNSHIP, VILLAGE):
            tree[division].chat(2)
        tree.heal(tree.all_secured)
        assert {node.division: node.faults() for node in tree.nodes.values() if node.faults()} == {}


def asks_again(node: Node) -> bool:
    """Whether the same request makes another certificate."""
    assert node.parent is not None
    before = serial(node.parent, node)
    node.be_certified(node.parent)
    return serial(node.parent, node) != before


def test_a_node_whose_certificate_has_run_out_goes_on_where_it_stood_once_it_is_renewed(
    postgres: PostgresServer,
) -> None:
    with short_lived(postgres, VILLAGE) as tree:
        village = tree[VILLAGE]
        tree.settle()
        tree.clock.pass_s(201 * DAY_S)
        village.chat(2)
        tree.settle()
        assert not tree.all_secured()
        assert tree[TOWNSHIP].faults() == {"expired": village.origin}
        renew(village)
        tree.heal(tree.all_secured, waits=600)
        assert tree[TOWNSHIP].faults() == village.faults() == {}


def test_another_recipient_key_is_everybodys_from_then_on_and_the_old_one_does_not_come_back(
    postgres: PostgresServer,
) -> None:
    with short_lived(postgres) as tree:
        village = tree[VILLAGE]
        old = village.request
        village.recipient = X25519PrivateKey.from_private_bytes(village.chance(32)).public_key().public_bytes_raw()
        renew(village)
        tree.settle()
        for node in tree.nodes.values():
            known = node.exchange.trust.directory.division(VILLAGE)
            assert known is not None
            assert known.certificate.keys.recipient_id == recipient_key_id(village.recipient)
            assert base64.b64decode(known.certificate.keys.recipient) == village.recipient
        village.chat(1)
        tree.heal(tree.all_secured)
        with pytest.raises(CertificateRefused) as refusal:
            again(tree[TOWNSHIP], old)
        assert refusal.value.reason == "keys"
        assert read_certificate(village.certificates[-1]).serial == 2


def test_other_signing_keys_are_no_renewal(postgres: PostgresServer) -> None:
    with short_lived(postgres, VILLAGE) as tree:
        village, neighbour = tree[VILLAGE], tree[NEIGHBOUR]
        tree.clock.pass_s((LIFE_US - RENEWAL_US) // 1_000_000 + 1)
        village.intake = neighbour.intake
        with pytest.raises(AlreadyEnrolled):
            again(tree[TOWNSHIP], village.request)


def again(issuer: Node, request: str) -> None:
    now_us = issuer.clock.at_us
    issuer.exchange.admit(request, now_us, now_us + LIFE_US, issuer.recording(VILLAGE))
