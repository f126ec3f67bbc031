"""Who holds a key follows from the grants alone, whatever a stranger claims and in whatever order they are learned."""

import itertools
from collections.abc import Iterable
from uuid import UUID

import msgspec

from domain.divisions import Division
from domain.events import Actor, CaseId, EventId, Grant, KeyGranted, StreamId
from domain.keys import Holders, founder_of, granted, new_subject
from tests.domain.examples import DIGEST
from tests.given import CITY, GAOYANG, LIUZHUANG, QI, office

SUBJECT = new_subject(LIUZHUANG, bytes(range(10)))
STRANGER = GAOYANG

_numbers = itertools.count(100)


def grant(author: Division, *to: Division) -> KeyGranted:
    id_ = EventId(UUID(int=next(_numbers)))
    return KeyGranted(
        id=id_,
        stream=StreamId(id_),
        version=1,
        case=CaseId(UUID(int=1)),
        node=author,
        actor=Actor(account=UUID(int=2), role="system", unit=office(author)),
        occurred_us=1,
        recorded_us=1,
        cause=(),
        law=None,
        sealed=(),
        subject=SUBJECT,
        grants=tuple(Grant(custodian=node, recipient_key="k", wrapped=DIGEST, purpose="handle") for node in to),
    )


def holders(grants: Iterable[KeyGranted]) -> Holders:
    found = Holders()
    for event in grants:
        found = granted(found, event)
    return found


def test_a_subject_says_itself_who_makes_its_key() -> None:
    assert founder_of(SUBJECT) == LIUZHUANG
    assert len(SUBJECT) == 32
    assert new_subject(LIUZHUANG, bytes(10)) != SUBJECT


def test_a_stranger_who_grants_first_is_neither_founder_nor_custodian() -> None:
    founded, stranger = grant(LIUZHUANG, LIUZHUANG, CITY), grant(STRANGER, LIUZHUANG, STRANGER)
    for order in itertools.permutations([founded, stranger, grant(LIUZHUANG, QI)]):
        assert holders(order).custodians == {LIUZHUANG, CITY, QI}
        assert not holders(order).may_give(STRANGER, SUBJECT)


def test_whom_a_custodian_gives_the_key_is_one_too_in_whatever_order_that_is_learned() -> None:
    chain = [grant(LIUZHUANG, LIUZHUANG), grant(LIUZHUANG, QI), grant(QI, CITY), grant(CITY, GAOYANG)]
    for order in itertools.permutations(chain):
        found = holders(order)
        assert found.custodians == {LIUZHUANG, QI, CITY, GAOYANG}
        assert found.others == {}


def test_an_escrow_is_a_custodian_that_does_not_read() -> None:
    given = grant(LIUZHUANG, LIUZHUANG)
    escrow = Grant(custodian=QI, recipient_key="k", wrapped=DIGEST, purpose="escrow")
    found = holders([msgspec.structs.replace(given, grants=(*given.grants, escrow))])
    assert (found.custodians, found.readers) == ({LIUZHUANG, QI}, {LIUZHUANG})
    assert holders([grant(LIUZHUANG, LIUZHUANG, QI), grant(QI, CITY)]).readers == {LIUZHUANG, QI, CITY}


def test_saying_a_grant_again_adds_nothing_to_what_is_kept() -> None:
    for author in (LIUZHUANG, STRANGER):
        once = holders([grant(author, author, QI)])
        assert granted(once, grant(author, QI)) is once
