from collections.abc import Callable

import pytest

from sync.proofs.merkle import MemoryHashes, Prover, leaf_hash
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Ed25519Signer,
    Note,
    encode64,
    parse_signature_lines,
    sign_note,
    verify,
)
from sync.proofs.witness import Answer, Witnessed, add_checkpoint
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
