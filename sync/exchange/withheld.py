"""What a node sees of superiors who are not shown its log: its parent has taken it in, those beyond are silent."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from domain.divisions import Division
from sync.exchange.faults import Fault
from sync.proofs.tree import TreeReader
from sync.trust.certificates import Directory

WITHHELD_US: Final = 24 * 3_600 * 1_000_000
"""So long one superior may have cosigned the own log and another one not before that is a named fault."""

WITHHELD: Final = "withheld_above"
"""Its kind; the subject is the own log. It is over once every superior has cosigned what any of them has."""


class WithheldStore(TreeReader, Protocol):
    """What is asked of the store."""

    def cosigned_since(self, log_id: int, witnesses: Sequence[str], beyond: int) -> int | None:
        """When the first cosignature of any of these over more than `beyond` leaves was kept (UTC microseconds)."""

    def open_faults(self, subject: str) -> frozenset[str]:
        """The kinds of the faults of this subject that are not over."""

    def fault(self, faults: Sequence[Fault], now_us: int) -> None:
        """Count them."""

    def heal(self, kinds: Sequence[str], subjects: Sequence[str], now_us: int) -> None:
        """These are over."""


class _Superior(NamedTuple):
    """since_us: from when on it can be expected to cosign the own log: certified itself, and this node below it."""

    code: Division
    names: list[str]
    size: int
    since_us: int


def look_for_withheld(store: WithheldStore, here: Division, directory: Directory, now_us: int) -> bool:
    """Name it, or say that it is over; whether one superior has for long not cosigned what another one has.

    A link that is down for so long between the two looks the same from here. The cosignature of the one is kept with
    the fault: it says that it has the log, and when, so that it can be asked.
    """
    above = _superiors(store, here, directory)
    own = store.own_log()
    origin = store.tree(own).origin
    most = max(above, key=lambda superior: superior.size, default=None)
    late = None if most is None else _first_late(store, own, above, most, now_us)
    if most is None or late is None:
        if WITHHELD in store.open_faults(origin):
            store.heal([WITHHELD], [origin], now_us)
        return False
    head = store.cosigned_head(own, most.size - 1, _newest(store, own, most))
    lines = "".join(store.cosignature_lines(own, most.size))
    detail = f"{most.code} has cosigned {most.size} leaves, {late.code} {late.size}"
    store.fault([Fault(WITHHELD, origin, "", detail, (head.note + lines).encode() if head else b"")], now_us)
    return True


def _superiors(store: WithheldStore, here: Division, directory: Directory) -> list[_Superior]:
    """The nearest first."""
    own, named = store.own_log(), dict[Division, list[str]]()
    for name, (code, _) in directory.witnesses_above(here).items():
        named.setdefault(code, []).append(name)
    return [
        _Superior(
            code, of, max(store.cosigned_size(own, name) for name in of), _expected_since_us(directory, here, code)
        )
        for code, of in named.items()
    ]


def _expected_since_us(directory: Directory, here: Division, superior: Division) -> int:
    known = [directory.division(code) for code in (here, superior)]
    return max((one.certificate.valid_from_us for one in known if one is not None), default=0)


def _first_late(
    store: WithheldStore, own: int, above: Sequence[_Superior], most: _Superior, now_us: int
) -> _Superior | None:
    for superior in above:
        if superior.size < most.size:
            since_us = store.cosigned_since(own, most.names, superior.size)
            if since_us is not None and now_us - max(since_us, superior.since_us) > WITHHELD_US:
                return superior
    return None


def _newest(store: WithheldStore, own: int, superior: _Superior) -> str:
    return max(superior.names, key=lambda name: store.cosigned_size(own, name))
