from uuid import UUID

from sync.ledger.append import Append, Appended, CommandReused, NewEvent, StaleVersion
from sync.ledger.batch import Batch, KnownCommand, LastVersions
from sync.ledger.rows import Head

LEG, OTHER, COMMAND = UUID(int=1), UUID(int=2), UUID(int=3)
HEAD = Head(epoch=1, pos=10, own_size=4, recorded_us=0, turn=7)


def event(stream: UUID, version: int) -> NewEvent:
    return NewEvent(stream, version, "leg.opened.v0", None, b"{}")


def batch(last_versions: dict[UUID, int] | None = None, known: dict[UUID, KnownCommand] | None = None) -> Batch:
    held = LastVersions(at_most=100)
    held.keep(last_versions or {})
    return Batch(HEAD, 0, held, known)


def test_positions_and_leaf_indexes_follow_the_head_without_gaps() -> None:
    taken = batch()
    taken.take(Append([event(LEG, 1), event(LEG, 2)]))
    taken.take(Append([event(OTHER, 1)]))
    assert taken.outcomes == [Appended(range(11, 13), range(4, 6), b""), Appended(range(13, 14), range(6, 7), b"")]
    assert taken.ending() == Head(epoch=1, pos=13, own_size=7, recorded_us=0, turn=8)


def test_of_two_appends_at_the_same_version_only_the_second_is_stale() -> None:
    taken = batch({LEG: 1})
    for _ in range(2):
        taken.take(Append([event(LEG, 2)]))
    taken.take(Append([event(LEG, 3)]))
    first, second, third = taken.outcomes
    assert isinstance(second, StaleVersion)
    assert (second.version, second.expected) == (2, 3)
    assert isinstance(first, Appended)
    assert isinstance(third, Appended)


def test_a_stale_event_refuses_its_whole_append_and_moves_no_version() -> None:
    taken = batch()
    taken.take(Append([event(LEG, 1), event(OTHER, 5)]))
    taken.take(Append([event(LEG, 1)]))
    assert isinstance(taken.outcomes[0], StaleVersion)
    assert taken.outcomes[1] == Appended(range(11, 12), range(4, 5), b"")


def test_a_stream_starts_at_0_or_1_and_nowhere_else() -> None:
    taken = batch()
    for version in (0, 2, 1):
        taken.take(Append([event(UUID(int=100 + version), version)]))
    assert [type(outcome) for outcome in taken.outcomes] == [Appended, StaleVersion, Appended]


def test_a_command_repeated_within_the_batch_gets_the_first_answer() -> None:
    taken = batch()
    for _ in range(2):
        taken.take(Append([event(LEG, 1)], COMMAND, b"digest", b"answer"))
    assert taken.outcomes[1] == Appended(range(11, 12), range(4, 5), b"answer", repeated=True)
    assert taken.ending().pos == 11


def test_a_command_id_with_another_digest_is_refused() -> None:
    taken = batch(known={COMMAND: KnownCommand(b"digest", Appended(range(1, 2), range(1), b""))})
    taken.take(Append([event(LEG, 1)], COMMAND, b"other"))
    assert isinstance(taken.outcomes[0], CommandReused)
    assert taken.is_empty


def test_a_stale_command_is_doubtful_until_the_commands_were_looked_up() -> None:
    for known, doubtful in ((None, True), ({}, False)):
        taken = batch({LEG: 9}, known)
        taken.take(Append([event(LEG, 1)], COMMAND, b"digest"))
        assert taken.doubtful is doubtful


def test_of_many_streams_those_used_last_are_held() -> None:
    held = LastVersions(at_most=10)
    for number in range(100):
        held.keep({UUID(int=number): number})
    assert held.get(UUID(int=99)) == 99
    assert held.get(UUID(int=0)) is None
    assert 5 <= sum(held.get(UUID(int=number)) is not None for number in range(100)) <= 13
