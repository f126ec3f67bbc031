"""What a superior signs about those below it: their certificates, others after them, and the end of their keys."""

from collections.abc import Iterable

import msgspec

from domain.divisions import Division
from domain.errors import DomainError
from sync.proofs.note import Signer, encode64
from sync.trust.certificates import RENEWAL_US, Directory, Known
from sync.trust.statements import (
    CertificateRefused,
    Ground,
    Request,
    Revocation,
    is_signed_by,
    make_certificate,
    make_revocation,
    mark_of,
    read_request,
)


class AlreadyEnrolled(DomainError):
    """The division has a certificate with other signing keys. Restore them, have them rotated, or found a new shard."""

    code = "already_enrolled"

    def __init__(self, code: Division) -> None:
        super().__init__(
            f"{code}已登记过另一套签名密钥：请从备份恢复原密钥，用 huiyin node rotate 更换，"
            "或停用原节点后以新的分片号重新建立",
            f"{code} is enrolled with other signing keys: restore them from the backup, change them with `huiyin node "
            "rotate`, or retire that node and found it anew with another shard",
            field="request",
        )


def enrol(
    request_text: str, issuer: Division, signer: Signer, directory: Directory, valid_from_us: int, valid_to_us: int
) -> str:
    """The certificate of a direct subordinate, at the root of any division, below whom its request says.

    The caller records it in a `node.enrolled.v0` and tells the node. A request with the keys that are in force gives
    the certificate in force again; within RENEWAL_US of its end, with another recipient key, or with other signing
    keys that those in force vouch for, the next one; so does one with all keys new after the old ones were taken back.
    Raises CertificateRefused, AlreadyEnrolled for a division of another superior or with other signing keys under the
    same log.
    """
    request = read_request(request_text)
    parent = request.parent or issuer
    if parent != issuer and issuer in directory.topology.parents:
        raise CertificateRefused("parent", f"申请的上级是{parent}", f"it asks to stand below {parent}: take it there")
    older = directory.division(request.division)
    if older is not None:
        again = _again(request_text, request, parent, older, directory, valid_from_us)
        if again is not None:
            return again
        request = _since(request, older, directory)
    serial = directory.next_serial(request.division)
    text = make_certificate(request, parent, serial, valid_from_us, valid_to_us, signer)
    directory.adding(text)
    return text


def _again(
    text: str, request: Request, parent: Division, older: Known, directory: Directory, now_us: int
) -> str | None:
    """The certificate in force where nothing else is asked for; null where another may follow it."""
    was, asked = older.certificate.keys, request.keys
    if older.certificate.parent != parent:
        raise AlreadyEnrolled(request.division)
    revoked = directory.revocation(request.division)
    if revoked is not None:
        _require_all_new(request, directory)
        return None
    if was == asked and now_us < older.certificate.valid_to_us - RENEWAL_US:
        return older.text
    if not _may_follow(text, request, older):
        raise AlreadyEnrolled(request.division)
    if asked.recipient_id in directory.given_up_recipients(request.division):
        raise CertificateRefused("keys", "收件密钥已停用", "its recipient key was given up for a later one")
    return None


def _may_follow(text: str, request: Request, older: Known) -> bool:
    """Whether other keys are taken: for a log of its own; the recipient key alone, vouched for by the log key; or all
    signing keys at once, where the log key in force has signed the request, too."""
    was, asked = older.certificate.keys, request.keys
    before, after = {was.log, was.witness, was.intake}, {asked.log, asked.witness, asked.intake}
    if before == after or older.certificate.origin != request.origin:
        return True
    return not before & after and is_signed_by(text, older.log)


def _since(request: Request, older: Known, directory: Directory) -> Request:
    """The request with the size from which on its log key signs alone."""
    before, revoked = older.certificate, directory.revocation(request.division)
    if request.origin != before.origin:
        return msgspec.structs.replace(request, since_size=0)
    if revoked is not None and revoked.revocation.origin == request.origin:
        return msgspec.structs.replace(request, since_size=revoked.revocation.size)
    if request.keys.log == before.keys.log:
        return msgspec.structs.replace(request, since_size=before.since_size)
    if request.since_size < before.since_size:
        raise CertificateRefused("since", "换钥起点早于上一次", "its keys would follow before those that went before")
    return request


def _require_all_new(request: Request, directory: Directory) -> None:
    keys = request.keys
    if {keys.log, keys.witness, keys.intake, keys.recipient} & directory.given_up_keys(request.division):
        raise CertificateRefused(
            "keys", "密钥已被收回，须全部换新", "a key of it was taken back: all four must be new ones"
        )


def move(
    division: Division, parent: Division, signer: Signer, directory: Directory, valid_from_us: int, valid_to_us: int
) -> str:
    """The certificate with which a division stands below another superior, its keys what they were.

    signer: of somebody who stands above both places. The caller records it in a `node.moved.v0` and tells the node.
    Raises CertificateRefused.
    """
    known = directory.division(division)
    if known is None or directory.revocation(division) is not None:
        raise CertificateRefused(
            "unknown_division", f"{division}没有有效证书", f"{division} has no certificate in force"
        )
    older = known.certificate
    if older.parent == parent:
        return known.text
    wish = Request(
        division=division,
        parent=parent,
        name=older.name,
        tier=older.tier,
        origin=older.origin,
        keys=older.keys,
        since_size=older.since_size,
    )
    text = make_certificate(wish, parent, directory.next_serial(division), valid_from_us, valid_to_us, signer)
    directory.adding(text)
    return text


def revoke(
    division: Division,
    origin: str,
    size: int,
    root: bytes,
    ground: Ground,
    successor: Division | None,
    standing: Iterable[str],
    signer: Signer,
    directory: Directory,
    at_us: int,
) -> str:
    """The text that takes back a subordinate's keys. standing: texts that they signed before and that hold.

    The caller records it in a `node.key_revoked.v0`. Raises CertificateRefused.
    """
    revocation = Revocation(
        division=division,
        serial=directory.next_serial(division),
        origin=origin,
        size=size,
        root=encode64(root),
        ground=ground,
        successor=successor,
        standing=tuple(sorted({mark_of(text) for text in standing})),
        at_us=at_us,
    )
    text = make_revocation(revocation, signer)
    directory.adding(text)
    return text
