"""Who may speak for which division: the certificates that hold, from the pinned root down, and what follows from them.

The same texts make the same directory in whatever order they come: where keys were taken back, what they had signed
about others holds as far as the revocation says so, and falls otherwise, whoever had believed it before. Of two that
bear one number that holds which was signed higher up; of one issuer's the revocation, then the smaller hash.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from domain.divisions import Division, is_below
from domain.shards import follows
from sync.proofs.note import KeyInvalid, Verifier
from sync.trust.register import OVERLAP_US, Known, Register, Revoked
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
    "OVERLAP_US",
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
MAX_CHILDREN = 1_000
"""So many divisions a node below the root may certify: every certificate travels to every node."""

MAX_SERIAL = 100
"""So many certificates one division may have, for the same reason."""


class Directory(Register):
    """Every statement known here that holds, from the pinned root down. Immutable: `adding` gives a new one."""

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

    def adding_what_holds(
        self, texts: Iterable[str], news_us: int | None = None
    ) -> tuple["Directory", dict[str, CertificateRefused]]:
        """The directory with those of `texts` that hold, and why each of the others does not, by its text.

        What was known before and does not hold beside them any more is in it no longer. news_us: the present moment
        (UTC microseconds), where they come from whom nobody vouches for: then what is signed with a key that is known
        to have been followed by another for OVERLAP_US is refused, too, whatever date it bears.
        """
        read, refused = all_read(texts)
        new = {text: said for text, said in read.items() if not self._has(said, text)}
        refused |= self._without_right(new, news_us)
        new = {text: said for text, said in new.items() if text not in refused}
        if not new:
            return self, refused
        if any(self._is_unsettling(said) for said in new.values()):
            grown, failed = self._anew(new)
        else:
            grown, failed = self._beside(new)
        return self if len(failed) == len(new) else grown, refused | failed

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
        """Whether what is known may not hold beside it: keys taken back, a division that stands elsewhere, a number
        that is not above those known."""
        if isinstance(said, Revocation) or said.serial < self.next_serial(said.division):
            return True
        known = self._by_division.get(said.division)
        return known is not None and known[-1].certificate.parent != said.parent

    def _without_right(self, new: Mapping[str, Statement], news_us: int | None) -> dict[str, CertificateRefused]:
        """What of `new` is not worth weighing all that is known anew, and why, by text."""
        unsettling = {text: said for text, said in new.items() if self._is_unsettling(said)}
        refused: dict[str, CertificateRefused] = {}
        above = _Above(self._by_division, new.values()) if unsettling else None
        for text, said in new.items():
            try:
                if above is not None and text in unsettling:
                    self._check_signed(said, text, above)
                self._check_news(said, text, news_us)
                self._check_number(said, text)
            except CertificateRefused as error:
                refused[text] = error
        return refused

    def _check_signed(self, said: Statement, text: str, above: "_Above") -> None:
        if isinstance(said, Certificate) and said.parent is None:
            self._check_root(said, text, self._by_division.get(said.division, ()))
        else:
            signed_by(text, above.keys(said))

    def _check_number(self, said: Statement, text: str) -> None:
        """That it does not lose its number to a statement known."""
        other = self.numbered(said)
        if other is not None and self._rank(read_statement(other), other) < self._rank(said, text):
            raise _twice(other)

    def _check_news(self, said: Statement, text: str, news_us: int | None) -> None:
        """A key that is known to have been followed by another takes no number from anybody, and says nothing new."""
        is_taken = self.numbered(said) is not None
        if not is_taken and news_us is None:
            return
        followed_us = self._followed_us(text)
        if followed_us is not None and (is_taken or (news_us or 0) > followed_us + OVERLAP_US):
            raise _retired()

    def _add_all(self, new: dict[str, Statement]) -> dict[str, CertificateRefused]:
        """Add those that hold; why the others do not, by text. All about a superior comes before what it signed."""
        failed: dict[str, CertificateRefused] = {}
        waiting = sorted(new, key=lambda text: (new[text].serial, fingerprint(text)))
        numbers = Counter((said.division, said.serial) for said in new.values())
        superiors = _superiors(new.values())
        while waiting:
            still = {new[text].division for text in waiting}
            whole = [text for text in waiting if not superiors[new[text].division] & still]
            known = [text for text in waiting if self._knows_issuer(new[text])]
            ready = whole or known or waiting[:1]  # which says why not
            twice = {text for text in ready if numbers[new[text].division, new[text].serial] > 1}
            ranks = {text: self._rank(new[text], text) for text in twice}
            for text in sorted(ready, key=lambda text: ranks.get(text, (new[text].serial,))):
                try:
                    self._add(new[text], text)
                except CertificateRefused as error:
                    failed[text] = error
            taken = set(ready)
            waiting = [text for text in waiting if text not in taken]
        return failed

    def _rank(self, said: Statement, text: str) -> tuple[int, int, bool, str]:
        """The order in which a division's statements count; of two with one number the first one holds."""
        return said.serial, self._depth_of_signer(text), isinstance(said, Certificate), fingerprint(text)

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
        self._check_serial(revocation)
        issuer = self._signer(text, [self._root_of(code), superior], revocation.at_us)
        if issuer in self._parents and revocation.serial > MAX_SERIAL:
            raise CertificateRefused("too_many", "签发的证书过多", "its issuer has certified too many")
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
        found = signers[signed_by(text, [known.log for known in signers.values()]).vkey]
        signer, followed_us = found.certificate, self._followed_by_us(found)
        if followed_us is not None and at_us > followed_us + OVERLAP_US:
            raise _retired()
        for one in self._revoked.get(signer.division, ()):
            if one.revocation.serial > signer.serial and mark_of(text) not in one.standing:
                raise CertificateRefused(
                    "issuer_revoked",
                    "签发所用的密钥已被收回",
                    "the key that signed it was taken back, and it does not stand",
                )
        return signer.division

    def _check_place(self, certificate: Certificate, older: Sequence[Known], log: Verifier) -> None:
        """A division keeps its logs and counts its certificates upward; keys that were taken back do not come back."""
        if older and certificate.parent is None and older[-1].certificate.parent is not None:
            raise CertificateRefused("parent", "该区划已隶属另一上级", "its division stands below another superior")
        self._check_serial(certificate)
        if self.division_of(certificate.origin) not in (None, certificate.division):
            raise CertificateRefused("origin", "日志名属于另一节点", "its log belongs to another division")
        if older and not follows(certificate.origin, older[-1].certificate.origin):
            raise CertificateRefused("origin", "日志分片早于已登记的分片", "its log is no later shard of the one known")
        keys = certificate.keys
        if {keys.log, keys.witness, keys.intake} & self.given_up_keys(certificate.division):
            raise CertificateRefused("keys", "密钥已被收回", "a key of it was taken back")
        if certificate.parent is not None and certificate.division in self._line(certificate.parent):
            raise CertificateRefused("parent", "层级成环", "its division would be its own superior")

    def _check_serial(self, said: Statement) -> None:
        if self.next_serial(said.division) > said.serial:
            raise _twice(self.numbered(said) or "")

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


class _Above:
    """Who may stand above a division, by all that is known and all that is new, and the log keys of those."""

    def __init__(self, known: Mapping[Division, Sequence[Known]], new: Collection[Statement]) -> None:
        said = [one.certificate for entries in known.values() for one in entries]
        self._keys: dict[Division, list[Verifier]] = {
            code: [one.log for one in entries] for code, entries in known.items()
        }
        for one in new:
            if isinstance(one, Certificate):
                said.append(one)
                self._keys.setdefault(one.division, []).extend(_log_key(one))
        self._parents = _superiors(said)

    def keys(self, said: Statement) -> list[Verifier]:
        """Of everybody above its division."""
        reached, waiting = set[Division](), [said.division]
        while waiting:
            new = self._parents.get(waiting.pop(), set()) - reached
            reached |= new
            waiting += new
        return [key for code in sorted(reached) for key in self._keys.get(code, [])]


def _log_key(certificate: Certificate) -> list[Verifier]:
    try:
        return [certificate.log]
    except KeyInvalid:
        return []  # it is refused by that name when its turn comes


def _twice(other: str) -> CertificateRefused:
    return CertificateRefused("serial", "序号不大于已有证书", "its serial is not above the one known", other)


def _retired() -> CertificateRefused:
    return CertificateRefused(
        "issuer_retired", "签发所用的密钥早已更换", "the key that signed it was followed by another long before"
    )
