"""Which heads of the own log satisfy its policy: what makes an event secured, and what a receipt rests on."""

from collections.abc import Sequence
from typing import Final, Protocol

from sync.proofs.note import NoteInvalid, parse_note
from sync.proofs.policy import Policy, check_checkpoint, demands
from sync.proofs.signed_policy import fewest_witnesses
from sync.proofs.tree import Proof, SignedHead, TreeReader, prove

_PAGE: Final = 16


class QuorumStore(TreeReader, Protocol):
    """What is asked of the cosignatures kept, all of which were verified before."""

    def heads_by(
        self, log_id: int, witnesses: Sequence[str], at_least: int, beyond: int, limit: int, *, newest_first: bool
    ) -> list[SignedHead]:
        """Heads larger than `beyond` that at least so many of these witnesses have cosigned, in order of size."""


class Quorum:
    """The policy of the own log. Every quorum demands the key of the next one up: `acknowledger`, its name."""

    def __init__(self, policy: Policy, acknowledger: str) -> None:
        """ValueError for a policy that can do without the acknowledger, or does not know it."""
        if not any(demands(policy, one.verifier) for one in policy.witnesses if one.verifier.name == acknowledger):
            raise ValueError(f"the policy does not demand {acknowledger}")
        self.policy = policy
        self.acknowledger = acknowledger
        names = {witness.verifier.name for witness in policy.witnesses}
        self._others = sorted(names - {acknowledger})
        self._others_needed = fewest_witnesses(policy) - 1

    def secured_size(self, store: QuorumStore, known: int = 0) -> int:
        """How many leaves stand under a head that satisfies it. known: so many are known to."""
        if not self._others_needed:
            return store.cosigned_size(store.own_log(), self.acknowledger)
        found = self._found(store, store.own_log(), known, newest_first=True)
        return known if found is None else found.size

    def proof(self, store: QuorumStore, log_id: int, seq: int) -> Proof | None:
        """For a receipt: own leaf `seq` of that log under the first head beyond it that meets the policy, if any."""
        if self._others_needed:
            head = self._found(store, log_id, seq, newest_first=False)
        else:
            head = store.cosigned_head(log_id, seq, self.acknowledger)
        return None if head is None else prove(store, log_id, seq, head)

    def _found(self, store: QuorumStore, log_id: int, beyond: int, *, newest_first: bool) -> SignedHead | None:
        """The largest or the smallest of size > beyond: of the few that enough others have cosigned, the first to do.

        It looks at those that others cosigned, since these are fewer: they are asked for acknowledged heads only.
        """
        limit = _PAGE
        while True:
            heads = store.heads_by(log_id, self._others, self._others_needed, beyond, limit, newest_first=newest_first)
            for head in heads[limit - _PAGE :]:
                if self._is_met(store, log_id, head):
                    return head
            if len(heads) < limit:
                return None
            limit += _PAGE

    def _is_met(self, store: QuorumStore, log_id: int, head: SignedHead) -> bool:
        """Of an older shard, whose policy named its own key: that enough have cosigned, the acknowledger too."""
        lines = "".join(store.cosignature_lines(log_id, head.size))
        if log_id != store.own_log():
            return any(line.name == self.acknowledger for line in parse_note((head.note + lines).encode()).signatures)
        try:
            check_checkpoint(self.policy, parse_note((head.note + lines).encode()))
        except NoteInvalid:
            return False
        return True
