import itertools

import msgspec
import pytest

from domain.divisions import Division, Tier
from sync.proofs.merkle import EMPTY_ROOT
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, encode64, sign_note
from sync.sealed.sealing import recipient_key_id
from sync.trust import certificates
from sync.trust.certificates import (
    MAX_SKEW_US,
    Certificate,
    CertificateRefused,
    Directory,
    Keys,
    Request,
    fingerprint,
    make_request,
    make_root,
    read_certificate,
    read_request,
    verify_chain,
)
from sync.trust.granting import AlreadyEnrolled, enrol
from tests.sync.chance import Chance

ANY_RECIPIENT = bytes([9, *bytes(31)])  # the base point of RFC 7748
CITY = Division("410200000000")
COUNTY = Division("410221000000")
TOWNSHIP = Division("410221100000")
OTHER_COUNTY = Division("410222000000")
FROM_US, TO_US = 1_000_000_000_000, 9_000_000_000_000_000


class Applicant:
    def __init__(self, division: Division, tier: Tier, seed: int = 0, shard: int = 1) -> None:
        chance = Chance(int(division) + seed)
        self.division = division
        origin = f"huiyin.example/{division}/{shard}"
        self.signer = Ed25519Signer(origin, ED25519, chance(32))
        self.keys = Keys(
            log=self.signer.verifier.vkey,
            witness=Ed25519Signer(f"{origin}/witness", COSIGNATURE_V1, chance(32)).verifier.vkey,
            intake=Ed25519Signer(f"{origin}/intake", ED25519, chance(32)).verifier.vkey,
            recipient_id=recipient_key_id(ANY_RECIPIENT),
            recipient=encode64(ANY_RECIPIENT),
        )
        self.wish = Request(division=division, name=f"{division}节点", tier=tier, origin=origin, keys=self.keys)

    @property
    def request(self) -> str:
        return make_request(self.wish, self.signer)


@pytest.fixture
def city() -> Applicant:
    return Applicant(CITY, "city")


@pytest.fixture
def county() -> Applicant:
    return Applicant(COUNTY, "county")


@pytest.fixture
def township() -> Applicant:
    return Applicant(TOWNSHIP, "township")


@pytest.fixture
def root(city: Applicant) -> Directory:
    text = make_root(read_request(city.request), city.signer, FROM_US, TO_US)
    return Directory(fingerprint(text)).adding(text)


def signed(kind: str, content: msgspec.Struct, applicant: Applicant) -> str:
    text = f"huiyin-{kind}/v0\n{msgspec.json.encode(content).decode()}\n"
    return sign_note(text, applicant.signer).to_bytes().decode()


def below(directory: Directory, superior: Applicant, applicant: Applicant) -> Directory:
    text = enrol(applicant.request, superior.division, superior.signer, directory, FROM_US, TO_US)
    return directory.adding(text)


def refusal(directory: Directory, text: str) -> str:
    with pytest.raises(CertificateRefused) as caught:
        directory.adding(text)
    return caught.value.reason


def test_a_chain_from_the_pinned_root_says_who_stands_where(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(below(root, city, county), county, township)

    assert directory.topology.path_up(TOWNSHIP) == (TOWNSHIP, COUNTY, CITY)
    assert directory.signing(township.wish.origin, 1) == [township.signer.verifier]
    assert list(directory.witnesses_above(TOWNSHIP)) == [f"huiyin.example/{code}/1/witness" for code in (COUNTY, CITY)]


def test_a_chain_is_verified_in_whatever_order_it_comes(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(below(root, city, county), county, township)
    texts = directory.chain(TOWNSHIP)

    again = verify_chain(texts[::-1], root.root_fingerprint)

    assert again.chain(TOWNSHIP) == texts


def test_another_root_is_not_believed(root: Directory, city: Applicant) -> None:
    impostor = Applicant(CITY, "city", seed=1)
    text = make_root(read_request(impostor.request), impostor.signer, FROM_US, TO_US)

    assert refusal(root, text) == "root"


def test_a_certificate_without_its_superior_leads_nowhere(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(below(root, city, county), county, township)

    assert refusal(root, directory.chain(TOWNSHIP)[-1]) == "unknown_issuer"


def test_a_certificate_that_was_altered_or_that_another_signed_is_refused(
    root: Directory, city: Applicant, county: Applicant
) -> None:
    genuine = below(root, city, county).chain(COUNTY)[-1]
    impostor = Applicant(CITY, "city", seed=1)

    assert refusal(root, genuine.replace("410221000000节点", "410221000000假冒")) == "signature"
    assert refusal(root, signed("certificate", read_certificate(genuine), impostor)) == "signature"


def test_whoever_asks_must_hold_the_key(city: Applicant, county: Applicant) -> None:
    stolen = make_request(msgspec.structs.replace(county.wish, name="x"), city.signer)

    with pytest.raises(CertificateRefused) as caught:
        read_request(stolen)
    assert caught.value.reason == "signature"


def test_a_log_bears_the_code_of_its_division(county: Applicant) -> None:
    wish = msgspec.structs.replace(county.wish, division=OTHER_COUNTY)

    with pytest.raises(CertificateRefused) as caught:
        read_request(signed("request", wish, county))
    assert caught.value.reason == "origin"


def test_three_uses_need_three_keys(county: Applicant) -> None:
    keys = msgspec.structs.replace(county.keys, intake=county.keys.log)

    with pytest.raises(CertificateRefused) as caught:
        read_request(signed("request", msgspec.structs.replace(county.wish, keys=keys), county))
    assert caught.value.reason == "keys"


def test_asking_twice_gives_the_same_certificate(root: Directory, city: Applicant, county: Applicant) -> None:
    directory = below(root, city, county)

    again = enrol(county.request, CITY, city.signer, directory, FROM_US + 5, TO_US)

    assert again == directory.chain(COUNTY)[-1]


def test_other_keys_for_a_log_that_is_in_use_are_refused(root: Directory, city: Applicant, county: Applicant) -> None:
    directory = below(root, city, county)

    with pytest.raises(AlreadyEnrolled):
        enrol(Applicant(COUNTY, "county", seed=1).request, CITY, city.signer, directory, FROM_US, TO_US)


def test_a_node_that_lost_its_disk_gets_a_new_shard_and_the_next_serial(
    root: Directory, city: Applicant, county: Applicant
) -> None:
    directory = below(root, city, county)
    reborn = Applicant(COUNTY, "county", seed=1, shard=2)

    directory = below(directory, city, reborn)

    assert read_certificate(directory.chain(COUNTY)[-1]).serial == 2
    assert directory.signing(county.wish.origin, 1) == [county.signer.verifier]
    assert directory.signing(reborn.wish.origin, 1) == [reborn.signer.verifier]
    assert verify_chain(directory.texts(), root.root_fingerprint).topology.parents == {COUNTY: CITY}


def test_a_certificate_counts_in_its_time_only_clocks_differing_a_little(
    root: Directory, city: Applicant, county: Applicant
) -> None:
    directory = below(root, city, county)
    origin = county.wish.origin

    note = sign_note(Checkpoint(origin, 0, EMPTY_ROOT).text(), county.signer)
    directory.check_head(note, origin, 0, TO_US + MAX_SKEW_US)
    for moment, reason in ((TO_US + MAX_SKEW_US + 1, "expired"), (FROM_US - MAX_SKEW_US - 1, "not_yet_valid")):
        with pytest.raises(CertificateRefused) as caught:
            directory.check_head(note, origin, 0, moment)
        assert caught.value.reason == reason


def test_no_superior_can_take_a_division_from_another(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(root, city, county)
    placed, taken = below(directory, city, township), below(directory, county, township)

    assert refusal(placed, taken.chain(TOWNSHIP)[-1]) == "serial"
    assert taken.adding(placed.chain(TOWNSHIP)[-1]).texts() == placed.texts(), "what the root says, whoever came first"


@pytest.mark.parametrize("seed", range(4))
def test_of_two_certificates_with_one_number_the_same_one_holds_in_whatever_order_they_come(
    root: Directory, city: Applicant, county: Applicant, township: Applicant, seed: int
) -> None:
    directory = below(root, city, county)
    texts = [
        below(directory, county, Applicant(TOWNSHIP, "township", seed=10 * seed + at)).chain(TOWNSHIP)[-1]
        for at in range(3)
    ]
    village = Applicant(Division("410221100201"), "village")
    for order in itertools.permutations(texts):
        one_by_one = directory
        for text in order:
            one_by_one, _ = one_by_one.adding_what_holds([text])
        together, refused = directory.adding_what_holds(order)
        assert one_by_one.texts() == together.texts() == [*directory.texts(), min(texts, key=fingerprint)]
        assert {error.said_by for error in refused.values()} == {min(texts, key=fingerprint)}, "each names the other"
    first = Applicant(TOWNSHIP, "township", seed=10 * seed + texts.index(max(texts, key=fingerprint)))
    displaced = below(directory.adding(max(texts, key=fingerprint)), first, village)
    assert displaced.division(village.division)
    assert displaced.adding(min(texts, key=fingerprint)).division(village.division) is None, "what it signed falls, too"


def test_a_statement_that_bears_a_lower_number_than_those_known_is_taken_in_at_its_place(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(below(root, city, county), county, township)
    first = read_certificate(directory.chain(TOWNSHIP)[-1])
    second = signed("certificate", msgspec.structs.replace(first, serial=2, valid_to_us=TO_US + 1), county)
    third = signed("certificate", msgspec.structs.replace(first, serial=3, valid_to_us=TO_US + 2), county)
    assert directory.adding(third).adding(second).chain(TOWNSHIP) == directory.adding_all([second, third]).chain(
        TOWNSHIP
    )


def test_no_division_becomes_its_own_superior(root: Directory, city: Applicant, county: Applicant) -> None:
    directory = below(root, city, county)
    above_itself = msgspec.structs.replace(read_certificate(root.chain(CITY)[0]), parent=COUNTY, serial=2)

    assert refusal(directory, signed("certificate", above_itself, county)) == "parent"


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-2], lambda text: "", lambda text: "x\n\ny", lambda text: text * 2]
)
def test_a_text_that_is_no_certificate_is_refused_by_name(root: Directory, spoil: object) -> None:
    assert callable(spoil)
    assert refusal(root, spoil(root.chain(CITY)[0])) in ("malformed", "signature")


def test_only_the_root_places_a_division_outside_its_own_digits(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(below(root, city, county), county, township)
    zone = Applicant(Division("410371000000"), "county")
    assert below(directory, city, zone).topology.path_up(zone.division) == (zone.division, CITY)
    for squatter, code in ((township, OTHER_COUNTY), (county, zone.division), (township, "410221101000")):
        squatted = Applicant(Division(code), "township")
        with pytest.raises(CertificateRefused) as caught:
            below(directory, squatter, squatted)
        assert caught.value.reason == "area"


def test_the_root_places_a_division_of_other_digits_below_whom_it_asks_for_and_nobody_else_does(
    root: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = below(below(root, city, county), county, township)
    zone = Applicant(Division("410299000000"), "county")
    zone.wish = msgspec.structs.replace(zone.wish, parent=COUNTY)

    placed = below(directory, city, zone)

    assert placed.topology.path_up(zone.division) == (zone.division, COUNTY, CITY)
    assert verify_chain(placed.chain(zone.division), root.root_fingerprint).topology.parents[zone.division] == COUNTY
    assert below(placed, city, zone) is placed, "asked again, the same"
    for other, reason in ((county, "area"), (township, "parent")):
        with pytest.raises(CertificateRefused) as caught:
            below(directory, other, zone)
        assert caught.value.reason == reason


def test_what_a_stranger_squatted_does_not_stand_in_the_way_of_the_true_superior(
    root: Directory, city: Applicant, county: Applicant
) -> None:
    directory = below(root, city, county)
    true, squatted = Applicant(OTHER_COUNTY, "county"), Applicant(OTHER_COUNTY, "county", seed=1)
    forged = Certificate(
        **msgspec.structs.asdict(msgspec.structs.replace(squatted.wish, parent=COUNTY)),
        escrow=None,
        serial=1,
        valid_from_us=FROM_US,
        valid_to_us=TO_US,
    )
    assert refusal(directory, signed("certificate", forged, county)) == "area"
    assert below(directory, city, true).topology.path_up(OTHER_COUNTY) == (OTHER_COUNTY, CITY)


def test_nobody_below_the_root_certifies_without_end(
    root: Directory, city: Applicant, county: Applicant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "MAX_CHILDREN", 2)
    monkeypatch.setattr(certificates, "MAX_SERIAL", 2)
    directory = below(root, city, county)
    for number in (1, 2):
        directory = below(directory, county, Applicant(Division(f"41022110{number}000"), "township"))
    again = Applicant(Division("410221101000"), "township", seed=1, shard=2)
    directory = below(directory, county, again)
    for one_more in (Applicant(TOWNSHIP, "township"), Applicant(again.division, "township", seed=2, shard=3)):
        with pytest.raises(CertificateRefused) as caught:
            below(directory, county, one_more)
        assert caught.value.reason == "too_many"
