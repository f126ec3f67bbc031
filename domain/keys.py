"""Who holds a subject's data key, as the events say, in whatever order they were learned."""

from collections.abc import Mapping
from typing import Final

import msgspec

from domain.divisions import Division
from domain.events import ErasureConfirmed, ErasureOrdered, KeyGranted

LAST_COPY_US: Final = 30 * 86_400 * 1_000_000
"""How long a backup or a channel may keep what was destroyed: an erasure is complete only after it (ADR-0005)."""

_CODE_LENGTH: Final = 12


def new_subject(founder: Division, random: bytes) -> str:
    """A pseudonym for one person's file in one case, which says itself whose node makes its key.

    random: 10 unpredictable bytes. 32 characters: the founder's code, then the random part in hex.
    """
    return founder + random.hex()


def founder_of(subject: str) -> Division:
    """The node that made the subject's key: no event can name another, and none is needed to know it."""
    return Division(subject[:_CODE_LENGTH])


class Holders(msgspec.Struct, frozen=True):
    """Who was given one subject's key, by its founder or by whom such a grant made a custodian.

    custodians: each signs an erasure; the founder is one where it says so. readers: those who were given it to read
    with it, which an escrow is not. others: by author, whom those name who are no custodians (yet), and for what; so
    nobody slips in a key of his own.
    """

    custodians: frozenset[Division] = frozenset()
    readers: frozenset[Division] = frozenset()
    others: Mapping[Division, frozenset[tuple[Division, str]]] = {}

    def may_give(self, node: Division, subject: str) -> bool:
        """Whether a grant by this node counts."""
        return node in self.custodians or node == founder_of(subject)


def granted(holders: Holders, event: KeyGranted) -> Holders:
    """The holders after a grant; the same where it names nobody new, however often somebody says it again."""
    given: frozenset[tuple[Division, str]] = frozenset((one.custodian, one.purpose) for one in event.grants)
    if not holders.may_give(event.node, event.subject):
        said = holders.others.get(event.node, frozenset())
        others = {**holders.others, event.node: said | given}
        return holders if given <= said else msgspec.structs.replace(holders, others=others)
    custodians, readers, others = set(holders.custodians), set(holders.readers), dict(holders.others)
    counting = [given]
    while counting:
        pairs = counting.pop()
        new = {node for node, _ in pairs} - custodians
        custodians |= new
        readers |= {node for node, purpose in pairs if purpose != "escrow"}
        counting += [others.pop(node) for node in new if node in others]
    if (len(custodians), len(readers)) == (len(holders.custodians), len(holders.readers)):
        return holders
    return Holders(frozenset(custodians), frozenset(readers), others)


def is_second_person(ordered: ErasureOrdered, event: ErasureConfirmed) -> bool:
    """Whether somebody else of the same node agrees to the same; one leaf alone erases nothing."""
    same = (ordered.node, ordered.subject) == (event.node, event.subject)
    return same and ordered.actor.account != event.actor.account
