"""The one way to the writer: whoever records takes the moment and a place in the queue in one step."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol
from uuid import UUID

from sync.ledger.append import Answer, Append, Appended
from sync.trust.keys import CommandId, CommandSecret


class SureClock(Protocol):
    """A clock that never goes back and may be in doubt."""

    def now_us(self) -> int:
        """UTC microseconds since 1970."""

    def sure_us(self) -> int:
        """The same. Raises ClockInDoubt."""


class Turn(NamedTuple):
    """One step of recording: its moment (UTC microseconds), and where what it decided is handed in."""

    now_us: int
    append: Callable[[Append], Answer[Appended]]


class Journal:
    """Safe for threads. What it hands to the writer bears moments that never run backwards along the log."""

    def __init__(self, clock: SureClock, append: Callable[[Append], Answer[Appended]], secret: CommandSecret) -> None:
        """append: to the node's one writer; it may refuse, as on probation."""
        self._clock = clock
        self._append = append
        self._secret = secret
        self._turn = threading.Lock()

    def now_us(self) -> int:
        """The moment, for what is not recorded (UTC microseconds)."""
        return self._clock.now_us()

    def sure_us(self) -> int:
        """The moment, for deciding what is recorded next (UTC microseconds). Raises ClockInDoubt."""
        return self._clock.sure_us()

    def of_account(self, account: UUID, key: str | UUID) -> CommandId:
        """The id of a command that an account sends under `key`: no other account's, whatever key that sends."""
        return self._secret.command_id(f"account/{account}", str(key))

    def of_visitor(self, key: UUID) -> CommandId:
        """The id of a command that somebody without an account sends under `key`, who is known by it alone."""
        return self._secret.command_id("visitor", str(key))

    def of_node(self, act: str) -> CommandId:
        """The id of what the node does by itself, once. act: what it does and for which cause."""
        return self._secret.command_id("node", act)

    def digest(self, command_id: CommandId, content: bytes) -> bytes:
        """What `Append.command_digest` is of a command that says `content`: of no use without this node's keys."""
        return self._secret.digest(command_id, content)

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """The present moment, and until the block ends nobody else's events can come before those appended in it.

        Raises ClockInDoubt.
        """
        with self._turn:
            yield Turn(self._clock.sure_us(), self._append)
