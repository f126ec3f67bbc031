"""Whatever somebody sends a verifier or a witness: a named refusal, nothing moved, in bounded time and memory.

A number in a name is that of the attack in the list of attacks that such software has to withstand.
"""

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.proofs.merkle import (
    EMPTY_ROOT,
    Frontier,
    FrontierDamaged,
    MemoryHashes,
    ProofInvalid,
    Prover,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from sync.proofs.note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    KeyInvalid,
    NoteInvalid,
    encode64,
    parse_checkpoint,
    parse_note,
    parse_signature_lines,
    parse_skey,
    parse_vkey,
    verify,
)
from sync.proofs.policy import PolicyInvalid, check_checkpoint, parse_policy
from sync.proofs.receipt import ReceiptInvalid, seal, standard_part, verify_receipt
from sync.proofs.signed_policy import parse_either, read_signed, sign_policy
from sync.proofs.tiles import (
    TileHashes,
    TileInvalid,
    TilePath,
    check_bundle,
    entry_bundle,
    hash_tile,
    parse_entry_bundle,
    parse_hash_tile,
    parse_tile_path,
)
from sync.proofs.tlog_proof import parse_tlog_proof
from sync.proofs.witness import MAX_REQUEST_BYTES, Answer, add_checkpoint, size_held
from tests.sync.test_receipt import LOG, POLICY, PROMISE, PROOF, TOWN, cosigned_head, tree_with
from tests.sync.test_witness import LOG as WATCHED
from tests.sync.test_witness import LOG_KEY, NOW_US, WITNESS, Log, Memory

LEAVES = [leaf_hash(b"%d" % number) for number in range(300)]
STORED = MemoryHashes(LEAVES)
HEAD = cosigned_head(tree_with(b"leaf"))
NOTE = HEAD.to_bytes()


def root(size: int) -> bytes:
    return Prover(STORED, size).root()


def asked(request: bytes, memory: Memory | None = None) -> Answer:
    """What a witness that has cosigned 7 leaves answers; its state, which nothing refused may move."""
    memory = memory or watched()
    before = dict(memory.state)
    answer = add_checkpoint(memory, {WATCHED: [LOG_KEY.verifier]}, WITNESS, request, NOW_US)
    assert answer.status == 200 or memory.state == before
    return answer


def watched() -> Memory:
    memory = Memory()
    assert add_checkpoint(memory, {WATCHED: [LOG_KEY.verifier]}, WITNESS, Log().request(0, 7), NOW_US).status == 200
    return memory


# --- by number -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("receipt", [PROMISE, PROOF], ids=["promise", "proof"])
def test_49_no_receipt_passes_with_a_bit_flipped_a_byte_cut_or_a_line_gone_or_doubled(receipt: bytes) -> None:
    def damaged() -> Iterator[bytes]:
        for at in range(0, len(receipt), 7):
            yield receipt[:at] + bytes([receipt[at] ^ 1 << at % 8]) + receipt[at + 1 :]
        yield from (receipt[:cut] for cut in range(0, len(receipt), 7))
        lines = receipt.splitlines(keepends=True)
        for number in range(len(lines)):
            yield b"".join(lines[:number] + lines[number + 1 :])
            yield b"".join(lines[: number + 1] + lines[number:])

    for wrong in damaged():
        with pytest.raises(ReceiptInvalid):
            verify_receipt(wrong, POLICY)


@pytest.mark.parametrize(
    "head",
    [
        "{o}\r\n1000\r\n{r}\r\n",
        "{o} \n1000\n{r}\n",
        "{o}\n1000 \n{r}\n",
        "{o}\n01000\n{r}\n",
        "{o}\n+1000\n{r}\n",
        "{o}\n-1000\n{r}\n",
        "{o}\n1_000\n{r}\n",
        "{o}\n１０００\n{r}\n",
        "{o}\n9223372036854775808\n{r}\n",
        "{o}\n1e3\n{r}\n",
        "{o}\n\n{r}\n",
        "{o}\n1000\n{r}",
        "{o}\n1000\n{short}\n",
        "{o}\n1000\n{bits}\n",
        "{o}\n1000\n{r} \n",
        "{o}\n1000\n\n{r}\n",
        "\n1000\n{r}\n",
    ],
)
def test_52_a_checkpoint_has_one_spelling(head: str) -> None:
    encoded = encode64(b"r" * 32)
    bits = encoded[:-2] + chr(ord(encoded[-2]) + 1) + "="  # the same bytes for a lenient decoder
    with pytest.raises(NoteInvalid):
        parse_checkpoint(head.format(o=LOG.verifier.name, r=encoded, short=encode64(b"r" * 31), bits=bits))
    assert parse_checkpoint(f"{LOG.verifier.name}\n1000\n{encoded}\n").size == 1000


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n\n", "\n\n\n"),
        lambda text: text.replace("—", "-"),
        lambda text: text.replace("—", "–"),
        lambda text: text.replace("— ", "—\u00a0"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n",
        lambda text: text[:-1],
        lambda text: text.replace("=\n", "\n"),
    ],
)
def test_52_a_note_has_one_spelling(change: Callable[[str], str]) -> None:
    altered = change(NOTE.decode())
    assert altered != NOTE.decode()
    with pytest.raises(NoteInvalid):
        parse_note(altered.encode())


@pytest.mark.parametrize("size", [2, 7, 8, 200, 257])
def test_53_a_proof_of_another_length_another_index_or_swapped_sizes_shows_nothing(size: int) -> None:
    old, index = size // 2, size // 3
    path, steps = Prover(STORED, size).inclusion(index), Prover(STORED, size).consistency(old)
    for wrong in (path[:-1], path[1:], [*path, LEAVES[0]], [LEAVES[0], *path], path * 16, [LEAVES[0]] * 64):
        with pytest.raises(ProofInvalid):
            verify_inclusion(index, size, LEAVES[index], wrong, root(size))
    for other in {index + 1, index - 1, size - 1, size, size + 1, -1, 2**63} - {index}:
        with pytest.raises(ProofInvalid):
            verify_inclusion(other, size, LEAVES[index], path, root(size))
    for wrong in (steps[:-1], steps[1:], [*steps, LEAVES[0]], [LEAVES[0], *steps], steps * 33, [LEAVES[0]] * 64):
        with pytest.raises(ProofInvalid):
            verify_consistency(old, size, root(old), root(size), wrong)
    with pytest.raises(ProofInvalid):
        verify_consistency(size, old, root(size), root(old), steps)


def test_53_a_witness_takes_no_proof_of_64_lines() -> None:
    request = Log().request(7, 40)
    head, _, note = request.partition(b"\n\n")
    long = head + b"".join(b"\n" + encode64(bytes(32)).encode() for _ in range(64)) + b"\n\n" + note
    assert asked(long).status == 400
    assert asked(request.replace(b"old 7", b"old 6")).status == 409
    lines = head.split(b"\n")
    assert asked(b"\n".join(lines[:-1]) + b"\n\n" + note).status == 422
    assert asked(b"\n".join([*lines, lines[-1]]) + b"\n\n" + note).status == 422


def test_54_the_empty_tree_has_one_root_and_nothing_is_older_than_it() -> None:
    with pytest.raises(NoteInvalid, match="empty tree"):
        parse_checkpoint(Checkpoint(LOG.verifier.name, 0, LEAVES[0]).text())
    assert parse_checkpoint(Checkpoint(LOG.verifier.name, 0, EMPTY_ROOT).text()).size == 0
    verify_consistency(0, 7, EMPTY_ROOT, root(7), [])
    for old_size, old_root, steps in ((0, EMPTY_ROOT, [LEAVES[0]]), (0, LEAVES[0], []), (8, root(8), [])):
        with pytest.raises(ProofInvalid):
            verify_consistency(old_size, 7, old_root, root(7), steps)
    assert asked(Log().request(8, 7)).status == 400, "the old size is larger than the checkpoint's"
    assert asked(Log().request(0, 40)).status == 409, "the witness holds 7 already"


def test_55_what_lies_inside_the_tree_is_no_leaf() -> None:
    pair = LEAVES[0] + LEAVES[1]
    inner = node_hash(LEAVES[0], LEAVES[1])
    assert leaf_hash(pair) != inner, "a leaf of 64 bytes hashes otherwise than two nodes"
    path = Prover(STORED, 4).inclusion(0)
    for leaf, index, size, steps in (
        (inner, 0, 4, path[1:]),
        (inner, 0, 2, path[1:]),
        (leaf_hash(pair), 0, 4, path[1:]),
        (leaf_hash(pair), 0, 2, path[1:]),
        (pair, 0, 4, path[1:]),
        (root(4), 0, 4, []),
    ):
        try:
            verify_inclusion(index, size, leaf, steps, root(4))
        except ProofInvalid:
            continue
        assert (leaf, size) == (inner, 2), "only who lies about the size, which the checkpoint signs, gets there"
    tree = MemoryHashes([leaf_hash(pair)])
    verify_inclusion(0, 1, leaf_hash(pair), [], tree.frontier.root())


def test_56_two_checkpoints_of_one_size_are_a_conflict_and_the_first_stays() -> None:
    memory = watched()
    assert asked(Log("rewritten").request(7, 7), memory) == Answer(409, "text/x.tlog.size", b"7\n")
    with pytest.raises(ProofInvalid, match="two roots"):
        verify_consistency(7, 7, root(7), root(8), [])
    with pytest.raises(ProofInvalid):
        verify_consistency(7, 7, root(7), root(8), Prover(STORED, 8).consistency(7))


@pytest.mark.parametrize("extension", ["extension\n", "\u200b\n", "0\n", "— looks like a line AAAAAAA=\n"])
def test_60_a_checkpoint_with_a_line_more_is_none(extension: str) -> None:
    with pytest.raises(NoteInvalid, match="exactly three lines"):
        parse_checkpoint(Checkpoint(LOG.verifier.name, 7, root(7)).text() + extension)
    head, _, note = Log().request(7, 40).partition(b"\n\n")
    text, _, lines = note.partition(b"\n\n")
    assert asked(head + b"\n\n" + text + b"\n" + extension.encode() + b"\n" + lines).status == 400


def test_61_ten_thousand_signatures_are_refused_before_any_is_verified() -> None:
    text, _, lines = NOTE.partition(b"\n\n")
    flood = text + b"\n\n" + lines.splitlines(keepends=True)[0] * 10_000
    for data in (flood, flood[:MAX_NOTE_BYTES]):
        with pytest.raises(NoteInvalid):
            parse_note(data)
    with pytest.raises(NoteInvalid):
        parse_signature_lines(lines.splitlines(keepends=True)[0] * 10_000)
    assert asked(b"old 7\n\n" + flood).status == 400


def test_61_a_note_of_a_hundred_megabytes_costs_none_of_them() -> None:
    huge = b"x" * 100_000_000
    readers: list[Callable[[], object]] = [
        lambda: parse_note(huge),
        lambda: parse_signature_lines(huge),
        lambda: verify_receipt(huge, POLICY),
        lambda: asked(b"old 7\n\n" + b"y" * (MAX_REQUEST_BYTES + 1)),
    ]
    tracemalloc.start()
    try:
        for read in readers:
            try:
                read()
            except (NoteInvalid, ReceiptInvalid):
                continue
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000
    assert asked(b"old 7\n\n" + b"y" * (MAX_REQUEST_BYTES + 1)).status == 400


def test_62_a_tile_of_no_width_a_full_one_spelled_as_partial_and_another_width_are_refused() -> None:
    for text in ("tile/0/000.p/0", "tile/0/000.p/256", "tile/entries/000.p/0", "tile/entries/000.p/256"):
        with pytest.raises(TileInvalid):
            parse_tile_path(text)
    tile = hash_tile(STORED, TilePath(0, 0))
    for width in (255, 257, 1, 0):
        with pytest.raises(TileInvalid):
            parse_hash_tile(tile, width)
    bundle = entry_bundle([b"a", b"b"])
    for width in (1, 3, 0):
        with pytest.raises(TileInvalid):
            parse_entry_bundle(bundle, width)


def test_62_a_bundle_that_its_tile_has_not_hashed_and_a_tile_of_another_tree_prove_nothing() -> None:
    with pytest.raises(TileInvalid, match="entry 1 "):
        check_bundle([b"0", b"other"], LEAVES[:2])
    with pytest.raises(TileInvalid):
        check_bundle([b"0"], LEAVES[:2])
    foreign = MemoryHashes([leaf_hash(b"other %d" % number) for number in range(300)])
    path = Prover(TileHashes(lambda path: hash_tile(foreign, path), 300), 300).inclusion(5)
    with pytest.raises(ProofInvalid):
        verify_inclusion(5, 300, LEAVES[5], path, root(300))


# --- every reader of foreign bytes ---------------------------------------------------------------------------------

SIGNED_POLICY = sign_policy(parse_policy(POLICY), 3, LOG)
REQUEST = Log().request(7, 40)


def _verify_any(data: bytes) -> object:
    return verify(parse_note(data), [LOG.verifier, TOWN.verifier])


READERS: dict[str, tuple[Callable[[bytes], object], bytes, tuple[type[Exception], ...]]] = {
    "parse_note": (parse_note, NOTE, (NoteInvalid,)),
    "parse_signature_lines": (parse_signature_lines, NOTE.partition(b"\n\n")[2], (NoteInvalid,)),
    "verify": (_verify_any, NOTE, (NoteInvalid,)),
    "parse_checkpoint": (lambda data: parse_checkpoint(_text(data)), HEAD.text.encode(), (NoteInvalid,)),
    "check_checkpoint": (
        lambda data: check_checkpoint(parse_policy(POLICY), parse_note(data)),
        NOTE,
        (NoteInvalid,),
    ),
    "parse_vkey": (lambda data: parse_vkey(_text(data)), LOG.verifier.vkey.encode(), (KeyInvalid,)),
    "parse_skey": (lambda data: parse_skey(_text(data)), LOG.skey.encode(), (KeyInvalid,)),
    "parse_policy": (lambda data: parse_policy(_text(data)), POLICY.encode(), (PolicyInvalid,)),
    "parse_either": (lambda data: parse_either(_text(data)), SIGNED_POLICY.encode(), (PolicyInvalid,)),
    "read_signed": (
        lambda data: read_signed(_text(data), [LOG.verifier]),
        SIGNED_POLICY.encode(),
        (PolicyInvalid,),
    ),
    "parse_tlog_proof": (parse_tlog_proof, standard_part(PROOF), (NoteInvalid,)),
    "verify_receipt": (lambda data: verify_receipt(data, POLICY), PROOF, (ReceiptInvalid,)),
    "verify_promise": (lambda data: verify_receipt(data, POLICY), PROMISE, (ReceiptInvalid,)),
    "inside a proof": (
        lambda data: verify_receipt(seal(data), POLICY),
        PROOF.partition(b"\n")[2],
        (ReceiptInvalid,),
    ),
    "inside a promise": (
        lambda data: verify_receipt(seal(data), POLICY),
        PROMISE.partition(b"\n")[2],
        (ReceiptInvalid,),
    ),
    "standard_part": (standard_part, PROOF, (ReceiptInvalid,)),
    "parse_tile_path": (lambda data: parse_tile_path(_text(data)), b"tile/0/x001/234.p/8", (TileInvalid,)),
    "parse_hash_tile": (lambda data: parse_hash_tile(data, 3), b"".join(LEAVES[:3]), (TileInvalid,)),
    "parse_entry_bundle": (lambda data: parse_entry_bundle(data, 3), entry_bundle([b"a", b"", b"ccc"]), (TileInvalid,)),
    "Frontier.from_bytes": (Frontier.from_bytes, STORED.frontier.to_bytes(), (FrontierDamaged,)),
    "add_checkpoint": (asked, REQUEST, ()),
    "size_held": (size_held, b"40\n", (NoteInvalid,)),
}
LIMIT_S = 5.0


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


@pytest.mark.parametrize("name", READERS)
def test_whatever_is_left_of_a_true_text_its_reader_ends_with_the_named_refusal_or_reads_it(name: str) -> None:
    """A true one altered at up to four places: cut, doubled, swapped, bytes of its own alphabet or any put in."""
    read, true, named = READERS[name]
    read(true)
    chance = random.Random(f"hostile {name}")
    started, said = time.thread_time(), set()
    for _ in range(400):
        data = _altered(true, chance)
        try:
            read(data)
        except named as error:
            said.add(str(error))
    assert [words for words in said if not _has_both_languages(words)] == []
    assert time.thread_time() - started < LIMIT_S * 4, "400 of them, in the time of this thread alone"


def _has_both_languages(said: str) -> bool:
    """Chinese first, then English, both with something in every place."""
    chinese, _, english = said.partition(" / ")
    has_chinese = any("一" <= sign <= "鿿" for sign in chinese)
    return has_chinese and len(english) > len("; keep it") and "None" not in said and "：，" not in said


def _altered(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, to = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        match chance.randrange(7):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:to] + data[at:]
            case 3:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 4:
                data = data[:at] + chance.choice([b"\n", b" ", b"\n\n", b"+", b"0", b"\x00", b"\xff", b"\xe2\x80\x94 "])
                data += data[at:] or b"="
            case 5 if len(data) > at:
                data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case _:
                lines = data.splitlines(keepends=True)
                chance.shuffle(lines)
                data = b"".join(lines)
    return data


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=40, deadline=None)
@given(data=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_no_bytes_at_all_end_a_reader_otherwise(name: str, data: bytes) -> None:
    read, _, named = READERS[name]
    try:
        read(data)
    except named:
        return
    assert name in {"add_checkpoint", "size_held", "parse_hash_tile", "parse_entry_bundle", "Frontier.from_bytes"}


@pytest.mark.parametrize("name", sorted(set(READERS) - {"add_checkpoint"}))
def test_a_text_that_is_much_too_long_is_refused_at_once(name: str) -> None:
    read, true, named = READERS[name]
    for filling in (b"\n", b"a", b"= ", b"[", b"\x00", true + b"\n"):
        data = true + filling * (2_000_000 // len(filling))
        started = time.thread_time()
        with pytest.raises(named):
            read(data)
        assert time.thread_time() - started < LIMIT_S


def test_57_a_witness_that_forgot_everything_meanwhile_signs_nothing_and_says_so() -> None:
    memory = watched()
    memory.meanwhile = memory.state.clear
    answer = add_checkpoint(memory, {WATCHED: [LOG_KEY.verifier]}, WITNESS, Log().request(7, 40), NOW_US)
    assert answer == Answer(409, "text/x.tlog.size", b"0\n")
    assert memory.state == {}
