"""C2SP tlog-witness without HTTP: what a witness answers to a checkpoint, and what a log asks of one."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from sync.proofs.merkle import EMPTY_ROOT, HASH_BYTES, ProofInvalid, Prover, verify_consistency
from sync.proofs.note import (
    Checkpoint,
    Note,
    NoteInvalid,
    SignatureLine,
    Signer,
    Verifier,
    cosign,
    decode64,
    encode64,
    parse_checkpoint,
    parse_decimal,
    parse_note,
    parse_signature_lines,
    verify,
)
from sync.proofs.tree import Latest, TreeReader

MAX_REQUEST_BYTES: Final = 64 * 1024
_MAX_PROOF_LINES: Final = 63
MAX_SKEW_S: Final = 10 * 60
"""By how much the clocks of a log and its witness may differ, and a witness's clock may have been ahead."""

_SIZE_TYPE: Final = "text/x.tlog.size"
_TEXT: Final = "text/plain; charset=utf-8"


class Witnessed(msgspec.Struct, frozen=True):
    """The latest checkpoint that was cosigned for a log. note: with the log's signature that was verified.

    time_s: what the cosignature says of its time, POSIX seconds; the next one says no earlier one.
    """

    size: int
    root: bytes
    note: bytes
    time_s: int = 0


class CosignatureUntimely(NoteInvalid):
    """A cosignature from the future, or of a time before the one that its witness signed last; it is not kept.

    Set the clock right that is wrong: the witness's, or this node's.
    """

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh}，请核对双方时钟", f"{en}; compare both clocks")


class WitnessStore(Protocol):
    """Where a witness keeps what it has cosigned; the only thing that stands between it and a rollback."""

    def witnessed(self, origin: str) -> Witnessed | None:
        """The latest one, or None if there never was one."""

    def replace_witnessed(self, origin: str, before: Witnessed | None, after: Witnessed) -> bool:
        """Put `after` in place of exactly `before`, durably, in one step; False if something else stands there."""


class Answer(msgspec.Struct, frozen=True):
    """status: of HTTP. body: signature lines for 200, the witness's size for a 409, else one line of reason."""

    status: int
    content_type: str
    body: bytes


def add_checkpoint(
    store: WitnessStore, logs: Mapping[str, Sequence[Verifier]], signer: Signer, request: bytes, now_us: int
) -> Answer:
    """Answer one `POST add-checkpoint`: 200 with a cosignature, 400, 403, 404, 409 or 422; 503 with a wrong clock.

    logs: the keys trusted for each origin, in the order in which they followed one another: once a checkpoint under a
    later one is cosigned, none counts that lacks it. Everything is checked before the state is moved, the state is
    moved before anything is signed, and of two requests that race only one moves it.
    """
    try:
        old_size, proof, note, checkpoint = _parse(request)
    except NoteInvalid as error:
        return _refusal(400, str(error))
    keys = logs.get(checkpoint.origin)
    if keys is None:
        return _refusal(404, "this log is not known here")
    before = store.witnessed(checkpoint.origin)
    try:
        verify(note, keys if before is None else _not_followed(keys, before))
    except NoteInvalid as error:
        return _refusal(403, str(error))
    if old_size > checkpoint.size:
        return _refusal(400, "the old size is larger than the checkpoint's")
    size = before.size if before else 0
    if old_size != size or (before and size == checkpoint.size and before.root != checkpoint.root):
        return _conflict(size)
    try:
        old_root = before.root if before else EMPTY_ROOT
        verify_consistency(old_size, checkpoint.size, old_root, checkpoint.root, proof)
    except ProofInvalid as error:
        return _refusal(422, str(error))
    last_s, now_s = before.time_s if before else 0, now_us // 1_000_000
    if last_s > now_s + MAX_SKEW_S:
        return _refusal(503, "the witness has signed a later time than its clock shows; its clock has to be set right")
    after = Witnessed(checkpoint.size, checkpoint.root, note.to_bytes(), max(last_s, now_s))
    if not store.replace_witnessed(checkpoint.origin, before, after):
        now = store.witnessed(checkpoint.origin)
        return _conflict(now.size if now else 0)
    line = cosign(note.text, signer, after.time_s)
    return Answer(200, _TEXT, str(line).encode())


def _not_followed(keys: Sequence[Verifier], before: Witnessed) -> Sequence[Verifier]:
    """From the last of these keys on that had signed the checkpoint cosigned before."""
    signed = {(line.name, line.key_id) for line in parse_note(before.note).signatures}
    first = max((at for at, key in enumerate(keys) if (key.name, key.key_id) in signed), default=0)
    return keys[first:]


class Question(msgspec.Struct, frozen=True):
    """A request to a witness, and what its answer is checked against. old_size: what it is taken to hold."""

    checkpoint: Checkpoint
    old_size: int
    body: bytes


class AskingStore(TreeReader, Protocol):
    """What a log needs to ask."""

    def keep_cosignatures(self, witness: str, lines: Sequence[tuple[int, int, str]], now_us: int) -> None:
        """(log_id, size, line) of one witness."""

    def keep_latest(self, log_id: int, latest: Latest) -> None:
        """The last word of a witness, in place of the one before."""

    def latest(self, log_id: int, witness: str) -> Latest | None:
        """The last word of a witness; None before its first."""


def question(
    store: AskingStore, witness: Verifier, note: str, held_size: int | None = None, *, again: bool = False
) -> Question | None:
    """What to POST to a witness of the own log so that it cosigns `note`, a signed head; None where it has.

    held_size: what the witness said that it holds, if it has said so; otherwise what it has cosigned. again: ask for
    what is cosigned, too, such as after a restore, when the witness may know more than this database, or for a newer
    time.
    """
    own = store.own_log()
    # Everything follows from the note: the tree may have grown since.
    checkpoint = parse_checkpoint(parse_note(note.encode()).text)
    cosigned = store.cosigned_size(own, witness.name)
    old_size = cosigned if held_size is None else held_size
    if (cosigned >= checkpoint.size and not again) or old_size > checkpoint.size:
        return None
    proof = Prover(store.hashes(own), checkpoint.size).consistency(old_size)
    return Question(checkpoint, old_size, _request(old_size, proof, note))


def take_answer(
    store: AskingStore,
    asked: Question,
    status: int,
    body: bytes,
    witness: Verifier,
    now_us: int,
    *,
    is_sure: bool = True,
) -> int | None:
    """Keep the cosignature of a 200; for a 409, the size that the witness holds, to ask again with.

    Raises NoteInvalid for an answer that is none, and for every other status: show it to the operator.
    Raises CosignatureUntimely. Nothing is kept then. is_sure: whether `now_us` is believed; what would be the future
    by a clock in doubt is kept.
    """
    if status == 409:
        return size_held(body)
    if status != 200:
        raise NoteInvalid(
            f"见证方答复{status}", f"the witness answered {status}: {body[:200].decode(errors='replace')}"
        )
    line = cosignature_in(body, asked.checkpoint, witness)
    own = store.own_log()
    size, latest = asked.checkpoint.size, store.latest(own, witness.name)
    if is_sure and line.time_s > now_us // 1_000_000 + MAX_SKEW_S:
        raise CosignatureUntimely("联署时间在将来", "the cosignature says a time that has not come")
    if latest is not None and line.time_s < signed_s(latest):
        raise CosignatureUntimely("联署时间早于上一次", "the cosignature says an earlier time than the one before")
    store.keep_cosignatures(witness.name, [(own, size, str(line))], now_us)
    store.keep_latest(own, Latest(witness.name, size, str(line), now_us))
    return None


def cosignature_in(body: bytes, checkpoint: Checkpoint, witness: Verifier) -> SignatureLine:
    """The line of `witness` in the body of a 200, verified over `checkpoint`, others ignored. Raises NoteInvalid."""
    lines = [line for line in parse_signature_lines(body) if (line.name, line.key_id) == (witness.name, witness.key_id)]
    verify(Note(checkpoint.text(), tuple(lines)), [witness])
    return lines[0]


def signed_s(latest: Latest) -> int:
    """The time that a witness's last word says, POSIX seconds by its own clock."""
    (line,) = parse_signature_lines(latest.line.encode())
    return line.time_s


class RolledBack(msgspec.Struct, frozen=True, tag="witness-rollback.v0", tag_field="type"):
    """Two notes of one log, each with the log's line and the witness's: the later one signs a smaller head.

    A cosignature says that this head is the largest that its witness has seen by that time (C2SP tlog-cosignature), so
    the two contradict: the witness was put back to an older state. held: the size that it said it holds, not signed.
    """

    earlier: str
    later: str
    held: int


def proves_rollback(evidence: RolledBack, log: Verifier, witness: Verifier) -> bool:
    """Whether a third party, who knows nothing but the two keys, has to agree."""
    sizes, times_s = [], []
    for text in (evidence.earlier, evidence.later):
        try:
            note = parse_note(text.encode())
            signed = {one.verifier: one.time_s for one in verify(note, [log, witness])}
            sizes.append(parse_checkpoint(note.text).size)
        except NoteInvalid:
            return False
        if log not in signed or (time_s := signed.get(witness)) is None:
            return False
        times_s.append(time_s)
    return sizes[1] < sizes[0] and times_s[1] > times_s[0]


def size_held(body: bytes) -> int:
    """What the body of a 409 says that the witness holds. Raises NoteInvalid."""
    return parse_decimal(body.decode("ascii", "replace").removesuffix("\n"))


def _parse(request: bytes) -> tuple[int, list[bytes], Note, Checkpoint]:
    if len(request) > MAX_REQUEST_BYTES:
        raise NoteInvalid("请求过长", "the request is too long")
    head, blank, rest = request.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if not blank or not lines[0].startswith("old ") or len(lines) > 1 + _MAX_PROOF_LINES:
        raise NoteInvalid(
            "请求格式不对", "a request is an old size, at most 63 proof lines, a blank line, a checkpoint"
        )
    old_size = parse_decimal(lines[0].removeprefix("old "))
    proof = [decode64(line) for line in lines[1:]]
    if any(len(digest) != HASH_BYTES for digest in proof):
        raise NoteInvalid("证明中的哈希须为32字节", "a hash of the proof has not 32 bytes")
    note = parse_note(rest)
    return old_size, proof, note, parse_checkpoint(note.text)


def _request(old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    lines = [f"old {old_size}", *map(encode64, proof), "", note]
    return "\n".join(lines).encode()


def _refusal(status: int, reason: str) -> Answer:
    return Answer(status, _TEXT, f"{reason}\n".encode())


def _conflict(size: int) -> Answer:
    return Answer(409, _SIZE_TYPE, f"{size}\n".encode())
