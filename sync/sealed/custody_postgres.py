"""What custody reads of a node's database: the events of a case, and what lies beside them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from domain.events import CaseId, NotCanonical, SealedRead, read
from sync.sealed.custody import Told

_READING: Final = str(SealedRead.__struct_config__.tag)


class PostgresCases:
    """Reads custody events and parts; what another transaction has not committed does not exist."""

    def __init__(self, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        """connect: such as `psycopg_pool.ConnectionPool.connection`."""
        self._connect = connect

    def case_events(self, case: CaseId) -> list[Told]:
        """See sync.sealed.custody.CaseReader."""
        with self._connect() as conn:
            rows = conn.execute(
                "select log_id, seq, body from ledger where case_id = %s and topic <> %s order by pos",
                (case, _READING),
            ).fetchall()
        return list(_told(rows))

    def part(self, log_id: int, seq: int, part: int) -> bytes | None:
        """See sync.sealed.custody.CaseReader."""
        with self._connect() as conn:
            row = conn.execute(
                "select body from beside where log_id = %s and seq = %s and part = %s", (log_id, seq, part)
            ).fetchone()
        return None if row is None else bytes(row[0])


def _told(rows: Iterable[tuple[int, int, bytes]]) -> Iterator[Told]:
    for log_id, seq, body in rows:
        try:
            event = read(body)
        except NotCanonical:
            continue  # a fault of its own, and without effect
        if event.case is not None and event.stream is not None and event.version is not None:
            yield Told(log_id, seq, event)
