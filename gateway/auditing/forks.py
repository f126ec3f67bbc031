"""Two heads that one author signed and that contradict each other: checked from the kept evidence alone."""

from collections.abc import Sequence

from gateway.auditing.bundle import FaultLine
from sync.exchange.convicting import NotProven, convict
from sync.exchange.evidence import read_evidence
from sync.exchange.faults import Fork
from sync.proofs.note import Checkpoint, Note, Verifier


def is_proven_fork(fault: FaultLine, authors: Sequence[Verifier]) -> bool:
    """Whether the evidence convicts: both heads signed by keys of that log, and no tree holds both."""
    fork = read_evidence(fault.evidence)
    if not isinstance(fork, Fork):
        return False
    try:
        return convict(fork, _Authors(fault.subject, authors)).log == fault.subject
    except NotProven:
        return False


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
