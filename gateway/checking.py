"""What `huiyin verify receipt` says of a receipt, in words."""

from datetime import datetime

from domain.clocks import SHANGHAI
from gateway.clock import SystemClock
from sync.receipt import Promised, ReceiptReport, verify_receipt


def tell_receipt(data: bytes, policy_text: str, accept_simulated_clock: bool) -> str:
    """What the receipt proves, line by line. Raises ReceiptInvalid, PolicyInvalid."""
    now_us = SystemClock().now_us()
    report = verify_receipt(data, policy_text, now_us, accept_simulated_clock=accept_simulated_clock)
    lines = [_verdict(report), f"日志 / log: {report.origin}", f"登记哈希 / leaf: {report.leaf_hash.hex()}"]
    lines += [f"{opening.path}: {opening.value}" for opening in report.openings]
    if report.unopened:
        lines.append(f"未开示 / kept closed: {', '.join(report.unopened)}")
    if report.simulated_clock:
        lines.append("演示时钟：时间均为模拟 / a demo's receipt: all times are simulated")
    return "\n".join(lines)


def _verdict(report: ReceiptReport) -> str:
    shows = report.shows
    if not isinstance(shows, Promised):
        witnesses = ", ".join(f"{signed.verifier.name} {_local(signed.time_s or 0)}" for signed in shows.cosigned)
        return (
            f"有效：登记是日志第 {shows.index} 条，见证于 {witnesses} / "
            f"valid: the filing is leaf {shows.index} of the log, cosigned by {witnesses}"
        )
    due = _local(shows.due_us // 1_000_000)
    if shows.overdue:
        return (
            f"承诺已逾期：应于 {due} 前入日志；如仍不能出具证明，此回执即为压件证据 / "
            f"the promise is overdue since {due}: unless the log can prove the filing now, "
            "this receipt is evidence of suppression"
        )
    return f"有效承诺：{due} 前入日志 / a valid promise: it must stand in the log by {due}"


def _local(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, SHANGHAI).strftime("%Y-%m-%d %H:%M")
