"""What the faults of a bundle prove: two statements that contradict, checked from the kept evidence alone."""

from typing import Final

from gateway.auditing.bundle import FaultLine
from sync.exchange.convicting import NotProven, Trusted, Verdict, convict
from sync.exchange.evidence import read_evidence

_DEALT_WITH: Final = frozenset({"key_outlived", "witness_rolled_back"})


def proven_lie(fault: FaultLine, trusted: Trusted) -> Verdict | None:
    """Whom the evidence convicts of what changes a history or keeps what was erased; null for all else.

    A key that was taken back, and a superior that was put back, are dealt with where they were found.
    """
    evidence = read_evidence(fault.evidence)
    if evidence is None:
        return None
    try:
        verdict = convict(evidence, trusted)
    except NotProven:
        return None
    return None if verdict.code in _DEALT_WITH else verdict
