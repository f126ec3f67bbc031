import logging
import os
import pickle
import traceback
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.divisions import Division
from domain.events import CaseId, EventId, Sealed
from sync.sealed.commitment import Opening, commit, is_opened_by
from sync.sealed.sealing import (
    MAX_SEALED_BYTES,
    DataKey,
    RandomBroken,
    Recipient,
    RecipientKeyInvalid,
    SealBroken,
    TextNotUnicode,
    TextsTooLong,
    digest_text,
    grant_key,
    open_texts,
    seal_texts,
)
from tests.sync.chance import Chance

NAME = "张桂兰"
TEXTS = {"petitioner.name": NAME, "body": "大棚被淹，至今无人处理", "title": "反映大棚被淹"}
VILLAGE = Division("410221100201")
TOWNSHIP = Division("410221100000")
CASE = CaseId(Chance(1).uuid())
OTHER_CASE = CaseId(Chance(2).uuid())
EVENT = EventId(Chance(3).uuid())
OTHER_EVENT = EventId(Chance(4).uuid())
SUBJECT = "ab" * 16
OTHER_SUBJECT = "cd" * 16
KEY = DataKey.fresh(CASE, SUBJECT, Chance(5))


def changed(sealed: Sealed, **fields: object) -> Sealed:
    return msgspec.structs.replace(sealed, **fields)


def broken_check(opening: Callable[[], object]) -> str:
    with pytest.raises(SealBroken) as refusal:
        opening()
    return refusal.value.what


def test_a_commitment_has_the_bytes_that_the_format_says() -> None:
    # printf 'huiyin-field/v0\0' + 32 bytes 00..1f + 0004 + 'body' + UTF-8 of 回音, through sha256sum
    assert commit(bytes(range(32)), "body", "回音".encode()).hex() == (
        "762847ce4e60457ea037866741e5c6282b8552dc2803239904d25468bd3d0c80"
    )


def test_sealed_texts_open_to_what_was_written() -> None:
    sealed, part = seal_texts(KEY, EVENT, TEXTS, Chance(6))
    openings = open_texts(KEY, EVENT, sealed, part)
    assert {opening.path: opening.value for opening in openings} == TEXTS
    assert [opening.path for opening in openings] == sorted(TEXTS)
    assert all(is_opened_by(sealed.fields[opening.path], opening) for opening in openings)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="utf-8"))))
def test_any_text_survives_sealing(texts: dict[str, str]) -> None:
    sealed, part = seal_texts(KEY, EVENT, texts, os.urandom)
    assert {opening.path: opening.value for opening in open_texts(KEY, EVENT, sealed, part)} == texts


def test_nothing_of_the_text_shows_in_the_event_or_the_part() -> None:
    sealed, part = seal_texts(KEY, EVENT, TEXTS, Chance(6))
    shown = msgspec.json.encode(sealed) + part
    assert NAME.encode() not in shown
    assert list(sealed.fields) == sorted(TEXTS)


def test_equal_texts_look_different_every_time() -> None:
    random = Chance(6)
    sealed = [seal_texts(KEY, EVENT, {"a": NAME, "b": NAME}, random)[0] for _ in range(20)]
    commitments = [text for one in sealed for text in one.fields.values()]
    openings = [open_texts(KEY, EVENT, *seal_texts(KEY, EVENT, {"a": NAME, "b": NAME}, random)) for _ in range(20)]
    assert len(set(commitments)) == 40
    assert len({opening.salt for pair in openings for opening in pair}) == 40


def test_a_source_of_chance_that_repeats_itself_is_refused() -> None:
    with pytest.raises(RandomBroken):
        seal_texts(KEY, EVENT, TEXTS, bytes)


def test_a_part_swapped_between_two_events_is_refused() -> None:
    random = Chance(6)
    one, one_part = seal_texts(KEY, EVENT, TEXTS, random)
    other, other_part = seal_texts(KEY, OTHER_EVENT, TEXTS, random)
    assert broken_check(lambda: open_texts(KEY, EVENT, one, other_part)) == "digest"
    assert broken_check(lambda: open_texts(KEY, EVENT, other, other_part)) == "seal"
    forged = changed(one, ciphertext=digest_text(other_part))
    assert broken_check(lambda: open_texts(KEY, EVENT, forged, other_part)) == "seal"
    assert open_texts(KEY, EVENT, one, one_part)


def test_63_a_part_swapped_between_two_subjects_is_refused() -> None:
    random = Chance(6)
    other_key = DataKey.fresh(CASE, OTHER_SUBJECT, random)
    one, _ = seal_texts(KEY, EVENT, TEXTS, random)
    other, other_part = seal_texts(other_key, EVENT, TEXTS, random)
    forged = changed(one, ciphertext=digest_text(other_part))
    for key in (KEY, other_key):
        assert broken_check(lambda key=key: open_texts(key, EVENT, forged, other_part)) == "seal"
    renamed = changed(other, subject=SUBJECT)
    assert broken_check(lambda: open_texts(other_key, EVENT, renamed, other_part)) == "seal"


def test_a_text_moved_to_another_path_is_refused() -> None:
    sealed, part = seal_texts(KEY, EVENT, {"title": "一", "body": "二"}, Chance(6))
    crossed = {"title": sealed.fields["body"], "body": sealed.fields["title"]}
    assert broken_check(lambda: open_texts(KEY, EVENT, changed(sealed, fields=crossed), part)) == "seal"
    renamed = {"title": sealed.fields["title"], "facts": sealed.fields["body"]}
    assert broken_check(lambda: open_texts(KEY, EVENT, changed(sealed, fields=renamed), part)) == "seal"
    opening = open_texts(KEY, EVENT, sealed, part)[0]
    moved = Opening("title", opening.salt, opening.value)
    assert not is_opened_by(sealed.fields["body"], moved)
    assert not is_opened_by(sealed.fields["title"], moved)


def test_whoever_holds_the_key_still_cannot_give_a_part_a_second_meaning() -> None:
    sealed, _ = seal_texts(KEY, EVENT, {"body": "原话"}, Chance(6))
    bound = b"huiyin-sealed/v0\0" + EVENT.bytes
    for text in (SUBJECT, "body", sealed.fields["body"]):
        bound += len(text).to_bytes(4) + text.encode()
    for plaintext in (b'{"body":["' + b"A" * 43 + '=","改过"]}'.encode(), b"{}", b"[]", b"\xff", b'{"body":["","x"]}'):
        part = KEY.encrypt(plaintext, bound, Chance(9))
        forged = changed(sealed, ciphertext=digest_text(part))
        assert broken_check(lambda forged=forged, part=part: open_texts(KEY, EVENT, forged, part)) == "commitment"


def test_any_flipped_bit_and_any_cut_of_a_part_is_refused() -> None:
    sealed, part = seal_texts(KEY, EVENT, {"body": "短"}, Chance(6))
    altered = [part[:at] + bytes([part[at] ^ 1 << bit]) + part[at + 1 :] for at in range(len(part)) for bit in range(8)]
    for bad in (*altered, *(part[:at] for at in range(len(part)))):
        assert broken_check(lambda bad=bad: open_texts(KEY, EVENT, sealed, bad)) == "digest"
        admitted = changed(sealed, ciphertext=digest_text(bad))
        assert broken_check(lambda bad=bad, admitted=admitted: open_texts(KEY, EVENT, admitted, bad)) == "seal"


def test_another_key_of_the_same_subject_opens_nothing() -> None:
    sealed, part = seal_texts(KEY, EVENT, TEXTS, Chance(6))
    other = DataKey.fresh(CASE, SUBJECT, Chance(7))
    assert broken_check(lambda: open_texts(other, EVENT, sealed, part)) == "seal"


def test_more_text_than_a_part_holds_is_refused_by_name() -> None:
    texts = {f"answer.{number}": "长" * 20_000 for number in range(20)}
    with pytest.raises(TextsTooLong) as refusal:
        seal_texts(KEY, EVENT, texts, Chance(6))
    assert "长长" not in str(refusal.value)
    _, part = seal_texts(KEY, EVENT, dict(list(texts.items())[:12]), Chance(6))
    assert len(part) <= MAX_SEALED_BYTES


def test_half_a_character_is_refused_without_quoting_the_text() -> None:
    with pytest.raises(TextNotUnicode) as refusal:
        seal_texts(KEY, EVENT, {"petitioner.name": f"{NAME}\ud800"}, Chance(6))
    assert refusal.value.field == "petitioner.name"
    assert refusal.value.__context__ is None
    assert NAME not in "".join(traceback.format_exception(refusal.value))


def test_a_wrapped_key_opens_for_its_custodian_alone() -> None:
    mine, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    wrapped = KEY.wrap(Recipient(VILLAGE, mine.public_key().public_bytes_raw()))
    assert len(wrapped) == 80
    sealed, part = seal_texts(KEY, EVENT, TEXTS, Chance(6))
    unwrapped = DataKey.unwrap(wrapped, mine, CASE, SUBJECT, VILLAGE)
    assert open_texts(unwrapped, EVENT, sealed, part)
    for private, case, subject, custodian in [
        (theirs, CASE, SUBJECT, VILLAGE),
        (mine, OTHER_CASE, SUBJECT, VILLAGE),
        (mine, CASE, OTHER_SUBJECT, VILLAGE),
        (mine, CASE, SUBJECT, TOWNSHIP),
        (mine, CASE, "no hex", VILLAGE),
    ]:
        assert broken_check(lambda args=(private, case, subject, custodian): DataKey.unwrap(wrapped, *args)) == "key"


def test_any_flipped_bit_of_a_wrapped_key_is_refused() -> None:
    mine = X25519PrivateKey.generate()
    wrapped = KEY.wrap(Recipient(VILLAGE, mine.public_key().public_bytes_raw()))
    flipped = [wrapped[:at] + bytes([wrapped[at] ^ 4]) + wrapped[at + 1 :] for at in range(len(wrapped))]
    for bad in (*flipped, b"", wrapped[:-1], wrapped + b"\0", bytes(80)):
        assert broken_check(lambda bad=bad: DataKey.unwrap(bad, mine, CASE, SUBJECT, VILLAGE)) == "key"


@pytest.mark.parametrize("raw", [bytes(32), b"\1" + bytes(31), b"short", b""])
def test_a_public_key_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(RecipientKeyInvalid, match=VILLAGE):
        grant_key(KEY, [(Recipient(VILLAGE, raw), "handle")])


def test_grants_say_in_order_to_whom_each_part_was_wrapped() -> None:
    mine, above = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    holders = [(VILLAGE, mine, "handle"), (TOWNSHIP, above, "escrow")]
    wrapped = grant_key(
        KEY, [(Recipient(where, key.public_key().public_bytes_raw()), purpose) for where, key, purpose in holders]
    )
    assert wrapped.subject == SUBJECT
    assert [(grant.custodian, grant.purpose) for grant in wrapped.grants] == [(VILLAGE, "handle"), (TOWNSHIP, "escrow")]
    for part, (where, private, _) in zip(wrapped.parts, holders, strict=True):
        assert DataKey.unwrap(part, private, CASE, SUBJECT, where).subject == SUBJECT


def test_nothing_that_holds_a_secret_prints_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Chance(8)(32)
    key = DataKey(CASE, SUBJECT, secret)
    opening = Opening("petitioner.name", secret, NAME)
    logging.getLogger("test").warning("%s %r %s", key, opening, [opening, key])
    told = f"{key!r} {key} {opening!r} {opening} {[opening]} {list(opening.__rich_repr__())} {caplog.text}"
    assert NAME not in told
    assert repr(secret) not in told
    assert secret.hex() not in told
    assert SUBJECT not in told
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        msgspec.json.encode(key)


def test_no_refusal_carries_a_text_or_a_key() -> None:
    sealed, part = seal_texts(KEY, EVENT, TEXTS, Chance(6))
    with pytest.raises(SealBroken) as refusal:
        open_texts(DataKey.fresh(CASE, SUBJECT, Chance(7)), EVENT, sealed, part)
    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value.args)
    assert NAME not in told
    assert SUBJECT not in told
