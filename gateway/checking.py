"""What `huiyin verify receipt` says of a receipt, in words."""

from datetime import datetime

from domain.clocks import SHANGHAI
from sync.proofs.receipt import Promised, ReceiptReport, verify_receipt


def tell_receipt(data: bytes, policy_text: str, now_us: int, *, accept_simulated_clock: bool) -> str:
    """What the receipt proves, line by line. now_us: the machine's clock. Raises ReceiptInvalid, PolicyInvalid.

    Whether a promise is overdue is judged by the machine's clock for a real log, and not at all for a demo's.
    """
    report = verify_receipt(data, policy_text, accept_simulated_clock=accept_simulated_clock)
    lines = [_verdict(report, now_us), f"日志 / log: {report.origin}", f"登记哈希 / leaf: {report.leaf_hash.hex()}"]
    lines += [f"{opening.path}: {opening.value}" for opening in report.openings]
    if report.unopened:
        lines.append(f"未开示 / kept closed: {', '.join(report.unopened)}")
    if report.simulated_clock:
        lines.append("演示时钟：时间均为模拟 / a demo's receipt: all times are simulated")
    return "\n".join(lines)


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
