"""`huiyin node rotate`, `revoke` and `enrol` on nodes that run: what breaks off is taken up, what is stolen ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway import rotating
from gateway.casework.orders import TakeBack
from gateway.enrolling import RequestRefused, enrol_child, take_back
from gateway.hosting import founding
from gateway.hosting.founding import RotatedLately
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import FolderInUse, Node
from sync.proofs.receipt import ReceiptInvalid, verify_receipt
from sync.trust.keys import destroy_former, load_keys
from sync.trust.statements import Revocation, read_statement
from tests.gateway.conftest import VILLAGE, Office, opened, running_town, wait_until
from tests.gateway.test_api import registration


class PowerCut(BaseException):
    """In the middle of a command."""


def install(folder: Path) -> None:
    """What the county signs for the village's request is installed there."""
    request = (folder / "village" / founding.REQUEST).read_text()
    founding.install(folder / "village", enrol_child(folder / "county", request))


def log_key(office: Office, division: str = VILLAGE) -> str:
    known = office.node.links.directory().division(division)
    assert known is not None
    return known.certificate.keys.log


def secured(office: Office) -> bool:
    status = office.node.status()
    return status.cosigned_size == status.log_size


def proof(office: Office, case: str) -> bytes:
    """The receipt of a case, once it proves."""
    receipts: Any = office.node.receipts
    wait_until(lambda: receipts.of(UUID(case)).is_proof)
    return bytes(receipts.of(UUID(case)).data)


def filed(office: Office) -> str:
    return str(office.api("clerk").give(registration()).json()["case"])


def test_48_a_rotation_that_is_interrupted_at_any_step_is_taken_up_and_happens_once(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_town(postgres, tmp_path) as town:
        old = filed(town.village)
        receipt, policy, before = proof(town.village, old), town.village.node.policy(), log_key(town.county)
        with pytest.raises(FolderInUse):
            rotating.rotate(tmp_path / "village")
        town.village.node.stop()
        steps: list[tuple[Any, str]] = [(founding, "begin_rotation"), (Node, "record_rotation"), (Node, "stop")]
        steps += [(founding, "ask_rotation"), (founding, "replace_private")]
        for where, what in steps:
            with monkeypatch.context() as patched:
                patched.setattr(where, what, dying(getattr(where, what)))
                with pytest.raises(PowerCut):
                    rotating.rotate(tmp_path / "village")
            assert founding.keys_of(tmp_path / "village").log.verifier.vkey == before, "until it is certified"
        rotating.rotate(tmp_path / "village")
        request = (tmp_path / "village" / founding.REQUEST).read_text()
        given = enrol_child(tmp_path / "county", request)
        assert enrol_child(tmp_path / "county", request) == given, "asked again after a crash, the same"
        with monkeypatch.context() as patched:
            patched.setattr(founding, "replace_private", dying(founding.replace_private))
            with pytest.raises(PowerCut):
                founding.install(tmp_path / "village", given)
        founding.install(tmp_path / "village", given)
        village = opened(tmp_path / "village")
        try:
            told = village.node.reader.fetch("select count(*) from ledger where topic = 'node.key_rotated.v0'")
            assert told == [(1,)]
            new = proof(village, filed(village))
            wait_until(lambda: log_key(town.county) == log_key(village) != before)
            assert secured(village)
            for one, published in ((receipt, policy), (receipt, village.node.policy()), (new, village.node.policy())):
                assert verify_receipt(one, published).leaf
            assert verify_receipt(new, policy).leaf, "while both sign, who has not heard of it is not turned away"
            with pytest.raises(RotatedLately):
                rotating.rotate(tmp_path / "village")
        finally:
            village.node.stop()
        destroy_former(tmp_path / "village" / founding.KEYS, log_key(village))
        assert founding.keys_of(tmp_path / "village").former is None
        village = opened(tmp_path / "village")
        try:
            last = proof(village, filed(village))
            assert verify_receipt(last, village.node.policy()).leaf
            with pytest.raises(ReceiptInvalid):
                verify_receipt(last, policy)
        finally:
            village.node.stop()


def dying(real: Callable[..., Any]) -> Any:
    """The same, and the power is cut once it has done its work."""

    def dies(*args: Any, **more: Any) -> None:
        real(*args, **more)
        raise PowerCut

    return dies


def test_the_root_rotates_by_itself_and_those_below_and_its_witness_go_on(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_town(postgres, tmp_path) as town:
        before = log_key(town.county, town.county.node.here)
        town.county.node.stop()
        vkey = rotating.rotate(tmp_path / "county")
        assert vkey not in (None, before)
        county = opened(tmp_path / "county")
        try:
            case = filed(town.village)
            assert verify_receipt(proof(town.village, case), town.village.node.policy()).leaf
            wait_until(lambda: log_key(town.village, county.node.here) == vkey)
            wait_until(lambda: secured(county))
            assert not [fault for fault in town.village.node.links.faults() if fault.kind != "waits"]
        finally:
            county.node.stop()


def test_stolen_keys_are_taken_back_by_a_running_superior_and_the_node_goes_on_with_new_ones(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_town(postgres, tmp_path) as town:
        filed(town.village)
        wait_until(lambda: secured(town.village))
        before = founding.keys_of(tmp_path / "village")
        said = read_statement(take_back(tmp_path / "county", TakeBack(VILLAGE, "stolen")))
        assert isinstance(said, Revocation)
        again = take_back(tmp_path / "county", TakeBack(VILLAGE, "stolen"))
        assert read_statement(again) == said, "once"
        wait_until(lambda: "own_keys_revoked" in {fault.kind for fault in town.village.node.links.faults()})
        mine = filed(town.village)  # recorded under the stolen key, after the last good size
        town.village.node.stop()
        founding.renew(tmp_path / "village", new_recipient_key=False)
        with pytest.raises(RequestRefused):
            install(tmp_path)
        founding.ask_after_theft(tmp_path / "village")
        install(tmp_path)
        after = founding.keys_of(tmp_path / "village")
        assert {after.log.verifier, after.recipient.key_id}.isdisjoint({before.log.verifier, before.recipient.key_id})
        village = opened(tmp_path / "village")
        try:
            wait_until(lambda: secured(village))
            assert verify_receipt(proof(village, mine), village.node.policy()).leaf, "nothing that it recorded is lost"
            wait_until(lambda: log_key(town.county) == after.log.verifier.vkey)
            assert "own_keys_revoked" not in {fault.kind for fault in village.node.links.faults()}
            assert load_keys(tmp_path / "village" / founding.KEYS, certified=after.log.verifier.vkey).former is not None
        finally:
            village.node.stop()
