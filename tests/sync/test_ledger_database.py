"""What a writer relies on in the database of its ledger, and what it makes of it, on every implementation: PLACES."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol
from uuid import UUID, uuid4

import psycopg
import pytest

from sync.exchange.acts import ForOrganBelow
from sync.exchange.store import NotStorable
from sync.ledger.append import (
    Append,
    Appended,
    BodyTooLarge,
    CommandReused,
    Fenced,
    Learned,
    LedgerError,
    LedgerUnavailable,
    NewEvent,
    StaleVersion,
)
from sync.ledger.database import Intake
from sync.ledger.reader import Reader
from sync.ledger.rows import FROM_BELOW, Row
from sync.ledger.writer import Writer
from sync.proofs.merkle import leaf_hash
from sync.sealed.acts import PartsBeside
from tests.sync.memory_ledger import ConnectionLost, MemoryLedger, MemoryReader, MemoryWriter
from tests.sync.memory_tables import Point, Tables
from tests.sync.proxy import CuttingProxy
from tests.sync.test_store import CHILD

LIMIT_S = 20
Cut = Literal["request", "reply"]
Work = Callable[["AnyWriter"], object]


class AnyWriter(Protocol):
    """What both writers offer."""

    def append(self, append: Append) -> Any: ...
    def run(self, job: Any, *, lazy: bool = False) -> Any: ...


class Place(Protocol):
    """One node's ledger.

    refusals: what comes of what it cannot store. clock: the writer's, UTC microseconds.
    """

    refusals: tuple[type[Exception], ...]
    clock: int
    writer: AnyWriter

    def another(self) -> AnyWriter:
        """A second writer, which takes over."""

    def together(self, appends: Sequence[Append]) -> list[Any]:
        """Appends of the first writer that wait at the same time: their answers."""

    def cut(self, what: Cut) -> None:
        """Lose the first writer's connection at its next statement, or only the answer to it."""

    def away(self) -> None:
        """From now on nobody gets a connection."""

    def back(self) -> None:
        """From now on everybody does."""

    def rows(self) -> list[Row]:
        """The whole ledger."""

    def parts(self) -> list[bytes]:
        """Whatever lies beside."""


class PostgresPlace:
    """On PostgreSQL."""

    refusals: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, dsn: str, proxy: CuttingProxy) -> None:
        self.clock = 500
        self._dsn = dsn
        self._proxy = proxy
        self._writers: list[Writer] = []
        self._reader = Reader(dsn, max_connections=1)
        self.writer = self._started(proxy.dsn)

    def another(self) -> Writer:
        return self._started(self._dsn)

    def _started(self, dsn: str) -> Writer:
        writer = Writer(dsn, 1, lambda: self.clock, reconnect_s=0.2)
        writer.start()
        self._writers.append(writer)
        return writer

    def together(self, appends: Sequence[Append]) -> list[Any]:
        running, release = threading.Event(), threading.Event()

        def hold(*_: object) -> None:
            running.set()
            release.wait(LIMIT_S)

        self.writer.run(hold)
        running.wait(LIMIT_S)
        answers = [self.writer.append(one) for one in appends]
        release.set()
        return answers

    def cut(self, what: Cut) -> None:
        self._proxy.cut(what)

    def away(self) -> None:
        self._proxy.close()

    def back(self) -> None:
        self._proxy.reopen()

    def rows(self) -> list[Row]:
        return self._reader.read(0, 1_000)

    def parts(self) -> list[bytes]:
        return [bytes(body) for (body,) in self._reader.fetch("select body from beside order by log_id, seq, part")]

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._reader.close()
        self._proxy.close()


class MemoryPlace:
    """In memory."""

    refusals: tuple[type[Exception], ...] = (NotStorable,)

    def __init__(self) -> None:
        self.clock = 500
        self.tables = Tables()
        self._cuts_at: frozenset[Point] = frozenset()
        self._is_away = False
        self.database = MemoryLedger(self.tables, self._at)
        self.writer = MemoryWriter(self.database, lambda: self.clock)

    def another(self) -> MemoryWriter:
        return MemoryWriter(MemoryLedger(self.tables), lambda: self.clock)

    def together(self, appends: Sequence[Append]) -> list[Any]:
        return list(self.writer.append_all(appends))

    def cut(self, what: Cut) -> None:
        self._cuts_at = frozenset({"asking", "committing"} if what == "request" else {"committed"})

    def away(self) -> None:
        self._is_away = True

    def back(self) -> None:
        self._is_away = False

    def rows(self) -> list[Row]:
        return MemoryReader(self.tables).read(0, 1_000)

    def parts(self) -> list[bytes]:
        return [self.tables.beside[place] for place in self.tables.beside.order]

    def _at(self, point: Point) -> None:
        if point in self._cuts_at:
            self._cuts_at = frozenset()
            raise ConnectionLost
        if point == "connecting" and self._is_away:
            raise ConnectionLost


@contextmanager
def postgres_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """On PostgreSQL."""
    dsn: str = request.getfixturevalue("database")
    folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    place = PostgresPlace(dsn, CuttingProxy(dsn, folders.mktemp("x")))
    yield place
    place.close()


@contextmanager
def memory_place(_: pytest.FixtureRequest) -> Iterator[Place]:
    """In memory."""
    yield MemoryPlace()


PLACES = [postgres_place, memory_place]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """One implementation after the other."""
    with request.param(request) as made:
        yield made


def event(stream: UUID | None = None, version: int = 1, body: bytes = b"{}") -> NewEvent:
    return NewEvent(stream or uuid4(), version, "leg.opened.v0", None, body)


def one(stream: UUID | None = None, version: int = 1) -> Append:
    return Append([event(stream, version)])


def learned(seq: int, body: bytes = b"{}") -> Learned:
    return Learned(2, seq, uuid4(), 7, "leg.opened.v0", None, body, leaf_hash(body))


def done(writer: AnyWriter, append: Append) -> Appended:
    answer: Appended = writer.append(append).result(LIMIT_S)
    return answer


def outcomes(answers: Sequence[Any]) -> list[Appended | Exception]:
    found: list[Appended | Exception] = []
    for answer in answers:
        try:
            found.append(answer.result(LIMIT_S))
        except (LedgerError, psycopg.Error, NotStorable) as refusal:
            found.append(refusal)
    return found


def assert_whole(rows: list[Row]) -> None:
    """Positions and own leaf indexes without gap, clocks not running backwards, leaves that are the bodies' own."""
    assert [row.pos for row in rows] == list(range(1, len(rows) + 1))
    own = [row.seq for row in rows if row.via == 0]
    assert own == list(range(len(own)))
    assert [row.known_us for row in rows] == sorted(row.known_us for row in rows)
    assert all(row.leaf == leaf_hash(row.body) for row in rows)


def test_a_command_is_recorded_once_whoever_the_writer_is(place: Place) -> None:
    command = Append([event(), event()], uuid4(), b"digest", b"first")
    first = done(place.writer, command)
    assert first == Appended(range(1, 3), range(2), b"first")
    again = Appended(range(1, 3), range(2), b"first", repeated=True)
    assert done(place.writer, command) == again
    assert done(place.another(), command) == again
    assert_whole(place.rows())


def test_a_command_id_of_another_command_is_refused_alone(place: Place) -> None:
    command_id = uuid4()
    done(place.writer, Append([event()], command_id, b"one"))
    answers = place.together([one(), Append([event()], command_id, b"two"), one()])
    assert [type(found) for found in outcomes(answers)] == [Appended, CommandReused, Appended]
    assert len(place.rows()) == 3


def test_of_two_with_the_same_command_id_that_wait_together_one_is_recorded(place: Place) -> None:
    command = Append([event()], uuid4(), b"digest")
    first, second = outcomes(place.together([command, command]))
    assert isinstance(first, Appended)
    assert second == Appended(first.positions, first.seqs, b"", repeated=True)
    assert len(place.rows()) == 1


def test_a_stale_append_is_refused_alone_and_told_what_comes_next(place: Place) -> None:
    stream = uuid4()
    answers = place.together([one(stream), one(stream), one(stream, 2), one(stream, 2), one()])
    found = outcomes(answers)
    assert [type(each) for each in found] == [Appended, StaleVersion, Appended, StaleVersion, Appended]
    assert [each.expected for each in found if isinstance(each, StaleVersion)] == [2, 3]
    assert_whole(place.rows())


def test_a_new_writer_finds_the_versions_of_the_streams(place: Place) -> None:
    stream = uuid4()
    done(place.writer, one(stream))
    fresh = place.another()
    kinds = [type(outcomes([fresh.append(one(stream, version))])[0]) for version in (3, 1, 2)]
    assert kinds == [StaleVersion, StaleVersion, Appended]


def test_a_repeated_command_that_looks_stale_gets_its_first_answer(place: Place) -> None:
    stream = uuid4()
    command = Append([event(stream)], uuid4(), b"digest")
    first = done(place.writer, command)
    done(place.writer, one(stream, 2))
    repeated, new = outcomes(place.together([command, one(stream, 3)]))
    assert repeated == Appended(first.positions, first.seqs, b"", repeated=True)
    assert isinstance(new, Appended)


def test_what_stands_beside_commits_with_its_append_and_fails_its_append_alone(place: Place) -> None:
    taken = uuid4()
    beside = [ForOrganBelow(taken, CHILD), PartsBeside(taken, 1, [b"a", b"b"])]
    done(place.writer, Append([event(taken)], beside=beside))
    stream, other = uuid4(), uuid4()
    failing = Append([event(stream)], beside=[PartsBeside(stream, 1, [b"lost"]), ForOrganBelow(taken, CHILD)])
    good = Append([event(other)], beside=[PartsBeside(other, 1, [b"c"])])

    found = outcomes(place.together([one(), failing, good]))

    assert [type(each) for each in found if isinstance(each, Appended)] == [Appended, Appended]
    assert isinstance(found[1], place.refusals)
    assert place.parts() == [b"a", b"b", b"c"]
    assert_whole(place.rows())


def test_an_event_that_cannot_be_stored_harms_no_neighbour(place: Place) -> None:
    bad = Append([NewEvent(uuid4(), 1, "leg\0", None, b"{}")])
    found = outcomes(place.together([one(), bad, one()]))
    assert [isinstance(each, Appended) for each in found] == [True, False, True]
    with pytest.raises(BodyTooLarge):
        place.writer.append(Append([event(body=b"x" * 65_536)]))
    assert len(place.rows()) == 2


def test_a_second_writer_fences_the_first_in_all_that_it_does(place: Place) -> None:
    done(place.writer, one())
    second = place.another()
    with pytest.raises(Fenced):
        done(place.writer, one())
    with pytest.raises(Fenced):
        place.writer.run(lambda *_: None).result(LIMIT_S)
    assert done(second, one()).positions == range(2, 3)
    assert_whole(place.rows())


def test_a_fenced_writer_can_run_no_job(place: Place) -> None:
    second = place.another()
    with pytest.raises(Fenced):
        place.writer.run(lambda _, intake: intake.learn(FROM_BELOW, [learned(0)])).result(LIMIT_S)
    assert place.rows() == []
    assert done(second, one()).positions == range(1, 2)


def test_a_writer_that_comes_back_after_another_took_over_is_fenced(place: Place) -> None:
    done(place.writer, one())
    second = place.another()
    place.cut("request")
    with pytest.raises(Fenced):
        done(place.writer, one())
    assert done(second, one()).positions == range(2, 3)


def appended(writer: AnyWriter) -> range:
    return done(writer, Append([event()], uuid4(), b"digest")).positions


def appended_with_parts(writer: AnyWriter) -> range:
    stream = uuid4()
    return done(writer, Append([event(stream)], beside=[PartsBeside(stream, 1, [b"part"])])).positions


def appended_to_an_unknown_stream(writer: AnyWriter) -> range:
    """It looks for the stream's version first."""
    return done(writer, one(version=0)).positions


def ran(writer: AnyWriter) -> range:
    found: range = writer.run(lambda _, intake: intake.learn(FROM_BELOW, [learned(0)])).result(LIMIT_S)
    return found


@pytest.mark.parametrize("what", ["request", "reply"])
@pytest.mark.parametrize("work", [appended, appended_with_parts, appended_to_an_unknown_stream, ran])
def test_what_a_cut_connection_leaves_in_doubt_is_recorded_once(place: Place, what: Cut, work: Work) -> None:
    done(place.writer, one())
    place.cut(what)
    assert work(place.writer) == range(2, 3)
    assert done(place.writer, one()).positions == range(3, 4)
    assert_whole(place.rows())


def test_what_was_stored_unknown_to_its_caller_is_not_taken_for_what_comes_next(place: Place) -> None:
    done(place.writer, one())
    place.away()
    place.cut("reply")
    stored, new = one(), one()
    with pytest.raises(LedgerUnavailable):
        done(place.writer, stored)
    with pytest.raises(LedgerUnavailable):
        done(place.writer, one())
    place.back()
    assert done(place.writer, new).positions == range(3, 4)
    assert [row.stream for row in place.rows()[1:]] == [stored.events[0].stream, new.events[0].stream]


def test_a_job_learns_at_the_next_positions_and_one_that_fails_learns_nothing(place: Place) -> None:
    done(place.writer, one())

    def learning(_: object, intake: Intake) -> tuple[range, range]:
        return intake.learn(FROM_BELOW, [learned(0), learned(1)]), intake.learn(FROM_BELOW, [learned(2)])

    def failing(_: object, intake: Intake) -> None:
        intake.learn(FROM_BELOW, [learned(3)])
        raise KeyError("no such author")

    assert place.writer.run(learning).result(LIMIT_S) == (range(2, 4), range(4, 5))
    with pytest.raises(KeyError):
        place.writer.run(failing).result(LIMIT_S)
    with pytest.raises(place.refusals):
        place.writer.run(learning).result(LIMIT_S)
    assert done(place.writer, one()) == Appended(range(5, 6), range(1, 2), b"")
    assert [(row.log_id, row.seq) for row in place.rows()] == [(1, 0), (2, 0), (2, 1), (2, 2), (1, 1)]
    assert_whole(place.rows())


def test_a_clock_that_steps_back_is_held(place: Place) -> None:
    for place.clock in (500, 400, 600):
        done(place.writer, one())
    assert [row.known_us for row in place.rows()] == [500, 500, 600]


def test_in_memory_what_was_not_flushed_is_lost_and_what_was_answered_after_it_never() -> None:
    place = MemoryPlace()
    seqs = itertools.count()

    def learn(*, lazy: bool) -> range:
        found: range = place.writer.run(
            lambda _, intake: intake.learn(FROM_BELOW, [learned(next(seqs))]), lazy=lazy
        ).result()
        return found

    assert (learn(lazy=False), learn(lazy=True), learn(lazy=True)) == (range(1, 2), range(2, 3), range(3, 4))
    assert place.database.crash()
    assert len(place.rows()) == 1
    assert done(place.writer, one()).positions == range(2, 3)
    learn(lazy=True)
    done(place.writer, one())
    assert not place.database.crash()
    assert_whole(place.rows())


def test_in_memory_a_transaction_that_is_left_by_an_exception_leaves_every_table_as_it_was() -> None:
    place = MemoryPlace()
    stream = uuid4()
    done(place.writer, Append([event(stream)], beside=[PartsBeside(stream, 1, [b"part"])]))
    tables, before = place.tables, place.tables.copied()

    def spoil() -> None:
        with tables.committing():
            tables.tracking["somebody"] = 1
            del tables.beside[1, 0, 0]
            tables.beside[1, 7, 0] = b"other"
            tables.ledger.append(tables.ledger.rows[0]._replace(pos=2, seq=1, version=2))
            raise KeyError

    with pytest.raises(KeyError):
        spoil()
    assert (tables.tracking, tables.beside, tables.beside.order) == ({}, before.beside, before.beside.order)
    assert (tables.ledger.rows, tables.ledger.places) == (before.ledger.rows, before.ledger.places)
    assert tables.ledger.last_version(stream) == 1
