"""The downward sequence of a parent: numbered, signed, sent again until the child has acknowledged it."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from domain.divisions import Division
from sync.exchange.station import Station
from sync.exchange.wire import (
    FRAME_BYTES,
    Down,
    Enclosure,
    Introduction,
    Item,
    Letter,
    Up,
    decode_items,
    encode,
    signed_bytes,
)
from sync.trust.certificates import Directory

WINDOW_LETTERS: Final = 128
"""So many letters to one child may be on their way without an acknowledgement."""

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

    def forget_down(self, older_than_us: int) -> None:
        """Drop acknowledged numbers that are older than this."""


class _Reach(msgspec.Struct):
    """How far one child's sequence is sent in this process."""

    sent: int
    acked: int
    progress_s: float
    patience_s: float


class Downlink:
    """Sends every child what it has not acknowledged, in order; what stays unanswered is sent again."""

    def __init__(self, station: Station, retry_s: float = 5.0, retry_limit_s: float = 60.0) -> None:
        """retry_s: without an acknowledgement for so long, send again; doubling up to retry_limit_s."""
        self._station = station
        self._retry_s = retry_s
        self._retry_limit_s = retry_limit_s
        self._reach: dict[Division, _Reach] = {}

    def next(self, store: DownlinkStore, elapsed_s: float) -> list[tuple[Division, list[bytes], int]]:
        """For each child with something to send: its letters, and the number they reach. Then call `sent`."""
        outgoing: list[tuple[Division, list[bytes], int]] = []
        for state in store.children():
            reach = self._reach_of(state, elapsed_s)
            if state.down_from is not None:
                reach.sent = min(reach.sent, state.down_from - 1)
                store.resuming(state.division)
            if reach.sent < state.down_size and reach.sent - state.down_acked < WINDOW_LETTERS:
                rows = store.down_rows(state.division, reach.sent, WINDOW_LETTERS)
                letters = self._letters(state.division, reach.sent, rows)
                if letters:
                    outgoing.append((state.division, letters, rows[len(letters) - 1].seq))
        return outgoing

    def sent(self, child: Division, upto: int, elapsed_s: float) -> None:
        """The channel has taken the child's letters up to this number."""
        reach = self._reach[child]
        if reach.sent <= reach.acked:
            reach.progress_s = elapsed_s
        reach.sent = upto

    def _reach_of(self, state: ChildState, elapsed_s: float) -> _Reach:
        reach = self._reach.get(state.division)
        if reach is None:
            reach = _Reach(state.down_acked, state.down_acked, elapsed_s, self._retry_s)
            self._reach[state.division] = reach
        if state.down_acked > reach.acked:
            reach.acked, reach.progress_s, reach.patience_s = state.down_acked, elapsed_s, self._retry_s
            reach.sent = max(reach.sent, reach.acked)
        if reach.sent > reach.acked and elapsed_s - reach.progress_s > reach.patience_s:
            reach.sent, reach.progress_s = reach.acked, elapsed_s
            reach.patience_s = min(reach.patience_s * 2, self._retry_limit_s)
        return reach

    def _letters(self, child: Division, after: int, rows: Sequence[Numbered]) -> list[bytes]:
        letters: list[bytes] = []
        size_bytes = 0
        for row in rows:
            if letters and size_bytes + len(row.items) > BURST_BYTES:
                break
            down = Down(row.seq, after, decode_items(row.items))
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
    return encode(Letter(station.here, to, body, station.signer.sign(signed_bytes(to, body))))
