"""What a node's casework keeps beside the ledger, on PostgreSQL."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg

from domain.clocks import shanghai_date
from domain.events import CaseId, EventId
from gateway.casework.numbers import WORDS
from gateway.casework.store import Grown, Leaf, Letter
from sync.ledger.append import Act

_NEWS_FROM_BELOW: Final[LiteralString] = """
select 1 from ledger where via = 1 and topic <> 'node.heads.v0' and pos > %s and pos <= %s limit 1"""

_GROWN: Final[LiteralString] = """
select origin, tree.size, root from tree join log on log.id = tree.log_id
join checkpoint on checkpoint.log_id = tree.log_id and checkpoint.size = tree.size
where tree.log_id in (select distinct log_id from ledger where via = 1 and pos > %s and pos <= %s) order by origin"""

_LETTER: Final[LiteralString] = """
select ledger.body, beside.body from web.organ_item join ledger using (log_id, seq)
join beside using (log_id, seq) where log_id = %s and seq = %s and part = 0"""


SKIPPED: Final = 10_000
"""More papers of one kind than an office gives between a backup and its loss."""

SKIPPED_A_SHARD: Final = 100_000
"""More papers of one kind than an office gives in a year."""

_SKIP: LiteralString = """
insert into web.paper_number as paper_number (kind, year, last)
select kind, year, %(skipped)s from unnest(%(kinds)s::text[]) as kind, (
    select distinct year from web.paper_number
    union
    select generate_series(%(from)s::int, extract(year from now() at time zone 'Asia/Shanghai')::int)
) as years
on conflict (kind, year) do update set last = paper_number.last + excluded.last"""


class PostgresCasework:
    """See gateway.casework.store.CaseworkStore. Safe for threads."""

    def __init__(self, connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]]) -> None:
        """connect: such as `psycopg_pool.ConnectionPool.connection`, each statement committed by itself."""
        self._connect = connect

    def do(self, act: Act) -> None:
        """By its statement."""
        self._execute(*act.statement())

    def last_numbers(self) -> dict[tuple[str, int], int]:
        """All of them."""
        return {(kind, year): last for kind, year, last in self._rows("select kind, year, last from web.paper_number")}

    def position(self) -> int:
        """0 at first."""
        rows = self._rows("select pos from web.steward")
        return int(rows[0][0]) if rows else 0

    def move(self, pos: int) -> None:
        """Never back."""
        self._execute("update web.steward set pos = greatest(pos, %s)", (pos,))

    def put_off(self, pos: int) -> None:
        """Once."""
        self._execute("insert into web.steward_later values (%s) on conflict do nothing", (pos,))

    def were_put_off(self) -> list[int]:
        """The latest first."""
        return [pos for (pos,) in self._rows("select pos from web.steward_later order by pos desc")]

    def settled(self, pos: int) -> None:
        """No more."""
        self._execute("delete from web.steward_later where pos = %s", (pos,))

    def newer_from(self) -> int | None:
        """None where nothing waits."""
        rows = self._rows("select newer_pos from web.steward")
        return rows[0][0] if rows else None

    def set_newer(self, pos: int | None) -> None:
        """In place of what was."""
        self._execute("update web.steward set newer_pos = %s::bigint", (pos,))

    def watch(self, case: CaseId, objection: EventId) -> None:
        """Once."""
        self._execute(
            "insert into web.objection_watch (objection, case_id) values (%s, %s) on conflict do nothing",
            (objection, case),
        )

    def due(self, now_us: int) -> list[tuple[EventId, CaseId]]:
        """By now."""
        rows = self._rows("select objection, case_id from web.objection_watch where look_us <= %s", (now_us,))
        return [(EventId(objection), CaseId(case)) for objection, case in rows]

    def look_at(self, objection: EventId, at_us: int) -> None:
        """Then."""
        self._execute("update web.objection_watch set look_us = %s where objection = %s", (at_us, objection))

    def look_at_all(self) -> None:
        """Now."""
        self._execute("update web.objection_watch set look_us = 0")

    def unwatch(self, objection: EventId) -> None:
        """No more."""
        self._execute("delete from web.objection_watch where objection = %s", (objection,))

    def requests(self) -> list[str]:
        """Without an answer."""
        rows = self._rows("select request from web.enrolling where bundle is null and refusal is null")
        return [request for (request,) in rows]

    def answer(self, request: str, bundle: bytes | None, refusal: str | None) -> None:
        """Either."""
        self._execute(
            "update web.enrolling set bundle = %s, refusal = %s where request = %s", (bundle, refusal, request)
        )

    def remember_erased(self, case: CaseId) -> None:
        """Once."""
        self._execute("insert into web.erased_case values (%s) on conflict do nothing", (case,))

    def erased_among(self, cases: Collection[UUID]) -> list[CaseId]:
        """Those that were."""
        rows = self._rows("select case_id from web.erased_case where case_id = any(%s)", (list(cases),))
        return [CaseId(case) for (case,) in rows]

    def noted_pos(self) -> int:
        """0 at first."""
        return int(self._rows("select noted_pos from web.steward")[0][0])

    def has_news_from_below(self, after_pos: int, upto_pos: int) -> bool:
        """By the first that is found."""
        return bool(self._rows(_NEWS_FROM_BELOW, (after_pos, upto_pos)))

    def grown(self, after_pos: int, upto_pos: int) -> Sequence[Grown]:
        """By origin."""
        return [Grown(origin, size, bytes(root)) for origin, size, root in self._rows(_GROWN, (after_pos, upto_pos))]

    def keep_letter(self, letter: Letter) -> None:
        """Once."""
        self._execute(
            "insert into web.organ_item (log_id, seq, item, received_us) values (%s, %s, %s, %s)"
            " on conflict do nothing",
            (*letter.leaf, letter.item, letter.received_us),
        )

    def letters(self) -> list[Letter]:
        """Oldest first."""
        rows = self._rows("select log_id, seq, item, received_us from web.organ_item order by received_us, log_id, seq")
        return [Letter(Leaf(log_id, seq), item, received_us) for log_id, seq, item, received_us in rows]

    def letter(self, leaf: Leaf) -> tuple[bytes, bytes] | None:
        """Both, or neither."""
        rows = self._rows(_LETTER, leaf)
        return (bytes(rows[0][0]), bytes(rows[0][1])) if rows else None

    def _rows(self, query: LiteralString, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._connect() as conn:
            return conn.execute(query, params).fetchall()

    def _execute(self, statement: LiteralString, params: Sequence[object] = ()) -> None:
        with self._connect() as conn:
            conn.execute(statement, params)


def skip_numbers(conn: psycopg.Connection[Any], made_us: int) -> None:
    """For a database from a backup of `made_us`: some numbers were given since, on papers that people hold.

    What the node had not sent up when it was lost nobody knows any more, so its superior cannot tell which.
    """
    _skip(conn, SKIPPED, made_us)


def skip_numbers_of_shards(conn: psycopg.Connection[Any], shard: int, now_us: int) -> None:
    """For the empty database of a node that lost its disk: the numbers of every shard before are left out."""
    _skip(conn, (shard - 1) * SKIPPED_A_SHARD, now_us)


def _skip(conn: psycopg.Connection[Any], skipped: int, from_us: int) -> None:
    conn.execute(_SKIP, {"kinds": list(WORDS), "skipped": skipped, "from": shanghai_date(from_us).year})
