"""A node's part in an erasure: destroy a subject's keys and texts, sign it once, and again whatever comes later."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import psycopg
import structlog

from domain.case import CaseFile
from domain.commands import NoteDestruction
from domain.divisions import Division
from domain.events import CaseId, EventId
from domain.parts import Erasure
from domain.refusals import UpgradeNeeded
from sync.exchange.waiting_parts import cases_waiting, destroy_waiting
from sync.ledger.append import Act
from sync.sealed.acts import Destruction, Excuse
from sync.sealed.custody import Custody

Do = Callable[[NoteDestruction, EventId, list[Act]], None]
"""Carries out a command of the node itself, once per cause, with these acts in its transaction."""

_log = structlog.get_logger("erasing")


class Erasing:
    """Works for the steward, in its thread."""

    def __init__(
        self,
        here: Division,
        file: Callable[[CaseId], CaseFile | None],
        custody: Custody,
        do: Do,
        connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
        now_us: Callable[[], int],
    ) -> None:
        """file: the case as it is known now."""
        self._here = here
        self._file = file
        self._custody = custody
        self._do = do
        self._connect = connect
        self._now_us = now_us

    def confirmed(self, case: CaseId) -> None:
        """Two persons have agreed, perhaps: remember the case, and destroy what is in force. Raises UpgradeNeeded.

        While the matter is open here, nothing is destroyed, whoever ordered it: each custodian keeps the file itself.
        """
        with self._connect() as conn:
            conn.execute("insert into web.erased_case values (%s) on conflict do nothing", (case,))
        self._destroy_all(case)

    def learned(self, cases: Collection[UUID]) -> None:
        """Something of these cases came. Where an erasure is agreed on it may be a key, a text, the end: look again."""
        with self._connect() as conn:
            found = conn.execute("select case_id from web.erased_case where case_id = any(%s)", (list(cases),))
            erased = [CaseId(case) for (case,) in found.fetchall()]
        for case in erased:
            try:
                self._destroy_all(case)
            except UpgradeNeeded:
                _log.warning("signed after the upgrade", case=str(case))

    def waiting(self) -> set[UUID]:
        """The cases of which something waits in frames that perhaps nothing takes up: for `learned`, now and then."""
        with self._connect() as conn:
            return cases_waiting(conn)

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
            with self._connect() as conn:
                conn.execute(*destruction.statement())
        self._custody.forget(case, ordered.subject)
        with self._connect() as conn:
            conn.execute(*Excuse(case, ordered.subject, self._now_us()).statement())
            destroy_waiting(conn, case, ordered.subject)
