"""A trust policy as its publisher signed it, numbered, so that an older or a weaker one is recognised.

A C2SP signed note by the log key of a superior or of the root; its text is

    huiyin-policy/v0
    serial <number>
    <tlog-policy text, in the one spelling that `format_policy` writes>

The numbers of one log's policies go up. Who has seen one takes no older one for it, no other one under its number, and
one that asks for fewer witnesses only where a person has agreed to that.
"""

from collections.abc import Iterable

import msgspec

from sync.proofs.note import NoteInvalid, Signer, Verifier, parse_decimal, parse_note, sign_note, verify
from sync.proofs.policy import Policy, PolicyInvalid, format_policy, parse_policy

_KIND = "huiyin-policy/v0"


class PolicyOutdated(PolicyInvalid):
    """A later policy of this log is known, or another one under this number. Use the one with the highest number."""


class PolicyWeaker(PolicyInvalid):
    """It asks for fewer witnesses than the one known. Ask its publisher whether that is meant, then agree to it."""


class PolicyUnsigned(PolicyInvalid):
    """It bears no signature, though a signed one is asked for or known: who knows what was taken out of it."""


class SignedPolicy(msgspec.Struct, frozen=True):
    """What a publisher has said. serial: counts the policies of one log, from 1. text: the tlog-policy."""

    serial: int
    text: str
    policy: Policy


def sign_policy(policy: Policy, serial: int, signer: Signer) -> str:
    """The policy as a signed note. ValueError for a serial below 1."""
    if serial < 1:
        raise ValueError("policies are numbered from 1")
    return sign_note(f"{_KIND}\nserial {serial}\n{format_policy(policy)}", signer).to_bytes().decode()


def is_signed(text: str) -> bool:
    """Whether this calls itself a signed policy, as opposed to a bare tlog-policy."""
    return text.startswith(f"{_KIND}\n")


def read_signed(
    text: str, publishers: Iterable[Verifier] | None, *, accept_simulated_clock: bool = False
) -> SignedPolicy:
    """What one of `publishers` has signed; None checks no signature. Raises PolicyInvalid, PolicyUnsigned."""
    if not is_signed(text):
        raise PolicyUnsigned(
            "没有发布者签名",
            "it is not signed",
            ("请取得带签名和序号的策略", "get the signed, numbered one from its publisher"),
        )
    try:
        note = parse_note(text.encode())
        if publishers is not None:
            verify(note, publishers)
        _, numbered, body = note.text.split("\n", 2)
        serial = parse_decimal(numbered.removeprefix("serial "))
    except (NoteInvalid, UnicodeError, ValueError) as error:
        raise PolicyInvalid("签名或格式不对", f"signature or form is wrong: {error}") from error
    policy = parse_policy(body, accept_simulated_clock=accept_simulated_clock)
    if not numbered.startswith("serial ") or serial < 1 or format_policy(policy) != body:
        raise PolicyInvalid("写法不唯一", "it is not written in the one way it can be")
    return SignedPolicy(serial, body, policy)


def parse_either(text: str, *, accept_simulated_clock: bool = False) -> Policy:
    """What a policy says, bare or signed by whomever: for those who trust where they got it. Raises PolicyInvalid."""
    if is_signed(text):
        return read_signed(text, None, accept_simulated_clock=accept_simulated_clock).policy
    return parse_policy(text, accept_simulated_clock=accept_simulated_clock)


def check_later(known: SignedPolicy, new: SignedPolicy, *, accept_weaker: bool = False) -> None:
    """That `new`, of the same log, may take the place of `known` or is the same.

    Raises PolicyInvalid, PolicyOutdated, PolicyWeaker.
    """
    to_do = ("请使用序号最大的策略", f"use number {known.serial} or a later one")
    if new.policy.log.name != known.policy.log.name:
        raise PolicyInvalid("是另一日志的策略", f"it is the policy of {new.policy.log.name}")
    if new.serial < known.serial:
        raise PolicyOutdated(f"已有序号更大的策略（{known.serial}）", f"number {known.serial} is known already", to_do)
    if new.serial == known.serial and new.text != known.text:
        raise PolicyOutdated("同一序号有两份不同的策略", f"another policy has number {new.serial}, too", to_do)
    if not accept_weaker and fewest_witnesses(new.policy) < fewest_witnesses(known.policy):
        raise PolicyWeaker(
            "要求的见证少于已知策略",
            f"it asks for {fewest_witnesses(new.policy)} witnesses, the one known for {fewest_witnesses(known.policy)}",
            ("请先向发布者核实，再确认接受", "ask its publisher, then agree to it"),
        )


def fewest_witnesses(policy: Policy) -> int:
    """How many witnesses have to cosign at the least. Exact, since each counts in one group only."""
    fewest = {witness.name: 1 for witness in policy.witnesses}
    for group in policy.groups:
        fewest[group.name] = sum(sorted(fewest[member] for member in group.members)[: group.threshold])
    return fewest[policy.quorum]
