"""Finds who gives a key on that it has signed to have destroyed: two leaves of one log that contradict each other."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from domain.divisions import Division
from domain.events import CaseId, KeyDestroyed, KeyGranted, encode
from domain.shards import place
from sync.exchange.evidence import KeptKey, ProvenLeaf
from sync.exchange.faults import Fault
from sync.exchange.store import Store, Transaction
from sync.proofs.merkle import Prover
from sync.sealed.custody import CaseReader, Told

KEPT: Final = "kept_key"
"""The kind of the fault; the subject is the leaf that gives the key on."""


class KeptKeys:
    """Works for the steward."""

    def __init__(
        self, here: Division, cases: CaseReader, exchange: Store, fault: Callable[[Fault], None],
        origin: Callable[[int], str],
    ) -> None:  # fmt: skip
        """fault: lets one stand. origin: of a log, by its local id."""
        self._here = here
        self._cases = cases
        self._exchange = exchange
        self._fault = fault
        self._origin = origin

    def look(self, case: CaseId, said: KeyGranted | KeyDestroyed) -> None:
        """Whether its author has said the other before, or since: a key that is destroyed nobody gives on."""
        if said.node == self._here:
            return
        found = contradicting(self._cases.case_events(case), said.node, said.subject)
        if found is None:
            return
        destroyed, granted = found
        with self._exchange.transaction() as tx:
            proofs = self._proven(tx, destroyed), self._proven(tx, granted)
        evidence = b"" if None in proofs else msgspec.msgpack.encode(KeptKey(*proofs))  # type: ignore[arg-type]
        detail = f"{said.node} had signed at leaf {destroyed.seq} that it was destroyed"
        self._fault(Fault(KEPT, f"{self._origin(granted.log_id)}#{granted.seq}", "", detail, evidence))

    def _proven(self, tx: Transaction, told: Told) -> ProvenLeaf | None:
        """Under the newest head of its log, or as it came from above."""
        body, origin = encode(told.event), self._origin(told.log_id)  # type: ignore[arg-type]
        enclosed = tx.enclosed(told.log_id, told.seq)
        if enclosed is not None:
            return ProvenLeaf(body, told.seq, enclosed.proof, enclosed.checkpoint)
        tree = tx.trees([origin]).get(origin)
        head = None if tree is None else tx.head_at(told.log_id, tree.size)
        if head is None or told.seq >= head.size:
            return None
        return ProvenLeaf(body, told.seq, Prover(tx.hashes(told.log_id), head.size).inclusion(told.seq), head.note)


def contradicting(history: Iterable[Told], node: Division, subject: str) -> tuple[Told, Told] | None:
    """The first leaf in which a node says that it has destroyed a subject's key, and one after it that gives it on."""
    told = [one for one in history if isinstance(one.event, KeyGranted | KeyDestroyed)]
    told = [one for one in told if (one.event.node, one.event.subject) == (node, subject)]  # type: ignore[union-attr]
    destroyed = next((one for one in sorted(told, key=_place) if isinstance(one.event, KeyDestroyed)), None)
    if destroyed is None:
        return None
    after = [one for one in told if isinstance(one.event, KeyGranted) and _place(one) > _place(destroyed)]
    return (destroyed, min(after, key=_place)) if after else None


def _place(told: Told) -> int:
    return place(told.log_id, told.seq)
