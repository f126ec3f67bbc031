"""What the directory makes of keys that follow others and of keys that are taken back, whatever it learned first."""

import itertools

import msgspec
import pytest

from domain.divisions import Division
from sync.proofs.note import Checkpoint, encode64, sign_note
from sync.sealed.sealing import recipient_key_id
from sync.trust.certificates import OVERLAP_US, CertificateRefused, Directory, verify_chain
from sync.trust.granting import AlreadyEnrolled, enrol, revoke
from sync.trust.statements import (
    fingerprint,
    make_next_root,
    make_request,
    make_root,
    read_certificate,
    read_request,
    read_statement,
)
from tests.sync.test_trust import CITY, COUNTY, FROM_US, TO_US, TOWNSHIP, Applicant, below, refusal, signed

OTHER_TOWNSHIP = Division("410221101000")
ROOT = bytes(32)
LATER_US = FROM_US + 400 * 86_400 * 1_000_000


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
def known(city: Applicant, county: Applicant, township: Applicant) -> Directory:
    """The city, the county and the township below it."""
    text = make_root(read_request(city.request), city.signer, FROM_US, TO_US)
    return below(below(Directory(fingerprint(text)).adding(text), city, county), county, township)


def new_keys_of(applicant: Applicant, seed: int = 1) -> Applicant:
    after = Applicant(applicant.division, applicant.wish.tier, seed)
    after.keys = msgspec.structs.replace(after.keys, recipient=applicant.keys.recipient)
    return after


def rotation(before: Applicant, after: Applicant, since_size: int) -> str:
    return make_request(msgspec.structs.replace(after.wish, since_size=since_size), after.signer, before.signer)


def rotated(directory: Directory, issuer: Applicant, before: Applicant, after: Applicant, size: int) -> Directory:
    wish = rotation(before, after, size)
    return directory.adding(enrol(wish, issuer.division, issuer.signer, directory, LATER_US, TO_US))


def taken_back(directory: Directory, issuer: Applicant, whose: Applicant, size: int, *standing: str) -> Directory:
    """The directory once `issuer` has taken the keys back at this size."""
    origin = whose.wish.origin
    text = revoke(whose.division, origin, size, ROOT, "stolen", None, standing, issuer.signer, directory, LATER_US)
    return directory.adding(text)


def head_refusal(directory: Directory, applicant: Applicant, size: int) -> str | None:
    """Why a head of this size by this applicant's log key is not believed, if it is not."""
    note = sign_note(Checkpoint(applicant.wish.origin, size, ROOT).text(), applicant.signer)
    try:
        directory.check_head(note, applicant.wish.origin, size, LATER_US)
    except CertificateRefused as error:
        return error.reason if error.said_by in directory.texts() else "without a word of whoever says so"
    return None


def test_a_key_that_was_followed_by_another_is_good_up_to_there_and_not_beyond(
    known: Directory, county: Applicant, township: Applicant
) -> None:
    after = new_keys_of(township)
    directory = rotated(known, county, township, after, 50)
    assert head_refusal(directory, township, 50) is None
    assert head_refusal(directory, township, 51) == "key_retired"
    assert head_refusal(directory, after, 51) is None


def test_both_lines_during_the_overlap_are_believed_by_who_knows_of_it_and_by_who_does_not(
    known: Directory, county: Applicant, township: Applicant
) -> None:
    after = new_keys_of(township)
    origin = township.wish.origin
    text = Checkpoint(origin, 60, ROOT).text()
    note = sign_note(text, township.signer).with_lines(sign_note(text, after.signer).signatures)
    for directory in (known, rotated(known, county, township, after, 50)):
        directory.check_head(note, origin, 60, LATER_US)


def test_nobody_rotates_keys_that_those_in_force_do_not_vouch_for(
    known: Directory, county: Applicant, township: Applicant
) -> None:
    after = new_keys_of(township)
    with pytest.raises(AlreadyEnrolled):
        enrol(after.request, COUNTY, county.signer, known, LATER_US, TO_US)
    half = msgspec.structs.replace(after.keys, intake=township.keys.intake)
    kept = make_request(msgspec.structs.replace(after.wish, keys=half), after.signer, township.signer)
    with pytest.raises(AlreadyEnrolled):
        enrol(kept, COUNTY, county.signer, known, LATER_US, TO_US)
    directory = rotated(known, county, township, after, 50)
    third = new_keys_of(township, 2)
    with pytest.raises(CertificateRefused) as caught:
        enrol(rotation(after, third, 49), COUNTY, county.signer, directory, LATER_US, TO_US)
    assert caught.value.reason == "since"


def test_letters_under_the_keys_before_are_believed_for_a_month(
    known: Directory, county: Applicant, township: Applicant
) -> None:
    after = new_keys_of(township)
    directory = rotated(known, county, township, after, 50)
    both = [after.signer.verifier, township.signer.verifier]
    assert directory.letter_keys(TOWNSHIP, LATER_US + OVERLAP_US) == both
    assert directory.letter_keys(TOWNSHIP, LATER_US + OVERLAP_US + 1) == both[:1]


def test_the_root_s_next_keys_are_followed_from_the_pin(known: Directory, city: Applicant, county: Applicant) -> None:
    after, root = new_keys_of(city), read_certificate(known.chain(CITY)[0])
    wish = msgspec.structs.replace(after.wish, since_size=9)
    text = make_next_root(wish, after.signer, city.signer, root, LATER_US, TO_US)
    directory = known.adding(text)
    other = Applicant(Division("410222000000"), "county")
    grown = directory.adding(enrol(other.request, CITY, after.signer, directory, LATER_US, TO_US))
    assert verify_chain(grown.texts()[::-1], known.root_fingerprint).division(other.division)
    assert head_refusal(directory, city, 10) == "key_retired"
    for forged in (
        make_next_root(wish, after.signer, county.signer, root, LATER_US, TO_US),
        make_next_root(wish, city.signer, city.signer, root, LATER_US, TO_US),
    ):
        assert refusal(known, forged) in ("root", "signature")


def test_an_auditor_who_pins_the_later_root_follows_from_there(known: Directory, city: Applicant) -> None:
    after, root = new_keys_of(city), read_certificate(known.chain(CITY)[0])
    text = make_next_root(after.wish, after.signer, city.signer, root, LATER_US, TO_US)
    assert Directory(fingerprint(text)).adding(text).division(CITY)
    assert refusal(Directory(fingerprint(text)), known.chain(CITY)[0]) == "root"


def test_what_stolen_keys_signed_beyond_the_last_good_size_counts_no_more_and_what_lay_before_stays(
    known: Directory, county: Applicant, township: Applicant
) -> None:
    directory = taken_back(known, county, township, 40)
    assert head_refusal(directory, township, 40) is None
    assert head_refusal(directory, township, 41) == "key_revoked"
    assert directory.letter_keys(TOWNSHIP, LATER_US) == []
    assert directory.witnesses(TOWNSHIP) == []


def test_new_keys_after_a_theft_are_all_new_and_go_on_from_the_last_good_size(
    known: Directory, county: Applicant, township: Applicant
) -> None:
    directory = taken_back(known, county, township, 40)
    for again in (township.request, rotation(township, new_keys_of(township), 70)):
        with pytest.raises(CertificateRefused) as caught:  # the recipient key is that of before in both
            enrol(again, COUNTY, county.signer, directory, LATER_US, TO_US)
        assert caught.value.reason == "keys"
    after = fresh(township)
    directory = directory.adding(enrol(after.request, COUNTY, county.signer, directory, LATER_US, TO_US))
    assert read_certificate(directory.chain(TOWNSHIP)[-1]).since_size == 40
    assert directory.restarts_at(township.wish.origin) == 40
    assert head_refusal(directory, after, 41) is None
    assert head_refusal(directory, township, 41) == "key_revoked"
    assert directory.letter_keys(TOWNSHIP, LATER_US) == [after.signer.verifier]


def fresh(applicant: Applicant) -> Applicant:
    """All four keys anew."""
    after = Applicant(applicant.division, applicant.wish.tier, seed=7)
    raw = bytes([5, *bytes(31)])
    keys = msgspec.structs.replace(after.keys, recipient=encode64(raw), recipient_id=recipient_key_id(raw))
    after.keys, after.wish = keys, msgspec.structs.replace(after.wish, keys=keys)
    return after


def test_of_what_a_stolen_superior_signed_only_what_stood_before_the_theft_holds_whatever_was_learned_first(
    known: Directory, city: Applicant, county: Applicant
) -> None:
    forged = Applicant(OTHER_TOWNSHIP, "township")
    by_thief = enrol(forged.request, COUNTY, county.signer, known, LATER_US, TO_US)
    before = taken_back(known, city, county, 30, known.chain(TOWNSHIP)[-1])
    assert len(before.texts()) == 4
    texts = {*known.texts(), *before.texts(), by_thief}
    for order in itertools.permutations(sorted(texts)):
        directory, _ = Directory(known.root_fingerprint).adding_what_holds(order)
        assert set(directory.texts()) == set(before.texts())
        one_by_one = Directory(known.root_fingerprint)
        for _ in range(len(order)):
            for text in order:
                one_by_one, _ = one_by_one.adding_what_holds([text])
        assert set(one_by_one.texts()) == set(before.texts())
    assert refusal(before, by_thief) == "issuer_revoked"


def test_a_thief_takes_back_nobody_s_keys(known: Directory, city: Applicant, county: Applicant) -> None:
    township = Applicant(TOWNSHIP, "township")
    by_thief = revoke(TOWNSHIP, township.wish.origin, 1, ROOT, "stolen", None, (), county.signer, known, LATER_US)
    stands = known.chain(TOWNSHIP)[-1]
    assert known.adding(by_thief).revocation(TOWNSHIP), "so it seems at first"
    directory = taken_back(known.adding(by_thief), city, county, 30, stands)
    assert directory.revocation(TOWNSHIP) is None
    assert head_refusal(directory, township, 2) is None


def test_only_a_superior_takes_keys_back(known: Directory, city: Applicant, township: Applicant) -> None:
    for signer, whose in ((township, COUNTY), (township, TOWNSHIP), (city, CITY)):
        origin = f"huiyin.example/{whose}/1"
        with pytest.raises(CertificateRefused):
            revoke(whose, origin, 1, ROOT, "stolen", None, (), signer.signer, known, LATER_US)


def test_a_witness_s_key_that_another_followed_cosigns_nothing_new_after_a_month(
    known: Directory, city: Applicant, county: Applicant
) -> None:
    before = known.witnesses(COUNTY)
    directory = rotated(known, city, county, new_keys_of(county), 50)
    both = directory.witnesses(COUNTY)
    assert (both[:1], len(both)) == (before, 2)
    for moment_us, keys in ((LATER_US + OVERLAP_US, both), (LATER_US + OVERLAP_US + 1, both[1:]), (None, both)):
        told = directory.witnesses_above(TOWNSHIP, moment_us).values()
        assert [found for division, found in told if division == COUNTY] == [keys]
    until = directory.cosigners_above(TOWNSHIP)
    assert [until[key] for key in both] == [LATER_US + OVERLAP_US, None]
    assert set(until) == {*both, *directory.witnesses(CITY)}


def test_a_stranger_s_revocation_makes_nobody_weigh_anything_anew(
    known: Directory, city: Applicant, county: Applicant, township: Applicant, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Applicant(OTHER_TOWNSHIP, "township")
    moved = msgspec.structs.replace(read_certificate(known.chain(TOWNSHIP)[-1]), parent=CITY, serial=2)
    said = revoke(TOWNSHIP, township.wish.origin, 1, ROOT, "stolen", None, (), county.signer, known, LATER_US)
    mine = read_statement(said)
    junk = [
        signed("revocation", mine, stranger),
        signed("revocation", mine, township),
        signed("revocation", msgspec.structs.replace(mine, division=COUNTY, origin=county.wish.origin), township),
        signed("certificate", moved, township),
        signed("certificate", msgspec.structs.replace(moved, division=CITY, parent=None, serial=1), stranger),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(Directory, "_anew", None)
        for text in junk:
            assert refusal(known, text) in ("signature", "root")
    assert known.adding(said).revocation(TOWNSHIP)


def test_a_superior_has_as_many_statements_about_one_division_as_certificates_may_be(
    known: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    text = revoke(TOWNSHIP, township.wish.origin, 1, ROOT, "stolen", None, (), county.signer, known, LATER_US)
    last = msgspec.structs.replace(read_statement(text), serial=100)
    assert known.adding(signed("revocation", last, county)).revocation(TOWNSHIP)
    over = msgspec.structs.replace(last, serial=101)
    assert refusal(known, signed("revocation", over, county)) == "too_many"
    assert known.adding(signed("revocation", over, city)).revocation(TOWNSHIP), "the root's word is not counted"


def test_a_superior_s_key_that_another_followed_certifies_nothing_that_is_dated_after_a_month(
    known: Directory, city: Applicant, county: Applicant
) -> None:
    directory = rotated(known, city, county, new_keys_of(county), 50)
    other = Applicant(OTHER_TOWNSHIP, "township")
    certificate = read_certificate(enrol(other.request, COUNTY, county.signer, known, FROM_US, TO_US))
    for at_us, is_good in ((LATER_US + OVERLAP_US, True), (LATER_US + OVERLAP_US + 1, False)):
        text = signed("certificate", msgspec.structs.replace(certificate, valid_from_us=at_us), county)
        if is_good:
            assert directory.adding(text).division(OTHER_TOWNSHIP)
        else:
            assert refusal(directory, text) == "issuer_retired"


def test_what_a_retired_key_of_a_superior_dates_back_is_no_news_and_takes_nobody_s_number(
    known: Directory, city: Applicant, county: Applicant, township: Applicant
) -> None:
    directory = rotated(known, city, county, new_keys_of(county), 50)
    stolen = new_keys_of(township, 5)
    was = read_certificate(known.chain(TOWNSHIP)[-1])
    for serial in (1, 2):
        text = signed("certificate", msgspec.structs.replace(was, keys=stolen.keys, serial=serial), county)
        grown, refused = directory.adding_what_holds([text], LATER_US + OVERLAP_US + 1)
        assert (grown, refused[text].reason) == (directory, "issuer_retired"), serial
    twin = signed("certificate", msgspec.structs.replace(was, keys=stolen.keys), county)
    assert refusal(directory, twin) == "issuer_retired", "nor from those who are trusted to tell what was before"
    everything, _ = Directory(known.root_fingerprint).adding_what_holds(directory.texts(), LATER_US + 2 * OVERLAP_US)
    assert everything.texts() == directory.texts(), "whoever was away for long learns all of it at once"
