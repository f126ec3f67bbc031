"""Opening what was sealed: the reading is recorded first, then the text is shown, and to no one without a key."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple
from uuid import UUID

import structlog

from domain.commands import NoteReading
from domain.errors import DomainError
from domain.events import Actor, AnyEvent, CaseId, EventId, ReadingPurpose
from domain.refusals import CaseUnknown
from domain.sealed import SubjectErased
from gateway.casework.case_files import CaseFiles, CaseInHand
from gateway.casework.desk import Desk
from gateway.casework.journal import Journal
from sync.sealed.commitment import Opening
from sync.sealed.custody import Custody, Erased, NotCustodian, OpeningMissing, Placed, RecipientKeyMissing
from sync.sealed.sealing import SealBroken

Withheld = Literal["erased", "no_key", "damaged"]
"""Why a text is not shown: destroyed by law; no key was granted (yet) to this node; key or ciphertext damaged here."""

WITHHELD: Final[Mapping[Withheld, tuple[str, str]]] = MappingProxyType(
    {
        "erased": (
            "已依法销毁，仅保留办理记录",
            "lawfully erased; only the record of handling remains",
        ),
        "no_key": (
            "本节点尚未取得该内容的密钥，持有密钥的节点恢复联系后自动移交，其余办理不受影响",
            "this node has no key to it yet; it comes by itself once a node that holds one is back, all else goes on",
        ),
        "damaged": (
            "密封内容或密钥受损，或所授密钥不能打开，请联系运维从上级或备份恢复，或请授予机关重新授予",
            "the text or its key is damaged, or the key given opens nothing; have it restored or given again",
        ),
    }
)
"""The same in words, Chinese and English."""

_log = structlog.get_logger("readings")


class TextWithheld(DomainError):
    """What was asked for cannot be made without a text that cannot be opened. why: say so, and what can be done."""

    code = "text_withheld"

    def __init__(self, why: Withheld) -> None:
        super().__init__(*WITHHELD[why])
        self.why = why


class Opened(NamedTuple):
    """texts: by event and path. withheld: events of which some or all texts are not shown, and why."""

    texts: dict[EventId, dict[str, str]]
    withheld: Mapping[EventId, Withheld]


class Readings:
    """Safe for threads."""

    def __init__(self, desk: Desk, journal: Journal, files: CaseFiles, custody: Custody) -> None:
        self._desk = desk
        self._journal = journal
        self._files = files
        self._custody = custody

    def texts(
        self, case: CaseId, events: Iterable[EventId], actor: Actor, purpose: ReadingPurpose, key: UUID
    ) -> Opened:
        """What can be read of these events, and of what cannot, why. key: under which it was asked for.

        Raises CaseUnknown, and as `Desk.do` where the reading cannot be recorded.
        """
        known = self._in_hand(case)
        wanted = set(events)
        by_subject: dict[str, list[EventId]] = {}
        for event in known.events:
            for sealed in event.sealed:
                if event.id in wanted:
                    by_subject.setdefault(sealed.subject, []).append(event.id)
        texts: dict[EventId, dict[str, str]] = {}
        withheld: dict[EventId, Withheld] = {}
        for subject, ids in by_subject.items():
            why = self._why_withheld(case, subject)
            if why is None:
                note = NoteReading(case=case, subject=subject, events=tuple(ids), purpose=purpose)
                try:
                    self._desk.do(note, actor, self._journal.of_account(actor.account, f"{key}/{subject}"))
                except SubjectErased:  # meanwhile
                    why = "erased"
            for id_ in ids:
                found = self._opened(known, id_, subject) if why is None else why
                if isinstance(found, str):
                    withheld[id_] = found
                else:
                    texts.setdefault(id_, {}).update((opening.path, opening.value) for opening in found)
        return Opened(texts, withheld)

    def openings(self, case: CaseId, event: EventId) -> list[Opening]:
        """What the writer of an event may be given back of it: each text with its salt, for a receipt.

        Without what is erased or was never readable here. Raises CaseUnknown, and TextWithheld where one is damaged.
        """
        known = self._in_hand(case)
        openings: list[Opening] = []
        for subject in dict.fromkeys(sealed.subject for sealed in _event(known, event).sealed):
            found = self._opened(known, event, subject)
            if found == "damaged":
                raise TextWithheld(found)
            if not isinstance(found, str):
                openings += found
        return openings

    def _in_hand(self, case: CaseId) -> CaseInHand:
        known = self._files.get(case)
        if known is None:
            raise CaseUnknown
        return known

    def _why_withheld(self, case: CaseId, subject: str) -> Withheld | None:
        try:
            self._custody.key(case, subject)
        except Erased:
            return "erased"
        except NotCustodian:
            return "no_key"
        except (OpeningMissing, RecipientKeyMissing, SealBroken) as error:
            return _damaged(error)
        return None

    def _opened(self, known: CaseInHand, id_: EventId, subject: str) -> list[Opening] | Withheld:
        event, place, case = _event(known, id_), known.places[id_], known.file.case
        placed = Placed(place.log_id, place.seq, event)
        wanted = [index for index, sealed in enumerate(event.sealed) if sealed.subject == subject]
        try:
            return [opening for index in wanted for opening in self._custody.open(case, placed, index)]
        except (OpeningMissing, RecipientKeyMissing, SealBroken) as error:
            return _damaged(error)
        except (Erased, NotCustodian):
            return self._why_withheld(case, subject) or "erased"


def _event(known: CaseInHand, id_: EventId) -> AnyEvent:
    return next(event for event in known.events if event.id == id_)


def _damaged(error: Exception) -> Withheld:
    _log.error("sealed text not readable", error=type(error).__name__)
    return "damaged"
