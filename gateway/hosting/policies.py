"""The trust policy of a node's own log: drafted from its configuration, signed by its superior or the root, published.

DIR/trust/policy.note    what was signed for this node's log, once it was
DIR/trust/issued.json    by log, the last policy that this node has signed for others
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from domain.divisions import Division
from domain.errors import DomainError
from gateway.hosting.config import ConfigInvalid, NodeConfig
from sync.proofs.note import KeyInvalid, Signer, Verifier, parse_vkey
from sync.proofs.policy import Group, KeyBefore, Policy, PolicyInvalid, Witness, demands, format_policy, parse_policy
from sync.proofs.signed_policy import check_later, read_signed, sign_policy
from sync.trust.certificates import CertificateRefused, Directory
from sync.trust.keys import replace_private

POLICY: Final = Path("trust/policy.note")
ISSUED: Final = Path("trust/issued.json")
ANY_SUPERIOR: Final = "superiors"


CosignedBy = Callable[[Verifier], int]
"""The largest size of a log that a witness has cosigned with this very key; 0 for none."""


class PolicyNotOurs(DomainError):
    """The policy does not fit this log. Draft it anew with `huiyin policy show`, and have that signed."""

    code = "policy_not_ours"

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(
            f"策略与日志不符：{zh}，请用 huiyin policy show 重新生成并送签",
            f"the policy does not fit the log: {en}; draft it anew with `huiyin policy show` and have that signed",
            field="policy",
        )


class Published(NamedTuple):
    """What a node publishes. text: a signed note, or the bare draft until one is signed.

    is_outdated: one was signed, but for keys that are not in force any more, so the draft is published instead.
    """

    text: str
    policy: Policy
    is_outdated: bool


def draft(config: NodeConfig, directory: Directory, cosigned_by: CosignedBy) -> Policy:
    """As the configuration and the certificates say: the next one up must have cosigned, and so many of the others.

    cosigned_by: of the own log; up to there a key of the next one up counts that another followed. A demo's policy says
    that its clock is simulated, so that no other reader accepts it. Raises ConfigInvalid.
    """
    own = directory.division(config.node.division)
    if own is None:
        raise LookupError("a node that is not enrolled has no policy")
    up, further = acknowledger(config, directory, cosigned_by), config.policy.witnesses
    try:
        _require_names([up.verifier.name, *(parse_vkey(one.key).name for one in further)])
        policy = Policy(
            log=directory.past_authors(config.origin)[-1],
            witnesses=(up, *(Witness(one.name, parse_vkey(one.key), one.url) for one in further)),
            groups=_groups(up.name, [one.name for one in further], config.policy.needed),
            quorum="secured" if further and config.policy.needed != "none" else up.name,
            intake=parse_vkey(own.certificate.keys.intake),
            simulated_clock=config.clock.kind == "shared",
            logs_before=_logs_before(config.origin, directory),
            intakes_before=tuple(directory.intakes(own.certificate.origin)[:-1]),
        )
        return parse_policy(format_policy(policy), accept_simulated_clock=True)
    except (KeyInvalid, PolicyInvalid) as error:
        raise ConfigInvalid(f"[policy] 有误，请改正 / [policy] is wrong, correct it: {error}") from error


def _logs_before(origin: str, directory: Directory) -> tuple[KeyBefore, ...]:
    """The log keys that others followed, or that were taken back, each with the size up to which it is good."""
    *before, _ = directory.log_keys(origin)
    return tuple(KeyBefore(key, upto) for key, upto in before if upto is not None)


def _require_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):  # cosignatures are kept by name
        raise PolicyInvalid("两个见证同名", "two witnesses bear one name")


def _groups(up: str, further: Sequence[str], needed: str) -> tuple[Group, ...]:
    if not further or needed == "none":
        return ()
    threshold = {"any": 1, "all": len(further)}.get(needed) or int(needed)
    return Group("further", threshold, tuple(further)), Group("secured", 2, (up, "further"))


def acknowledger(config: NodeConfig, directory: Directory, cosigned_by: CosignedBy) -> Witness:
    """Whose cosignature acknowledges the own log: the superior's, at the root the outside witness's."""
    parent = config.node.parent
    if parent is not None:
        known = directory.division(parent)
        if known is None:
            raise LookupError(f"the certificate of {parent} is not here")
        before = _acknowledged_before(config.node.division, directory)
        return Witness(str(parent), known.witness, before=tuple(KeyBefore(key, cosigned_by(key)) for key in before))
    if config.witness is None:
        raise ConfigInvalid("根节点须在 [witness] 中指定外部见证 / the root needs an outside [witness]")
    followed = tuple(KeyBefore(key, cosigned_by(key)) for key in map(parse_vkey, config.witness.before))
    return Witness("outside", parse_vkey(config.witness.key), config.witness.url, followed)


def _acknowledged_before(division: Division, directory: Directory) -> tuple[Verifier, ...]:
    """The keys that acknowledged a node's log before the present one: its superior's, and former superiors'."""
    parent = directory.topology.parents.get(division)
    former = [key for one in directory.former_parents(division) for key in directory.witnesses(one)]
    return (*(directory.witnesses(parent)[:-1] if parent else ()), *former)


def policy_of_replica(directory: Directory, origin: str, cosigned_by: CosignedBy, *, simulated_clock: bool) -> str:
    """What holds for another node's log by the certificates alone: that one of those above its author has cosigned.

    Empty where nobody stands above it, or nobody has certified it.
    """
    authors = directory.log_keys(origin) if origin in directory.origins() else []
    above: dict[Division, list[Verifier]] = {}
    for code, keys in directory.witnesses_above(directory.division_of(origin) or Division("")).values():
        above.setdefault(code, []).extend(keys)
    witnesses = tuple(
        Witness(code, keys[-1], before=tuple(KeyBefore(key, cosigned_by(key)) for key in keys[:-1]))
        for code, keys in above.items()
    )
    if not authors or not witnesses:
        return ""
    group = Group(ANY_SUPERIOR, 1, tuple(witness.name for witness in witnesses))
    before = tuple(KeyBefore(key, upto) for key, upto in authors[:-1] if upto is not None)
    log_key, _ = authors[-1]
    return format_policy(
        Policy(log_key, witnesses, (group,), ANY_SUPERIOR, simulated_clock=simulated_clock, logs_before=before)
    )


def published(folder: Path, config: NodeConfig, directory: Directory, cosigned_by: CosignedBy) -> Published:
    """What stands for this node's log now; cosigned_by: see `draft`. Raises PolicyInvalid, ConfigInvalid."""
    proposed = draft(config, directory, cosigned_by)
    text = _read(folder / POLICY)
    if text is None:
        return Published(format_policy(proposed), proposed, is_outdated=False)
    signed = read_signed(text, _publishers(config, directory, ever=True), accept_simulated_clock=True)
    try:
        read_signed(text, _publishers(config, directory), accept_simulated_clock=True)
        _check_fits(signed.policy, proposed)
    except (PolicyNotOurs, PolicyInvalid):
        return Published(format_policy(proposed), proposed, is_outdated=True)
    return Published(text, signed.policy, is_outdated=False)


def install(
    folder: Path,
    config: NodeConfig,
    directory: Directory,
    text: str,
    cosigned_by: CosignedBy,
    *,
    accept_weaker: bool = False,
) -> int:
    """Publish what the superior or the root has signed from the next start; its number. cosigned_by: see `draft`.

    Raises PolicyInvalid, PolicyOutdated, PolicyWeaker, PolicyNotOurs, ConfigInvalid.
    """
    publishers = _publishers(config, directory)
    signed = read_signed(text, publishers, accept_simulated_clock=config.clock.kind == "shared")
    _check_fits(signed.policy, draft(config, directory, cosigned_by))
    before = _read(folder / POLICY)
    if before is not None:
        check_later(read_signed(before, None, accept_simulated_clock=True), signed, accept_weaker=accept_weaker)
    replace_private(folder / POLICY, text.encode())
    return signed.serial


def issue(
    folder: Path,
    signer: Signer,
    directory: Directory,
    text: str,
    now_us: int,
    held: Callable[[str], int],
    *,
    accept_weaker: bool = False,
) -> str:
    """Sign the draft for a log that is certified here, under its next number. folder: of the superior, or the root.

    held: how many leaves of a log are held here: no key that another followed has cosigned more.
    Raises PolicyInvalid, PolicyWeaker, PolicyNotOurs, CertificateRefused.
    """
    policy = parse_policy(text, accept_simulated_clock=True)
    _check_certified(policy, directory, now_us, held(policy.log.name))
    issued = _issued(folder)
    known = issued.get(policy.log.name)
    before = None if known is None else read_signed(known, None, accept_simulated_clock=True)
    note = sign_policy(policy, before.serial + 1 if before else 1, signer)
    if before is not None:
        check_later(before, read_signed(note, None, accept_simulated_clock=True), accept_weaker=accept_weaker)
    replace_private(folder / ISSUED, msgspec.json.format(msgspec.json.encode({**issued, policy.log.name: note})))
    return note


def _check_certified(policy: Policy, directory: Directory, now_us: int, held_size: int) -> None:
    if policy.log not in directory.authors(policy.log.name, now_us):
        raise CertificateRefused("keys", "日志密钥未获登记", f"nobody has certified this key for {policy.log.name}")
    division = directory.division_of(policy.log.name)
    known = None if division is None else directory.division(division)
    if known is None or (policy.intake is not None and policy.intake.vkey != known.certificate.keys.intake):
        raise PolicyNotOurs("受理承诺密钥未获登记", "its key for promises is not the certified one")
    if not set(policy.logs_before) <= set(_logs_before(policy.log.name, directory)):
        raise PolicyNotOurs("先前的日志密钥未获登记", "a log key before this one is not certified so")
    if not set(policy.intakes_before) <= set(directory.intakes(policy.log.name)):
        raise PolicyNotOurs("先前的受理承诺密钥未获登记", "an earlier key for promises is not certified")
    parent = None if known.certificate.parent is None else directory.division(known.certificate.parent)
    former = set(_acknowledged_before(known.certificate.division, directory))
    for witness in policy.witnesses:
        # A key that counts as a witness's is as good as its own: whoever may add one is a quorum by itself. Which keys
        # its outside witness has had, nobody above a root has certified: there its word counts, up to what is held.
        before = {key.verifier for key in witness.before}
        is_certified = parent is not None and witness.verifier == parent.witness and before <= former
        if before and known.certificate.parent is not None and not is_certified:
            raise PolicyNotOurs("先前的见证密钥未获登记", f"an earlier key of {witness.name} is not certified as such")
        if any(key.upto > held_size for key in witness.before):
            raise PolicyNotOurs(
                f"先前的见证密钥有效范围超出此处所存的{held_size}条",
                f"an earlier key of {witness.name} would count beyond the {held_size} leaves held here",
            )
    if parent is not None and not demands(policy, parent.witness):
        raise PolicyNotOurs("未要求直接上级会签", "it can do without the cosignature of the direct superior")


def _check_fits(signed: Policy, proposed: Policy) -> None:
    """That a signed policy is of this log, demands the next one up, and only such others as are asked."""
    if (signed.log, signed.intake) != (proposed.log, proposed.intake):
        raise PolicyNotOurs("密钥不是本节点现用密钥", "its keys are not this node's present ones")
    if not demands(signed, proposed.witnesses[0].verifier):
        raise PolicyNotOurs("未要求直接上级或外部见证会签", "it can do without the cosignature of the next one up")
    asked = {witness.verifier for witness in proposed.witnesses}
    strangers = [one.name for one in signed.witnesses if one.verifier not in asked and demands(signed, one.verifier)]
    if strangers:
        named = ", ".join(strangers)
        raise PolicyNotOurs(f"{named} 不在 [policy] 中", f"nobody asks {named}, which it demands: see [policy]")


def _publishers(config: NodeConfig, directory: Directory, *, ever: bool = False) -> list[Verifier]:
    """The log keys of the superior and of the root; the root's own at the root. ever: also those taken back."""
    parents = directory.topology.parents
    root = here = config.node.division
    while root in parents:
        root = parents[root]
    codes = {config.node.parent or here, root}
    origins = [known.certificate.origin for code in sorted(codes) if (known := directory.division(code)) is not None]
    gone = frozenset[str]() if ever else frozenset(key for code in codes for key in directory.given_up_keys(code))
    return [key for origin in origins for key, _ in directory.log_keys(origin) if key.vkey not in gone]


def _issued(folder: Path) -> dict[str, str]:
    text = _read(folder / ISSUED)
    return {} if text is None else msgspec.json.decode(text.encode(), type=dict[str, str])


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
