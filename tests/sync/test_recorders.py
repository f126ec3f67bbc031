import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.dcb.postgres_tt import PostgresDCBRecorderTT
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    MapperDeserialisationError,
    NotSupportedError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)

from sync.ledger.mapper import StructMapper, StructTranscoder
from sync.ledger.recorders import LedgerFactory, UnsafeSettings, refuse_unsafe_settings


class Opened(msgspec.Struct, frozen=True, tag="leg.opened.v0", tag_field="type"):
    stream: str
    version: int
    unit: str


class Closed(msgspec.Struct, frozen=True, tag="leg.closed.v0", tag_field="type"):
    stream: str
    version: int


class OtherDcbRecorder(PostgresDCBRecorderTT):
    pass


LEG = UUID(int=7)
TRANSCODER = StructTranscoder(msgspec.json.Encoder(), msgspec.json.Decoder(Opened | Closed))


@pytest.fixture
def factory(database: str) -> Iterator[LedgerFactory]:
    made = InfrastructureFactory.construct({"PERSISTENCE_MODULE": "sync.ledger.recorders", "LEDGER_DSN": database})
    assert isinstance(made, LedgerFactory)
    yield made
    made.close()


def test_an_event_store_of_the_library_keeps_structs_as_their_exact_bytes(factory: LedgerFactory) -> None:
    store = factory.event_store(factory.mapper(TRANSCODER))
    events: list[Any] = [Opened(str(LEG), 1, "信访办"), Closed(str(LEG), 2)]
    recordings = store.put(events)
    assert [recording.notification.id for recording in recordings] == [1, 2]
    assert list(store.get(LEG)) == events
    stored = factory.application_recorder().select_events(LEG)[0]
    assert stored.topic == "leg.opened.v0"
    assert stored.state == msgspec.json.encode(events[0])


def test_bytes_of_an_unknown_tag_are_not_decoded_and_nothing_is_imported() -> None:
    mapper = StructMapper(TRANSCODER)
    state = b'{"type":"antigravity:fly","stream":"00000000-0000-0000-0000-000000000007","version":1}'
    with pytest.raises(MapperDeserialisationError):
        mapper.to_domain_event(StoredEvent(LEG, 1, "antigravity:fly", state))
    assert "antigravity" not in sys.modules


def test_a_row_that_says_something_else_than_its_bytes_is_refused() -> None:
    mapper = StructMapper(TRANSCODER)
    stored = mapper.to_stored_event(Closed(str(LEG), 2))
    for wrong in (
        StoredEvent(uuid4(), 2, stored.topic, stored.state),
        StoredEvent(LEG, 3, stored.topic, stored.state),
        StoredEvent(LEG, 2, "leg.opened.v0", stored.state),
    ):
        with pytest.raises(MapperDeserialisationError):
            mapper.to_domain_event(wrong)


def test_a_mapper_that_would_change_the_bytes_cannot_be_made(factory: LedgerFactory) -> None:
    factory.env["COMPRESSOR_TOPIC"] = "zlib"
    with pytest.raises(ProgrammingError):
        factory.mapper(TRANSCODER)


def test_tracking_and_events_are_recorded_together_or_not_at_all(factory: LedgerFactory) -> None:
    recorder = factory.process_recorder()
    first = [StoredEvent(uuid4(), 1, "leg.opened.v0", b"{}")]
    recorder.insert_events(first, tracking=Tracking("upstream", 5))
    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent(uuid4(), 1, "leg.opened.v0", b"{}")], tracking=Tracking("upstream", 5))
    with pytest.raises(IntegrityError):
        recorder.insert_events(first, tracking=Tracking("upstream", 6))
    assert recorder.max_notification_id() == 1
    assert recorder.max_tracking_id("upstream") == 5


def test_who_waits_for_a_position_is_woken_without_polling(factory: LedgerFactory) -> None:
    recorder = factory.tracking_recorder()
    timer = threading.Timer(0.05, recorder.insert_tracking, [Tracking("upstream", 3)])
    started = time.monotonic()
    timer.start()
    recorder.wait("upstream", 3, timeout=60)
    timer.join()
    assert time.monotonic() - started < 30


def test_snapshots_are_refused_by_name(factory: LedgerFactory) -> None:
    with pytest.raises(NotSupportedError, match="snapshots"):
        factory.aggregate_recorder("snapshots")


@pytest.mark.parametrize("value", ["y", "yes", "TRUE", "1", "on", "maybe"])
@pytest.mark.parametrize("name", ["POSTGRES_ENABLE_DB_FUNCTIONS", "CITY_POSTGRES_ENABLE_DB_FUNCTIONS"])
def test_database_functions_are_refused(name: str, value: str) -> None:
    with pytest.raises(UnsafeSettings, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
        refuse_unsafe_settings({name: value})


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("PERSISTENCE_MODULE", "eventsourcing.dcb.postgres_tt"),
        ("CITY_PERSISTENCE_MODULE", "eventsourcing.dcb.popo:InMemoryDCBFactory"),
        ("INFRASTRUCTURE_FACTORY", "eventsourcing.dcb.postgres_tt:PostgresTTDCBFactory"),
        ("APPLICATION_RECORDER_TOPIC", "eventsourcing.dcb.postgres_tt:PostgresDCBRecorderTT"),
        ("DCB_RECORDER_TOPIC", f"{__name__}:OtherDcbRecorder"),
    ],
)
def test_a_dcb_recorder_is_refused(name: str, topic: str) -> None:
    with pytest.raises(UnsafeSettings, match="DCB"):
        refuse_unsafe_settings({name: topic})


def test_a_missing_crc32c_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crc32c", None)
    with pytest.raises(UnsafeSettings, match="crc32c"):
        refuse_unsafe_settings({})


def test_safe_settings_pass_and_unsafe_ones_stop_the_factory(database: str) -> None:
    safe = {"PERSISTENCE_MODULE": "sync.ledger.recorders", "POSTGRES_ENABLE_DB_FUNCTIONS": "no", "LEDGER_DSN": database}
    refuse_unsafe_settings(safe)
    with pytest.raises(UnsafeSettings):
        InfrastructureFactory.construct({**safe, "POSTGRES_ENABLE_DB_FUNCTIONS": "yes"})
