"""What `huiyin verify receipt` says of a receipt, in words."""

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from domain.clocks import SHANGHAI
from gateway.known_policies import KnownPolicies
from sync.proofs.note import Verifier, parse_vkey
from sync.proofs.receipt import Promised, ReceiptReport, verify_receipt


class Believed(NamedTuple):
    """What a verifier brings along. publisher: the vkey that must have signed the policy, if any.

    known: the file of what was believed before, if any. accept_weaker: a policy may ask for fewer witnesses than that.
    """

    publisher: str = ""
    known: Path | None = None
    accept_weaker: bool = False


NOTHING: Final = Believed()


def tell_receipt(
    data: bytes, policy_text: str, now_us: int, *, accept_simulated_clock: bool, believed: Believed = NOTHING
) -> str:
    """What the receipt proves, line by line. now_us: the machine's clock.

    Whether a promise is overdue is judged by the machine's clock for a real log, and not at all for a demo's.
    Raises ReceiptInvalid, PolicyInvalid, KeyInvalid, KnownPoliciesUnreadable.
    """
    policies = KnownPolicies(believed.known) if believed.known else None
    publisher = parse_vkey(believed.publisher) if believed.publisher else None
    if publisher is None and policies is not None:
        publisher = policies.publisher(policy_text)
    report = verify_receipt(data, policy_text, publisher=publisher, accept_simulated_clock=accept_simulated_clock)
    if policies is not None:
        policies.believe(policy_text, publisher, accept_weaker=believed.accept_weaker)
    lines = [_verdict(report, now_us), f"日志 / log: {report.origin}", f"登记哈希 / leaf: {report.leaf_hash.hex()}"]
    lines += [f"{opening.path}: {opening.value}" for opening in report.openings]
    if report.unopened:
        lines.append(f"未开示 / kept closed: {', '.join(report.unopened)}")
    if report.policy_serial is not None:
        lines.append(_policy(report.policy_serial, publisher))
    if report.simulated_clock:
        lines.append("演示时钟：时间均为模拟 / a demo's receipt: all times are simulated")
    return "\n".join(lines)


def _policy(serial: int, publisher: Verifier | None) -> str:
    if publisher is None:
        return (
            f"策略第 {serial} 号，其签名未核验：请用 --publisher 指定发布者公钥 / "
            f"policy number {serial}, its signature not checked: name its publisher's key with --publisher"
        )
    return f"策略第 {serial} 号，由 {publisher.name} 签发 / policy number {serial}, signed by {publisher.name}"


def _verdict(report: ReceiptReport, now_us: int) -> str:
    shows = report.shows
    if not isinstance(shows, Promised):
        witnesses = ", ".join(f"{signed.verifier.name} {_local(signed.time_s or 0)}" for signed in shows.cosigned)
        return (
            f"有效：登记是日志第 {shows.index + 1} 条，见证于 {witnesses} / "
            f"valid: the filing is leaf {shows.index} (from 0) of the log, cosigned by {witnesses}"
        )
    due = _local(shows.due_us // 1_000_000)
    if report.simulated_clock:
        return (
            f"有效承诺：演示时钟的 {due} 前入日志；是否逾期以演示时钟为准，本机时间不作判断 / "
            f"a valid promise: it must stand in the log by {due} of the demo's clock; whether that has passed, "
            "only the demo's clock can tell, not this machine's"
        )
    if now_us > shows.due_us:
        return (
            f"承诺已逾期：应于 {due} 前入日志；如仍不能出具证明，此回执即为压件证据 / "
            f"the promise is overdue since {due}: unless the log can prove the filing now, "
            "this receipt is evidence of suppression"
        )
    return f"有效承诺：{due} 前入日志 / a valid promise: it must stand in the log by {due}"


def _local(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, SHANGHAI).strftime("%Y-%m-%d %H:%M")
