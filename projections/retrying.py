"""Takes in what is parked once its cause is mended, or leaves it out for good; other views follow a judgement."""

from uuid import UUID

import psycopg

from projections.authority import Authority, decided_late, facts_for
from projections.catalogue import PROJECTIONS
from projections.parking import ParkedKey, fold_or_park, parked
from projections.projection import Projection, ReadAfter
from projections.refold import refold
from projections.runner import positions
from projections.store import LIVE


class NotParked(Exception):
    """Nothing of this key is parked in this projection. Look at the list again: it may have been retried."""

    def __init__(self, projection: str, key: UUID) -> None:
        super().__init__(
            f"{projection} 中没有搁置 {key}，请重新查看清单 / {projection} holds nothing of {key}; list again"
        )


def retry(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, key: UUID) -> ParkedKey | None:
    """Fold the parked events of `key` once more, in one transaction; returns what is parked now, None if nothing.

    Events that concern every case (a holiday notice) and came in the meantime are folded for this case again. What
    waited in other views until it is judged here is tried there, too; where the judgement changes what they had folded,
    they fold the case anew. Raises NotParked.
    """
    with conn.transaction():
        if not _retry(conn, read_after, projection, key):
            raise NotParked(projection.name, key)
        return _waiting(conn, projection, key)


def skip(
    conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, key: UUID, reason: str, account: UUID
) -> ParkedKey | None:
    """Leave out the first parked event of `key` for good, noting who decided so and why, and retry the rest.

    Rebuilds leave it out too. Returns what is parked now, None if nothing. Raises NotParked.
    """
    with conn.transaction():
        _lock(conn, projection)
        row = conn.execute(
            f"delete from {LIVE}.parked where projection = %s and pos = "
            f"(select min(pos) from {LIVE}.parked where projection = %s and key = %s) returning pos, topic",
            (projection.name, projection.name, key),
        ).fetchone()
        if row is None:
            raise NotParked(projection.name, key)
        conn.execute(
            f"insert into {LIVE}.skipped (projection, pos, key, topic, reason, account) values (%s,%s,%s,%s,%s,%s)",
            (projection.name, row[0], key, row[1], reason, account),
        )
        _retry(conn, read_after, projection, key)
        return _waiting(conn, projection, key)


def _lock(conn: psycopg.Connection, projection: Projection) -> int:
    """Hold the runner off, which takes the same row before it folds; how far it is."""
    return positions(conn, [projection], lock=True).get(projection.name, 0)


def _waiting(conn: psycopg.Connection, projection: Projection, key: UUID) -> ParkedKey | None:
    return next((each for each in parked(conn) if (each.projection, each.key) == (projection.name, key)), None)


def _retry(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, key: UUID) -> bool:
    """Whether anything of `key` was parked in `projection`."""
    _lock(conn, projection)
    found = conn.execute(
        f"delete from {LIVE}.parked where projection = %s and key = %s returning pos", (projection.name, key)
    ).fetchall()
    freed = sorted(pos for (pos,) in found)
    if freed:
        shared = projection.shared_after(conn, LIVE, freed[0])
        rows = [read_after(pos - 1, 1)[0] for pos in sorted({*freed, *shared})]
        fold_or_park(conn, LIVE, projection, facts_for(conn, projection, rows), only=key)
    if projection.name == Authority.name:
        told = decided_late(conn, freed[0], freed[-1]).get(key) if freed else None
        for other in PROJECTIONS:
            if other.name == Authority.name:
                continue
            if told is None:
                _retry(conn, read_after, other, key)
            else:
                refold(conn, read_after, other, {key: told}, _lock(conn, other))
    return bool(freed)
