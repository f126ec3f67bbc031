"""What a node had accepted of another log at a moment is proven from its own log, by its own word."""

import msgspec

from domain.events import Head, HeadsNoted, encode
from gateway.hosting.postgres_server import PostgresServer
from sync.proofs.merkle import ProofInvalid
from sync.proofs.note import NoteInvalid, encode64
from sync.proofs.noted import Knew, knew, prove_noted, verify_noted
from sync.proofs.policy import Policy, Witness
from tests.domain.examples import examples
from tests.sync.hierarchy import COUNTY, START_US, TOWNSHIP, VILLAGE, Hierarchy, hierarchy


def notes_village(tree: Hierarchy) -> tuple[int, bytes]:
    """The township logs the head of the village's log as it holds it; size and root."""
    village, township = tree[VILLAGE], tree[TOWNSHIP]
    with township.store.transaction() as tx:
        held = tx.trees([village.origin])[village.origin]
    head = Head(log=village.origin, size=held.size, root=encode64(held.frontier.root()))
    township.say(HeadsNoted, heads=(head,))
    return held.size, held.frontier.root()


def test_what_a_node_had_accepted_at_a_moment_is_shown_and_proven_from_its_own_log(postgres: PostgresServer) -> None:
    with hierarchy(postgres, "noted", COUNTY, TOWNSHIP, VILLAGE) as tree:
        village, township, county = tree[VILLAGE], tree[TOWNSHIP], tree[COUNTY]
        tree.settle()
        noted: list[tuple[int, int, bytes]] = []
        for _ in range(3):
            tree.clock.pass_s(3_600)
            village.chat(2)
            tree.settle()
            noted.append((tree.clock.at_us, *notes_village(tree)))
            tree.settle()
        leaves = county.log(township.origin)
        assert leaves == township.log(township.origin)
        assert knew(leaves, village.origin, START_US).at_least is None
        for number, (at_us, size, root) in enumerate(noted):
            known = knew(leaves, village.origin, at_us + 1_000_000)
            assert known.at_least is not None
            assert known.at_least[1:] == (at_us, size, root)
            after = noted[number + 1] if number + 1 < len(noted) else None
            assert (known.before and known.before[1:]) == after
        assert knew(leaves, "huiyin.example/410221100202/1", at_us) == Knew(None, None)

        at_least = knew(leaves, village.origin, noted[0][0]).at_least
        assert at_least is not None
        leaf, cosigner = leaves[at_least.seq], county.cosigner.verifier
        with county.store.transaction() as tx:
            log_id = tx.trees([township.origin])[township.origin].log_id
            proof = prove_noted(tx, log_id, at_least.seq, cosigner.name, leaf)
            assert prove_noted(tx, log_id, at_least.seq, "nobody", leaf) is None
        assert proof is not None
        policy = Policy(township.signer.verifier, (Witness("county", cosigner),), (), "county")
        shown = verify_noted(proof, policy, village.origin)
        assert (shown.by, shown.log, shown.noted) == (township.origin, village.origin, at_least)
        assert abs(shown.stood_by_s - at_least.recorded_us // 1_000_000) <= 1
        assert refuses(proof, policy, "huiyin.example/410221100202/1")
        assert refuses(
            proof.replace(encode64(leaf).encode(), encode64(leaf[:-1] + b" ").encode()), policy, village.origin
        )
        other = Policy(village.signer.verifier, (Witness("county", cosigner),), (), "county")
        assert refuses(proof, other, village.origin), "another node's word for it"


def test_leaves_that_say_nothing_of_a_log_are_passed_over() -> None:
    (noted,) = [event for event in examples() if isinstance(event, HeadsNoted)]
    log, spoiled = noted.heads[0].log, msgspec.structs.replace(noted.heads[0], root="?" * 44)
    leaves = [b"no event", encode(msgspec.structs.replace(noted, heads=(spoiled,))), encode(noted)]
    known = knew(leaves, log, noted.recorded_us)
    assert known.at_least is not None
    assert (known.at_least.seq, known.at_least.size) == (2, noted.heads[0].size)


def refuses(proof: bytes, policy: Policy, log: str) -> bool:
    try:
        verify_noted(proof, policy, log)
    except (NoteInvalid, ProofInvalid):
        return True
    return False
