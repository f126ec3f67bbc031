"""Notes, checkpoints and cosignatures: what is read, what is refused, and the examples of the specifications."""

import pytest

from sync.proofs.merkle import EMPTY_ROOT
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    MAX_NOTE_BYTES,
    Checkpoint,
    Ed25519Signer,
    KeyInvalid,
    Note,
    NoteInvalid,
    SignatureLine,
    cosign,
    named,
    parse_checkpoint,
    parse_note,
    parse_signature_lines,
    parse_skey,
    parse_vkey,
    sign_note,
    verify,
)

ORIGIN = "huiyin.example/410221100201/1"
LOG = Ed25519Signer(ORIGIN, ED25519, bytes(range(32)))
WITNESS = Ed25519Signer("huiyin.example/410221100000/witness", COSIGNATURE_V1, bytes(range(1, 33)))
STRANGER = Ed25519Signer("elsewhere.example/log", ED25519, bytes(range(2, 34)))
HEAD = Checkpoint(ORIGIN, 1234, bytes(range(100, 132)))
SIGNED = sign_note(HEAD.text(), LOG)
COSIGNED = SIGNED.with_lines([cosign(SIGNED.text, WITNESS, 1_700_000_000)])

# The examples printed in the C2SP signed-note specification.
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_example_of_the_specification_verifies() -> None:
    key = parse_vkey(SPEC_KEY)
    assert key.vkey == SPEC_KEY
    [signed] = verify(parse_note(SPEC_NOTE.encode()), [key])
    assert signed.verifier == key


def test_a_cosigned_checkpoint_comes_back_as_it_went() -> None:
    note = parse_note(COSIGNED.to_bytes())
    assert note == COSIGNED
    assert parse_checkpoint(note.text) == HEAD
    log, witness = verify(note, [WITNESS.verifier, LOG.verifier])
    assert (log.verifier, log.time_s) == (LOG.verifier, None)
    assert (witness.verifier, witness.time_s) == (WITNESS.verifier, 1_700_000_000)


def test_a_text_may_hold_blank_lines_inside() -> None:
    note = sign_note("one\n\ntwo\n", LOG)
    assert parse_note(note.to_bytes()) == note


def test_keys_survive_their_texts() -> None:
    for signer in (LOG, WITNESS):
        assert parse_vkey(signer.verifier.vkey) == signer.verifier
        assert parse_skey(signer.skey).verifier == signer.verifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "name+00000000",
        SPEC_KEY[:-1],
        SPEC_KEY + "=",
        SPEC_KEY.replace("530d903a", "530d903b"),
        SPEC_KEY.replace("530d903a", "530D903A"),
        SPEC_KEY.replace("example.com/foo", "example.com/fop"),
        SPEC_KEY.replace("example.com/foo", ""),
        SPEC_KEY.replace("example.com/foo", "example.com foo"),
        SPEC_KEY.replace("+Aeky", "+Buky"),
        SPEC_KEY.replace("3U2k", "3U2kAAAA"),
        "PRIVATE+KEY+" + SPEC_KEY,
    ],
)
def test_a_malformed_key_is_named(text: str) -> None:
    with pytest.raises(KeyInvalid):
        parse_vkey(text)


def test_a_malformed_private_key_is_named_and_not_shown() -> None:
    for text in (LOG.skey[:-1], LOG.skey.replace("PRIVATE", "PUBLIC"), LOG.skey.replace(ORIGIN, "other")):
        with pytest.raises(KeyInvalid) as caught:
            parse_skey(text)
        assert LOG.skey[-20:-2] not in str(caught.value)
        assert caught.value.__cause__ is None
    assert LOG.skey[-20:-2] not in repr(LOG)


def test_a_key_signs_only_what_it_is_for() -> None:
    with pytest.raises(KeyInvalid):
        sign_note(HEAD.text(), WITNESS)
    with pytest.raises(KeyInvalid):
        cosign(HEAD.text(), LOG, 1)


GOOD = COSIGNED.to_bytes().decode()
HEAD_TEXT, LINES = GOOD.split("\n\n")
LOG_LINE, WITNESS_LINE, _ = LINES.split("\n")

MALFORMED = {
    "nothing": "",
    "newline alone": "\n",
    "no signatures": HEAD_TEXT + "\n\n",
    "no blank line": HEAD_TEXT + "\n" + LINES,
    "empty text": "\n\n" + LINES,
    "two blank lines": HEAD_TEXT + "\n\n\n" + LINES,
    "no last newline": GOOD[:-1],
    "blank line at the end": GOOD + "\n",
    "CRLF": GOOD.replace("\n", "\r\n"),
    "CRLF in one line": GOOD.replace("\n1234\n", "\n1234\r\n"),
    "tab": GOOD.replace("1234", "\t1234"),
    "NUL": GOOD + "\0",
    "byte order mark": GOOD.replace("— ", "\ufeff— "),
    "hyphen for em dash": GOOD.replace("—", "-"),
    "no dash": GOOD.replace("— ", ""),
    "two spaces": GOOD.replace("— ", "—  "),
    "trailing space after signature": GOOD.replace(LOG_LINE, LOG_LINE + " "),
    "space in base64": GOOD.replace(LOG_LINE, LOG_LINE[:-10] + " " + LOG_LINE[-10:]),
    "no padding": GOOD.replace("=\n", "\n"),
    "plus in name": GOOD.replace("— huiyin", "— hui+yin"),
    "no name": GOOD.replace(f"— {ORIGIN} ", "—  "),
    "no signature": GOOD.replace(LOG_LINE, f"— {ORIGIN} "),
    "key id alone": GOOD.replace(LOG_LINE, f"— {ORIGIN} AAAAAA=="),
    "seventeen signatures": GOOD + (WITNESS_LINE + "\n") * 15,
    "too long": "x" * MAX_NOTE_BYTES + GOOD,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_note_is_refused(case: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_note(MALFORMED[case].encode())


@pytest.mark.parametrize("data", [b"\xff\xfe", GOOD.encode()[:-40] + b"\xe2\x80", GOOD.encode("utf-16")])
def test_what_is_not_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(NoteInvalid):
        parse_note(data)


def test_base64_has_one_spelling() -> None:
    encoded = LOG_LINE.rsplit(" ", 1)[1]
    assert encoded.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = encoded[:-2] + alphabet[alphabet.index(encoded[-2]) ^ 1] + "="  # differs in bits that carry nothing
    with pytest.raises(NoteInvalid, match="canonical"):
        parse_note(GOOD.replace(encoded, twin).encode())


def test_sixteen_signatures_are_read_but_a_witness_counts_once() -> None:
    note = parse_note((GOOD + (WITNESS_LINE + "\n") * 14).encode())
    assert len(note.signatures) == 16
    assert len(verify(note, [WITNESS.verifier])) == 1


def test_lines_of_unknown_keys_are_ignored() -> None:
    foreign = SignatureLine("somebody.example", b"abcd", b"x" * 2420)
    note = parse_note(SIGNED.with_lines([foreign]).to_bytes())
    assert [signed.verifier for signed in verify(note, [LOG.verifier])] == [LOG.verifier]


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    with pytest.raises(NoteInvalid, match="none of the trusted keys"):
        verify(COSIGNED, [STRANGER.verifier])
    same_name = Ed25519Signer(ORIGIN, ED25519, bytes(32))
    with pytest.raises(NoteInvalid, match="none of the trusted keys"):
        verify(COSIGNED, [same_name.verifier])


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(71), bytes(72), bytes(73), b"\xff" * 72])
def test_a_bad_line_of_a_known_key_spoils_the_note(signature: bytes) -> None:
    for signer in (LOG, WITNESS):
        bad = SignatureLine(signer.verifier.name, signer.verifier.key_id, signature)
        for lines in ((bad, *COSIGNED.signatures), (*COSIGNED.signatures, bad)):
            with pytest.raises(NoteInvalid):
                verify(Note(COSIGNED.text, lines), [LOG.verifier, WITNESS.verifier])


def test_a_cosignature_binds_its_time_and_its_text() -> None:
    line = COSIGNED.signatures[1]
    moved = SignatureLine(line.name, line.key_id, (1_700_000_001).to_bytes(8, "big") + line.signature[8:])
    with pytest.raises(NoteInvalid):
        verify(Note(COSIGNED.text, (moved,)), [WITNESS.verifier])
    with pytest.raises(NoteInvalid):
        verify(Note(COSIGNED.text.replace("1234", "1235"), (line,)), [WITNESS.verifier])


def test_a_newer_cosignature_takes_the_place_of_the_older() -> None:
    newer = COSIGNED.with_lines(parse_signature_lines(str(cosign(HEAD.text(), WITNESS, 1_700_000_060)).encode()))
    assert [line.name for line in newer.signatures] == [line.name for line in COSIGNED.signatures]
    assert verify(newer, [WITNESS.verifier])[0].time_s == 1_700_000_060


@pytest.mark.parametrize("data", [b"", b"\n", b"\xe2\x80\x94 a", b"x\n"])
def test_malformed_signature_lines_are_refused(data: bytes) -> None:
    with pytest.raises(NoteInvalid):
        parse_signature_lines(data)


ROOT = "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM="
BAD_HEADS = {
    "size with sign": f"{ORIGIN}\n+1\n{ROOT}\n",
    "negative size": f"{ORIGIN}\n-1\n{ROOT}\n",
    "leading zero": f"{ORIGIN}\n01\n{ROOT}\n",
    "two to the 63": f"{ORIGIN}\n9223372036854775808\n{ROOT}\n",
    "five thousand digits": f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
    "underscore in size": f"{ORIGIN}\n1_0\n{ROOT}\n",
    "other digits": f"{ORIGIN}\n１２\n{ROOT}\n",
    "hexadecimal": f"{ORIGIN}\n0x10\n{ROOT}\n",
    "empty size": f"{ORIGIN}\n\n{ROOT}\n",
    "space after size": f"{ORIGIN}\n1 \n{ROOT}\n",
    "space after origin": f"{ORIGIN} \n1\n{ROOT}\n",
    "space after root": f"{ORIGIN}\n1\n{ROOT} \n",
    "wide space in origin": f"huiyin\u3000example\n1\n{ROOT}\n",
    "no origin": f"\n1\n{ROOT}\n",
    "two lines": f"{ORIGIN}\n1\n",
    "extension line": f"{ORIGIN}\n1\n{ROOT}\nmore\n",
    "empty extension line": f"{ORIGIN}\n1\n{ROOT}\n\n",
    "no last newline": f"{ORIGIN}\n1\n{ROOT}",
    "short root": f"{ORIGIN}\n1\nAAAA\n",
    "unpadded root": f"{ORIGIN}\n1\n{ROOT[:-1]}\n",
    "root in another spelling": f"{ORIGIN}\n1\n{ROOT[:-2]}N=\n",
    "url alphabet": f"{ORIGIN}\n1\n{ROOT.replace('+', '-')}\n",
    "empty tree with a root": f"{ORIGIN}\n0\n{ROOT}\n",
}


@pytest.mark.parametrize("case", BAD_HEADS)
def test_a_malformed_checkpoint_is_refused(case: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_checkpoint(BAD_HEADS[case])


@pytest.mark.parametrize("head", [Checkpoint(ORIGIN, 0, EMPTY_ROOT), Checkpoint(ORIGIN, 2**63 - 1, EMPTY_ROOT)])
def test_the_smallest_and_the_largest_checkpoint_are_read(head: Checkpoint) -> None:
    assert parse_checkpoint(head.text()) == head


def test_a_blank_line_between_signatures_moves_the_first_into_the_text() -> None:
    with pytest.raises(NoteInvalid):
        parse_checkpoint(parse_note(GOOD.replace(WITNESS_LINE, "\n" + WITNESS_LINE).encode()).text)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_thirty_two_bytes(length: int) -> None:
    with pytest.raises(KeyInvalid, match="32 bytes"):
        Ed25519Signer(ORIGIN, ED25519, bytes(length))


def test_a_key_signs_in_the_name_of_a_later_shard_and_only_in_that_name() -> None:
    first = Ed25519Signer("huiyin.example/410221000000/1", ED25519, bytes(32))
    later = named(first, "huiyin.example/410221000000/2")
    note = sign_note("text\n", later)

    verify(note, [later.verifier])
    with pytest.raises(NoteInvalid):
        verify(note, [first.verifier])
    assert named(first, first.verifier.name) is first
