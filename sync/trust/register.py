"""What the statements that hold say: who stands where in the tree, by which keys, and who may have signed what."""

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import msgspec

from domain.divisions import Division, Topology
from domain.shards import follows, shard_named, shard_of
from sync.proofs.note import Note, Verifier, decode64, parse_note, parse_vkey, verify
from sync.sealed.sealing import Recipient
from sync.trust.statements import (
    MAX_SKEW_US,
    Certificate,
    CertificateRefused,
    Revocation,
    Statement,
    is_signed_by,
    read_statement,
)

OVERLAP_US = 30 * 24 * 3_600 * 1_000_000
"""So long after other keys were certified a node still signs its checkpoints with the keys before as well, and letters
that the keys before have signed are still believed."""


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


class Register:
    """Every statement that holds, as `Directory` has weighed them; only that adds any."""

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
        return list(dict.fromkeys(known.log for known in self._signing_at(Division(code), now_us)))

    def _signing_at(self, code: Division, now_us: int) -> list[Known]:
        """The certificates whose keys sign anything new: the one in force, and for OVERLAP_US those before it."""
        found: list[Known] = []
        for known in reversed(self._standing(code)):
            found.append(known)
            if known.certificate.valid_from_us < now_us - OVERLAP_US:
                break
        return found

    def _standing(self, code: Division) -> list[Known]:
        """The certificates whose keys were not taken back, the one in force last."""
        revoked = self._revoked.get(code, ())
        upto = revoked[-1].revocation.serial if revoked else 0
        return [known for known in self._by_division.get(code, ()) if known.certificate.serial > upto]

    def witnesses_above(self, code: Division, now_us: int | None = None) -> dict[str, tuple[Division, list[Verifier]]]:
        """The witness keys of every superior of `code` that were not taken back, by key name.

        now_us: those only that sign anything new by then; null for all that ever did.
        """
        found: dict[str, tuple[Division, list[Verifier]]] = {}
        for step in self._line(code)[1:]:
            keys = self.witnesses(step)
            if now_us is not None:
                keys = list(dict.fromkeys(known.witness for known in reversed(self._signing_at(step, now_us))))
            for key in keys:
                found.setdefault(key.name, (step, []))[1].append(key)
        return found

    def cosigners_above(self, code: Division) -> dict[Verifier, int | None]:
        """The same keys with the moment (UTC microseconds) after which each cosigns nothing new; null for none.

        Another key was certified by then, and OVERLAP_US had passed.
        """
        found: dict[Verifier, int | None] = {}
        for step in self._line(code)[1:]:
            entries = self._standing(step)
            for at, known in enumerate(entries):
                later = [one.certificate.valid_from_us for one in entries[at + 1 :] if one.witness != known.witness]
                found[known.witness] = later[0] + OVERLAP_US if later else None
        return found

    def witnesses(self, code: Division) -> list[Verifier]:
        """The witness keys of a division that were not taken back, the one in force last."""
        return list(dict.fromkeys(known.witness for known in self._standing(code)))

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

    def numbered(self, said: Statement) -> str | None:
        """The text about a division that holds and bears the number of this one."""
        known = [(one.certificate.serial, one.text) for one in self._by_division.get(said.division, ())]
        revoked = [(one.revocation.serial, one.text) for one in self._revoked.get(said.division, ())]
        return dict([*known, *revoked]).get(said.serial)

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

    def has_signed(self, code: Division, text: str) -> bool:
        """Whether a log key of this division, whichever, has signed a statement."""
        return any(is_signed_by(text, known.log) for known in self._by_division.get(code, ()))

    def _followed_us(self, text: str) -> int | None:
        """Since when (UTC microseconds) the key that signed a statement was followed by another; null where it is in
        force, or not known."""
        found = [self._followed_by_us(known) for known in self._signers(text)]
        return None if None in found else min((at_us for at_us in found if at_us is not None), default=None)

    def _depth_of_signer(self, text: str) -> int:
        """How far below the root the highest one stands who has signed a statement; 0 for the root itself."""
        depths = [len(self._line(known.certificate.division)) - 1 for known in self._signers(text)]
        return min(depths, default=len(self._by_division))

    def _signers(self, text: str) -> list[Known]:
        """The certificates known here under whose log keys a statement is signed."""
        lines = parse_note(text.encode()).signatures
        named = [known for line in lines for known in self._by_origin.get(line.name, ())]
        return [known for known in named if is_signed_by(text, known.log)]

    def _followed_by_us(self, known: Known) -> int | None:
        """Since when another log key than that of a certificate is certified for its division; null for never."""
        entries = self._by_division.get(known.certificate.division, ())
        later = [one for one in entries if one.certificate.serial > known.certificate.serial and one.log != known.log]
        return min((one.certificate.valid_from_us for one in later), default=None)

    def _require_valid(self, origin: str, now_us: int) -> None:
        entries = self._speakers(origin)
        if not any(entry.certificate.is_valid_at(now_us) for entry in entries):
            early = all(now_us < entry.certificate.valid_from_us for entry in entries)
            reason = "not_yet_valid" if early else "expired"
            raise CertificateRefused(reason, f"{origin}的证书不在有效期", f"{origin} has no valid certificate")

    def _line(self, code: Division) -> list[Division]:
        line = [code]
        while (superior := self._parents.get(line[-1])) is not None:
            line.append(superior)
        return line

    def _root_of(self, code: Division) -> Division:
        return self._line(code)[-1]


def _outlived(origin: str, size: int, span: _Span) -> CertificateRefused:
    if span.is_revoked:
        reason, zh, en = "key_revoked", "签名所用的密钥已被收回", "the key that signed it was taken back"
    else:
        reason, zh, en = "key_retired", "签名所用的密钥已更换", "the key that signed it was followed by another"
    zh, en = f"{origin}超出{span.upto}部分{zh}", f"{en}: it is good up to {span.upto}, not for {size}"
    return CertificateRefused(reason, zh, en, span.by)
