"""Folds a case anew where a directive took the effect from what had been folded before, so that the order in which a
node learned of the two does not show."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import psycopg

from projections.authority import facts_for
from projections.parking import fold_or_park, skipped
from projections.projection import Projection, ReadAfter
from projections.store import LIVE


def refold(
    conn: psycopg.Connection,
    read_after: ReadAfter,
    projection: Projection,
    cases: Mapping[UUID, Sequence[int]],
    upto_pos: int,
    schema: str = LIVE,
) -> None:
    """Inside the caller's transaction, with the projection folded up to `upto_pos` in `schema`.

    cases: by case the positions of its events, see `projections.authority.decided_late`.
    """
    for case_id, told in cases.items():
        for table in projection.tables:
            conn.execute(f"delete from {schema}.{table.name} where case_id = %s", (case_id,))
        waiting = conn.execute(
            f"delete from {schema}.parked where projection = %s and key = %s returning pos", (projection.name, case_id)
        )
        shared = projection.shared_after(conn, schema, told[0])
        wanted = sorted({*told, *shared, *(pos for (pos,) in waiting)} - skipped(conn, projection))
        rows = [read_after(pos - 1, 1)[0] for pos in wanted if pos <= upto_pos]
        fold_or_park(conn, schema, projection, facts_for(conn, projection, rows), only=case_id)
