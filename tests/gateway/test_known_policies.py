"""What a verifier has believed before is not undercut by what it is given later."""

from pathlib import Path

import pytest

from gateway.checking import Believed, tell_receipt
from gateway.known_policies import KnownPoliciesUnreadable
from sync.proofs.policy import PolicyInvalid, parse_policy
from sync.proofs.signed_policy import PolicyOutdated, PolicyUnsigned, PolicyWeaker, sign_policy
from tests.sync.test_signed_policy import ALL, AUDIT, PARENT, PEER, PUBLISHER, UP_ALONE, head_over_leaf, receipt

RECEIPT = receipt(head_over_leaf(PARENT, AUDIT, PEER))


def told(policy: str, file: Path, publisher: str = "", *, accept_weaker: bool = False) -> str:
    believed = Believed(publisher, file, accept_weaker)
    return tell_receipt(RECEIPT, policy, 0, accept_simulated_clock=False, believed=believed)


def policy(text: str, serial: int) -> str:
    return sign_policy(parse_policy(text), serial, PUBLISHER)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of somebody who has believed number 4 of a publisher named by hand."""
    path = tmp_path / "known.json"
    assert "第 4 号，由 huiyin.example/410200000000/1 签发" in told(policy(ALL, 4), path, PUBLISHER.verifier.vkey)
    return path


def test_65_a_verifier_that_knows_a_policy_refuses_an_older_a_weaker_and_a_bare_one(file: Path) -> None:
    for given, refusal in (
        (policy(ALL, 3), PolicyOutdated),
        (policy(UP_ALONE, 4), PolicyOutdated),
        (policy(UP_ALONE, 5), PolicyWeaker),
        (ALL, PolicyUnsigned),
    ):
        with pytest.raises(refusal):
            told(given, file)
    assert "第 4 号" in told(policy(ALL, 4), file), "and nothing of that was believed"


def test_a_person_can_agree_to_fewer_witnesses_and_then_knows_that_policy(file: Path) -> None:
    assert "第 5 号" in told(policy(UP_ALONE, 5), file, accept_weaker=True)
    assert "第 5 号" in told(policy(UP_ALONE, 5), file)
    with pytest.raises(PolicyOutdated):
        told(policy(ALL, 4), file)


def test_the_publisher_named_once_is_asked_for_from_then_on(file: Path) -> None:
    forged = policy(ALL, 9).replace("serial 9", "serial 8")
    with pytest.raises(PolicyInvalid):
        told(forged, file)


def test_a_policy_that_nobody_signed_is_kept_for_nothing(tmp_path: Path) -> None:
    assert "有效" in told(ALL, tmp_path / "known.json")
    assert not (tmp_path / "known.json").exists()


def test_a_signed_policy_without_its_publisher_says_that_nothing_was_checked(tmp_path: Path) -> None:
    assert "签名未核验" in told(policy(ALL, 2), tmp_path / "known.json")
    assert not (tmp_path / "known.json").exists()


def test_a_file_that_was_spoiled_is_named(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(KnownPoliciesUnreadable):
        told(policy(ALL, 4), file)
