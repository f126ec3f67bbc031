"""Opens for an audit bundle the sealed texts that this node may read, each reading noted before, by a named actor."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final
from uuid import UUID, uuid4

import structlog

from domain.events import AnyEvent, CaseId, NotCanonical, Unknown, read
from gateway.accounts import Account
from gateway.auditing.bundle import OpeningLine
from gateway.auditing.rows import Snapshot
from gateway.casework.readings import Withheld
from gateway.node import Node
from sync.sealed.commitment import Opening
from sync.sealed.custody import Erased, NotCustodian, OpeningMissing, Placed, RecipientKeyMissing
from sync.sealed.sealing import SealBroken

NOTED_AT_ONCE: Final = 200
"""So many events one noted reading names: well within a leaf."""

_log = structlog.get_logger("audit")


class NodeTexts:
    """Reads with the keys of a node that this process has opened, for an account of it."""

    def __init__(self, node: Node, account: Account) -> None:
        self._node = node
        self._account = account
        self.reader = f"{account.login} ({account.id})"

    def note(self) -> None:
        """See exporting.Texts. The notes are put under a checkpoint, so that they stand in the bundle."""
        _log.warning("sealed texts are read for an audit", account=str(self._account.id))
        turn = uuid4()
        for (case,) in self._node.reader.fetch("select distinct case_id from ledger where case_id is not null"):
            self._note_case(CaseId(case), turn)
        self._node.links.seal_all()

    def _note_case(self, case: CaseId, turn: UUID) -> None:
        known = self._node.files.get(case)
        sealed = iter([event.id for event in known.events if event.sealed] if known else [])
        while batch := list(islice(sealed, NOTED_AT_ONCE)):
            self._node.readings.texts(case, batch, self._account.actor, "audit", UUID(int=turn.int ^ batch[0].int))

    def openings(self, at: Snapshot, number_of: Callable[[int], int | None]) -> Iterator[OpeningLine]:
        """See exporting.Texts."""
        for log_id, seq, body in at.sealed():
            event = _event(bytes(body))
            log = number_of(log_id)
            if event is None or event.case is None or log is None:
                continue
            for part in range(len(event.sealed)):
                opened = self._open(event.case, Placed(log_id, seq, event), part)
                if isinstance(opened, str):
                    yield OpeningLine(log, seq, part, (), opened)
                else:
                    yield OpeningLine(log, seq, part, tuple(opened), None)

    def _open(self, case: CaseId, placed: Placed, part: int) -> "list[Opening] | Withheld":
        try:
            return self._node.custody.open(case, placed, part)
        except Erased:
            return "erased"
        except NotCustodian:
            return "no_key"
        except (OpeningMissing, RecipientKeyMissing, SealBroken) as error:
            _log.error("sealed text not readable", error=type(error).__name__)
            return "damaged"


def _event(body: bytes) -> AnyEvent | None:
    try:
        event = read(body)
    except NotCanonical:
        return None
    return None if isinstance(event, Unknown) else event
