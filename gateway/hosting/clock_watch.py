"""What a node's operator has confirmed of the machine's clock, and how the clock of a running node learns of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from gateway.hosting import config
from gateway.hosting.clock_doubt import BUILT_US, ClockInDoubt, Doubt, Kind
from gateway.hosting.config import ConfigInvalid
from gateway.hosting.machine_clock import MachineClock
from sync.trust.keys import replace_private

ACCEPTED: Final = Path("trust/clock.json")

_log = structlog.get_logger("clock")


class Accepted(msgspec.Struct, frozen=True):
    """machine_us: what the machine's clock said when it was confirmed.

    recorded_us: the latest moment that the ledger bore when the node learned of it, which is false where it is the
    later one; None until then. A moment that is recorded beyond it is certain again.
    """

    machine_us: int
    recorded_us: int | None = None


def accept_clock(folder: Path, machine_us: int) -> None:
    """Confirm what the machine's clock says, UTC microseconds; a node that runs learns of it within a second.

    Raises ConfigInvalid, and ClockInDoubt where it says what cannot be.
    """
    if config.load(folder).clock.kind == "shared":
        raise ConfigInvalid(
            f"{folder} 使用演示时钟，无须确认 / this node runs on a demo's clock; there is nothing to confirm"
        )
    if machine_us < BUILT_US:
        raise ClockInDoubt(Doubt("behind", machine_us, BUILT_US))
    _write(folder, Accepted(machine_us))


class ClockWatch:
    """For one thread: begins the clock at the start, and brings it news while the node runs."""

    def __init__(
        self, folder: Path, clock: MachineClock, recorded_us: Callable[[], int], cosigned_us: Callable[[], int]
    ) -> None:
        """recorded_us, cosigned_us: as `MachineClock.begin` has them, by ledger and cosignatures."""
        self._folder = folder
        self._clock = clock
        self._recorded_us = recorded_us
        self._cosigned_us = cosigned_us
        self._told: Kind | None = None

    def begin(self) -> None:
        """Measure the clock against the ledger, or against what was confirmed since."""
        accepted, recorded_us = _read(self._folder), self._recorded_us()
        if accepted is None:
            self._clock.begin(recorded_us, self._cosigned_us())
        elif accepted.recorded_us is None:
            self._take_up(accepted)
        else:
            is_known_better = recorded_us > accepted.recorded_us
            self._clock.begin(recorded_us if is_known_better else accepted.machine_us, self._cosigned_us())
        self._tell()

    def look(self) -> None:
        """Take up what was confirmed or cosigned since; say in the log when a doubt comes and goes."""
        accepted = _read(self._folder)
        if accepted is not None and accepted.recorded_us is None:
            self._take_up(accepted)
        elif self._clock.doubt() is not None:
            self._clock.vouch(self._cosigned_us())
        self._tell()

    def _take_up(self, accepted: Accepted) -> None:
        said_us = self._clock.begin(accepted.machine_us, self._cosigned_us())
        # What was said may be on its way into the ledger.
        recorded_us = max(said_us, self._recorded_us())
        _write(self._folder, msgspec.structs.replace(accepted, recorded_us=recorded_us))

    def _tell(self) -> None:
        doubt = self._clock.doubt()
        kind = doubt.kind if doubt else None
        if kind == self._told:
            return
        self._told = kind
        if doubt is None:
            _log.info("clock believed")
        else:
            _log.error("clock in doubt", kind=doubt.kind, reason=str(ClockInDoubt(doubt)))


def _read(folder: Path) -> Accepted | None:
    try:
        return msgspec.json.decode((folder / ACCEPTED).read_bytes(), type=Accepted)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigInvalid(
            f"{folder / ACCEPTED} 有误，请删除后重新确认时钟 / is wrong; delete it and confirm the clock again: {error}"
        ) from error


def _write(folder: Path, accepted: Accepted) -> None:
    replace_private(folder / ACCEPTED, msgspec.json.encode(accepted))
