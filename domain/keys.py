"""Who holds a subject's data key, as the events say, in whatever order they were learned."""

from collections.abc import Iterable, Sequence
from typing import Final

from domain.divisions import Division
from domain.events import AnyEvent, ErasureConfirmed, ErasureOrdered, KeyGranted, Registered

LAST_COPY_US: Final = 30 * 86_400 * 1_000_000
"""How long a backup or a channel may keep what was destroyed: an erasure is complete only after it (ADR-0005)."""


def founder_of(event: AnyEvent, subject: str) -> Division | None:
    """The node whose registration was sealed under `subject`: it made the key. Null for any other event."""
    if isinstance(event, Registered) and any(sealed.subject == subject for sealed in event.sealed):
        return event.node
    return None


def entitled(grants: Iterable[KeyGranted], founder: Division | None) -> tuple[KeyGranted, ...]:
    """The grants that count, in the order given: by the founder, or by whom such a grant has made a custodian.

    So nobody slips in a key of his own. founder: null where the registration tells of none, or is not known.
    """
    known = tuple(grants)
    authors = {founder or _first_author(known)} if known else set[Division]()
    while True:
        counted = tuple(grant for grant in known if grant.node in authors)
        found = authors.union(one.custodian for grant in counted for one in grant.grants)
        if found == authors:
            return counted
        authors = found


def _first_author(known: Sequence[KeyGranted]) -> Division:
    """Who was given the key by nobody else. A stranger may claim as much, but none before the key was made: of two,
    the one learned first."""
    receivers = {one.custodian for grant in known for one in grant.grants if one.custodian != grant.node}
    return next((grant.node for grant in known if grant.node not in receivers), known[0].node)


def custodians(grants: Iterable[KeyGranted], founder: Division | None) -> frozenset[Division]:
    """Every node that was given the key, itself included where it says so; each signs an erasure."""
    return frozenset(one.custodian for grant in entitled(grants, founder) for one in grant.grants)


def is_second_person(ordered: ErasureOrdered, event: ErasureConfirmed) -> bool:
    """Whether somebody else of the same node agrees to the same; one leaf alone erases nothing."""
    same = (ordered.node, ordered.subject) == (event.node, event.subject)
    return same and ordered.actor.account != event.actor.account
