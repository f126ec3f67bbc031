"""One poison event parks its case with everything after it, by name; what cannot be read is parked alone."""

from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec
import psycopg

from projections.projection import Fact, Projection
from projections.store import LIVE, Store

_REASON_LENGTH = 500


class ParkedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A case (or, for an event of no case, its stream) that waits: since which event, why, and how much of it.

    since_us: when this node fact the first event that waits, UTC microseconds.
    """

    projection: str
    key: UUID
    pos: int
    topic: str
    reason: str
    since_us: int
    event_count: int


def fold_or_park(
    conn: psycopg.Connection, schema: str, projection: Projection, batch: Sequence[Fact], only: UUID | None = None
) -> None:
    """Fold `batch` into `schema`; what cannot be folded is parked with its key, the rest is folded.

    Runs inside the caller's transaction. only: the one case that may be touched, for a retry. Raises what is
    no event's fault: a lost connection, a missing table.
    """
    keys = {fact.key.int: fact.key for fact in batch}  # the hash of a UUID is Python code
    gate = Gate(conn, schema, projection.name, keys.values())
    _fold(conn, schema, projection, gate, batch, only)


def parked(conn: psycopg.Connection) -> list[ParkedKey]:
    """Every parked key, the longest waiting first."""
    cursor = conn.execute(
        f"""select distinct on (projection, key) projection, key, pos, topic, reason, known_us,
                   count(*) over (partition by projection, key)
            from {LIVE}.parked order by projection, key, pos"""
    )
    names = ParkedKey.__struct_fields__
    found = [ParkedKey(**dict(zip(names, row, strict=True))) for row in cursor]
    return sorted(found, key=lambda each: (each.since_us, each.pos))


def skipped(conn: psycopg.Connection, projection: Projection) -> frozenset[int]:
    """Positions that an operator decided to leave out of `projection`."""
    cursor = conn.execute(f"select pos from {LIVE}.skipped where projection = %s", (projection.name,))
    return frozenset(pos for (pos,) in cursor)


def is_poison(error: Exception) -> bool:
    """Whether an event is to blame, and not the database or the way to it.

    A program limit (SQLSTATE class 54, such as a text too long for an index) is an OperationalError by name only.
    """
    by_event = psycopg.DataError | psycopg.IntegrityError | psycopg.errors.CardinalityViolation
    if not isinstance(error, psycopg.Error) or isinstance(error, by_event):
        return True
    return (error.sqlstate or "").startswith("54")


class Gate:
    """Holds back the events of parked keys and those that cannot be read, and parks more."""

    def __init__(
        self, conn: psycopg.Connection, schema: str, projection: str, keys: Collection[UUID] | None = None
    ) -> None:
        """keys: all that will come to this gate, if that is known."""
        self._conn = conn
        self._schema = schema
        self._projection = projection
        with conn.cursor(binary=True) as cursor:
            cursor.execute(
                f"select distinct key from {schema}.parked where projection = %s and (%s or key = any(%s))",
                (projection, keys is None, list(keys or ())),
            )
            self._waiting = {key for (key,) in cursor}

    def flowing(self, batch: Sequence[Fact]) -> list[Fact]:
        """The events that may be folded; the others are parked."""
        if not self._waiting and all(fact.fault is None for fact in batch):
            return list(batch)
        return [fact for fact in batch if not self._is_held(fact)]

    def park(self, fact: Fact, reason: str) -> None:
        """Park one event; whatever else of its key comes to this gate is parked behind it."""
        self._waiting.add(fact.key)
        values = (
            self._projection,
            fact.pos,
            fact.key,
            fact.topic.replace("\0", ""),
            reason.replace("\0", "")[:_REASON_LENGTH],
            fact.known_us,
        )
        self._conn.execute(
            f"insert into {self._schema}.parked (projection, pos, key, topic, reason, known_us) "
            "values (%s,%s,%s,%s,%s,%s)",
            values,
        )

    def _is_held(self, fact: Fact) -> bool:
        if fact.key in self._waiting:
            self.park(fact, "")
            return True
        if fact.fault is not None:
            self.park(fact, fact.fault)
            return True
        return False


def _fold(
    conn: psycopg.Connection,
    schema: str,
    projection: Projection,
    gate: Gate,
    batch: Sequence[Fact],
    only: UUID | None,
) -> None:
    """Fold all at once; if that fails, each half, down to the one event that is to blame."""
    flowing = gate.flowing(batch)
    if not flowing:
        return
    try:
        with conn.transaction():
            store = Store(conn, schema, projection.tables, only=only)
            projection.fold(flowing, store)
            store.flush()
    except Exception as error:
        if not is_poison(error):
            raise
        if len(flowing) == 1:
            gate.park(flowing[0], f"{type(error).__name__}: {error}")
            return
        middle = len(flowing) // 2
        for half in (flowing[:middle], flowing[middle:]):
            _fold(conn, schema, projection, gate, half, only)
