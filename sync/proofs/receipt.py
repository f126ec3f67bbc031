"""What a citizen keeps: a promise that their filing will stand in the log, later the proof that it does.

The file opens with our own lines, and after its first blank line holds one standard text, verbatim to the end:
`sed '1,/^$/d' FILE` gives the signed note of a promise, or a `.tlog-proof` that other tools check.

    huiyin-receipt-file/v0 <base64 SHA-256 of all that follows this line>
    leaf <base64 of the event>                          (a promise only: a proof has it as `extra`)
    opening <path> <base64 salt> <text as JSON string>  (one line for each text shown; fewer may be shown)

    <signed note, or tlog-proof with its cosigned checkpoint>

The digest only shows damage, so that no half-legible receipt passes; what convinces are signatures and hashes.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec

from sync.proofs.merkle import ProofInvalid, leaf_hash, verify_inclusion
from sync.proofs.note import (
    Note,
    NoteInvalid,
    Signed,
    Signer,
    Verifier,
    decode64,
    encode64,
    parse_note,
    sign_note,
    verify,
)
from sync.proofs.policy import Policy, PolicyInvalid, check_checkpoint, parse_policy
from sync.proofs.signed_policy import is_signed, read_signed
from sync.proofs.tlog_proof import TlogProof, parse_tlog_proof
from sync.sealed.commitment import MAX_PATH_BYTES, SALT_BYTES, Opening

MAX_RECEIPT_BYTES = 1024 * 1024

_FILE = "huiyin-receipt-file/v0"
_PROMISE = "huiyin-receipt/v0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReceiptInvalid(Exception):
    """The receipt is damaged or altered, or proves nothing under this policy. It may not be relied on.

    What to do next: take the file again from where it was first kept, or ask the office for it again.
    """

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(
            f"回执无效：{zh}，请使用原始文件或向受理单位重新索取 / "
            f"receipt invalid: {en}; use the original file or ask the office for it again"
        )


class Promised(msgspec.Struct, frozen=True):
    """The intake key promised at `promised_us` that the leaf will stand in the log by `due_us` (UTC microseconds).

    Beyond that moment, unless the log can prove the leaf, the promise is evidence of suppression. Whether it has
    passed only the log's own clock tells: a simulated one says nothing of today.
    """

    promised_us: int
    due_us: int


class Proven(msgspec.Struct, frozen=True):
    """The leaf stands at this 0-based index of the log, under a root that these witnesses have cosigned."""

    index: int
    size: int
    root: bytes
    cosigned: tuple[Signed, ...]


class ReceiptReport(msgspec.Struct, frozen=True):
    """What a receipt shows. openings: each fits its commitment in the leaf. unopened: paths kept closed.

    simulated_clock: its times are those of a demonstration. policy_serial: the policy's number; null for a bare one.
    """

    origin: str
    leaf: bytes
    leaf_hash: bytes
    shows: Promised | Proven
    openings: tuple[Opening, ...]
    unopened: tuple[str, ...]
    simulated_clock: bool
    policy_serial: int | None = None


def promise(signer: Signer, origin: str, leaf: bytes, promised_us: int, due_us: int) -> Note:
    """The intake key's word that this leaf will stand in the log by `due_us`, later than `promised_us` (UTC us)."""
    lines = [_PROMISE, origin, encode64(leaf_hash(leaf)), _format_time(promised_us), _format_time(due_us)]
    return sign_note("".join(f"{line}\n" for line in lines), signer)


def promise_receipt(note: Note, leaf: bytes, openings: Iterable[Opening]) -> bytes:
    """The file a citizen gets at once. leaf: the event's bytes, whose hash the note promises."""
    return seal(f"leaf {encode64(leaf)}\n{_opening_lines(openings)}\n".encode() + note.to_bytes())


def proof_receipt(
    leaf: bytes, index: int, path: Iterable[bytes], checkpoint: Note, openings: Iterable[Opening]
) -> bytes:
    """The file that takes the promise's place once the checkpoint has its cosignatures. index: 0-based."""
    proof = TlogProof(leaf, index, tuple(path), checkpoint.to_bytes())
    return seal(f"{_opening_lines(openings)}\n".encode() + proof.to_bytes())


def seal(rest: bytes) -> bytes:
    """The file whose first line shows whether `rest`, all that follows it, is whole."""
    return f"{_FILE} {encode64(sha256(rest).digest())}\n".encode() + rest


def standard_part(data: bytes) -> bytes:
    """The signed note or tlog-proof inside a receipt, verbatim, not verified. Raises: ReceiptInvalid."""
    return _unseal(data)[1]


def verify_receipt(
    data: bytes, policy_text: str, *, publisher: Verifier | None = None, accept_simulated_clock: bool = False
) -> ReceiptReport:
    """Check a receipt with nothing but the published policy of its log: no network, no database, no clock.

    policy_text: bare, or as its publisher signed it. publisher: whose signature the policy must bear; without one, a
    policy is believed for where it was got from. Raises: ReceiptInvalid for anything wrong with the receipt,
    PolicyInvalid for anything wrong with the policy.
    """
    policy, serial = _read_policy(policy_text, publisher, accept_simulated_clock)
    try:
        return msgspec.structs.replace(_verify(data, policy), policy_serial=serial)
    except (NoteInvalid, ProofInvalid) as error:
        raise ReceiptInvalid(error.zh, error.en) from error


def _read_policy(text: str, publisher: Verifier | None, accept_simulated_clock: bool) -> tuple[Policy, int | None]:
    if publisher is None and not is_signed(text):
        return parse_policy(text, accept_simulated_clock=accept_simulated_clock), None
    publishers = None if publisher is None else [publisher]
    signed = read_signed(text, publishers, accept_simulated_clock=accept_simulated_clock)
    return signed.policy, signed.serial


def _verify(data: bytes, policy: Policy) -> ReceiptReport:
    lines, body = _unseal(data)
    if body.startswith(_PROMISE.encode()):
        leaf, lines = _take_leaf(lines)
        shows: Promised | Proven = _check_promise(body, leaf, policy)
    else:
        leaf, shows = _check_proof(body, policy)
    openings = tuple(map(_parse_opening, lines))
    unopened = _check_openings(openings, leaf)
    return ReceiptReport(policy.log.name, leaf, leaf_hash(leaf), shows, openings, unopened, policy.simulated_clock)


def _check_promise(body: bytes, leaf: bytes, policy: Policy) -> Promised:
    if policy.intake is None:
        raise PolicyInvalid("没有受理承诺密钥", "it names no key for receipt promises (# huiyin:intake)")
    note = parse_note(body)
    verify(note, policy.intakes)
    lines = note.text.split("\n")
    if len(lines) != 6 or lines[0] != _PROMISE or lines[1] != policy.log.name:
        raise ReceiptInvalid("承诺格式或日志名不符", "the promise is malformed or for another log")
    if decode64(lines[2]) != leaf_hash(leaf):
        raise ReceiptInvalid("承诺的不是所附条目", "the promise is not for the leaf in this file")
    promised_us, due_us = _parse_time(lines[3]), _parse_time(lines[4])
    if due_us <= promised_us:
        raise ReceiptInvalid("期限早于承诺时间", "the promise is due before it was made")
    return Promised(promised_us, due_us)


def _check_proof(body: bytes, policy: Policy) -> tuple[bytes, Proven]:
    proof = parse_tlog_proof(body)
    checkpoint, cosigned = check_checkpoint(policy, parse_note(proof.checkpoint))
    verify_inclusion(proof.index, checkpoint.size, leaf_hash(proof.extra), proof.path, checkpoint.root)
    return proof.extra, Proven(proof.index, checkpoint.size, checkpoint.root, cosigned)


def _check_openings(openings: tuple[Opening, ...], leaf: bytes) -> tuple[str, ...]:
    """The paths of the leaf that stay closed, once every opening fits."""
    closed = _commitments(leaf)
    for opening in openings:
        found = (opening.path, opening.commitment())
        if found not in closed:
            raise ReceiptInvalid(f"“{opening.path}”与登记内容不符", f"{opening.path} is not what was registered")
        closed.remove(found)
    return tuple(sorted(path for path, _ in closed))


class _Sealed(msgspec.Struct):
    fields: dict[str, str]


class _Leaf(msgspec.Struct):
    sealed: list[_Sealed] = []


def _commitments(leaf: bytes) -> list[tuple[str, str]]:
    """(path, base64 commitment) from `sealed`, the one field of an event that this module knows."""
    try:
        is_canonical = msgspec.json.encode(msgspec.json.decode(leaf)) == leaf
        sealed = msgspec.json.decode(leaf, type=_Leaf).sealed
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ReceiptInvalid("所附条目不是可读的事件", "the leaf is no readable event") from error
    if not is_canonical:
        raise ReceiptInvalid("所附条目写法不唯一", "the leaf can be read in two ways")
    return [field for part in sealed for field in part.fields.items()]


def _unseal(data: bytes) -> tuple[list[str], bytes]:
    """Our own lines, without the first, and the standard text."""
    first, _, rest = data[: MAX_RECEIPT_BYTES + 1].partition(b"\n")
    if len(data) > MAX_RECEIPT_BYTES or first != f"{_FILE} {encode64(sha256(rest).digest())}".encode():
        raise ReceiptInvalid("文件不完整或被改动", "the file is not whole or was changed")
    head, _, body = (b"\n" + rest).partition(b"\n\n")
    try:
        return head.decode().split("\n")[1:], body
    except UnicodeDecodeError as error:
        raise ReceiptInvalid("首部不是UTF-8", "the head is not UTF-8") from error


def _take_leaf(lines: list[str]) -> tuple[bytes, list[str]]:
    if not lines or not lines[0].startswith("leaf "):
        raise ReceiptInvalid("缺少登记条目", "the leaf line is missing")
    return decode64(lines[0].removeprefix("leaf ")), lines[1:]


def _opening_lines(openings: Iterable[Opening]) -> str:
    return "".join(f"opening {it.path} {encode64(it.salt)} {_text_json(it.value)}\n" for it in openings)


def _parse_opening(line: str) -> Opening:
    words = line.split(" ", 3)
    if len(words) != 4 or words[0] != "opening" or not words[1]:
        raise ReceiptInvalid("有一行读不懂", "a line is not understood")
    salt = decode64(words[2])
    try:
        value = msgspec.json.decode(words[3], type=str)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ReceiptInvalid("开示内容不是文本", "an opened value is no JSON string") from error
    if len(salt) != SALT_BYTES or len(words[1].encode()) > MAX_PATH_BYTES or _text_json(value) != words[3]:
        raise ReceiptInvalid("开示行写法不对", "an opening is not written in the one way it can be")
    return Opening(words[1], salt, value)


def _text_json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _format_time(at_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_time(text: str) -> int:
    """UTC microseconds of the one spelling that `_format_time` writes."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text, re.ASCII):
        raise ReceiptInvalid("时间写法不对", "a time is malformed")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    except ValueError as error:
        raise ReceiptInvalid("没有这样的时间", "there is no such time") from error
