"""A node's part in an erasure: destroy a subject's keys and texts, sign it once, and again whatever comes later."""

from collections.abc import Callable, Collection
from uuid import UUID

import structlog

from domain.case import CaseFile
from domain.commands import NoteDestruction
from domain.divisions import Division
from domain.events import CaseId, EventId
from domain.parts import Erasure
from domain.refusals import UpgradeNeeded
from gateway.casework.store import CaseworkStore
from sync.exchange.store import Store
from sync.exchange.waiting_parts import cases_waiting, destroy_waiting
from sync.ledger.append import Act
from sync.sealed.acts import Destruction, Excuse
from sync.sealed.custody import Custody

Do = Callable[[NoteDestruction, EventId, list[Act]], None]
"""Carries out a command of the node itself, once per cause, with these acts in its transaction."""

_log = structlog.get_logger("erasing")


class Erasing:
    """Works for the steward."""

    def __init__(
        self,
        here: Division,
        file: Callable[[CaseId], CaseFile | None],
        custody: Custody,
        do: Do,
        store: CaseworkStore,
        exchange: Store,
        now_us: Callable[[], int],
    ) -> None:
        """file: the case as it is known now. exchange: where frames and letters wait."""
        self._here = here
        self._file = file
        self._custody = custody
        self._do = do
        self._store = store
        self._exchange = exchange
        self._now_us = now_us

    def confirmed(self, case: CaseId) -> None:
        """Two persons have agreed, perhaps: remember the case, and destroy what is in force. Raises UpgradeNeeded.

        While the matter is open here, nothing is destroyed, whoever ordered it: each custodian keeps the file itself.
        """
        self._store.remember_erased(case)
        self._destroy_all(case)

    def learned(self, cases: Collection[UUID]) -> None:
        """Something of these cases came. Where an erasure is agreed on it may be a key, a text, the end: look again."""
        for case in self._store.erased_among(cases):
            try:
                self._destroy_all(case)
            except UpgradeNeeded:
                _log.warning("signed after the upgrade", case=str(case))

    def waiting(self) -> set[UUID]:
        """The cases of which something waits in frames that perhaps nothing takes up: for `learned`, now and then."""
        with self._exchange.transaction() as tx:
            return cases_waiting(tx)

    def _destroy_all(self, case: CaseId) -> None:
        file = self._file(case)
        if file is None:
            return
        for erasure in file.erasures.values():
            if erasure.is_due:
                self._destroy(file, erasure)

    def _destroy(self, file: CaseFile, erasure: Erasure) -> None:
        """Everywhere the parts go; only a custodian signs that they are gone."""
        case, ordered = file.case, erasure.ordered
        destruction = Destruction(case, ordered.subject)
        self._custody.forget(case, ordered.subject)
        if self._here in file.unsigned(erasure):
            self._do(NoteDestruction(case=case, erasure=ordered.erasure), ordered.id, [destruction])
        else:
            self._store.do(destruction)
        self._custody.forget(case, ordered.subject)
        self._store.do(Excuse(case, ordered.subject, self._now_us()))
        with self._exchange.transaction() as tx:
            destroy_waiting(tx, case, ordered.subject)
