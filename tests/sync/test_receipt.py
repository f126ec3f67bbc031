"""A citizen's receipt: what it shows, and that nothing damaged, altered or cut ever passes."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from sync.proofs.merkle import MemoryHashes, Prover, leaf_hash
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, Note, cosign, parse_note, sign_note
from sync.proofs.policy import PolicyInvalid
from sync.proofs.receipt import (
    Promised,
    Proven,
    ReceiptInvalid,
    ReceiptReport,
    promise,
    promise_receipt,
    proof_receipt,
    seal,
    standard_part,
    verify_receipt,
)
from sync.proofs.tlog_proof import parse_tlog_proof
from sync.sealed.commitment import Opening

ORIGIN = "huiyin.example/410221100201/1"
LOG = Ed25519Signer(ORIGIN, ED25519, b"L" * 32)
INTAKE = Ed25519Signer("huiyin.example/410221100201/intake", ED25519, b"I" * 32)
TOWN = Ed25519Signer("huiyin.example/410221100000/witness", COSIGNATURE_V1, b"T" * 32)
AUDIT = Ed25519Signer("audit.example/witness", COSIGNATURE_V1, b"A" * 32)
POLICY = (
    f"log {LOG.verifier.vkey}\nwitness town {TOWN.verifier.vkey}\nwitness audit {AUDIT.verifier.vkey}\n"
    f"group all-of-them all town audit\nquorum all-of-them\n# huiyin:intake {INTAKE.verifier.vkey}\n"
)

NAME = Opening("name", b"n" * 32, "张三 (Zhang San)")
BODY = Opening("body", b"b" * 32, "大棚去年冬天塌了，\n至今没有人管。\u2028“急”")
PHONE = Opening("phone", b"p" * 32, "13800000000")
SEALED = [
    {"subject": "aa" * 16, "fields": {it.path: it.commitment() for it in (NAME, PHONE)}, "ciphertext": ""},
    {"subject": "bb" * 16, "fields": {BODY.path: BODY.commitment()}, "ciphertext": ""},
]
LEAF = msgspec.json.encode({"type": "case.registered.v0", "person_count": 1, "sealed": SEALED})
HOUR_US = 3_600_000_000
FILED_US = 1_700_000_000_123_456
DUE_US = FILED_US + 24 * HOUR_US
INDEX, SIZE = 777, 1000


def tree_with(leaf: bytes) -> MemoryHashes:
    hashes = [leaf_hash(b"%d" % number) for number in range(SIZE)]
    hashes[INDEX] = leaf_hash(leaf)
    return MemoryHashes(hashes)


def cosigned_head(tree: MemoryHashes) -> Note:
    note = sign_note(Checkpoint(ORIGIN, SIZE, tree.frontier.root()).text(), LOG)
    return note.with_lines([cosign(note.text, witness, 1_700_000_100) for witness in (TOWN, AUDIT)])


def proof_of(leaf: bytes, *openings: Opening) -> bytes:
    tree = tree_with(leaf)
    return proof_receipt(leaf, INDEX, Prover(tree, SIZE).inclusion(INDEX), cosigned_head(tree), openings)


def promise_of(leaf: bytes, *openings: Opening) -> bytes:
    return promise_receipt(promise(INTAKE, ORIGIN, leaf, FILED_US, DUE_US), leaf, openings)


PROOF = proof_of(LEAF, NAME, BODY)
PROMISE = promise_of(LEAF, NAME, BODY)
BOTH = pytest.mark.parametrize("receipt", [PROMISE, PROOF], ids=["promise", "proof"])


def verified(receipt: bytes) -> ReceiptReport:
    return verify_receipt(receipt, POLICY)


def test_a_proof_shows_where_the_filing_stands_and_who_has_seen_it() -> None:
    report = verified(PROOF)
    assert (report.origin, report.leaf, report.leaf_hash) == (ORIGIN, LEAF, leaf_hash(LEAF))
    assert isinstance(report.shows, Proven)
    assert (report.shows.index, report.shows.size) == (INDEX, SIZE)
    assert [(it.verifier.name, it.time_s) for it in report.shows.cosigned] == [
        (TOWN.verifier.name, 1_700_000_100),
        (AUDIT.verifier.name, 1_700_000_100),
    ]


def test_a_promise_says_since_when_and_until_when_it_holds() -> None:
    assert verified(PROMISE).shows == Promised(FILED_US, DUE_US)


@BOTH
def test_what_the_citizen_wrote_is_shown_and_the_rest_stays_closed(receipt: bytes) -> None:
    report = verified(receipt)
    assert set(report.openings) == {NAME, BODY}
    assert report.unopened == (PHONE.path,)
    assert "张三" in receipt.decode()
    assert PHONE.value not in receipt.decode()


def test_a_citizen_may_show_less() -> None:
    assert verified(proof_of(LEAF)).openings == ()
    assert verified(promise_of(LEAF, BODY)).openings == (BODY,)


def test_the_standard_part_lies_in_the_file_verbatim() -> None:
    proof = standard_part(PROOF)
    assert PROOF.endswith(b"\n\n" + proof)
    assert proof == PROOF.split(b"\n\n", 1)[1]  # what sed '1,/^$/d' prints
    assert parse_tlog_proof(proof).extra == LEAF
    assert parse_tlog_proof(proof).to_bytes() == proof
    assert parse_note(standard_part(PROMISE)).text.startswith("huiyin-receipt/v0\n" + ORIGIN)


def test_opened_or_not_the_demo_is_marked() -> None:
    demo = POLICY + "# huiyin:clock simulated\n"
    with pytest.raises(PolicyInvalid):
        verify_receipt(PROOF, demo)
    assert verify_receipt(PROOF, demo, accept_simulated_clock=True).simulated_clock


def flips(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        for bit in (place % 8, 5):  # 5 turns letters into the other case
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def cuts(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        yield data[:place]
        yield data[place + 1 :]


def line_edits(data: bytes) -> Iterator[bytes]:
    lines = data.splitlines(keepends=True)
    for place, line in enumerate(lines):
        yield b"".join(lines[:place] + lines[place + 1 :])
        yield b"".join([*lines[:place], line, *lines[place:]])
        yield b"".join([*lines[:place], line.rstrip(b"\n") + b" \n", *lines[place + 1 :]])
        yield b"".join([*lines[:place], line.rstrip(b"\n") + b"\r\n", *lines[place + 1 :]])
        yield b"".join([*lines[:place], b"\n", *lines[place:]])


@BOTH
@pytest.mark.parametrize("damage", [flips, cuts, line_edits])
def test_no_damaged_receipt_passes(receipt: bytes, damage: Callable[[bytes], Iterator[bytes]]) -> None:
    for damaged in damage(receipt):
        with pytest.raises(ReceiptInvalid):
            verified(damaged)


@BOTH
@pytest.mark.parametrize("damage", [flips, cuts])
def test_without_its_digest_too_no_altered_receipt_passes(
    receipt: bytes, damage: Callable[[bytes], Iterator[bytes]]
) -> None:
    rest = receipt.partition(b"\n")[2]
    whole_lines_shown_less = set(shown_less(rest))
    for altered in damage(rest):
        if altered not in whole_lines_shown_less:
            with pytest.raises(ReceiptInvalid):
                verified(seal(altered))


@BOTH
def test_without_its_digest_too_a_line_more_or_less_never_shows_more(receipt: bytes) -> None:
    intact = verified(receipt)
    for altered in line_edits(receipt.partition(b"\n")[2]):
        try:
            report = verified(seal(altered))
        except ReceiptInvalid:
            continue
        assert report.shows == intact.shows  # a line shown less, or a signature line twice
        assert set(report.openings) <= set(intact.openings)


def shown_less(rest: bytes) -> Iterator[bytes]:
    while rest.startswith(b"opening "):
        rest = rest.partition(b"\n")[2]
        yield rest


@pytest.mark.parametrize(
    "forged",
    [
        Opening("name", b"n" * 32, "李四"),
        Opening("name", b"m" * 32, NAME.value),
        Opening("phone", NAME.salt, NAME.value),
        Opening("address", b"n" * 32, NAME.value),
    ],
)
def test_an_opening_that_was_not_registered_is_refused(forged: Opening) -> None:
    for receipt in (promise_of(LEAF, forged), proof_of(LEAF, forged)):
        with pytest.raises(ReceiptInvalid, match="registered"):
            verified(receipt)


def test_one_text_cannot_be_opened_twice() -> None:
    with pytest.raises(ReceiptInvalid):
        verified(proof_of(LEAF, NAME, NAME))


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"not json",
        b"[]",
        b'{"sealed":1}',
        b'{"sealed":[{"fields":{"a":1}}]}',
        b'{"sealed":[], "a":1}',
        b'{"sealed":[],"sealed":[]}',
        b'{"a":1.50}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"[" * 50_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_a_leaf_that_is_no_event_is_refused_even_where_it_stands_in_the_log(leaf: bytes) -> None:
    for receipt in (promise_of(leaf), proof_of(leaf)):
        with pytest.raises(ReceiptInvalid):
            verified(receipt)


def test_a_receipt_needs_the_keys_of_its_policy() -> None:
    with pytest.raises(PolicyInvalid, match="intake"):
        verify_receipt(PROMISE, POLICY.partition("# huiyin")[0])
    stranger = Ed25519Signer(INTAKE.verifier.name, ED25519, b"X" * 32)
    forged = promise_receipt(promise(stranger, ORIGIN, LEAF, FILED_US, DUE_US), LEAF, [])
    with pytest.raises(ReceiptInvalid):
        verified(forged)


def test_a_promise_for_another_log_or_leaf_or_with_no_time_to_keep_it_is_refused() -> None:
    for note in (
        promise(INTAKE, "huiyin.example/410221100202/1", LEAF, FILED_US, DUE_US),
        promise(INTAKE, ORIGIN, LEAF + b" ", FILED_US, DUE_US),
        promise(INTAKE, ORIGIN, LEAF, DUE_US, FILED_US),
        sign_note(f"huiyin-receipt/v0\n{ORIGIN}\n", INTAKE),
        sign_note(promise(INTAKE, ORIGIN, LEAF, FILED_US, DUE_US).text.replace("T2", "T9"), INTAKE),
        sign_note(promise(INTAKE, ORIGIN, LEAF, FILED_US, DUE_US).text.replace("Z", "+08:00"), INTAKE),
    ):
        with pytest.raises(ReceiptInvalid):
            verified(promise_receipt(note, LEAF, []))


def test_a_proof_stripped_of_the_log_or_of_one_witness_is_refused() -> None:
    tree = tree_with(LEAF)
    head, path = cosigned_head(tree), Prover(tree, SIZE).inclusion(INDEX)
    for missing in range(3):
        lines = head.signatures[:missing] + head.signatures[missing + 1 :]
        with pytest.raises(ReceiptInvalid):
            verified(proof_receipt(LEAF, INDEX, path, Note(head.text, lines), []))


@pytest.mark.parametrize("index", [0, INDEX - 1, INDEX + 1, INDEX + SIZE, 2**63 - 1, 2**63])
def test_a_proof_with_another_index_is_refused(index: int) -> None:
    tree = tree_with(LEAF)
    with pytest.raises(ReceiptInvalid):
        verified(proof_receipt(LEAF, index, Prover(tree, SIZE).inclusion(INDEX), cosigned_head(tree), []))


@pytest.mark.parametrize("length", [0, 1, 9, 11, 63, 64, 1000])
def test_a_proof_with_a_path_of_another_length_is_refused(length: int) -> None:
    tree = tree_with(LEAF)
    path = (Prover(tree, SIZE).inclusion(INDEX) * 100)[:length]
    with pytest.raises(ReceiptInvalid):
        verified(proof_receipt(LEAF, INDEX, path, cosigned_head(tree), []))


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff" * 100, b"PK\x03\x04", b"x" * 2_000_000, PROOF[1:], PROOF * 2])
def test_what_is_no_receipt_is_named(data: bytes) -> None:
    for candidate in (data, seal(data)):
        with pytest.raises(ReceiptInvalid, match="receipt invalid"):
            verified(candidate)


@pytest.mark.parametrize(
    "moment", ["2023-11-14T22:13:20.1234567Z", "2023-11-14T22:13:20Z", "2023-11-14 22:13:20.123456Z", "0", ""]
)
def test_a_promise_of_a_time_that_is_malformed_is_refused(moment: str) -> None:
    with pytest.raises(ReceiptInvalid, match="a time is malformed"):
        verified(_promise_at(moment))


@pytest.mark.parametrize("moment", ["2023-02-29T00:00:00.000000Z", "2023-11-14T24:00:00.000001Z"])
def test_a_promise_of_a_time_that_there_is_not_is_refused(moment: str) -> None:
    with pytest.raises(ReceiptInvalid, match="no such time"):
        verified(_promise_at(moment))


def _promise_at(moment: str) -> bytes:
    lines = promise(INTAKE, ORIGIN, LEAF, FILED_US, DUE_US).text.split("\n")
    note = sign_note("\n".join([*lines[:3], moment, *lines[4:]]), INTAKE)
    return promise_receipt(note, LEAF, [])
