"""Opening the escrow takes two persons, for one request: whatever else is brought is refused for the right reason."""

from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.divisions import Division
from domain.events import CaseId
from sync.proofs.note import parse_note, verify
from sync.sealed.sealing import recipient_key_id
from sync.trust.escrow import (
    EscrowShare,
    PassphraseWrong,
    join_shares,
    lock_share,
    new_escrow,
    read_share,
    write_share,
)
from sync.trust.escrow_request import (
    MAX_AGE_US,
    MAX_SKEW_US,
    Approval,
    EscrowRefused,
    EscrowRequest,
    agreed,
    approve,
    joined,
    officer,
    read_request,
    require_fresh,
)
from sync.trust.keys import KeyFileExists, KeyFileMalformed
from tests.sync.chance import Chance

FIRST, SECOND = new_escrow(Chance(1))
OTHERS = new_escrow(Chance(2))
OFFICERS = [officer(share).verifier for share in (FIRST, SECOND)]
ONE_TIME = X25519PrivateKey.from_private_bytes(b"o" * 32)
NOW_US = 1_795_406_400_000_000
REQUEST = EscrowRequest(
    order=UUID(int=7),
    case=CaseId(UUID(int=8)),
    subjects=("41022110020100000000000000000001",),
    receiver=Division("410221000000"),
    ground="holder_gone",
    requested_by=UUID(int=9),
    role="leader",
    made_us=NOW_US,
    key=recipient_key_id(FIRST.key),
    reply_to=ONE_TIME.public_key().public_bytes_raw(),
)
TEXT = REQUEST.text()


def opened(text: str, *approvals: Approval) -> X25519PrivateKey:
    agreed(text, approvals, OFFICERS)
    return joined(text, approvals, OFFICERS, ONE_TIME)


def refused(reason: str, text: str = TEXT, *approvals: Approval) -> None:
    with pytest.raises(EscrowRefused) as refusal:
        opened(text, *approvals)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("shares", [(FIRST, SECOND), (SECOND, FIRST)])
def test_two_officers_open_it_for_one_request_and_both_stand_on_it(shares: tuple[EscrowShare, EscrowShare]) -> None:
    approvals = [approve(TEXT, share) for share in shares]
    note = parse_note(agreed(TEXT, approvals, OFFICERS).encode())
    assert {signed.verifier for signed in verify(note, OFFICERS)} == set(OFFICERS)
    assert read_request(note.to_bytes().decode()) == read_request(TEXT) == REQUEST
    private = joined(TEXT, approvals, OFFICERS, ONE_TIME)
    assert private.private_bytes_raw() == join_shares(FIRST, SECOND).private_bytes_raw()


def test_one_officer_alone_or_the_same_one_twice_opens_nothing() -> None:
    one = approve(TEXT, FIRST)
    refused("one_person", TEXT, one)
    refused("one_person", TEXT, one, one)
    refused("one_person", TEXT, one, approve(TEXT, FIRST))
    refused("one_person", TEXT)


def test_a_share_of_another_escrow_is_not_taken_by_its_holder_nor_from_a_stranger() -> None:
    with pytest.raises(EscrowRefused) as refusal:
        approve(TEXT, OTHERS[0])
    assert refusal.value.reason == "share"
    foreign = approve(msgspec.structs.replace(REQUEST, key=recipient_key_id(OTHERS[0].key)).text(), OTHERS[0])
    refused("another_request", TEXT, approve(TEXT, FIRST), foreign)
    signed = msgspec.structs.replace(
        foreign, request=foreign.request.replace(foreign.request.split("\n\n")[0], TEXT[:-1])
    )
    refused("signature", TEXT, approve(TEXT, FIRST), signed)


def test_what_was_agreed_to_for_one_request_opens_no_other() -> None:
    later = msgspec.structs.replace(REQUEST, order=UUID(int=70)).text()
    replayed = [approve(TEXT, FIRST), approve(TEXT, SECOND)]
    refused("another_request", later, *replayed)
    # with the signatures of the new request, and the shares let go of for the old one
    grafted = [
        msgspec.structs.replace(old, request=approve(later, share).request)
        for old, share in zip(replayed, (FIRST, SECOND), strict=True)
    ]
    refused("share", later, *grafted)


def test_shares_that_were_swapped_altered_or_sealed_to_another_key_are_refused() -> None:
    one, other = approve(TEXT, FIRST), approve(TEXT, SECOND)
    for share in (other.share, one.share[:-1], bytes([one.share[0] ^ 1]) + one.share[1:], b""):
        refused("share", TEXT, msgspec.structs.replace(one, share=share), other)
    with pytest.raises(EscrowRefused) as refusal:
        joined(TEXT, [one, other], OFFICERS, X25519PrivateKey.from_private_bytes(b"p" * 32))
    assert refusal.value.reason == "share"


def test_an_officer_who_lets_go_of_something_else_is_found_out() -> None:
    liar = msgspec.structs.replace(SECOND, share=OTHERS[1].share)
    honest, lie = approve(TEXT, SECOND), approve(TEXT, liar)
    refused("share", TEXT, approve(TEXT, FIRST), msgspec.structs.replace(lie, request=honest.request))


@pytest.mark.parametrize("at", range(0, len(TEXT), 7))
def test_an_altered_request_is_no_request_or_another_one(at: int) -> None:
    altered = TEXT[:at] + chr(ord(TEXT[at]) ^ 1) + TEXT[at + 1 :]
    try:
        read_request(altered)
    except EscrowRefused as refusal:
        assert refusal.reason == "malformed"  # noqa: PT017
    refused("another_request", altered, approve(TEXT, FIRST), approve(TEXT, SECOND))


@pytest.mark.parametrize("text", ["", "huiyin-escrow-request/v0\n", TEXT + "x", TEXT[:-1], "\ud800\n{}\n", "a\n[" * 9])
def test_what_is_no_request_is_named(text: str) -> None:
    with pytest.raises(EscrowRefused) as refusal:
        read_request(text)
    assert refusal.value.reason == "malformed"


def test_a_request_is_good_for_seven_days() -> None:
    require_fresh(REQUEST, NOW_US + MAX_AGE_US)
    require_fresh(REQUEST, NOW_US - MAX_SKEW_US)
    for now_us in (NOW_US + MAX_AGE_US + 1, NOW_US - MAX_SKEW_US - 1):
        with pytest.raises(EscrowRefused) as refusal:
            require_fresh(REQUEST, now_us)
        assert refusal.value.reason == "stale"


def test_an_officers_public_key_tells_nothing_of_the_share_and_differs_by_holder() -> None:
    assert len({one.vkey for one in OFFICERS}) == 2
    assert officer(msgspec.structs.replace(FIRST, holder="second")).verifier.public_key != OFFICERS[0].public_key
    assert FIRST.share not in officer(FIRST).skey.encode()


def test_a_share_under_a_passphrase_opens_with_that_alone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lock_share(tmp_path / "mine", FIRST, "麦田 1978", Chance(3), memory_kib=64)
    assert read_share(tmp_path / "mine", lambda: "麦田 1978") == FIRST
    assert FIRST.share not in (tmp_path / "mine").read_bytes()
    with pytest.raises(PassphraseWrong):
        read_share(tmp_path / "mine", lambda: "麦田 1979")
    with pytest.raises(KeyFileMalformed):
        read_share(tmp_path / "mine")
    with pytest.raises(KeyFileExists):
        lock_share(tmp_path / "mine", SECOND, "x", Chance(4), memory_kib=64)
    write_share(tmp_path / "plain", SECOND)
    assert read_share(tmp_path / "plain", lambda: "never asked") == SECOND
    content = (tmp_path / "mine").read_bytes()
    (tmp_path / "mine").write_bytes(content.replace(b'"first"', b'"second"'))
    with pytest.raises(PassphraseWrong):
        read_share(tmp_path / "mine", lambda: "麦田 1978")
