"""The yearly freeze of real nodes: a log passes to its next shard, and nothing is lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.events import CaseId, ShardOpened, read
from gateway.auditing.exporting import export_bundle
from gateway.freezing import FreezeUnsecured, freeze
from gateway.hosting import founding
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import FolderInUse, Node
from gateway.policing import draft_of
from sync.proofs.policy import parse_policy
from sync.proofs.receipt import verify_receipt
from tests.auditing.forging import audited, found
from tests.gateway.conftest import Office, Town, opened, running_town, wait_until
from tests.gateway.test_api import registration


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Path]]:
    folder = tmp_path_factory.mktemp("frozen")
    with running_town(postgres, folder) as town:
        yield town, folder


@contextmanager
def office(folder: Path) -> Iterator[Office]:
    """The node of a folder, running inside the block."""
    office = opened(folder)
    try:
        yield office
    finally:
        office.node.stop()


def log(node: Node, origin: str) -> list[bytes]:
    with psycopg.connect(node.dsn) as conn:
        query = "select body from ledger join log on log.id = log_id where origin = %s order by seq"
        return [bytes(body) for (body,) in conn.execute(query, (origin,))]


def secured(office: Office) -> bool:
    status = office.node.status()
    return status.cosigned_size == status.log_size and not status.lag


def test_a_frozen_log_goes_on_in_the_next_shard_and_old_receipts_hold(pair: tuple[Town, Path]) -> None:
    town, folder = pair
    village, county = town.village, town.county
    first = village.node.config.origin
    key, filing = str(uuid4()), registration()
    done = village.api("clerk").give(filing, key)
    assert done.status_code == 201, done.text
    wait_until(lambda: secured(village))
    with pytest.raises(FolderInUse):
        freeze(folder / "village")
    policy, case = village.node.policy(), CaseId(UUID(done.json()["case"]))
    receipt = village.node.receipts.of(case)
    village.node.stop()

    passed = freeze(folder / "village")
    with office(folder / "village") as again:
        assert (passed.ended, passed.begun) == (first, first.removesuffix("1") + "2")
        opening = read(log(again.node, passed.begun)[0])
        assert isinstance(opening, ShardOpened)
        assert (opening.before, opening.size, opening.why) == (first, passed.size, "year")
        repeated = again.api("clerk").give(filing, key)
        assert repeated.json()["case"] == str(case), "a command recorded before is answered as it was"
        wait_until(lambda: secured(again))
        wait_until(lambda: log(county.node, passed.begun) == log(again.node, passed.begun))
        assert log(county.node, first) == log(again.node, first)
        assert [fault.kind for fault in county.node.links.faults()] == []
        after = again.node.receipts.of(case)
        assert after.is_proof
        for data in (receipt.data, after.data):
            assert verify_receipt(data, policy).origin == first
    draft = parse_policy(draft_of(folder / "village"))
    assert draft.log.name == passed.begun, "the policy of what is written now"
    export_bundle(folder / "village", folder / "bundle", time.time_ns() // 1000, lambda *_: None, below=False)
    report = audited(folder / "bundle", founding.enrolment(folder / "village").root_fingerprint)
    assert found(report) == set()
    assert {log.origin for log in report.logs} == {passed.ended, passed.begun}
    assert parse_policy(draft_of(folder / "county")).log.name != passed.begun


def test_a_shard_whose_superior_is_away_is_not_left_and_nothing_changes(pair: tuple[Town, Path]) -> None:
    town, folder = pair
    town.village.node.stop()
    with office(folder / "village") as village:
        origin = village.node.config.origin
    town.county.node.stop()
    with office(folder / "village") as village:
        assert village.api("clerk").give(registration()).status_code == 201
    with pytest.raises(FreezeUnsecured):
        freeze(folder / "village", wait_s=1.0)
    with office(folder / "village") as village:
        assert village.node.config.origin == origin
        assert village.api("clerk").give(registration()).status_code == 201
