"""Folds a case anew where a directive took the effect from what had been folded before, so that the order in which a
node learned of the two does not show."""

import psycopg

from projections.authority import decided_late, facts_for
from projections.parking import fold_or_park, skipped
from projections.projection import Projection, ReadAfter
from projections.store import LIVE


def refold(conn: psycopg.Connection, read_after: ReadAfter, projection: Projection, first: int, last: int) -> None:
    """After positions `first` to `last` were folded: every case in which one of them decided about an earlier event.

    Inside the caller's transaction, with the projections in step up to `last`.
    """
    for case_id, told in decided_late(conn, first, last).items():
        for table in projection.tables:
            conn.execute(f"delete from {LIVE}.{table.name} where case_id = %s", (case_id,))
        conn.execute(f"delete from {LIVE}.parked where projection = %s and key = %s", (projection.name, case_id))
        shared = projection.shared_after(conn, LIVE, told[0])
        wanted = sorted({*told, *shared} - skipped(conn, projection))
        rows = [read_after(pos - 1, 1)[0] for pos in wanted if pos <= last]
        fold_or_park(conn, LIVE, projection, facts_for(conn, projection, rows), only=case_id)
