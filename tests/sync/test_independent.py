"""Our texts and logs in the hands of other people's code: golang.org/x/mod, and formats, merkle, tessera.

Skipped where Go is absent or its modules cannot be had, which in CI is a failure.
"""

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
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
from sync.proofs.tiles import entry_bundle, hash_tile, parse_tile_path, tile_paths
from sync.sealed.commitment import Opening
from tests import golang

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


def shown(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Our own program over golang.org/x/mod and transparency-dev/formats, with what it found in the folder."""
    return golang.run(golang.program("."), folder)


def test_independent_code_accepts_what_we_accept(written: Path) -> None:
    verify_receipt((written / "receipt").read_bytes(), POLICY, accept_simulated_clock=True)
    check_checkpoint(
        parse_policy(POLICY, accept_simulated_clock=True), parse_note((written / "checkpoint").read_bytes())
    )
    done = shown(written)
    assert (done.returncode, done.stderr) == (0, "")


def test_we_accept_what_independent_code_signs_with_our_keys(written: Path) -> None:
    note = parse_note(shown(written).stdout.encode())
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
def test_the_independent_check_can_fail(written: Path, name: str, old: bytes, new: bytes) -> None:
    text = (written / name).read_bytes()
    assert old in text
    (written / name).write_bytes(text.replace(old, new))
    assert shown(written).returncode == 1


# --- transparency-dev/merkle's own tests, with our code as the verifier --------------------------------------------

NO_HASHES = {
    # A root of any bytes passes there where nothing is compared with it; we say first that it is no hash, and of an
    # empty tree, that its root is known.
    "TestVerifyConsistency/test:2:size:0-0",
    "TestVerifyConsistency/test:3:size:0-1",
    "TestVerifyConsistency/test:4:size:1-1",
}


def test_the_vectors_of_transparency_dev_merkle_judge_our_verifier(tmp_path: Path) -> None:
    """Every case and every corruption in the module's tests; they differ only where a root is no hash at all."""
    module = tmp_path / "merkle"
    shutil.copytree(golang.source_of(golang.MERKLE), module, copy_function=shutil.copyfile)
    (module / "proof").chmod(0o755)
    shutil.copyfile(golang.MODULE / "testdata" / "verify.go", module / "proof" / "verify.go")
    judge = "\n".join([sys.executable, "-m", "tests.sync.independent.judge"])
    root = str(golang.MODULE.parents[2])
    words = (golang.go(), "test", "-count=1", "-json", "-run", "^TestVerify", "./proof")
    done = golang.run(*words, cwd=module, HUIYIN_JUDGE=judge, PYTHONPATH=root)
    outcomes = {}
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event["Action"] in {"pass", "fail"} and "/" in event.get("Test", ""):
            outcomes[event["Test"]] = event["Action"]
    failed = {name for name, outcome in outcomes.items() if outcome == "fail"}
    assert failed == NO_HASHES, done.stdout + done.stderr
    assert len(outcomes) == 4 + 4 + 5 + 13 + 5, "all cases of all three tests ran"


# --- tessera's fsck over the files of a log ------------------------------------------------------------------------

FSCK_SIZE = 66_000


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three levels as files, beside it its key."""
    folder, entries = tmp_path_factory.mktemp("log"), [b"%d" % number for number in range(FSCK_SIZE)]
    hashes = MemoryHashes(list(map(leaf_hash, entries)))
    for path in tile_paths(FSCK_SIZE):
        file = folder / str(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            hash_tile(hashes, path) if path.level is not None else entry_bundle(entries[path.start : path.end])
        )
    bare = sign_note(Checkpoint(ORIGIN, FSCK_SIZE, hashes.frontier.root()).text(), LOG)
    note = bare.with_lines(cosign(bare.text, witness, 1_700_000_000) for witness in WITNESSES)
    (folder / "checkpoint").write_bytes(note.to_bytes())
    (folder / "key").write_text(LOG.verifier.vkey)
    return folder


def test_fsck_accepts_a_log_of_three_levels_as_files(log_folder: Path) -> None:
    levels = {parse_tile_path(str(path)).level for path in tile_paths(FSCK_SIZE)}
    assert levels == {None, 0, 1, 2}
    assert golang.fsck(f"file://{log_folder}", log_folder / "key") == ""


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("checkpoint", lambda data: data.replace(b"\n66000\n", b"\n65999\n")),
        ("tile/entries/100", flipped),
        ("tile/entries/257.p/208", lambda data: data[:-1]),
        ("tile/0/100", flipped),
        ("tile/0/257.p/208", flipped),
        ("tile/1/000", flipped),
        ("tile/1/001.p/1", flipped),
        ("tile/2/000.p/1", flipped),
        ("key", lambda data: WITNESSES[0].verifier.vkey.encode()),
    ],
)
def test_fsck_refuses_a_log_with_any_file_altered(log_folder: Path, name: str, alter: Callable[[bytes], bytes]) -> None:
    file = log_folder / name
    before = file.read_bytes()
    assert alter(before) != before
    file.write_bytes(alter(before))
    try:
        assert "fsck failed" in (said := golang.fsck(f"file://{log_folder}", log_folder / "key")) or "Invalid" in said
    finally:
        file.write_bytes(before)
