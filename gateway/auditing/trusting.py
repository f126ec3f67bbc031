"""Whom a bundle's logs may be signed and cosigned by: the certificates below the pinned root, and the policies."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from domain.divisions import Division
from gateway.auditing.bundle import POLICY, Bundle, FileUnreadable, LogLine, Manifest, folder_of
from gateway.auditing.findings import Findings
from sync.proofs.note import Checkpoint, Note, NoteInvalid, Verifier, parse_checkpoint, verify
from sync.proofs.policy import MAX_POLICY_CHARS, Policy, PolicyInvalid, check_checkpoint
from sync.proofs.signed_policy import parse_either
from sync.trust.certificates import CertificateRefused, Directory

MAX_POLICY_BYTES: Final = 4 * MAX_POLICY_CHARS


class PinInvalid(ValueError):
    """The fingerprint that the auditor gave is none. Copy it again: 64 hexadecimal digits."""

    def __init__(self) -> None:
        super().__init__(
            "--root 须为 64 位十六进制指纹，请重新抄录 / --root takes a fingerprint of 64 hex digits; copy it again"
        )


class Pins(NamedTuple):
    """What the auditor knows by another way than the bundle. root: hex SHA-256 of the root's certificate, or null.

    policies: texts, each of one log.
    """

    root: str | None = None
    policies: tuple[str, ...] = ()


def pins_from(root: str | None, policies: Iterable[str]) -> Pins:
    """What the auditor gave. Raises PinInvalid, PolicyInvalid."""
    plain = None if root is None else root.strip().replace(":", "").lower()
    if plain is not None and re.fullmatch(r"[0-9a-f]{64}", plain) is None:
        raise PinInvalid
    texts = tuple(policies)
    for text in texts:
        parse_either(text, accept_simulated_clock=True)
    return Pins(plain, texts)


class Head(NamedTuple):
    """A signed head. cosigned_s: when the first superior, at the root the outside quorum, cosigned it (POSIX seconds),
    or null where none did. witnesses: the names of all whose cosignature was verified."""

    checkpoint: Checkpoint
    cosigned_s: int | None
    witnesses: tuple[str, ...]


class Trust:
    """The keys that count for each log."""

    def __init__(self, directory: Directory, policies: Mapping[str, Policy]) -> None:
        """policies: by origin."""
        self.directory = directory
        self._policies = policies
        self._superiors: dict[Division, frozenset[Verifier]] = {}

    def authors(self, origin: str) -> list[Verifier]:
        """Every key that the log was certified with."""
        return self.directory.past_authors(origin)

    def superiors(self, code: Division) -> frozenset[Verifier]:
        """The witness keys of everybody above a division; none for the root."""
        known = self._superiors.get(code)
        if known is None:
            above = self.directory.witnesses_above(code).values()
            known = self._superiors[code] = frozenset(key for _, keys in above for key in keys)
        return known

    def head(self, log: str, note: Note) -> Head:
        """The head in a checkpoint of this log that its author signed. Raises NoteInvalid: malformed, of another log,
        without the author's line, or with a false line of anybody whose word counts."""
        checkpoint = parse_checkpoint(note.text)
        if checkpoint.origin != log:
            raise NoteInvalid("是另一日志的检查点", "it is the checkpoint of another log")
        authors, policy = self.authors(log), self._policies.get(log)
        above = self.superiors(self.directory.division_of(log) or Division(""))
        named = {witness.verifier for witness in policy.witnesses} if policy else set()
        signed = verify(note, dict.fromkeys([*authors, *above, *named]))
        if not any(one.verifier in authors for one in signed):
            raise NoteInvalid("缺少日志自身的签名", "the log itself has not signed it")
        cosigned = [one for one in signed if one.time_s is not None]
        needed = [one for one in cosigned if one.verifier in above or not above]
        is_cosigned = bool(needed) and (bool(above) or self.meets_policy(log, note))
        first = min((one.time_s or 0 for one in needed), default=0) if is_cosigned else None
        return Head(checkpoint, first, tuple(one.verifier.name for one in cosigned))

    def meets_policy(self, log: str, note: Note) -> bool:
        """Whether the log and the whole quorum of its policy signed this head; as a policy stands now it judges the
        newest head, older ones may bear keys that were rotated since."""
        policy = self._policies.get(log)
        if policy is None:
            return False
        try:
            check_checkpoint(policy, note)
        except NoteInvalid:
            return False
        return True

    def is_valid_at(self, origin: str, moment_us: int) -> bool:
        """Whether a certificate of the log was valid then."""
        try:
            return bool(self.directory.authors(origin, moment_us))
        except CertificateRefused:
            return False


def build_trust(
    certificates: Iterable[str],
    manifest: Manifest,
    bundle: Bundle,
    logs: Sequence[LogLine],
    pins: Pins,
    findings: Findings,
) -> Trust:
    """What follows from the pinned root, or, where none is pinned, from the root that the bundle names itself."""
    if pins.root is None:
        findings.add("root_not_pinned", detail=manifest.root)
    elif pins.root != manifest.root:
        findings.add("root_other", detail=manifest.root)
    directory, refused = Directory(pins.root or manifest.root).adding_what_holds(certificates)
    for error in refused.values():
        findings.add("certificate_refused", detail=f"{error.reason}: {error}")
    trust = Trust(directory, {})
    pinned = _pinned(pins.policies)
    policies: dict[str, Policy] = {}
    for log in logs:
        if log.folder is not None:
            found = pinned.get(log.origin) or _of_bundle(bundle, log, findings)
            if found is not None and _is_sound(found, log, trust, findings, is_pinned=log.origin in pinned):
                policies[log.origin] = found
    return Trust(directory, policies)


def _pinned(texts: Iterable[str]) -> dict[str, Policy]:
    """Raises PolicyInvalid: what the auditor gives must be right."""
    read = [parse_either(text, accept_simulated_clock=True) for text in texts]
    return {policy.log.name: policy for policy in read}


def _of_bundle(bundle: Bundle, log: LogLine, findings: Findings) -> Policy | None:
    try:
        text = bundle.read(f"{folder_of(log)}/{POLICY}", MAX_POLICY_BYTES).decode()
        policy = parse_either(text, accept_simulated_clock=True)
    except (FileUnreadable, UnicodeDecodeError, PolicyInvalid) as error:
        findings.add("policy_unreadable", log.origin, detail=str(error))
        return None
    if policy.simulated_clock:
        findings.add("clock_simulated", log.origin)
    return policy


def _is_sound(policy: Policy, log: LogLine, trust: Trust, findings: Findings, *, is_pinned: bool) -> bool:
    """Whether it is of this log's certified key and asks for a superior's word, which only the root has none of."""
    if policy.log.name != log.origin or policy.log not in trust.authors(log.origin):
        findings.add("policy_key", log.origin, detail=policy.log.vkey)
        return False
    superiors = trust.superiors(trust.directory.division_of(log.origin) or Division(""))
    if not superiors:
        if not is_pinned:
            keys = ", ".join(witness.verifier.vkey for witness in policy.witnesses)
            findings.add("witness_not_pinned", log.origin, detail=keys)
    elif _is_met_without(policy, superiors):
        findings.add("policy_weak", log.origin)
    return True


def _is_met_without(policy: Policy, superiors: frozenset[Verifier]) -> bool:
    """Whether the quorum is reached by those who are no superiors."""
    met = {witness.name: witness.verifier not in superiors for witness in policy.witnesses}
    for group in policy.groups:
        met[group.name] = sum(met[member] for member in group.members) >= group.threshold
    return met[policy.quorum]
