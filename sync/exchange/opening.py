"""Opening what a child sent, before any state is looked at: shape, signatures, the author's place in the tree."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.divisions import Division
from sync.exchange.channel import Delivered
from sync.exchange.leaf import Leaf, read_leaf, unreadable
from sync.exchange.wire import Frame, Letter, Up, WireInvalid, decode_record, decode_up, signed_bytes
from sync.proofs.merkle import leaf_hash
from sync.proofs.note import NoteInvalid, Verifier, parse_checkpoint, parse_note
from sync.proofs.tree import SignedHead
from sync.trust.certificates import CertificateRefused, Directory


class OpenFrame(msgspec.Struct, frozen=True):
    """A frame whose author's signature holds, or `trouble`: why its author cannot be checked yet.

    hashes, leaves: leaf hash and reading of each entry, empty where the frame holds nothing new. record: its bytes.
    """

    child: Division
    record: bytes
    frame: Frame
    head: SignedHead
    hashes: list[bytes]
    leaves: list[Leaf]
    trouble: CertificateRefused | None


class OpenLetter(msgspec.Struct, frozen=True):
    """A letter of the child itself, its signature checked. papers: what it took to check it, new here."""

    child: Division
    up: Up
    papers: tuple[str, ...] = ()


class Spoiled(msgspec.Struct, frozen=True):
    """A record that says nothing that could be relied on. kind: stable name of the fault."""

    child: Division
    record: bytes
    kind: str
    detail: str


Opened = OpenFrame | OpenLetter | Spoiled


class LetterForged(Exception):
    """A letter that its sender did not sign, or that is for somebody else. Count it; nothing in it counts."""


def open_record(
    delivered: Delivered,
    child: Division,
    here: Division,
    directory: Directory,
    now_us: int,
    held: Mapping[str, int],
) -> Opened:
    """Check one record of the lane of `child`. All that is costly and needs no state is done here, outside any lock.

    held: how much of each log is known to be held already, at least: what lies within that is not read again.
    """
    try:
        record = decode_record(delivered.body)
        if isinstance(record, Letter):
            read = open_letter(record, child, here, directory, now_us)
            return OpenLetter(child, decode_up(read.body), read.papers)
        return open_frame(record, delivered.body, child, directory, now_us, held.get(record.log, 0))
    except WireInvalid as error:
        return Spoiled(child, delivered.body, "wire_invalid", str(error))
    except NoteInvalid as error:
        return Spoiled(child, delivered.body, "bad_signature", str(error))
    except LetterForged as error:
        return Spoiled(child, delivered.body, "letter_forged", str(error))


def open_frame(
    frame: Frame, record: bytes, child: Division, directory: Directory, now_us: int, held_size: int = 0
) -> OpenFrame | Spoiled:
    """Check a frame against its author's certificate. Raises NoteInvalid."""
    note = parse_note(frame.checkpoint.encode())
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != frame.log or checkpoint.size != frame.first + len(frame.entries):
        raise NoteInvalid("检查点与所附条目不符", "the checkpoint is not the one that these entries end at")
    trouble = None
    try:
        directory.check_head(note, frame.log, checkpoint.size, now_us)
        if not _stands_below(directory, frame.log, child):
            return Spoiled(child, record, "misplaced", f"{frame.log} is not below {child}")
    except CertificateRefused as error:
        trouble = error
    head = SignedHead(checkpoint.size, checkpoint.root, frame.checkpoint)
    if head.size <= held_size:
        return OpenFrame(child, record, frame, head, [], [], trouble)
    hashes = [leaf_hash(entry) for entry in frame.entries]
    leaves = [read_leaf(entry, frame.log, directory) for entry in frame.entries]
    return OpenFrame(child, record, frame, head, hashes, leaves, trouble)


def readings(record: Opened) -> Iterator[Opened]:
    """What may be made of a record, for a database that refuses the reading before: as it is; with one leaf after the
    other taken for no event; with all of them; and at last as a fault alone.
    """
    yield record
    if isinstance(record, OpenFrame):
        refused = unreadable("the database does not take what it says")
        for at in range(len(record.leaves)):
            yield msgspec.structs.replace(record, leaves=[*record.leaves[:at], refused, *record.leaves[at + 1 :]])
        yield msgspec.structs.replace(record, leaves=[refused] * len(record.leaves))
    body = b"" if isinstance(record, OpenLetter) else record.record
    yield Spoiled(record.child, body, "not_stored", "the database does not take it")


class Checked(NamedTuple):
    """The body of a letter, and the certificates in it that it took to check it."""

    body: bytes
    papers: tuple[str, ...]


def open_letter(letter: Letter, sender: Division, here: Division, directory: Directory, now_us: int) -> Checked:
    """The body of a letter from `sender` to `here`. Raises LetterForged."""
    if letter.sender != sender or letter.to != here or directory.division(sender) is None:
        raise LetterForged(f"a letter of {letter.sender} to {letter.to} on the lane of {sender}")
    if any(is_signed(letter, key) for key in directory.letter_keys(sender, now_us)):
        return Checked(letter.body, ())
    told, refused = directory.adding_what_holds(letter.papers, now_us)
    if told is directory or not any(is_signed(letter, key) for key in told.letter_keys(sender, now_us)):
        raise LetterForged(f"the signature of {sender} does not hold")
    return Checked(letter.body, tuple(text for text in letter.papers if text not in refused))


def is_signed(letter: Letter, key: Verifier) -> bool:
    """Whether the letter's signature is by this log key."""
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(
            letter.signature, signed_bytes(letter.to, letter.body)
        )
    except InvalidSignature:
        return False
    return True


def _stands_below(directory: Directory, origin: str, child: Division) -> bool:
    """Now, or before its author was placed elsewhere: who still has some of it to send on may."""
    author = directory.division_of(origin)
    return author is not None and (child == author or directory.stood_below(author, child))
