"""Why a machine's clock is not believed, from which bounds on, and what is said to whoever wants to record then."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from domain.clocks import SHANGHAI
from sync.ledger.append import LedgerError

STEP_US: Final = 10 * 60_000_000
"""More than this it does not go wrong by itself: as much as certificates allow two clocks to differ."""

GAP_DAYS: Final = 60
"""So long a node may have been silent before its clock has to be confirmed at the next start."""

BUILT_US: Final = 1_735_660_800_000_000
"""2025-01-01 in China: this program is younger."""

Kind = Literal["behind", "ahead", "stepped"]

_SAID: Final[dict[Kind, tuple[str, str]]] = {
    "behind": ("早于确知的最后时刻 {certain}", "which is before {certain}, the last moment that is certain"),
    "ahead": (
        f"比确知的最后时刻 {{certain}} 晚 {GAP_DAYS} 天以上",
        f"which is more than {GAP_DAYS} days after {{certain}}, the last moment that is certain",
    ),
    "stepped": (
        "与运行中推算的时刻 {certain} 相差过大，曾突然跳变",
        "having jumped away from {certain}, which it should say by the time that has passed",
    ),
}


class Doubt(msgspec.Struct, frozen=True):
    """Why the clock is not believed. machine_us: what it says; certain_us: what speaks against it (UTC microseconds).

    behind: before the last moment that is certain. ahead: too long after it. stepped: it jumped while the node ran.
    """

    kind: Kind
    machine_us: int
    certain_us: int

    @property
    def zh(self) -> str:
        """What is wrong, in Chinese."""
        return f"本机时钟为 {shown(self.machine_us)}，{_SAID[self.kind][0].format(certain=shown(self.certain_us))}"

    @property
    def en(self) -> str:
        """What is wrong, in English."""
        said = _SAID[self.kind][1].format(certain=shown(self.certain_us))
        return f"the machine's clock says {shown(self.machine_us)}, {said}"


class ClockInDoubt(LedgerError):
    """Nothing is recorded at a moment that may be false. Set the clock right, or confirm it; reading goes on."""

    code = "clock_in_doubt"

    def __init__(self, doubt: Doubt) -> None:
        super().__init__(
            f"{doubt.zh}；为免记错时间，暂只能查阅。请校准本机时钟；时钟无误的，请管理员运行 "
            "huiyin node clock 节点目录 --accept 确认",
            f"{doubt.en}; until then only reading is possible: set the machine's clock right, or, if it is right, "
            "confirm it by huiyin node clock FOLDER --accept",
        )


def shown(moment_us: int) -> str:
    """A moment to the second, as a clock in China shows it. moment_us: UTC microseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us)
    return moment.astimezone(SHANGHAI).isoformat(" ", "seconds")
