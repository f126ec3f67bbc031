"""A node's casework, put together out of what it is given: no database, folder, thread or link is looked for here."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from domain.context import Envelope, alone
from domain.divisions import Division
from domain.events import Actor
from gateway.casework.case_files import CaseFiles
from gateway.casework.cover import Cover
from gateway.casework.denunciations import Denunciations
from gateway.casework.desk import Desk
from gateway.casework.head_notes import HeadNotes
from gateway.casework.journal import Journal
from gateway.casework.numbers import Numbers
from gateway.casework.readings import Readings
from gateway.casework.receipts import Receipts
from gateway.casework.sealer import Sealer
from gateway.casework.steward import Faults, Hands, Steward, Stopping
from gateway.casework.store import CaseworkStore
from gateway.hosting.ids import Ids
from gateway.hosting.surroundings import OFFICE, Surroundings
from sync.exchange.store import Store
from sync.ledger.reading import LedgerReader
from sync.proofs.tree import Proof
from sync.sealed.custody import CaseReader, Custody
from sync.sealed.sealing import Random
from sync.trust.certificates import Directory
from sync.trust.keys import NodeKeys


class Given(NamedTuple):
    """What one node's casework works with.

    origin: of the node's own log. exchange: where frames and letters wait. directory: every certificate known now.
    proof: of an own leaf, once it is secured. carry_out: what the operator asks from the node's folder. each_hour: what
    else is done then. elapsed_s: a clock that never jumps. random: that many unpredictable bytes. chance: evenly in
    [0, 1), unpredictable. passing: what passes by itself where database or channel are away.
    """

    here: Division
    origin: str
    keys: NodeKeys
    ids: Ids
    journal: Journal
    reader: LedgerReader
    cases: CaseReader
    store: CaseworkStore
    exchange: Store
    directory: Callable[[], Directory]
    proof: Callable[[int, int], Proof | None]
    faults: Faults
    carry_out: Callable[[str], bytes]
    each_hour: Callable[[], None]
    elapsed_s: Callable[[], float]
    random: Random
    chance: Callable[[], float]
    passing: tuple[type[Exception], ...]


class Casework:
    """Commands carried out, readings, receipts, letters, and what the node does by itself."""

    def __init__(self, given: Given, stopping: Stopping) -> None:
        """stopping: of the steward."""
        here, journal = given.here, given.journal
        self._here = here
        self._ids = given.ids
        self.around = around = Surroundings(here, given.reader, given.directory)
        self.files = CaseFiles(given.reader)
        self.custody = Custody(here, given.keys.recipients, given.cases, given.random)
        escrow = given.directory().escrow
        sealer = Sealer(here, given.ids, self.custody, escrow, around.recipient, around.is_known, given.random)
        numbers = Numbers(here, given.store.last_numbers())
        self.desk = Desk(here, given.ids, journal, self.files, given.reader, sealer, numbers, around)
        self.readings = Readings(self.desk, journal, self.files, self.custody)
        self.receipts = Receipts(
            given.origin,
            given.keys.intake,
            self.files,
            self.readings,
            given.proof,
            given.keys.commands,
            given.reader,
        )
        self.denunciations = Denunciations(
            here,
            given.ids,
            self.own_envelope,
            journal,
            given.keys.recipients,
            around.topology,
            around.recipient,
            escrow,
            given.store,
            given.random,
        )
        self.cover = Cover(
            here,
            lambda: sorted(around.topology().parents),
            self.denunciations.send_nothing,
            journal.now_us,
            given.chance,
        )
        self.steward = Steward(here, self._hands(given), stopping)

    def own_envelope(self, now_us: int) -> Envelope:
        """Of an event that the node records about itself, in a stream of its own."""
        actor = Actor(account=UUID(int=0), role="system", unit=f"{self._here}.{OFFICE}")
        return alone(self._ids.fresh(now_us), self._here, actor, now_us)

    def _hands(self, given: Given) -> Hands:
        notes = HeadNotes(given.reader, given.store, given.journal, self.own_envelope, given.elapsed_s)
        return Hands(
            self.desk,
            given.journal,
            given.reader,
            given.cases,
            self.custody,
            given.store,
            given.exchange,
            self.denunciations,
            given.faults,
            self.around.origin,
            self.around.forget_calendar,
            given.carry_out,
            notes.look,
            self.cover.look,
            given.each_hour,
            given.journal.now_us,
            given.passing,
        )
