"""Exporting beside a running node: whole or not at all, never over something, and never a text without its note."""

import os
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from domain.divisions import Division, tier_of
from gateway.accounts import Accounts, NewAccount, WrongPassword, prepare
from gateway.auditing.bundle import Bundle, FaultLine
from gateway.auditing.exporting import NotOnce, TargetTaken, _Export, export_bundle
from gateway.auditing.manifest import read_manifest
from gateway.auditing.opening_node import NotAuditor, opened_texts
from gateway.auditing.rows import HeldLog, snapshot
from gateway.hosting import config, founding
from gateway.hosting.outside_witness import WitnessConfig, found_witness
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import FolderInUse, Node, hold_folder
from sync.exchange.faults import Fault
from sync.ledger.migrations import migrate
from sync.proofs.policy import parse_policy
from sync.trust.certificates import verify_chain
from sync.trust.keys import load_keys
from tests.auditing.conftest import quiet, registered
from tests.auditing.forging import Parts, audited, found
from tests.auditing.test_command_line import audit
from tests.gateway.conftest import PASSWORD, database, free_port

HERE = Division("410221000000")


@pytest.fixture
def folder(postgres: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A root that was founded and never started."""
    key = found_witness(tmp_path / "witness", WitnessConfig(name="audit.test.example/witness", port=free_port()))
    identity = config.Identity(division=HERE, name="杞县", tier=tier_of(HERE), trust_domain="test.example")
    settings = config.NodeConfig(
        node=identity,
        database=config.Database(dsn=database(postgres, f"export_{os.getpid()}_{abs(hash(request.node.name))}")),
        witness=config.OutsideWitness(url="http://127.0.0.1:9", key=key),
    )
    founding.found_root(tmp_path / "node", settings, 1_790_000_000_000_000)
    return tmp_path / "node"


def lived(folder: Path, *, sealed: bool = True) -> None:
    """The node has started once, and one case was registered."""
    node = Node(folder)
    node.open()
    registered(node)
    if sealed:
        node.links.seal_all()
    node.stop()


def exported(folder: Path, out: Path) -> None:
    export_bundle(folder, out, 1, quiet, below=True)


def test_a_node_that_never_started_has_nothing_to_hand_over(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        exported(folder, tmp_path / "out")
    migrate(config.load(folder).database.dsn)
    with pytest.raises(NotOnce):
        exported(folder, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_what_no_head_covers_yet_is_left_out_and_said(folder: Path, tmp_path: Path) -> None:
    lived(folder, sealed=False)
    exported(folder, tmp_path / "out")
    manifest, _ = read_manifest(Bundle(tmp_path / "out"))
    with psycopg.connect(config.load(folder).database.dsn) as conn:
        ((own_size,),) = conn.execute("select own_size from head").fetchall()
    assert manifest.left_out == own_size > 0
    assert Parts.of(tmp_path / "out").order == []


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    lived(folder)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    for taken in (out, out / "mine"):
        with pytest.raises(TargetTaken):
            exported(folder, taken)
    (out / "mine").unlink()
    (tmp_path / "out.part").mkdir()
    with pytest.raises(TargetTaken):
        exported(folder, out)
    (tmp_path / "out.part").rmdir()
    exported(folder, out)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == ["out"]


def test_an_export_that_breaks_off_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    for step in ("learned", "above", "fault", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(f"gateway.auditing.writing.BundleWriter.{step}", full)
            if step in ("learned", "finish"):
                with pytest.raises(OSError, match="No space"):
                    exported(folder, tmp_path / "out")
                assert not list(tmp_path.glob("out*"))


def test_a_leaf_that_the_database_superuser_changed_is_found(folder: Path, tmp_path: Path) -> None:
    lived(folder)
    with psycopg.connect(config.load(folder).database.dsn) as conn:
        conn.execute("update ledger set body = overlay(body placing 'x'::bytea from 40) where seq = 3")
    exported(folder, tmp_path / "out")
    root = founding.enrolment(folder).root_fingerprint
    assert ("tile_mismatch", HERE, 3) in found(audited(tmp_path / "out", root))
    with psycopg.connect(config.load(folder).database.dsn) as conn:
        conn.execute("update ledger set leaf = sha256('\\x00'::bytea || body) where seq = 3")
    exported(folder, tmp_path / "again")
    assert ("root_mismatch", HERE, 0) in found(audited(tmp_path / "again", root))


def account(folder: Path, login: str, role: str) -> None:
    dsn = config.load(folder).database.dsn
    prepare(dsn)
    node = Node(folder)
    node.open()
    try:
        new = {"login": login, "name": login, "password": PASSWORD, "role": role, "unit": f"{HERE}.office"}
        Accounts(node.pool, HERE, node.clock.now_us).open(NewAccount(**new, discipline=False), None)  # type: ignore[arg-type]
    finally:
        node.stop()


def test_only_an_auditor_who_signs_in_has_texts_opened_and_every_reading_is_in_the_bundle(
    folder: Path, tmp_path: Path
) -> None:
    lived(folder)
    account(folder, "clerk", "clerk")
    account(folder, "auditor", "auditor")
    with pytest.raises(NotAuditor), opened_texts(folder, "clerk", lambda: PASSWORD):
        pass
    with pytest.raises(WrongPassword), opened_texts(folder, "auditor", lambda: "wrong"):
        pass
    with opened_texts(folder, "auditor", lambda: PASSWORD) as (texts, dsn):
        export_bundle(folder, tmp_path / "out", 1, quiet, below=False, texts=texts, dsn=dsn)
    parts = Parts.of(tmp_path / "out")
    assert [opening.value for line in parts.openings for opening in line.openings if opening.path == "title"] == [
        "大棚补偿"
    ]
    assert parts.manifest.reader.startswith("auditor (")
    codes = {code for code, _, _ in found(audited(tmp_path / "out", parts.manifest.root))}
    assert codes == {"quorum_missing"}, "its witness is down; all else is sound, readings noted"


def test_texts_are_not_opened_beside_a_running_node(folder: Path) -> None:
    release = hold_folder(folder)
    try:
        with pytest.raises(FolderInUse), opened_texts(folder, "auditor", lambda: PASSWORD):
            pass
    finally:
        release()


def test_the_command_makes_a_bundle_and_says_what_it_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(folder, sealed=False)
    assert audit(monkeypatch, "export", str(folder), "--out", str(tmp_path / "out"), "--openings") == 2
    assert "--as" in capsys.readouterr().err
    node = Node(folder)
    node.open()
    node.links.seal_all()
    registered(node)
    node.stop()
    assert audit(monkeypatch, "export", str(folder), "--out", str(tmp_path / "out")) == 0
    told = capsys.readouterr().out
    assert "ledger position" in told
    assert "events under no checkpoint yet are left out" in told
    manifest, _ = read_manifest(Bundle(tmp_path / "out"))
    assert manifest.left_out > 0


def test_each_shard_of_a_roots_log_has_a_policy_of_its_own(folder: Path) -> None:
    given = founding.enrolment(folder)
    directory = verify_chain(given.certificates, given.root_fingerprint)
    at = SimpleNamespace(logs=lambda **_: [], cosigned_by=lambda *_: 0)
    export = _Export(None, at, folder, config.load(folder), directory, [], quiet)  # type: ignore[arg-type]
    for shard in (1, 2):
        log = HeldLog(shard, f"test.example/{HERE}/{shard}", HERE, 1, None)
        assert parse_policy(export._policy(log)).log.name == log.origin


def test_every_fault_stands_in_the_bundle_with_its_evidence(folder: Path, tmp_path: Path) -> None:
    lived(folder)
    node = Node(folder)
    node.open()
    node.links.fault(Fault("made_up", "somebody", "", "detail", b"evidence"))
    node.stop()
    with snapshot(config.load(folder).database.dsn) as at:
        assert at.cosigned_by(1, load_keys(folder / founding.KEYS).witness.verifier) == 0
    exported(folder, tmp_path / "out")
    (fault,) = Bundle(tmp_path / "out").lines("faults.jsonl", FaultLine)
    assert (fault.kind, fault.subject, fault.evidence) == ("made_up", "somebody", b"evidence")
