"""What the node says it learned in which order: every leaf once, in turn, no effect before its cause."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gateway.auditing.bundle import ABOVE, ORDER, AboveLine, Bundle, FileUnreadable, LogLine, Run
from gateway.auditing.findings import Findings
from gateway.auditing.leaves import Tiles
from gateway.auditing.trusting import Trust
from sync.exchange.leaf import Leaf, read_leaf
from sync.proofs.merkle import ProofInvalid, leaf_hash, verify_inclusion
from sync.proofs.note import NoteInvalid, parse_note
from sync.proofs.tiles import TileInvalid
from sync.trust.statements import CertificateRefused

OWN: Final = 0
FROM_BELOW: Final = 1
FROM_ABOVE: Final = 2


class Learned(NamedTuple):
    """A leaf as the node learned it. log: its place in logs.jsonl; known_us: by the node's own word."""

    log: int
    seq: int
    via: int
    known_us: int
    body: bytes
    leaf: Leaf


class Order:
    """Goes through order.jsonl once."""

    def __init__(self, bundle: Bundle, logs: Sequence[LogLine], tiles: Tiles, trust: Trust, found: Findings) -> None:
        self._bundle, self._logs, self._tiles, self._trust, self._found = bundle, logs, tiles, trust, found
        self._numbers = {log.origin: number for number, log in enumerate(logs)}
        self._next = [0] * len(logs)
        self._ahead: list[set[int]] = [set() for _ in logs]
        self._above: Iterator[AboveLine] = bundle.lines(ABOVE, AboveLine)

    def __iter__(self) -> Iterator[Learned]:
        """Every leaf in the order learned, as far as it can be read; what is wrong is a finding."""
        try:
            yield from self._all()
        except (FileUnreadable, TileInvalid) as error:
            line = error.line if isinstance(error, FileUnreadable) else None
            self._found.add("file_unreadable", index=line, detail=str(error))

    def has_learned(self, origin: str, seq: int) -> bool | None:
        """Whether the leaf came before the present one; None for a log that is not here as a whole."""
        number = self._numbers.get(origin)
        if number is None or self._logs[number].folder is None:
            return None
        return seq < self._next[number] or seq in self._ahead[number]

    def _all(self) -> Iterator[Learned]:
        last_us = 0
        for line, run in enumerate(self._bundle.lines(ORDER, Run)):
            if run.log >= len(self._logs):
                self._found.add("order_broken", index=line, detail="it names a log that is not listed")
                return
            if run.known_us < last_us:
                self._found.add("order_broken", index=line, detail="the node's clock ran backwards")
            last_us = max(last_us, run.known_us)
            for seq in range(run.first, run.first + run.count):
                learned = self._one(run, seq)
                if learned is None:
                    return
                yield learned
        for number, log in enumerate(self._logs):
            if log.folder is not None and self._next[number] != log.size:
                self._found.add("order_broken", log.origin, self._next[number], "not every leaf was learned")
        if next(self._above, None) is not None:
            self._found.add("order_broken", detail=f"{ABOVE} holds leaves that were never learned")

    def _one(self, run: Run, seq: int) -> Learned | None:
        log = self._logs[run.log]
        is_single = log.folder is None or seq >= log.size
        if not is_single and not self._note(run, seq):
            self._found.add("order_broken", log.origin, seq)
            return None
        body = self._single(run.log, log, seq) if is_single else self._tiles.leaf(log, seq)
        if body is None:
            return None
        return Learned(run.log, seq, run.via, run.known_us, body, read_leaf(body, log.origin, self._trust.directory))

    def _note(self, run: Run, seq: int) -> bool:
        """Count the leaf; False where it comes a second time, or out of turn though nothing from above excuses that."""
        ahead, awaited = self._ahead[run.log], self._next[run.log]
        if seq < awaited or seq in ahead or (seq > awaited and run.via != FROM_ABOVE):
            return False
        ahead.add(seq)
        while awaited in ahead:
            ahead.remove(awaited)
            awaited += 1
        self._next[run.log] = awaited
        return True

    def _single(self, number: int, log: LogLine, seq: int) -> bytes | None:
        """The next leaf of above.jsonl, which must be this one, proven to stand in its log."""
        line = next(self._above, None)
        if line is None or (line.log, line.seq) != (number, seq):
            self._found.add("order_broken", log.origin, seq, f"{ABOVE} does not hold it in its turn")
            return None
        try:
            head = self._trust.head(log.origin, parse_note(line.checkpoint.encode())).checkpoint
            verify_inclusion(seq, head.size, leaf_hash(line.leaf), line.path, head.root)
        except (NoteInvalid, ProofInvalid, CertificateRefused) as error:
            self._found.add("enclosure_unproven", log.origin, seq, str(error))
        return line.leaf
