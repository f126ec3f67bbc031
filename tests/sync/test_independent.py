"""Our texts in the hands of other people's code: golang.org/x/mod, transparency-dev/formats and /merkle.

Skipped where Go is absent or its modules cannot be had; a module that is there must accept what we wrote.
"""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from sync.proofs.merkle import MemoryHashes, Prover, leaf_hash
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Ed25519Signer,
    cosign,
    parse_checkpoint,
    parse_note,
    sign_note,
    verify,
)
from sync.proofs.policy import check_checkpoint, parse_policy
from sync.proofs.receipt import proof_receipt, standard_part, verify_receipt
from sync.sealed.commitment import Opening

SOURCE = Path(__file__).parent / "independent"
ORIGIN = "huiyin.example/410221100201/1"
LOG = Ed25519Signer(ORIGIN, ED25519, b"l" * 32)
WITNESSES = [
    Ed25519Signer(f"huiyin.example/{name}", COSIGNATURE_V1, name.encode().ljust(32)) for name in ("town", "audit")
]
POLICY = (
    f"log {LOG.verifier.vkey} https://log.example/\n"
    + "".join(f"witness w{n} {it.verifier.vkey} https://w{n}.example/\n" for n, it in enumerate(WITNESSES))
    + "group both all w0 w1\nquorum both\n# huiyin:clock simulated\n"
)
SIZE, OLD_SIZE, INDEX = 1000, 300, 513
BODY = Opening("body", b"s" * 32, "没有人管")
LEAF = b'{"sealed":[{"subject":"aa","fields":{"body":"%s"}}]}' % BODY.commitment().encode()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not on PATH: our proofs were not shown to independent code here")
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    fetched = subprocess.run([go, "mod", "download"], cwd=SOURCE, env=environment, capture_output=True, check=False)
    if fetched.returncode:
        pytest.skip(f"Go modules cannot be had, so no independent check: {fetched.stderr.decode()[-200:]}")
    built = tmp_path_factory.mktemp("go") / "independent"
    subprocess.run([go, "build", "-o", built, "."], cwd=SOURCE, env=environment, check=True)
    return built


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with everything that the program reads."""
    hashes = [leaf_hash(LEAF if number == INDEX else b"%d" % number) for number in range(SIZE)]
    stored, old = MemoryHashes(hashes), MemoryHashes(hashes[:OLD_SIZE])
    prover = Prover(stored, SIZE)
    bare = sign_note(Checkpoint(ORIGIN, SIZE, prover.root()).text(), LOG)
    note = bare.with_lines(cosign(bare.text, witness, 1_700_000_000) for witness in WITNESSES)
    receipt = proof_receipt(LEAF, INDEX, prover.inclusion(INDEX), note, [BODY])
    expected = {
        "Origin": ORIGIN,
        "LogKey": LOG.verifier.vkey,
        "WitnessKeys": [witness.verifier.vkey for witness in WITNESSES],
        "LogSecret": LOG.skey,
        "WitnessSecret": WITNESSES[0].skey,
        "Leaf": b64encode(LEAF).decode(),
        "Index": INDEX,
        "OldSize": OLD_SIZE,
        "OldRoot": b64encode(old.frontier.root()).decode(),
        "Consistency": [b64encode(step).decode() for step in prover.consistency(OLD_SIZE)],
    }
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    (tmp_path / "policy").write_text(POLICY)
    (tmp_path / "uncosigned").write_bytes(bare.to_bytes())
    (tmp_path / "checkpoint").write_bytes(note.to_bytes())
    (tmp_path / "tlog-proof").write_bytes(standard_part(receipt))
    (tmp_path / "receipt").write_bytes(receipt)
    return tmp_path


def run(program: Path, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([program, folder], capture_output=True, check=False)


def test_independent_code_accepts_what_we_accept(program: Path, written: Path) -> None:
    verify_receipt((written / "receipt").read_bytes(), POLICY, accept_simulated_clock=True)
    check_checkpoint(
        parse_policy(POLICY, accept_simulated_clock=True), parse_note((written / "checkpoint").read_bytes())
    )
    done = run(program, written)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_we_accept_what_independent_code_signs_with_our_keys(program: Path, written: Path) -> None:
    note = parse_note(run(program, written).stdout)
    log, witness = verify(note, [LOG.verifier, WITNESSES[0].verifier])
    assert parse_checkpoint(note.text).size == SIZE
    assert log.verifier == LOG.verifier
    assert witness.verifier == WITNESSES[0].verifier
    assert witness.time_s is not None
    assert witness.time_s > 1_700_000_000


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("checkpoint", b"\n1000\n", b"\n1001\n"),
        ("tlog-proof", b"index 513", b"index 514"),
        ("policy", b"huiyin.example/town", b"huiyin.example/towm"),
        ("expected.json", b'"OldSize": 300', b'"OldSize": 301'),
    ],
)
def test_the_independent_check_can_fail(program: Path, written: Path, name: str, old: bytes, new: bytes) -> None:
    text = (written / name).read_bytes()
    assert old in text
    (written / name).write_bytes(text.replace(old, new))
    assert run(program, written).returncode == 1
