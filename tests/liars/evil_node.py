"""A node below that lies upward: it has the true keys, certificate and lane of an honest node, and says what it likes.

liar = EvilNode(city.village)
liar.sends(liar.frame(leaves))            # a history signed anew, whatever it had signed before
liar.hides(lambda record: ...)            # its own exchange goes on, and each record passes through its hands
"""

import itertools
from collections.abc import Callable, Sequence

import msgspec

from domain.events import HandedOver, LegId, decode
from sync.exchange.channel import up_lane
from sync.exchange.downlink import sign_letter
from sync.exchange.wire import Frame, Up, encode
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import ED25519, Checkpoint, Ed25519Signer, Signer, sign_note
from tests.sync.hierarchy import Tampering, new_event
from tests.sync.test_simulated import SimulatedNode


class EvilNode:
    """The hands of whoever runs an honest node's machine, or has a copy of its keys."""

    def __init__(self, node: SimulatedNode) -> None:
        self.node = node
        self.signer: Signer = node.signer
        self._numbers = itertools.count(1)

    # --- what it may say ----------------------------------------------------------------------------------------------

    def leaves(self) -> list[bytes]:
        """Its log as it stands with its superior."""
        assert isinstance(self.node.parent, SimulatedNode)
        return self.node.parent.log(self.node.origin)

    def made_up(self) -> bytes:
        """An event that never happened, in good order."""
        envelope = self.node.envelope(self.node.chance.id_by(self.node.division), None)
        leg = LegId(self.node.chance.id_by(self.node.division))
        fields = {"leg": leg, "to": f"{self.node.division}.office", "mode": "transfer", "next_leg": leg}
        return new_event(HandedOver(**envelope, **fields, report_by=None)).body

    def edited(self, leaf: bytes) -> bytes:
        """The same event, to another office."""
        event = decode(leaf)
        assert isinstance(event, HandedOver)
        return new_event(msgspec.structs.replace(event, to=f"{self.node.division}.other")).body

    def head(self, leaves: Sequence[bytes], origin: str = "", signer: Signer | None = None) -> str:
        """The signed head of any history."""
        frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
        text = Checkpoint(origin or self.node.origin, frontier.size, frontier.root()).text()
        return sign_note(text, signer or self.signer).to_bytes().decode()

    def frame(self, leaves: Sequence[bytes], first: int = 0, origin: str = "", signer: Signer | None = None) -> bytes:
        """The leaves of a history from `first` on, under its signed head."""
        log = origin or self.node.origin
        return encode(Frame(log, first, self.head(leaves, log, signer), list(leaves[first:]), []))

    # --- how it says it -----------------------------------------------------------------------------------------------

    def sends(self, *records: bytes) -> None:
        """Into its own lane."""
        self.node.channel.publish(up_lane(self.node.division), records)

    def tells(self, said: Up) -> None:
        """A letter to its superior, truly signed."""
        assert self.node.parent is not None
        self.sends(sign_letter(self.node.station, self.node.parent.division, said))

    def hides(self, change: Callable[[bytes], Sequence[bytes]]) -> None:
        """From now on its own records pass through `change` on their way up."""
        self.node.above = Tampering(self.node.channel, lambda _, record: change(record))
        self.node.crash()
        self.node.start()


def stranger(origin: str) -> Ed25519Signer:
    """A key that nobody has certified, under that name."""
    return Ed25519Signer(origin, ED25519, bytes(32))
