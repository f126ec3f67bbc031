"""Who may speak for which division: the certificates that hold, from the pinned root down, and what follows from them.

The same texts make the same directory in whatever order they come: where keys were taken back, what they had signed
about others holds as far as the revocation says so, and falls otherwise, whoever had believed it before.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from domain.divisions import Division, Topology, is_below
from domain.shards import follows, shard_named, shard_of
from sync.proofs.note import Note, Verifier, decode64, parse_vkey, verify
from sync.sealed.sealing import Recipient
from sync.trust.statements import (
    MAX_SKEW_US,
    Certificate,
    CertificateRefused,
    Keys,
    Request,
    Revocation,
    Statement,
    all_read,
    check_escrow,
    checked_keys,
    fingerprint,
    is_newer,
    is_signed_by,
    make_request,
    make_root,
    mark_of,
    read_certificate,
    read_request,
    read_statement,
    signed_by,
)

__all__ = [
    "MAX_SKEW_US",
    "Certificate",
    "CertificateRefused",
    "Directory",
    "Enrolment",
    "Keys",
    "Known",
    "Request",
    "Revocation",
    "Revoked",
    "enrolment",
    "fingerprint",
    "is_newer",
    "make_request",
    "make_root",
    "read_certificate",
    "read_request",
    "read_statement",
    "verify_chain",
]

RENEWAL_US = 90 * 24 * 3_600 * 1_000_000
"""So long before its end a certificate is renewed for whoever asks with the same keys."""

OVERLAP_US = 30 * 24 * 3_600 * 1_000_000
"""So long after other keys were certified a node still signs its checkpoints with the keys before as well, and letters
that the keys before have signed are still believed."""

MAX_CHILDREN = 1_000
"""So many divisions a node below the root may certify: every certificate travels to every node."""

MAX_SERIAL = 100
"""So many certificates one division may have, for the same reason."""


class Known(msgspec.Struct, frozen=True):
    """A certificate whose chain was verified, with its exact text and its keys, parsed once. issuer: who signed it."""

    certificate: Certificate
    issuer: Division
    text: str
    log: Verifier
    witness: Verifier


class Revoked(msgspec.Struct, frozen=True):
    """A revocation whose chain was verified. standing: the marks of what the keys had signed and that holds."""

    revocation: Revocation
    issuer: Division
    text: str
    standing: frozenset[str]


class _Span(NamedTuple):
    """A log key, the size beyond which it signs nothing, null for none, and the text that says so."""

    key: Verifier
    upto: int | None
    by: str
    is_revoked: bool


class Directory:
    """Every statement known here that holds, from the pinned root down. Immutable: `adding` gives a new one."""

    def __init__(self, root_fingerprint: str) -> None:
        """root_fingerprint: hex SHA-256 of the root's certificate text, from this node's own configuration."""
        self.root_fingerprint = root_fingerprint
        self._by_division: dict[Division, tuple[Known, ...]] = {}
        self._by_origin: dict[str, tuple[Known, ...]] = {}
        self._revoked: dict[Division, tuple[Revoked, ...]] = {}
        self._parents: dict[Division, Division] = {}
        self._children: Counter[Division] = Counter()
        self._topology: Topology | None = None
        self._spans: dict[str, tuple[_Span, ...]] = {}

    @property
    def topology(self) -> Topology:
        """Who stands directly under whom."""
        if self._topology is None:
            self._topology = Topology(self._parents)
        return self._topology

    def adding(self, text: str) -> "Directory":
        """The directory with one more statement; itself where it is known already. Raises CertificateRefused.

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
        """The directory with those of `texts` that hold, and why each of the others does not, by its text.

        What was known before and does not hold beside them any more is in it no longer.
        """
        read, refused = all_read(texts)
        new = {text: said for text, said in read.items() if not self._has(said, text)}
        if not new:
            return self, refused
        if any(self._is_unsettling(said) for said in new.values()):
            grown, failed = self._anew(new)
        else:
            grown, failed = self._beside(new)
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
        """The certificate in force of a division, or the last one where its keys were taken back since."""
        known = self._by_division.get(Division(code))
        return known[-1] if known else None

    def revocation(self, code: str) -> Revoked | None:
        """What took back the keys of a division, where it has had no others since."""
        revoked = self._revoked.get(Division(code))
        known = self._by_division.get(Division(code))
        if not revoked or (known and known[-1].certificate.serial > revoked[-1].revocation.serial):
            return None
        return revoked[-1]

    def since_us(self, code: Division) -> int:
        """From when on (UTC microseconds) the log key in force of a division was certified; 0 for an unknown one."""
        entries = self._by_division.get(code, ())
        return min((one.certificate.valid_from_us for one in entries if one.log == entries[-1].log), default=0)

    def stood_below(self, code: Division, superior: Division, at_us: int | None = None) -> bool:
        """Whether `superior` stood above a division at a moment (UTC microseconds), as this node knows; null for ever.

        Who stands above it now stood there since it was certified; who did before, until the next certificate.
        """
        entries = self._by_division.get(code, ())
        for at, known in enumerate(entries):
            parent = known.certificate.parent
            ends_us = next((one.certificate.valid_from_us for one in entries[at + 1 :]), None)
            is_over = at_us is not None and ends_us is not None and at_us > ends_us + MAX_SKEW_US
            if parent is not None and not is_over and superior in self._line(parent):
                return True
        return False

    def moves_by(self, issuer: Division) -> list[tuple[Division, int]]:
        """The divisions that `issuer` has placed below another superior than before, with the certificate's serial."""
        return [
            (code, after.certificate.serial)
            for code, entries in self._by_division.items()
            for before, after in pairwise(entries)
            if after.issuer == issuer and before.certificate.parent != after.certificate.parent
        ]

    def former_parents(self, code: Division) -> list[Division]:
        """Below whom a division stood before it was placed elsewhere, each once."""
        parents = [known.certificate.parent for known in self._by_division.get(code, ())]
        return [one for one in dict.fromkeys(parents[:-1]) if one is not None and one != parents[-1]]

    def next_serial(self, code: Division) -> int:
        """The number of the next statement about a division."""
        known, revoked = self._by_division.get(code, ()), self._revoked.get(code, ())
        return 1 + max([*(one.certificate.serial for one in known), *(one.revocation.serial for one in revoked), 0])

    def given_up_recipients(self, code: Division) -> frozenset[str]:
        """The ids of the recipient keys that a division had before the one in force."""
        ids = [known.certificate.keys.recipient_id for known in self._by_division.get(code, ())]
        return frozenset(ids) - frozenset(ids[-1:])

    def given_up_keys(self, code: Division) -> frozenset[str]:
        """The signing and recipient keys of a division that were taken back, as its certificates name them."""
        revoked = self._revoked.get(code, ())
        upto = revoked[-1].revocation.serial if revoked else 0
        past = [known.certificate.keys for known in self._by_division.get(code, ()) if known.certificate.serial < upto]
        return frozenset(key for keys in past for key in (keys.log, keys.witness, keys.intake, keys.recipient))

    # --- who may have signed what -----------------------------------------------------------------------------------

    def check_head(self, note: Note, origin: str, size: int, now_us: int | None = None) -> None:
        """That the author of this log signed `note` with a key that was good for this size.

        now_us: for what is new, which takes a certificate in force; null for what lies in the log already, vouched for
        by a superior. Raises NoteInvalid, CertificateRefused: unknown_author, expired, not_yet_valid, key_revoked,
        key_retired.
        """
        spans = self._spans_of(origin)
        if now_us is not None:
            self._require_valid(origin, now_us)
        good = [span.key for span in spans if span.upto is None or size <= span.upto]
        signed = {(line.name, line.key_id) for line in note.signatures}
        if not any((key.name, key.key_id) in signed for key in good):
            for span in spans:
                if (span.key.name, span.key.key_id) in signed:
                    verify(note, [span.key])
                    raise _outlived(origin, size, span)
        verify(note, good)

    def authors(self, origin: str, now_us: int) -> list[Verifier]:
        """The log keys of this log that a certificate names which was valid then, however far they count; see
        `check_head`. Raises CertificateRefused: unknown, expired, early."""
        self._spans_of(origin)
        self._require_valid(origin, now_us)
        return [known.log for known in self._speakers(origin) if known.certificate.is_valid_at(now_us)]

    def past_authors(self, origin: str) -> list[Verifier]:
        """The keys that ever could sign for this log, however far they count; see `check_head`."""
        return [known.log for known in self._speakers(origin)]

    def signing(self, origin: str, size: int) -> list[Verifier]:
        """The log keys that may sign a head of this size. Raises CertificateRefused for an unknown log."""
        return [span.key for span in self._spans_of(origin) if span.upto is None or size <= span.upto]

    def letter_keys(self, code: str, now_us: int) -> list[Verifier]:
        """The keys that may sign letters of a division now: the one in force, and those before it for OVERLAP_US."""
        revoked = self._revoked.get(Division(code), ())
        upto = revoked[-1].revocation.serial if revoked else 0
        keys: list[Verifier] = []
        for known in reversed(self._by_division.get(Division(code), ())):
            if known.certificate.serial > upto and known.log not in keys:
                keys.append(known.log)
            if known.certificate.valid_from_us < now_us - OVERLAP_US:
                break
        return keys

    def witnesses_above(self, code: Division) -> dict[str, tuple[Division, list[Verifier]]]:
        """The witness keys of every superior of `code` that were not taken back, by key name."""
        found: dict[str, tuple[Division, list[Verifier]]] = {}
        step = self._parents.get(code)
        while step is not None:
            for known in self.witnesses(step):
                found.setdefault(known.name, (step, []))[1].append(known)
            step = self._parents.get(step)
        return found

    def witnesses(self, code: Division) -> list[Verifier]:
        """The witness keys of a division that were not taken back, the one in force last."""
        revoked = self._revoked.get(code, ())
        upto = revoked[-1].revocation.serial if revoked else 0
        entries = self._by_division.get(code, ())
        return list(dict.fromkeys(known.witness for known in entries if known.certificate.serial > upto))

    def restarts_at(self, origin: str) -> int | None:
        """The size from which on a log goes on under keys that followed those taken back; null for no such log."""
        code = self.division_of(origin)
        ends = [one.revocation for one in self._revoked.get(code, ())] if code else []
        if not ends or ends[-1].origin != origin or self.revocation(code or "") is not None:
            return None
        return ends[-1].size

    def intakes(self, origin: str) -> list[Verifier]:
        """The keys that promised receipts of this log and were not taken back, the one in force last, each once."""
        gone = self.given_up_keys(self.division_of(origin) or Division(""))
        keys = [known.certificate.keys.intake for known in self._by_origin.get(origin, ())]
        return [parse_vkey(key) for key in dict.fromkeys(keys) if key not in gone]

    def last_good(self, origin: str) -> tuple[int, str] | None:
        """Size and base64 root up to which a log is held good whose keys were taken back; null for any other."""
        code = self.division_of(origin)
        revoked = self._revoked.get(code, ()) if code else ()
        said = [one.revocation for one in revoked if one.revocation.origin == origin]
        return (said[-1].size, said[-1].root) if said else None

    def log_keys(self, origin: str) -> list[tuple[Verifier, int | None]]:
        """Every log key of this log with the size up to which it signs, null for the one in force."""
        return [(span.key, span.upto) for span in self._spans_of(origin)]

    # --- what there is ----------------------------------------------------------------------------------------------

    def origins(self) -> frozenset[str]:
        """Every log that somebody has certified."""
        return frozenset(self._by_origin)

    def is_named(self, origin: str) -> bool:
        """Whether a certificate names this very log; later shards of it are spoken for all the same."""
        return origin in self._by_origin

    def division_of(self, origin: str) -> Division | None:
        """Whose log this is."""
        known = self._speakers(origin)
        return known[-1].certificate.division if known else None

    def _speakers(self, origin: str) -> tuple[Known, ...]:
        """The certificates that name this log, behind those of its division that name the last shard before it.

        Whoever writes a shard writes the later ones under the same keys, by the name of each, until a certificate that
        names one of them says from which size on other keys sign there: from the first leaf on, after a lost disk.
        """
        named, earlier, shard = self._by_origin.get(origin, ()), tuple[Known, ...](), shard_of(origin) or 1
        while not earlier and shard > 1:
            shard -= 1
            earlier = self._by_origin.get(shard_named(origin, shard), ())
        change = msgspec.structs.replace
        return (*(change(known, log=change(known.log, name=origin)) for known in earlier), *named)

    def chain(self, code: Division) -> list[str]:
        """The texts from the root down to a division, superiors first, older ones first; empty for an unknown one."""
        lines: dict[Division, None] = {}
        self._collect(code, lines)
        return [text for step in lines for text in self._texts_of(step)]

    def texts(self) -> list[str]:
        """Every statement that holds, in any order."""
        return [text for code in self._by_division for text in self._texts_of(code)]

    def issuers(self) -> dict[str, Division]:
        """Who signed each statement, by its text: its superior, or the root in its place."""
        certified = {known.text: known.issuer for entries in self._by_division.values() for known in entries}
        return certified | {one.text: one.issuer for entries in self._revoked.values() for one in entries}

    def issuer_of(self, text: str) -> Division | None:
        """Who signed this one; null where it does not hold."""
        code = read_statement(text).division
        certified = [known.issuer for known in self._by_division.get(code, ()) if known.text == text]
        revoked = [one.issuer for one in self._revoked.get(code, ()) if one.text == text]
        return next(iter([*certified, *revoked]), None)

    def _texts_of(self, code: Division) -> list[str]:
        known = [(one.certificate.serial, one.text) for one in self._by_division.get(code, ())]
        revoked = [(one.revocation.serial, one.text) for one in self._revoked.get(code, ())]
        return [text for _, text in sorted([*known, *revoked])]

    def _collect(self, code: Division, lines: dict[Division, None]) -> None:
        for known in self._by_division.get(code, ()):
            superior = known.certificate.parent
            if superior is not None and superior not in lines:
                self._collect(superior, lines)
        if code in self._by_division:
            lines[code] = None

    def _has(self, said: Statement, text: str) -> bool:
        return text in self._texts_of(said.division)

    def _spans_of(self, origin: str) -> tuple[_Span, ...]:
        found = self._spans.get(origin)
        if found is None:
            found = self._spans[origin] = tuple(self._spans_anew(origin))
        return found

    def _spans_anew(self, origin: str) -> list[_Span]:
        entries = self._speakers(origin)
        if not entries:
            raise CertificateRefused("unknown_author", f"没有{origin}的证书", f"nobody has certified {origin}")
        spans: dict[Verifier, _Span] = {}
        for at, known in enumerate(entries):
            followed = [
                _Span(known.log, later.certificate.since_size, later.text, False)
                for later in entries[at + 1 :]
                if later.log != known.log
            ]
            revoked = [
                _Span(known.log, one.revocation.size if one.revocation.origin == origin else 0, one.text, True)
                for one in self._revoked.get(known.certificate.division, ())
                if follows(origin, one.revocation.origin) and one.revocation.serial > known.certificate.serial
            ]
            endless = _Span(known.log, None, "", False)
            spans[known.log] = min([*revoked, *followed], key=lambda span: span.upto or 0, default=endless)
        return list(spans.values())

    def _require_valid(self, origin: str, now_us: int) -> None:
        entries = self._speakers(origin)
        if not any(entry.certificate.is_valid_at(now_us) for entry in entries):
            early = all(now_us < entry.certificate.valid_from_us for entry in entries)
            reason = "not_yet_valid" if early else "expired"
            raise CertificateRefused(reason, f"{origin}的证书不在有效期", f"{origin} has no valid certificate")

    # --- growing ----------------------------------------------------------------------------------------------------

    def _beside(self, new: dict[str, Statement]) -> tuple["Directory", dict[str, CertificateRefused]]:
        """`new` beside what was known, which it cannot unsettle."""
        grown = Directory(self.root_fingerprint)
        grown._by_division = dict(self._by_division)
        grown._by_origin = dict(self._by_origin)
        grown._revoked = dict(self._revoked)
        grown._parents = dict(self._parents)
        grown._children = self._children.copy()
        return grown, grown._add_all(new)

    def _anew(self, new: dict[str, Statement]) -> tuple["Directory", dict[str, CertificateRefused]]:
        """All that was known and `new` weighed together, until what fails changes nothing about the rest."""
        grown, failed = self, dict[str, CertificateRefused]()
        weighed = all_read(self.texts())[0] | new
        while True:
            grown = Directory(self.root_fingerprint)
            falling = grown._add_all(weighed)
            failed |= {text: error for text, error in falling.items() if text in new}
            if not falling:
                return grown, failed
            weighed = {text: said for text, said in weighed.items() if text not in falling}

    def _is_unsettling(self, said: Statement) -> bool:
        """Whether what is known may not hold beside it: keys taken back, a division that stands elsewhere."""
        if isinstance(said, Revocation):
            return True
        known = self._by_division.get(said.division)
        return known is not None and known[-1].certificate.parent != said.parent

    def _add_all(self, new: dict[str, Statement]) -> dict[str, CertificateRefused]:
        """Add those that hold; why the others do not, by text. All about a superior comes before what it signed."""
        failed: dict[str, CertificateRefused] = {}
        waiting = sorted(new, key=lambda text: new[text].serial)
        superiors = _superiors(new.values())
        while waiting:
            still = {new[text].division for text in waiting}
            whole = [text for text in waiting if not superiors[new[text].division] & still]
            known = [text for text in waiting if self._knows_issuer(new[text])]
            ready = whole or known or waiting[:1]  # which says why not
            for text in ready:
                try:
                    self._add(new[text], text)
                except CertificateRefused as error:
                    failed[text] = error
            taken = set(ready)
            waiting = [text for text in waiting if text not in taken]
        return failed

    def _knows_issuer(self, said: Statement) -> bool:
        superior = said.parent if isinstance(said, Certificate) else said.division
        return superior is None or superior in self._by_division

    def _add(self, said: Statement, text: str) -> None:
        if isinstance(said, Revocation):
            self._revoke(said, text)
        else:
            self._certify(said, text)

    def _certify(self, certificate: Certificate, text: str) -> None:
        code = certificate.division
        log, witness = checked_keys(code, certificate.origin, certificate.keys)
        older = self._by_division.get(code, ())
        issuer = self._issuer_of_certificate(certificate, text, older)
        self._check_place(certificate, older, log)
        self._check_reach(certificate, issuer, older)
        check_escrow(certificate)
        known = Known(certificate, issuer, text, log, witness)
        self._by_division[code] = (*older, known)
        self._by_origin[certificate.origin] = (*self._by_origin.get(certificate.origin, ()), known)
        self._spans.pop(certificate.origin, None)
        if certificate.parent is not None:
            self._place(code, certificate.parent)

    def _place(self, code: Division, superior: Division) -> None:
        before = self._parents.get(code)
        if before != superior:
            self._children[superior] += 1
            if before is not None:
                self._children[before] -= 1
            self._parents[code] = superior
            self._topology = None

    def _revoke(self, revocation: Revocation, text: str) -> None:
        code = revocation.division
        older = self._by_division.get(code, ())
        superior = self._parents.get(code)
        if not older or superior is None:
            raise CertificateRefused(
                "unknown_division", "没有可收回的密钥", "it takes back no keys that are known here"
            )
        if self.division_of(revocation.origin) != code:
            raise CertificateRefused("origin", "日志名属于另一节点", "its log belongs to another division")
        if self.next_serial(code) > revocation.serial:
            raise CertificateRefused("serial", "序号不大于已有证书", "its serial is not above the one known")
        issuer = self._signer(text, [self._root_of(code), superior], revocation.at_us)
        one = Revoked(revocation, issuer, text, frozenset(revocation.standing))
        self._revoked[code] = (*self._revoked.get(code, ()), one)
        self._spans.pop(revocation.origin, None)

    def _issuer_of_certificate(self, certificate: Certificate, text: str, older: Sequence[Known]) -> Division:
        """Who signed it: its superior; the root, which may place a division below anybody; whoever may move it."""
        superior = certificate.parent
        if superior is None:
            return self._check_root(certificate, text, older)
        if superior not in self._by_division:
            raise CertificateRefused("unknown_issuer", "上级未知", f"its superior {superior} is unknown here")
        above = [self._root_of(superior), superior]
        if older and (before := older[-1].certificate.parent) != superior:
            above = self._above_both(before, superior, certificate)
        return self._signer(text, above, certificate.valid_from_us)

    def _above_both(self, before: Division | None, after: Division, certificate: Certificate) -> list[Division]:
        """Who may say that a division stands below another superior from now on: whoever stands above both places."""
        if before is None or certificate.serial < self.next_serial(certificate.division):
            raise CertificateRefused("parent", "该区划已隶属另一上级", "its division stands below another superior")
        line = self._line(after)
        return [step for step in self._line(before) if step in line]

    def _line(self, code: Division) -> list[Division]:
        line = [code]
        while (superior := self._parents.get(line[-1])) is not None:
            line.append(superior)
        return line

    def _check_root(self, certificate: Certificate, text: str, older: Sequence[Known]) -> Division:
        """The root is pinned; its later certificates are signed by the keys before and by its own."""
        if fingerprint(text) != self.root_fingerprint and not (older and is_signed_by(text, older[-1].log)):
            raise CertificateRefused("root", "不是配置中指定的根", "not the root that this node's configuration pins")
        signed_by(text, [certificate.log])
        return certificate.division

    def _signer(self, text: str, above: Iterable[Division], at_us: int) -> Division:
        """Which of these divisions signed it, with a key that was valid then and was not taken back."""
        signers = {
            known.log.vkey: known
            for code in above
            for known in self._by_division[code]
            if known.certificate.is_valid_at(at_us)
        }
        if not signers:
            raise CertificateRefused("period", "签发时上级证书无效", "its superior's was not valid when it was issued")
        signer = signers[signed_by(text, [known.log for known in signers.values()]).vkey].certificate
        for one in self._revoked.get(signer.division, ()):
            if one.revocation.serial > signer.serial and mark_of(text) not in one.standing:
                raise CertificateRefused(
                    "issuer_revoked",
                    "签发所用的密钥已被收回",
                    "the key that signed it was taken back, and it does not stand",
                )
        return signer.division

    def _root_of(self, code: Division) -> Division:
        return self._line(code)[-1]

    def _check_place(self, certificate: Certificate, older: Sequence[Known], log: Verifier) -> None:
        """A division keeps its logs and counts its certificates upward; keys that were taken back do not come back."""
        if older and certificate.parent is None and older[-1].certificate.parent is not None:
            raise CertificateRefused("parent", "该区划已隶属另一上级", "its division stands below another superior")
        if older and self.next_serial(certificate.division) > certificate.serial:
            raise CertificateRefused("serial", "序号不大于已有证书", "its serial is not above the one known")
        if self.division_of(certificate.origin) not in (None, certificate.division):
            raise CertificateRefused("origin", "日志名属于另一节点", "its log belongs to another division")
        if older and not follows(certificate.origin, older[-1].certificate.origin):
            raise CertificateRefused("origin", "日志分片早于已登记的分片", "its log is no later shard of the one known")
        keys = certificate.keys
        if {keys.log, keys.witness, keys.intake} & self.given_up_keys(certificate.division):
            raise CertificateRefused("keys", "密钥已被收回", "a key of it was taken back")
        if certificate.parent is not None and certificate.division in self._line(certificate.parent):
            raise CertificateRefused("parent", "层级成环", "its division would be its own superior")

    def _check_reach(self, certificate: Certificate, issuer: Division, older: Sequence[Known]) -> None:
        """Only the root may place a division wherever it belongs; every other superior keeps to its own digits.

        So nobody can take the place of a division elsewhere before its true superior enrols it. What stands below a
        superior already, it may certify again.
        """
        if issuer not in self._parents:
            return
        is_placed = bool(older) and older[-1].certificate.parent == certificate.parent
        if not is_placed and not is_below(certificate.division, issuer):
            raise CertificateRefused("area", "该区划不在签发机关的辖区内", "its division is outside its issuer's area")
        if certificate.serial > MAX_SERIAL or (not older and self._children[issuer] >= MAX_CHILDREN):
            raise CertificateRefused("too_many", "签发的证书过多", "its issuer has certified too many")


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a superior gives back: certificates from the root down to the new node, and the pin of the root.

    The pin must be compared with what the root has published by another way.
    """

    root_fingerprint: str
    certificates: list[str]


def enrolment(directory: Directory, text: str) -> Enrolment:
    """What to carry to the node that `text` certifies."""
    return Enrolment(directory.root_fingerprint, directory.chain(read_certificate(text).division))


def verify_chain(certificates: Sequence[str], root_fingerprint: str) -> Directory:
    """The directory that these certificates make. Raises CertificateRefused where one does not lead to the root."""
    return Directory(root_fingerprint).adding_all(certificates)


def _superiors(said: Iterable[Statement]) -> dict[Division, set[Division]]:
    """Below whom these statements place each division."""
    named: dict[Division, set[Division]] = {}
    for one in said:
        above = named.setdefault(one.division, set())
        if isinstance(one, Certificate) and one.parent not in (None, one.division):
            above.add(one.parent)
    return named


def _outlived(origin: str, size: int, span: _Span) -> CertificateRefused:
    if span.is_revoked:
        reason, zh, en = "key_revoked", "签名所用的密钥已被收回", "the key that signed it was taken back"
    else:
        reason, zh, en = "key_retired", "签名所用的密钥已更换", "the key that signed it was followed by another"
    zh, en = f"{origin}超出{span.upto}部分{zh}", f"{en}: it is good up to {span.upto}, not for {size}"
    return CertificateRefused(reason, zh, en, span.by)
