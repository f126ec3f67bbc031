"""What a node makes of what its children sent: verified, in order, once, in one transaction with the cosignature."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from domain.divisions import Division
from domain.events import HeadsNoted
from domain.shards import shard_after, shard_before
from sync.exchange.answers import Answers
from sync.exchange.faults import (
    HEALING,
    Fault,
    certified_twice,
    evidence_against,
    evidence_between,
    evidence_of,
    fork_below,
    fork_beyond,
)
from sync.exchange.filing import Filed, enrolled, file_frame
from sync.exchange.inbox_store import InboxStore, Parked, Part
from sync.exchange.leaf import certificate_in
from sync.exchange.noting import Note, compared
from sync.exchange.opening import Opened, OpenFrame, OpenLetter, Spoiled, open_frame
from sync.exchange.station import Asked, Moment, Station
from sync.exchange.succession import ENDED, NOT_CONTINUED, late, not_continued, succession
from sync.exchange.wire import AskRange, Frame, Refused, decode_record
from sync.ledger.append import Learned
from sync.ledger.rows import FROM_BELOW
from sync.proofs.merkle import TileRun
from sync.proofs.note import NoteInvalid
from sync.proofs.tree import Growth, SignedHead, Tree
from sync.trust.certificates import CertificateRefused, Directory
from sync.trust.statements import read_statement

PART_TRIES: Final = 3
"""So often a frame is asked for again whose parts are not all there, before it is taken in without them."""

PARKED_FRAMES: Final = 128
"""At most so many frames of one child wait: fewer than a sender keeps in flight, so that what need not wait flows."""

PARKED_BYTES: Final = 16 << 20

PASSING: Final = ("expired", "not_yet_valid")
"""Why an author cannot be checked for the time being."""

_ANY_SIZE: Final = 2**62


class Received(NamedTuple):
    """directory: with what was enrolled. sizes: how much of each log that came is held now. tries: how often what is
    missing of a log was asked for again, for `Asked.tried` once this is committed.
    """

    directory: Directory
    sizes: dict[str, int]
    tries: dict[str, int]


class _Growing(msgspec.Struct):
    """What a tree gained in this batch and is not written yet."""

    before: Tree
    tiles: list[TileRun]
    heads: list[SignedHead]


class _Want(NamedTuple):
    """What a frame waits for, and the name of the fault that this is."""

    log: str
    size: int
    reason: str


def receive(
    store: InboxStore,
    station: Station,
    records: Sequence[Opened],
    offsets: Mapping[Division, int],
    directory: Directory,
    news: Iterable[str],
    asked: Asked,
    moment: Moment,
) -> Received:
    """Take all of `records`, in order, in the store's one transaction.

    offsets: how far each child's lane is dealt with by this. news: logs whose certificates came otherwise since the
    last call. Safe to repeat: what is there already changes nothing.
    """
    batch = _Batch(store, station, directory, asked, moment)
    batch.expect(news)
    batch.load([record for record in records if isinstance(record, OpenFrame)])
    for record in records:
        batch.take(record)
    batch.take_up_parked()
    batch.finish(offsets)
    return Received(batch.directory, batch.sizes, batch.tries)


class _Batch:
    """One call of `receive`: what it has decided so far and not yet written."""

    def __init__(self, store: InboxStore, station: Station, directory: Directory, asked: Asked, moment: Moment) -> None:
        self.directory = directory
        self._store = store
        self._station = station
        self._asked = asked
        self._moment = moment
        self._trees: dict[str, Tree] = {}
        self._sparse: dict[tuple[int, int], bytes] = {}
        self._growing: dict[str, _Growing] = {}
        self._grown: dict[str, int] = {}  # logs that anything may wait for, at the size they have come to
        self._healed: set[str] = set()
        self._learned: list[Learned] = []
        self._parts: list[Part] = []
        self._faults: list[Fault] = []
        self._carried: dict[str, Division] = {}  # what is cosigned at the end, and by whose lane it came
        self._answers = Answers(store, station, moment.now_us)
        self._is_followed: dict[str, bool] = {}
        self._notes: list[Note] = []
        self.tries: dict[str, int] = {}

    @property
    def sizes(self) -> dict[str, int]:
        """How much of each log that was looked at is held."""
        return {log: tree.size for log, tree in self._trees.items()}

    def expect(self, logs: Iterable[str]) -> None:
        """What waits for any of these logs is looked at again."""
        self._grown |= dict.fromkeys(logs, _ANY_SIZE)

    def load(self, frames: Sequence[OpenFrame]) -> None:
        """Read the trees of every log that these frames are of or rest on."""
        logs = {frame.frame.log for frame in frames}
        logs |= {cause.log for frame in frames for leaf in frame.leaves for cause in leaf.causes if cause.log}
        new = logs - self._trees.keys()
        if new:
            found = self._store.trees(new)
            self._trees |= found
            self._sparse |= self._store.sparse({tree.log_id: tree.size for tree in found.values()})

    def take(self, record: Opened) -> None:
        """Decide one record."""
        match record:
            case OpenFrame():
                self._take_frame(record)
            case OpenLetter():
                self._learn(record.papers)
                self._answers.hear(record)
            case Spoiled():
                lane = f"up.{record.child}"
                self._faults.append(Fault(record.kind, lane, record.child, record.detail, evidence_of(record.record)))

    def take_up_parked(self) -> None:
        """Offer again whatever waited for what has come, until nothing more moves."""
        while self._grown:
            grown, self._grown = self._grown, {}
            again = [self._open_again(parked) for parked in self._store.unpark(grown)]
            self.load([record for record in again if isinstance(record, OpenFrame)])
            for record in again:
                self.take(record)
                if isinstance(record, OpenFrame):
                    self._ask_for_the_rest(record)

    def finish(self, offsets: Mapping[Division, int]) -> None:
        """Write what is left, cosign, answer."""
        self._write()
        carried = [(child, self._trees[log]) for log, child in self._carried.items()]
        self._answers.cosign(
            [(child, tree) for child, tree in carried if tree.origin in self._healed],
            [(child, tree) for child, tree in carried if tree.origin not in self._healed],
        )
        self._answers.answer_held(self.directory)
        noted = self._compare_notes()
        with self._store.together():
            self._answers.send(offsets, self.directory)
            if self._faults:
                self._store.fault(self._faults, self._moment.now_us)
            if self._healed:
                self._store.heal(HEALING, sorted(self._healed), self._moment.now_us)
            if noted:
                self._store.fault(noted, self._moment.now_us)

    def _compare_notes(self) -> list[Fault]:
        logs = {head.log for note in self._notes for head in note.event.heads}
        return compared(self._store, self._notes, [log for log in logs if self._is_below(log)])

    # --- frames -------------------------------------------------------------------------------------------------

    def _take_frame(self, opened: OpenFrame) -> None:
        frame, log = opened.frame, opened.frame.log
        if opened.trouble is not None:
            if opened.trouble.reason in PASSING and self._is_held(opened):
                self._carried[log] = opened.child  # whoever may sign nothing more may still hear what was signed of it
                return
            again = self._checked_again(opened)
            if again is None:
                return
            opened = again
        if log not in self._trees and not self._may_begin(opened):
            return
        tree = self._thawed(self._tree(log), opened)
        if tree.frozen is not None:
            self._closed(opened, tree)
        elif frame.first > tree.size:
            self._gap(opened, tree)
        elif opened.head.size <= tree.size:
            self._repeated(opened, tree)
        else:
            self._extend(opened, tree)

    def _is_held(self, opened: OpenFrame) -> bool:
        """Whether it says nothing but what is here, so that nothing of it is to be refused."""
        tree = self._trees.get(opened.frame.log)
        if tree is None or tree.frozen is not None or opened.head.size > tree.size:
            return False
        self._write()  # what this batch has learned counts
        known = self._store.head_at(tree.log_id, opened.head.size)
        return known is not None and known.root == opened.head.root

    def _may_begin(self, opened: OpenFrame) -> bool:
        """Whether a log that is not held may be: what no certificate names goes on from a shard that is."""
        log = opened.frame.log
        before = shard_before(log)
        if self.directory.is_named(log) or before is None or self._held(before) is not None:
            return True
        self._park(opened, _Want(before, 1, "waits"))
        return False

    def _continues(self, opened: OpenFrame) -> bool:
        """Whether the first leaves of a log are taken; those of a later shard end the one before it."""
        name = shard_before(opened.frame.log)
        good = None if name is None else self.directory.last_good(name)
        begun = succession(opened, self._held(name), good)
        if begun is None:
            return True
        before = self._held(begun.before)
        if begun.verdict == "waits":
            self._park(opened, _Want(begun.before, begun.awaits, "waits"))
        elif begun.verdict == "refused":
            self._write()
            head = None if before is None else self._store.head_at(before.log_id, before.size)
            self._faults.append(not_continued(opened, begun.why, head))
            self._answers.say(opened.child, Refused(opened.frame.log, 0, NOT_CONTINUED))
        elif before is not None:
            self._store.freeze(before.log_id, ENDED)
            self._trees[begun.before] = msgspec.structs.replace(before, frozen=ENDED)
            self._grown[begun.before] = _ANY_SIZE  # nobody waits for what will never come
        return begun.verdict == "begins"

    def _closed(self, opened: OpenFrame, tree: Tree) -> None:
        """Of a shard that has ended what is held may be repeated; what is signed beyond is kept for whoever asks."""
        if tree.frozen == ENDED and opened.head.size <= tree.size:
            self._repeated(opened, tree)
            return
        if tree.frozen == ENDED:
            self._faults.append(late(opened, tree))
        self._answers.say(opened.child, Refused(opened.frame.log, tree.size, tree.frozen or ""))

    def _checked_again(self, opened: OpenFrame) -> OpenFrame | None:
        """The frame, now that its author may have been enrolled; None where it must wait or be refused."""
        log = opened.frame.log
        record = self._open(opened.frame, opened.record, opened.child)
        if isinstance(record, Spoiled):
            self.take(record)
            return None
        if record.trouble is None:
            return record
        reason = record.trouble.reason
        if reason == "unknown_author":
            self._park(record, _Want(log, _ANY_SIZE, reason))
        else:
            evidence = evidence_against(record.record, record.trouble.said_by)
            self._faults.append(Fault(reason, log, record.child, str(record.trouble), evidence))
            self._answers.say(record.child, Refused(log, self._trees[log].size if log in self._trees else 0, reason))
        return None

    def _thawed(self, tree: Tree, opened: OpenFrame) -> Tree:
        """A log that was frozen by what stolen keys had signed goes on where the new ones take it up."""
        is_new = opened.head.size > tree.size
        if tree.frozen in {None, ENDED} or not is_new or self.directory.restarts_at(tree.origin) != tree.size:
            return tree
        self._store.thaw(tree.log_id)
        thawed = self._trees[tree.origin] = msgspec.structs.replace(tree, frozen=None)
        return thawed

    def _gap(self, opened: OpenFrame, tree: Tree) -> None:
        frame = opened.frame
        is_next_here = self._store.is_parked(frame.log, tree.size)
        self._park(opened, _Want(frame.log, frame.first, "gap"))
        if not is_next_here and self._asked.may_ask(frame.log, self._moment.elapsed_s):
            self._answers.say(opened.child, AskRange(frame.log, tree.size))

    def _repeated(self, opened: OpenFrame, tree: Tree) -> None:
        """Nothing new: either the very history that is here, or another one, and then its author has forked."""
        self._write()  # what this batch has learned counts
        known = self._store.head_at(tree.log_id, opened.head.size)
        if known is None or known.root != opened.head.root:
            hashes, ours = self._store.hashes(tree.log_id), self._newest_head(tree)
            fork = fork_below(hashes, tree, ours, opened.head, opened.record)
            if fork is not None:
                self._freeze(opened, tree, msgspec.msgpack.encode(fork))
                return
        self._carried[opened.frame.log] = opened.child

    def _extend(self, opened: OpenFrame, tree: Tree) -> None:
        skipped = tree.size - opened.frame.first
        frontier, tiles = tree.frontier.extend(opened.hashes[skipped:])
        if frontier.root() != opened.head.root:
            self._mismatch(opened, tree)
            return
        if (want := self._missing_cause(opened, tree)) is not None:
            self._park(opened, want)
            return
        filed = file_frame(opened, tree, self._sparse)
        if filed.missing and self._once_more(opened.frame.log):
            self._incomplete(opened, tree, filed.missing)
            return
        if tree.size == 0 and not self._continues(opened):
            return
        self.tries[opened.frame.log] = 0
        growing = self._growing.setdefault(opened.frame.log, _Growing(tree, [], []))
        growing.tiles += tiles
        growing.heads.append(opened.head)
        self._file(opened, filed)
        self._notes += [
            Note(opened.child, opened.frame.log, tree.size + at, leaf.event)
            for at, leaf in enumerate(opened.leaves[skipped:])
            if isinstance(leaf.event, HeadsNoted)
        ]
        self._trees[opened.frame.log] = msgspec.structs.replace(tree, frontier=frontier)
        self._grown[opened.frame.log] = frontier.size
        self._healed.add(opened.frame.log)
        self._carried[opened.frame.log] = opened.child

    def _mismatch(self, opened: OpenFrame, tree: Tree) -> None:
        """It does not continue what is here: a proven fork where its own bytes show it, else spoiled on its way."""
        frame = opened.frame
        if frame.first < tree.size:
            self._write()
            hashes, ours = self._store.hashes(tree.log_id), self._newest_head(tree)
            fork = fork_beyond(hashes, frame.first, opened.hashes, ours, opened.head, opened.record)
            if fork is not None:
                self._freeze(opened, tree, msgspec.msgpack.encode(fork))
                return
        self._faults.append(
            Fault("mismatch", frame.log, opened.child, "the entries do not make its root", evidence_of(opened.record))
        )
        if self._asked.may_ask(frame.log, self._moment.elapsed_s):
            self._answers.say(opened.child, AskRange(frame.log, tree.size))

    def _freeze(self, opened: OpenFrame, tree: Tree, evidence: bytes) -> None:
        log = opened.frame.log
        detail = f"signed size {opened.head.size} contradicts what is held up to {tree.size}"
        self._faults.append(Fault("fork", log, opened.child, detail, evidence))
        self._store.freeze(tree.log_id, "fork")
        self._trees[log] = msgspec.structs.replace(tree, frozen="fork")
        self._answers.say(opened.child, Refused(log, tree.size, "fork"))

    def _once_more(self, log: str) -> bool:
        self.tries[log] = self.tries.get(log, self._asked.times(log)) + 1
        return self.tries[log] <= PART_TRIES

    def _incomplete(self, opened: OpenFrame, tree: Tree, missing: Sequence[str]) -> None:
        """No signature covers what travels beside a leaf: what is not as the leaf says may come whole another time."""
        detail = f"{', '.join(missing[:5])} did not come with its event, or not as the event says"
        self._faults.append(Fault("incomplete", opened.frame.log, opened.child, detail))
        self._answers.say(opened.child, AskRange(opened.frame.log, tree.size))

    def _file(self, opened: OpenFrame, filed: Filed) -> None:
        self._learned += filed.rows
        self._parts += filed.parts
        self._faults += filed.faults
        detail = "it did not come with its event, or was not what the event says"
        self._faults += [Fault("part_missing", part, opened.child, detail) for part in filed.missing]
        for seq, text in filed.certificates:
            self._enrol(opened, seq, text)

    def _enrol_early(self, opened: OpenFrame) -> None:
        """What a frame waits for may be the very log whose author is certified, or certified anew, further on in it.

        A certificate proves itself; one that does not hold is named when its leaf is filed. None is passed over: the
        one before may name a key that is needed.
        """
        for seq, leaf in enumerate(opened.leaves if opened.trouble is None else (), opened.frame.first):
            text = certificate_in(leaf.event)
            if text is not None and self._holds_next(opened, text):
                self._enrol(opened, seq, text)

    def _holds_next(self, opened: OpenFrame, text: str) -> bool:
        try:
            said, _ = enrolled(self.directory, opened.frame.log, text)
        except CertificateRefused:
            return False
        return said.serial == self.directory.next_serial(said.division)

    def _enrol(self, opened: OpenFrame, seq: int, text: str) -> None:
        log, before = opened.frame.log, self.directory
        where = f"{log}#{seq}"
        try:
            said, self.directory = enrolled(before, log, text)
        except CertificateRefused as error:
            evidence = evidence_between(text, error.said_by)
            self._faults.append(Fault("certificate_refused", where, opened.child, str(error), evidence))
            return
        other = before.numbered(said)
        if other is not None and other != text:
            self._faults.append(certified_twice(where, opened.child, said, text, other))
        self._store.keep_certificate(said.division, said.serial, text)
        self._is_followed.clear()
        self._grown |= dict.fromkeys([said.origin, shard_after(said.origin)], _ANY_SIZE)

    def _learn(self, papers: Iterable[str]) -> None:
        """The certificates of a child that has changed its keys."""
        self.directory, refused = self.directory.adding_what_holds(papers)
        for text in papers:
            if text not in refused:
                said = read_statement(text)
                self._store.keep_certificate(said.division, said.serial, text)

    def _missing_cause(self, opened: OpenFrame, tree: Tree) -> _Want | None:
        log = opened.frame.log
        for leaf in opened.leaves[tree.size - opened.frame.first :]:
            for cause in leaf.causes:
                if cause.log is None or cause.seq is None or cause.log == log:
                    continue
                if self._is_over(cause.log):
                    continue
                if cause.seq >= self._size(cause.log) and self._follows(cause.log):
                    return _Want(cause.log, cause.seq + 1, "waits")
        return None

    # --- waiting ------------------------------------------------------------------------------------------------

    def _park(self, opened: OpenFrame, want: _Want) -> None:
        frame = opened.frame
        count, size_bytes = self._store.parked_load(opened.child)
        detail = f"leaves from {frame.first} wait for {want.log} up to {want.size}"
        self._faults.append(Fault(want.reason, frame.log, opened.child, detail))
        if count >= PARKED_FRAMES or size_bytes + len(opened.record) > PARKED_BYTES:
            self._faults.append(Fault("parked_full", frame.log, opened.child, "no room for more frames that wait"))
            self._answers.say(opened.child, Refused(frame.log, self._size(frame.log), "parked_full"))
            return
        parked = Parked(frame.log, frame.first, opened.child, want.reason, want.log, want.size, opened.record)
        self._store.park(parked, self._moment.now_us)
        self._enrol_early(opened)

    def _open_again(self, parked: Parked) -> Opened:
        frame = decode_record(parked.record)
        if not isinstance(frame, Frame):
            raise TypeError("only frames are parked")
        return self._open(frame, parked.record, parked.child)

    def _open(self, frame: Frame, record: bytes, child: Division) -> OpenFrame | Spoiled:
        try:
            return open_frame(frame, record, child, self.directory, self._moment.now_us)
        except NoteInvalid as error:
            return Spoiled(child, record, "bad_signature", str(error))

    def _ask_for_the_rest(self, opened: OpenFrame) -> None:
        """After a wait, what had found no room must come again."""
        log = opened.frame.log
        if log in self._healed and not self._store.is_parked(log, _ANY_SIZE):
            self._answers.say(opened.child, AskRange(log, self._size(log)))

    # --- what is known ------------------------------------------------------------------------------------------

    def _tree(self, log: str) -> Tree:
        tree = self._trees.get(log)
        if tree is None:
            author = self.directory.division_of(log)
            if author is None:
                raise LookupError(log)
            tree = self._trees[log] = self._store.plant(log, author)
            self._sparse |= self._store.sparse({tree.log_id: 0})
        return tree

    def _size(self, log: str) -> int:
        if log == self._station.origin:
            return self._store.own_size
        tree = self._trees.get(log)
        return 0 if tree is None else tree.size

    def _held(self, log: str | None) -> Tree | None:
        """What is held of a log, if anything."""
        if log is not None and log not in self._trees:
            self._trees |= self._store.trees([log])
        return self._trees.get(log or "")

    def _is_over(self, log: str) -> bool:
        """Whether the log has ended: what is not in it by now was lost, and nobody waits for it."""
        tree = self._trees.get(log)
        return tree is not None and tree.frozen == ENDED

    def _follows(self, log: str) -> bool:
        """Whether this node must hold the log: its own, one of a division below, or one that it has not heard of."""
        known = self._is_followed.get(log)
        if known is None:
            division = self.directory.division_of(log)
            known = division is None or self._station.here in self.directory.topology.path_up(division)
            self._is_followed[log] = known
        return known

    def _is_below(self, log: str) -> bool:
        """Whether this node must hold the log of a division that it knows, and not as its own."""
        author = self.directory.division_of(log)
        return author is not None and author != self._station.here and self._follows(log)

    def _newest_head(self, tree: Tree) -> SignedHead:
        head = self._store.head_at(tree.log_id, tree.size)
        if head is None:
            raise LookupError(f"{tree.origin} is held up to {tree.size} without a signed head")
        return head

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Bring what was decided into the transaction, so that the store can be asked about it."""
        if self._learned:
            self._store.learn(FROM_BELOW, self._learned)
        if self._parts:
            self._store.keep_parts(self._parts)
        growths = [
            Growth(growing.before, self._trees[log].frontier, growing.tiles, growing.heads)
            for log, growing in self._growing.items()
        ]
        if growths:
            self._store.grow(growths)
        self._learned, self._parts, self._growing = [], [], {}
