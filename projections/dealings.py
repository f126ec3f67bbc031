"""Which cases an office had to do with in a period: those it held, and those in which a clock of its own ran."""

from uuid import UUID

import psycopg

from projections.custody import node_of
from projections.tables_postgres import LIVE


def of_unit(conn: psycopg.Connection, unit: str, from_us: int, to_us: int, limit: int) -> list[UUID]:
    """By id, at most `limit`. unit: an office, or a division with all of its offices; [from_us, to_us): UTC us.

    What was believed for a while only, and later had no effect, counts too.
    """
    query = f"""select case_id from (
            (select case_id from {LIVE}.custody where node = %(node)s and gone_us > %(from_us)s
                and opened_us < %(to_us)s and (%(unit)s = node or unit = %(unit)s) limit %(limit)s)
            union
            (select case_id from {LIVE}.duty where node = %(node)s and gone_us > %(from_us)s
                and set_us < %(to_us)s and (%(unit)s = node or unit = %(unit)s) limit %(limit)s)
        ) found order by case_id limit %(limit)s"""
    values = {"node": node_of(unit), "unit": unit, "from_us": from_us, "to_us": to_us, "limit": limit}
    return [case for (case,) in conn.execute(query, values).fetchall()]
