"""`make crash`: kills real processes, and their databases, at every durable write, and tells what was compared."""

import sys
import tempfile
import time
from pathlib import Path

from tests.crash.dying import Side, Victim
from tests.crash.history import History
from tests.crash.offices import Offices, wait_until
from tests.crash.points import FIRST_START, POINTS, Point, strike


def main() -> int:
    """Exit code 1 where a point was not struck or something was lost, doubled or changed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="huiyin-crash-") as folder:
        offices = Offices(Path(folder))
        try:
            offices.village.order(*FIRST_START)
            offices.start()
            wait_until(offices.village.is_struck, "the first start is killed everywhere")
            offices.open_accounts()
            print(f"first start of the village: killed {offices.village.deaths} times")
            history = History(offices)
            for victim in ("process", "database"):
                for point in POINTS:
                    is_file = point.words.startswith("file ")
                    for side in ("before", "after"):
                        if victim == "process" or not is_file:
                            failed += not _told(offices, history, point, side, victim)
        finally:
            offices.stop()
    print(f"{failed} failed")
    return 1 if failed else 0


def _told(offices: Offices, history: History, point: Point, side: Side, victim: Victim) -> bool:
    began, before, deaths = (
        time.monotonic(),
        dict(history.checked),
        sum(one.deaths for one in offices.services.values()),
    )
    try:
        strike(offices, history, point, side, victim)
    except Exception as error:
        print(f"FAILED {victim} {side} {point}: {error}", flush=True)
        return False
    checked = ", ".join(f"{what} {count - before.get(what, 0)}" for what, count in history.checked.items())
    restarts = offices.deaths() - deaths
    took = time.monotonic() - began
    print(f"{victim} killed {side}: {point}: struck once, {restarts} restarts, {took:.1f} s; {checked}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
