"""Tessera's `fsck`, which is not ours, over the folders that an export wrote."""

import json
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.auditing.excerpting import excerpt
from gateway.auditing.writing import LogWriter
from gateway.dossier.shape import (
    CERTIFICATES,
    LOGS,
    STEPS,
    Files,
    LogLine,
    StepLine,
    event_file,
    policy_file,
    read_lines,
)
from sync.proofs.merkle import MemoryHashes, Prover, leaf_hash
from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    Ed25519Signer,
    Note,
    parse_checkpoint,
    parse_note,
    sign_note,
)
from sync.proofs.signed_policy import parse_either
from sync.proofs.tiles import entry_bundle, hash_tile, parse_entry_bundle, tile_paths
from sync.proofs.tlog_proof import parse_tlog_proof
from sync.trust.certificates import Directory
from tests import golang
from tests.auditing.conftest import Made
from tests.auditing.forging import audited, found
from tests.auditing.test_hostile_bundles import signed_again
from tests.auditing.test_replay import handed_up


def test_fsck_accepts_every_log_of_an_exported_bundle_and_refuses_an_edited_entry(made: Made, tmp_path: Path) -> None:
    golang.program(golang.FSCK)
    folders = sorted(path.parent for path in (made.county / "logs").rglob("checkpoint"))
    assert len(folders) == 2, "the county's log, and the village's"
    for folder in folders:
        policy = parse_either((folder / "policy").read_text("utf-8"), accept_simulated_clock=True)
        (tmp_path / "key").write_text(policy.log.vkey)
        assert golang.fsck(f"file://{folder}", tmp_path / "key") == ""
    shown = parse_checkpoint(parse_note((folders[0] / "checkpoint").read_bytes()).text).size
    partial = folders[0] / f"tile/entries/000.p/{shown}"
    before = partial.read_bytes()
    partial.write_bytes(before.replace(b"node.opened", b"node.opEned"))
    try:
        policy = parse_either((folders[0] / "policy").read_text("utf-8"), accept_simulated_clock=True)
        (tmp_path / "key").write_text(policy.log.vkey)
        assert "fsck failed" in golang.fsck(f"file://{folders[0]}", tmp_path / "key")
    finally:
        partial.write_bytes(before)


def test_a_log_is_written_with_the_partial_tiles_that_its_checkpoint_asks_for(tmp_path: Path) -> None:
    entries = [b"%d" % number for number in range(700)]
    hashes = MemoryHashes(list(map(leaf_hash, entries)))
    writer = LogWriter(tmp_path)
    for entry in entries:
        writer.add(entry, leaf_hash(entry))
    signer = Ed25519Signer("o/1/1", ED25519, bytes(32))
    head = Checkpoint("o/1/1", 300, Prover(hashes, 300).root())
    writer.finish(sign_note(head.text(), signer).to_bytes().decode(), 300)
    for path in [*tile_paths(300), *tile_paths(700)]:
        wanted = entry_bundle(entries[path.start : path.end]) if path.level is None else hash_tile(hashes, path)
        assert (tmp_path / str(path)).read_bytes() == wanted, path
    (tmp_path / "key").write_text(signer.verifier.vkey)
    assert golang.fsck(f"file://{tmp_path}", tmp_path / "key") == ""


def test_the_partial_tiles_of_an_earlier_checkpoint_are_looked_at(made: Made, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.county, bundle)
    log = bundle / "logs/410221100201-1"
    first = json.loads((log / "checkpoints.jsonl").read_text().splitlines()[0])
    shown = parse_checkpoint(parse_note(first.encode()).text).size
    (log / "checkpoint").write_text(first)
    signed_again(bundle, made.keys.county)
    missing = found(audited(bundle, made.root))
    assert ("file_unreadable", "410221100201", 0) in missing

    parts = {}
    for folder in ("0", "entries"):
        (whole,) = (log / f"tile/{folder}/000.p").iterdir()
        data, parts[folder] = whole.read_bytes(), whole.with_name(str(shown))
        entries = parse_entry_bundle(data, int(whole.name)) if folder == "entries" else ()
        parts[folder].write_bytes(entry_bundle(entries[:shown]) if entries else data[: shown * 32])
    signed_again(bundle, made.keys.county)
    there = found(audited(bundle, made.root))
    assert {code for code, _, _ in there} & {"file_unreadable", "tile_mismatch"} == set()

    for part in parts.values():
        data = part.read_bytes()
        part.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        signed_again(bundle, made.keys.county)
        assert ("tile_mismatch", "410221100201", 0) in found(audited(bundle, made.root))
        part.write_bytes(data)


def test_independent_code_accepts_every_proof_of_a_case_handed_to_a_court(made: Made, tmp_path: Path) -> None:
    """Go's `sumdb/note` and transparency-dev's `formats` and `merkle`, from the keys in the certificates alone."""
    files = excerpt(made.county, handed_up(made.county), with_texts=False)
    logs, steps = read_lines(files[LOGS], LogLine), read_lines(files[STEPS], StepLine)
    directory, _ = Directory(made.root).adding_what_holds(read_lines(files[CERTIFICATES], str))
    program = golang.program(".")
    asked = [_asked(files, directory, logs, one, number) for number, one in enumerate(steps, 1)]
    cosigned = [one for one in asked if one["checkpoint"] != one["uncosigned"]]
    assert len(cosigned) >= 6
    done = [_shown_to(program, one) for one in cosigned]
    assert {(one.returncode, one.stderr) for one in done} == {(0, "")}
    other = dict(cosigned[0])
    other["tlog-proof"] = other["tlog-proof"].replace(b"index ", b"index 1", 1)
    assert _shown_to(program, other).returncode == 1


def _asked(files: Files, directory: Directory, logs: list[LogLine], line: StepLine, number: int) -> dict[str, bytes]:
    """What the program reads of one step; its checkpoint continues itself, and a witness has an address, which Go's
    reader of policies wants and the specification does not."""
    proof = parse_tlog_proof(files[event_file(number, "tlog-proof")])
    note = parse_note(proof.checkpoint)
    head, origin = parse_checkpoint(note.text), logs[line.log].origin
    policy = re.sub(
        rb"^(witness \S+ \S+)$", rb"\1 https://w.example/", files[policy_file(line.log)], flags=re.MULTILINE
    )
    named = [one.verifier for one in parse_either(policy.decode(), accept_simulated_clock=True).witnesses]
    signer, cosigner = (Ed25519Signer("o/1/1", kind, bytes(32)) for kind in (ED25519, COSIGNATURE_V1))
    expected = {
        "Origin": origin,
        "LogKey": directory.past_authors(origin)[-1].vkey,
        "WitnessKeys": [key.vkey for key in named if any(one.name == key.name for one in note.signatures)],
        "LogSecret": signer.skey,
        "WitnessSecret": cosigner.skey,
        "Leaf": b64encode(files[event_file(number, "leaf")]).decode(),
        "Index": line.seq,
        "OldSize": head.size,
        "OldRoot": b64encode(head.root).decode(),
        "Consistency": [],
    }
    bare = Note(note.text, note.signatures[:1]).to_bytes()
    texts = {"checkpoint": proof.checkpoint, "uncosigned": bare, "policy": policy}
    return texts | {"expected.json": json.dumps(expected).encode(), "tlog-proof": proof.to_bytes()}


def _shown_to(program: Path, files: dict[str, bytes]) -> "subprocess.CompletedProcess[str]":
    with TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return golang.run(program, folder)
