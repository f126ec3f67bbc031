"""A node above that lies downward and to its own superior, with true keys: it shows, hides and cosigns what it likes.

liar = EvilUpper(city.township)
liar.passes_up(lambda record: [])         # what goes on to its superior passes through its hands
liar.passes_down(VILLAGE, lambda item: [item])  # and so does every item of its letters to one child
liar.cosigns(VILLAGE, checkpoint, time_s) # says so itself, whatever it holds
"""

from collections.abc import Callable, Sequence

import msgspec

from domain.divisions import Division
from domain.events import Head, HeadsNoted
from sync.exchange.channel import down_lane
from sync.exchange.downlink import sign_letter
from sync.exchange.wire import (
    Cosigned,
    Down,
    Frame,
    Item,
    Letter,
    decode_down,
    decode_item,
    decode_record,
    encode,
    encode_items,
)
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import Checkpoint, cosign, encode64
from tests.sync.hierarchy import Tampering
from tests.sync.test_simulated import SimulatedNode


class EvilUpper:
    """The hands of whoever runs a superior."""

    def __init__(self, node: SimulatedNode) -> None:
        self.node = node

    def passes_up(self, change: Callable[[bytes], Sequence[bytes]]) -> None:
        """From now on its records pass through `change` on their way up."""
        self.node.above = Tampering(self.node.channel, lambda _, record: change(record))
        self._again()

    def hides(self, origin: str) -> None:
        """Frames of this log do not go up."""
        self.passes_up(lambda record: [] if is_of(record, origin) else [record])

    def passes_down(self, child: Division, change: Callable[[Item], Sequence[Item]]) -> None:
        """From now on every item that it says to this child passes through `change`; its numbers stay whole."""

        def letters(lane: str, record: bytes) -> list[bytes]:
            said = decode_record(record)
            if lane != down_lane(child) or not isinstance(said, Letter):
                return [record]
            down = decode_down(said.body)
            items = [out for raw in down.items for out in change(decode_item(raw))]
            return [sign_letter(self.node.station, child, Down(down.seq, down.after, encode_items(items)))]

        self.node.below = Tampering(self.node.channel, letters)
        self._again()

    def says(self, child: Division, *items: Item) -> None:
        """As the next number of that child's sequence."""
        with self.node.exchange._store.transaction() as tx:
            tx.enqueue(child, items, self.node.clock.now_us())

    def cosigns(self, child: Division, checkpoint: Checkpoint, time_s: int | None = None) -> Cosigned:
        """Cosign any head, and say so to that child."""
        when_s = self.node.clock.now_us() // 1_000_000 if time_s is None else time_s
        line = str(cosign(checkpoint.text(), self.node.cosigner, when_s))
        item = Cosigned(checkpoint.origin, checkpoint.size, checkpoint.root, line)
        self.says(child, item)
        return item

    def notes(self, checkpoint: Checkpoint) -> None:
        """Log that it has accepted this head."""
        head = Head(log=checkpoint.origin, size=checkpoint.size, root=encode64(checkpoint.root))
        self.node.say(HeadsNoted, heads=(head,))

    def _again(self) -> None:
        self.node.crash()
        self.node.start()


def head_of(origin: str, leaves: Sequence[bytes]) -> Checkpoint:
    """The unsigned head of any history."""
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    return Checkpoint(origin, frontier.size, frontier.root())


def is_of(record: bytes, origin: str) -> bool:
    """Whether a record is a frame of this log."""
    frame = decode_record(record)
    return isinstance(frame, Frame) and frame.log == origin


def without_parts(record: bytes) -> bytes:
    """A frame without what lies beside its leaves."""
    frame = decode_record(record)
    return encode(msgspec.structs.replace(frame, beside=[])) if isinstance(frame, Frame) else record
