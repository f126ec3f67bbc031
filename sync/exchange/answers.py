"""What a node answers its children in the transaction that takes in what they sent: cosignatures, wishes, refusals."""

from collections.abc import Iterable, Iterator, Mapping

from domain.divisions import Division
from domain.shards import shard_after
from sync.exchange.downlink import pack
from sync.exchange.inbox_store import InboxStore
from sync.exchange.opening import OpenFrame, OpenLetter, open_frame
from sync.exchange.returning import begin
from sync.exchange.station import Station
from sync.exchange.wire import Acknowledge, AskDown, AskHeld, AskReturn, Cosigned, Frame, Held, Item, decode_record
from sync.proofs.note import Checkpoint, NoteInvalid, cosign, parse_signature_lines
from sync.proofs.tree import LastCosigned, SignedHead, Tree
from sync.trust.certificates import Directory


class Answers:
    """Collects what is to be said to each child; `send` writes it as the next numbers of their sequences."""

    def __init__(self, store: InboxStore, station: Station, now_us: int) -> None:
        self._store = store
        self._station = station
        self._now_us = now_us
        self._items: dict[Division, list[Item]] = {}
        self._letters: list[OpenLetter] = []

    def say(self, child: Division, item: Item) -> None:
        """One thing more."""
        self._items.setdefault(child, []).append(item)

    def hear(self, letter: OpenLetter) -> None:
        """A child's own letter, taken up by `send`."""
        self._letters.append(letter)

    def cosign(self, grown: Iterable[tuple[Division, Tree]], repeated: Iterable[tuple[Division, Tree]]) -> None:
        """Cosign each tree that has grown at its newest head; of the others say the last cosignature again."""
        signer = self._station.cosigner
        lines: list[tuple[int, int, str]] = []
        for child, tree in grown:
            root = tree.frontier.root()
            text = Checkpoint(tree.origin, tree.size, root).text()
            line = str(cosign(text, signer, self._now_us // 1_000_000))
            lines.append((tree.log_id, tree.size, line))
            self.say(child, Cosigned(tree.origin, tree.size, root, line))
        if lines:
            self._store.keep_cosignatures(signer.verifier.name, lines, self._now_us)
        again = {tree.log_id: (child, tree) for child, tree in repeated}
        if again:
            for log_id, last in self._store.last_cosigned(again, signer.verifier.name).items():
                child, tree = again[log_id]
                self.say(child, Cosigned(tree.origin, last.size, last.root, self._by_present_key(tree, last)))

    def _by_present_key(self, tree: Tree, last: LastCosigned) -> str:
        """The cosignature given before, signed anew where this node has another key since."""
        signer = self._station.cosigner
        if parse_signature_lines(last.line.encode())[0].key_id == signer.verifier.key_id:
            return last.line
        line = str(cosign(Checkpoint(tree.origin, last.size, last.root).text(), signer, self._now_us // 1_000_000))
        self._store.keep_cosignatures(signer.verifier.name, [(tree.log_id, last.size, line)], self._now_us)
        return line

    def answer_held(self, directory: Directory) -> None:
        """Tell every child that asked how much of its log is known here now, stored or waiting behind a gap."""
        for letter in self._letters:
            if isinstance(letter.up, AskHeld):
                self.say(letter.child, self._held(letter.child, letter.up.nonce, directory))

    def send(self, offsets: Mapping[Division, int], directory: Directory) -> None:
        """Write everything; the children in one order, so that no two transactions block each other."""
        for child in sorted({*offsets, *self._items}):
            for letter in self._letters:
                if letter.child == child:
                    self._take(letter, directory)
            for items in pack(self._items.get(child, []), directory):
                self._store.enqueue(child, items, self._now_us)
            if child in offsets:
                self._store.heard(child, offsets[child], self._now_us)

    def _take(self, letter: OpenLetter, directory: Directory) -> None:
        match letter.up:
            case Acknowledge(down_seq, knows):
                self._store.acknowledged(letter.child, down_seq, knows)
            case AskDown(from_seq):
                self._store.ask_down(letter.child, from_seq)
            case AskHeld():
                pass  # answered already
            case AskReturn(nonce):
                begin(self._store, letter.child, nonce, directory)

    def _held(self, child: Division, nonce: bytes, directory: Directory) -> Held:
        known = directory.division(child)
        log = "" if known is None else known.certificate.origin
        tree = self._store.trees([log]).get(log)
        while later := self._store.trees([shard_after(log)]).get(shard_after(log)):
            log, tree = shard_after(log), later
        stored = None if tree is None else self._store.head_at(tree.log_id, tree.size)
        heads = [*self._waiting(child, log, directory), *([] if stored is None else [stored])]
        newest = max(heads, key=lambda head: head.size, default=None)
        return Held(nonce, log, 0, "") if newest is None else Held(nonce, log, newest.size, newest.note)

    def _waiting(self, child: Division, log: str, directory: Directory) -> Iterator[SignedHead]:
        """What the child has signed beyond a gap: not stored yet, and yet nothing else may take its place."""
        for record in self._store.parked_records(log):
            frame = decode_record(record)
            if not isinstance(frame, Frame):
                raise TypeError("only frames are parked")
            try:
                opened = open_frame(frame, record, child, directory, self._now_us, frame.first + len(frame.entries))
            except NoteInvalid:
                continue
            if isinstance(opened, OpenFrame) and opened.trouble is None:
                yield opened.head
