"""What a node sees of superiors who are not shown its log: its parent has taken it in, those beyond are silent."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from domain.divisions import Division
from sync.exchange.faults import Fault
from sync.proofs.tree import TreeReader
from sync.trust.certificates import Directory

WITHHELD_US: Final = 24 * 3_600 * 1_000_000
"""So long the own log may be cosigned by the parent and not by everybody above it before that is a named fault."""

WITHHELD: Final = "withheld_above"
"""Its kind; the subject is the own log. It is over once every superior has cosigned what the parent has."""


class WithheldStore(TreeReader, Protocol):
    """What is asked of the store."""

    def cosigned_since(self, log_id: int, witnesses: Sequence[str], beyond: int) -> int | None:
        """When the first cosignature of any of these over more than `beyond` leaves was kept (UTC microseconds)."""

    def fault(self, faults: Sequence[Fault], now_us: int) -> None:
        """Count them."""

    def heal(self, kinds: Sequence[str], subjects: Sequence[str], now_us: int) -> None:
        """These are over."""


class _Superior(NamedTuple):
    code: Division
    names: list[str]
    size: int


def look_for_withheld(store: WithheldStore, here: Division, directory: Directory, now_us: int) -> bool:
    """Name it, or say that it is over; whether the own log is held back above the parent.

    A link that is down for so long above the parent looks the same from here. The parent's cosignature is kept with
    the fault: it says that the parent has the log, and when, so that it can be asked.
    """
    above = _superiors(store, here, directory)
    own = store.own_log()
    origin = store.tree(own).origin
    late = _first_late(store, own, above, now_us)
    if late is None:
        store.heal([WITHHELD], [origin], now_us)
        return False
    parent, size = above[0], above[0].size
    head = store.cosigned_head(own, size - 1, _newest(store, own, parent))
    lines = "".join(store.cosignature_lines(own, size))
    detail = f"{parent.code} has cosigned {size} leaves, {late.code} above it {late.size}"
    store.fault([Fault(WITHHELD, origin, "", detail, (head.note + lines).encode() if head else b"")], now_us)
    return True


def _superiors(store: WithheldStore, here: Division, directory: Directory) -> list[_Superior]:
    """The nearest first."""
    own, named = store.own_log(), dict[Division, list[str]]()
    for name, (code, _) in directory.witnesses_above(here).items():
        named.setdefault(code, []).append(name)
    return [_Superior(code, of, max(store.cosigned_size(own, name) for name in of)) for code, of in named.items()]


def _first_late(store: WithheldStore, own: int, above: Sequence[_Superior], now_us: int) -> _Superior | None:
    for superior in above[1:]:
        if superior.size < above[0].size:
            since_us = store.cosigned_since(own, above[0].names, superior.size)
            if since_us is not None and now_us - since_us > WITHHELD_US:
                return superior
    return None


def _newest(store: WithheldStore, own: int, superior: _Superior) -> str:
    return max(superior.names, key=lambda name: store.cosigned_size(own, name))
