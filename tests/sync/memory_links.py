"""The children, the parent, what waits, what went wrong and who is trusted, in memory."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from domain.divisions import Division
from domain.keys import LAST_COPY_US
from sync.exchange.channel import up_lane
from sync.exchange.dispatch import Enclosed
from sync.exchange.downlink import ChildState, Numbered
from sync.exchange.faults import EVIDENCE_BYTES, FAULTS_PER_CHILD, MORE_FAULTS, PROVEN, Fault
from sync.exchange.inbox_store import Parked
from sync.exchange.introducing import Learned as LearnedCertificate
from sync.exchange.outbox import RELAYED, REWOUND
from sync.exchange.returning import Returning
from sync.exchange.waiting_parts import WaitingFrame, WaitingItems
from sync.exchange.wire import Enclosure, Held, Item, encode
from tests.sync.memory_tables import Standing
from tests.sync.memory_trees import NO_END, MemoryTrees, first_of


class MemoryLinks(MemoryTrees):
    """Children, the parent, what waits, what went wrong, who is trusted; see the protocols of sync.exchange."""

    def children(self) -> list[ChildState]:
        return [state for _, state in sorted(self.tables.children.items())]

    def _child(self, child: Division) -> ChildState:
        self.tables.heard_us.setdefault(child, 0)
        return self.tables.children.setdefault(child, ChildState(child, 0, 0, None))

    def heard(self, child: Division, offset: int, now_us: int) -> None:
        self._child(child)
        self.tables.heard_us[child] = now_us
        self.tables.tracking[up_lane(child)] = offset

    def enqueue(self, child: Division, items: Sequence[Item], now_us: int) -> None:
        state = self._child(child)
        self.tables.children[child] = state._replace(down_size=state.down_size + 1)
        self.tables.down[child, state.down_size + 1] = (encode(list(items)), now_us)

    def acknowledged(self, child: Division, down_seq: int, _: int) -> None:
        if (state := self.tables.children.get(child)) is not None:
            acked = max(state.down_acked, min(state.down_size, down_seq))
            self.tables.children[child] = state._replace(down_acked=acked)

    def ask_down(self, child: Division, from_seq: int) -> None:
        if (state := self.tables.children.get(child)) is not None:
            self.tables.children[child] = state._replace(down_from=max(1, from_seq))

    def resuming(self, child: Division) -> None:
        if (state := self.tables.children.get(child)) is not None:
            self.tables.children[child] = state._replace(down_from=None)

    def down_rows(self, child: Division, after: int, limit: int) -> list[Numbered]:
        keys = self.tables.down.between((child, after + 1), (child, NO_END))[:limit]
        return [Numbered(key[1], self.tables.down[key][0]) for key in keys]

    def forget_down(self, older_than_us: int, gone: Sequence[Division]) -> None:
        for (child, seq), (_, at_us) in [*self.tables.down.items()]:
            is_acked = seq <= self.tables.children[child].down_acked
            is_gone = child in gone and self.tables.heard_us[child] < older_than_us
            if at_us < older_than_us and (is_acked or is_gone):
                del self.tables.down[child, seq]

    def number_from(self, child: Division, number: int) -> None:
        self.tables.heard_us.setdefault(child, 0)
        self.tables.children.setdefault(child, ChildState(child, number, number, None))

    def begin_return(self, child: Division, nonce: bytes) -> bool:
        known = self.tables.returning.get(child)
        if known is not None and known.nonce == nonce:
            return False
        self.tables.returning[child] = Returning(child, nonce, 0)
        for place in [place for place in self.tables.down if place[0] == child]:
            del self.tables.down[place]
        state = self._child(child)
        self.tables.children[child] = state._replace(down_acked=state.down_size, down_from=None)
        return True

    def returning(self) -> list[Returning]:
        return [one for _, one in sorted(self.tables.returning.items()) if one.pos >= 0]

    def is_returning(self) -> frozenset[Division]:
        return frozenset(one.child for one in self.returning())

    def moved_return(self, child: Division, pos: int) -> None:
        self.tables.returning[child] = self.tables.returning[child]._replace(pos=pos)

    def end_return(self, child: Division) -> None:
        self.moved_return(child, -1)

    def down_seq(self) -> int:
        return self.tables.tracking.get("down", 0)

    def arrived(self, lane: str, offset: int, down_seq: int) -> None:
        self.tables.tracking[lane] = offset
        self.tables.tracking["down"] = down_seq

    def acknowledge_log(self, log_id: int, size: int) -> None:
        tree = self.tables.trees[log_id]
        acked = min(tree.size, max(tree.acked_size, size))
        self.tables.trees[log_id] = msgspec.structs.replace(tree, acked_size=acked, refused=None)

    def refuse_log(self, log_id: int, reason: str) -> None:
        self.tables.trees[log_id] = msgspec.structs.replace(self.tables.trees[log_id], refused=reason)

    def send_again(self, log_id: int, from_seq: int) -> None:
        tree = self.tables.trees[log_id]
        acked = min(tree.acked_size, from_seq)
        self.tables.trees[log_id] = msgspec.structs.replace(tree, acked_size=acked, refused=None)
        self._rewind([(log_id, from_seq)])

    def lift_refusals(self) -> bool:
        lifted = [tree for tree in self.tables.trees.values() if tree.refused is not None]
        for tree in lifted:
            self.tables.trees[tree.log_id] = msgspec.structs.replace(tree, refused=None)
        if lifted:
            self._rewind([(tree.log_id, tree.acked_size) for tree in lifted])
        return bool(lifted)

    def _rewind(self, wishes: Sequence[tuple[int, int]]) -> None:
        places = self.tables.ledger.places
        wished = [places[wish].pos - 1 for wish in wishes if wish in places]
        if RELAYED in self.tables.tracking:
            self.tables.tracking[RELAYED] = min([self.tables.tracking[RELAYED], *wished])
        self.tables.tracking[REWOUND] = self.tables.tracking.get(REWOUND, 0) + 1

    def keep_enclosure(self, log_id: int, enclosure: Enclosure) -> None:
        place = (log_id, enclosure.seq)
        known = self.tables.enclosures.get(place)
        if known is None:
            self.tables.enclosures[place] = Enclosed([*enclosure.to], enclosure.proof, enclosure.checkpoint)
        else:
            self.tables.enclosures[place] = known._replace(addressed=sorted({*known.addressed, *enclosure.to}))

    def ask_held(self, nonce: bytes) -> None:
        self.tables.question.clear()
        self.tables.question[nonce] = None

    def held(self) -> tuple[bytes, int | None] | None:
        return next(iter(self.tables.question.items()), None)

    def answered(self, held: Held) -> bool:
        is_open = held.nonce in self.tables.question and self.tables.question[held.nonce] is None
        if is_open:
            self.tables.question[held.nonce] = held.size
        return is_open

    def keep_unread(self, seq: int, num: int, item: bytes, now_us: int) -> None:
        for place, (_, at_us) in [*self.tables.unread.items()]:
            if at_us < now_us - LAST_COPY_US:
                del self.tables.unread[place]
        self.tables.unread.setdefault((seq, num), (item, now_us))

    def unread(self) -> list[tuple[int, int, bytes]]:
        return [(seq, num, item) for (seq, num), (item, _) in sorted(self.tables.unread.items())]

    def read_at_last(self, seq: int, num: int) -> None:
        if (seq, num) in self.tables.unread:
            del self.tables.unread[seq, num]

    def park(self, frame: Parked, _: int) -> None:
        self.tables.parked[frame.log, frame.first] = frame

    def unpark(self, sizes: Mapping[str, int]) -> list[Parked]:
        found = [key for key, frame in self.tables.parked.items() if frame.wants_size <= sizes.get(frame.wants_log, -1)]
        return [self.tables.parked.pop(key) for key in sorted(found)]

    def parked_load(self, child: Division) -> tuple[int, int]:
        records = [frame.record for frame in self.tables.parked.values() if frame.child == child]
        return len(records), sum(map(len, records))

    def is_parked(self, log: str, upto: int) -> bool:
        return any(of == log and first <= upto for of, first in self.tables.parked)

    def parked_records(self, log: str) -> list[bytes]:
        return [frame.record for (of, _), frame in sorted(self.tables.parked.items(), key=first_of) if of == log]

    def waiting_frames(self) -> list[WaitingFrame]:
        return [WaitingFrame(log, first, frame.record) for (log, first), frame in self.tables.parked.items()]

    def replace_frame(self, frame: WaitingFrame) -> None:
        key = (frame.log, frame.first)
        self.tables.parked[key] = msgspec.structs.replace(self.tables.parked[key], record=frame.record)

    def waiting_items(self, mentioned: bytes) -> list[WaitingItems]:
        return [
            WaitingItems(child, seq, items)
            for (child, seq), (items, _) in self.tables.down.items()
            if mentioned in items and seq > self.tables.children[child].down_acked
        ]

    def replace_items(self, items: WaitingItems) -> None:
        _, at_us = self.tables.down[items.child, items.seq]
        self.tables.down[items.child, items.seq] = (items.items, at_us)

    def fault(self, faults: Sequence[Fault], now_us: int) -> None:
        given: dict[tuple[str, str], tuple[Fault, int]] = {}
        for fault in faults:
            first, count = given.get((fault.kind, fault.subject), (fault, 0))
            given[fault.kind, fault.subject] = (first, count + 1)
        held = [standing.child for standing in self.tables.faults.values()]
        room = {fault.child: FAULTS_PER_CHILD - held.count(fault.child) for fault in faults}
        for (kind, subject), (fault, count) in sorted(given.items(), key=first_of):
            if (kind, subject) not in self.tables.faults and fault.child and kind not in PROVEN:
                room[fault.child] -= 1
                if room[fault.child] < 0:
                    self._count(MORE_FAULTS, up_lane(Division(fault.child)), fault, b"", count, now_us)
                    continue
            self._count(kind, subject, fault, fault.evidence[:EVIDENCE_BYTES], count, now_us)

    def _count(self, kind: str, subject: str, fault: Fault, evidence: bytes, count: int, now_us: int) -> None:
        stands = self.tables.faults.get(
            (kind, subject), Standing(fault.child, fault.detail, evidence, 0, now_us, now_us, None)
        )
        self.tables.faults[kind, subject] = stands._replace(
            times=stands.times + count, detail=fault.detail, last_us=now_us, healed_us=None
        )

    def heal(self, kinds: Sequence[str], subjects: Sequence[str], now_us: int) -> None:
        for (kind, subject), stands in [*self.tables.faults.items()]:
            if kind in kinds and subject in subjects and stands.healed_us is None:
                self.tables.faults[kind, subject] = stands._replace(healed_us=now_us)

    def open_faults(self, subject: str) -> frozenset[str]:
        return frozenset(
            kind for (kind, of), stands in self.tables.faults.items() if of == subject and stands[-1] is None
        )

    def forget_faults(self, older_than_us: int) -> None:
        for (kind, subject), stands in [*self.tables.faults.items()]:
            is_over = stands.healed_us is not None and stands.healed_us < older_than_us
            if is_over or (kind == MORE_FAULTS and stands.last_us < older_than_us):
                del self.tables.faults[kind, subject]

    def keep_certificate(self, division: Division, serial: int, text: str) -> None:
        known = self.tables.certificates.get((division, serial))
        if known is None or known.text != text:
            last = max((other.num for other in self.tables.certificates.values()), default=0)
            self.tables.certificates[division, serial] = LearnedCertificate(last + 1, text)

    def certificates(self) -> list[str]:
        ordered = sorted(self.tables.certificates.items(), key=lambda item: (item[0][1], item[0][0]))
        return [known.text for _, known in ordered]

    def certificates_between(self, after: int, upto: int | None, limit: int | None) -> list[LearnedCertificate]:
        ordered = sorted(self.tables.certificates.values())
        return [known for known in ordered if after < known.num and (upto is None or known.num <= upto)][:limit]

    def onward(self, streams: Sequence[UUID]) -> dict[UUID, Division]:
        return {stream: self.tables.onward[stream] for stream in streams if stream in self.tables.onward}
