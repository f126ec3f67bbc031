"""Rebuilding projections: the ledger's own rate of being read out, the stock ProjectionRunner, and ours."""

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection as StockProjection
from eventsourcing.projection import ProjectionRunner
from psycopg.conninfo import conninfo_to_dict

from bench.report import Line
from domain import events
from domain.divisions import Division
from domain.ids import REST_BITS, new_id
from gateway.hosting.postgres_server import PostgresServer
from projections.catalogue import PROJECTIONS
from projections.following import BATCH_EVENTS
from projections.pages_ahead import ahead
from projections.rebuild import PAGE_EVENTS, build
from projections.runner import Runner
from projections.views_postgres import PostgresViews
from sync.ledger.migrations import migrate
from sync.ledger.reader import Reader
from sync.ledger.rows import Row

CASES: Final = int(os.environ.get("BENCH_CASES", "6000"))
STOCK_EVENTS: Final = int(os.environ.get("BENCH_STOCK_EVENTS", "2400"))

TOWN: Final = Division("410221100000")
OFFICE: Final = f"{TOWN}.office"
COUNTY: Final = Division("410221000000")
WATER: Final = f"{COUNTY}.water"
START_US: Final = 1_772_412_400_000_000
ACTOR: Final = events.Actor(account=UUID(int=1), role="clerk", unit=OFFICE)


def measure(server: PostgresServer) -> Iterator[Line]:
    """Every line of the same run: COPY out of the whole ledger, the library's runner, then each projection."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    dsn = _database(server, "rebuild")
    count = fill(dsn)
    limit = count / _seconds(partial(copy_out, dsn), 3)
    stock = stock_runner(_database(server, "stock"))
    yield Line("COPY out of the ledger, binary", limit=limit)
    yield Line("stock ProjectionRunner, exactly once", peer=stock)
    reader = Reader(dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        pages = count / _seconds(partial(read_pages, reader), 3)
        yield Line(f"reading pages of {PAGE_EVENTS:,}, nothing folded", limit, stock, pages)
        live = count / _seconds(partial(follow, dsn, reader), 1)
        yield Line(f"following with all views, {BATCH_EVENTS:,} a transaction", limit, stock, live)
        for projection in PROJECTIONS:
            rate = count / _seconds(partial(build, PostgresViews(conn), reader.read, projection, count, ahead), 3)
            yield Line(f"rebuild of {projection.name}", limit, stock, rate)
    reader.close()


def fill(dsn: str) -> int:
    """A ledger of CASES cases, twelve events each as a clerk's work leaves them, eight cases under way at once."""
    columns = ", ".join(Row._fields)
    with psycopg.connect(dsn, autocommit=True) as conn:
        with conn.cursor() as cursor, cursor.copy(f"copy ledger ({columns}) from stdin (format binary)") as copy:
            copy.set_types(["int8", "int4", "int8", "int2", "uuid", "int4", "text", "uuid", "bytea", "bytea", "int8"])
            pos = 0
            for first in range(0, CASES, 8):
                for told in zip(*(_life(number) for number in range(first, first + 8)), strict=True):
                    for one in told:
                        pos += 1
                        copy.write_row(_row(pos, one))
        conn.execute("vacuum analyze ledger")
    return pos


def copy_out(dsn: str) -> None:
    """What the database can give away at best: every column of every row, and nobody looks at it."""
    with psycopg.connect(dsn) as conn, conn.cursor().copy("copy ledger to stdout (format binary)") as copy:
        while copy.read():
            pass


def read_pages(reader: Reader) -> None:
    """What a rebuild cannot do without: the rows as Python values."""
    pos = 0
    while rows := reader.read(pos, PAGE_EVENTS):
        pos = rows[-1].pos


def follow(dsn: str, reader: Reader) -> None:
    """The everyday path over the whole ledger."""
    runner = Runner(lambda: psycopg.connect(dsn, autocommit=True), reader.read, reader.wait_beyond, PROJECTIONS)
    while runner.step():
        pass
    runner.close()


def stock_runner(dsn: str) -> float:
    """Events per second of the library's exactly-once runner, a view row and its tracking per event."""
    known = conninfo_to_dict(dsn)
    env = {f"POSTGRES_{key.upper()}": str(known[key]) for key in ("dbname", "host", "port", "user")}
    env |= {"PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_PASSWORD": "x"}
    application = StockLedger(env=env)
    for _ in range(STOCK_EVENTS // 6):
        case = StockCase(OFFICE)
        for unit in (WATER, OFFICE, WATER, OFFICE, WATER):
            case.hand_over(unit)
        application.save(case)
    last = application.recorder.max_notification_id()
    assert last is not None
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=StockLedger, projection_class=StockCases, view_class=StockView, env=env
    ) as runner:
        runner.wait(last, timeout=300)
    return last / (time.perf_counter() - started)


class StockCase(Aggregate):
    """A case as the library would have it."""

    @event("Registered")
    def __init__(self, unit: str) -> None:
        self.unit = unit

    @event("HandedOver")
    def hand_over(self, unit: str) -> None:
        """Another unit holds it."""
        self.unit = unit


class StockLedger(Application[UUID]):
    """The library's application over StockCase."""

    name = "stock"


class StockView(PostgresTrackingRecorder):
    """One row per case and the library's tracking row, in one transaction."""

    def _create_table(self, curs: Any) -> None:
        super()._create_table(curs)
        curs.execute("create table if not exists stock_case (id uuid primary key, unit text not null)")

    def hold(self, case: UUID, unit: str, tracking: Tracking) -> None:
        """Who holds it now."""
        with self.datastore.transaction(commit=True) as curs:
            self._insert_tracking(curs, tracking)
            curs.execute(
                "insert into stock_case values (%s, %s) on conflict (id) do update set unit = excluded.unit",
                (case, unit),
                prepare=True,
            )


class StockCases(StockProjection[StockView]):
    """The library's projection of who holds a case."""

    name = "stock_cases"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Both of its events say who holds it."""
        self.view.hold(domain_event.originator_id, domain_event.unit, tracking)


class _Step(NamedTuple):
    shape: type[events.Event]
    fields: dict[str, Any]


def _life(number: int) -> list[events.AnyEvent]:
    case, first, second, claim = (_uuid(number, part) for part in range(4))
    told: list[events.AnyEvent] = []
    versions: Counter[UUID] = Counter()
    for step, (shape, fields) in enumerate(_steps(number, case, first, second, claim)):
        id_ = _id(number, step) if step else case
        stream = id_ if shape is events.SealedRead else fields.get("leg", case)
        versions[stream] += 1
        at_us = START_US + (number * 12 + step) * 1_000_000
        told.append(_event(id_, case, stream, versions[stream], _author(step), at_us, shape, fields))
    return told


def _steps(number: int, case: UUID, first: UUID, second: UUID, claim: UUID) -> Sequence[_Step]:
    """Registered in a township, handed to the county's water office, accepted, answered, served, closed, rated."""
    registration = {
        "number": f"杞县-2026-{number:06}",
        "channel": "visit",
        "matter_class": "claim_petition",
        "category": f"0102{number % 20:02}",
        "issue_region": TOWN,
        "received_on": date(2026, 3, 2),
        "person_count": 1,
        "unit": OFFICE,
        "claims": (claim,),
    }
    handed: dict[str, Any] = {"leg": first, "to": WATER, "mode": "transfer", "next_leg": second, "report_by": None}
    answer = events.Answer(
        claim=events.ClaimId(claim), outcome="explain", law="Art. 32", performer=None, perform_by=None
    )
    grant = events.Grant(
        custodian=COUNTY, recipient_key="k1", wrapped="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", purpose="handle"
    )
    return [
        _Step(events.Registered, registration),
        _Step(events.LegOpened, _opening(first, OFFICE, "registered", None)),
        _Step(events.KeyGranted, {"subject": "ab" * 16, "grants": (grant, grant)}),
        _Step(events.HandedOver, handed),
        _Step(events.LegOpened, _opening(second, WATER, "transfer", first)),
        _Step(events.SealedRead, {"subject": "ab" * 16, "events": (case,), "purpose": "handle"}),
        _Step(events.Accepted, {"leg": second, "kind": "substantive", "number": "受-1", "claims": (claim,)}),
        _Step(
            events.Served, {"leg": second, "paper": _id(number, 6), "method": "online", "served_on": date(2026, 3, 3)}
        ),
        _Step(events.OpinionIssued, {"leg": second, "number": "意-1", "answers": (answer,)}),
        _Step(
            events.Served, {"leg": second, "paper": _id(number, 8), "method": "online", "served_on": date(2026, 3, 9)}
        ),
        _Step(events.Closed, {"leg": second, "ending": "opinion", "claims": (claim,)}),
        _Step(events.Rated, {"office": "satisfied", "unit": "fairly_satisfied"}),
    ]


def _opening(leg: UUID, unit: str, mode: str, before: UUID | None) -> dict[str, Any]:
    return {"leg": leg, "unit": unit, "mode": mode, "from_leg": before, "sender": None, "report_by": None}


def _author(step: int) -> Division:
    return COUNTY if 4 <= step < 11 else TOWN


def _event(
    id_: UUID, case: UUID, stream: UUID, version: int, node: Division, at_us: int, shape: Any, fields: dict[str, Any]
) -> events.AnyEvent:
    sealed: tuple[events.Sealed, ...] = ()
    if shape is events.Registered:
        texts = {f"text.{number}": "A" * 44 for number in range(6)}
        sealed = (events.Sealed(subject="ab" * 16, fields=texts, ciphertext="A" * 44),)
    made: events.AnyEvent = shape(
        id=id_,
        stream=stream,
        version=version,
        case=case,
        node=node,
        actor=ACTOR,
        occurred_us=at_us,
        recorded_us=at_us,
        cause=(events.Cause(id=events.EventId(id_), log=None, seq=None),),
        law=None,
        sealed=sealed,
        **fields,
    )
    return made


def _row(pos: int, one: events.AnyEvent) -> Row:
    body = events.encode(one)
    return Row(pos, 1, pos, 0, one.stream, one.version, events.tag_of(one), one.case, body, bytes(32), one.recorded_us)


def _id(number: int, step: int) -> UUID:
    return _uuid(number, 16 + step, _author(step))


def _uuid(number: int, part: int, maker: Division = TOWN) -> UUID:
    """Different for every use, and as spread as the random part of a UUIDv7."""
    chance = (number * 64 + part) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)
    return new_id(maker, chance >> 80, chance >> 40 & (1 << REST_BITS) - 1)


def _seconds(work: Callable[[], object], runs: int) -> float:
    """The fastest of some runs: what the machine does when nobody else is on it."""
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _database(server: PostgresServer, name: str) -> str:
    server.create_database(name)
    migrate(server.dsn(name))
    return server.dsn(name)
