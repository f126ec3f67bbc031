"""Which heads of the own log satisfy its policy, on every store."""

import pytest

from sync.exchange.checkpoints import seal
from sync.proofs.merkle import leaf_hash, verify_inclusion
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer, cosign, parse_note
from sync.proofs.policy import check_checkpoint, format_policy, parse_policy
from sync.proofs.quorum import Quorum
from sync.proofs.tree import OWN_LOG, Latest
from tests.sync.test_store import NOW_US, OWN_ORIGIN, Place, own, place  # noqa: F401  a fixture

LOG = Ed25519Signer(OWN_ORIGIN, ED25519, b"l" * 32)
PARENT, AUDIT, PEER = (
    Ed25519Signer(f"{name}.example/w", COSIGNATURE_V1, name.encode().ljust(32)) for name in ("up", "audit", "peer")
)
HEADS = 40
LINES = f"log {LOG.verifier.vkey}\n" + "".join(
    f"witness {signer.verifier.name[:2]} {signer.verifier.vkey}\n" for signer in (PARENT, AUDIT, PEER)
)


def quorum(rule: str) -> Quorum:
    return Quorum(parse_policy(f"{LINES}{rule}"), PARENT.verifier.name)


UP_ALONE = quorum("quorum up\n")
ANY = quorum("group far any au pe\ngroup all all up far\nquorum all\n")
BOTH = quorum("group all all up au pe\nquorum all\n")


@pytest.fixture
def log(place: Place) -> Place:  # noqa: F811
    """A log of HEADS heads, one for each leaf."""
    for at in range(HEADS):
        place.append(own(1, version=at + 1), [], None)
        with place.store.transaction() as tx:
            assert seal(tx, [LOG])
    return place


def sign(log: Place, witness: Ed25519Signer, *sizes: int) -> None:
    with log.store.transaction() as tx:
        for size in sizes:
            head = tx.head_at(OWN_LOG, size)
            assert head is not None
            line = str(cosign(parse_note(head.note.encode()).text, witness, 1_700_000_000))
            tx.keep_cosignatures(witness.verifier.name, [(OWN_LOG, size, line)], NOW_US)


def secured(log: Place, rule: Quorum, known: int = 0) -> int:
    with log.store.transaction() as tx:
        return rule.secured_size(tx, known)


def test_an_event_is_secured_once_all_that_the_policy_demands_have_signed_one_head_over_it(log: Place) -> None:
    assert [secured(log, rule) for rule in (UP_ALONE, ANY, BOTH)] == [0, 0, 0]
    sign(log, PARENT, *range(1, HEADS, 2))
    assert [secured(log, rule) for rule in (UP_ALONE, ANY, BOTH)] == [39, 0, 0]
    sign(log, AUDIT, 7, 12, 15, 30)
    sign(log, PEER, 9, 12, 21, 30)
    assert [secured(log, rule) for rule in (UP_ALONE, ANY, BOTH)] == [39, 21, 0]
    sign(log, PEER, 15)
    assert [secured(log, rule) for rule in (UP_ALONE, ANY, BOTH)] == [39, 21, 15]
    assert secured(log, ANY, known=21) == 21
    assert secured(log, ANY, known=33) == 33, "what is known is not looked for"


def test_a_proof_rests_on_the_first_head_that_satisfies_the_policy(log: Place) -> None:
    sign(log, PARENT, *range(1, HEADS, 2))
    sign(log, AUDIT, *range(2, HEADS, 2), 29, 35)
    sign(log, PEER, 35)
    with log.store.transaction() as tx:
        bodies = tx.leaves(OWN_LOG, 20, 21)
        for rule, size in ((UP_ALONE, 21), (ANY, 29), (BOTH, 35)):
            proof = rule.proof(tx, OWN_LOG, 20)
            assert proof is not None
            head, _ = check_checkpoint(rule.policy, parse_note(proof.checkpoint.encode()))
            assert head.size == size
            verify_inclusion(proof.index, head.size, leaf_hash(bodies[0]), proof.path, head.root)
        assert BOTH.proof(tx, OWN_LOG, 35) is None
        assert ANY.proof(tx, OWN_LOG, 39) is UP_ALONE.proof(tx, OWN_LOG, 39) is None


def test_a_policy_that_could_do_without_the_next_one_up_secures_nothing() -> None:
    with pytest.raises(ValueError, match="does not demand"):
        quorum("group one any up au\nquorum one\n")
    with pytest.raises(ValueError, match="does not demand"):
        Quorum(UP_ALONE.policy, "stranger.example/w")


def test_the_last_word_of_a_witness_takes_the_place_of_the_one_before(log: Place) -> None:
    with log.store.transaction() as tx:
        assert tx.latest(OWN_LOG, "w") is None
        for latest in (
            Latest("w", 3, "first", NOW_US),
            Latest("w", 3, "again", NOW_US + 1),
            Latest("v", 1, "other", 5),
        ):
            tx.keep_latest(OWN_LOG, latest)
        assert tx.latest(OWN_LOG, "w") == Latest("w", 3, "again", NOW_US + 1)
        assert tx.latest(OWN_LOG, "v") == Latest("v", 1, "other", 5)
        assert tx.latest(OWN_LOG + 1, "w") is None


def test_what_a_key_that_another_followed_cosigned_counts_as_far_as_the_policy_says(log: Place) -> None:
    former = Ed25519Signer(PARENT.verifier.name, COSIGNATURE_V1, b"before".ljust(32))
    text = format_policy(UP_ALONE.policy) + f"# huiyin:witness-before up {former.verifier.vkey} 9\n"
    rule = Quorum(parse_policy(text), PARENT.verifier.name)
    sign(log, former, *range(1, 10))
    with log.store.transaction() as tx:
        assert (tx.cosigned_by(OWN_LOG, former.verifier), tx.cosigned_by(OWN_LOG, PARENT.verifier)) == (9, 0)
        assert not rule.is_outgrown(tx)
    assert secured(log, rule) == 9
    sign(log, former, 12)
    with log.store.transaction() as tx:
        assert rule.is_outgrown(tx), "the policy says less than is known by now"
        assert rule.proof(tx, OWN_LOG, 9) is None
    assert secured(log, rule) == 9
    sign(log, PARENT, 9, 14)
    with log.store.transaction() as tx:
        assert (tx.cosigned_by(OWN_LOG, former.verifier), tx.cosigned_by(OWN_LOG, PARENT.verifier)) == (12, 14)
        assert not rule.is_outgrown(tx)
        assert not UP_ALONE.is_outgrown(tx)
        proof = rule.proof(tx, OWN_LOG, 9)
        assert proof is not None
        assert check_checkpoint(rule.policy, parse_note(proof.checkpoint.encode()))[0].size == 14
    assert secured(log, rule) == 14
