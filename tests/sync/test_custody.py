from collections.abc import Sequence
from datetime import date
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.divisions import Division
from domain.events import (
    AnyEvent,
    CaseId,
    Cause,
    Closed,
    ErasureConfirmed,
    ErasureOrdered,
    EscrowOpened,
    EventId,
    KeyGranted,
    LegId,
    LegOpened,
    MaterialAdded,
    Registered,
    Sealed,
)
from domain.keys import new_subject
from sync.sealed.custody import (
    Custody,
    Erased,
    NotCustodian,
    OpeningMissing,
    Placed,
    RecipientKeyMissing,
    Told,
    given_by,
    subject_custody,
)
from sync.sealed.sealing import DataKey, Recipient, RecipientKey, SealBroken, Wrapped, grant_key, seal_texts
from sync.trust.escrow import join_shares, new_escrow
from tests.domain.examples import examples
from tests.sync.chance import Chance
from tests.sync.sealed_case import CASE, CITY, CLERK, COUNTY, LEADER, NAME, TEXTS, TOWNSHIP, VILLAGE, envelope, values


class Memory:
    """A CaseReader over lists: custody's own twin of the database."""

    def __init__(self) -> None:
        self.history: list[Placed] = []
        self.parts: dict[tuple[int, int, int], bytes] = {}
        self.readings = 0

    def case_events(self, case: CaseId) -> Sequence[Told]:
        """See CaseReader."""
        self.readings += 1
        return self.told(case)

    def told(self, case: CaseId = CASE) -> list[Told]:
        """What was learned of a case."""
        return [Told(one.log_id, one.seq, one.event) for one in self.history if one.event.case == case]

    def part(self, log_id: int, seq: int, part: int) -> bytes | None:
        """See CaseReader."""
        return self.parts.get((log_id, seq, part))

    def learn(self, author: Division, event: AnyEvent, parts: Sequence[bytes] = ()) -> Placed:
        """Take an event in, whoever wrote it."""
        placed = Placed(int(author) % 1000, len(self.history), event)
        self.history.append(placed)
        self.parts |= {(placed.log_id, placed.seq, number): part for number, part in enumerate(parts)}
        return placed


class Story:
    """One case told at some nodes; every node sees the same memory, as far as custody goes."""

    def __init__(self) -> None:
        self.chance = Chance(7)
        self.memory = Memory()
        self.privates = {where: [X25519PrivateKey.generate()] for where in (VILLAGE, TOWNSHIP, COUNTY, CITY)}

    def node(self, where: Division, cached_keys: int = 8) -> Custody:
        keys = [RecipientKey(number + 1, key) for number, key in enumerate(self.privates[where])]
        return Custody(where, keys[::-1], self.memory, self.chance, cached_keys)

    def recipient(self, where: Division) -> Recipient:
        return Recipient(where, self.privates[where][-1].public_key().public_bytes_raw())

    def granted(self, author: Division, wrapped: Wrapped) -> Placed:
        event = KeyGranted(**envelope(self.chance, author, subject=wrapped.subject, grants=wrapped.grants))
        return self.memory.learn(author, event, wrapped.parts)

    def material(self, author: Division, sealed: Sealed, part: bytes, event: EventId) -> Placed:
        shape = MaterialAdded(
            **envelope(self.chance, author, material=self.chance.uuid(), digest=None, size_bytes=1, sealed=(sealed,))
            | {"id": event}
        )
        return self.memory.learn(author, shape, [part])

    def sealed(self, author: Division, subject: str, texts: dict[str, str]) -> Placed:
        """A custodian adds texts under the subject's key."""
        event = EventId(self.chance.id_by(author))
        key = self.node(author).key(CASE, subject)
        return self.material(author, *seal_texts(key, event, texts, self.chance), event)

    def registered(self) -> tuple[DataKey, Placed]:
        """The village registers: it founds custody and seals the texts."""
        key, wrapped = self.node(VILLAGE).new_subject(CASE, None)
        self.granted(VILLAGE, wrapped)
        event = EventId(self.chance.id_by(VILLAGE))
        return key, self.material(VILLAGE, *seal_texts(key, event, TEXTS, self.chance), event)

    def ended(self) -> None:
        """The village accounts for the matter, and closes it."""
        leg = LegId(self.chance.id_by(VILLAGE))
        about = {"number": "1", "channel": "visit", "matter_class": "claim_petition", "category": "010203"}
        where = {"issue_region": VILLAGE, "received_on": date(2026, 1, 5), "person_count": 1, "claims": ()}
        registered = envelope(self.chance, VILLAGE, **about, **where, unit=f"{VILLAGE}.office")
        self.memory.learn(VILLAGE, Registered(**registered | {"id": CASE, "stream": CASE}))
        on = {"stream": leg, "leg": leg}
        given = {"unit": f"{VILLAGE}.office", "mode": "registered", "from_leg": None, "sender": None, "report_by": None}
        self.memory.learn(VILLAGE, LegOpened(**envelope(self.chance, VILLAGE, **on, **given)))
        closed = envelope(self.chance, VILLAGE, version=2, **on, ending="agreement", claims=())
        self.memory.learn(VILLAGE, Closed(**closed))

    def erased(
        self, subject: str, ordered_by: UUID = CLERK, confirmed_by: UUID = LEADER, author: Division = VILLAGE
    ) -> UUID:
        """The matter has ended, and these two erase."""
        self.ended()
        return self.agreed(subject, ordered_by, confirmed_by, author)

    def agreed(
        self, subject: str, ordered_by: UUID = CLERK, confirmed_by: UUID = LEADER, author: Division = VILLAGE
    ) -> UUID:
        """Two lines of one node, whatever the state of the matter."""
        erasure = self.chance.id_by(author)
        of = {"stream": erasure, "erasure": erasure, "subject": subject}
        order = envelope(self.chance, author, ordered_by, **of, id=erasure, ground="subject_request")
        confirmed = envelope(self.chance, author, confirmed_by, **of, version=2, custodians=(VILLAGE, TOWNSHIP))
        self.memory.learn(author, ErasureOrdered(**order))
        self.memory.learn(author, ErasureConfirmed(**confirmed))
        return erasure


@pytest.fixture
def story() -> Story:
    return Story()


def test_the_node_that_registered_reads_through_its_own_wrapped_key(story: Story) -> None:
    _, placed = story.registered()
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS


def test_another_node_reads_only_after_it_was_granted_the_key(story: Story) -> None:
    key, placed = story.registered()
    township = story.node(TOWNSHIP)
    with pytest.raises(NotCustodian):
        township.open(CASE, placed)
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, story.recipient(TOWNSHIP)))
    assert values(township.open(CASE, placed)) == TEXTS


def test_a_new_custodian_seals_more_and_the_first_one_reads_it(story: Story) -> None:
    key, _ = story.registered()
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, story.recipient(TOWNSHIP)))
    placed = story.sealed(TOWNSHIP, key.subject, {"note": "已受理"})
    assert values(story.node(VILLAGE).open(CASE, placed)) == {"note": "已受理"}


def test_a_rotated_recipient_key_opens_older_grants_and_takes_newer_ones(story: Story) -> None:
    key, placed = story.registered()
    story.privates[VILLAGE].append(X25519PrivateKey.generate())
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, story.recipient(VILLAGE)))
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS
    del story.privates[VILLAGE][0]
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS


def test_a_lost_recipient_key_is_named(story: Story) -> None:
    _, placed = story.registered()
    lost = story.recipient(VILLAGE).key_id
    story.privates[VILLAGE] = [X25519PrivateKey.generate()]
    with pytest.raises(RecipientKeyMissing) as refusal:
        story.node(VILLAGE).open(CASE, placed)
    assert refusal.value.key_id == lost


def test_an_escrow_grant_alone_lets_no_node_read(story: Story) -> None:
    escrow = Recipient(TOWNSHIP, new_escrow(story.chance)[0].key)
    key, wrapped = story.node(VILLAGE).new_subject(CASE, escrow)
    story.granted(VILLAGE, wrapped)
    assert [grant.purpose for grant in wrapped.grants] == ["handle", "escrow"]
    with pytest.raises(NotCustodian):
        story.node(TOWNSHIP).key(CASE, key.subject)


def test_two_persons_open_the_escrow_of_a_dead_village_and_pass_the_key_on(story: Story) -> None:
    shares = new_escrow(story.chance)
    key, wrapped = story.node(VILLAGE).new_subject(CASE, Recipient(TOWNSHIP, shares[0].key))
    placed = story.granted(VILLAGE, wrapped)
    event = EventId(story.chance.uuid())
    text = story.material(VILLAGE, *seal_texts(key, event, TEXTS, story.chance), event)

    wrapped_part = story.memory.part(placed.log_id, placed.seq, 1)
    assert wrapped_part is not None
    opened = DataKey.unwrap(wrapped_part, join_shares(*shares), CASE, key.subject, TOWNSHIP)
    granted = Wrapped(
        key.subject,
        (msgspec.structs.replace(wrapped.grants[1], recipient_key=story.recipient(TOWNSHIP).key_id, purpose="handle"),),
        (opened.wrap(story.recipient(TOWNSHIP)),),
    )
    story.granted(TOWNSHIP, granted)

    assert values(story.node(TOWNSHIP).open(CASE, text)) == TEXTS


def test_a_stranger_cannot_slip_in_a_key_of_his_own(story: Story) -> None:
    key, placed = story.registered()
    planted = DataKey.fresh(CASE, key.subject, story.chance)
    plant = Wrapped(
        key.subject,
        (msgspec.structs.replace(story.memory.history[0].event.grants[0], custodian=COUNTY),),
        (planted.wrap(story.recipient(COUNTY)),),
    )
    plant = msgspec.structs.replace(
        plant, grants=(msgspec.structs.replace(plant.grants[0], recipient_key=story.recipient(COUNTY).key_id),)
    )
    story.granted(CITY, plant)
    with pytest.raises(NotCustodian):
        story.sealed(COUNTY, key.subject, {"note": NAME})
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, story.recipient(COUNTY)))
    assert values(story.node(COUNTY).open(CASE, placed)) == TEXTS


def test_the_custodians_of_a_subject_follow_from_the_events(story: Story) -> None:
    key, _ = story.registered()
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, story.recipient(TOWNSHIP)))
    story.granted(TOWNSHIP, story.node(TOWNSHIP).grant(CASE, key.subject, story.recipient(CITY), "access"))
    assert named(story, key.subject) == {VILLAGE, TOWNSHIP, CITY}
    assert named(story, new_subject(VILLAGE, bytes(10))) == frozenset()


def named(story: Story, subject: str) -> frozenset[Division]:
    """Whom the grants that count name."""
    return frozenset(held.grant.custodian for held in subject_custody(story.memory.told(), subject).grants)


def test_a_forged_registration_that_names_the_subject_takes_the_key_from_nobody(story: Story) -> None:
    key, placed = story.registered()
    forged = envelope(story.chance, CITY, sealed=placed.event.sealed)
    story.memory.learn(CITY, Registered(**forged, **REGISTRATION))
    assert named(story, key.subject) == {VILLAGE}
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS


def test_a_grant_without_effect_makes_nobody_a_custodian(story: Story) -> None:
    key, _ = story.registered()
    wrapped = story.node(VILLAGE).grant(CASE, key.subject, story.recipient(CITY))
    repeated = story.memory.history[0].event
    again = envelope(story.chance, VILLAGE, stream=repeated.stream, subject=key.subject, grants=wrapped.grants)
    story.memory.learn(VILLAGE, KeyGranted(**again))
    assert named(story, key.subject) == {VILLAGE}


def test_no_order_takes_the_key_of_a_matter_that_is_open(story: Story) -> None:
    key, placed = story.registered()
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, story.recipient(COUNTY)))
    erasure = story.agreed(key.subject)
    assert values(story.node(COUNTY).open(CASE, placed)) == TEXTS
    story.ended()
    with pytest.raises(Erased) as refusal:
        story.node(COUNTY).open(CASE, placed)
    assert refusal.value.erasure == erasure


REGISTRATION = {
    "number": "1",
    "channel": "visit",
    "matter_class": "claim_petition",
    "category": "010203",
    "issue_region": CITY,
    "received_on": date(2026, 1, 5),
    "person_count": 1,
    "unit": f"{CITY}.office",
    "claims": (),
}


def test_a_wrapped_key_or_text_that_is_gone_without_an_erasure_is_tampering(story: Story) -> None:
    _, placed = story.registered()
    reading = story.node(VILLAGE)
    assert reading.open(CASE, placed)
    del story.memory.parts[placed.log_id, placed.seq, 0]
    with pytest.raises(OpeningMissing) as refusal:
        reading.open(CASE, placed)
    assert (refusal.value.what, refusal.value.seq) == ("text", placed.seq)
    del story.memory.parts[placed.log_id, 0, 0]
    with pytest.raises(OpeningMissing) as refusal:
        story.node(VILLAGE).open(CASE, placed)
    assert (refusal.value.what, refusal.value.seq) == ("key", 0)


def test_an_altered_wrapped_key_is_broken_not_missing(story: Story) -> None:
    _, placed = story.registered()
    story.memory.parts[placed.log_id, 0, 0] = bytes(80)
    with pytest.raises(SealBroken):
        story.node(VILLAGE).open(CASE, placed)


def false_key(story: Story, key: DataKey, recipient: Recipient) -> Wrapped:
    """Wrapped as it should be, and not the key that anything was sealed with."""
    return grant_key(DataKey.fresh(CASE, key.subject, story.chance), [(recipient, "handle")])


def test_a_custodian_who_sends_a_key_that_opens_nothing_keeps_nobody_from_the_true_one(story: Story) -> None:
    key, placed = story.registered()
    county, township = story.recipient(COUNTY), story.recipient(TOWNSHIP)
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, township))
    story.granted(TOWNSHIP, false_key(story, key, county))
    node = story.node(COUNTY)
    with pytest.raises(SealBroken):
        node.open(CASE, placed)
    with pytest.raises(SealBroken):
        node.key(CASE, key.subject)  # nothing is sealed with it, and it is given on to nobody
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, county))
    assert values(node.open(CASE, placed)) == TEXTS
    story.granted(COUNTY, node.grant(CASE, key.subject, story.recipient(CITY)))
    assert values(story.node(CITY).open(CASE, placed)) == TEXTS


def test_a_text_that_a_custodian_seals_with_a_false_key_does_not_make_that_the_key(story: Story) -> None:
    key, placed = story.registered()
    county = story.recipient(COUNTY)
    false = DataKey.fresh(CASE, key.subject, story.chance)
    story.granted(VILLAGE, grant_key(false, [(county, "handle")]))
    event = EventId(story.chance.id_by(VILLAGE))
    story.material(VILLAGE, *seal_texts(false, event, {"note": "x"}, story.chance), event)
    story.granted(VILLAGE, story.node(VILLAGE).grant(CASE, key.subject, county))
    assert values(story.node(COUNTY).open(CASE, placed)) == TEXTS


def test_after_an_erasure_by_two_persons_nothing_opens_even_from_a_restored_backup(story: Story) -> None:
    key, placed = story.registered()
    erasure = story.erased(key.subject)
    with pytest.raises(Erased) as refusal:
        story.node(VILLAGE).open(CASE, placed)
    assert refusal.value.erasure == erasure


def test_a_node_that_still_had_the_key_in_its_cache_names_the_erasure(story: Story) -> None:
    key, placed = story.registered()
    village = story.node(VILLAGE)
    assert village.open(CASE, placed)
    story.erased(key.subject)
    story.memory.parts.clear()
    with pytest.raises(Erased):
        village.open(CASE, placed)
    with pytest.raises(Erased):
        village.key(CASE, key.subject)


def test_one_person_alone_erases_nothing(story: Story) -> None:
    key, placed = story.registered()
    story.erased(key.subject, CLERK, CLERK)
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS
    story.memory.parts.clear()
    with pytest.raises(OpeningMissing):
        story.node(VILLAGE).open(CASE, placed)


def test_an_erasure_by_a_stranger_does_not_cover_a_theft(story: Story) -> None:
    key, placed = story.registered()
    story.erased(key.subject, author=CITY)
    story.memory.parts.clear()
    with pytest.raises(OpeningMissing):
        story.node(VILLAGE).open(CASE, placed)


def test_a_stranger_is_not_the_first_of_the_two_persons(story: Story) -> None:
    key, placed = story.registered()
    erasure = story.chance.id_by(CITY)
    of = {"stream": erasure, "erasure": erasure, "subject": key.subject}
    order = envelope(story.chance, CITY, CLERK, **of, id=erasure, ground="subject_request")
    confirmed = envelope(story.chance, VILLAGE, LEADER, **of, version=2, custodians=(VILLAGE,))
    story.ended()
    story.memory.learn(CITY, ErasureOrdered(**order))
    story.memory.learn(VILLAGE, ErasureConfirmed(**confirmed))
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS


def test_an_erasure_of_another_subject_erases_nothing(story: Story) -> None:
    _, placed = story.registered()
    story.erased("cd" * 16)
    assert values(story.node(VILLAGE).open(CASE, placed)) == TEXTS


def test_keys_are_unwrapped_once_and_the_least_used_is_dropped(story: Story) -> None:
    subjects = []
    for _ in range(3):
        key, wrapped = story.node(VILLAGE).new_subject(CASE, None)
        story.granted(VILLAGE, wrapped)
        subjects.append(key.subject)
    village = story.node(VILLAGE, cached_keys=2)

    def readings(*wanted: int) -> int:
        before = story.memory.readings
        for number in wanted:
            village.key(CASE, subjects[number])
        return story.memory.readings - before

    assert readings(0, 1, 0, 1) == 2
    assert readings(2) == 1
    assert readings(1, 2) == 0
    assert readings(0) == 1


def test_a_key_that_was_being_read_while_it_was_erased_is_not_kept(story: Story) -> None:
    key, _ = story.registered()
    village = story.node(VILLAGE)
    read = story.memory.case_events

    def erased_meanwhile(case: CaseId) -> Sequence[Told]:
        history = read(case)
        story.erased(key.subject)
        village.forget(CASE, key.subject)
        return history

    story.memory.case_events = erased_meanwhile
    village.key(CASE, key.subject)
    story.memory.case_events = read
    with pytest.raises(Erased):
        village.key(CASE, key.subject)


def test_no_refusal_of_custody_names_a_subject_or_a_person(story: Story) -> None:
    _, placed = story.registered()
    refusals: list[Exception] = [NotCustodian(), Erased(CASE), OpeningMissing("key", 1, 2), RecipientKeyMissing("ab")]
    told = " ".join(f"{refusal} {refusal!r}" for refusal in refusals)
    told += f"{story.node(VILLAGE)!r} {placed!r} {story.node(VILLAGE).open(CASE, placed)!r}"
    assert NAME not in told


def test_a_reader_has_a_key_by_the_givers_or_its_own_word_and_by_nobody_elses() -> None:
    grant = next(event for event in examples() if isinstance(event, KeyGranted))
    opening = next(event for event in examples() if isinstance(event, EscrowOpened))
    change = msgspec.structs.replace
    to_city = (change(grant.grants[0], custodian=CITY, purpose="handle"),)
    by_escrow = (Cause(id=opening.id, log=None, seq=None),)
    said = {
        "by the giver": change(grant, node=COUNTY, grants=to_city),
        "by the giver to the escrow": change(grant, node=COUNTY, grants=(change(to_city[0], purpose="escrow"),)),
        "by somebody else": change(grant, node=TOWNSHIP, grants=to_city),
        "by the reader": change(grant, node=CITY),
        "by the reader, out of the escrow": change(grant, node=CITY, cause=by_escrow),
    }
    for whose, event in said.items():
        history = [Told(1, 0, opening), Told(1, 1, event)]
        has = grant.subject in given_by(history, COUNTY, CITY)
        assert has is (whose in ("by the giver", "by the reader")), whose
