"""Whom a verifier trusts for one log: C2SP tlog-policy text, and the check that log and quorum have signed.

Comment lines, which other tools ignore, say what that format has no word for:
`# huiyin:intake <vkey>` names the key that signs receipt promises; `# huiyin:clock simulated` says that the
times in this log are those of a demonstration, and only a caller who says so accepts such a policy.
Keys that others followed stay good for receipts of their time: `# huiyin:log-before <vkey> <size>` signs heads up to
that size, `# huiyin:witness-before <name> <vkey> <size>` counts as that witness up to that size, and
`# huiyin:intake-before <vkey>` promised.
"""

import re
from collections.abc import Collection, Iterable

import msgspec

from sync.proofs.note import (
    COSIGNATURE_V1,
    ED25519,
    Checkpoint,
    KeyInvalid,
    Note,
    NoteInvalid,
    Signed,
    Verifier,
    parse_checkpoint,
    parse_vkey,
    verify,
)

MAX_POLICY_CHARS = 64 * 1024
MAX_MEMBERS = 64

_SIZE = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


class PolicyInvalid(Exception):
    """The policy text is malformed, contradicts itself or would prove nothing. Get it again from its publisher."""

    def __init__(
        self, zh: str, en: str, to_do: tuple[str, str] = ("请重新获取", "get it again from its publisher")
    ) -> None:
        super().__init__(f"信任策略无效：{zh}，{to_do[0]} / policy invalid: {en}; {to_do[1]}")


class QuorumMissing(NoteInvalid):
    """The log signed, but too few of its witnesses. Wait for their cosignatures, or ask the log for them."""


class KeyBefore(msgspec.Struct, frozen=True):
    """A key that another followed, of the log or of a witness: it signs heads up to size `upto`."""

    verifier: Verifier
    upto: int


class Witness(msgspec.Struct, frozen=True):
    """A witness. name: its name within the policy; url: where it is reached, if the policy says.

    before: keys of it that others followed.
    """

    name: str
    verifier: Verifier
    url: str | None = None
    before: tuple[KeyBefore, ...] = ()

    def keys(self, size: int) -> list[Verifier]:
        """Those that count as this witness's under a head of so many leaves."""
        return [self.verifier, *_good_for(self.before, size)]


class Group(msgspec.Struct, frozen=True):
    """Satisfied when at least `threshold` of its members are; members are witnesses or earlier groups."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True):
    """Trust in one log. quorum: name of the witness or group that must have cosigned.

    intake: the key that signs receipt promises, if the policy names one. simulated_clock: only for demonstrations.
    logs_before, intakes_before: keys that others followed.
    """

    log: Verifier
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str
    log_url: str | None = None
    intake: Verifier | None = None
    simulated_clock: bool = False
    logs_before: tuple[KeyBefore, ...] = ()
    intakes_before: tuple[Verifier, ...] = ()

    @property
    def intakes(self) -> list[Verifier]:
        """Every key that may have signed a promise."""
        return [] if self.intake is None else [self.intake, *self.intakes_before]


def parse_policy(text: str, *, accept_simulated_clock: bool = False) -> Policy:
    """Read a policy of exactly one log. Raises: PolicyInvalid.

    Stricter than C2SP tlog-policy in two ways: the last line must end too, since a cut one could weaken the rule,
    and `quorum none` is refused, since a log alone can show two histories.
    """
    if len(text) > MAX_POLICY_CHARS or not text.endswith("\n") or re.search(r"[^\t\n\x20-\x7e\x80-\U0010ffff]", text):
        raise PolicyInvalid("过长、末行不完整或含控制字符", "too long, its last line cut, or control characters in it")
    reading = _Reading()
    for line in text.split("\n"):
        reading.take(line)
    return reading.finish(accept_simulated_clock)


def format_policy(policy: Policy) -> str:
    """The policy as text: log, witnesses, groups, quorum, then our own lines. `parse_policy` reads it back equal."""
    lines = [_words("log", policy.log.vkey, policy.log_url)]
    lines += [_words("witness", it.name, it.verifier.vkey, it.url) for it in policy.witnesses]
    lines += [_words("group", it.name, str(it.threshold), *it.members) for it in policy.groups]
    lines += [_words("quorum", policy.quorum)]
    if policy.intake is not None:
        lines.append(f"# huiyin:intake {policy.intake.vkey}")
    lines += [f"# huiyin:log-before {it.verifier.vkey} {it.upto}" for it in policy.logs_before]
    lines += [
        f"# huiyin:witness-before {it.name} {key.verifier.vkey} {key.upto}"
        for it in policy.witnesses
        for key in it.before
    ]
    lines += [f"# huiyin:intake-before {key.vkey}" for key in policy.intakes_before]
    if policy.simulated_clock:
        lines.append("# huiyin:clock simulated")
    return "".join(f"{line}\n" for line in lines)


def check_checkpoint(policy: Policy, note: Note) -> tuple[Checkpoint, tuple[Signed, ...]]:
    """The checkpoint, once the log itself and the quorum have signed it, and the witnesses' signatures.

    Raises: NoteInvalid if the text, the origin or any known line is wrong or the log's line is missing;
    QuorumMissing if the log signed but too few witnesses did.
    """
    checkpoint = parse_checkpoint(note.text)
    logs = [policy.log, *_good_for(policy.logs_before, checkpoint.size)]
    signed = verify(note, [*logs, *(key for it in policy.witnesses for key in it.keys(checkpoint.size))])
    if checkpoint.origin != policy.log.name:
        raise NoteInvalid("不是此策略所指的日志", "it is not the log of this policy")
    keys = {it.verifier for it in signed}
    if not keys.intersection(logs):
        raise NoteInvalid("缺少日志自身的签名", "the log itself has not signed it")
    if not has_quorum(policy, keys, checkpoint.size):
        raise QuorumMissing("见证联署不足", "too few witnesses have cosigned it")
    return checkpoint, tuple(it for it in signed if it.verifier not in logs)


def has_quorum(policy: Policy, keys: Collection[Verifier], size: int) -> bool:
    """Whether cosignatures by these keys, under a head of so many leaves, satisfy the quorum."""
    met = {it.name: any(key in keys for key in it.keys(size)) for it in policy.witnesses}
    for group in policy.groups:  # members stand before their groups, so one pass is enough
        met[group.name] = sum(met[member] for member in group.members) >= group.threshold
    return met[policy.quorum]


def demands(policy: Policy, key: Verifier) -> bool:
    """Whether nothing satisfies the quorum without a cosignature by this key."""
    return not has_quorum(policy, {witness.verifier for witness in policy.witnesses} - {key}, 0)


def _good_for(before: Iterable[KeyBefore], size: int) -> list[Verifier]:
    return [it.verifier for it in before if size <= it.upto]


def _words(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None)


def _split(line: str) -> list[str]:
    return [word for word in re.split(r"[ \t]+", line) if word]


class _Reading:
    """What the lines so far have said."""

    def __init__(self) -> None:
        self.log: Verifier | None = None
        self.log_url: str | None = None
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self.intake: Verifier | None = None
        self.simulated_clock = False
        self.logs_before: list[KeyBefore] = []
        self.intakes_before: list[Verifier] = []
        self._defined: set[str] = set()
        self._grouped: set[str] = set()
        self._public_keys: set[bytes] = set()

    def take(self, line: str) -> None:
        line = line.strip(" \t")
        if line.startswith("#"):
            self._take_comment(line.removeprefix("#"))
            return
        match _split(line):
            case []:
                pass
            case ["log", vkey, *url] if len(url) <= 1 and self.log is None:
                self.log, self.log_url = self._key(vkey, ED25519), url[0] if url else None
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._define(name)
                self.witnesses.append(Witness(name, self._key(vkey, COSIGNATURE_V1), url[0] if url else None))
            case ["group", name, threshold, *members]:
                self.groups.append(self._group(name, threshold, members))
                self._define(name)
            case ["quorum", name] if self.quorum is None:
                self.quorum = self._known(name)
            case _:
                raise PolicyInvalid("有一行读不懂或重复", f"a line is not understood or given twice: {line[:80]!r}")

    def _take_comment(self, comment: str) -> None:
        match _split(comment):
            case ["huiyin:intake", vkey] if self.intake is None:
                self.intake = self._key(vkey, ED25519)
            case ["huiyin:log-before", vkey, size] if _SIZE.fullmatch(size):
                self.logs_before.append(KeyBefore(self._key(vkey, ED25519), int(size)))
            case ["huiyin:witness-before", name, vkey, size] if _SIZE.fullmatch(size) and self._is_witness(name):
                before = KeyBefore(self._key(vkey, COSIGNATURE_V1), int(size))
                self.witnesses = [
                    msgspec.structs.replace(it, before=(*it.before, before)) if it.name == name else it
                    for it in self.witnesses
                ]
            case ["huiyin:intake-before", vkey]:
                self.intakes_before.append(self._key(vkey, ED25519))
            case ["huiyin:clock", "simulated"]:
                self.simulated_clock = True
            case [word, *_] if word.startswith("huiyin:"):
                raise PolicyInvalid("有一行huiyin注记读不懂或重复", "a huiyin: line is not understood or given twice")

    def finish(self, accept_simulated_clock: bool) -> Policy:
        if self.log is None or self.quorum is None:
            raise PolicyInvalid("缺少log或quorum行", "the log line or the quorum line is missing")
        if any(witness.verifier.name == self.log.name for witness in self.witnesses):
            raise PolicyInvalid("见证与日志同名", f"a witness bears the name of the log, {self.log.name}")
        if self.simulated_clock and not accept_simulated_clock:
            raise PolicyInvalid(
                "模拟时钟的策略只用于演示",
                "its clock is simulated, for demonstrations only",
                ("确要核验演示回执请加 --accept-simulated-clock", "for a demo's receipt add --accept-simulated-clock"),
            )
        return Policy(
            log=self.log,
            log_url=self.log_url,
            witnesses=tuple(self.witnesses),
            groups=tuple(self.groups),
            quorum=self.quorum,
            intake=self.intake,
            simulated_clock=self.simulated_clock,
            logs_before=tuple(self.logs_before),
            intakes_before=tuple(self.intakes_before),
        )

    def _is_witness(self, name: str) -> bool:
        return name in {it.name for it in self.witnesses}

    def _key(self, vkey: str, kind: int) -> Verifier:
        try:
            verifier = parse_vkey(vkey)
        except KeyInvalid as error:
            raise PolicyInvalid("其中一个密钥读不懂", "one of its keys is malformed") from error
        if verifier.kind != kind:
            raise PolicyInvalid("密钥类型与用途不符", f"{verifier.name} has a key of the wrong type")
        if verifier.public_key in self._public_keys:  # one key in two roles would be its own witness
            raise PolicyInvalid("同一密钥用了两次", f"the key of {verifier.name} is used twice")
        self._public_keys.add(verifier.public_key)
        return verifier

    def _define(self, name: str) -> None:
        if name in self._defined or name == "none" or len(self._defined) >= MAX_MEMBERS:
            raise PolicyInvalid("名称重复、为none或过多", f"the name {name} is taken or reserved, or one too many")
        self._defined.add(name)

    def _known(self, name: str) -> str:
        if name not in self._defined:
            raise PolicyInvalid("引用了前文没有的见证", f"no witness or group {name} was defined before")
        return name

    def _group(self, name: str, threshold: str, members: list[str]) -> Group:
        for member in members:
            if self._known(member) in self._grouped:
                raise PolicyInvalid("同一成员列了两次", f"{member} is a member twice")
            self._grouped.add(member)
        needed = {"any": "1", "all": str(len(members))}.get(threshold, threshold)
        if not re.fullmatch("[1-9][0-9]{0,3}", needed) or int(needed) > len(members):
            raise PolicyInvalid("组的门槛不合规", f"group {name} needs from 1 to all of its members")
        return Group(name, int(needed), tuple(members))
