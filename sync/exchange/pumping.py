"""Which pumps a node runs, and what wakes each."""

import time
from collections.abc import Callable
from typing import Final

from sync.exchange.exchange import Exchange
from sync.exchange.pump import Bell, Pump
from sync.ledger.reader import Tip

IDLE_S: Final = 0.5
"""A wake-up that was lost costs no more than this."""

RETRY_LOOK_S: Final = 0.2
"""How often it is looked whether what was sent has waited too long."""


class Pumping:
    """The running exchange of one node."""

    def __init__(
        self,
        exchange: Exchange,
        tip: Tip,
        on_trouble: Callable[[str, BaseException, float], None],
        passes: Callable[[BaseException], bool],
    ) -> None:
        """tip: of the node's writer. on_trouble, passes: see Pump."""
        self._exchange = exchange
        self._tip = tip
        self._seen_pos = 0
        self._to_parent, self._to_children, self._to_dispatch = Bell(), Bell(), Bell()
        steps: list[tuple[str, Callable[[], bool], Callable[[], None]]] = [
            ("tip", self._follow_tip, lambda: None),
            ("up", self._up, lambda: self._to_parent.wait(RETRY_LOOK_S if exchange.awaits_parent else IDLE_S)),
        ]
        if exchange.has_parent:
            steps.append(("arrivals", self._arrivals, lambda: None))
        if exchange.may_have_children:
            steps += [
                ("inbox", self._inbox, self._await_children),
                ("dispatch", self._dispatch, lambda: self._to_dispatch.wait(IDLE_S)),
                ("down", exchange.pump_down, lambda: self._to_children.wait(RETRY_LOOK_S)),
            ]
        self.pumps = [Pump(name, step, wait, on_trouble, passes) for name, step, wait in steps]

    def start(self) -> None:
        """Start every pump."""
        for pump in self.pumps:
            pump.start()

    def stop(self) -> None:
        """End every pump after its present step; returns when all have ended."""
        for pump in self.pumps:
            pump.stop()
        for bell in (self._to_parent, self._to_children, self._to_dispatch):
            bell.ring()
        for pump in self.pumps:
            pump.join()

    def _await_children(self) -> None:
        """The inbox itself waits on its lanes; while there are none, nothing wakes it."""
        if not self._exchange.children:
            time.sleep(IDLE_S)

    def _follow_tip(self) -> bool:
        pos = self._tip.wait_beyond(self._seen_pos, IDLE_S)
        if pos > self._seen_pos:
            self._seen_pos = pos
            self._to_parent.ring()
        return True

    def _arrivals(self) -> bool:
        """What the parent holds lets more go up; what it said may concern those below."""
        arrived = self._exchange.pump_arrivals(IDLE_S)
        if arrived:
            self._to_parent.ring()
            self._to_children.ring()
        return arrived

    def _inbox(self) -> bool:
        """The children are to have their cosignatures."""
        received = self._exchange.pump_inbox(IDLE_S)
        if received:
            self._to_children.ring()
        return received

    def _dispatch(self) -> bool:
        decided = self._exchange.pump_dispatch()
        if decided:
            self._to_children.ring()
        return decided

    def _up(self) -> bool:
        """Seal, then send; what is sealed may be dispatched."""
        sealed = self._exchange.pump_seal()
        if sealed:
            self._to_dispatch.ring()
        return self._exchange.pump_up() or sealed
