"""Evidence convicts exactly where two signed statements contradict each other, whatever hands it came through."""

import base64
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.divisions import Division
from domain.events import (
    Actor,
    EventId,
    Grant,
    Head,
    HeadsNoted,
    KeyDestroyed,
    KeyGranted,
    ShardOpened,
    StreamId,
    encode,
)
from domain.keys import new_subject
from domain.shards import shard_after
from sync.exchange.convicting import ByPolicies, NotProven, concerned, convict, judge
from sync.exchange.evidence import (
    MAX_CERTIFICATES,
    Evidence,
    EvidenceFile,
    EvidenceUnreadable,
    KeptKey,
    NotedOtherwise,
    ProvenLeaf,
    Split,
    name_of,
    noted_otherwise,
    read_evidence,
    read_file,
    split_at,
)
from sync.exchange.faults import Fork, Outlived, fork_below, fork_beyond
from sync.exchange.wire import AskRange, Frame
from sync.exchange.wire import encode as encode_record
from sync.proofs.merkle import Frontier, MemoryHashes, Prover, leaf_hash
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, cosign, encode64, sign_note
from sync.proofs.policy import Policy, Witness
from sync.proofs.tree import SignedHead, Tree
from sync.proofs.witness import RolledBack

GOLDEN = Path(__file__).parent.parent / "golden" / "evidence.txt"
ORIGIN, UPPER = "test.example/410221100201/1", "test.example/410221100000/1"
AUTHOR = Ed25519Signer(ORIGIN, ED25519, bytes(32))
NOTER = Ed25519Signer(UPPER, ED25519, bytes([1] * 32))
TOWN = Ed25519Signer(f"{UPPER}/witness", COSIGNATURE_V1, bytes([2] * 32))
CITY = Ed25519Signer("test.example/410200000000/1/witness", COSIGNATURE_V1, bytes([3] * 32))
STRANGER = Ed25519Signer("test.example/stranger", COSIGNATURE_V1, bytes([4] * 32))
LEAVES = [b"one", b"two", b"three", b"four", b"five"]
OTHER = [b"one", b"two", b"x", b"four", b"five"]


def policy(log: Ed25519Signer) -> Policy:
    witnesses = tuple(Witness(name, key.verifier) for name, key in {"town": TOWN, "city": CITY}.items())
    return Policy(log.verifier, witnesses, (), "town")


TRUSTED = ByPolicies([policy(AUTHOR), policy(NOTER), policy(Ed25519Signer(shard_after(ORIGIN), ED25519, bytes(32)))])


def note(leaves: Sequence[bytes], *cosigned: tuple[Ed25519Signer, int], signer: Ed25519Signer | None = AUTHOR) -> str:
    """A head of these leaves by its author, unless it is by nobody, and its cosignatures with their times."""
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    text = Checkpoint(signer.verifier.name if signer else ORIGIN, frontier.size, frontier.root()).text()
    bare = sign_note(text, signer or AUTHOR)
    bare = bare if signer else msgspec.structs.replace(bare, signatures=())
    return bare.with_lines([cosign(text, key, time_s) for key, time_s in cosigned]).to_bytes().decode()


def tree(leaves: Sequence[bytes] = LEAVES) -> Tree:
    return Tree(1, ORIGIN, Frontier().extend([leaf_hash(leaf) for leaf in leaves])[0], None, 0, None)


def hashes(leaves: Sequence[bytes] = LEAVES) -> MemoryHashes:
    return MemoryHashes([leaf_hash(leaf) for leaf in leaves])


def head(leaves: Sequence[bytes], signer: Ed25519Signer = AUTHOR) -> SignedHead:
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    return SignedHead(frontier.size, frontier.root(), note(leaves, signer=signer))


def below() -> Fork:
    fork = fork_below(hashes(), tree(), head(LEAVES), head(OTHER[:4]), b"")
    assert fork is not None
    return fork


def beyond(ours: Sequence[bytes] = LEAVES) -> Fork:
    grown = [*OTHER, b"six"]
    record = encode_record(Frame(ORIGIN, 2, note(grown), grown[2:], []))
    fork = fork_beyond(hashes(), 2, [leaf_hash(leaf) for leaf in grown[2:]], head(ours), head(grown), record)
    assert fork is not None
    return fork


def split(ours: str, theirs: str, size: int) -> Split:
    return msgspec.msgpack.decode(split_at(hashes(), tree(), ours, size, theirs), type=Split)


def noted(root_of: Sequence[bytes], size: int | None = None) -> NotedOtherwise:
    there = Frontier().extend([leaf_hash(leaf) for leaf in root_of])[0]
    named = Head(log=ORIGIN, size=there.size if size is None else size, root=encode64(there.root()))
    leaf = encode(HeadsNoted(**ENVELOPE, heads=(named,)))  # type: ignore[arg-type]
    upper = [b"before", leaf, b"after"]
    noter = (hashes(upper), head(upper, NOTER), 1, leaf)
    kept = noted_otherwise(noter, hashes(), tree(), note(LEAVES), min(there.size, 5))
    return msgspec.msgpack.decode(kept, type=NotedOtherwise)


ENVELOPE = {
    "id": EventId(UUID(int=1)),
    "stream": StreamId(UUID(int=2)),
    "version": 1,
    "case": None,
    "node": Division("410221100000"),
    "actor": Actor(account=UUID(int=1), role="clerk", unit="410221100000.office"),
    "occurred_us": 1,
    "recorded_us": 1,
    "cause": (),
    "law": None,
    "sealed": (),
}


def shard(size: int, root: bytes, why: str, ours: str = "", first: bytes | None = None) -> Fork:
    """What is kept of a shard whose first leaf says that the one before ended there."""
    after = shard_after(ORIGIN)
    opened = {"origin": after, "before": ORIGIN, "size": size, "root": encode64(root), "checkpoint": "", "why": why}
    leaf = first or encode(ShardOpened(**ENVELOPE, **opened))  # type: ignore[arg-type]
    theirs = note([leaf], signer=Ed25519Signer(after, ED25519, bytes(32)))
    return Fork(ours, theirs, b"", [], 0, b"", encode_record(Frame(after, 0, theirs, [leaf], [])))


def root(leaves: Sequence[bytes]) -> bytes:
    return Frontier().extend([leaf_hash(leaf) for leaf in leaves])[0].root()


KEY = {"subject": new_subject(Division("410221100201"), bytes(10))}


def kept_key(*said: str, of: str = "410221100000") -> KeptKey:
    """What is said in the leaves of one log, in that order; the proof of the first and the last."""
    erasure = {"erasure": UUID(int=7), "custodian": Division(of)}
    grant = Grant(custodian=Division("410221100201"), purpose="handle", recipient_key="k" * 16, wrapped="A" * 43 + "=")
    shapes = {
        "destroyed": encode(KeyDestroyed(**ENVELOPE, **KEY, **erasure)),  # type: ignore[arg-type]
        "granted": encode(KeyGranted(**ENVELOPE, **KEY, grants=(grant,))),  # type: ignore[arg-type]
    }
    leaves = [shapes[one] for one in said]
    over = head(leaves, NOTER).note
    proofs = [
        ProvenLeaf(leaf, seq, Prover(hashes(leaves), len(leaves)).inclusion(seq), over)
        for seq, leaf in enumerate(leaves)
    ]
    by_kind = sorted([proofs[0], proofs[-1]], key=lambda one: one.leaf != shapes["destroyed"])
    return KeptKey(*by_kind)


def back(later_s: int) -> RolledBack:
    return RolledBack(note(LEAVES, (TOWN, 1_000)), note(LEAVES[:3], (TOWN, later_s)), 3)


GUILTY: dict[str, tuple[Evidence, str, tuple[str, ...]]] = {
    "two heads of one log, the smaller no prefix": (below(), "forked", (ORIGIN,)),
    "entries that lead to another history": (beyond(), "forked", (ORIGIN,)),
    "one author's two heads, kept as a split": (
        split(note(LEAVES), note(OTHER), 5), "forked", (ORIGIN,)
    ),
    "one witness under both": (
        split(note(LEAVES, (TOWN, 1)), note(OTHER[:4], (TOWN, 2), signer=None), 4),
        "cosigned_two_histories", (TOWN.verifier.name,),
    ),
    "an author and a witness": (
        split(note(LEAVES, (TOWN, 1)), note(OTHER[:4], (CITY, 2), signer=None), 4),
        "cosigned_otherwise", (ORIGIN, CITY.verifier.name),
    ),
    "a note of another history": (noted(OTHER), "noted_otherwise", (ORIGIN, UPPER)),
    "who gives on what it had destroyed": (kept_key("destroyed", "granted"), "kept_key", (UPPER,)),
    "a witness that was put back": (back(5_000), "witness_rolled_back", (TOWN.verifier.name,)),
    "a shard that goes on from another root": (
        shard(5, root(OTHER), "lost", note(LEAVES)), "shard_not_continued", (shard_after(ORIGIN),)
    ),
    "a year that ended before what was signed": (
        shard(3, root(LEAVES[:3]), "year", note(LEAVES)), "shard_not_continued", (shard_after(ORIGIN),)
    ),
    "a shard whose first leaf says nothing of the one before": (
        shard(0, b"", "", "", b"no event"), "shard_not_continued", (shard_after(ORIGIN),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GUILTY)
def test_what_contradicts_convicts_who_signed_it(name: str) -> None:
    evidence, code, liars = GUILTY[name]
    assert convict(evidence, TRUSTED)[:2] == (code, liars)
    assert {*concerned(evidence)} >= {liars[0]} & {ORIGIN, UPPER}


INNOCENT: dict[str, Evidence] = {
    "a prefix": msgspec.structs.replace(below(), theirs=note(LEAVES[:4]), prefix_root=root(LEAVES[:4])),
    "one head told twice": split(note(LEAVES), note(LEAVES, (TOWN, 1)), 5),
    "an honest log that grew": msgspec.structs.replace(beyond(), ours=note(OTHER)),
    "entries that begin beyond the head": msgspec.structs.replace(beyond(), ours=note(LEAVES[:1])),
    "a proof that was left out": msgspec.structs.replace(below(), proof=[]),
    "a fork of which its author signed the later half": msgspec.structs.replace(
        below(), ours=note(LEAVES, (TOWN, 1), signer=None)
    ),
    "a fork of which its author signed the earlier half": msgspec.structs.replace(
        below(), theirs=note(OTHER[:4], (TOWN, 1), signer=None)
    ),
    "another log": msgspec.structs.replace(below(), theirs=note([b"x"], signer=NOTER)),
    "what nobody signed": split(note(LEAVES), note(OTHER, signer=None), 5),
    "what the author has not signed": split(note(LEAVES, (TOWN, 1), signer=None), note(OTHER, (CITY, 1)), 5),
    "a strangers word": split(note(LEAVES), note(OTHER, (STRANGER, 1), signer=None), 5),
    "a head that is larger": split(note(LEAVES[:3]), note(OTHER, (TOWN, 1), signer=None), 5),
    "a true note": noted(LEAVES[:4]),
    "a note of more than is shown": noted([*LEAVES, b"six"]),
    "a note of nothing": noted(LEAVES, 0),
    "a leaf that is not there": msgspec.structs.replace(noted(OTHER), seq=0),
    "a leaf that is no note": msgspec.structs.replace(noted(OTHER), leaf=b"before", seq=0, path=noted(OTHER).path),
    "who gave on and then destroyed": kept_key("granted", "destroyed"),
    "who destroyed twice": kept_key("destroyed", "destroyed"),
    "what another one has destroyed": kept_key("destroyed", "granted", of="410221100201"),
    "a witness within the clocks": back(1_500),
    "a witness that goes on": RolledBack(note(LEAVES[:3], (TOWN, 1)), note(LEAVES, (TOWN, 9_000)), 5),
    "two witnesses": RolledBack(note(LEAVES, (TOWN, 1)), note(LEAVES[:3], (CITY, 9_000)), 3),
    "a shard of a newer version": shard(0, b"", "", "", b'{"type":"log.shard_opened.v9"}'),
    "who lost its disk": shard(3, root(LEAVES[:3]), "lost", note(LEAVES)),
    "a shard that goes on": shard(5, root(LEAVES), "year", note(LEAVES)),
    "a record of another log": msgspec.structs.replace(beyond(), record=encode_record(Frame(UPPER, 2, "", [b"x"], []))),
    "a record that is none": msgspec.structs.replace(beyond(), record=b"x"),
    "a letter": Outlived("statement", encode_record(AskRange(ORIGIN, 1))),
    "a key that is good": Outlived("", note(LEAVES).encode()),
    "a policy knows of no end": Outlived("statement", note(LEAVES).encode()),
    "an edge that is none": msgspec.structs.replace(beyond(), frontier=b"short"),
}  # fmt: skip


@pytest.mark.parametrize("name", INNOCENT)
def test_what_does_not_contradict_convicts_nobody(name: str) -> None:
    with pytest.raises(NotProven):
        convict(INNOCENT[name], TRUSTED)


def test_without_the_keys_nobody_is_convicted() -> None:
    for evidence, *_ in GUILTY.values():
        with pytest.raises(NotProven):
            convict(evidence, ByPolicies([]))


@given(st.sampled_from(sorted(GUILTY)), st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_evidence_with_any_byte_changed_convicts_nobody_without_the_liar(name: str, data: st.DataObject) -> None:
    """Where a line falls away that convicted one alone, two may be left of whom one has lied."""
    evidence, _, liars = GUILTY[name]
    true = packed(evidence)
    place = data.draw(st.integers(0, len(true) - 1))
    spoilt = true[:place] + bytes([true[place] ^ data.draw(st.integers(1, 255))]) + true[place + 1 :]
    read = read_evidence(spoilt)
    if read is not None:
        try:
            assert {*convict(read, TRUSTED).liars} >= {*liars}
        except NotProven:
            return


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=2, max_size=9), st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_two_true_heads_of_an_honest_log_can_be_put_together_to_convict_it(
    leaves: list[bytes], data: st.DataObject
) -> None:
    one, other, first = (data.draw(st.integers(1, len(leaves))) for _ in range(3))
    edge = Frontier().extend([leaf_hash(leaf) for leaf in leaves[:first]])[0]
    ours, theirs = note(leaves[:one], (TOWN, 1)), note(leaves[:other], (TOWN, 9_000))
    entries = leaves[min(first, other) : other] or [b"x"]
    record = encode_record(Frame(ORIGIN, min(first, other), theirs, entries, []))
    made_up: list[Evidence] = [
        Fork(ours, theirs, root(leaves[:first]), [], first, edge.to_bytes(), record),
        Split(ours, theirs, root(leaves[:first]), []),
    ]
    for evidence in made_up:
        with pytest.raises(NotProven):
            convict(evidence, TRUSTED)


@given(st.binary(max_size=300))
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_any_other_bytes_are_no_evidence_and_no_file(data: bytes) -> None:
    assert read_evidence(data) is None
    with pytest.raises(EvidenceUnreadable):
        read_file(data)


def packed(evidence: Evidence) -> bytes:
    return msgspec.json.encode(evidence) if isinstance(evidence, RolledBack) else msgspec.msgpack.encode(evidence)


SHAPES: dict[str, Evidence] = {
    "fork": beyond(),
    "split": split(note(LEAVES, (TOWN, 1)), note(OTHER[:4], (CITY, 2), signer=None), 4),
    "noted_otherwise": noted(OTHER),
    "outlived": Outlived("statement", b"record"),
    "rolled_back": back(5_000),
    "kept_key": kept_key("destroyed", "granted"),
}


def test_every_evidence_has_the_bytes_it_was_released_with_and_is_read_back() -> None:
    kept = dict(line.split(" ") for line in GOLDEN.read_text("ascii").splitlines())
    assert {name: base64.b64encode(packed(shape)).decode() for name, shape in SHAPES.items()} | {
        "file": base64.b64encode(FILE).decode()
    } == kept
    assert {name: read_evidence(packed(shape)) for name, shape in SHAPES.items()} == SHAPES


FILE = msgspec.json.encode(EvidenceFile("410221100000", "fork", ORIGIN, "detail", 2, 3, 4, packed(below()), ["text"]))


def test_a_file_is_judged_by_what_is_signed_in_it_and_never_by_what_it_says_of_itself() -> None:
    says_otherwise = msgspec.structs.replace(read_file(FILE), by="x", kind="gap", subject="y", detail="z")
    judged = judge(msgspec.json.encode(says_otherwise), None, [policy(AUTHOR)])
    assert judged.verdict is not None
    assert judged.verdict.liars == (ORIGIN,)
    assert judge(FILE, None, [policy(NOTER)]).verdict is None
    with pytest.raises(EvidenceUnreadable):
        read_file(b" " * (64 << 20) + FILE)


def test_a_file_with_more_certificates_than_can_be_weighed_in_seconds_is_refused() -> None:
    many = msgspec.structs.replace(read_file(FILE), certificates=["text"] * (MAX_CERTIFICATES + 1))
    with pytest.raises(EvidenceUnreadable):
        read_file(msgspec.json.encode(many))


def test_a_files_name_is_its_faults_own_whatever_stands_in_the_subject() -> None:
    assert name_of("fork", "../../etc/passwd").startswith("fork-")
    assert "/" not in name_of("../fork", "a") + name_of("fork", "/")
    assert name_of("fork", "a") == name_of("fork", "a") != name_of("fork", "b")


if __name__ == "__main__":
    lines = {name: base64.b64encode(packed(shape)).decode() for name, shape in SHAPES.items()}
    lines["file"] = base64.b64encode(FILE).decode()
    GOLDEN.write_text("".join(f"{name} {line}\n" for name, line in lines.items()), "ascii")
