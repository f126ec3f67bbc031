"""The signed policies that a verifier has believed before, in one file, so that none of them is undercut later."""

from pathlib import Path

import msgspec

from sync.proofs.note import Verifier, parse_vkey
from sync.proofs.policy import PolicyInvalid, parse_policy
from sync.proofs.signed_policy import PolicyUnsigned, check_later, is_signed, read_signed
from sync.trust.keys import replace_private


class KnownPoliciesUnreadable(Exception):
    """The file does not hold what was believed before. Restore it, or begin a new one knowing what that gives up."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} 不是已知策略文件，请恢复原文件；另起新文件将不再识别旧策略 / {path} is no file of known policies; "
            "restore it: a new one recognises no older policy"
        )


class _Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """publisher: the vkey whose signature was verified. policy: the signed note."""

    publisher: str
    policy: str


class KnownPolicies:
    """By log, the latest policy believed. Not for several processes at once."""

    def __init__(self, path: Path) -> None:
        """path: is made at the first policy. Raises KnownPoliciesUnreadable."""
        self._path = path
        try:
            self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, _Known])
        except FileNotFoundError:
            self._known = {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise KnownPoliciesUnreadable(path) from None

    def publisher(self, text: str) -> Verifier | None:
        """Whose signature the policy of this log bore before; null for a log without. Raises PolicyInvalid."""
        known = self._known.get(_log_of(text))
        return parse_vkey(known.publisher) if known else None

    def believe(self, text: str, publisher: Verifier | None, *, accept_weaker: bool) -> None:
        """Keep a policy that `publisher` has signed, if it undercuts none. A bare one of a log without is not kept.

        Raises PolicyInvalid, PolicyUnsigned, PolicyOutdated, PolicyWeaker.
        """
        log = _log_of(text)
        known = self._known.get(log)
        if publisher is None:
            if known is not None:
                raise PolicyUnsigned("已知该日志有签名的策略", "a signed policy of this log is known")
            return
        new = read_signed(text, [publisher], accept_simulated_clock=True)
        if known is not None:
            before = read_signed(known.policy, None, accept_simulated_clock=True)
            check_later(before, new, accept_weaker=accept_weaker)
        self._known[log] = _Known(publisher.vkey, text)
        replace_private(self._path, msgspec.json.format(msgspec.json.encode(self._known)) + b"\n")


def _log_of(text: str) -> str:
    if is_signed(text):
        return read_signed(text, None, accept_simulated_clock=True).policy.log.name
    try:
        return parse_policy(text, accept_simulated_clock=True).log.name
    except UnicodeError as error:
        raise PolicyInvalid("不是UTF-8", "not UTF-8") from error
