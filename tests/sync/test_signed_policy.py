"""Policies as their publisher signs and numbers them, and the attacks on quorum and policy, by number."""

import hashlib
from collections.abc import Callable

import msgspec
import pytest

from sync.proofs.merkle import Prover
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Ed25519Signer,
    Note,
    NoteInvalid,
    SignatureLine,
    cosign,
    sign_note,
)
from sync.proofs.policy import PolicyInvalid, QuorumMissing, check_checkpoint, demands, has_quorum, parse_policy
from sync.proofs.receipt import ReceiptInvalid, proof_receipt, verify_receipt
from sync.proofs.signed_policy import (
    PolicyOutdated,
    PolicyUnsigned,
    PolicyWeaker,
    SignedPolicy,
    check_later,
    fewest_witnesses,
    is_signed,
    parse_either,
    read_signed,
    sign_policy,
)
from tests.sync.test_receipt import INDEX, LEAF, LOG, ORIGIN, SIZE, tree_with

PUBLISHER = Ed25519Signer("huiyin.example/410200000000/1", ED25519, b"P" * 32)
STRANGER = Ed25519Signer("huiyin.example/410200000000/1", ED25519, b"S" * 32)
PARENT, AUDIT, PEER = (
    Ed25519Signer(name, COSIGNATURE_V1, name.encode()[:32].rjust(32, b"."))
    for name in ("huiyin.example/410221100000/witness", "audit.example/w", "peer.example/w")
)
TREE = tree_with(LEAF)
OTHER_KEY = Ed25519Signer(ORIGIN, ED25519, b"O" * 32)
WITNESSES = "".join(
    f"witness {name} {signer.verifier.vkey}\n" for name, signer in (("up", PARENT), ("audit", AUDIT), ("peer", PEER))
)


def text(quorum: str, log: Ed25519Signer = LOG, more: str = WITNESSES) -> str:
    return f"log {log.verifier.vkey}\n{more}{quorum}"


ANY_OUTSIDE = text("group outside 1 audit peer\ngroup secured 2 up outside\nquorum secured\n")
ALL = text("group secured 3 up audit peer\nquorum secured\n")
UP_ALONE = text("quorum up\n")


def signed(policy: str, serial: int, signer: Ed25519Signer = PUBLISHER) -> SignedPolicy:
    return read_signed(sign_policy(parse_policy(policy), serial, signer), [PUBLISHER.verifier])


def note(*witnesses: Ed25519Signer) -> Note:
    bare = sign_note(Checkpoint(ORIGIN, 12, b"r" * 32).text(), LOG)
    return bare.with_lines([cosign(bare.text, witness, 1_700_000_000) for witness in witnesses])


def head_over_leaf(*witnesses: Ed25519Signer) -> Note:
    bare = sign_note(Checkpoint(ORIGIN, SIZE, TREE.frontier.root()).text(), LOG)
    return bare.with_lines([cosign(bare.text, witness, 1_700_000_100) for witness in witnesses])


def receipt(head: Note) -> bytes:
    return proof_receipt(LEAF, INDEX, Prover(TREE, SIZE).inclusion(INDEX), head, ())


def test_a_signed_policy_says_what_the_bare_one_says_and_its_number() -> None:
    found = signed(ANY_OUTSIDE, 7)
    assert (found.serial, found.text, found.policy) == (7, ANY_OUTSIDE, parse_policy(ANY_OUTSIDE))
    assert is_signed(sign_policy(found.policy, 7, PUBLISHER))
    assert not is_signed(ANY_OUTSIDE)


def test_a_policy_that_its_publisher_did_not_sign_is_refused() -> None:
    with pytest.raises(PolicyInvalid):
        signed(ALL, 1, STRANGER)
    assert read_signed(sign_policy(parse_policy(ALL), 1, STRANGER), None).serial == 1, "where nobody asks by whom"


def test_no_altered_byte_of_a_signed_policy_passes() -> None:
    whole = sign_policy(parse_policy(ALL), 3, PUBLISHER)
    for at in range(len(whole)):
        for altered in (
            whole[:at],
            whole[:at] + chr(ord(whole[at]) ^ 1) + whole[at + 1 :],
            whole[:at] + whole[at + 1 :],
        ):
            with pytest.raises(PolicyInvalid):
                read_signed(altered, [PUBLISHER.verifier])


SPOILED: dict[str, Callable[[str], str]] = {
    "no serial": lambda body: body.replace("serial 3\n", ""),
    "serial zero": lambda body: body.replace("serial 3", "serial 0"),
    "serial with a zero before": lambda body: body.replace("serial 3", "serial 03"),
    "bare number": lambda body: body.replace("serial 3", "3"),
    "another spelling": lambda body: body.replace("group secured 3", "group secured all"),
    "a comment": lambda body: body + "# trust me\n",
    "nothing beyond the number": lambda body: "huiyin-policy/v0\nserial 3\n",
    "nothing at all": lambda body: "huiyin-policy/v0\n",
    "a demo's": lambda body: body + "# huiyin:clock simulated\n",
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_can_be_read_in_two_ways_is_no_policy_though_it_is_signed(case: str) -> None:
    body = f"huiyin-policy/v0\nserial 3\n{ALL}"
    spoiled = sign_note(SPOILED[case](body), PUBLISHER).to_bytes().decode()
    with pytest.raises(PolicyInvalid):
        read_signed(spoiled, [PUBLISHER.verifier])


def test_a_policy_is_the_same_bare_or_signed_by_whomever() -> None:
    assert parse_either(sign_policy(parse_policy(ALL), 3, STRANGER)) == parse_either(ALL) == parse_policy(ALL)


def test_half_a_character_is_no_policy() -> None:
    with pytest.raises(PolicyInvalid):
        read_signed("huiyin-policy/v0\n\ud800", None)


def test_policies_are_numbered_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        sign_policy(parse_policy(ALL), 0, PUBLISHER)


@pytest.mark.parametrize(
    ("quorum", "fewest"),
    [
        ("quorum up\n", 1),
        ("group g any up audit peer\nquorum g\n", 1),
        ("group g 2 up audit peer\nquorum g\n", 2),
        ("group out all audit peer\ngroup g any up out\nquorum g\n", 1),
        ("group out all audit peer\ngroup g all up out\nquorum g\n", 3),
        ("group out 1 audit peer\ngroup g all up out\nquorum g\n", 2),
    ],
)
def test_how_many_witnesses_a_quorum_needs_at_the_least(quorum: str, fewest: int) -> None:
    assert fewest_witnesses(parse_policy(text(quorum))) == fewest


def test_a_quorum_that_can_do_without_a_key_does_not_demand_it() -> None:
    assert demands(parse_policy(ANY_OUTSIDE), PARENT.verifier)
    assert not demands(parse_policy(ANY_OUTSIDE), AUDIT.verifier)
    assert not has_quorum(parse_policy(ANY_OUTSIDE), [PARENT.verifier], 12)
    assert has_quorum(parse_policy(ANY_OUTSIDE), {PARENT.verifier, PEER.verifier}, 12)


# --- (50) a receipt or checkpoint with lines taken out, doubled, or with one key in two roles


@pytest.mark.parametrize("quorum", [ALL, ANY_OUTSIDE])
def test_50_without_the_logs_line_no_number_of_witnesses_convinces(quorum: str) -> None:
    whole = note(PARENT, AUDIT, PEER)
    with pytest.raises(NoteInvalid, match="log itself"):
        check_checkpoint(parse_policy(quorum), Note(whole.text, whole.signatures[1:]))


def sm2_line(owner: Ed25519Signer, text: str) -> SignatureLine:
    """A line of the kind that SM2 would have, under the log's own name, with whatever its id was."""
    kind = b"\xffsm2-sm3/v1"
    key_id = hashlib.sha256(owner.verifier.name.encode() + b"\n" + kind + bytes(33)).digest()[:4]
    return SignatureLine(owner.verifier.name, key_id, hashlib.sha512(text.encode()).digest())


def test_68_a_line_of_a_kind_that_nobody_can_check_is_none_and_hides_none() -> None:
    whole = note(PARENT, AUDIT, PEER)
    line = sm2_line(LOG, whole.text)
    check_checkpoint(parse_policy(ALL), Note(whole.text, (*whole.signatures, line)))
    with pytest.raises(NoteInvalid, match="log itself"):
        check_checkpoint(parse_policy(ALL), Note(whole.text, (line, *whole.signatures[1:])))


def test_50_with_any_witness_stripped_that_the_quorum_needs_it_is_refused_by_name() -> None:
    whole = note(PARENT, AUDIT, PEER)
    for stripped in (1, 2, 3):
        lines = tuple(line for at, line in enumerate(whole.signatures) if at != stripped)
        with pytest.raises(QuorumMissing):
            check_checkpoint(parse_policy(ALL), Note(whole.text, lines))
    check_checkpoint(parse_policy(ANY_OUTSIDE), note(PARENT, PEER))
    for short in (note(), note(PARENT), note(AUDIT, PEER)):
        with pytest.raises(QuorumMissing):
            check_checkpoint(parse_policy(ANY_OUTSIDE), short)


def test_50_one_witness_that_signs_twice_counts_once() -> None:
    once = note(PARENT, AUDIT)
    twice = Note(once.text, (*once.signatures, cosign(once.text, AUDIT, 1_700_000_060), once.signatures[2]))
    with pytest.raises(QuorumMissing):
        check_checkpoint(parse_policy(ALL), twice)
    _, cosigned = check_checkpoint(parse_policy(ANY_OUTSIDE), twice)
    assert [one.verifier for one in cosigned] == [PARENT.verifier, AUDIT.verifier]


def test_50_a_log_that_cosigns_itself_is_no_witness() -> None:
    own = Ed25519Signer("huiyin.example/other", COSIGNATURE_V1, b"L" * 32)
    with pytest.raises(PolicyInvalid, match="used twice"):
        parse_policy(text("quorum self\n", more=f"witness self {own.verifier.vkey}\n"))


def test_50_a_receipt_whose_quorum_is_stripped_is_no_receipt() -> None:
    whole = head_over_leaf(PARENT, PEER)
    assert verify_receipt(receipt(whole), ANY_OUTSIDE).leaf == LEAF
    for lines in (whole.signatures[1:], whole.signatures[:1], whole.signatures[:2], whole.signatures[::2]):
        with pytest.raises(ReceiptInvalid):
            verify_receipt(receipt(Note(whole.text, lines)), ANY_OUTSIDE)


# --- (51) a line with the right name and key id, and a signature of nobody's


def test_51_a_forged_line_under_a_known_name_spoils_the_whole_note_and_one_of_a_stranger_nothing() -> None:
    good = note(PARENT, AUDIT, PEER)
    for at in range(1, 4):
        line = good.signatures[at]
        forged = msgspec.structs.replace(line, signature=line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
        lines = (*good.signatures[:at], forged, *good.signatures[at + 1 :])
        with pytest.raises(NoteInvalid, match="does not verify"):
            check_checkpoint(parse_policy(ANY_OUTSIDE), Note(good.text, lines))
    odd = Ed25519Signer("stranger.example/w", COSIGNATURE_V1, b"O" * 32)
    check_checkpoint(parse_policy(ALL), good.with_lines([cosign(good.text, odd, 1)]))


# --- (59) names that look alike


@pytest.mark.parametrize(
    "origin",
    [
        ORIGIN.upper(),
        ORIGIN + "/",
        ORIGIN.replace("/1", "/１"),
        ORIGIN.replace("e", "е"),
        "/" + ORIGIN,
        ORIGIN + "\u200b",
    ],
)
def test_59_a_checkpoint_of_a_log_whose_name_looks_alike_is_another_log(origin: str) -> None:
    other = sign_note(Checkpoint(ORIGIN, 12, b"r" * 32).text().replace(ORIGIN, origin), LOG)
    lines = [cosign(other.text, witness, 1) for witness in (PARENT, AUDIT, PEER)]
    with pytest.raises(NoteInvalid):
        check_checkpoint(parse_policy(ALL), other.with_lines(lines))


def test_59_a_witness_that_bears_the_name_of_the_log_is_refused() -> None:
    twin = Ed25519Signer(ORIGIN, COSIGNATURE_V1, b"T" * 32)
    with pytest.raises(PolicyInvalid, match="name of the log"):
        parse_policy(text("quorum twin\n", more=f"witness twin {twin.verifier.vkey}\n"))


# --- (65) a policy that asks for less


def test_65_a_policy_without_a_quorum_is_none() -> None:
    for weakest in ("quorum none\n", "", "group g 0 up\nquorum g\n", "group g any\nquorum g\n"):
        with pytest.raises(PolicyInvalid):
            parse_policy(text(weakest))


def test_65_an_older_policy_or_a_second_one_under_a_number_is_refused() -> None:
    known = signed(ALL, 4)
    check_later(known, signed(ALL, 4))
    check_later(known, signed(ALL, 5))
    with pytest.raises(PolicyOutdated):
        check_later(known, signed(ALL, 3))
    with pytest.raises(PolicyOutdated):
        check_later(known, signed(ALL.replace("secured", "agreed"), 4))


def test_65_a_later_policy_with_fewer_witnesses_needs_a_persons_word() -> None:
    known, fewer = signed(ALL, 4), signed(UP_ALONE, 5)
    with pytest.raises(PolicyWeaker):
        check_later(known, fewer)
    check_later(known, fewer, accept_weaker=True)
    check_later(fewer, known := signed(ALL, 6))
    with pytest.raises(PolicyOutdated):
        check_later(known, fewer, accept_weaker=True)


def test_65_the_policy_of_another_log_takes_no_place() -> None:
    other = Ed25519Signer("huiyin.example/410221100202/1", ED25519, b"2" * 32)
    with pytest.raises(PolicyInvalid, match="410221100202"):
        check_later(signed(ALL, 1), signed(text("quorum up\n", other), 2))


def test_65_where_a_publisher_is_named_a_bare_policy_or_a_strangers_proves_nothing() -> None:
    filed = receipt(head_over_leaf(PARENT, AUDIT, PEER))
    good = sign_policy(parse_policy(ALL), 2, PUBLISHER)

    assert verify_receipt(filed, good, publisher=PUBLISHER.verifier).policy_serial == 2
    assert verify_receipt(filed, good).policy_serial == 2
    assert verify_receipt(filed, ALL).policy_serial is None
    with pytest.raises(PolicyUnsigned):
        verify_receipt(filed, ALL, publisher=PUBLISHER.verifier)
    with pytest.raises(PolicyInvalid):
        verify_receipt(filed, good, publisher=STRANGER.verifier)
    unknown_log = sign_policy(parse_policy(ALL.replace(LOG.verifier.vkey, OTHER_KEY.verifier.vkey)), 3, PUBLISHER)
    with pytest.raises(ReceiptInvalid):
        verify_receipt(filed, unknown_log, publisher=PUBLISHER.verifier)
