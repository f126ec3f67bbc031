"""The kept heads of one log: which its author signed, which were cosigned and when, in as little room as they need."""

from array import array
from collections.abc import Iterator
from typing import Final

from gateway.auditing.bundle import CHECKPOINTS, Bundle, FileUnreadable, LogLine, folder_of
from gateway.auditing.findings import Findings
from gateway.auditing.trusting import Head, Trust
from sync.proofs.merkle import HASH_BYTES, MAX_SIZE
from sync.proofs.note import MAX_NOTE_BYTES, Note, NoteInvalid, Verifier, parse_checkpoint, parse_note, verify
from sync.proofs.tiles import CHECKPOINT
from sync.trust.statements import MAX_SKEW_US, CertificateRefused

US: Final = 1_000_000


class Heads:
    """Sizes, roots and cosigning times of a log's heads, ascending by size. cosigned_size, secured_size: the largest
    that a superior, and that the whole quorum of the policy, has cosigned; covered_size: the latter where there is a
    policy, else the former. shown_size: of the `checkpoint` beside the
    tiles, 0 where it is not among them."""

    def __init__(self) -> None:
        self.sizes = array("q")
        self.times_s = array("q")
        self._roots = bytearray()
        self.cosigned_size = 0
        self.secured_size = 0
        self.covered_size = 0
        self.shown_size = 0
        self.witnesses: set[str] = set()

    def add(self, head: Head) -> None:
        """One more, larger than all before."""
        self.sizes.append(head.checkpoint.size)
        self.times_s.append(-1 if head.cosigned_s is None else head.cosigned_s)
        self._roots += head.checkpoint.root
        if head.cosigned_s is not None:
            self.cosigned_size = head.checkpoint.size
            self.witnesses.update(head.witnesses)
        if head.is_secured:
            self.secured_size = head.checkpoint.size

    def root(self, number: int) -> bytes:
        """The root that was signed."""
        return bytes(self._roots[number * HASH_BYTES : (number + 1) * HASH_BYTES])

    def windows(self) -> "Iterator[Window]":
        """By cosigned head: what time its leaves can rightly bear."""
        before_us, last_s, last_size = 0, None, 0
        for size, time_s in zip(self.sizes, self.times_s, strict=True):
            if time_s < 0:
                continue
            if last_s is not None and (time_s - last_s) * US > MAX_SKEW_US:
                before_us = last_s * US
            yield Window(last_size, size, before_us - MAX_SKEW_US, time_s * US + MAX_SKEW_US)
            last_s, last_size = time_s, size
        yield Window(last_size, MAX_SIZE, before_us - MAX_SKEW_US, MAX_SIZE)


class Window:
    """Leaves [first, end) were recorded from `from_us` to `to_us` (UTC microseconds), clocks allowed to differ.

    from_us: when a witness had last seen the log without them, and long enough before it saw them that they cannot
    have been on their way together.
    """

    __slots__ = ("end", "first", "from_us", "to_us")

    def __init__(self, first: int, end: int, from_us: int, to_us: int) -> None:
        self.first, self.end, self.from_us, self.to_us = first, end, from_us, to_us


def read_heads(bundle: Bundle, log: LogLine, trust: Trust, findings: Findings) -> Heads:
    """Every head kept of a log that its author signed; what is wrong with any of them is a finding."""
    heads = Heads()
    path = f"{folder_of(log)}/{CHECKPOINTS}"
    try:
        for number, text in enumerate(bundle.lines(path, str)):
            head = _head(text.encode(), log, number, trust, findings)
            if head is None:
                continue
            if heads.sizes and head.checkpoint.size <= heads.sizes[-1]:
                findings.add("head_order", log.origin, head.checkpoint.size, path)
                continue
            heads.add(head)
            is_late = head.cosigned_s is not None and not trust.is_valid_at(log.origin, head.cosigned_s * US)
            if is_late:
                findings.add("expired", log.origin, head.checkpoint.size)
    except FileUnreadable as error:
        findings.add("file_unreadable", log.origin, error.line, str(error))
    heads.covered_size = heads.secured_size if trust.has_policy(log.origin) else heads.cosigned_size
    _check_extent(heads, log, findings)
    _check_newest(bundle, log, heads, trust, findings)
    return heads


def cosigned_by(bundle: Bundle, log: LogLine, witness: Verifier, upto_s: int) -> int:
    """The largest size of the log that this witness had cosigned by then, as its kept heads prove; 0 for none."""
    largest = 0
    try:
        for text in bundle.lines(f"{folder_of(log)}/{CHECKPOINTS}", str):
            note = parse_note(text.encode())
            if not any((line.name, line.key_id) == (witness.name, witness.key_id) for line in note.signatures):
                continue
            checkpoint = parse_checkpoint(note.text)
            (signed,) = verify(note, [witness])
            if checkpoint.origin == log.origin and signed.time_s is not None and signed.time_s <= upto_s:
                largest = max(largest, checkpoint.size)
    except (FileUnreadable, NoteInvalid):
        return largest  # found before, where this bundle was verified by itself
    return largest


def _head(data: bytes, log: LogLine, number: int, trust: Trust, findings: Findings) -> Head | None:
    try:
        note = parse_note(data)
    except NoteInvalid as error:
        findings.add("file_unreadable", log.origin, number, str(error))
        return None
    return _signed(note, log, trust, findings)


def _signed(note: Note, log: LogLine, trust: Trust, findings: Findings) -> Head | None:
    try:
        return trust.head(log.origin, note)
    except CertificateRefused as error:
        code = "head_by_old_key" if error.reason in ("key_revoked", "key_retired") else "log_uncertified"
        findings.add(code, log.origin, detail=str(error))
        return None
    except NoteInvalid as error:
        names = {key.name for key in trust.authors(log.origin)}
        is_unsigned = not any(line.name in names for line in note.signatures)
        findings.add("head_unsigned" if is_unsigned else "signature_false", log.origin, detail=str(error))
        return None


def _check_extent(heads: Heads, log: LogLine, findings: Findings) -> None:
    """The heads end where the log ends, and at least one of them bears the word of a witness."""
    last = heads.sizes[-1] if heads.sizes else 0
    if last != log.size:
        findings.add("head_missing", log.origin, min(last, log.size), f"{last} of {log.size} leaves are under a head")
    if not heads.cosigned_size:
        findings.add("quorum_missing", log.origin, 0)
    elif heads.covered_size < last:
        findings.add("not_yet_cosigned", log.origin, heads.covered_size, f"{last - heads.covered_size} leaves")


def _check_newest(bundle: Bundle, log: LogLine, heads: Heads, trust: Trust, findings: Findings) -> None:
    """The `checkpoint` beside the tiles is the newest one that meets the policy in full."""
    path = f"{folder_of(log)}/{CHECKPOINT}"
    try:
        note = parse_note(bundle.read(path, MAX_NOTE_BYTES))
    except (FileUnreadable, NoteInvalid) as error:
        findings.add("file_unreadable", log.origin, detail=f"{path}: {error}")
        return
    head = _signed(note, log, trust, findings)
    if head is None:
        return
    size, root = head.checkpoint.size, head.checkpoint.root
    if size not in heads.sizes or heads.root(heads.sizes.index(size)) != root:
        findings.add("head_missing", log.origin, size, f"{path} is not among the kept ones")
        return
    heads.shown_size = size
    if heads.cosigned_size and (not head.is_secured or size < heads.secured_size):
        findings.add("newest_not_cosigned", log.origin, size, path)
