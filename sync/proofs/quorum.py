"""Which heads of the own log satisfy its policy: what makes an event secured, and what a receipt rests on."""

from collections.abc import Sequence
from typing import Final, Protocol

from sync.proofs.note import NoteInvalid, Verifier, parse_note, parse_signature_lines
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

    def cosigned_by(self, log_id: int, key: Verifier) -> int:
        """The largest size whose kept cosignature is by this very key, or 0."""


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
        has_former = any(it.before for it in policy.witnesses)
        if has_former and not self._others_needed:  # then each of the acknowledger's heads is held against the policy
            self._others, self._others_needed = [acknowledger], 1

    def secured_size(self, store: QuorumStore, known: int = 0) -> int:
        """How many leaves stand under a head that satisfies it. known: so many are known to."""
        if not self._others_needed:
            return store.cosigned_size(store.own_log(), self.acknowledger)
        found = self._found(store, store.own_log(), known, newest_first=True)
        return known if found is None else found.size

    def is_outgrown(self, store: QuorumStore) -> bool:
        """Whether the next one up has signed more since with a key that the policy says another followed."""
        before = {key.verifier.key_id: key.upto for one in self.policy.witnesses for key in one.before}
        if not before:
            return False
        own = store.own_log()
        size = store.cosigned_size(own, self.acknowledger)
        lines = parse_signature_lines("".join(store.cosignature_lines(own, size)).encode()) if size else ()
        return any(before.get(line.key_id, size) < size for line in lines)

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
