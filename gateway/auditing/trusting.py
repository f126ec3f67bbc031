"""Whom a bundle's logs may be signed and cosigned by: the certificates below the pinned root, and the policies."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from domain.divisions import Division
from gateway.auditing.bundle import POLICY, Bundle, FileUnreadable, LogLine, Manifest, folder_of
from gateway.auditing.findings import Findings
from sync.proofs.note import Checkpoint, Note, NoteInvalid, Signed, Verifier, parse_checkpoint, verify
from sync.proofs.policy import MAX_POLICY_CHARS, Policy, PolicyInvalid, has_quorum
from sync.proofs.signed_policy import is_signed, parse_either, read_signed
from sync.trust.certificates import MAX_SKEW_US, CertificateRefused, Directory

MAX_POLICY_BYTES: Final = 4 * MAX_POLICY_CHARS


class PinInvalid(ValueError):
    """The fingerprint that the auditor gave is none. Copy it again: 64 hexadecimal digits."""

    def __init__(self) -> None:
        super().__init__(
            "--root 须为 64 位十六进制指纹，请重新抄录 / --root takes a fingerprint of 64 hex digits; copy it again"
        )


class Pins(NamedTuple):
    """What the auditor knows by another way than the bundle. root: hex SHA-256 of the root's certificate, or null.

    policies: texts, each of one log. is_demonstration: whether a log may say of itself that its clock is simulated.
    """

    root: str | None = None
    policies: tuple[str, ...] = ()
    is_demonstration: bool = False


def pins_from(root: str | None, policies: Iterable[str], *, is_demonstration: bool = False) -> Pins:
    """What the auditor gave. Raises PinInvalid, PolicyInvalid."""
    plain = None if root is None else root.strip().replace(":", "").lower()
    if plain is not None and re.fullmatch(r"[0-9a-f]{64}", plain) is None:
        raise PinInvalid
    texts = tuple(policies)
    for text in texts:
        parse_either(text, accept_simulated_clock=True)
    return Pins(plain, texts, is_demonstration)


class Head(NamedTuple):
    """A signed head. cosigned_s: when the first superior, at the root the outside quorum, cosigned it (POSIX seconds),
    or null where none did. witnesses: the names of all whose cosignature was verified. is_secured: the log and the
    whole quorum of its policy signed it; a policy as it stands now judges the newest heads, older ones may bear keys
    that were rotated since.
    """

    checkpoint: Checkpoint
    cosigned_s: int | None
    witnesses: tuple[str, ...]
    is_secured: bool


class Trust:
    """The keys that count for each log."""

    def __init__(self, directory: Directory, policies: Mapping[str, Policy], simulated: Collection[str] = ()) -> None:
        """policies: by origin. simulated: the logs whose times are believed to be those of a demonstration."""
        self.directory = directory
        self._policies = policies
        self._simulated = frozenset(simulated)
        self._superiors: dict[Division, Mapping[Verifier, int | None]] = {}

    def authors(self, origin: str) -> list[Verifier]:
        """Every key that the log was certified with."""
        return self.directory.past_authors(origin)

    def is_simulated(self, log: str) -> bool:
        """Whether the log's times are those of a demonstration, as the auditor agrees."""
        return log in self._simulated

    def has_policy(self, log: str) -> bool:
        """Whether a sound policy of the log is known."""
        return log in self._policies

    def knowing(self, directory: Directory) -> "Trust":
        """The same, with a directory that knows more."""
        return Trust(directory, self._policies, self._simulated)

    def speakers(self, manifest: Manifest) -> list[Verifier]:
        """The log keys that may sign for the node of a bundle: those of its log that were not taken back."""
        given_up = self.directory.given_up_keys(Division(manifest.division))
        return [key for key in self.authors(manifest.origin) if key.vkey not in given_up]

    def superiors(self, code: Division) -> Mapping[Verifier, int | None]:
        """The witness keys of everybody above a division, each with its last moment; none for the root."""
        known = self._superiors.get(code)
        if known is None:
            known = self._superiors[code] = self.directory.cosigners_above(code)
        return known

    def head(self, log: str, note: Note) -> Head:
        """The head in a checkpoint of this log that its author signed. Raises NoteInvalid: malformed, of another log,
        without the author's line, or with a false line of anybody whose word counts; CertificateRefused for a log that
        nobody has certified, and for a key that was followed by another or taken back before that size.
        """
        checkpoint = parse_checkpoint(note.text)
        if checkpoint.origin != log:
            raise NoteInvalid("是另一日志的检查点", "it is the checkpoint of another log")
        policy = self._policies.get(log)
        above = self.superiors(self.directory.division_of(log) or Division(""))
        signed = [
            one
            for one in verify(note, dict.fromkeys([*self.authors(log), *above, *(_named(policy) if policy else ())]))
            if not _is_too_late(one, above.get(one.verifier))
        ]
        self.directory.check_head(note, log, checkpoint.size)
        keys = {one.verifier for one in signed}
        is_secured = policy is not None and has_quorum(policy, keys, checkpoint.size)
        cosigned = [one for one in signed if one.time_s is not None]
        times = [one.time_s or 0 for one in cosigned if one.verifier in above or (not above and is_secured)]
        return Head(checkpoint, min(times, default=None), tuple(one.verifier.name for one in cosigned), is_secured)

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
    """What follows from the pinned root, or, where none is pinned, from the root that the bundle names itself.

    Raises PolicyInvalid where a policy that the auditor gave is not signed by whom it says.
    """
    if pins.root is None:
        findings.add("root_not_pinned", detail=manifest.root)
    elif pins.root != manifest.root:
        findings.add("root_other", detail=manifest.root)
    directory, refused = Directory(pins.root or manifest.root).adding_what_holds(certificates)
    for error in refused.values():
        findings.add("certificate_refused", detail=f"{error.reason}: {error}")
    trust = Trust(directory, {})
    pinned = {policy.log.name: (text, policy) for text, policy in ((it, _read(it)) for it in pins.policies)}
    policies: dict[str, Policy] = {}
    simulated = set[str]()
    for log in logs:
        if log.folder is not None:
            text, found = pinned.get(log.origin, ("", None))
            if found is not None and is_signed(text):
                read_signed(text, _publishers(trust, log.origin), accept_simulated_clock=True)
            told = _of_bundle(bundle, log, trust, text, findings, is_pinned=found is not None)
            chosen = found or told
            if chosen is not None and _is_sound(chosen, log, trust, findings, is_pinned=found is not None):
                policies[log.origin] = chosen
                if chosen.simulated_clock and (pins.is_demonstration or found is not None):
                    simulated.add(log.origin)
    return Trust(directory, policies, simulated)


def _is_too_late(signed: Signed, until_us: int | None) -> bool:
    """Whether a cosignature is by a key that had been followed by another by then: a thief's, or by mistake."""
    return until_us is not None and (signed.time_s or 0) * 1_000_000 > until_us + MAX_SKEW_US


def _named(policy: Policy) -> set[Verifier]:
    """Every witness key that the policy knows, also those that others followed."""
    return {key for witness in policy.witnesses for key in witness.keys(0)}


def _read(text: str) -> Policy:
    return parse_either(text, accept_simulated_clock=True)


def _publishers(trust: Trust, origin: str) -> list[Verifier]:
    """The log keys of everybody above the log's author; at the root, the root's own."""
    path = [trust.directory.division_of(origin)]
    parents = trust.directory.topology.parents
    while path[-1] is not None and (superior := parents.get(path[-1])) is not None:
        path.append(superior)
    codes = path[1:] or path
    known = [trust.directory.division(code) for code in codes if code is not None]
    return [key for one in known if one is not None for key in trust.authors(one.certificate.origin)]


def _of_bundle(
    bundle: Bundle, log: LogLine, trust: Trust, pinned: str, findings: Findings, *, is_pinned: bool
) -> Policy | None:
    """The bundle's own policy of a log; what is wrong with it is found only where no better one is known."""
    path = f"{folder_of(log)}/{POLICY}"
    try:
        text = bundle.read(path, MAX_POLICY_BYTES).decode()
        signed = None
        if is_signed(text):
            signed = read_signed(text, _publishers(trust, log.origin), accept_simulated_clock=True)
        policy = _read(text)
    except (FileUnreadable, UnicodeDecodeError, PolicyInvalid) as error:
        if not is_pinned:
            findings.add("policy_unreadable", log.origin, detail=str(error))
        return None
    if policy.simulated_clock:
        findings.add("clock_simulated", log.origin)
    if signed is not None and is_signed(pinned):
        known = read_signed(pinned, None, accept_simulated_clock=True)
        if signed.policy.log.name == known.policy.log.name and signed.serial < known.serial:
            findings.add("policy_outdated", log.origin, detail=f"number {signed.serial}, {known.serial} is known")
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
    elif has_quorum(policy, _named(policy) - superiors.keys(), 0):
        findings.add("policy_weak", log.origin)
    return True
