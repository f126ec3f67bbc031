"""Where commands are carried out: seal what was written, decide, and append once."""

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.case import CaseFile
from domain.commands import AnyCommand, Register, TakeOver
from domain.context import Context, Situation
from domain.decisions import decide
from domain.divisions import Division
from domain.events import Actor, AnyEvent, CaseId, Cause, EventId, KeyGranted, TakenOver, Unknown, encode, read, tag_of
from domain.parts import node_of
from domain.refusals import CaseUnknown, UpgradeNeeded
from domain.steps import Step, lawful_steps
from gateway.casework.case_files import CaseFiles, CaseInHand
from gateway.casework.journal import Journal, Turn
from gateway.casework.numbers import Numbers
from gateway.casework.sealer import Granted, Sealer
from gateway.hosting.ids import Ids
from gateway.hosting.surroundings import Surroundings
from sync.ledger.append import Act, Answer, Append, Appended, CommandReused, NewEvent, StaleVersion
from sync.ledger.reading import LedgerReader
from sync.sealed.acts import PartsBeside
from sync.trust.keys import CommandId

ATTEMPTS = 4
"""How often a command is decided anew when somebody else wrote to its stream first."""

WAIT_S = 60.0
"""How long a caller waits for the disk before the outcome is called unknown."""

TURNS = 1_024
"""Cases share this many locks; two that share one wait for each other's commit, which costs them a moment."""


class Recorded(NamedTuple):
    """What a command came to. pos: of its last event, or of the ledger where nothing was left to do.

    repeated: it had been recorded before under the same command id, or had taken effect otherwise.
    """

    pos: int
    case: CaseId | None
    events: tuple[AnyEvent, ...]
    repeated: bool


class Desk:
    """Safe for threads: decisions on one case come one after the other, the commits of different cases are shared."""

    def __init__(
        self,
        here: Division,
        ids: Ids,
        journal: Journal,
        files: CaseFiles,
        reader: LedgerReader,
        sealer: Sealer,
        numbers: Numbers,
        around: Surroundings,
    ) -> None:
        self._here = here
        self._ids = ids
        self._journal = journal
        self._files = files
        self._reader = reader
        self._sealer = sealer
        self._numbers = numbers
        self._around = around
        # Of one case, each step is decided on what the one before has left in the ledger: the versions of its streams
        # alone would let two steps through that exclude each other, or hand over a case without its newest key.
        self._turns = tuple(threading.Lock() for _ in range(TURNS))

    def file(self, case: CaseId) -> CaseFile | None:
        """The case as this node knows it now."""
        known = self._files.get(case)
        return known.file if known else None

    def steps(self, file: CaseFile, actor: Actor) -> list[Step]:
        """What the actor may do next in this case, and why not the rest."""
        return lawful_steps(file, self._situation(actor, self._journal.now_us()))

    def do(self, command: AnyCommand, actor: Actor, command_id: CommandId, beside: Sequence[Act] = ()) -> Recorded:
        """Carry out a command once, however often it is sent under this id.

        beside: further acts of the same transaction. Raises DomainError, CommandReused, StaleVersion, Busy,
        LedgerUnavailable, BodyTooLarge.
        """
        # Who it is, not in which role: of somebody whose role was changed meanwhile the repeat is still the same.
        digest = self._journal.digest(command_id, msgspec.json.encode((command, actor.account)))
        with self._turn(getattr(command, "case", command_id)):
            before = self._recorded_before(command_id, digest)
            if before is not None:
                return before
            for attempt in itertools.count(1):
                try:
                    return self._attempt(command, actor, command_id, digest, beside)
                except StaleVersion:
                    if attempt == ATTEMPTS:
                        raise
        raise AssertionError

    def hand_on_keys(self, case: CaseId, taken: TakenOver, actor: Actor, command_id: CommandId) -> None:
        """Give who took the case over every key of it that this node holds, once; any custodian below it does so."""
        reader = node_of(taken.unit)

        def readers(file: CaseFile) -> set[Division]:
            leg = file.legs.get(taken.leg)
            return {reader} if leg is not None and self._stand_below(reader, self._here, leg.node) else set()

        self._give_keys(case, taken.id, readers, actor, command_id)

    def pass_keys_on(self, case: CaseId, granted: KeyGranted, actor: Actor, command_id: CommandId) -> None:
        """A key came after this node had given the matter on: whoever has the matter now is given it, too.

        However many had it in between: they have given on what they had.
        """

        def readers(file: CaseFile) -> set[Division]:
            path = [file.legs[leg] for leg in file.standing.path if leg in file.legs]
            legs = path if file.pending_leg is None else [*path, file.pending_leg]
            given = max((at for at, leg in enumerate(legs) if leg.node == self._here), default=len(legs))
            since = itertools.pairwise(legs[given:])
            is_lawful = all(leg.mode != "taken_over" or self._stand_below(leg.node, old.node) for old, leg in since)
            now = {leg.node for leg in (file.present_leg, file.pending_leg) if leg is not None}
            return now - {self._here} if is_lawful and given < len(legs) else set()

        self._give_keys(case, granted.id, readers, actor, command_id)

    def _stand_below(self, reader: Division, *lower: Division) -> bool:
        """Only a superior takes a matter over; who merely says so, or was one before, is not given the keys."""
        tree = self._around.topology()
        return all(node in tree.parents and tree.is_below(node, reader) for node in lower)

    def _give_keys(
        self,
        case: CaseId,
        event: EventId,
        readers: Callable[[CaseFile], set[Division]],
        actor: Actor,
        command_id: CommandId,
    ) -> None:
        with self._turn(case):
            known = self._files.get(case)
            to = sorted(readers(known.file)) if known else []
            if known is None or not to:
                return
            log, seq = self._where(known, event) or (None, None)
            cause, now_us = Cause(id=event, log=log, seq=seq), self._journal.sure_us()
            grants = [one for reader in to for one in self._sealer.hand_on(known.file, reader, cause, actor, now_us)]
            if not grants:
                return
            with self._journal.turn() as turn:
                _, grants = _stamped([], grants, turn.now_us)
                future = _append(turn, [], grants, command_id, self._journal.digest(command_id, b"hand on"), [])
            future.result(WAIT_S)

    def _turn(self, what: UUID) -> threading.Lock:
        return self._turns[hash(what) % TURNS]

    def _attempt(
        self, command: AnyCommand, actor: Actor, command_id: CommandId, digest: bytes, beside: Sequence[Act]
    ) -> Recorded:
        known = self._in_hand(command)
        file = known.file if known else None
        now_us = self._journal.sure_us()
        ids = self._ids.stream(now_us)
        main = EventId(next(ids))
        seal = self._sealer.seal(command, file, main)
        acts = list(beside)

        def number(tag: str) -> str:
            text, keep = self._numbers.draw(tag, now_us)
            acts.append(keep)
            return text

        situation = msgspec.structs.asdict(self._situation(actor, now_us))
        context = Context(
            **situation,
            ids=itertools.chain((main,), ids),
            number=number,
            sealed=(seal.sealed,) if seal else (),
            where_known=lambda event: self._where(known, event),
            last_known=self._last_known(command, file),
        )
        events = decide(file, command, context)
        if not events:
            return Recorded(self._reader.head().pos, file.case if file else None, (), repeated=True)
        if seal is not None:
            acts.append(PartsBeside(events[0].stream, events[0].version, [seal.part]))
        grants = self._sealer.grants(events, seal, file, actor, now_us)
        with self._journal.turn() as turn:
            events, grants = _stamped(events, grants, turn.now_us)
            future = _append(turn, events, grants, command_id, digest, acts)
        appended = future.result(WAIT_S)
        if appended.repeated:
            return self._recorded_at(appended.positions)
        recorded = (*events, *(event for event, _ in grants))
        return Recorded(appended.positions[-1], events[0].case, recorded, repeated=False)

    def _situation(self, actor: Actor, now_us: int) -> Situation:
        return Situation(
            now_us=now_us,
            node=self._here,
            actor=actor,
            topology=self._around.topology(),
            calendar=self._around.calendar(),
            is_unit=self._around.is_unit,
        )

    def _in_hand(self, command: AnyCommand) -> CaseInHand | None:
        if isinstance(command, Register):
            return None
        known = self._files.get(command.case)
        if known is None:
            raise CaseUnknown
        return known

    def _where(self, known: CaseInHand | None, event: EventId) -> tuple[str, int] | None:
        """Log and leaf of another node's event; None for one of this node's."""
        place = known.places.get(event) if known else None
        if place is None or place.is_own:
            return None
        return self._around.origin(place.log_id), place.seq

    def _last_known(self, command: AnyCommand, file: CaseFile | None) -> tuple[str, int] | None:
        leg = file.legs.get(command.leg) if file and isinstance(command, TakeOver) else None
        return self._around.held(leg.node) if leg else None

    def _recorded_before(self, command_id: CommandId, digest: bytes) -> Recorded | None:
        known = self._reader.command(command_id)
        if known is None:
            return None
        if known.digest != digest:
            raise CommandReused(command_id)
        return self._recorded_at(known.answer.positions)

    def _recorded_at(self, positions: range) -> Recorded:
        """Raises UpgradeNeeded where a later program did it and this one cannot say what."""
        rows = self._reader.read(positions.start - 1, len(positions)) if positions else []
        known = [read(row.body) for row in rows]
        events = tuple(event for event in known if not isinstance(event, Unknown))
        if len(events) < len(known):
            raise UpgradeNeeded
        return Recorded(positions.stop - 1, events[0].case if events else None, events, repeated=True)


def _stamped(events: list[AnyEvent], grants: list[Granted], now_us: int) -> tuple[list[AnyEvent], list[Granted]]:
    """The same, recorded at the moment of its turn: what was decided may have waited for keys, and for other turns."""
    stamped = [msgspec.structs.replace(event, recorded_us=now_us) for event in events]
    return stamped, [(msgspec.structs.replace(grant, recorded_us=now_us), parts) for grant, parts in grants]


def _append(
    turn: Turn,
    events: list[AnyEvent],
    grants: list[Granted],
    command_id: CommandId,
    digest: bytes,
    acts: list[Act],
) -> Answer[Appended]:
    acts += [PartsBeside(event.stream, event.version, parts) for event, parts in grants]
    everything = [_new(event) for event in (*events, *(event for event, _ in grants))]
    return turn.append(Append(everything, command_id, digest, b"", acts))


def _new(event: AnyEvent) -> NewEvent:
    return NewEvent(event.stream, event.version, tag_of(event), event.case, encode(event))
