import pytest

from gateway.checking import tell_receipt
from tests.sync.test_receipt import DUE_US, POLICY, PROMISE, PROOF

DEMO = POLICY + "# huiyin:clock simulated\n"


@pytest.mark.parametrize(("now_us", "is_overdue"), [(DUE_US, False), (DUE_US + 1, True)])
def test_a_promise_that_has_run_out_is_called_evidence(now_us: int, is_overdue: bool) -> None:
    said = tell_receipt(PROMISE, POLICY, now_us, accept_simulated_clock=False)
    assert ("evidence of suppression" in said) == is_overdue
    assert ("a valid promise" in said) != is_overdue


@pytest.mark.parametrize("now_us", [DUE_US, DUE_US + 1])
def test_a_demos_promise_is_not_judged_by_the_machines_clock(now_us: int) -> None:
    said = tell_receipt(PROMISE, DEMO, now_us, accept_simulated_clock=True)
    assert "only the demo's clock can tell" in said
    assert "suppression" not in said


def test_a_proof_is_never_overdue() -> None:
    assert "overdue" not in tell_receipt(PROOF, POLICY, DUE_US + 1, accept_simulated_clock=False)
