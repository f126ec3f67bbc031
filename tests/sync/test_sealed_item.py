import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.divisions import Division
from sync.sealed.sealed_item import (
    INNER_SIZES_BYTES,
    ITEM_SIZES_BYTES,
    OVERHEAD_BYTES,
    WRAP_BYTES,
    ItemTooLong,
    Onward,
    OrganKeyInvalid,
    read_onward,
    seal_item,
    try_open_item,
)
from sync.sealed.sealing import HPKE, SealBroken
from sync.trust.escrow import join_shares, new_escrow
from tests.sync.chance import Chance

ITEM = Chance(1).uuid()
OTHER_ITEM = Chance(2).uuid()
ORGAN = X25519PrivateKey.generate()
ORGAN_KEY = ORGAN.public_key().public_bytes_raw()
COUNTY = Division("410221000000")
STRANGER = X25519PrivateKey.generate()
ESCROW = new_escrow(Chance(3))
ESCROW_KEY = ESCROW[0].key
LETTER = "反映村干部侵占集体资金".encode()


def test_the_organ_opens_what_was_sealed_to_it() -> None:
    assert try_open_item(ITEM, seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER), [ORGAN]) == LETTER


def test_nobody_else_opens_it_and_nothing_names_the_organ() -> None:
    ciphertext = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER)
    assert try_open_item(ITEM, ciphertext, [STRANGER]) is None
    assert try_open_item(ITEM, ciphertext, []) is None
    assert LETTER not in ciphertext
    assert ORGAN_KEY not in ciphertext


def test_an_organ_whose_key_was_rotated_opens_older_items() -> None:
    ciphertext = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER)
    assert try_open_item(ITEM, ciphertext, [STRANGER, ORGAN]) == LETTER


def test_an_item_does_not_open_in_the_place_of_another() -> None:
    assert try_open_item(OTHER_ITEM, seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER), [ORGAN]) is None


@pytest.mark.parametrize("size", [0, 1, 5_000, 60_000, ITEM_SIZES_BYTES[0] - OVERHEAD_BYTES])
def test_every_form_weighs_the_same(size: int) -> None:
    ciphertext = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, b"\0" * size)
    assert len(ciphertext) == ITEM_SIZES_BYTES[0]
    assert try_open_item(ITEM, ciphertext, [ORGAN]) == b"\0" * size


def test_a_form_filled_to_its_limits_still_has_the_first_size() -> None:
    form = ("题" * 200 + "文" * 20_000 + "名" * 60 + "址" * 200).encode()
    assert len(seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, form)) == ITEM_SIZES_BYTES[0]


def test_a_longer_letter_takes_the_next_size_and_the_longest_is_refused() -> None:
    beyond = ITEM_SIZES_BYTES[0] - OVERHEAD_BYTES + 1
    assert len(seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, b"x" * beyond)) == ITEM_SIZES_BYTES[1]
    with pytest.raises(ItemTooLong):
        seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, b"x" * (ITEM_SIZES_BYTES[1] - OVERHEAD_BYTES + 1))


@pytest.mark.parametrize("bad", [b"", b"\0" * 10, b"\0" * 64, b"\1" * 65_536])
def test_bytes_that_are_no_item_are_for_nobody(bad: bytes) -> None:
    assert try_open_item(ITEM, bad, [ORGAN]) is None


def test_a_flipped_bit_makes_it_unreadable() -> None:
    ciphertext = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER, (256,))
    for at in range(len(ciphertext)):
        bad = ciphertext[:at] + bytes([ciphertext[at] ^ 2]) + ciphertext[at + 1 :]
        try:
            assert try_open_item(ITEM, bad, [ORGAN]) is None
        except SealBroken:
            assert at >= WRAP_BYTES, "it says that it is ours only where the organ's own wrap is whole"


def test_two_persons_together_open_what_was_sealed_to_an_organ_that_is_no_more() -> None:
    superior = X25519PrivateKey.generate().public_key().public_bytes_raw()
    inner = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER, INNER_SIZES_BYTES)
    outer = seal_item(superior, ESCROW_KEY, ITEM, Onward(COUNTY, ITEM, inner).to_bytes())
    joined = join_shares(*ESCROW)

    found = try_open_item(ITEM, outer, [joined])

    assert found is not None
    onward = read_onward(found)
    assert onward is not None
    assert try_open_item(ITEM, onward.ciphertext, [joined]) == LETTER
    assert try_open_item(ITEM, seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER), [joined]) == LETTER


def test_whether_there_is_an_escrow_shows_neither_in_size_nor_to_the_organ() -> None:
    with_escrow, without = (seal_item(ORGAN_KEY, key, ITEM, LETTER) for key in (ESCROW_KEY, None))
    assert len(with_escrow) == len(without)
    assert try_open_item(ITEM, without, [ORGAN]) == LETTER
    assert try_open_item(ITEM, without, [join_shares(*ESCROW)]) is None


@pytest.mark.parametrize("padded", [b"", b"\0\0", (9).to_bytes(4) + b"short", (1).to_bytes(4) + b"ab", b"\xff" * 40])
def test_padding_that_we_would_not_make_is_refused(padded: bytes) -> None:
    bound, key = b"huiyin-item/v0\0" + ITEM.bytes, bytes(32)
    wraps = 2 * HPKE.encrypt(key, ORGAN.public_key(), bound)
    with pytest.raises(SealBroken):
        try_open_item(ITEM, wraps + AESGCM(key).encrypt(bytes(12), padded, bound + wraps), [ORGAN])


@pytest.mark.parametrize("kept", [0, 1, 15, 200])
def test_one_that_was_cut_off_behind_the_wraps_is_ours_and_broken(kept: int) -> None:
    ciphertext = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, LETTER)
    with pytest.raises(SealBroken):
        try_open_item(ITEM, ciphertext[: 2 * WRAP_BYTES + kept], [ORGAN])


@pytest.mark.parametrize("raw", [bytes(32), b"short"])
def test_an_organ_key_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(OrganKeyInvalid):
        seal_item(raw, ESCROW_KEY, ITEM, LETTER)


def test_an_item_for_another_line_weighs_the_same_and_its_superior_finds_the_organ_and_nothing_else() -> None:
    superior = X25519PrivateKey.generate()
    form = b"{" + b"x" * 60_000
    inner = seal_item(ORGAN_KEY, ESCROW_KEY, ITEM, form, INNER_SIZES_BYTES)
    key = superior.public_key().public_bytes_raw()
    outer = seal_item(key, ESCROW_KEY, OTHER_ITEM, Onward(COUNTY, ITEM, inner).to_bytes())
    assert len(outer) == ITEM_SIZES_BYTES[0]

    found = try_open_item(OTHER_ITEM, outer, [superior])
    assert found is not None
    assert read_onward(found) == Onward(COUNTY, ITEM, inner)
    assert try_open_item(ITEM, inner, [superior]) is None
    assert try_open_item(ITEM, inner, [ORGAN]) == form


@pytest.mark.parametrize("payload", [b"", b"{}", b"\0onward/v0\0", b"\0onward/v0\x0041022100000x" + b"c" * 9])
def test_what_names_no_organ_is_not_passed_on(payload: bytes) -> None:
    assert read_onward(payload) is None
