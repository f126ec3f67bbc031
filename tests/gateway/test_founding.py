"""A node is enrolled by exactly what its superior signed for it, and by nothing else."""

import base64
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from domain.divisions import Division, tier_of
from gateway.hosting import config, founding
from sync.proofs.note import encode64
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import CertificateRefused, Directory, Enrolment, enrolment, make_request
from sync.trust.enrolment import read_enrolment
from sync.trust.granting import enrol
from sync.trust.keys import load_keys
from tests.gateway.conftest import COUNTY, VILLAGE

FROM_US, TO_US = 1_000_000_000_000, 9_000_000_000_000_000


class Bureau(NamedTuple):
    """A county that signs, and a village that has asked it to."""

    folder: Path
    county: Directory
    request: str

    def signs(self, request: str) -> Enrolment:
        signer = load_keys(self.folder / "county" / founding.KEYS).log
        text = enrol(request, COUNTY, signer, self.county, FROM_US, TO_US)
        return enrolment(self.county.adding(text), text)

    @property
    def village(self) -> Path:
        return self.folder / "village"


def settings(division: Division, parent: Division | None) -> config.NodeConfig:
    identity = config.Identity(
        division=division, name="某地", tier=tier_of(division), trust_domain="test.example", parent=parent
    )
    return config.NodeConfig(node=identity)


@pytest.fixture
def bureau(tmp_path: Path) -> Bureau:
    founding.found_root(tmp_path / "county", settings(COUNTY, None), FROM_US)
    known = founding.enrolment(tmp_path / "county")
    county = Directory(known.root_fingerprint).adding_all(known.certificates)
    return Bureau(tmp_path, county, founding.found(tmp_path / "village", settings(VILLAGE, COUNTY)))


def test_what_the_superior_signed_is_installed_and_names_the_escrow(bureau: Bureau) -> None:
    data = msgspec.json.encode(bureau.signs(bureau.request))
    founding.install(bureau.village, read_enrolment(data))
    given = founding.enrolment(bureau.village)
    escrow = Directory(given.root_fingerprint).adding_all(given.certificates).escrow
    assert escrow is not None
    share = msgspec.json.decode((bureau.folder / "county" / "escrow-share-first.json").read_bytes())
    assert encode64(escrow.key) == share["key"]
    assert escrow.division == COUNTY


def test_an_enrolment_altered_in_any_byte_is_refused_by_name(bureau: Bureau) -> None:
    data = msgspec.json.encode(bureau.signs(bureau.request))
    for at in range(len(data)):
        with pytest.raises(CertificateRefused):
            founding.install(bureau.village, read_enrolment(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]))
    for other in (data + b"\n", b" " + data, data[1:], data[:-1], b""):
        with pytest.raises(CertificateRefused):
            read_enrolment(other)
    assert not (bureau.village / founding.ENROLMENT).exists()


def test_the_enrolment_of_another_node_or_of_other_keys_is_refused(bureau: Bureau) -> None:
    elsewhere = founding.found(bureau.folder / "other", settings(Division("410221100202"), COUNTY))
    again = founding.found(bureau.folder / "again", settings(VILLAGE, COUNTY))
    for request, reason in ((elsewhere, "another_node"), (again, "another_request")):
        with pytest.raises(CertificateRefused) as refusal:
            founding.install(bureau.village, bureau.signs(request))
        assert refusal.value.reason == reason


@pytest.mark.parametrize("key", [bytes(32), bytes([1, *bytes(31)]), bytes(31)])
def test_a_recipient_key_that_nothing_can_be_wrapped_to_is_refused_at_enrolment(bureau: Bureau, key: bytes) -> None:
    keys = load_keys(bureau.village / founding.KEYS)
    wish = founding.request_of(config.load(bureau.village), keys)
    spoiled = msgspec.structs.replace(
        wish.keys, recipient=base64.b64encode(key).decode(), recipient_id=recipient_key_id(key)
    )
    with pytest.raises(CertificateRefused) as refusal:
        bureau.signs(make_request(msgspec.structs.replace(wish, keys=spoiled), keys.log))
    assert refusal.value.reason == "keys"


def test_a_recipient_key_under_another_id_is_refused(bureau: Bureau) -> None:
    keys = load_keys(bureau.village / founding.KEYS)
    wish = founding.request_of(config.load(bureau.village), keys)
    spoiled = msgspec.structs.replace(wish.keys, recipient_id="0" * 32)
    with pytest.raises(CertificateRefused):
        make_request(msgspec.structs.replace(wish, keys=spoiled), keys.log)
