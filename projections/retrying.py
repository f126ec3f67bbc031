"""Takes in what is parked once its cause is mended, or leaves it out for good; other views follow a judgement."""

from collections.abc import Sequence
from uuid import UUID

import psycopg

from projections.authority import Authority, decided_late, facts_for
from projections.catalogue import PROJECTIONS
from projections.parking import ParkedKey, fold_or_park, parked
from projections.projection import Projection, ReadAfter
from projections.refold import fold_case
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
    pos = _lock(conn, projection)
    query = f"select pos from {LIVE}.parked where projection = %s and key = %s order by pos"
    freed = [at for (at,) in conn.execute(query, (projection.name, key))]
    if projection.name == Authority.name:
        _judge(conn, read_after, projection, key, freed)
        for other in PROJECTIONS:
            if other.name != Authority.name:
                _retry(conn, read_after, other, key)
    else:
        fold_case(conn, read_after, LIVE, projection, key, decided_late(conn, 1, pos, key), pos)
    return bool(freed)


def _judge(conn: psycopg.Connection, read_after: ReadAfter, judge: Projection, key: UUID, freed: Sequence[int]) -> None:
    """Go on with the case where it had stopped, at its first event that waits."""
    conn.execute(f"delete from {LIVE}.parked where projection = %s and key = %s", (judge.name, key))
    rows = [read_after(pos - 1, 1)[0] for pos in freed]
    if rows:
        fold_or_park(conn, LIVE, judge, facts_for(conn, judge, rows), only=key)
