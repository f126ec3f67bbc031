"""The ledger as recorders of the `eventsourcing` library, plugged in by the library's own configuration."""

import importlib.util
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.dcb.api import DCBRecorder
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.persistence import (
    AggregateRecorder,
    InfrastructureFactory,
    IntegrityError,
    ListenNotifySubscription,
    Mapper,
    Notification,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProcessRecorder,
    ProgrammingError,
    StoredEvent,
    Tracking,
    Transcoder,
    WaitInterruptedError,
)
from eventsourcing.utils import Environment, EnvType, TopicError, resolve_topic

from sync.ledger.append import Append, LedgerError, NewEvent, StaleVersion
from sync.ledger.mapper import StructMapper
from sync.ledger.reader import Reader
from sync.ledger.writer import Writer

_EVENTS: Final = "select stream, version, topic, body from ledger where via = 0 and stream = %b "
_NOTIFICATIONS: Final = "select pos, stream, version, topic, body from ledger where pos >= %b and pos <= %b "

# A position that does not advance becomes null, which the column refuses: the whole transaction fails.
_TRACK: Final[LiteralString] = """
insert into tracking as t (application_name, notification_id) values (%s, %s)
on conflict (application_name) do update set notification_id =
    case when t.notification_id < excluded.notification_id then excluded.notification_id end"""

_END: Final = 2**63 - 1
_LOOK_AGAIN_S: Final = 0.1  # for what other processes track, and for interrupts, which wake nobody

_FALSE: Final = ("", "0", "n", "no", "f", "false", "off")
_TOPICS: Final = ("PERSISTENCE_MODULE", "INFRASTRUCTURE_FACTORY", "FACTORY_TOPIC", "RECORDER_TOPIC")


class _Tracked(msgspec.Struct, frozen=True):
    """How far an application has come."""

    application_name: str
    notification_id: int

    def statement(self) -> tuple[LiteralString, Sequence[object]]:
        """Fails where it is there already or beyond."""
        return _TRACK, (self.application_name, self.notification_id)


class UnsafeSettings(Exception):
    """The configuration would lose events or crawl; the node must not start. Change what the message names."""


def refuse_unsafe_settings(env: Mapping[str, str]) -> None:
    """Check the environment meant for the `eventsourcing` library, and that crc32c is there, before anything starts.

    Raises: UnsafeSettings for POSTGRES_ENABLE_DB_FUNCTIONS (it drops the table lock and the tracking row), for the
    library's DCB recorders (an append without a condition takes no lock, so a tailing reader misses events), and for
    a missing crc32c (kafka-python then computes checksums in Python, more than ten times slower).
    """
    for name, value in env.items():
        if name.endswith("POSTGRES_ENABLE_DB_FUNCTIONS") and value.strip().lower() not in _FALSE:
            raise UnsafeSettings(
                f"{name}={value} 会丢失事件,请删除该设置 / {name}={value} loses events for tailing readers; remove it"
            )
        if name.endswith(_TOPICS) and _is_dcb(value):
            raise UnsafeSettings(
                f"{name}={value} 会丢失事件，请改用 sync.ledger.recorders / {name}={value} selects a DCB recorder, "
                "whose append without a condition loses events for tailing readers; use sync.ledger.recorders"
            )
    if importlib.util.find_spec("crc32c") is None:
        raise UnsafeSettings("缺少 crc32c,请安装后再启动 / the package crc32c is missing; install it and start again")


def _is_dcb(topic: str) -> bool:
    if topic.startswith("eventsourcing.dcb"):
        return True
    try:
        chosen = resolve_topic(topic)
    except TopicError:
        return False  # no recorder at all; the library will say so
    return isinstance(chosen, type) and issubclass(chosen, (DCBRecorder, DCBInfrastructureFactory))


class LedgerRecorder(ProcessRecorder):
    """Application, process and tracking recorder over one ledger: notification ids are the ledger's positions.

    Durable when a call returns. Ids are gapless and become visible in order. `select_notifications` yields learned
    events too; `select_events` only this node's own streams.
    """

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self.tip = writer.tip
        self._writer = writer
        self._reader = reader
        self._tracked = threading.Condition()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append all or none; returns their positions. Keywords: tracking (a Tracking), case_id (a UUID).

        Raises: IntegrityError if a version is taken or does not follow, or the tracking does not advance.
        """
        tracking: Tracking | None = kwargs.get("tracking")
        if not stored_events:
            if tracking is not None:
                self.insert_tracking(tracking)
            return []
        events = [_new_event(stored, kwargs.get("case_id")) for stored in stored_events]
        beside = [] if tracking is None else [_Tracked(tracking.application_name, tracking.notification_id)]
        with _library_errors():
            appended = self._writer.append(Append(events, beside=beside)).result()
        self._tell_tracked()
        return list(appended.positions)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """This node's own events of one stream, by version."""
        order = "order by version desc limit %b" if desc else "order by version limit %b"
        bounds = (-1 if gt is None else gt, 2**31 - 1 if lte is None else lte)
        query = _EVENTS + "and version > %b and version <= %b " + order
        with _library_errors():
            rows = self._reader.fetch(query, (_uuid(originator_id), *bounds, _END if limit is None else limit))
        return [StoredEvent(*row) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """At most `limit` events of the whole ledger from `start`, by position."""
        first = (start or 0) + (0 if inclusive_of_start else 1)
        bounds = (first, _END if stop is None else stop)
        with _library_errors():
            if topics:
                query = _NOTIFICATIONS + "and topic = any(%b) order by pos limit %b"
                rows = self._reader.fetch(query, (*bounds, list(topics), limit))
            else:
                rows = self._reader.fetch(_NOTIFICATIONS + "order by pos limit %b", (*bounds, limit))
        return [
            Notification(id=pos, originator_id=stream, originator_version=version, topic=topic, state=body)
            for pos, stream, version, topic, body in rows
        ]

    def max_notification_id(self) -> int | None:
        """The last position, None in an empty ledger."""
        with _library_errors():
            return self._reader.head().pos or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "LedgerSubscription":
        """Every notification after `gt`, the past ones and then the new ones; woken by the writer, not by polling."""
        return LedgerSubscription(self, gt, topics)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Raises: IntegrityError if the application is there already or beyond."""
        tracked = _Tracked(tracking.application_name, tracking.notification_id)
        with _library_errors():
            self._writer.run(lambda conn, _: conn.execute(*tracked.statement())).result()
        self._tell_tracked()

    def max_tracking_id(self, application_name: str) -> int | None:
        """How far the named application has come, None if it never began."""
        query = "select notification_id from tracking where application_name = %b"
        with _library_errors():
            rows = self._reader.fetch(query, (application_name,))
        return rows[0][0] if rows else None

    def wait(
        self,
        application_name: str,
        notification_id: int | None,
        timeout: float = 1.0,
        interrupt: threading.Event | None = None,
    ) -> None:
        """Sleep until the application has come as far. Raises: TimeoutError, WaitInterruptedError."""
        deadline = time.monotonic() + timeout
        with self._tracked:
            while not self.has_tracking_id(application_name, notification_id):
                left_s = deadline - time.monotonic()
                if interrupt is not None and interrupt.is_set():
                    raise WaitInterruptedError
                if left_s <= 0:
                    raise TimeoutError(f"{application_name} did not reach {notification_id} within {timeout} s")
                self._tracked.wait(min(left_s, _LOOK_AGAIN_S))

    def _tell_tracked(self) -> None:
        with self._tracked:
            self._tracked.notify_all()


class LedgerSubscription(ListenNotifySubscription[LedgerRecorder]):
    """Notifications as they are committed in this process."""

    def __init__(self, recorder: LedgerRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt, topics)
        self._listen_thread = threading.Thread(target=self._listen, name="ledger-subscription")
        self._listen_thread.start()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._listen_thread.join()

    def _listen(self) -> None:
        seen = self._last_notification_id or 0
        while not self._has_been_stopped:
            last = self._recorder.tip.wait_beyond(seen, _LOOK_AGAIN_S)
            if last > seen:
                seen = last
                self._has_been_notified.set()


class LedgerFactory(InfrastructureFactory[LedgerRecorder]):
    """`PERSISTENCE_MODULE=sync.ledger.recorders`: one writer and one reader on the database of LEDGER_DSN.

    All recorders are the same LedgerRecorder. Mappers are StructMappers unless MAPPER_TOPIC says otherwise. The
    database must be migrated. Snapshots are not kept: streams are legs of a case, tens of events.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        refuse_unsafe_settings(self.env)
        dsn = self.env.get("LEDGER_DSN")
        if not dsn:
            raise ProgrammingError("LEDGER_DSN is not set; give the connection string of a migrated database")
        self._dsn = dsn
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    def application_recorder(self) -> LedgerRecorder:
        """The recorder; the first call makes this process the node's writer."""
        if self._writer is None or self._reader is None:
            self._writer = Writer(self._dsn, 1, lambda: time.time_ns() // 1000)
            self._writer.start()
            self._reader = Reader(self._dsn, self._writer.tip)
        return LedgerRecorder(self._writer, self._reader)

    def process_recorder(self) -> LedgerRecorder:
        """The same."""
        return self.application_recorder()

    def tracking_recorder(self, tracking_recorder_class: type[LedgerRecorder] | None = None) -> LedgerRecorder:
        """The same; other classes have tables of their own and are refused."""
        if tracking_recorder_class not in (None, LedgerRecorder):
            raise NotSupportedError(f"{tracking_recorder_class} does not record in the ledger")
        return self.application_recorder()

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The same for events; there is none for snapshots."""
        if purpose != "events":
            raise NotSupportedError(f"the ledger keeps no {purpose}; leave IS_SNAPSHOTTING_ENABLED off")
        return self.application_recorder()

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[Any]] | None = None
    ) -> Mapper[Any]:
        """A StructMapper by default; it needs a StructTranscoder."""
        if mapper_class is None and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = StructMapper
        return super().mapper(transcoder, mapper_class)

    def close(self) -> None:
        """Write what waits, then leave the database."""
        if self._writer is not None and self._reader is not None:
            self._writer.close()
            self._reader.close()
            self._writer = self._reader = None


def _new_event(stored: StoredEvent, case_id: UUID | None) -> NewEvent:
    return NewEvent(_uuid(stored.originator_id), stored.originator_version, stored.topic, case_id, stored.state)


def _uuid(originator_id: UUID | str) -> UUID:
    if not isinstance(originator_id, UUID):
        raise ProgrammingError(f"streams are UUIDs, not {originator_id!r}")
    return originator_id


@contextmanager
def _library_errors() -> Iterator[None]:
    """The library's callers know the library's errors."""
    try:
        yield
    except (StaleVersion, psycopg.IntegrityError) as e:
        raise IntegrityError(str(e)) from e
    except (LedgerError, psycopg.OperationalError) as e:
        raise OperationalError(str(e)) from e
    except psycopg.Error as e:
        raise PersistenceError(str(e)) from e
