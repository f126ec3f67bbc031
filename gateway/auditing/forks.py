"""What the faults of a bundle prove: two statements that contradict, checked from the kept evidence alone."""

from collections.abc import Sequence
from typing import Final

from gateway.auditing.bundle import FaultLine
from sync.exchange.convicting import ByRoot, NotProven, Verdict, convict
from sync.exchange.evidence import read_evidence
from sync.exchange.faults import Fork
from sync.proofs.note import Checkpoint, Note, Verifier
from sync.trust.certificates import Directory

_DEALT_WITH: Final = frozenset({"key_outlived", "witness_rolled_back"})


def is_proven_fork(fault: FaultLine, authors: Sequence[Verifier]) -> bool:
    """Whether the evidence convicts: both heads signed by keys of that log, and no tree holds both."""
    fork = read_evidence(fault.evidence)
    if not isinstance(fork, Fork):
        return False
    try:
        return convict(fork, _Authors(fault.subject, authors)).log == fault.subject
    except NotProven:
        return False


def proven_lie(fault: FaultLine, directory: Directory) -> Verdict | None:
    """Whom the evidence convicts of what changes a history or keeps what was erased; null for all else.

    A key that was taken back, and a superior that was put back, are dealt with where they were found.
    """
    evidence = read_evidence(fault.evidence)
    if evidence is None:
        return None
    try:
        verdict = convict(evidence, ByRoot(directory))
    except NotProven:
        return None
    return None if verdict.code in _DEALT_WITH else verdict


class _Authors:
    """The keys of one log, and no others."""

    def __init__(self, origin: str, authors: Sequence[Verifier]) -> None:
        self._origin, self._authors = origin, authors

    def authors(self, origin: str) -> Sequence[Verifier]:
        """Those of this log."""
        return self._authors if origin == self._origin else ()

    def witnesses(self, origin: str, size: int) -> Sequence[Verifier]:
        """Nobody's."""
        return ()

    def ended_by(self, note: Note, checkpoint: Checkpoint) -> str:
        """Nothing."""
        return ""
