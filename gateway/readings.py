"""Opening what was sealed: the reading is recorded first, then the text is shown, and to no one without a key."""

from collections.abc import Iterable
from uuid import UUID, uuid5

from domain.commands import NoteReading
from domain.events import Actor, CaseId, EventId, ReadingPurpose
from domain.parts import node_of
from domain.refusals import CaseUnknown
from gateway.case_files import CaseFiles, CaseInHand
from gateway.desk import Desk
from sync.commitment import Opening
from sync.custody import Custody, Placed


class Readings:
    """Safe for threads."""

    def __init__(self, desk: Desk, files: CaseFiles, custody: Custody) -> None:
        self._desk = desk
        self._files = files
        self._custody = custody

    def texts(
        self, case: CaseId, events: Iterable[EventId], actor: Actor, purpose: ReadingPurpose, reading_id: UUID
    ) -> dict[EventId, dict[str, str]]:
        """The sealed texts of these events by path; events without any, or that this node has no key to, are left out.

        reading_id: the same one is recorded once. Raises CaseUnknown, Erased, OpeningMissing, SealBroken.
        """
        known = self._in_hand(case)
        wanted = set(events)
        by_subject: dict[str, list[EventId]] = {}
        for event in known.events:
            for sealed in event.sealed:
                if event.id in wanted and self._custody.may_read(case, sealed.subject):
                    by_subject.setdefault(sealed.subject, []).append(event.id)
        for subject, ids in by_subject.items():
            note = NoteReading(case=case, subject=subject, events=tuple(ids), purpose=purpose)
            self._desk.do(note, actor, uuid5(reading_id, subject))
        readable = {id_ for ids in by_subject.values() for id_ in ids}
        return {id_: {o.path: o.value for o in self._openings(known, id_)} for id_ in readable}

    def openings(self, case: CaseId, event: EventId) -> list[Opening]:
        """What the writer of an event may be given back of it: each text with its salt, for a receipt."""
        return self._openings(self._in_hand(case), event)

    def _in_hand(self, case: CaseId) -> CaseInHand:
        known = self._files.get(case)
        if known is None:
            raise CaseUnknown
        return known

    def _openings(self, known: CaseInHand, id_: EventId) -> list[Opening]:
        event = next(event for event in known.events if event.id == id_)
        place = known.places[id_]
        placed = Placed(place.log_id, place.seq, node_of(event.actor.unit), event)
        return [
            opening
            for index, sealed in enumerate(event.sealed)
            if self._custody.may_read(known.file.case, sealed.subject)
            for opening in self._custody.open(known.file.case, placed, index)
        ]
