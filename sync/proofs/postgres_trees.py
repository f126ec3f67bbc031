"""Trees, heads and cosignatures on PostgreSQL: the rows behind every proof."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, LiteralString

import psycopg

from domain.divisions import Division
from domain.shards import shard_of
from sync.ledger.reader import register_log
from sync.proofs.merkle import Frontier
from sync.proofs.note import Verifier, encode64
from sync.proofs.tree import Growth, LastCosigned, Latest, SignedHead, Tree, TreeMoved

_TREE: LiteralString = """
select tree.log_id, log.origin, tree.frontier, tree.frozen, tree.acked_size, tree.refused
from tree join log on log.id = tree.log_id """

_GROW: LiteralString = """
with moved as (
    update tree set size = u.size, frontier = u.frontier
    from unnest(%b::int[], %b::bigint[], %b::bigint[], %b::bytea[]) as u (log_id, old_size, size, frontier)
    where tree.log_id = u.log_id and tree.size = u.old_size
    returning 1
), tiles as (
    insert into tile (log_id, level, num, hash)
    select * from unnest(%b::int[], %b::smallint[], %b::bigint[], %b::bytea[])
), heads as (
    insert into checkpoint (log_id, size, root, note)
    select * from unnest(%b::int[], %b::bigint[], %b::bytea[], %b::text[])
    on conflict do nothing
)
select count(*) from moved"""

_HEADS: LiteralString = """
select found.log_id, found.size, found.root, found.note
from unnest(%b::int[], %b::bigint[], %b::bigint[]) as span (log_id, first, last)
cross join lateral (
    select * from checkpoint
    where checkpoint.log_id = span.log_id and checkpoint.size > span.first and checkpoint.size <= (
        select min(size) from checkpoint as beyond where beyond.log_id = span.log_id and beyond.size > span.last
    )
) as found
order by found.log_id, found.size"""

_HEADS_BY: LiteralString = """
select size, root, note from checkpoint where log_id = %b and size in (
    select size from cosignature where log_id = %b and size > %b and witness = any(%b)
    group by size having count(*) >= %b order by size """

_KEEP_COSIGNATURES: LiteralString = """
insert into cosignature (log_id, size, witness, line, at_us)
select log_id, size, %b, line, %b from unnest(%b::int[], %b::bigint[], %b::text[]) as u (log_id, size, line)
on conflict (log_id, size, witness) do update set line = excluded.line
where left(split_part(cosignature.line, ' ', 3), 5) <> left(split_part(excluded.line, ' ', 3), 5)"""

_KEEP_LATEST: LiteralString = """
insert into latest_cosignature (log_id, witness, size, line, at_us) values (%b, %b, %b, %b, %b)
on conflict (log_id, witness) do update set size = excluded.size, line = excluded.line, at_us = excluded.at_us"""


class Statements:
    """Prepared, binary statements on one connection."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn

    def rows(self, query: LiteralString, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self.conn.cursor(binary=True) as cursor:
            return cursor.execute(query, params, prepare=True).fetchall()

    def together(self) -> AbstractContextManager[object]:
        """What is written inside is sent in one go, its errors raised at the end; what is read there waits for it."""
        return self.conn.pipeline()

    def do(self, statement: LiteralString, params: Sequence[object] = ()) -> None:
        """Whether it touched a row is not known before the server was waited for: ask `rows` for what it returns."""
        with self.conn.cursor(binary=True) as cursor:
            cursor.execute(statement, params, prepare=True)


class PostgresTrees(Statements):
    """See the protocols of sync.proofs.tree, sync.exchange.inbox_store and sync.exchange.outbox for what each does."""

    def tree(self, log_id: int) -> Tree:
        """LookupError for a log that is not held without a gap."""
        found = self.trees_by_id([log_id]).get(log_id)
        if found is None:
            raise LookupError(f"log {log_id} has no tree here")
        return found

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """By origin."""
        rows = self.rows(_TREE + "where log.origin = any(%b)", (list(origins),))
        return {tree.origin: tree for tree in map(_tree, rows)}

    def trees_by_id(self, log_ids: Iterable[int]) -> dict[int, Tree]:
        """By id."""
        wanted = list(log_ids)
        if not wanted:
            return {}
        return {tree.log_id: tree for tree in map(_tree, self.rows(_TREE + "where tree.log_id = any(%b)", (wanted,)))}

    def all_trees(self) -> list[Tree]:
        """In order of id."""
        return [_tree(row) for row in self.rows(_TREE + "order by log_id")]

    def plant(self, origin: str, division: Division) -> Tree:
        """An empty tree."""
        log_id = self.log_id(origin, division)
        frontier = Frontier()
        self.do(
            "insert into tree (log_id, size, frontier, acked_size) values (%b, 0, %b, 0) on conflict do nothing",
            (log_id, frontier.to_bytes()),
        )
        return Tree(log_id, origin, frontier, None, 0, None)

    def log_id(self, origin: str, division: Division) -> int:
        """The id of a log, given now if it has none."""
        return register_log(self.conn, origin, division, shard_of(origin) or 1)

    def own_log(self) -> int:
        """LookupError where there is none yet."""
        ((log_id,),) = self.rows("select log_id from head")
        if log_id is None:
            raise LookupError("this database has no own log yet")
        return int(log_id)

    def write_log(self, log_id: int, own_size: int) -> None:
        """A writer that has begun is fenced, but for that of a database that had no log yet."""
        moved = self.rows(
            "update head set log_id = %b, own_size = 0, epoch = epoch + (log_id is not null)::int where own_size = %b"
            " returning log_id",
            (log_id, own_size),
        )
        if not moved:
            raise TreeMoved

    def grow(self, growths: Sequence[Growth]) -> None:
        """Trees, subtree hashes and heads, in one statement."""
        tiles = [
            (growth.before.log_id, run.level, number, digest)
            for growth in growths
            for run in growth.tiles
            for number, digest in enumerate(run.hashes, run.start)
        ]
        heads = [(growth.before.log_id, head.size, head.root, head.note) for growth in growths for head in growth.heads]
        trees = [
            (growth.before.log_id, growth.before.size, growth.frontier.size, growth.frontier.to_bytes())
            for growth in growths
        ]
        params = (*columns(trees, 4), *columns(tiles, 4), *columns(heads, 4))
        ((moved,),) = self.rows(_GROW, params)
        if moved != len(growths):
            raise TreeMoved

    def freeze(self, log_id: int, reason: str) -> None:
        """Take no more of this log."""
        self.do("update tree set frozen = %b where log_id = %b", (reason, log_id))

    def thaw(self, log_id: int) -> None:
        """Take more of this log again."""
        self.do("update tree set frozen = null where log_id = %b", (log_id,))

    def hashes(self, log_id: int) -> "LogHashes":
        """Its stored hashes."""
        return LogHashes(self, log_id)

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        """The signed head of exactly this size."""
        rows = self.rows("select size, root, note from checkpoint where log_id = %b and size = %b", (log_id, size))
        return SignedHead(*rows[0]) if rows else None

    def heads(self, spans: Sequence[tuple[int, int, int]]) -> dict[int, list[SignedHead]]:
        """By log."""
        found: dict[int, list[SignedHead]] = {}
        for log_id, *head in self.rows(_HEADS, columns(spans, 3)):
            found.setdefault(log_id, []).append(SignedHead(*head))
        return found

    def head_beyond(self, log_id: int, seq: int) -> SignedHead | None:
        """The smallest head kept beyond leaf `seq`."""
        rows = self.rows(
            "select size, root, note from checkpoint where log_id = %b and size > %b order by size limit 1",
            (log_id, seq),
        )
        return SignedHead(*rows[0]) if rows else None

    def heads_beyond(self, log_id: int, size: int) -> list[SignedHead]:
        """In order."""
        rows = self.rows(
            "select size, root, note from checkpoint where log_id = %b and size > %b order by size", (log_id, size)
        )
        return [SignedHead(*row) for row in rows]

    def put_note(self, log_id: int, size: int, note: str) -> None:
        """The same head, signed otherwise."""
        self.do("update checkpoint set note = %b where log_id = %b and size = %b", (note, log_id, size))

    def head_upto(self, log_id: int, seq: int) -> int:
        """0 where there is none."""
        query: LiteralString = "select coalesce(max(size), 0)::bigint from checkpoint where log_id = %b and size <= %b"
        ((size,),) = self.rows(query, (log_id, seq))
        return int(size)

    def newest_note(self, log_id: int) -> str | None:
        """The signed note of the log's largest head; None before there is one."""
        query: LiteralString = "select note from checkpoint where log_id = %b order by size desc limit 1"
        rows = self.rows(query, (log_id,))
        return str(rows[0][0]) if rows else None

    def cosigned_head(self, log_id: int, seq: int, witness: str) -> SignedHead | None:
        """The smallest one beyond leaf `seq` with a cosignature of `witness`."""
        rows = self.rows(
            "select size, root, note from cosignature join checkpoint using (log_id, size)"
            " where log_id = %b and size > %b and witness = %b order by size limit 1",
            (log_id, seq, witness),
        )
        return SignedHead(*rows[0]) if rows else None

    def newest_cosigned(self, log_id: int) -> SignedHead | None:
        """The largest head that anybody has cosigned."""
        rows = self.rows(
            "select size, root, note from checkpoint where log_id = %b and size = "
            "(select max(size) from cosignature where log_id = %b)",
            (log_id, log_id),
        )
        return SignedHead(*rows[0]) if rows else None

    def cosigned_size(self, log_id: int, witness: str) -> int:
        """The largest size that `witness` has cosigned, or 0."""
        rows = self.rows(
            "select size from cosignature where log_id = %b and witness = %b order by size desc limit 1",
            (log_id, witness),
        )
        return int(rows[0][0]) if rows else 0

    def cosigned_by(self, log_id: int, key: Verifier) -> int:
        """The largest size whose kept cosignature is by this very key, or 0; told by the first 30 bits of its id."""
        rows = self.rows(
            "select size from cosignature where log_id = %b and witness = %b"
            " and left(split_part(line, ' ', 3), 5) = %b order by size desc limit 1",
            (log_id, key.name, encode64(key.key_id)[:5]),
        )
        return int(rows[0][0]) if rows else 0

    def cosigned_since(self, log_id: int, witnesses: Sequence[str], beyond: int) -> int | None:
        """When the first cosignature of any of these over more than `beyond` leaves was kept (UTC microseconds)."""
        ((at_us,),) = self.rows(
            "select min(at_us) from cosignature where log_id = %b and witness = any(%b::text[]) and size > %b",
            (log_id, list(witnesses), beyond),
        )
        return None if at_us is None else int(at_us)

    def cosigned_without(self, leaves: Sequence[tuple[int, int, int]]) -> list[int | None]:
        """For each (log, leaf, moment in UTC microseconds): when the newest head without that leaf that had been
        cosigned by that moment was, by this node's clock."""
        rows = self.rows(
            "select had.at_us from unnest(%b::int[], %b::bigint[], %b::bigint[])"
            " with ordinality as u (log_id, seq, by_us, n) left join lateral (select c.at_us from cosignature c"
            " where c.log_id = u.log_id and c.size <= u.seq and c.at_us <= u.by_us"
            " order by c.size desc, c.at_us limit 1) had on true order by u.n",
            columns(leaves, 3),
        )
        return [at_us for (at_us,) in rows]

    def cosignature_lines(self, log_id: int, size: int) -> list[str]:
        """In order of the witness's name."""
        rows = self.rows(
            "select line from cosignature where log_id = %b and size = %b order by witness", (log_id, size)
        )
        return [line for (line,) in rows]

    def keep_cosignatures(self, witness: str, lines: Sequence[tuple[int, int, str]], now_us: int) -> None:
        """A later one of the same witness for the same head takes its place only where another key signed it."""
        for each in _once_a_head(lines):
            self.do(_KEEP_COSIGNATURES, (witness, now_us, *columns(each, 3)))

    def heads_by(
        self, log_id: int, witnesses: Sequence[str], at_least: int, beyond: int, limit: int, *, newest_first: bool
    ) -> list[SignedHead]:
        """In order of size, either way."""
        order: LiteralString = "desc" if newest_first else "asc"
        query: LiteralString = f"{_HEADS_BY}{order} limit %b) order by size {order}"
        rows = self.rows(query, (log_id, log_id, beyond, list(witnesses), at_least, limit))
        return [SignedHead(*row) for row in rows]

    def keep_latest(self, log_id: int, latest: Latest) -> None:
        """In place of what that witness said before."""
        self.do(_KEEP_LATEST, (log_id, *latest))

    def latest(self, log_id: int, witness: str) -> Latest | None:
        """None before its first word."""
        query: LiteralString = (
            "select witness, size, line, at_us from latest_cosignature where log_id = %b and witness = %b"
        )
        rows = self.rows(query, (log_id, witness))
        return Latest(*rows[0]) if rows else None

    def last_cosigned(self, log_ids: Iterable[int], witness: str) -> dict[int, LastCosigned]:
        """The newest one of each log that has one."""
        rows = self.rows(
            "select distinct on (log_id) log_id, size, root, line from cosignature join checkpoint using (log_id, size)"
            " where log_id = any(%b) and witness = %b order by log_id, size desc",
            (list(log_ids), witness),
        )
        return {log_id: LastCosigned(*rest) for log_id, *rest in rows}


class LogHashes:
    """A HashReader over one log's rows."""

    def __init__(self, statements: Statements, log_id: int) -> None:
        self._statements = statements
        self._log_id = log_id

    def leaf_hashes(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes [start, end)."""
        query: LiteralString = "select leaf from ledger where log_id = %b and seq >= %b and seq < %b order by seq"
        return [bytes(digest) for (digest,) in self._statements.rows(query, (self._log_id, start, end))]

    def entries(self, start: int, end: int) -> list[bytes]:
        """The leaves themselves, [start, end): the bytes that the leaf hashes are of."""
        query: LiteralString = "select body from ledger where log_id = %b and seq >= %b and seq < %b order by seq"
        return [bytes(body) for (body,) in self._statements.rows(query, (self._log_id, start, end))]

    def tile_hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Hashes [start, end) of the complete subtrees of 256**level leaves."""
        query: LiteralString = (
            "select hash from tile where log_id = %b and level = %b and num >= %b and num < %b order by num"
        )
        return [bytes(digest) for (digest,) in self._statements.rows(query, (self._log_id, level, start, end))]


def columns(rows: Sequence[Sequence[object]], width: int) -> tuple[list[object], ...]:
    """Rows as parameters of `unnest`: one list per column."""
    return tuple([row[i] for row in rows] for i in range(width))


def _tree(row: Sequence[Any]) -> Tree:
    log_id, origin, frontier, frozen, acked_size, refused = row
    return Tree(log_id, origin, Frontier.from_bytes(bytes(frontier)), frozen, acked_size, refused)


def _once_a_head(lines: Iterable[tuple[int, int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    """The same in as few parts as it takes that no two lines of one are of the same head: an upsert allows none."""
    rest = list(dict.fromkeys(lines))
    while rest:
        first: dict[tuple[int, int], tuple[int, int, str]] = {}
        later = [line for line in rest if first.setdefault(line[:2], line) is not line]
        yield list(first.values())
        rest = later
