"""Which of the waiting appends are recorded together, and as which rows: decided in memory, without I/O."""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sync.ledger.append import Act, Append, Appended, CommandReused, LedgerError, NewEvent, StaleVersion
from sync.ledger.rows import Head

ABSENT: Final = -1
"""The last version of a stream that has no events; its first event may be 0 or 1."""


class LastVersions:
    """The last version of the streams used most lately; those not held must be asked for. Forgets half when full."""

    def __init__(self, at_most: int) -> None:
        self._half = at_most // 2
        self._recent: dict[UUID, int] = {}
        self._older: dict[UUID, int] = {}

    def get(self, stream: UUID) -> int | None:
        """The last version, ABSENT if the stream is known to have none, None if it is not held."""
        version = self._recent.get(stream)
        return self._older.get(stream) if version is None else version

    def keep(self, versions: Mapping[UUID, int]) -> None:
        """Hold these as the newest."""
        if len(self._recent) > self._half:
            self._older, self._recent = self._recent, {}
        self._recent.update(versions)

    def clear(self) -> None:
        """Hold none."""
        self._recent.clear()
        self._older.clear()


class KnownCommand(NamedTuple):
    """A command that was recorded before, and the answer it got."""

    digest: bytes
    answer: Appended


def known_command(digest: bytes, result: bytes, pos: int, seq: int, events: int) -> KnownCommand:
    """One that is kept with the places of its first event: its position, its leaf, and how many follow each other."""
    return KnownCommand(digest, Appended(range(pos, pos + events), range(seq, seq + events), result))


class Batch:
    """Takes appends one after the other against the versions the earlier ones leave, refusing each stale one alone.

    Nothing outside is touched: if the batch is not stored, it is forgotten.
    """

    def __init__(
        self, head: Head, recorded_us: int, last_versions: LastVersions, known: Mapping[UUID, KnownCommand] | None
    ) -> None:
        """last_versions: of every stream that matters; one that is not held is taken to be absent.

        known: the recorded commands among those to come; None if nobody has looked.
        """
        self.head = head
        self.recorded_us = recorded_us
        self.moved: dict[UUID, int] = {}
        self.outcomes: list[Appended | LedgerError] = []
        self.beside: list[Act] = []
        self.doubtful = False
        self._accepted = 0
        self._last_versions = last_versions
        self._first_pos = head.pos + 1
        self._first_seq = head.own_size
        self._looked = known is not None
        self._known: dict[UUID, KnownCommand] = dict(known or {})
        self._events: list[NewEvent] = []
        self._commands: list[tuple[UUID, bytes, bytes, int, int, int]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store: all were refused or repeated."""
        return not self._accepted

    @property
    def has_commands(self) -> bool:
        """Whether any accepted append carries a command id."""
        return bool(self._commands)

    def take(self, append: Append) -> None:
        """Decide one append; its outcome stands at its place in `outcomes` and is true once the batch is stored."""
        self.outcomes.append(self._repeat(append) or self._stale(append) or self._accept(append))

    def ending(self) -> Head:
        """The head as it stands once the batch is stored."""
        epoch, pos, own_size, _, turn = self.head
        count = len(self._events)
        return Head(epoch, pos + count, own_size + count, self.recorded_us, turn + 1)

    def event_columns(self) -> tuple[list[object], ...]:
        """stream, version, topic, case_id, body, leaf: one list each, in the order of positions."""
        events = self._events
        return (
            [event.stream for event in events],
            [event.version for event in events],
            [event.topic for event in events],
            [event.case_id for event in events],
            [event.body for event in events],
            [hashlib.sha256(b"\x00" + event.body).digest() for event in events],
        )

    def command_columns(self) -> tuple[list[object], ...]:
        """id, digest, result, pos, seq, events: one list each."""
        return tuple([command[i] for command in self._commands] for i in range(6))

    def _repeat(self, append: Append) -> Appended | CommandReused | None:
        known = None if append.command_id is None else self._known.get(append.command_id)
        if append.command_id is None or known is None:
            return None
        if known.digest != append.command_digest:
            return CommandReused(append.command_id)
        return msgspec.structs.replace(known.answer, repeated=True)

    def _stale(self, append: Append) -> StaleVersion | None:
        ahead: dict[UUID, int] = {}
        for event in append.events:
            last = ahead.get(event.stream) if ahead else None
            if last is None:
                last = self._last(event.stream)
            if event.version != last + 1 and (last != ABSENT or event.version != 1):
                # A repetition is stale by its nature; whether it is one takes a look at the commands.
                self.doubtful |= append.command_id is not None and not self._looked
                return StaleVersion(event.stream, event.version, max(last + 1, 1))
            ahead[event.stream] = event.version
        self.moved.update(ahead)
        return None

    def _last(self, stream: UUID) -> int:
        last = self.moved.get(stream)
        if last is None:
            last = self._last_versions.get(stream)
        return ABSENT if last is None else last

    def _accept(self, append: Append) -> Appended:
        self._accepted += 1
        before, count = len(self._events), len(append.events)
        pos, seq = self._first_pos + before, self._first_seq + before
        self._events += append.events
        if append.beside:
            self.beside += append.beside
        answer = Appended(range(pos, pos + count), range(seq, seq + count), append.result)
        if append.command_id is not None:
            digest = append.command_digest
            self._known[append.command_id] = KnownCommand(digest, answer)
            self._commands.append((append.command_id, digest, append.result, pos, seq, count))
        return answer
