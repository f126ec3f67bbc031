"""How the escrow is opened: a request that two officers sign, each letting go of a share for that request alone.

A request is a C2SP signed note whose text is `huiyin-escrow-request/v0`, then one line of JSON. Each officer signs it
with a key that follows from the own share, and seals the share to the request's one-time key (HPKE, RFC 9180, bound to
the request). Who holds that key joins the shares once, for the keys that the request names, and drops all of it.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain import bounds
from domain.errors import DomainError
from domain.events import CaseId, EscrowGround
from sync.proofs.note import ED25519, Ed25519Signer, Note, NoteInvalid, Verifier, parse_note, sign_note, verify
from sync.sealed.sealing import HPKE, recipient_key_id
from sync.trust.escrow import EscrowShare, SharesDoNotFit, join_shares

MAX_AGE_US: Final = 7 * 86_400 * 1_000_000
"""So long after it was made a request is good for."""

MAX_SUBJECTS: Final = 40
"""So many keys one request asks for; a case that has more takes further requests."""

MAX_SKEW_US: Final = 10 * 60 * 1_000_000

_REQUEST: Final = "huiyin-escrow-request/v0"
_APPROVAL: Final = b"huiyin-escrow-approval/v0\0"
_OFFICER: Final = b"huiyin-escrow-officer/v0\0"


class EscrowRefused(DomainError):
    """The escrow stays shut. reason: stable snake_case word for what is wrong; the words say what to do next."""

    code = "escrow_refused"

    def __init__(self, reason: str, zh: str, en: str) -> None:
        super().__init__(f"托管未开启：{zh}", f"the escrow stays shut: {en}", field="request")
        self.reason = reason


class EscrowRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for: the keys of these subjects of one case, for the node that has the matter.

    requested_by, role: an account of the root by its pseudonym, and what it is there. made_us: UTC microseconds.
    key: id of the escrow's key. reply_to: the one-time X25519 public key, 32 bytes, that the shares are sealed to.
    """

    order: UUID
    case: CaseId
    subjects: Annotated[tuple[bounds.Subject, ...], msgspec.Meta(min_length=1, max_length=MAX_SUBJECTS)]
    receiver: bounds.Code
    ground: EscrowGround
    requested_by: UUID
    role: Literal["leader", "supervisor"]
    made_us: bounds.InstantUs
    key: bounds.KeyName
    reply_to: bytes

    def text(self) -> str:
        """What the officers sign."""
        return f"{_REQUEST}\n{msgspec.json.encode(self).decode()}\n"


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="escrow-approval.v0"):
    """One officer's yes. request: the note with the own line; share: the share, sealed to the request's key."""

    request: str
    share: bytes


def officer(share: EscrowShare) -> Ed25519Signer:
    """The key that the holder of a share signs with; nothing of the share can be told from its public half."""
    key_id = recipient_key_id(share.key)
    info = _OFFICER + share.holder.encode()
    seed = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(share.share)
    return Ed25519Signer(f"escrow/{key_id}/{share.holder}", ED25519, seed)


def read_request(text: str) -> EscrowRequest:
    """What is asked for in the text of a request or in a note of it, no signature checked. Raises EscrowRefused."""
    lines = text.split("\n")
    try:
        request = msgspec.json.decode(lines[1] if len(lines) > 2 else "", type=EscrowRequest)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise _malformed() from error
    body = request.text()
    if len(request.reply_to) != 32 or not (text == body or text.startswith(f"{body}\n")):
        raise _malformed()
    return request


def approve(text: str, share: EscrowShare) -> Approval:
    """Agree, as the holder of this share, to exactly this request. Raises EscrowRefused."""
    request = read_request(text)
    if request.text() != text or recipient_key_id(share.key) != request.key:
        raise EscrowRefused(
            "share", "份额不属于该申请所指的托管密钥", "this share is not of the escrow that it is about"
        )
    sealed = HPKE.encrypt(
        msgspec.json.encode(share), X25519PublicKey.from_public_bytes(request.reply_to), _info(text, share.holder)
    )
    return Approval(request=sign_note(text, officer(share)).to_bytes().decode(), share=sealed)


def agreed(text: str, approvals: Sequence[Approval], officers: Sequence[Verifier]) -> str:
    """The request as both officers have signed it: the note that the log keeps. Raises EscrowRefused."""
    note = Note(text, ())
    for approval in approvals:
        note = note.with_lines(_note(text, approval).signatures)
    if len({_signer(text, approval, officers) for approval in approvals}) != len(officers):
        raise EscrowRefused(
            "one_person", "须由两名托管人各自签署，现只有一人", "both officers have to sign; so far one person has"
        )
    return note.to_bytes().decode()


def joined(
    text: str, approvals: Sequence[Approval], officers: Sequence[Verifier], one_time: X25519PrivateKey
) -> X25519PrivateKey:
    """The escrow's private key, for one use; drop it at once. Call `agreed` before. Raises EscrowRefused."""
    shares = []
    for approval in approvals:
        signer = _signer(text, approval, officers)
        share = _share(text, approval, signer, one_time)
        if officer(share).verifier != signer or recipient_key_id(share.key) != read_request(text).key:
            raise _wrong_share(signer)
        shares.append(share)
    try:
        return join_shares(*shares)
    except SharesDoNotFit as error:
        raise EscrowRefused(
            "share", "两份份额不能合成托管密钥", "the two shares do not make the escrow's key"
        ) from error


def require_fresh(request: EscrowRequest, now_us: int) -> None:
    """Raises EscrowRefused for a request that is too old, or from a time that has not come."""
    if not -MAX_SKEW_US <= now_us - request.made_us <= MAX_AGE_US:
        raise EscrowRefused("stale", "申请已超过7日，请重新申请", "the request is older than 7 days; make a new one")


def _share(text: str, approval: Approval, signer: Verifier, one_time: X25519PrivateKey) -> EscrowShare:
    try:
        plain = HPKE.decrypt(approval.share, one_time, _info(text, signer.name.rpartition("/")[2]))
    except (InvalidTag, ValueError):
        raise _wrong_share(signer) from None
    try:
        return msgspec.json.decode(plain, type=EscrowShare)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # refused outside the handler: a decoder's error carries the share
    raise _wrong_share(signer)


def _signer(text: str, approval: Approval, officers: Sequence[Verifier]) -> Verifier:
    try:
        (signed,) = verify(_note(text, approval), officers)
    except (NoteInvalid, ValueError) as error:
        raise EscrowRefused(
            "signature", "签署无效或不是托管人所签", "it is not signed by one of the officers"
        ) from error
    return signed.verifier


def _note(text: str, approval: Approval) -> Note:
    try:
        note = parse_note(approval.request.encode())
    except (NoteInvalid, UnicodeError) as error:
        raise _malformed() from error
    if note.text != text:
        raise EscrowRefused("another_request", "两份签署不是同一申请", "the two approvals are not of one request")
    return note


def _info(text: str, holder: str) -> bytes:
    return _APPROVAL + sha256(text.encode()).digest() + holder.encode()


def _wrong_share(signer: Verifier) -> EscrowRefused:
    return EscrowRefused(
        "share",
        f"{signer.name} 的份额不对或不是为本申请交出",
        f"the share of {signer.name} is wrong or for another request",
    )


def _malformed() -> EscrowRefused:
    return EscrowRefused("malformed", "申请格式不对，请用原文件", "it is no request; use the file that was made")
