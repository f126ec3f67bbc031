"""What a node makes of what its parent sent: in the order of its numbers, once, each statement checked by itself."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final, Protocol

import msgspec

from domain.divisions import Division
from domain.shards import follows, shard_before, shard_of
from sync.exchange.downlink import pack
from sync.exchange.evidence import split_at
from sync.exchange.faults import (
    OWN_KEYS_REVOKED,
    SUPERIOR_ROLLED_BACK,
    Fault,
    Outlived,
    certified_twice,
    evidence_between,
    evidence_of,
)
from sync.exchange.inbox_store import LearningStore, Part
from sync.exchange.leaf import is_part_of, read_leaf
from sync.exchange.opening import LetterForged, open_letter
from sync.exchange.regaining import Regaining
from sync.exchange.station import Asked, Moment, Station
from sync.exchange.succession import ENDED, has_lost_all
from sync.exchange.wire import (
    AskRange,
    Cosigned,
    Down,
    Enclosure,
    Held,
    Introduction,
    Item,
    ItemUnknown,
    Letter,
    Refused,
    Returned,
    ReturnedAll,
    WireInvalid,
    decode_down,
    decode_item,
    decode_record,
    encode,
)
from sync.ledger.append import Learned
from sync.ledger.rows import FROM_ABOVE
from sync.proofs.merkle import ProofInvalid, leaf_hash, verify_inclusion
from sync.proofs.note import (
    Checkpoint,
    Note,
    NoteInvalid,
    SignatureLine,
    parse_checkpoint,
    parse_note,
    parse_signature_lines,
    verify,
)
from sync.proofs.tree import Growth, SignedHead, Tree, frontier_at
from sync.proofs.witness import RolledBack
from sync.trust.certificates import CertificateRefused, Directory
from sync.trust.statements import MAX_SKEW_US, Revocation, is_newer, read_statement

NUMBERS_A_SHARD: Final = 1 << 48
"""More than a node says to one child before it loses its disk; some 16 000 shards fit."""

ITEM_UNKNOWN: Final = "item_unknown"
"""The kind of the fault that names an item of a newer version: over once an upgrade has read it."""


class ArrivalsStore(LearningStore, Protocol):
    """What the inbox from above needs: one transaction in the order of the ledger."""

    def trees(self, origins: Iterable[str]) -> dict[str, Tree]:
        """The trees among these logs that are held without a gap."""

    def head_at(self, log_id: int, size: int) -> SignedHead | None:
        """The signed head of exactly this size, if one was kept."""

    def down_seq(self) -> int:
        """The last number of the parent's sequence that is dealt with."""

    def arrived(self, lane: str, offset: int, down_seq: int) -> None:
        """Everything up to this offset and this number is dealt with."""

    def log_id(self, origin: str, division: Division) -> int:
        """The local id of a log, given now if it has none."""

    def known_leaves(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """(log_id, seq) -> leaf hash of those that the ledger holds."""

    def keep_enclosure(self, log_id: int, enclosure: Enclosure) -> None:
        """How a leaf is proven and for whom it came; a later one for others adds to whom."""

    def keep_unread(self, seq: int, num: int, item: bytes, now_us: int) -> None:
        """Keep an item that this program cannot read, for the one that comes after it."""

    def unread(self) -> list[tuple[int, int, bytes]]:
        """(number, index, bytes) of every item that is kept so, in order."""

    def read_at_last(self, seq: int, num: int) -> None:
        """Keep this one no longer."""

    def acknowledge_log(self, log_id: int, size: int) -> None:
        """The parent holds this log up to `size`; a refusal is over."""

    def all_trees(self) -> list[Tree]:
        """Every tree that is held."""

    def refuse_log(self, log_id: int, reason: str) -> None:
        """The parent takes no more of this log."""

    def send_again(self, log_id: int, from_seq: int) -> None:
        """The parent wants this log again from this leaf on; a refusal is over."""

    def heal(self, kinds: Sequence[str], subjects: Sequence[str], now_us: int) -> None:
        """These faults are over."""

    def answered(self, held: Held) -> bool:
        """Keep the parent's answer; False where nobody asked with this nonce."""

    def held(self) -> tuple[bytes, int | None] | None:
        """The question's nonce and the answer's size, null until it came; None where nobody asked."""

    def plant(self, origin: str, division: Division) -> Tree:
        """An empty tree for a log that has none."""

    def grow(self, growths: Sequence[Growth]) -> None:
        """Apply all of them or raise TreeMoved."""

    def freeze(self, log_id: int, reason: str) -> None:
        """Take no more of this log."""

    def sparse(self, sizes: Mapping[int, int]) -> dict[tuple[int, int], bytes]:
        """(log_id, seq) -> leaf hash of what is known of these logs beyond their sizes, learned from above."""

    def number_from(self, child: Division, number: int) -> None:
        """Its sequence goes on from this number, unless it was told anything yet."""

    def is_returning(self) -> frozenset[Division]:
        """The children that are being given back what they lost, what comes from above for them too in its turn."""


class Arrived(msgspec.Struct, frozen=True):
    """down_seq: to acknowledge. ask_from: the number missing, to be asked for, or null."""

    directory: Directory
    down_seq: int
    ask_from: int | None


def receive_down(
    store: ArrivalsStore,
    station: Station,
    records: Sequence[bytes],
    lane: str,
    offset: int,
    directory: Directory,
    asked: Asked,
    moment: Moment,
) -> Arrived:
    """Take `records` of the lane from the parent, in order, in the store's one transaction.

    offset: how far the lane is dealt with by this. Safe to repeat: a number that is dealt with changes nothing.
    """
    batch = _Batch(store, station, directory, moment)
    for record in records:
        batch.take(record)
    batch.finish(lane, offset)
    ask = batch.missing_from
    if ask is not None and not asked.may_ask("down", moment.elapsed_s):
        ask = None
    return Arrived(batch.directory, batch.down_seq, ask)


def look_again(store: ArrivalsStore, station: Station, directory: Directory, moment: Moment) -> Directory:
    """Take what an earlier program could not read and this one can, in the store's one transaction."""
    batch = _Batch(store, station, directory, moment)
    batch.take_unread()
    batch.write()
    return batch.directory


def _via(learned: tuple[int, Learned]) -> int:
    return learned[0]


def _is_returning(store: ArrivalsStore, station: Station, directory: Directory) -> bool:
    """Whether this node has lost its disk and not everything is back yet."""
    held = store.held()
    return held is not None and held[1] is None and has_lost_all(store, station.origin, directory)


class _Batch:
    def __init__(self, store: ArrivalsStore, station: Station, directory: Directory, moment: Moment) -> None:
        self.directory = directory
        self.down_seq = store.down_seq()
        self.missing_from: int | None = None
        self._store = store
        self._station = station
        self._moment = moment
        self._parent = directory.topology.parents[station.here]
        self._faults: list[Fault] = []
        self._onward: dict[Division, list[Item]] = {}
        self._trees: dict[str, Tree | None] = {}
        self._lines: dict[str, list[tuple[int, int, str]]] = {}
        self._acked: dict[int, int] = {}
        self._learned: dict[tuple[int, int], tuple[int, Learned]] = {}
        self._parts: list[Part] = []
        self._papers: list[str] = []
        self._is_answered = False
        self._taken_again: set[str] = set()
        self._rolled_back: set[str] = set()
        self._regaining: Regaining | None = None
        self._is_returning = _is_returning(store, station, directory)

    def take(self, record: bytes) -> None:
        """Decide one record: the next number, one that was dealt with, one beyond a gap, or nothing at all."""
        try:
            letter = decode_record(record)
            if not isinstance(letter, Letter):
                self._fault("wire_invalid", "down", "a frame came from above", evidence_of(record))
                return
            if letter.sender in self.directory.former_parents(self._station.here):
                return  # left in the lane; whatever counts of it comes from where this node stands now
            checked = open_letter(letter, self._parent, self._station.here, self.directory, self._moment.now_us)
            down = decode_down(checked.body)
        except WireInvalid as error:
            self._fault("wire_invalid", "down", str(error), evidence_of(record))
        except LetterForged as error:
            self._fault("letter_forged", "down", str(error), evidence_of(record))
        else:
            self._introduced(checked.papers)
            self._papers += checked.papers
            self._take_number(down)

    def _take_number(self, down: Down) -> None:
        if down.seq <= self.down_seq:
            return
        if down.after > self.down_seq:
            self.missing_from = self.down_seq + 1
            return
        if self.down_seq < down.seq - 1 and not self._is_returning:
            lost = f"numbers {self.down_seq + 1} to {down.seq - 1} are lost above"
            self._fault("down_lost", f"down#{self.down_seq + 1}", lost)
            self._offer_again()
        for num, raw in enumerate(down.items):
            self._take_raw(down.seq, num, bytes(raw))
        self.down_seq = down.seq
        self.missing_from = None

    def _offer_again(self) -> None:
        """The parent was put back to an older state: of each log it is sent the last leaves that it had acknowledged,
        and asks for the rest where it lacks more, also of a log that nobody writes in any longer."""
        self._acked.clear()
        for tree in self._store.all_trees():
            if tree.acked_size:
                self._store.send_again(tree.log_id, tree.acked_size - 1)

    def take_unread(self) -> None:
        """Look once more at what could not be read when it came."""
        for seq, num, raw in self._store.unread():
            self._store.read_at_last(seq, num)
            self._store.heal([ITEM_UNKNOWN], [f"down#{seq}.{num}"], self._moment.now_us)
            self._take_raw(seq, num, raw)

    def _take_raw(self, seq: int, num: int, raw: bytes) -> None:
        try:
            item = decode_item(raw)
        except ItemUnknown as error:
            self._keep_unread(seq, num, raw, str(error))
        except WireInvalid as error:
            self._fault("item_invalid", f"down#{seq}.{num}", str(error))
        else:
            self._take_item(item)
            if isinstance(item, Introduction) and (newer := [text for text in item.certificates if is_newer(text)]):
                self._keep_unread(seq, num, encode(Introduction(newer)), "certificates of a newer version")

    def _keep_unread(self, seq: int, num: int, raw: bytes, why: str) -> None:
        self._store.keep_unread(seq, num, raw, self._moment.now_us)
        self._fault(ITEM_UNKNOWN, f"down#{seq}.{num}", why)

    def finish(self, lane: str, offset: int) -> None:
        """Write everything, and how far the lane is dealt with."""
        self.write()
        self._store.arrived(lane, offset, self.down_seq)

    def write(self) -> None:
        """Write everything that was learned."""
        now_us = self._moment.now_us
        self._learn()
        with self._store.together():
            if self._parts:
                self._store.keep_parts(self._parts)
            for witness, lines in self._lines.items():
                self._store.keep_cosignatures(witness, lines, now_us)
            for log_id, size in self._acked.items():
                self._store.acknowledge_log(log_id, size)
            if self._is_returning:
                self._number_from(sorted(self._onward))
            returning = self._store.is_returning() if self._onward else frozenset()
            for child, items in sorted(self._onward.items()):
                if child in returning:
                    items = [item for item in items if not isinstance(item, Enclosure)]
                # What the parent's new keys have signed is passed on behind the certificate that they need.
                papers = [Introduction(self._papers)] if self._papers else []
                for letter in pack([*papers, *items], self.directory):
                    self._store.enqueue(child, letter, now_us)
            if gone_on := sorted(self._lines.keys() - self._rolled_back):
                self._store.heal([SUPERIOR_ROLLED_BACK], gone_on, now_us)
            if self._is_answered:
                self._store.heal(["held_invalid"], [self._station.origin], now_us)
            if self._faults:
                self._store.fault(self._faults, now_us)
            if self._taken_again:
                self._store.heal(["refused_above"], sorted(self._taken_again), now_us)

    def _take_item(self, item: Item) -> None:
        match item:
            case Cosigned():
                self._cosigned(item)
            case Introduction():
                self._introduced(item.certificates)
            case Enclosure():
                self._enclosed(item)
            case AskRange():
                if (tree := self._tree(item.log)) is not None:
                    self._acked.pop(tree.log_id, None)  # said before, and no longer so
                    self._store.send_again(tree.log_id, item.from_seq)
            case Refused():
                self._fault("refused_above", item.log, f"{item.reason} beyond {item.size}")
                self._taken_again.discard(item.log)
                if (tree := self._tree(item.log)) is not None:
                    self._store.refuse_log(tree.log_id, item.reason)
            case Held():
                self._held(item)
            case Returned():
                self._returned(item)
            case ReturnedAll():
                self._returned_all(item)

    # --- cosignatures -------------------------------------------------------------------------------------------

    def _cosigned(self, item: Cosigned) -> None:
        if self._regaining is not None:
            self._learn()
        tree = self._tree(item.log)
        if tree is None:
            return
        text = Checkpoint(item.log, item.size, item.root).text()
        try:
            (line,) = parse_signature_lines(item.line.encode())
            above = self.directory.witnesses_above(self._station.here, self._moment.now_us)
            witness, keys = above.get(line.name, (None, []))
            verify(Note(text, (line,)), keys)
        except (NoteInvalid, ValueError) as error:
            self._fault("cosignature_invalid", item.log, str(error), item.line.encode())
            return
        author = self.directory.division_of(item.log)
        for child in self._next_hops([author] if author else []):
            self._onward.setdefault(child, []).append(item)  # also what differs here: its author knows what it signed
        if not self._agrees(tree, item.size, item.root, f"{text}\n{item.line}", line.name):
            return
        self._look_for_rollback(tree, item.size, line)
        self._lines.setdefault(line.name, []).append((tree.log_id, item.size, item.line))
        if witness == self._parent:
            self._acked[tree.log_id] = max(item.size, self._acked.get(tree.log_id, 0))
            if item.size > tree.acked_size:
                self._taken_again.add(item.log)

    def _agrees(self, tree: Tree, size: int, root: bytes, theirs: str, witness: str = "") -> bool:
        """Whether what stands signed above is what is held here; a difference is recorded with its proof.

        theirs: the signed note. witness: whose, so that a head that it has cosigned otherwise is set against it.
        """
        if size > tree.size:
            self._fault("behind", tree.origin, f"{size} leaves are known above, {tree.size} here", theirs.encode())
            return False
        here = self._root_at(tree, size)
        if here != root:
            detail = f"above stands another root of {tree.origin} at {size}"
            self._fault("differs_above", tree.origin, detail, self._against(tree, size, theirs, witness))
        return here == root

    def _against(self, tree: Tree, size: int, theirs: str, witness: str) -> bytes:
        """The evidence: beside what was signed above, a head of what is held here that `witness` has signed as well,
        or else the newest one that its author has."""
        head = self._store.cosigned_head(tree.log_id, size - 1, witness) if witness else None
        head = head or self._store.head_at(tree.log_id, tree.size)
        if head is None:
            return theirs.encode()
        held = msgspec.structs.replace(tree, frontier=frontier_at(self._store.hashes(tree.log_id), head.size))
        ours = head.note + "".join(self._store.cosignature_lines(tree.log_id, head.size))
        return split_at(self._store.hashes(tree.log_id), held, ours, size, theirs)

    def _look_for_rollback(self, tree: Tree, size: int, line: SignatureLine) -> None:
        """Who has cosigned more before has forgotten it, or wants it forgotten."""
        known = self._store.cosigned_size(tree.log_id, line.name) if size < tree.size else 0
        if size >= known:
            return
        lines = parse_signature_lines("".join(self._store.cosignature_lines(tree.log_id, known)).encode())
        before = next(one for one in lines if one.name == line.name)
        if line.time_s <= before.time_s + MAX_SKEW_US // 1_000_000:
            return
        larger, smaller = (Checkpoint(tree.origin, at, self._root_at(tree, at)).text() for at in (known, size))
        evidence = RolledBack(f"{larger}\n{before}", f"{smaller}\n{line}", size)
        detail = f"{line.name} has cosigned {known} leaves, and {size} later"
        self._fault(SUPERIOR_ROLLED_BACK, line.name, detail, msgspec.json.encode(evidence))
        self._rolled_back.add(line.name)

    def _root_at(self, tree: Tree, size: int) -> bytes:
        if size == tree.size:
            return tree.frontier.root()
        head = self._store.head_at(tree.log_id, size)
        return head.root if head is not None else frontier_at(self._store.hashes(tree.log_id), size).root()

    def _held(self, item: Held) -> None:
        """The question stays open, and is asked again, until an answer comes that this node's own signature bears."""
        if item.log != self._station.origin and not follows(item.log, self._station.origin):
            return
        tree = self._tree(self._station.origin)
        if tree is None:
            return
        checkpoint = None
        if item.size:
            try:
                checkpoint = self._own_checkpoint(item)
            except (NoteInvalid, CertificateRefused) as error:
                self._fault("held_invalid", item.log, str(error), item.checkpoint.encode())
                return
        if not self._store.answered(item):
            return
        self._is_answered = True
        self._ask_below()
        if checkpoint is not None and item.log != self._station.origin:
            detail = f"{item.log} has begun, {self._station.origin} is written here"
            self._fault("behind", self._station.origin, detail, item.checkpoint.encode())
        elif checkpoint is not None and self._agrees(tree, checkpoint.size, checkpoint.root, item.checkpoint):
            self._store.send_again(tree.log_id, checkpoint.size)

    def _ask_below(self) -> None:
        """Who was restored has each child go on from what is held here; by the number of that the child knows of it."""
        parents = self.directory.topology.parents
        for child in (code for code, above in parents.items() if above == self._station.here):
            known = self.directory.division(child)
            if known is not None:
                tree = self._store.trees([known.certificate.origin]).get(known.certificate.origin)
                asked = AskRange(known.certificate.origin, 0 if tree is None else tree.size)
                self._onward.setdefault(child, []).append(asked)

    def _own_checkpoint(self, item: Held) -> Checkpoint:
        note = parse_note(item.checkpoint.encode())
        checkpoint = parse_checkpoint(note.text)
        self.directory.check_head(note, item.log, checkpoint.size)
        if (checkpoint.origin, checkpoint.size) != (item.log, item.size):
            raise NoteInvalid("检查点与答复不符", "the checkpoint is not of the log and size that the answer names")
        return checkpoint

    # --- what a lost disk had held ----------------------------------------------------------------------------------

    def _returned(self, item: Returned) -> None:
        """Only until all is back: what is this node's own comes from nobody else."""
        if not self._is_returning:
            self._fault("returned_unasked", item.log, "a frame came back that nobody has asked for")
            return
        if any(via == FROM_ABOVE for via, _ in self._learned.values()):
            self._learn()  # it may hold a leaf that came by itself before
        self._regaining = self._regaining or Regaining(self._store, self._station.here)
        (via, rows, parts, faults), self.directory = self._regaining.take(item, self.directory)
        self._learned |= {(row.log_id, row.seq): (via, row) for row in rows}
        self._parts += parts
        self._faults += faults
        for certificate, text in self._regaining.statements:
            self._store.keep_certificate(certificate.division, certificate.serial, text)
        self._regaining.statements.clear()

    def _returned_all(self, item: ReturnedAll) -> None:
        """The shard has ended where the parent held it, for good."""
        self._learn()
        tree = self._store.trees([item.log]).get(item.log)
        size = 0 if tree is None else tree.size
        if item.log != shard_before(self._station.origin) or item.size != size:
            detail = f"{item.size} leaves are said to be back, {size} are"
            self._fault("held_invalid", self._station.origin, detail)
            return
        if not self._store.answered(Held(item.nonce, self._station.origin, 0, "")):
            return
        parents = self.directory.topology.parents
        self._number_from(child for child, above in parents.items() if above == self._station.here)
        self._is_answered, self._is_returning = True, False
        if tree is not None:
            self._store.freeze(tree.log_id, ENDED)

    def _learn(self) -> None:
        """Bring what was learned so far into the ledger, and what came back into its trees."""
        for via, rows in groupby(self._learned.values(), key=_via):
            self._store.learn(via, [row for _, row in rows])
        self._learned = {}
        if self._regaining is None:
            return
        growths, self._regaining = self._regaining.growths(), None
        self._store.grow(growths)
        self._acked |= {growth.before.log_id: growth.frontier.size for growth in growths}
        self._trees.clear()

    def _number_from(self, children: Iterable[Division]) -> None:
        """Those below have had numbers from before the disk was lost; no later one is as low."""
        numbered = ((shard_of(self._station.origin) or 1) - 1) * NUMBERS_A_SHARD
        for child in children:
            self._store.number_from(child, numbered)

    # --- enclosures ---------------------------------------------------------------------------------------------

    def _introduced(self, texts: Sequence[str]) -> None:
        before = self.directory
        self.directory, refused = before.adding_what_holds(texts)
        for text in texts:
            if text in refused:
                evidence = evidence_between(text, refused[text].said_by)
                self._fault("certificate_refused", "down", str(refused[text]), evidence)
            else:
                said = read_statement(text)
                if (other := before.numbered(said)) is not None and other != text:
                    self._faults.append(certified_twice("down", "", said, text, other))
                self._store.keep_certificate(said.division, said.serial, text)
                if isinstance(said, Revocation) and before.issuer_of(text) is None:
                    self._taken_back(said, text)

    def _taken_back(self, said: Revocation, text: str) -> None:
        """Keys of this node's own are good no more; or those of the parent, and then what they had acknowledged."""
        if said.division == self._station.here and self.directory.revocation(said.division) is not None:
            self._fault(OWN_KEYS_REVOKED, said.origin, f"{said.ground}: good up to {said.size}", text.encode())
        if said.division == self._parent:
            for tree in self._store.all_trees():
                self._store.send_again(tree.log_id, 0)

    def _enclosed(self, item: Enclosure) -> None:
        where, digest = f"{item.log}#{item.seq}", leaf_hash(item.body)
        try:
            note = parse_note(item.checkpoint.encode())
            checkpoint = parse_checkpoint(note.text)
            self.directory.check_head(note, item.log, checkpoint.size)
            verify_inclusion(item.seq, checkpoint.size, digest, item.proof, checkpoint.root)
        except CertificateRefused as error:
            kind = error.reason if error.said_by else "enclosure_invalid"
            evidence = Outlived(error.said_by, item.checkpoint.encode())
            self._fault(kind, where, str(error), msgspec.msgpack.encode(evidence))
            return
        except (NoteInvalid, ProofInvalid) as error:
            self._fault("enclosure_invalid", where, str(error), item.body)
            return
        author = self.directory.division_of(item.log)
        if checkpoint.origin != item.log or author is None:
            self._fault("enclosure_invalid", where, "its checkpoint is of another log", item.body)
            return
        log_id = self._store.log_id(item.log, author)
        self._store_leaf(item, log_id, digest)
        self._store.keep_enclosure(log_id, item)
        self._forward(item)

    def _store_leaf(self, item: Enclosure, log_id: int, digest: bytes) -> None:
        place = (log_id, item.seq)
        if place in self._learned:
            return
        known = self._store.known_leaves([place]).get(place)
        if known is not None:
            if known != digest:
                detail = "another leaf stands here at its place"
                self._fault("enclosure_differs", f"{item.log}#{item.seq}", detail, item.body)
            return
        leaf = read_leaf(item.body, item.log, self.directory)
        row = Learned(log_id, item.seq, leaf.stream, leaf.version, leaf.topic, leaf.case_id, item.body, digest)
        self._learned[place] = (FROM_ABOVE, row)
        if leaf.fault is not None:
            self._fault("undecodable", f"{item.log}#{item.seq}", leaf.fault, item.body)
        self._parts += [
            Part(log_id, item.seq, beside.part, beside.body)
            for beside in item.beside
            if beside.seq == item.seq and is_part_of(leaf.event, beside.part, beside.body)
        ]

    def _forward(self, item: Enclosure) -> None:
        topology, here = self.directory.topology, self._station.here
        for child in self._next_hops(item.to):
            self._onward.setdefault(child, []).append(item)
        if not any(
            code == here or here in topology.path_up(Division(code)) for code in item.to if self._is_known(code)
        ):
            self._fault("misplaced", f"{item.log}#{item.seq}", "an enclosure for nobody here or below")

    # --- helpers ------------------------------------------------------------------------------------------------

    def _next_hops(self, divisions: Iterable[str]) -> list[Division]:
        """The children that lead to these divisions, each once; none for what is not strictly below."""
        topology, here = self.directory.topology, self._station.here
        below = [
            Division(code)
            for code in divisions
            if self._is_known(code) and code != here and here in topology.path_up(Division(code))
        ]
        return list(dict.fromkeys(topology.next_hop(here, code) for code in below))

    def _is_known(self, code: str) -> bool:
        return self.directory.division(code) is not None

    def _tree(self, log: str) -> Tree | None:
        if log not in self._trees:
            self._trees[log] = self._store.trees([log]).get(log)
        tree = self._trees[log]
        if tree is None:
            self._fault("log_unknown", log, "something was said from above of a log that is not held here")
        return tree

    def _fault(self, kind: str, subject: str, detail: str, evidence: bytes = b"") -> None:
        self._faults.append(Fault(kind, subject, "", detail, evidence))
