from collections.abc import Callable

import pytest

from sync.proofs.merkle import MemoryHashes, Prover, leaf_hash
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Ed25519Signer,
    Note,
    NoteInvalid,
    cosign,
    encode64,
    parse_note,
    parse_signature_lines,
    sign_note,
    verify,
)
from sync.proofs.tree import OWN_LOG, Latest
from sync.proofs.witness import (
    MAX_REQUEST_BYTES,
    MAX_SKEW_S,
    Answer,
    CosignatureUntimely,
    Question,
    RolledBack,
    Witnessed,
    add_checkpoint,
    cosignature_in,
    proves_rollback,
    question,
    signed_s,
    size_held,
    take_answer,
)
from tests.sync.chance import Chance

LOG = "huiyin.example/410200000000/1"
NOW_US = 1_767_225_600_000_000
chance = Chance(5)
LOG_KEY = Ed25519Signer(LOG, ED25519, chance(32))
OTHER_KEY = Ed25519Signer(LOG, ED25519, chance(32))
WITNESS = Ed25519Signer("audit.example/w", COSIGNATURE_V1, chance(32))


class Memory:
    """A witness's state, and a hook for what happens between its look and its move."""

    def __init__(self) -> None:
        self.state: dict[str, Witnessed] = {}
        self.meanwhile: Callable[[], None] = lambda: None

    def witnessed(self, origin: str) -> Witnessed | None:
        return self.state.get(origin)

    def replace_witnessed(self, origin: str, before: Witnessed | None, after: Witnessed) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if self.state.get(origin) != before:
            return False
        self.state[origin] = after
        return True


class Log:
    def __init__(self, name: str = "leaf") -> None:
        self.hashes = MemoryHashes([leaf_hash(f"{name} {number}".encode()) for number in range(40)])

    def request(self, old: int, size: int, signer: Ed25519Signer = LOG_KEY, origin: str = LOG) -> bytes:
        prover = Prover(self.hashes, size)
        note = sign_note(Checkpoint(origin, size, prover.root()).text(), signer).to_bytes()
        proof = "".join(f"{encode64(digest)}\n" for digest in prover.consistency(old)) if old <= size else ""
        return f"old {old}\n{proof}\n".encode() + note


@pytest.fixture
def memory() -> Memory:
    return Memory()


def post(memory: Memory, request: bytes) -> Answer:
    return add_checkpoint(memory, {LOG: [LOG_KEY.verifier]}, WITNESS, request, NOW_US)


def test_a_log_that_goes_on_is_cosigned_at_every_step(memory: Memory) -> None:
    log = Log()
    for old, size in ((0, 7), (7, 7), (7, 40)):
        answer = post(memory, log.request(old, size))
        assert answer.status == 200
        text = Checkpoint(LOG, size, Prover(log.hashes, size).root()).text()
        (signed,) = verify(Note(text, parse_signature_lines(answer.body)), [WITNESS.verifier])
        assert signed.time_s == NOW_US // 1_000_000
        assert memory.state[LOG].size == size


def test_a_log_that_does_not_know_is_told_the_size(memory: Memory) -> None:
    post(memory, Log().request(0, 7))

    assert post(memory, Log().request(0, 40)) == Answer(409, "text/x.tlog.size", b"7\n")
    assert post(memory, Log().request(5, 40)).status == 409
    assert memory.state[LOG].size == 7


def test_a_log_that_forked_is_refused_and_nothing_moves(memory: Memory) -> None:
    post(memory, Log().request(0, 7))
    before = dict(memory.state)

    assert post(memory, Log("rewritten").request(7, 40)).status == 422
    assert post(memory, Log("rewritten").request(7, 7)).status == 409
    assert post(memory, Log().request(7, 3)).status == 400
    assert memory.state == before


def test_two_requests_that_race_do_not_roll_the_log_back(memory: Memory) -> None:
    log = Log()
    post(memory, log.request(0, 7))
    memory.meanwhile = lambda: memory.state.update({LOG: Witnessed(40, Prover(log.hashes, 40).root(), b"")})

    assert post(memory, log.request(7, 20)).body == b"40\n"
    assert memory.state[LOG].size == 40


def test_once_a_checkpoint_is_cosigned_under_a_later_key_none_under_the_one_before_is(memory: Memory) -> None:
    log, keys = Log(), {LOG: [LOG_KEY.verifier, OTHER_KEY.verifier]}

    def ask(old: int, size: int, *signers: Ed25519Signer) -> int:
        head, _, note = log.request(old, size, signers[0]).partition(b"\n\n")
        lines = [sign_note(parse_note(note).text, signer).signatures[0] for signer in signers[1:]]
        request = head + b"\n\n" + parse_note(note).with_lines(lines).to_bytes()
        return add_checkpoint(memory, keys, WITNESS, request, NOW_US).status

    assert ask(0, 7, LOG_KEY) == 200
    assert ask(7, 8, LOG_KEY, OTHER_KEY) == 200
    assert ask(8, 9, LOG_KEY) == 403
    assert memory.state[LOG].size == 8
    assert [ask(8, 9, LOG_KEY, OTHER_KEY), ask(9, 10, OTHER_KEY), ask(10, 11, LOG_KEY)] == [200, 200, 403]


def test_an_unknown_log_and_an_unknown_key_are_told_apart(memory: Memory) -> None:
    elsewhere = Ed25519Signer("elsewhere/1", ED25519, bytes(32))

    assert post(memory, Log().request(0, 7, elsewhere, "elsewhere/1")).status == 404
    assert post(memory, Log().request(0, 7, OTHER_KEY)).status == 403
    assert memory.state == {}


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"old 0\n",
        b"new 0\n\n" + Log().request(0, 7).partition(b"\n\n")[2],
        b"old 00\n\n" + Log().request(0, 7).partition(b"\n\n")[2],
        b"old 0\nAAAA\n\n" + Log().request(0, 7).partition(b"\n\n")[2],
        b"old 0\n" + b"A" * 100_000,
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + Log().request(0, 7).partition(b"\n\n")[2],
        b"old 0\n\n\xff\xfe",
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(memory: Memory, request_body: bytes) -> None:
    answer = post(memory, request_body)

    assert answer.status == 400
    assert answer.body.endswith(b"\n")
    assert memory.state == {}


def test_a_proof_for_a_first_checkpoint_is_one_too_many(memory: Memory) -> None:
    request = Log().request(0, 7).replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n")

    assert post(memory, request).status == 422


def test_what_is_refused_says_why_as_plain_text(memory: Memory) -> None:
    answers = {
        403: post(memory, Log().request(0, 7, OTHER_KEY)),
        404: post(memory, Log().request(0, 7, Ed25519Signer("elsewhere/1", ED25519, bytes(32)), "elsewhere/1")),
        400: post(memory, Log().request(8, 7)),
        422: post(memory, Log().request(0, 7).replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n")),
    }
    assert {status: answer.status for status, answer in answers.items()} == {it: it for it in answers}
    assert {answer.content_type for answer in answers.values()} == {"text/plain; charset=utf-8"}
    assert b"this log is not known here\n" in answers[404].body
    assert b"larger than the checkpoint's" in answers[400].body
    assert "none of the trusted keys" in answers[403].body.decode()
    assert "must be empty" in answers[422].body.decode()


def test_a_request_may_be_so_long_and_has_at_most_63_lines_of_proof(memory: Memory) -> None:
    note = Log().request(0, 7).partition(b"\n\n")[2]
    line = encode64(bytes(32)).encode() + b"\n"
    assert post(memory, b"old 0\n" + line * 63 + b"\n" + note).status == 422
    assert post(memory, b"old 0\n" + line * 64 + b"\n" + note).status == 400
    for size_bytes, status in ((MAX_REQUEST_BYTES, "1 to 16"), (MAX_REQUEST_BYTES + 1, "too long")):
        filled = b"old 0\n\n" + note + b"x" * (size_bytes - len(note) - 7)
        assert status in post(memory, filled).body.decode()
    for digest in (bytes(31), bytes(33), bytes(1)):
        odd = b"old 0\n" + encode64(digest).encode() + b"\n\n" + note
        assert "not 32 bytes" in post(memory, odd).body.decode()


def test_a_witness_signs_no_earlier_time_and_nothing_with_a_clock_far_behind_its_last(memory: Memory) -> None:
    log = Log()
    for now_s, said_s in ((1000, 1000), (1000 - MAX_SKEW_S, 1000), (2000, 2000)):
        answer = add_checkpoint(memory, WATCH, WITNESS, log.request(*next_step(memory)), now_s * 1_000_000 + 999_999)
        assert answer.status == 200
        (line,) = parse_signature_lines(answer.body)
        assert (line.time_s, memory.state[LOG].time_s) == (said_s, said_s)
    before = dict(memory.state)
    late = add_checkpoint(memory, WATCH, WITNESS, log.request(*next_step(memory)), (2000 - MAX_SKEW_S - 1) * 1_000_000)
    assert (late.status, memory.state) == (503, before)
    assert b"clock" in late.body


WATCH = {LOG: [LOG_KEY.verifier]}


def next_step(memory: Memory) -> tuple[int, int]:
    held = memory.state[LOG].size if LOG in memory.state else 0
    return held, held + 5


class Asking:
    """What a log keeps to ask with: one head, its hashes, and what came back."""

    def __init__(self, size: int, cosigned: int = 0) -> None:
        self.log = Log()
        self.note = self.log.request(0, size).partition(b"\n\n")[2].decode()
        self.cosigned = cosigned
        self.kept: list[tuple[str, list[tuple[int, int, str]], int]] = []
        self.last: Latest | None = None

    def own_log(self) -> int:
        return OWN_LOG

    def cosigned_size(self, log_id: int, witness: str) -> int:
        assert (log_id, witness) == (OWN_LOG, WITNESS.verifier.name)
        return self.cosigned

    def hashes(self, log_id: int) -> MemoryHashes:
        assert log_id == OWN_LOG
        return self.log.hashes

    def keep_cosignatures(self, witness: str, lines: list[tuple[int, int, str]], now_us: int) -> None:
        self.kept.append((witness, lines, now_us))

    def keep_latest(self, log_id: int, latest: Latest) -> None:
        assert log_id == OWN_LOG
        self.last = latest

    def latest(self, log_id: int, witness: str) -> Latest | None:
        assert (log_id, witness) == (OWN_LOG, WITNESS.verifier.name)
        return self.last

    def asks(self, held_size: int | None = None, *, again: bool = False) -> Question | None:
        return question(self, WITNESS.verifier, self.note, held_size, again=again)  # type: ignore[arg-type]

    def takes(self, asked: Question, status: int, body: bytes, *, is_sure: bool = True) -> int | None:
        return take_answer(self, asked, status, body, WITNESS.verifier, NOW_US, is_sure=is_sure)  # type: ignore[arg-type]


def asked_of(asking: Asking, held_size: int | None = None, *, again: bool = False) -> Question:
    asked = asking.asks(held_size, again=again)
    assert asked is not None
    return asked


def test_what_a_log_asks_its_witness_answers_and_the_log_keeps_the_line(memory: Memory) -> None:
    for size, cosigned in ((7, 0), (20, 7), (40, 20)):
        asking = Asking(size, cosigned)
        asked = asked_of(asking)
        assert (asked.old_size, asked.checkpoint.size) == (cosigned, size)
        answer = post(memory, asked.body)
        assert answer.status == 200
        assert asking.takes(asked, 200, answer.body) is None
        line = answer.body.decode()
        assert asking.kept == [(WITNESS.verifier.name, [(OWN_LOG, size, line)], NOW_US)]
        assert asking.last == Latest(WITNESS.verifier.name, size, line, NOW_US)
        assert signed_s(asking.last) == NOW_US // 1_000_000


def test_a_log_asks_from_what_its_witness_says_it_holds(memory: Memory) -> None:
    post(memory, Log().request(0, 7))
    asking = Asking(40)
    asked = asked_of(asking)
    refused = post(memory, asked.body)
    assert asking.takes(asked, refused.status, refused.body) == 7
    assert asking.kept == []
    again = asked_of(asking, 7)
    assert (again.old_size, post(memory, again.body).status) == (7, 200)


def test_a_log_does_not_ask_for_what_it_has_but_when_it_is_to_ask_again() -> None:
    assert Asking(20, 20).asks() is None
    assert Asking(20, 21).asks() is None
    assert Asking(20, 20).asks(7) is None
    assert Asking(20, 7).asks(21) is None, "the witness holds more than is known here"
    assert Asking(20, 7).asks(20) is not None
    assert asked_of(Asking(20, 20), again=True).old_size == 20
    assert asked_of(Asking(20, 20), 7, again=True).old_size == 7
    assert Asking(20, 21).asks(again=True) is None


@pytest.mark.parametrize("status", [201, 204, 400, 403, 404, 422, 500, 503])
def test_any_other_answer_is_shown_as_it_is_and_keeps_nothing(status: int) -> None:
    asking = Asking(7)
    with pytest.raises(NoteInvalid, match=f"{status}.*because \ufffd") as shown:
        asking.takes(asked_of(asking), status, b"because \xff" + b"x" * 300)
    assert "x" * 191 in str(shown.value)
    assert "x" * 192 not in str(shown.value)
    assert (asking.kept, asking.last) == ([], None)


def answered(asking: Asking, time_s: int, signer: Ed25519Signer = WITNESS) -> bytes:
    return str(cosign(asked_of(asking).checkpoint.text(), signer, time_s)).encode()


def test_of_the_lines_of_an_answer_the_witnesss_own_is_kept(memory: Memory) -> None:
    asking, stranger = Asking(7), Ed25519Signer("audit.example/w", COSIGNATURE_V1, b"s" * 32)
    other = Ed25519Signer("audit.example/x", COSIGNATURE_V1, b"x" * 32)
    now_s = NOW_US // 1_000_000
    mixed = answered(asking, 5, stranger) + answered(asking, 6, other) + answered(asking, now_s)
    line = cosignature_in(mixed, asked_of(asking).checkpoint, WITNESS.verifier)
    assert (line.name, line.time_s) == (WITNESS.verifier.name, now_s)
    asking.takes(asked_of(asking), 200, mixed)
    assert asking.kept[0][1] == [(OWN_LOG, 7, str(line))]
    for strangers in (answered(asking, 5, stranger), answered(asking, 6, other)):
        with pytest.raises(NoteInvalid, match="none of the trusted keys"):
            asking.takes(asked_of(asking), 200, strangers)
    forged = answered(asking, now_s).replace(b"=\n", b"A=\n")[:-6] + answered(Asking(8), now_s)[-6:]
    for body in (b"", b"no line\n", answered(Asking(8), now_s), forged):
        with pytest.raises(NoteInvalid):
            asking.takes(asked_of(asking), 200, body)
    assert len(asking.kept) == 1


def test_an_untimely_cosignature_is_not_kept_unless_the_own_clock_is_in_doubt() -> None:
    asking, now_s = Asking(7), NOW_US // 1_000_000
    asking.takes(asked_of(asking), 200, answered(asking, now_s + MAX_SKEW_S))
    with pytest.raises(CosignatureUntimely, match=r"has not come.*compare both clocks"):
        asking.takes(asked_of(asking), 200, answered(asking, now_s + MAX_SKEW_S + 1))
    assert len(asking.kept) == 1
    asking.takes(asked_of(asking), 200, answered(asking, now_s + MAX_SKEW_S + 1), is_sure=False)
    asking.takes(asked_of(asking), 200, answered(asking, now_s + MAX_SKEW_S + 1), is_sure=False)
    with pytest.raises(CosignatureUntimely, match="an earlier time"):
        asking.takes(asked_of(asking), 200, answered(asking, now_s + MAX_SKEW_S))
    assert len(asking.kept) == 3


@pytest.mark.parametrize("body", [b"", b"\n", b"7\n\n", b"07\n", b"-1\n", b"7 \n", b"\xff\n", b"9223372036854775808\n"])
def test_a_409_says_a_size_and_nothing_else(body: bytes) -> None:
    with pytest.raises(NoteInvalid):
        size_held(body)
    assert (size_held(b"7\n"), size_held(b"7"), size_held(b"0\n")) == (7, 7, 0)


def noted(size: int, time_s: int, *, name: str = "leaf", log: bool = True, witness: bool = True) -> str:
    note = parse_note(Log(name).request(0, size).partition(b"\n\n")[2])
    lines = note.signatures if log else ()
    line = (cosign(note.text, WITNESS, time_s),) if witness else ()
    return Note(note.text, (*lines, *line)).to_bytes().decode()


def rolled_back(earlier: str, later: str) -> bool:
    return proves_rollback(RolledBack(earlier, later, 0), LOG_KEY.verifier, WITNESS.verifier)


def test_a_smaller_head_signed_later_proves_that_a_witness_was_put_back() -> None:
    assert rolled_back(noted(40, 100), noted(20, 101))
    for earlier, later in (
        (noted(40, 100), noted(20, 100)),
        (noted(40, 100), noted(20, 99)),
        (noted(40, 100), noted(40, 101)),
        (noted(20, 100), noted(40, 101)),
        (noted(40, 100, log=False), noted(20, 101)),
        (noted(40, 100), noted(20, 101, log=False)),
        (noted(40, 100, witness=False), noted(20, 101)),
        (noted(40, 100), noted(20, 101, witness=False)),
        ("garbage", noted(20, 101)),
        (noted(40, 100), noted(20, 101).replace("\n20\n", "\n21\n")),
    ):
        assert not rolled_back(earlier, later)
