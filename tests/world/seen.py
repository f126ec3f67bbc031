"""What a node's database holds, read past all adapters, as tables in memory: what the judge of a world looks at."""

from collections.abc import Callable, Iterator
from typing import Any

from psycopg import sql

from sync.exchange.downlink import ChildState
from sync.ledger.rows import Row
from tests.sync.memory_tables import Standing, Table, Tables
from tests.world.postgres_lines import Line, Rows


def seen(line: Line) -> Tables:
    """The ledger, what waits, what lies beside events, and the faults; whoever asks for another table finds none."""
    tables = Tables()
    for row in line.ask(
        "select pos, log_id, seq, via, stream, version, topic, case_id, body, leaf, known_us from ledger order by pos"
    ):
        tables.ledger._put(Row._make(row))
    _fill(tables.logs, 1, line.ask("select origin, id from log order by id"))
    _fill(tables.beside, 3, line.ask("select log_id, seq, part, body from beside order by 1, 2, 3"))
    _fill(tables.parked, 2, line.ask("select log, first, record from parked"))
    _fill(tables.unread, 2, line.ask("select seq, num, item from unread"))
    _fill(tables.down, 2, line.ask("select child, seq, items from down order by 1, 2"))
    faults = line.ask("select kind, subject, child, detail, evidence, count, first_us, last_us, healed_us from fault")
    _fill(tables.faults, 2, faults, Standing)
    children = line.ask("select division, division, down_size, down_acked, down_from from child order by 1")
    _fill(tables.children, 1, children, ChildState)
    return tables


def stored(line: Line) -> Iterator[Any]:
    """Every value in every table, whatever it is for."""
    owned = "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    for schema, table in line.ask(owned):
        with line.connection() as conn:
            for row in conn.execute(sql.SQL("select * from {}").format(sql.Identifier(schema, table))):
                yield from row


def _fill(table: Table[Any, Any], width: int, rows: Rows, make: Callable[..., Any] = lambda value: value) -> None:
    """width: how many columns are the key; of the others `make` makes the value."""
    for row in rows:
        table._put(row[:width] if width > 1 else row[0], make(*row[width:]))
