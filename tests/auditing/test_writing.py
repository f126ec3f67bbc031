"""What an export writes where numbers come out even, names meet, or a head lacks somebody's word."""

from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from domain.events import encode
from gateway.auditing.exporting import _free_name, _is_secured
from gateway.auditing.findings import Finding
from gateway.auditing.reading_texts import NodeTexts
from gateway.auditing.rows import HeldLog
from gateway.auditing.telling import words_of
from gateway.auditing.writing import LogWriter
from sync.proofs.merkle import TILE_WIDTH, leaf_hash
from sync.proofs.note import COSIGNATURE_V1, ED25519, Checkpoint, Ed25519Signer, cosign, sign_note
from sync.proofs.policy import parse_policy
from sync.sealed.custody import Erased, NotCustodian, OpeningMissing, RecipientKeyMissing
from sync.sealed.sealing import SealBroken
from tests.domain.examples import examples

ORIGIN = "test.example/410221100201/1"
LOG = Ed25519Signer(ORIGIN, ED25519, b"log".ljust(32))
UP = Ed25519Signer("test.example/410221000000/witness", COSIGNATURE_V1, b"up".ljust(32))


def test_a_log_of_whole_tiles_has_no_partial_ones(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    for number in range(TILE_WIDTH):
        writer.add(b"%d" % number, leaf_hash(b"%d" % number))
    writer.finish(None)
    tiles = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "tile").rglob("*") if path.is_file())
    assert tiles == ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]


def test_two_logs_whose_plain_names_are_the_same_lie_in_two_folders() -> None:
    taken: set[str] = set()
    logs = [HeldLog(number, f"{domain}/410221100201/1", "410221100201", 1, None) for number, domain in enumerate("abc")]
    assert [_free_name(log, taken) for log in logs] == ["410221100201-1", "410221100201-1.2", "410221100201-1.3"]


def test_a_head_is_shown_once_all_whom_its_policy_demands_have_signed_it() -> None:
    policy = parse_policy(f"log {LOG.verifier.vkey}\nwitness up {UP.verifier.vkey}\nquorum up\n")
    bare = sign_note(Checkpoint(ORIGIN, 1, b"r" * 32).text(), LOG)
    whole = bare.with_lines([cosign(bare.text, UP, 1)])
    assert _is_secured(policy, whole.to_bytes().decode())
    assert not _is_secured(policy, bare.to_bytes().decode())
    assert not _is_secured(None, whole.to_bytes().decode())


def test_what_needs_no_detail_is_told_in_three_lines() -> None:
    bare, detailed = (Finding("cases_not_judged", "notice", "", None, detail) for detail in ("", "more"))
    assert [len(list(words_of([one]))) for one in (bare, detailed)] == [3, 4]


def test_what_several_findings_have_in_common_is_said_once_with_every_place() -> None:
    alike = [Finding("clock_simulated", "notice", f"log/{number}", None, "") for number in range(3)]
    _, _, *places, to_do = words_of(alike)
    assert [place.strip() for place in places] == ["log/0", "log/1", "log/2"]
    assert to_do.strip().startswith("→")


SEALED = next(event for event in examples() if event.sealed and event.case is not None)


@pytest.mark.parametrize(
    ("trouble", "withheld"),
    [
        (SealBroken("key"), "damaged"),
        (OpeningMissing("text", 1, 0), "damaged"),
        (RecipientKeyMissing("k"), "damaged"),
        (NotCustodian(), "no_key"),
        (Erased(UUID(int=1)), "erased"),
    ],
)
def test_what_cannot_be_opened_is_said_with_its_reason_and_what_is_no_event_is_passed_over(
    trouble: Exception, withheld: str
) -> None:
    def refuse(*_: object) -> None:
        raise trouble

    node = SimpleNamespace(custody=SimpleNamespace(open=refuse))
    account = SimpleNamespace(login="auditor", id=UUID(int=7))
    bodies = [(1, encode(SEALED)), (2, encode(SEALED)), (1, b"no event"), (1, b'{"type":"made.up.v9"}')]
    at = SimpleNamespace(sealed=lambda: [(log, seq, body) for seq, (log, body) in enumerate(bodies)])
    lines = list(NodeTexts(node, account).openings(at, {1: 0}.get))  # type: ignore[arg-type]
    assert [(one.log, one.seq, one.part, one.withheld) for one in lines] == [
        (0, 0, part, withheld) for part in range(len(SEALED.sealed))
    ]
