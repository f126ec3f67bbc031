"""Children, their downward sequences, what waits and what went wrong, on PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import LiteralString
from uuid import UUID

from domain.divisions import Division
from domain.keys import LAST_COPY_US
from sync.exchange.acts import KEEP_CERTIFICATE
from sync.exchange.channel import up_lane
from sync.exchange.downlink import ChildState, Numbered
from sync.exchange.faults import EVIDENCE_BYTES, FAULTS_PER_CHILD, MORE_FAULTS, PROVEN, Fault
from sync.exchange.inbox_store import Parked
from sync.exchange.introducing import Learned
from sync.exchange.outbox import RELAYED, REWOUND
from sync.exchange.returning import Returning
from sync.exchange.waiting_parts import WaitingFrame, WaitingItems
from sync.exchange.wire import Enclosure, Held, Item, encode
from sync.proofs.postgres_trees import Statements, columns

# One statement, because what it is written among is sent without reading: beyond the bound, what is new of a child
# is counted in one row of its lane.
_FAULTS: LiteralString = """
with given as (
    select u.*, fault.kind is not null or u.child = '' or u.kind = any(%b::text[]) as has_place
    from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::bigint[], %b::bigint[])
        as u (kind, subject, child, detail, evidence, count, now_us)
    left join fault using (kind, subject)
), kept as (
    select child, count(*) as rows from fault where child in (select child from given where not has_place) group by 1
), ranked as (
    select given.*, coalesce(kept.rows, 0) + row_number() over (partition by child, has_place order by kind, subject)
        <= %b::bigint or has_place as fits
    from given left join kept using (child)
)
insert into fault (kind, subject, child, detail, evidence, count, first_us, last_us)
select kind, subject, child, detail, evidence, count, now_us, now_us from ranked where fits
union all
select %b::text, 'up.' || child, child, max(detail), ''::bytea, sum(count)::bigint, max(now_us), max(now_us)
from ranked where not fits group by child
order by 1, 2
on conflict (kind, subject) do update
set count = fault.count + excluded.count, last_us = excluded.last_us, detail = excluded.detail, healed_us = null"""

_ENQUEUE: LiteralString = """
with numbered as (
    insert into child (division, down_size, down_acked, heard_us) values (%b, 1, 0, 0)
    on conflict (division) do update set down_size = child.down_size + 1
    returning division, down_size
)
insert into down (child, seq, items, at_us) select division, down_size, %b, %b from numbered"""

_REWIND: LiteralString = """
update tracking set notification_id = least(notification_id, (
    select min(ledger.pos) - 1 from unnest(%b::int[], %b::bigint[]) as wish (log_id, seq)
    join ledger on ledger.log_id = wish.log_id and ledger.seq = wish.seq
)) where application_name = %b"""

_TRACK: LiteralString = """
insert into tracking (application_name, notification_id) values (%b, %b)
on conflict (application_name) do update set notification_id = excluded.notification_id"""

_COUNT: LiteralString = """
insert into tracking (application_name, notification_id) values (%b, 1)
on conflict (application_name) do update set notification_id = tracking.notification_id + 1"""

_DOWN_SEQ = "exchange.down"


class PostgresLinks(Statements):
    """See the protocols in inbox_store, arrivals, downlink and outbox of this folder for what each does."""

    # --- the children ---------------------------------------------------------------------------------------------

    def heard(self, child: Division, offset: int, now_us: int) -> None:
        """Its lane is dealt with up to here."""
        self.do(
            "insert into child (division, down_size, down_acked, heard_us) values (%b, 0, 0, %b)"
            " on conflict (division) do update set heard_us = excluded.heard_us",
            (child, now_us),
        )
        self.do(_TRACK, (up_lane(child), offset))

    def enqueue(self, child: Division, items: Sequence[Item], now_us: int) -> None:
        """The next number."""
        self.do(_ENQUEUE, (child, encode(list(items)), now_us))

    def acknowledged(self, child: Division, down_seq: int, knows: int) -> None:
        """Never beyond what it was sent, never back."""
        self.do(
            "update child set down_acked = greatest(down_acked, least(down_size, %b)), knows = %b where division = %b",
            (down_seq, knows, child),
        )

    def ask_down(self, child: Division, from_seq: int) -> None:
        """From this number on again."""
        self.do("update child set down_from = greatest(1, %b) where division = %b", (from_seq, child))

    def resuming(self, child: Division) -> None:
        """Its wish is being followed."""
        self.do("update child set down_from = null where division = %b", (child,))

    def children(self) -> list[ChildState]:
        """In order of division."""
        rows = self.rows("select division, down_size, down_acked, down_from from child order by division")
        return [ChildState(Division(division), *rest) for division, *rest in rows]

    def down_rows(self, child: Division, after: int, limit: int) -> list[Numbered]:
        """In order."""
        query: LiteralString = "select seq, items from down where child = %b and seq > %b order by seq limit %b"
        return [Numbered(*row) for row in self.rows(query, (child, after, limit))]

    def forget_down(self, older_than_us: int, gone: Sequence[Division]) -> None:
        """Acknowledged numbers, and all of who is gone."""
        self.do(
            "delete from down using child where down.child = child.division and down.at_us < %b"
            " and (down.seq <= child.down_acked or (down.child = any(%b) and child.heard_us < %b))",
            (older_than_us, list(gone), older_than_us),
        )

    def waiting_items(self, mentioned: bytes) -> list[WaitingItems]:
        """Not acknowledged yet."""
        rows = self.rows(
            "select down.child, down.seq, down.items from down join child on child.division = down.child"
            " where down.seq > child.down_acked and position(%b::bytea in down.items) > 0 for update of down",
            (mentioned,),
        )
        return [WaitingItems(Division(child), seq, bytes(items)) for child, seq, items in rows]

    def replace_items(self, items: WaitingItems) -> None:
        """Of the same number."""
        self.do("update down set items = %b where child = %b and seq = %b", (items.items, items.child, items.seq))

    def number_from(self, child: Division, number: int) -> None:
        """One that was told something goes on from there."""
        self.do(
            "insert into child (division, down_size, down_acked, heard_us) values (%b, %b, %b, 0)"
            " on conflict do nothing",
            (child, number, number),
        )

    def begin_return(self, child: Division, nonce: bytes) -> bool:
        """A question that is known changes nothing."""
        begun = self.rows(
            "insert into giving_back as known (child, nonce, pos) values (%b, %b, 0) on conflict (child) do update"
            " set nonce = excluded.nonce, pos = 0 where known.nonce <> excluded.nonce returning child",
            (child, nonce),
        )
        if begun:
            self.do("delete from down where child = %b", (child,))
            self.do("update child set down_acked = down_size, down_from = null where division = %b", (child,))
        return bool(begun)

    def returning(self) -> list[Returning]:
        """In order."""
        rows = self.rows("select child, nonce, pos from giving_back where pos >= 0 order by child")
        return [Returning(Division(child), bytes(nonce), pos) for child, nonce, pos in rows]

    def is_returning(self) -> frozenset[Division]:
        """By division."""
        return frozenset(one.child for one in self.returning())

    def moved_return(self, child: Division, pos: int) -> None:
        """Up to here."""
        self.do("update giving_back set pos = %b where child = %b", (pos, child))

    def end_return(self, child: Division) -> None:
        """The question is kept, so that its repetition begins nothing."""
        self.do("update giving_back set pos = -1 where child = %b", (child,))

    # --- the parent -----------------------------------------------------------------------------------------------

    def down_seq(self) -> int:
        """The last number dealt with."""
        rows = self.rows("select notification_id from tracking where application_name = %b", (_DOWN_SEQ,))
        return int(rows[0][0]) if rows else 0

    def arrived(self, lane: str, offset: int, down_seq: int) -> None:
        """Lane and number."""
        self.do(_TRACK, (lane, offset))
        self.do(_TRACK, (_DOWN_SEQ, down_seq))

    def keep_unread(self, seq: int, num: int, item: bytes, now_us: int) -> None:
        """One that is kept already stays; those that no backup holds any more go."""
        self.do("delete from unread where at_us < %b", (now_us - LAST_COPY_US,))
        self.do("insert into unread values (%b, %b, %b, %b) on conflict do nothing", (seq, num, item, now_us))

    def unread(self) -> list[tuple[int, int, bytes]]:
        """In order."""
        return [
            (seq, num, bytes(item)) for seq, num, item in self.rows("select seq, num, item from unread order by 1, 2")
        ]

    def read_at_last(self, seq: int, num: int) -> None:
        """It is kept no longer."""
        self.do("delete from unread where seq = %b and num = %b", (seq, num))

    def acknowledge_log(self, log_id: int, size: int) -> None:
        """The parent holds it up to here."""
        self.do(
            "update tree set acked_size = least(size, greatest(acked_size, %b)), refused = null where log_id = %b",
            (size, log_id),
        )

    def refuse_log(self, log_id: int, reason: str) -> None:
        """The parent takes no more."""
        self.do("update tree set refused = %b where log_id = %b", (reason, log_id))

    def send_again(self, log_id: int, from_seq: int) -> None:
        """Back to the row of that leaf."""
        self.do(
            "update tree set refused = null, acked_size = least(acked_size, %b) where log_id = %b", (from_seq, log_id)
        )
        self._rewind([(log_id, from_seq)])

    def lift_refusals(self) -> bool:
        """Back to the first row that was passed over."""
        lifted = self.rows("update tree set refused = null where refused is not null returning log_id, acked_size")
        if lifted:
            self._rewind(lifted)
        return bool(lifted)

    def _rewind(self, wishes: Sequence[Sequence[object]]) -> None:
        self.do(_REWIND, (*columns(wishes, 2), RELAYED))
        self.do(_COUNT, (REWOUND,))

    def keep_enclosure(self, log_id: int, enclosure: Enclosure) -> None:
        """A later one for others adds to whom."""
        self.do(
            "insert into enclosure (log_id, seq, addressed, proof, checkpoint) values (%b, %b, %b, %b, %b)"
            " on conflict (log_id, seq) do update set addressed = array("
            " select distinct unnest(enclosure.addressed || excluded.addressed) order by 1)",
            (log_id, enclosure.seq, enclosure.to, b"".join(enclosure.proof), enclosure.checkpoint),
        )

    def ask_held(self, nonce: bytes) -> None:
        """A new question takes the place of an older one."""
        self.do("delete from held")
        self.do("insert into held (nonce) values (%b)", (nonce,))

    def held(self) -> tuple[bytes, int | None] | None:
        """The question's nonce and the answer's size, null until it came; None where nobody asked."""
        rows = self.rows("select nonce, size from held")
        return (bytes(rows[0][0]), rows[0][1]) if rows else None

    def answered(self, held: Held) -> bool:
        """False where nobody asked with this nonce."""
        return bool(
            self.rows(
                "update held set size = %b, note = %b where nonce = %b and size is null returning size",
                (held.size, held.checkpoint, held.nonce),
            )
        )

    # --- what waits, what went wrong, who is trusted --------------------------------------------------------------

    def park(self, frame: Parked, now_us: int) -> None:
        """In place of another one of the same log and first leaf."""
        self.do(
            "insert into parked (log, first, lane, reason, wants_log, wants_size, record, at_us)"
            " values (%b, %b, %b, %b, %b, %b, %b, %b) on conflict (log, first) do update set lane = excluded.lane,"
            " reason = excluded.reason, wants_log = excluded.wants_log, wants_size = excluded.wants_size,"
            " record = excluded.record",
            (
                frame.log,
                frame.first,
                frame.child,
                frame.reason,
                frame.wants_log,
                frame.wants_size,
                frame.record,
                now_us,
            ),
        )

    def unpark(self, sizes: Mapping[str, int]) -> list[Parked]:
        """In order of log and first."""
        rows = self.rows(
            "delete from parked using unnest(%b::text[], %b::bigint[]) as held (log, size)"
            " where wants_log = held.log and wants_size <= held.size"
            " returning parked.log, first, lane, reason, wants_log, wants_size, record",
            (list(sizes), list(sizes.values())),
        )
        return sorted((Parked(*row) for row in rows), key=lambda parked: (parked.log, parked.first))

    def parked_load(self, child: Division) -> tuple[int, int]:
        """Frames and bytes."""
        query: LiteralString = (
            "select count(*), coalesce(sum(octet_length(record)), 0)::bigint from parked where lane = %b"
        )
        ((count, size_bytes),) = self.rows(query, (child,))
        return count, size_bytes

    def is_parked(self, log: str, upto: int) -> bool:
        """Whether one that starts at or before `upto` waits."""
        return bool(self.rows("select 1 from parked where log = %b and first <= %b limit 1", (log, upto)))

    def parked_records(self, log: str) -> list[bytes]:
        """In order of first."""
        rows = self.rows("select record from parked where log = %b order by first", (log,))
        return [bytes(record) for (record,) in rows]

    def waiting_frames(self) -> list[WaitingFrame]:
        """All that are parked."""
        rows = self.rows("select log, first, record from parked for update")
        return [WaitingFrame(log, first, bytes(record)) for log, first, record in rows]

    def replace_frame(self, frame: WaitingFrame) -> None:
        """Of the same log and first leaf."""
        self.do("update parked set record = %b where log = %b and first = %b", (frame.record, frame.log, frame.first))

    def fault(self, faults: Sequence[Fault], now_us: int) -> None:
        """One row per kind and subject, in an order in which two transactions cannot block each other; see faults."""
        found: dict[tuple[str, str], tuple[Fault, int]] = {}
        for fault in faults:
            key = (fault.kind, fault.subject)
            first, count = found.get(key, (fault, 0))
            found[key] = (first, count + 1)
        rows = [
            (kind, subject, fault.child, _storable(fault.detail), fault.evidence[:EVIDENCE_BYTES], count, now_us)
            for (kind, subject), (fault, count) in sorted(found.items(), key=lambda item: item[0])
        ]
        self.do(_FAULTS, (list(PROVEN), *columns(rows, 7), FAULTS_PER_CHILD, MORE_FAULTS))

    def forget_faults(self, older_than_us: int) -> None:
        """What is over for so long, and the count of what found no room, once nothing was added for so long."""
        self.do(
            "delete from fault where healed_us < %b or (kind = %b and last_us < %b)",
            (older_than_us, MORE_FAULTS, older_than_us),
        )

    def heal(self, kinds: Sequence[str], subjects: Sequence[str], now_us: int) -> None:
        """These are over."""
        self.do(
            "update fault set healed_us = %b where kind = any(%b) and subject = any(%b) and healed_us is null",
            (now_us, list(kinds), list(subjects)),
        )

    def open_faults(self, subject: str) -> frozenset[str]:
        """The kinds that are not over."""
        rows = self.rows("select kind from fault where subject = %b and healed_us is null", (subject,))
        return frozenset(kind for (kind,) in rows)

    def keep_certificate(self, division: Division, serial: int, text: str) -> None:
        """One that holds, in place of one with its number that did not."""
        self.do(KEEP_CERTIFICATE, (division, serial, text))

    def certificates(self) -> list[str]:
        """All of them."""
        return [text for (text,) in self.rows("select body from certificate order by serial, division")]

    def onward(self, streams: Sequence[UUID]) -> dict[UUID, Division]:
        """Those for nobody below are left out."""
        rows = self.rows("select stream, division from onward where stream = any(%b)", (list(streams),))
        return {stream: Division(division) for stream, division in rows}

    def certificates_between(self, after: int, upto: int | None, limit: int | None) -> list[Learned]:
        """In the order in which they became known."""
        query: LiteralString = (
            "select num, body from certificate where num > %b and (%b::bigint is null or num <= %b)"
            " order by num limit %b"
        )
        return [Learned(*row) for row in self.rows(query, (after, upto, upto, limit))]


def _storable(text: str) -> str:
    """Foreign words as a text column can hold them."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")[:2_000]
