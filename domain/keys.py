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
    """Who was given one subject's key. counted: the grants by the founder, or by whom such a grant made a custodian.

    custodians: whom those name, the founder included where it says so; each signs an erasure. others: by author,
    the grants of whoever is no custodian (yet), so that nobody slips in a key of his own.
    """

    counted: tuple[KeyGranted, ...] = ()
    custodians: frozenset[Division] = frozenset()
    others: Mapping[Division, tuple[KeyGranted, ...]] = {}


def granted(holders: Holders, event: KeyGranted) -> Holders:
    """The holders after a grant. It costs what it adds, however many strangers have claimed the key before."""
    if event.node not in holders.custodians and event.node != founder_of(event.subject):
        waiting = (*holders.others.get(event.node, ()), event)
        return msgspec.structs.replace(holders, others={**holders.others, event.node: waiting})
    counted, custodians, others = [*holders.counted, event], set(holders.custodians), dict(holders.others)
    fresh = [event]
    while fresh:
        new = {one.custodian for one in fresh.pop().grants} - custodians
        custodians |= new
        believed = [grant for node in sorted(new) for grant in others.pop(node, ())]
        counted += believed
        fresh += believed
    return Holders(tuple(counted), frozenset(custodians), others)


def is_second_person(ordered: ErasureOrdered, event: ErasureConfirmed) -> bool:
    """Whether somebody else of the same node agrees to the same; one leaf alone erases nothing."""
    same = (ordered.node, ordered.subject) == (event.node, event.subject)
    return same and ordered.actor.account != event.actor.account
