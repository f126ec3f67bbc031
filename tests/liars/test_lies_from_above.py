"""A superior lies downward and upward: what its signatures contradict convicts it, what it holds back is named."""

from collections.abc import Callable
from datetime import date

import msgspec
import pytest

from domain.events import EventId, LegId, NodeMoved, OrderId, OrderIssued, encode
from sync.exchange.acts import CertificateKept
from sync.exchange.channel import down_lane, up_lane
from sync.exchange.downlink import sign_letter
from sync.exchange.wire import Cosigned, Down, Enclosure, Held, Item
from sync.ledger.append import Append
from sync.proofs.note import Checkpoint
from tests.liars.city import DAY_S, City, convicted, judged, new_faults
from tests.liars.evil_node import EvilNode
from tests.liars.evil_upper import EvilUpper, head_of, without_parts
from tests.sync.hierarchy import COUNTY, OTHER_TOWNSHIP, TOWNSHIP, VILLAGE, YEARS_US, new_event
from tests.sync.memory_tables import nothing_happens
from tests.sync.test_dispatch import CASE, FIRST, SECRET, register
from tests.sync.test_simulated import ORDER, SimulatedNode


@pytest.fixture
def city() -> City:
    return City()


def witness_of(node: SimulatedNode) -> str:
    return node.cosigner.verifier.name


def true_head(node: SimulatedNode) -> Checkpoint:
    return head_of(node.origin, node.log(node.origin))


def test_a_village_that_a_township_hides_sees_within_a_day_that_nobody_above_was_shown_it(city: City) -> None:
    liar = EvilUpper(city.township)
    liar.hides(city.village.origin)
    city.village.chat(2)
    city.rest()
    city.days(0.9)
    assert city.village.faults() == {}, "a link may be down for hours"

    def lie() -> None:
        city.days(0.3)
        city.goes_on(city.neighbour)

    assert new_faults(city.village, lie) == [("withheld_above", city.village.origin)]
    stands = city.village.tables.faults["withheld_above", city.village.origin]
    assert f"{TOWNSHIP} has cosigned 6 leaves, {COUNTY} 4" in stands.detail
    assert witness_of(city.township).encode() in stands.evidence, "the township signed that it has all of it"
    assert judged(city.village, "withheld_above", city.village.origin).verdict is None, "silence is no statement"
    liar.passes_up(lambda record: [record])
    city.village.chat(1)
    city.wait(lambda: city.is_known_above(city.village) and not city.village.faults())


def test_a_village_that_a_county_freezes_at_an_old_head_sees_that_the_city_stands_still(city: City) -> None:
    liar = EvilUpper(city.county)
    liar.hides(city.village.origin)
    city.village.chat(2)
    city.rest()
    city.days(1.2)
    faults = city.village.tables.faults["withheld_above", city.village.origin].detail
    assert "410200000000 4" in faults
    city.goes_on(city.neighbour)


def test_a_township_that_passes_on_and_never_cosigns_is_named_by_what_the_county_has_cosigned(city: City) -> None:
    liar, mine = EvilUpper(city.township), witness_of(city.township)
    liar.passes_down(VILLAGE, lambda item: [] if isinstance(item, Cosigned) and mine in item.line else [item])
    city.village.chat(2)
    city.rest()
    city.days(1.2)
    assert (
        f"{COUNTY} has cosigned 6 leaves, {TOWNSHIP} 4"
        in city.village.tables.faults["withheld_above", city.village.origin].detail
    )
    assert city.village.secured() == 4, "and what it has not cosigned is not called secured"
    city.goes_on(city.neighbour)


def test_a_village_that_was_placed_elsewhere_accuses_nobody_who_has_not_had_a_day(city: City) -> None:
    other = SimulatedNode(OTHER_TOWNSHIP, city.channel, city.clock, city.county, nothing_happens)
    other.begin()
    city.rest()
    city.days(3)
    until_us = city.clock.now_us() + YEARS_US
    given = city.county.exchange.move(VILLAGE, OTHER_TOWNSHIP, until_us, recorded_by(city.county))
    city.village.certificates = given.certificates
    city.village.crash()
    city.village.start()
    city.rest()
    assert city.village.exchange.parent == OTHER_TOWNSHIP
    city.asleep.add(TOWNSHIP)
    city.days(0.9)
    assert city.village.faults() == {}
    city.days(0.4)
    assert f"{OTHER_TOWNSHIP} 0" in city.village.tables.faults["withheld_above", city.village.origin].detail


def recorded_by(node: SimulatedNode) -> Callable[[str], str]:
    def record(text: str) -> str:
        envelope = node.envelope(node.chance.id_by(node.division), None)
        event = NodeMoved(**envelope, division=VILLAGE, name=VILLAGE, parent=OTHER_TOWNSHIP, certificate=text)
        node.writer.append(Append([new_event(event)], beside=[CertificateKept(text)])).result()
        return text

    return record


def test_a_superior_that_cosigns_two_histories_of_one_log_is_convicted_by_its_two_lines(city: City) -> None:
    other = [*city.village.log(city.village.origin)[:-1], EvilNode(city.village).made_up()]

    def lie() -> None:
        EvilUpper(city.township).cosigns(VILLAGE, head_of(city.village.origin, other))
        city.goes_on(city.neighbour)

    assert new_faults(city.village, lie) == [("differs_above", city.village.origin)]
    found = convicted(city.village, "differs_above", city.village.origin)
    assert found == ("cosigned_two_histories", (witness_of(city.township),))
    city.goes_on(city.village)


def test_a_superior_that_cosigns_a_shorter_past_than_it_had_cosigned_is_convicted_by_its_two_lines(city: City) -> None:
    other = [city.village.log(city.village.origin)[0], EvilNode(city.village).made_up()]
    EvilUpper(city.township).cosigns(VILLAGE, head_of(city.village.origin, other))
    city.goes_on(city.neighbour)
    found = convicted(city.village, "differs_above", city.village.origin)
    assert found == ("cosigned_two_histories", (witness_of(city.township),))


def test_a_superior_is_convicted_alone_also_where_it_has_not_cosigned_the_newest_head(city: City) -> None:
    liar, mine = EvilUpper(city.township), witness_of(city.township)
    other = head_of(
        city.village.origin, [*city.village.log(city.village.origin)[:-1], EvilNode(city.village).made_up()]
    )

    def no_other_word(item: Item) -> list[Item]:
        return [] if isinstance(item, Cosigned) and mine in item.line and item.root != other.root else [item]

    liar.passes_down(VILLAGE, no_other_word)
    city.village.chat(2)
    city.rest()
    liar.cosigns(VILLAGE, other)
    city.goes_on(city.neighbour)
    found = convicted(city.village, "differs_above", city.village.origin)
    assert found == ("cosigned_two_histories", (mine,))


def test_what_one_ancestor_is_shown_and_another_is_not_convicts_whoever_signed_twice(city: City) -> None:
    """The county shows the city a history that a stolen key of the village has signed, and the village its own."""
    thief = EvilNode(city.village)
    stolen = [*thief.leaves(), thief.made_up()]
    EvilUpper(city.county).hides(city.village.origin)
    city.village.chat(1)
    city.rest()
    city.county.channel.publish(up_lane(COUNTY), [thief.frame(stolen, len(stolen) - 1)])

    def lie() -> None:
        city.rest()
        city.goes_on(city.neighbour)

    assert ("differs_above", city.village.origin) in new_faults(city.village, lie)
    assert city.city.log(city.village.origin) == stolen
    code, suspects = convicted(city.village, "differs_above", city.village.origin)
    assert (code, suspects) == ("cosigned_otherwise", (city.village.origin, witness_of(city.city)))
    for above in (city.township, city.county):
        assert "differs_above" in above.faults(), "everybody on the way down has seen it"
    EvilUpper(city.county).passes_up(lambda record: [record])
    city.village.chat(1)
    city.rest()
    city.clock.pass_s(60)
    city.rest()
    assert convicted(city.city, "fork", city.village.origin) == ("forked", (city.village.origin,))


def test_a_superior_that_was_put_back_and_cosigns_less_later_is_named_with_both_lines_until_it_goes_on(
    city: City,
) -> None:
    liar, first = EvilUpper(city.township), city.village.tables
    assert first.cosigned
    old = true_head(city.village)
    city.village.chat(3)
    city.rest()

    def lie() -> None:
        city.clock.pass_s(DAY_S / 24)
        liar.cosigns(VILLAGE, old)
        city.goes_on(city.neighbour)

    assert new_faults(city.village, lie) == [("superior_rolled_back", witness_of(city.township))]
    found = convicted(city.village, "superior_rolled_back", witness_of(city.township))
    assert found == ("witness_rolled_back", (witness_of(city.township),))
    city.goes_on(city.village)
    assert city.village.faults() == {}


def test_a_superior_that_cosigns_less_later_is_convicted_also_at_a_size_that_its_author_never_signed(
    city: City,
) -> None:
    city.village.chat(3)
    city.rest()

    def lie() -> None:
        city.clock.pass_s(DAY_S / 24)
        between = head_of(city.village.origin, city.village.log(city.village.origin)[:-2])
        EvilUpper(city.township).cosigns(VILLAGE, between)
        city.goes_on(city.neighbour)

    assert new_faults(city.village, lie) == [("superior_rolled_back", witness_of(city.township))]
    found = convicted(city.village, "superior_rolled_back", witness_of(city.township))
    assert found == ("witness_rolled_back", (witness_of(city.township),))


def test_a_cosignature_in_another_superiors_name_is_not_kept(city: City) -> None:
    forged = EvilUpper(city.township)
    item = forged.cosigns(VILLAGE, true_head(city.village))
    line = item.line.replace(witness_of(city.township), witness_of(city.city))

    def lie() -> None:
        forged.says(VILLAGE, Cosigned(item.log, item.size, item.root, line))
        city.goes_on(city.neighbour)

    assert new_faults(city.village, lie) == [("cosignature_invalid", city.village.origin)]


def test_a_superior_that_strips_what_lies_beside_a_leaf_is_found_by_the_next_one(city: City) -> None:
    EvilUpper(city.township).passes_up(lambda record: [without_parts(record)])
    register(city.village)
    city.wait(lambda: city.is_known_above(city.village))
    assert "part_missing" in city.county.faults()
    assert SECRET in city.township.tables.beside.values()
    assert SECRET not in city.county.tables.beside.values()
    city.goes_on(city.neighbour)


def order_for_the_village(city: City) -> OrderIssued:
    order = city.city.say(
        OrderIssued,
        CASE,
        ORDER,
        id=EventId(ORDER),
        order=OrderId(ORDER),
        leg=LegId(FIRST),
        leg_version=1,
        unit=f"{VILLAGE}.office",
        number="1",
        trigger="delay",
        reply_by=date(2026, 3, 1),
    )
    assert isinstance(order, OrderIssued)
    return order


def test_a_directive_that_a_township_drops_out_of_a_whole_sequence_reaches_nobody_and_nobody_answers_it(
    city: City,
) -> None:
    register(city.village)
    city.rest()
    EvilUpper(city.township).passes_down(VILLAGE, lambda item: [] if isinstance(item, Enclosure) else [item])
    order = order_for_the_village(city)
    city.days(1.5)
    assert encode(order) in city.township.log(city.city.origin), "who dropped it has it, and has acknowledged it"
    assert encode(order) not in city.village.log(city.city.origin)
    assert city.village.faults() == {}, "the village cannot miss what it was never told of"
    city.goes_on(city.neighbour)


def test_a_directive_that_is_altered_or_put_into_anothers_mouth_is_refused_and_its_letter_goes_on(city: City) -> None:
    register(city.village)
    city.rest()
    altered = EvilUpper(city.township)
    altered.passes_down(VILLAGE, lambda item: [change(item)] if isinstance(item, Enclosure) else [item])
    order = order_for_the_village(city)

    def lie() -> None:
        city.days(0.1)
        city.goes_on(city.neighbour)

    assert {kind for kind, _ in new_faults(city.village, lie)} == {"enclosure_invalid"}
    assert encode(order) not in city.village.log(city.city.origin)


def change(item: Enclosure) -> Enclosure:
    return msgspec.structs.replace(item, body=item.body.replace(b'"delay"', b'"other"'))


def test_a_letter_that_skips_numbers_is_asked_for_again_and_owning_up_to_a_loss_is_named(city: City) -> None:
    seq = city.village.tables.tracking["down"]
    honest = city.township.station

    def lie() -> None:
        beyond = sign_letter(honest, VILLAGE, Down(seq + 9, seq + 8, []))
        owned = sign_letter(honest, VILLAGE, Down(seq + 3, seq, []))
        city.channel.publish(down_lane(VILLAGE), [beyond, owned])
        city.rest()

    assert new_faults(city.village, lie) == [("down_lost", f"down#{seq + 1}")]
    assert city.village.tables.tracking["down"] < seq + 9, "it waits for what it was not told"
    city.goes_on(city.neighbour)


def test_a_superior_that_answers_with_a_head_the_village_never_signed_is_not_believed(city: City) -> None:
    liar = EvilUpper(city.township)
    forged = EvilNode(city.neighbour).head([b"x"], city.village.origin)
    city.village.exchange.ask_parent(bytes(16))
    liar.passes_down(VILLAGE, lambda item: [] if isinstance(item, Held) and item.checkpoint != forged else [item])
    city.rest()
    liar.says(VILLAGE, Held(bytes(16), city.village.origin, 1, forged))

    def lie() -> None:
        city.rest()
        city.goes_on(city.neighbour)

    assert new_faults(city.village, lie) == [("held_invalid", city.village.origin)]
    assert city.village.exchange.standing() == "unanswered"
