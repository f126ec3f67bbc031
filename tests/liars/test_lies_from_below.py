"""A node below lies upward: each lie is refused by name, convicts where signatures can, and stops no honest sibling."""

import msgspec
import pytest

from domain.events import ShardOpened, UnitOpened
from domain.shards import shard_after
from sync.exchange.channel import up_lane
from sync.exchange.convicting import file_for, judge
from sync.exchange.evidence import Met, read_file
from sync.exchange.faults import FAULTS_PER_CHILD, Fault, Fork
from sync.exchange.wire import Acknowledge, AskDown, Frame, decode_record, encode
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import encode64, named
from tests.liars.city import City, convicted, exported, judged, new_faults
from tests.liars.evil_node import EvilNode, stranger
from tests.liars.evil_upper import EvilUpper, head_of, without_parts
from tests.sync.hierarchy import NEIGHBOUR, TOWNSHIP, VILLAGE, new_event
from tests.sync.test_dispatch import SECRET, register
from tests.sync.test_theft import take_back


@pytest.fixture
def city() -> City:
    return City()


def rewrites(city: City, leaves: list[bytes], first: int = 0) -> None:
    """The village signs this history in place of the one that it had signed; it is convicted, and nothing moves."""
    liar = EvilNode(city.village)
    held = city.holding(city.village.origin)
    city.asleep.add(VILLAGE)

    def lie() -> None:
        liar.sends(liar.frame(leaves, first))
        city.goes_on(city.neighbour)

    assert new_faults(city.township, lie) == [("fork", city.village.origin)]
    assert city.holding(city.village.origin) == held
    assert city.township.frozen(city.village.origin) == "fork"
    assert convicted(city.township, "fork", city.village.origin) == ("forked", (city.village.origin,))


def test_a_village_that_deletes_a_leaf_and_goes_on_is_convicted_by_both_heads(city: City) -> None:
    liar = EvilNode(city.village)
    leaves = liar.leaves()
    rewrites(city, [*leaves[:2], *leaves[3:], liar.made_up(), liar.made_up()])


def test_a_village_that_edits_a_leaf_is_convicted_by_both_heads(city: City) -> None:
    liar = EvilNode(city.village)
    leaves = liar.leaves()
    rewrites(city, [*leaves[:2], liar.edited(leaves[2]), *leaves[3:]])


def test_a_village_that_puts_two_leaves_into_another_order_is_convicted_by_both_heads(city: City) -> None:
    leaves = EvilNode(city.village).leaves()
    rewrites(city, [leaves[0], leaves[2], leaves[1], *leaves[3:]])


def test_a_village_that_inserts_a_leaf_in_the_past_is_convicted_by_both_heads(city: City) -> None:
    liar = EvilNode(city.village)
    leaves = liar.leaves()
    rewrites(city, [leaves[0], liar.made_up(), *leaves[1:]])


def test_a_village_that_signs_a_shorter_past_than_it_had_signed_is_convicted_by_both_heads(city: City) -> None:
    liar = EvilNode(city.village)
    rewrites(city, [liar.leaves()[0], liar.made_up()])


def test_a_village_that_grew_another_history_beyond_what_is_held_is_convicted_by_its_own_entries(city: City) -> None:
    liar = EvilNode(city.village)
    leaves = liar.leaves()
    rewrites(city, [*leaves[:-1], *(liar.made_up() for _ in range(4))], first=len(leaves) - 1)


def test_a_village_that_sends_none_of_the_leaves_where_its_histories_part_is_named_and_gets_nowhere(city: City) -> None:
    liar = EvilNode(city.village)
    leaves = liar.leaves()
    held = city.holding(city.village.origin)
    city.asleep.add(VILLAGE)

    def lie() -> None:
        liar.sends(liar.frame([*leaves[:-1], *(liar.made_up() for _ in range(4))], len(leaves)))
        city.goes_on(city.neighbour)

    assert new_faults(city.township, lie) == [("mismatch", city.village.origin)]
    assert city.holding(city.village.origin) == held
    assert judged(city.township, "mismatch", city.village.origin).verdict is None, "its head alone contradicts nothing"


def test_a_village_restored_from_an_old_backup_that_writes_on_without_asking_is_convicted(city: City) -> None:
    backup = city.village.ghost()
    city.village.chat(4)
    city.rest()
    held = city.holding(city.village.origin)
    city.asleep.add(VILLAGE)

    def lie() -> None:
        backup.chat(6)
        for _ in range(5):
            backup.step()
        city.goes_on(city.neighbour)

    assert ("fork", city.village.origin) in new_faults(city.township, lie)
    assert city.holding(city.village.origin) == held
    assert convicted(city.township, "fork", city.village.origin) == ("forked", (city.village.origin,))


def test_evidence_of_a_fork_that_a_lying_superior_made_up_from_an_honest_log_convicts_nobody(city: City) -> None:
    honest = EvilNode(city.village)
    leaves = honest.leaves()
    city.village.chat(2)
    city.rest()
    grown = honest.leaves()
    rewrites(city, [*grown[:-1], *(honest.made_up() for _ in range(4))], first=len(grown) - 1)
    first = len(leaves) - 1
    edge, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves[:first]])
    record = honest.frame(grown, first)
    fork = Fork(honest.head(leaves), honest.head(grown), b"", [], first, edge.to_bytes(), record)
    file = read_file(exported(city.township, "fork", city.village.origin))
    made_up = msgspec.structs.replace(file, evidence=msgspec.msgpack.encode(fork))
    assert judge(msgspec.json.encode(made_up), city.city.pin).verdict is None


def test_all_that_a_village_ever_said_once_more_changes_nothing_and_is_no_fault(city: City) -> None:
    liar = EvilNode(city.village)
    said: list[bytes] = []
    liar.hides(lambda record: [said.append(record) or record])  # type: ignore[func-returns-value]
    for _ in range(3):
        city.village.chat(2)
        city.rest()
    held = city.holding(city.village.origin)
    assert len(said) >= 3

    def lie() -> None:
        liar.sends(*said, *reversed(said))
        city.goes_on(city.neighbour)

    assert new_faults(city.township, lie) == []
    assert city.holding(city.village.origin) == held


def test_a_thief_who_signs_before_the_true_village_leaves_two_heads_that_convict_its_key(city: City) -> None:
    thief = EvilNode(city.village)
    stolen = [*thief.leaves(), thief.made_up()]

    def lie() -> None:
        thief.sends(thief.frame(stolen, len(stolen) - 1))
        city.turn()
        city.village.chat(2)
        city.goes_on(city.neighbour)

    assert ("fork", city.village.origin) in new_faults(city.township, lie)
    assert convicted(city.township, "fork", city.village.origin) == ("forked", (city.village.origin,))
    assert "differs_above" in city.village.faults(), "the true village sees what was signed in its name"
    assert convicted(city.village, "differs_above", city.village.origin)[0] == "cosigned_otherwise"


def test_a_village_that_claims_its_neighbours_log_is_not_believed_in_either_way(city: City) -> None:
    liar, neighbour = EvilNode(city.village), EvilNode(city.neighbour)
    leaves = [*neighbour.leaves(), neighbour.made_up()]
    held = city.holding(city.neighbour.origin)

    def lie() -> None:
        by_own_key = liar.frame(leaves, len(leaves) - 1, city.neighbour.origin)
        by_a_strangers = liar.frame(leaves, len(leaves) - 1, city.neighbour.origin, stranger(city.neighbour.origin))
        liar.sends(by_own_key, by_a_strangers, neighbour.frame(leaves, len(leaves) - 1))
        city.rest()

    assert new_faults(city.township, lie) == [("bad_signature", up_lane(VILLAGE)), ("misplaced", up_lane(VILLAGE))]
    assert city.holding(city.neighbour.origin) == held
    city.goes_on(city.neighbour)


def test_a_village_that_says_it_has_more_of_its_letters_than_there_are_harms_itself_alone(city: City) -> None:
    liar = EvilNode(city.village)
    before = city.township.tables.children[NEIGHBOUR]

    def lie() -> None:
        liar.tells(Acknowledge(2**62, 1))
        liar.tells(AskDown(2**62))
        liar.tells(AskDown(1))
        city.rest()

    assert new_faults(city.township, lie) == []
    state = city.township.tables.children[VILLAGE]
    assert state.down_acked <= state.down_size
    assert city.township.tables.children[NEIGHBOUR] == before
    city.goes_on(city.neighbour)
    city.goes_on(city.village)


def test_a_village_that_strips_what_lies_beside_is_asked_named_and_its_sibling_goes_on(city: City) -> None:
    liar = EvilNode(city.village)

    liar.hides(lambda record: [without_parts(record)])
    register(city.village)

    def lie() -> None:
        city.goes_on(city.neighbour)
        city.wait(lambda: city.village.secured() == city.village.size())

    faults = new_faults(city.township, lie)
    assert {kind for kind, _ in faults} == {"incomplete", "part_missing"}
    part = next(subject for kind, subject in faults if kind == "part_missing")
    assert part.startswith(city.village.origin)
    assert judged(city.township, "part_missing", part).verdict is None, "it is shown what is missing, not who took it"


def test_a_township_that_notes_more_of_a_village_than_it_passes_on_is_named_until_it_comes(city: City) -> None:
    liar = EvilUpper(city.township)
    liar.hides(city.village.origin)
    city.village.chat(4)
    city.rest()

    def lie() -> None:
        liar.notes(head_of(city.village.origin, city.village.log(city.village.origin)))
        city.goes_on(city.neighbour)

    assert new_faults(city.county, lie) == [("noted_beyond", city.village.origin)]
    assert judged(city.county, "noted_beyond", city.village.origin).verdict is None, "what is left out is no statement"
    liar.passes_up(lambda record: [record])
    city.wait(lambda: city.city.log(city.village.origin) == city.village.log(city.village.origin))
    assert "noted_beyond" not in city.county.faults()


def test_a_township_that_notes_another_history_than_it_passes_on_is_contradicted_by_the_author(city: City) -> None:
    leaves = [*city.village.log(city.village.origin)[:-1], EvilNode(city.village).made_up()]

    def lie() -> None:
        EvilUpper(city.township).notes(head_of(city.village.origin, leaves))
        city.goes_on(city.neighbour)

    assert new_faults(city.county, lie) == [("noted_otherwise", city.village.origin)]
    found = convicted(city.county, "noted_otherwise", city.village.origin)
    assert found == ("noted_otherwise", (city.village.origin, city.township.origin))
    city.goes_on(city.village)


def test_a_township_that_notes_another_history_before_it_passes_the_log_on_is_named_until_then(city: City) -> None:
    """The note stands in its log for good: an auditor compares all."""
    liar = EvilUpper(city.township)
    liar.hides(city.village.origin)
    city.village.chat(2)
    city.rest()
    other = [*city.village.log(city.village.origin)[:-1], EvilNode(city.village).made_up()]

    def lie() -> None:
        liar.notes(head_of(city.village.origin, other))
        city.goes_on(city.neighbour)

    assert new_faults(city.county, lie) == [("noted_beyond", city.village.origin)]
    liar.passes_up(lambda record: [record])
    city.village.chat(1)
    city.wait(lambda: city.is_known_above(city.village))
    assert city.county.faults() == {}
    assert encode64(head_of("", other).root).encode() in b"".join(city.city.log(city.township.origin))


def test_what_is_signed_with_a_key_that_was_taken_back_is_refused_and_convicts_with_the_word_against_it(
    city: City,
) -> None:
    thief = EvilNode(city.village)
    held = city.holding(city.village.origin)
    take_back(city.township, city.village)
    city.asleep.add(VILLAGE)

    def lie() -> None:
        leaves = [*thief.leaves(), thief.made_up()]
        thief.sends(thief.frame(leaves, len(leaves) - 1))
        thief.tells(Acknowledge(9, 1))
        city.goes_on(city.neighbour)

    refused = new_faults(city.township, lie)
    assert refused == [("key_revoked", city.village.origin), ("letter_forged", up_lane(VILLAGE))]
    assert city.holding(city.village.origin) == held
    assert convicted(city.township, "key_revoked", city.village.origin) == ("key_outlived", (city.village.origin,))
    file = read_file(exported(city.township, "key_revoked", city.village.origin))
    without = [text for text in file.certificates if "revocation" not in text.partition("\n")[0]]
    assert len(without) < len(file.certificates)
    silent = msgspec.json.encode(msgspec.structs.replace(file, certificates=without))
    assert judge(silent, city.city.pin).verdict is None, "without the superior's word the key was good"


def test_two_histories_beyond_where_a_key_was_taken_back_convict_that_key_and_nobody_of_a_fork(city: City) -> None:
    """The true village had signed on before it heard of it; the thief signs another history with the same key."""
    thief, good = EvilNode(city.village), EvilNode(city.village).leaves()
    true, stolen = [*good, thief.made_up()], [*good, thief.made_up()]
    fork = Fork(thief.head(true), thief.head(stolen), b"", [], 0, b"", b"")
    fault = Fault("fork", city.village.origin, VILLAGE, "", msgspec.msgpack.encode(fork))

    def verdict() -> tuple[str, tuple[str, ...]]:
        directory = city.township.exchange.trust.directory
        found = judge(file_for(TOWNSHIP, fault, Met(1, 1, 1), directory), city.city.pin).verdict
        assert found is not None
        return found.code, found.liars

    assert verdict() == ("forked", (city.village.origin,))
    take_back(city.township, city.village)
    assert verdict() == ("key_outlived", (city.village.origin,))


def test_ciphertexts_of_another_subject_in_place_of_a_leafs_own_are_not_taken_as_its_own(city: City) -> None:
    liar = EvilNode(city.village)
    liar.hides(lambda record: [swapped_parts(record)])
    register(city.village)
    city.wait(lambda: city.village.secured() == city.village.size())
    city.goes_on(city.neighbour)
    assert "part_missing" in city.township.faults()
    assert SECRET not in city.township.tables.beside.values()
    assert OTHERS not in city.township.tables.beside.values()


OTHERS = b"sealed words of somebody else" * 90


def swapped_parts(record: bytes) -> bytes:
    frame = decode_record(record)
    if not isinstance(frame, Frame):
        return record
    beside = [msgspec.structs.replace(part, body=OTHERS) for part in frame.beside]
    return encode(msgspec.structs.replace(frame, beside=beside))


def test_a_village_that_speaks_for_another_division_in_its_own_log_is_proven_and_without_effect(city: City) -> None:
    false = city.village.envelope(city.village.chance.id_by(VILLAGE), None)
    event = UnitOpened(**(false | {"node": NEIGHBOUR}), unit=f"{NEIGHBOUR}.office", name="x")

    def lie() -> None:
        city.village.append(event)
        city.goes_on(city.neighbour)

    (fault,) = new_faults(city.township, lie)
    assert fault[0] == "undecodable"
    city.goes_on(city.village)


@pytest.mark.parametrize("faults_before", [0, FAULTS_PER_CHILD])
def test_a_shard_that_begins_elsewhere_than_where_the_one_before_was_signed_to_end_convicts(
    city: City, faults_before: int
) -> None:
    """However many small faults its lane was filled with before."""
    liar = EvilNode(city.village)
    flood = [Fault("undecodable", f"{city.village.origin}#{n}", VILLAGE, "") for n in range(faults_before)]
    with city.township.exchange._store.transaction() as tx:
        tx.fault(flood, city.clock.now_us())
    after = shard_after(city.village.origin)
    short = liar.leaves()[:2]
    there = head_of(city.village.origin, short)
    envelope = city.village.envelope(city.village.chance.id_by(VILLAGE), None)
    end = {"before": city.village.origin, "size": 2, "root": encode64(there.root), "checkpoint": liar.head(short)}
    opened = ShardOpened(**envelope, origin=after, why="year", **end)

    def lie() -> None:
        liar.sends(liar.frame([new_event(opened).body], 0, after, named(city.village.signer, after)))
        city.goes_on(city.neighbour)

    assert new_faults(city.township, lie) == [("shard_not_continued", after)]
    assert convicted(city.township, "shard_not_continued", after) == ("shard_not_continued", (after,))
    city.goes_on(city.village)
