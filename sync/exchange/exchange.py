"""The exchange of one node, put together: what is pumped upward and downward, and what others may ask of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final, Literal

from domain.divisions import Division
from domain.events import KeysRotated
from domain.keys import LAST_COPY_US
from domain.shards import shard_after
from sync.exchange.arrivals import look_again, receive_down
from sync.exchange.channel import Channel, Delivered, LaneReset, down_lane, up_lane
from sync.exchange.checkpoints import seal
from sync.exchange.dispatch import DISPATCHED, Dispatch
from sync.exchange.downlink import Downlink, sign_letter
from sync.exchange.inbox import Received, receive
from sync.exchange.introducing import introduce
from sync.exchange.lanes import Lanes
from sync.exchange.leaf import known as read_known
from sync.exchange.opening import Opened, OpenFrame, open_record, readings
from sync.exchange.outbox import Outbox
from sync.exchange.outside import NOBODY, Keeper
from sync.exchange.returning import GivingBack
from sync.exchange.station import Asked, Moment, Station
from sync.exchange.store import NotStorable, Store, Transaction
from sync.exchange.succession import End, has_lost_all, opening, pass_on
from sync.exchange.wire import EDITION, Acknowledge, AskDown, AskHeld, AskReturn, Up
from sync.exchange.withheld import look_for_withheld
from sync.proofs.merkle import EMPTY_ROOT
from sync.proofs.note import Signer, named
from sync.proofs.tree import Proof, frontier_at, proof_for
from sync.trust.certificates import CertificateRefused, Directory, Enrolment, enrolment
from sync.trust.granting import enrol, move, revoke
from sync.trust.statements import Ground, read_request

FETCH_BYTES: Final = 4 << 20
BATCH_RECORDS: Final = 256
BATCH_EVENTS: Final = 1_000
"""At most so much, and one frame more, is taken in by one transaction."""

KEEP_DOWN_US: Final = LAST_COPY_US
"""So long a child that was restored from a backup can have its downward sequence again, and a fault that is over shows;
and so long after its certificate has run out what a child has not read is kept."""

_FORGET_EVERY_S: Final = 3_600.0
_ASK_EVERY_S: Final = 2.0
_WATCH_EVERY_S: Final = 3_600.0

UNSENT_LEAVES: Final = 1 << 20
"""So many leaves at most a node may have recorded that are not here yet, when it asks for other keys."""

Recording = Callable[[str], str]
"""Records the event of a text and keeps the text, both or neither; gives the text as recorded."""

Standing = Literal["unasked", "unanswered", "agrees", "behind", "differs"]


class Trust:
    """The directory as all that goes on in a process shares it."""

    def __init__(self, directory: Directory, lock: AbstractContextManager[object]) -> None:
        """lock: held while it changes, so that no thread undoes what another one has learned."""
        self._directory = directory
        self._lock = lock

    @property
    def directory(self) -> Directory:
        """The present one."""
        return self._directory

    def publish(self, directory: Directory) -> None:
        """What one thread has learned and committed joins what the others have; what is held is not read again."""
        if directory is self._directory:
            return
        with self._lock:
            held = set(self._directory.texts())
            new = [text for text in directory.texts() if text not in held]
            self._directory, _ = self._directory.adding_what_holds(new)  # keys may have been taken back meanwhile


class Exchange:
    """Every pump function does a bounded piece of work, says whether there was any, and can die at any point.

    Raises of all of them: ChannelDown, TreeMoved and what the store raises while it is away, which pass by themselves;
    anything else is a fault of the program.
    """

    def __init__(
        self,
        station: Station,
        trust: Trust,
        store: Store,
        above: Channel | None,
        below: Channel | None,
        now_us: Callable[[], int],
        elapsed_s: Callable[[], float],
        *,
        outside: Keeper = NOBODY,
        retry_s: float = 5.0,
    ) -> None:
        """above: towards the parent, none at the root. below: towards the children, none at a leaf.

        elapsed_s: a clock that never jumps. outside: is told of whatever must be given to nobody else before it leaves.
        retry_s: when what left a lane unacknowledged is first sent again.
        """
        self.station = station
        self.trust = trust
        self._store = store
        self._above = above
        self._below = below
        self._now_us = now_us
        self._elapsed_s = elapsed_s
        self._outside = outside
        self._outbox = Outbox(retry_s)
        self._downlink = Downlink(station, retry_s)
        self._dispatch = Dispatch(station)
        self._giving_back: dict[tuple[Division, bytes], GivingBack] = {}
        self._asked = Asked(retry_s)
        self._lanes = Lanes(store, now_us, elapsed_s)
        self._forgot_s = 0.0
        self._watched_s: float | None = None
        self._is_withheld = False
        self._held_sizes: dict[str, int] = {}
        self._known_origins: frozenset[str] = frozenset()
        self._asked_held_s: float | None = None
        self._has_looked_again = False
        self._moved: set[str] = set()
        self._again: dict[str, Dispatch] = {}
        self._asked_held_at = 0

    @property
    def parent(self) -> Division | None:
        """The node above, as certified."""
        return self.trust.directory.topology.parents.get(self.station.here)

    @property
    def has_parent(self) -> bool:
        """Whether there is a channel upward."""
        return self._above is not None

    @property
    def may_have_children(self) -> bool:
        """Whether there is a channel downward."""
        return self._below is not None

    @property
    def children(self) -> list[Division]:
        """The nodes directly below, as certified, in order."""
        parents = self.trust.directory.topology.parents
        return sorted(child for child, parent in parents.items() if parent == self.station.here)

    # --- upward -----------------------------------------------------------------------------------------------------

    def pump_seal(self) -> bool:
        """Put own events under signed checkpoints."""
        with self._store.transaction() as tx:
            return seal(tx, [self.station.signer, *self.station.beside])

    def pump_up(self) -> bool:
        """Publish what the parent does not hold; a window of it may be on its way."""
        if self._above is None:
            return False
        lane = up_lane(self.station.here)
        with self._store.transaction() as tx:
            outgoing, own = self._outbox.next(tx, self._elapsed_s()), tx.own_log()
            self._watch_superiors(tx)
        if not outgoing.records:
            is_unsure = self._outbox.is_unsure(self._elapsed_s())
            return is_unsure and self._outbox.look(self._above.extent(lane), self._elapsed_s())
        self._outside.log_leaves(self.station.origin, outgoing.size_of(own))
        offset = self._lanes.publish(self._above, lane, outgoing.records)
        if offset is None:
            self._outbox.full(self._elapsed_s())
            return False
        self._outbox.sent(outgoing, offset, self._elapsed_s())
        return True

    def _watch_superiors(self, tx: Transaction) -> None:
        """Every hour, and after every arrival while something is withheld, whether all of them go on."""
        elapsed_s = self._elapsed_s()
        if self._watched_s is None or elapsed_s - self._watched_s >= _WATCH_EVERY_S:
            self._watched_s = elapsed_s
            self._is_withheld = look_for_withheld(tx, self.station.here, self.trust.directory, self._now_us())

    @property
    def awaits_parent(self) -> bool:
        """Whether anything is on its way up without an acknowledgement."""
        return self._outbox.is_waiting

    # --- from below -------------------------------------------------------------------------------------------------

    def pump_inbox(self, wait_s: float = 0.0) -> bool:
        """Take in what the children sent; waits up to `wait_s` for something."""
        children = {up_lane(child): child for child in self.children}
        if self._below is None or not children:
            return False
        try:
            delivered = self._below.fetch(self._lanes.positions(children), FETCH_BYTES, wait_s)
        except LaneReset as reset:
            self._lanes.restart(reset.lane)
            return True
        at, storing = 0, _nothing
        try:
            while at < len(delivered):
                opened = self._open(delivered[at:], children)  # while the batch before it is being stored
                storing()
                storing = self._take_in(opened, delivered[at : at + len(opened)], children)
                at += len(opened)
        finally:
            storing()
        self._lanes.trim(self._below, children, is_idle=not delivered)
        return bool(delivered)

    def _open(self, delivered: Sequence[Delivered], children: Mapping[str, Division]) -> list[Opened]:
        """The first records opened, up to BATCH_EVENTS."""
        directory, now_us, here = self.trust.directory, self._now_us(), self.station.here
        opened: list[Opened] = []
        events = 0
        for one in delivered[:BATCH_RECORDS]:
            record = open_record(one, children[one.lane], here, directory, now_us, self._held_sizes)
            opened.append(record)
            events += len(record.leaves) if isinstance(record, OpenFrame) else 0
            if events >= BATCH_EVENTS:
                break
        return opened

    def _take_in(
        self, opened: Sequence[Opened], delivered: Sequence[Delivered], children: Mapping[str, Division]
    ) -> Callable[[], None]:
        """Begin to take in one batch; what it gives back waits for the commit and must be called."""
        directory, moment = self.trust.directory, self._moment()
        reached = {one.lane: one.offset for one in delivered}
        offsets = {children[lane]: offset for lane, offset in reached.items()}
        news = directory.origins() - self._known_origins
        storing = self._store.learning_soon(
            lambda tx: receive(tx, self.station, opened, offsets, directory, news, self._asked, moment)
        )

        def stored() -> None:
            try:
                received = storing.result()
            except NotStorable:
                received = self._take_apart(opened, delivered, children)
            self._known_origins = directory.origins()
            self._held_sizes |= received.sizes
            self._asked.tried(received.tries)
            self.trust.publish(received.directory)
            self._lanes.reached(reached)

        return stored

    def _take_apart(
        self, opened: Sequence[Opened], delivered: Sequence[Delivered], children: Mapping[str, Division]
    ) -> Received:
        """The store refused a batch: take each record by itself, so that the one to blame holds up no other."""
        received = Received(self.trust.directory, {}, {})
        for record, one in zip(opened, delivered, strict=True):
            found = self._take_one(record, {children[one.lane]: one.offset}, received.directory)
            self._asked.tried(found.tries)
            received = Received(found.directory, received.sizes | found.sizes, received.tries | found.tries)
        return received

    def _take_one(self, record: Opened, offsets: Mapping[Division, int], directory: Directory) -> Received:
        """As much of one record as the store takes. Raises NotStorable where it refuses even the fault alone."""
        *tries, last = readings(record)
        for reading in tries:
            with suppress(NotStorable):
                return self._take_reading(reading, offsets, directory)
        return self._take_reading(last, offsets, directory)

    def _take_reading(self, reading: Opened, offsets: Mapping[Division, int], directory: Directory) -> Received:
        news, moment = directory.origins() - self._known_origins, self._moment()
        return self._store.learning(
            lambda tx: receive(tx, self.station, [reading], offsets, directory, news, self._asked, moment)
        )

    # --- downward ---------------------------------------------------------------------------------------------------

    def pump_dispatch(self) -> bool:
        """Decide what of the ledger and of the directory goes down, and to whom."""
        with self._store.transaction() as tx:
            told = introduce(tx, self.station, self.trust.directory, self._now_us())
        told |= self._dispatch_again()
        try:
            with self._store.transaction() as tx:
                moved = self._dispatch.step(tx, self.trust.directory, self._now_us())
        except BaseException:
            self._dispatch.forget()
            raise
        return self._give_back() or told or moved

    def _give_back(self) -> bool:
        """To children that lost their disk; whether there was any."""
        with self._store.transaction() as tx:
            returning = tx.returning()
        for one in returning:
            giving = self._giving_back.pop((one.child, one.nonce), None) or GivingBack(self.station)
            with self._store.transaction() as tx:
                if giving.step(tx, one, self.trust.directory, self._now_us()):
                    self._giving_back[one.child, one.nonce] = giving
        return bool(returning)

    def _dispatch_again(self) -> bool:
        """Hand a division that this node has placed elsewhere what its former superior may not have handed it."""
        directory = self.trust.directory
        for moved, serial in directory.moves_by(self.station.here):
            name = f"exchange.moved.{moved}.{serial}"
            if name in self._moved:
                continue
            if self._dispatch_page_again(name, moved, directory):
                return True
            self._moved.add(name)
            self._again.pop(name, None)
        return False

    def _dispatch_page_again(self, name: str, moved: Division, directory: Directory) -> bool:
        anew = self._again.setdefault(name, Dispatch(self.station))
        try:
            with self._store.transaction() as tx:
                upto_pos = tx.claim(f"{name}.upto")
                if not upto_pos:
                    upto_pos = tx.position(DISPATCHED)
                    tx.move(f"{name}.upto", upto_pos)
                return anew.step_again(tx, directory, moved, name, upto_pos, self._now_us())
        except BaseException:
            self._again.pop(name)
            raise

    def move(self, division: Division, parent: Division, valid_to_us: int, record: Recording) -> Enrolment:
        """Place a division below another superior from now on, both below this node; what to carry to it.

        record: as for `admit`, of a `node.moved.v0`. Raises CertificateRefused.
        """
        directory = self.trust.directory
        text = move(division, parent, self._stating(directory), directory, self._now_us(), valid_to_us)
        if directory.adding(text) is not directory:
            text = record(text)
            self.trust.publish(directory.adding(text))
        return enrolment(self.trust.directory, text)

    def pump_down(self) -> bool:
        """Publish what the children have not acknowledged."""
        if self._below is None:
            return False
        with self._store.transaction() as tx:
            outgoing = self._downlink.next(tx, self._elapsed_s())
            self._forget(tx)
        if outgoing:
            self._outside.numbers_leave({child: upto for child, _, upto in outgoing})
        moved = False
        for child, letters, upto in outgoing:
            offset = self._lanes.publish(self._below, down_lane(child), letters)
            if offset is None:
                self._downlink.full(child, self._elapsed_s())
            else:
                self._downlink.sent(child, letters, upto, offset, self._elapsed_s())
                moved = True
        for child in self._downlink.unsure(self._elapsed_s()):
            moved |= self._downlink.look(child, self._below.extent(down_lane(child)), self._elapsed_s())
        return moved

    def _forget(self, tx: Transaction) -> None:
        elapsed_s = self._elapsed_s()
        if elapsed_s - self._forgot_s > _FORGET_EVERY_S:
            self._forgot_s = elapsed_s
            older_than_us = self._now_us() - KEEP_DOWN_US
            tx.forget_down(older_than_us, self._gone(tx, older_than_us))
            tx.forget_faults(older_than_us)

    def _gone(self, tx: Transaction, since_us: int) -> list[Division]:
        """Those said something to that are no child any more: certified below another, or not beyond `since_us`."""
        directory, children = self.trust.directory, set(self.children)
        return [
            state.division
            for state in tx.children()
            if state.division not in children
            or _is_no_more(directory, state.division)
            or (known := directory.division(state.division)) is None
            or known.certificate.valid_to_us < since_us
        ]

    # --- from above -------------------------------------------------------------------------------------------------

    def pump_arrivals(self, wait_s: float = 0.0) -> bool:
        """Take in what the parent sent, and acknowledge it; waits up to `wait_s` for something."""
        parent = self.parent
        if self._above is None or parent is None:
            return False
        self._look_again()
        asked = self._ask_held()
        lane = down_lane(self.station.here)
        try:
            delivered = self._above.fetch(self._lanes.positions([lane]), FETCH_BYTES, wait_s)
        except LaneReset:
            self._lanes.restart(lane)
            return True
        if not delivered:
            self._lanes.trim(self._above, [lane], is_idle=True)
            return asked
        records, offset = [one.body for one in delivered], delivered[-1].offset
        directory, moment = self.trust.directory, self._moment()
        arrived = self._store.learning(
            lambda tx: receive_down(tx, self.station, records, lane, offset, directory, self._asked, moment)
        )
        self.trust.publish(arrived.directory)
        if self._is_withheld:
            self._watched_s = None
        self._lanes.reached({lane: offset})
        self._say_up(Acknowledge(arrived.down_seq, EDITION))
        if arrived.ask_from is not None:
            self._say_up(AskDown(arrived.ask_from))
        self._lanes.trim(self._above, [lane], is_idle=False)
        return True

    def _look_again(self) -> None:
        """Once in a program's life: what the one before could not read."""
        if self._has_looked_again:
            return
        with self._store.transaction() as tx:
            unread = tx.unread()
        if unread:
            directory, moment = self.trust.directory, self._moment()
            self.trust.publish(self._store.learning(lambda tx: look_again(tx, self.station, directory, moment)))
        self._has_looked_again = True

    def _say_up(self, said: Up) -> int:
        """The offset of the letter; 0 where it could not be said."""
        if self._above is None or (parent := self.parent) is None:
            return 0
        letter = sign_letter(self.station, parent, said)
        return self._lanes.publish(self._above, up_lane(self.station.here), [letter]) or 0

    # --- before the first write -------------------------------------------------------------------------------------

    def ask_parent(self, nonce: bytes) -> None:
        """Ask what the parent holds of this node's log; `standing` tells the answer. For a node from a backup.

        nonce: 16 bytes by chance, which the answer repeats.
        """
        with self._store.transaction() as tx:
            tx.ask_held(nonce)

    def standing(self) -> Standing:
        """Whether the parent holds what this node holds.

        behind: it holds more, so this node was restored from an older state and must not write; differs: it holds
        something else. Both stand in the faults with the parent's proof.
        """
        with self._store.transaction() as tx:
            held = tx.held()
            if held is None:
                return "unasked"
            if held[1] is None:
                return "unanswered"
            known = tx.open_faults(self.station.origin)
        return "behind" if "behind" in known else "differs" if "differs_above" in known else "agrees"

    def _ask_held(self) -> bool:
        """Ask, and again where the question left the lane without an answer."""
        elapsed_s = self._elapsed_s()
        if self._asked_held_s is not None and elapsed_s - self._asked_held_s < _ASK_EVERY_S:
            return False
        self._asked_held_s = elapsed_s
        with self._store.transaction() as tx:
            held = tx.held()
        if held is None or held[1] is not None or self._above is None:
            return False
        extent = self._above.extent(up_lane(self.station.here))
        if extent.first <= self._asked_held_at <= extent.last:
            return False
        self._asked_held_at = self._say_up(AskReturn(held[0]) if self.has_lost_all() else AskHeld(held[0]))
        return True

    def has_lost_all(self) -> bool:
        """Whether this node is certified for a shard that goes on from another one, and has begun nothing of it."""
        with self._store.transaction() as tx:
            return has_lost_all(tx, self.station.origin, self.trust.directory)

    # --- the next shard of the own log ------------------------------------------------------------------------------

    def pass_on(self, witness: str) -> bool:
        """End the shard that is written; the next start writes the next one. False while not all is cosigned.

        witness: the name of the key whose cosignature secures. Raises TreeMoved where something is not sealed yet.
        Whoever writes is fenced.
        """
        with self._store.transaction() as tx:
            return pass_on(tx, self.station.here, witness)

    def opening(self) -> End | None:
        """What the first leaf of the own log has to say of the shard before; None where there is none."""
        with self._store.transaction() as tx:
            return opening(tx, self.station.origin)

    # --- receipts and enrolment -------------------------------------------------------------------------------------

    def witness_name(self) -> str | None:
        """The name of the key whose cosignature makes an event secured: the parent's; None at the root."""
        parent = self.parent
        known = None if parent is None else self.trust.directory.division(parent)
        return None if known is None else known.witness.name

    def cosigned_size(self, witness: str) -> int:
        """How many leaves of the own log `witness` has cosigned."""
        with self._store.transaction() as tx:
            return tx.cosigned_size(tx.own_log(), witness)

    def proof(self, log_id: int, seq: int, witness: str) -> Proof | None:
        """For a receipt: own leaf `seq` under the first checkpoint beyond it that `witness` cosigned, once there is."""
        with self._store.transaction() as tx:
            return proof_for(tx, log_id, seq, witness)

    def admit(self, request: str, valid_from_us: int, valid_to_us: int, record: Recording) -> Enrolment:
        """Enrol a direct subordinate: sign its certificate, record it, trust it; what to carry back to it.

        record: appends the `node.enrolled.v0` of a certificate's text and keeps the certificate, both or neither;
        gives the text as recorded: the first one, where an earlier try was stored unknown to its caller.
        Raises CertificateRefused, AlreadyEnrolled, and what `record` does. A repeated request changes nothing and
        gives the same certificate. One enrolment at a time: the next must find it.
        """
        directory = self.trust.directory
        self._require_next_shard(request, directory)
        self._require_rotation(request, directory)
        text = enrol(request, self.station.here, self._stating(directory), directory, valid_from_us, valid_to_us)
        if directory.adding(text) is not directory:
            text = record(text)
            self.trust.publish(directory.adding(text))
        return enrolment(self.trust.directory, text)

    def _stating(self, directory: Directory) -> Signer:
        """The log key as its certificate names it: checkpoints of a later shard bear another name, statements none."""
        own = directory.division(self.station.here)
        return self.station.signer if own is None else named(self.station.signer, own.log.name)

    def _require_next_shard(self, request: str, directory: Directory) -> None:
        """A node that lost its disk goes on in the shard after the last one that is held here, in no other."""
        asked = read_request(request)
        older = directory.division(asked.division)
        if older is None or asked.origin == older.certificate.origin:
            return
        last = older.certificate.origin
        with self._store.transaction() as tx:
            while tx.trees([shard_after(last)]):
                last = shard_after(last)
        if asked.origin != (following := shard_after(last)):
            shard = following.rpartition("/")[2]
            zh, en = (
                f"其日志的下一分片是{shard}",
                f"the next shard of its log is {shard}: found it with --shard {shard}",
            )
            raise CertificateRefused("wrong_shard", zh, en)

    def _require_rotation(self, request: str, directory: Directory) -> None:
        """Where other keys are to sign alone, the log says so in the leaf before: as far as it is held here that leaf
        must stand there, and nothing that was cosigned under the keys before is disowned."""
        asked = read_request(request)
        older = directory.division(asked.division)
        if older is None or directory.revocation(asked.division) is not None:
            return
        was, now = older.certificate, asked.keys
        if asked.origin != was.origin or now.log == was.keys.log:
            return
        with self._store.transaction() as tx:
            tree, since = tx.trees([asked.origin]).get(asked.origin), asked.since_size
            held = 0 if tree is None else tree.size
            said = tx.leaves(tree.log_id, since - 1, since) if tree is not None and 0 < since <= held else []
        if not (_announces(said, now.log) if since <= held else since <= held + UNSENT_LEAVES):
            zh, en = (
                f"其日志此处存有{held}条，第{since}条不是换钥记录",
                f"leaf {since} of {held} does not announce these keys",
            )
            raise CertificateRefused("since", zh, en)

    def take_back(
        self, division: Division, ground: Ground, successor: Division | None, size: int | None, record: Recording
    ) -> str:
        """Take back the keys of a direct subordinate, at the root of anybody's; the text that says so.

        size: the last size of its log that is held good; null for all that is held here. record: as for `admit`, of a
        `node.key_revoked.v0`. Where they were taken back before, that text again. Raises CertificateRefused.
        """
        directory = self.trust.directory
        before, known = directory.revocation(division), directory.division(division)
        if before is not None:
            return before.text
        if known is None:
            raise CertificateRefused("unknown_division", f"没有{division}的证书", f"nobody has certified {division}")
        if ground != "stolen" and division in directory.topology.parents.values():
            raise CertificateRefused("children", "其下级须先划归他处", "those below it must be placed elsewhere first")
        origin = known.certificate.origin
        with self._store.transaction() as tx:
            good, root = _last_good(tx, origin, size)
            said = tx.certificates_said(division, origin, good)
        issuers = directory.issuers()
        text = revoke(
            division,
            origin,
            good,
            root,
            ground,
            successor,
            [text for text in said if issuers.get(text) == division],
            self._stating(directory),
            directory,
            self._now_us(),
        )
        text = record(text)
        self.trust.publish(self.trust.directory.adding(text))
        return text

    def _moment(self) -> Moment:
        return Moment(self._now_us(), self._elapsed_s())


def _is_no_more(directory: Directory, code: Division) -> bool:
    """Whether a division was abolished or merged."""
    ended = directory.revocation(code)
    return ended is not None and ended.revocation.ground != "stolen"


def _last_good(tx: Transaction, origin: str, size: int | None) -> tuple[int, bytes]:
    """The size of a log that is held good, and its root there."""
    tree = tx.trees([origin]).get(origin)
    held = 0 if tree is None else tree.size
    if size is not None and size > held:
        raise CertificateRefused("size", f"此处只存有{held}条", f"no more than {held} leaves are held here")
    good = held if size is None else size
    return good, frontier_at(tx.hashes(tree.log_id), good).root() if tree else EMPTY_ROOT


def _announces(bodies: Sequence[bytes], log: str) -> bool:
    """Whether the leaf says that this log key follows; the name of a key is that of the shard it signs."""
    event = read_known(bodies[0]) if bodies else None
    return isinstance(event, KeysRotated) and event.log.split("+", 2)[2:] == log.split("+", 2)[2:]


def _nothing() -> None:
    """Before the first batch nothing is being stored."""
