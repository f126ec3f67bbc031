"""Who may speak for which division: certificates from the pinned root down, and what follows from them.

A certificate is a C2SP signed note whose text is `huiyin-certificate/v0`, then one line of JSON; the superior signs
it with its log key, the root signs its own and is pinned by hash in every node. A request is a note of the same
kind, signed by the key it asks for.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from domain.divisions import Division, Tier, Topology, division, is_below
from domain.errors import DomainError
from sync.proofs.note import (
    KeyInvalid,
    NoteInvalid,
    Signer,
    Verifier,
    decode64,
    encode64,
    parse_note,
    parse_vkey,
    sign_note,
    verify,
)
from sync.sealed.sealing import RECIPIENT_KEY_BYTES, Recipient, is_usable, recipient_key_id

MAX_SKEW_US = 10 * 60 * 1_000_000
"""How far two nodes' clocks may differ before a certificate counts as not yet or no longer valid."""

RENEWAL_US = 90 * 24 * 3_600 * 1_000_000
"""So long before its end a certificate is renewed for whoever asks with the same keys."""

MAX_CHILDREN = 1_000
"""So many divisions a node below the root may certify: every certificate travels to every node."""

MAX_SERIAL = 100
"""So many certificates one division may have, for the same reason."""

_FAMILY = "huiyin-certificate/"
_CERTIFICATE = f"{_FAMILY}v0"
_REQUEST = "huiyin-request/v0"
_S = TypeVar("_S", bound=msgspec.Struct)


class CertificateRefused(Exception):
    """A certificate or request that must not be trusted. reason: stable snake_case word for what is wrong.

    Enrol the node again, or correct the clock where the reason is `expired` or `not_yet_valid`.
    """

    def __init__(self, reason: str, zh: str, en: str) -> None:
        super().__init__(f"证书不可信：{zh}，请重新登记节点 / certificate refused: {en}; enrol the node again")
        self.reason = reason


class AlreadyEnrolled(DomainError):
    """The division has a certificate with other signing keys. Restore the node's keys, or found it with a new shard."""

    code = "already_enrolled"

    def __init__(self, code: Division) -> None:
        super().__init__(
            f"{code}已登记过另一套签名密钥：请从备份恢复原密钥，或停用原节点后以新的分片号重新建立",
            f"{code} is enrolled with other signing keys: restore them from the backup, or retire that node and found "
            "it anew with another shard",
            field="request",
        )


class Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public keys of a node. log, witness, intake: C2SP vkeys; recipient: raw X25519 key in base64 and its id."""

    log: str
    witness: str
    intake: str
    recipient_id: str
    recipient: str


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node asks its superior, or the root, to sign. parent: below whom; null for whoever enrols it."""

    division: Division
    parent: Division | None = None
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    tier: Tier
    origin: str
    keys: Keys


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of `division` from `valid_from_us` to `valid_to_us` (UTC microseconds), said by `parent`.

    parent: null for the root alone. escrow: on the root's alone, the X25519 key in base64 that every data key is
    wrapped to once more; the pin of the root covers it. serial: counts the certificates of one division; the highest
    is in force for what the division signs from now on, older ones stay good for what lies in logs.
    """

    division: Division
    name: str
    tier: Tier
    parent: Division | None
    origin: str
    keys: Keys
    escrow: str | None
    serial: Annotated[int, Meta(ge=1)]
    valid_from_us: int
    valid_to_us: int

    @property
    def log(self) -> Verifier:
        """Checks this division's checkpoints and letters. Raises KeyInvalid."""
        return parse_vkey(self.keys.log)

    @property
    def witness(self) -> Verifier:
        """Checks this division's cosignatures. Raises KeyInvalid."""
        return parse_vkey(self.keys.witness)

    def is_valid_at(self, now_us: int) -> bool:
        """Whether its time has come and not passed, clocks allowed to differ by MAX_SKEW_US."""
        return self.valid_from_us - MAX_SKEW_US <= now_us <= self.valid_to_us + MAX_SKEW_US


class Known(msgspec.Struct, frozen=True):
    """A certificate whose chain was verified, with its exact text and its keys, parsed once. issuer: who signed it."""

    certificate: Certificate
    issuer: Division
    text: str
    log: Verifier
    witness: Verifier


class Directory:
    """Every certificate known here, verified from the pinned root down. Immutable: `adding` gives a new one."""

    def __init__(self, root_fingerprint: str) -> None:
        """root_fingerprint: hex SHA-256 of the root's certificate text, from this node's own configuration."""
        self.root_fingerprint = root_fingerprint
        self._by_division: dict[Division, tuple[Known, ...]] = {}
        self._by_origin: dict[str, tuple[Known, ...]] = {}
        self._parents: dict[Division, Division] = {}
        self._children: Counter[Division] = Counter()
        self._topology: Topology | None = None

    @property
    def topology(self) -> Topology:
        """Who stands directly under whom."""
        if self._topology is None:
            self._topology = Topology(self._parents)
        return self._topology

    def adding(self, text: str) -> "Directory":
        """The directory with one more certificate; itself where it is known already. Raises CertificateRefused.

        The superior's certificate must be known: add from the root down.
        """
        return self.adding_all([text])

    def adding_all(self, texts: Iterable[str]) -> "Directory":
        """All of `texts` in any order, superiors found among them. Raises CertificateRefused for one that cannot."""
        grown, refused = self.adding_what_holds(texts)
        for error in refused.values():
            raise error
        return grown

    def adding_what_holds(self, texts: Iterable[str]) -> tuple["Directory", dict[str, CertificateRefused]]:
        """The directory with those of `texts` that hold, and why each of the others does not, by its text."""
        read, refused = _all_read(texts)
        new = {text: said for text, said in read.items() if not self._has(said, text)}
        if not new:
            return self, refused
        grown = Directory(self.root_fingerprint)
        grown._by_division = dict(self._by_division)
        grown._by_origin = dict(self._by_origin)
        grown._parents = dict(self._parents)
        grown._children = self._children.copy()
        failed = grown._add_all(new)
        return self if len(failed) == len(new) else grown, refused | failed

    @property
    def escrow(self) -> Recipient | None:
        """Whom every data key is wrapped to once more, as the pinned root says; null where it has none."""
        for known in self._by_division.values():
            root = known[-1].certificate
            if root.parent is None:
                return None if root.escrow is None else Recipient(root.division, decode64(root.escrow))
        return None

    def division(self, code: str) -> Known | None:
        """The certificate in force of a division."""
        known = self._by_division.get(Division(code))
        return known[-1] if known else None

    def given_up_recipients(self, code: Division) -> frozenset[str]:
        """The ids of the recipient keys that a division had before the one in force."""
        ids = [known.certificate.keys.recipient_id for known in self._by_division.get(code, ())]
        return frozenset(ids) - frozenset(ids[-1:])

    def authors(self, origin: str, now_us: int) -> list[Verifier]:
        """The keys that may sign checkpoints of this log now. Raises CertificateRefused: unknown, expired, early."""
        known = self._by_origin.get(origin)
        if not known:
            raise CertificateRefused("unknown_author", f"没有{origin}的证书", f"nobody has certified {origin}")
        valid = [entry.log for entry in known if entry.certificate.is_valid_at(now_us)]
        if not valid:
            early = all(now_us < entry.certificate.valid_from_us for entry in known)
            reason = "not_yet_valid" if early else "expired"
            raise CertificateRefused(reason, f"{origin}的证书不在有效期", f"{origin} has no valid certificate")
        return valid

    def past_authors(self, origin: str) -> list[Verifier]:
        """The keys that ever could sign for this log: for what lies in it already, vouched for by a superior."""
        return [entry.log for entry in self._by_origin.get(origin, ())]

    def witnesses_above(self, code: Division) -> dict[str, tuple[Division, list[Verifier]]]:
        """The witness keys of every superior of `code`, by key name."""
        found: dict[str, tuple[Division, list[Verifier]]] = {}
        step = self._parents.get(code)
        while step is not None:
            for known in self._by_division.get(step, ()):
                found.setdefault(known.witness.name, (step, []))[1].append(known.witness)
            step = self._parents.get(step)
        return found

    def origins(self) -> frozenset[str]:
        """Every log that somebody has certified."""
        return frozenset(self._by_origin)

    def division_of(self, origin: str) -> Division | None:
        """Whose log this is."""
        known = self._by_origin.get(origin)
        return known[-1].certificate.division if known else None

    def chain(self, code: Division) -> list[str]:
        """The certificate texts from the root down to a division, older ones first; empty for an unknown one."""
        texts: list[str] = []
        step: Division | None = code
        while step is not None and (known := self._by_division.get(step)):
            texts[:0] = [entry.text for entry in known]
            step = known[-1].certificate.parent
        return texts

    def texts(self) -> list[str]:
        """Every certificate, in any order."""
        return list(self.issuers())

    def issuers(self) -> dict[str, Division]:
        """Who signed each certificate, by its text: its superior, or the root in its place."""
        return {known.text: known.issuer for entries in self._by_division.values() for known in entries}

    def _has(self, certificate: Certificate, text: str) -> bool:
        return any(known.text == text for known in self._by_division.get(certificate.division, ()))

    def _knows_issuer(self, certificate: Certificate) -> bool:
        return certificate.parent is None or certificate.parent in self._by_division

    def _add_all(self, new: dict[str, Certificate]) -> dict[str, CertificateRefused]:
        """Add those that hold; why the others do not, by text."""
        failed: dict[str, CertificateRefused] = {}
        waiting = sorted(new, key=lambda text: new[text].serial)
        while waiting:
            ready = [text for text in waiting if self._knows_issuer(new[text])] or waiting[:1]  # which says why not
            for text in ready:
                try:
                    self._add(new[text], text)
                except CertificateRefused as error:
                    failed[text] = error
            taken = set(ready)
            waiting = [text for text in waiting if text not in taken]
        return failed

    def _add(self, certificate: Certificate, text: str) -> None:
        log, witness = _checked_keys(certificate.division, certificate.origin, certificate.keys)
        issuer = self._issuer(certificate, text)
        older = self._by_division.get(certificate.division, ())
        self._check_place(certificate, older)
        self._check_reach(certificate, issuer, is_new=not older)
        _check_escrow(certificate)
        known = Known(certificate, issuer, text, log, witness)
        self._by_division[certificate.division] = (*older, known)
        self._by_origin[certificate.origin] = (*self._by_origin.get(certificate.origin, ()), known)
        if certificate.parent is not None:
            self._parents[certificate.division] = certificate.parent
            self._children[certificate.parent] += not older

    def _issuer(self, certificate: Certificate, text: str) -> Division:
        """Who signed it: its superior, or the root, which may place a division below anybody."""
        superior = certificate.parent
        if superior is None:
            if fingerprint(text) != self.root_fingerprint:
                raise CertificateRefused(
                    "root", "不是配置中指定的根", "not the root that this node's configuration pins"
                )
            _verify(text, [certificate.log])
            return certificate.division
        if superior not in self._by_division:
            raise CertificateRefused("unknown_issuer", "上级未知", f"its superior {superior} is unknown here")
        signers = {
            known.log.vkey: known
            for code in (self._root_of(superior), superior)
            for known in self._by_division[code]
            if known.certificate.is_valid_at(certificate.valid_from_us)
        }
        if not signers:
            raise CertificateRefused("period", "签发时上级证书无效", "its superior's was not valid when it was issued")
        signed = _verify(text, [known.log for known in signers.values()])
        return signers[signed.vkey].certificate.division

    def _root_of(self, code: Division) -> Division:
        while code in self._parents:
            code = self._parents[code]
        return code

    def _check_place(self, certificate: Certificate, older: tuple[Known, ...]) -> None:
        """A division keeps its superior and its logs, and counts its certificates upward."""
        if older and older[-1].certificate.parent != certificate.parent:
            raise CertificateRefused("parent", "该区划已隶属另一上级", "its division stands below another superior")
        if older and older[-1].certificate.serial >= certificate.serial:
            raise CertificateRefused("serial", "序号不大于已有证书", "its serial is not above the one known")
        if self.division_of(certificate.origin) not in (None, certificate.division):
            raise CertificateRefused("origin", "日志名属于另一节点", "its log belongs to another division")
        step = certificate.parent
        while step is not None:
            if step == certificate.division:
                raise CertificateRefused("parent", "层级成环", "its division would be its own superior")
            step = self._parents.get(step)

    def _check_reach(self, certificate: Certificate, issuer: Division, *, is_new: bool) -> None:
        """Only the root may place a division wherever it belongs; every other superior keeps to its own digits.

        So nobody can take the place of a division elsewhere before its true superior enrols it.
        """
        if issuer not in self._parents:
            return
        if not is_below(certificate.division, issuer):
            raise CertificateRefused("area", "该区划不在签发机关的辖区内", "its division is outside its issuer's area")
        if certificate.serial > MAX_SERIAL or (is_new and self._children[issuer] >= MAX_CHILDREN):
            raise CertificateRefused("too_many", "签发的证书过多", "its issuer has certified too many")


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a superior gives back: certificates from the root down to the new node, and the pin of the root.

    The pin must be compared with what the root has published by another way.
    """

    root_fingerprint: str
    certificates: list[str]


def make_request(request: Request, signer: Signer) -> str:
    """The text to carry to the superior, signed by the log key that it asks for, which proves possession."""
    _own_keys_of(request)
    return _sign(_REQUEST, request, signer)


def read_request(text: str) -> Request:
    """A request whose signature holds and whose keys are well-formed. Raises CertificateRefused."""
    request = _read(text, _REQUEST, Request)
    log, _ = _own_keys_of(request)
    _verify(text, [log])
    if not is_usable(decode64(request.keys.recipient)):
        raise CertificateRefused("keys", "收件密钥无效", "nothing can be wrapped to its recipient key")
    return request


def make_root(
    request: Request, signer: Signer, valid_from_us: int, valid_to_us: int, escrow: bytes | None = None
) -> str:
    """The self-signed certificate of a root. escrow: the public half of the escrow's key, 32 raw bytes."""
    certificate = _certified(request, None, 1, valid_from_us, valid_to_us)
    named = None if escrow is None else encode64(escrow)
    return _sign(_CERTIFICATE, msgspec.structs.replace(certificate, escrow=named), signer)


def enrol(
    request_text: str, issuer: Division, signer: Signer, directory: Directory, valid_from_us: int, valid_to_us: int
) -> str:
    """The certificate of a direct subordinate, at the root of any division, below whom its request says.

    The caller records it in a `node.enrolled.v0` and tells the node. A request with the keys that are in force gives
    the certificate in force again; within RENEWAL_US of its end, or with another recipient key, the next one. Raises
    CertificateRefused, AlreadyEnrolled for a division of another superior or with other signing keys under the same
    log.
    """
    request = read_request(request_text)
    parent = request.parent or issuer
    if parent != issuer and issuer in directory.topology.parents:
        raise CertificateRefused("parent", f"申请的上级是{parent}", f"it asks to stand below {parent}: take it there")
    older = directory.division(request.division)
    if older is not None:
        is_rotated = older.certificate.keys != request.keys
        if older.certificate.parent != parent or (is_rotated and not _may_follow(request, older.certificate)):
            raise AlreadyEnrolled(request.division)
        if not is_rotated and valid_from_us < older.certificate.valid_to_us - RENEWAL_US:
            return older.text
        if request.keys.recipient_id in directory.given_up_recipients(request.division):
            raise CertificateRefused("keys", "收件密钥已停用", "its recipient key was given up for a later one")
    serial = 1 if older is None else older.certificate.serial + 1
    text = _sign(_CERTIFICATE, _certified(request, parent, serial, valid_from_us, valid_to_us), signer)
    directory.adding(text)
    return text


def _may_follow(request: Request, older: Certificate) -> bool:
    """Whether other keys are taken: for a log of its own, or the recipient key alone, vouched for by the log key."""
    was, asked = older.keys, request.keys
    is_same_signer = (was.log, was.witness, was.intake) == (asked.log, asked.witness, asked.intake)
    return is_same_signer or older.origin != request.origin


def enrolment(directory: Directory, text: str) -> Enrolment:
    """What to carry to the node that `text` certifies."""
    return Enrolment(directory.root_fingerprint, directory.chain(read_certificate(text).division))


def verify_chain(certificates: Sequence[str], root_fingerprint: str) -> Directory:
    """The directory that these certificates make. Raises CertificateRefused where one does not lead to the root."""
    return Directory(root_fingerprint).adding_all(certificates)


def fingerprint(text: str) -> str:
    """Hex SHA-256 of a certificate's text: how a root is pinned."""
    return sha256(text.encode()).hexdigest()


def read_certificate(text: str) -> Certificate:
    """What a certificate says, its signature not checked. Raises CertificateRefused."""
    return _read(text, _CERTIFICATE, Certificate)


def is_newer(text: str) -> bool:
    """Whether it calls itself a certificate of another shape than this program's, which an upgrade may read."""
    return text.startswith(_FAMILY) and not text.startswith(f"{_CERTIFICATE}\n")


def _certified(
    request: Request, parent: Division | None, serial: int, valid_from_us: int, valid_to_us: int
) -> Certificate:
    return Certificate(
        division=request.division,
        name=request.name,
        tier=request.tier,
        parent=parent,
        origin=request.origin,
        keys=request.keys,
        escrow=None,
        serial=serial,
        valid_from_us=valid_from_us,
        valid_to_us=valid_to_us,
    )


def _sign(kind: str, content: msgspec.Struct, signer: Signer) -> str:
    return sign_note(f"{kind}\n{msgspec.json.encode(content).decode()}\n", signer).to_bytes().decode()


def _read(text: str, kind: str, shape: type[_S]) -> _S:
    try:
        lines = parse_note(text.encode()).text.split("\n")
        if len(lines) != 3 or lines[0] != kind:
            raise CertificateRefused("malformed", "格式不对", f"it is no {kind}")
        content = msgspec.json.decode(lines[1], type=shape)
        if msgspec.json.encode(content) != lines[1].encode():
            raise CertificateRefused("malformed", "写法不唯一", "its JSON is not canonical")
    except (NoteInvalid, msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise CertificateRefused("malformed", "格式不对", f"it is no {kind}: {error}") from error
    return content


def _all_read(texts: Iterable[str]) -> tuple[dict[str, Certificate], dict[str, CertificateRefused]]:
    """What each says, and why it says nothing, by text."""
    read: dict[str, Certificate] = {}
    refused: dict[str, CertificateRefused] = {}
    for text in texts:
        try:
            read[text] = read_certificate(text)
        except CertificateRefused as error:
            refused[text] = error
    return read, refused


def _verify(text: str, keys: list[Verifier]) -> Verifier:
    """Which of these keys signed it. Raises CertificateRefused where none did."""
    try:
        note = parse_note(text.encode())
        verify(note, keys)
        signed = {(line.name, line.key_id) for line in note.signatures}
        return next(key for key in keys if (key.name, key.key_id) in signed)
    except NoteInvalid as error:
        raise CertificateRefused("signature", "签名不对", str(error)) from error


def _own_keys_of(request: Request) -> tuple[Verifier, Verifier]:
    return _checked_keys(request.division, request.origin, request.keys)


def _checked_keys(code: Division, origin: str, keys: Keys) -> tuple[Verifier, Verifier]:
    try:
        division(code)
        log, witness, intake = parse_vkey(keys.log), parse_vkey(keys.witness), parse_vkey(keys.intake)
    except (KeyInvalid, DomainError) as error:
        raise CertificateRefused("keys", "密钥或区划不对", str(error)) from error
    if log.name != origin or origin.split("/")[1:2] != [code]:
        raise CertificateRefused("origin", "日志名与区划不符", "its log is not named after the division and its key")
    if len({log.public_key, witness.public_key, intake.public_key}) != 3:
        raise CertificateRefused("keys", "三把密钥须各不相同", "log, witness and intake need a key each")
    if recipient_key_id(_raw_key(keys.recipient)) != keys.recipient_id:
        raise CertificateRefused("keys", "收件密钥与其编号不符", "its recipient key has another id")
    return log, witness


def _check_escrow(certificate: Certificate) -> None:
    if certificate.escrow is not None:
        if certificate.parent is not None:
            raise CertificateRefused("escrow", "只有根证书可指定托管密钥", "only the root names an escrow")
        _raw_key(certificate.escrow)


def _raw_key(text: str) -> bytes:
    """An X25519 public key in base64. Raises CertificateRefused."""
    try:
        raw = decode64(text)
    except NoteInvalid as error:
        raise CertificateRefused("keys", "收件密钥格式不对", str(error)) from error
    if len(raw) != RECIPIENT_KEY_BYTES:
        raise CertificateRefused("keys", "收件密钥长度不对", "a recipient key has 32 bytes")
    return raw
