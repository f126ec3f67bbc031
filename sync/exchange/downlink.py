"""The downward sequence of a parent: numbered, signed, kept until the child has acknowledged it."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from domain.divisions import Division
from sync.exchange.channel import Extent
from sync.exchange.patience import Patience
from sync.exchange.station import Station
from sync.exchange.wire import (
    FRAME_BYTES,
    Down,
    Enclosure,
    Introduction,
    Item,
    Letter,
    Up,
    encode,
    items_of,
    signed_bytes,
)
from sync.trust.certificates import Directory

WINDOW_LETTERS: Final = 128
WINDOW_BYTES: Final = 16 << 20
"""So much may be on its way to one child without an acknowledgement."""

LETTER_ITEMS: Final = 500

BURST_BYTES: Final = 4 << 20


class ChildState(NamedTuple):
    """The downward sequence of one child: last number given, last acknowledged, asked for again from (or null)."""

    division: Division
    down_size: int
    down_acked: int
    down_from: int | None


class Numbered(NamedTuple):
    """One number of a child's sequence, its items encoded."""

    seq: int
    items: bytes


class DownlinkStore(Protocol):
    """Reads of one moment."""

    def children(self) -> list[ChildState]:
        """Every child that was ever said something or heard from."""

    def down_rows(self, child: Division, after: int, limit: int) -> list[Numbered]:
        """Kept numbers beyond `after`, in order."""

    def resuming(self, child: Division) -> None:
        """The child's wish to have its sequence again is being followed."""

    def forget_down(self, older_than_us: int, gone: Sequence[Division]) -> None:
        """Drop numbers older than this: acknowledged ones, and all of `gone` that were not heard of since either."""


class _Burst(NamedTuple):
    """Letters published at once: the last number, the lane's offset of it, their size."""

    upto: int
    offset: int
    size_bytes: int


class _Reach:
    """How far one child's sequence is sent in this process, and what of it is on its way."""

    def __init__(self, acked: int, patience: Patience) -> None:
        self.sent = self.acked = acked
        self.patience = patience
        self.bursts: deque[_Burst] = deque()
        self.has_more = False

    def acknowledge(self, acked: int, elapsed_s: float) -> None:
        """What the child has stored is no longer on its way."""
        if acked > self.acked:
            self.acked, self.sent = acked, max(self.sent, acked)
            self.patience.answered(elapsed_s)
            while self.bursts and self.bursts[0].upto <= acked:
                self.bursts.popleft()

    def go_back(self, sent: int) -> None:
        """What is beyond this number is sent again."""
        self.sent = min(self.sent, sent)
        while self.bursts and self.bursts[-1].upto > self.sent:
            self.bursts.pop()

    @property
    def has_room(self) -> bool:
        """Whether more may be on its way."""
        size_bytes = sum(burst.size_bytes for burst in self.bursts)
        return self.sent - self.acked < WINDOW_LETTERS and size_bytes < WINDOW_BYTES


class Downlink:
    """Sends every child what it has not acknowledged, in order; again only what its lane holds no longer."""

    def __init__(self, station: Station, retry_s: float = 5.0) -> None:
        """retry_s: what left the lane without an acknowledgement is sent again after so long, see Patience."""
        self._station = station
        self._retry_s = retry_s
        self._reach: dict[Division, _Reach] = {}

    def next(self, store: DownlinkStore, elapsed_s: float) -> list[tuple[Division, list[bytes], int]]:
        """For each child with something to send: its letters, and the number they reach. Then call `sent`."""
        outgoing: list[tuple[Division, list[bytes], int]] = []
        for state in store.children():
            reach = self._reach_of(state)
            reach.acknowledge(state.down_acked, elapsed_s)
            if state.down_from is not None:
                reach.go_back(state.down_from - 1)
                store.resuming(state.division)
            reach.has_more = reach.sent < state.down_size
            if reach.has_more and reach.patience.may_send and reach.has_room:
                rows = store.down_rows(state.division, reach.sent, WINDOW_LETTERS)
                letters = self._letters(state.division, reach.sent, rows)
                if letters:
                    outgoing.append((state.division, letters, rows[len(letters) - 1].seq))
        return outgoing

    def sent(self, child: Division, letters: Sequence[bytes], upto: int, offset: int, elapsed_s: float) -> None:
        """The channel has taken the child's letters up to this number, at this offset of the lane."""
        reach = self._reach[child]
        is_anew = reach.patience.published(offset, elapsed_s, is_first=not reach.bursts)
        reach.sent = upto
        if upto > reach.acked:  # beyond what a child that lost its memory asked for again
            reach.bursts.append(_Burst(upto, offset, sum(map(len, letters))))
        if is_anew:
            reach.go_back(reach.acked)

    def full(self, child: Division, elapsed_s: float) -> None:
        """The child's lane takes no more."""
        reach = self._reach[child]
        reach.patience.block(elapsed_s)
        reach.go_back(reach.acked)

    def unsure(self, elapsed_s: float) -> list[Division]:
        """The children whose lanes are to be looked at now; call `look` with what each holds."""
        return [
            child
            for child, reach in self._reach.items()
            if (reach.bursts or (reach.has_more and not reach.patience.may_send))
            and reach.patience.wants_look(elapsed_s)
        ]

    def look(self, child: Division, extent: Extent, elapsed_s: float) -> bool:
        """Whether there is something to send now."""
        reach = self._reach[child]
        oldest = reach.bursts[0].offset if reach.bursts else 0
        is_to_send = reach.patience.look(extent, oldest, elapsed_s)
        if is_to_send:
            reach.go_back(reach.acked)
        return is_to_send

    def _reach_of(self, state: ChildState) -> _Reach:
        reach = self._reach.get(state.division)
        if reach is None:
            reach = self._reach[state.division] = _Reach(state.down_acked, Patience(self._retry_s))
        return reach

    def _letters(self, child: Division, after: int, rows: Sequence[Numbered]) -> list[bytes]:
        letters: list[bytes] = []
        size_bytes = 0
        for row in rows:
            if letters and size_bytes + len(row.items) > BURST_BYTES:
                break
            down = Down(row.seq, after, items_of(row.items))
            letters.append(sign_letter(self._station, child, down))
            size_bytes += len(row.items)
            after = row.seq
        return letters


def pack(items: Sequence[Item], directory: Directory) -> list[list[Item]]:
    """The items in letters of bearable size, each opening with the certificates that its enclosures need."""
    letters: list[list[Item]] = []
    introduced: list[dict[str, None]] = []
    size_bytes = 0
    for item in items:
        texts = dict.fromkeys(_certificates(item, directory))
        new = [text for text in texts if not introduced or text not in introduced[-1]]
        more_bytes = _size_bytes(item) + sum(map(len, new))
        if not letters or size_bytes + more_bytes > FRAME_BYTES or len(letters[-1]) >= LETTER_ITEMS:
            letters.append([])
            introduced.append({})
            size_bytes, more_bytes = 0, _size_bytes(item) + sum(map(len, texts))
        letters[-1].append(item)
        introduced[-1] |= texts
        size_bytes += more_bytes
    return [
        [Introduction(list(texts)), *letter] if texts else letter
        for letter, texts in zip(letters, introduced, strict=True)
    ]


def _certificates(item: Item, directory: Directory) -> list[str]:
    author = directory.division_of(item.log) if isinstance(item, Enclosure) else None
    return [] if author is None else directory.chain(author)


def _size_bytes(item: Item) -> int:
    if isinstance(item, Enclosure):
        return 1_000 + len(item.body) + 34 * len(item.proof) + sum(len(part.body) for part in item.beside)
    return 500


def sign_letter(station: Station, to: Division, said: Down | Up) -> bytes:
    """The record in which this node says something to a neighbour."""
    body = encode(said)
    signature = station.signer.sign(signed_bytes(to, body))
    return encode(Letter(station.here, to, body, signature, list(station.papers)))
