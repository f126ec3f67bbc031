"""The projection `duties`: every clock of the law as it starts, is extended, is recomputed, and stops."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from domain import events
from domain.beginnings import beginning
from domain.calendar import Calendar, Notice, seed_calendar
from domain.clocks import DAY_US, Deadline, due, shanghai_date
from domain.duties import WITH_CLOCK, DutyClosed, DutyExtended, DutyOpened, duty_changes
from domain.limits import RuleId, rule_on
from projections.custody import node_of
from projections.projection import Fact, topics_of
from projections.store import Rows, Store
from projections.tables import FOREVER, Row, Shared, SharedRow, Table
from projections.views import Views

_CHINA_US = 8 * 3_600_000_000


class DutyRow(Row, gc=False, eq=False):
    """One version of a clock, from `set` until `gone`, each by position and by UTC microseconds.

    unit, node: who answers, null for whichever unit holds the case. due_us: overdue from then on. soon_us: due
    soon from then on. is_stopped: gone because the duty was done, not because a newer version took its place.
    """

    subject: UUID
    rule: RuleId
    leg: UUID | None
    unit: str | None
    node: str | None
    start_us: int
    fixed: date | None
    extra_days: int
    due_on: date
    due_us: int
    soon_us: int
    promise_us: int | None
    provisional: bool
    set_pos: int
    set_us: int
    gone_pos: int
    gone_us: int
    is_stopped: bool
    known_pos: int = 0
    void_pos: int = FOREVER


class BegunRow(Row, gc=False, eq=False):
    """Since when there is the case, or a leg of it (`subject`); see `domain.beginnings`."""

    subject: UUID
    at_us: int


class NoticeRow(SharedRow, frozen=True, gc=False):
    """A holiday notice, by the position from which it counts. body: the JSON text of a `domain.calendar.Notice`."""

    pos: int
    body: str


BEGUN: Final = Table("begun", BegunRow, key=("case_id", "subject"))
DUTY: Final = Table(
    "duty", DutyRow, key=("case_id", "subject", "rule", "set_pos", "void_pos"), live=(("gone_pos", FOREVER),)
)
NOTICE: Final = Shared("notice", NoticeRow, key=("pos",))


class Duties:
    """See Projection."""

    name = "duties"
    edition = 4
    tables = (DUTY, BEGUN)
    other_tables = (NOTICE,)
    topics = topics_of((*WITH_CLOCK, events.HolidaysNoticed))

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """Each due date is computed with the calendar as the ledger had it at the event's position."""
        store.load(fact.case_id for fact in batch)
        duties, begun = store.rows(DUTY), store.rows(BEGUN)
        deadlines = _deadlines_before(store.views, batch[0].pos)
        for fact in batch:
            event = fact.event
            if isinstance(event, events.HolidaysNoticed):
                if fact.is_from_below:
                    continue  # no subordinate decides which days its superior works
                notice = _notice(event)
                deadlines = _Deadlines(deadlines.calendar.with_notice(notice))
                store.views.merge(NOTICE, [NoticeRow(fact.pos, _encoder.encode(notice).decode())])
                _recompute(store, fact.pos, event, deadlines)
            elif event is not None and fact.case_id is not None:
                known = {row.subject: row.at_us for row in begun.of(fact.case_id)}
                for change in duty_changes(event, known):
                    _apply(duties, fact, event, change, deadlines)
                new = beginning(event, known)
                if new is not None and new[0] not in known:
                    begun.add(BegunRow(fact.case_id, *new))

    def shared_after(self, views: Views, pos: int) -> list[int]:
        """The holiday notices that came after `pos`."""
        return [notice.pos for notice in views.every(NOTICE) if notice.pos > pos]


class _Deadlines:
    """The due dates of one calendar. Thousands of clocks start on one day, so each answer is kept."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self._known: dict[tuple[str, int, date | None, int], Deadline] = {}

    def of(self, rule: RuleId, start_us: int, fixed: date | None, extra_days: int) -> Deadline:
        """See `domain.clocks.due`; it depends on the day of the start in China, not on the hour."""
        asked = (rule, (start_us + _CHINA_US) // DAY_US, fixed, extra_days)
        found = self._known.get(asked)
        if found is None:
            text = rule_on(rule, shanghai_date(start_us))
            found = self._known[asked] = due(text, start_us, self.calendar, fixed, extra_days)
        return found


def _apply(
    duties: Rows[DutyRow],
    fact: Fact,
    event: events.AnyEvent,
    change: DutyOpened | DutyExtended | DutyClosed,
    deadlines: _Deadlines,
) -> None:
    """A clock that runs is not started again: no edit resets it."""
    running = duties.of(fact.case_id)
    if isinstance(change, DutyClosed):
        for stopped in [row for row in running if change.stops(row.subject, row.rule)]:
            stopped.gone_pos, stopped.gone_us, stopped.is_stopped = fact.pos, change.at_us, True
            duties.retire(stopped)
        return
    same = next((row for row in running if row.rule == change.rule and row.subject == change.subject), None)
    if isinstance(change, DutyOpened):
        if same is None:
            duties.add(_opened(fact, event, change, deadlines))
    elif same is not None:
        _replace(duties, same, fact.pos, event.occurred_us, same.extra_days + change.extra_days, deadlines)


def _opened(fact: Fact, event: events.AnyEvent, change: DutyOpened, deadlines: _Deadlines) -> DutyRow:
    deadline = deadlines.of(change.rule, change.start_us, change.fixed, 0)
    return DutyRow(
        case_id=fact.key,
        subject=change.subject,
        rule=change.rule,
        leg=change.leg,
        unit=change.unit,
        node=None if change.unit is None else node_of(change.unit),
        start_us=change.start_us,
        fixed=change.fixed,
        extra_days=0,
        due_on=deadline.due_date,
        due_us=deadline.due_us,
        soon_us=deadline.soon_us,
        promise_us=deadline.promise_us,
        provisional=deadline.provisional,
        set_pos=fact.pos,
        set_us=event.occurred_us,
        gone_pos=FOREVER,
        gone_us=FOREVER,
        is_stopped=False,
    )


def _replace(
    duties: Rows[DutyRow], old: DutyRow, pos: int, at_us: int, extra_days: int, deadlines: _Deadlines
) -> DutyRow:
    """The next version of a running clock; the one before stays for whoever asks about the past."""
    deadline = deadlines.of(old.rule, old.start_us, old.fixed, extra_days)
    new = msgspec.structs.replace(
        old,
        extra_days=extra_days,
        due_on=deadline.due_date,
        due_us=deadline.due_us,
        soon_us=deadline.soon_us,
        promise_us=deadline.promise_us,
        provisional=deadline.provisional,
        set_pos=pos,
        set_us=max(at_us, old.set_us),
    )
    old.gone_pos, old.gone_us = pos, new.set_us
    duties.retire(old)
    duties.add(new)
    return new


def _recompute(store: Store, pos: int, event: events.HolidaysNoticed, deadlines: _Deadlines) -> None:
    """Every running clock that the notice moves gets a version that counts from the notice on.

    A case that was parked before is left alone: its retry folds the notice after the events that came before it.
    """
    duties = store.rows(DUTY)
    if store.only is None:
        # A notice decides about its year, and about the December before.
        store.load(store.views.cases_with_clocks(since=date(event.year - 1, 12, 1)))
    else:
        store.load([store.only])  # it may stand in a batch without any event of the case
    left_alone = {key for key, first_pos in store.views.waiting(Duties.name).items() if first_pos < pos}
    for row in duties.every():
        if row.case_id in left_alone or row.set_pos >= pos:
            continue
        deadline = deadlines.of(row.rule, row.start_us, row.fixed, row.extra_days)
        if (deadline.due_us, deadline.soon_us, deadline.promise_us, deadline.provisional) != (
            row.due_us,
            row.soon_us,
            row.promise_us,
            row.provisional,
        ):
            _replace(duties, row, pos, event.occurred_us, row.extra_days, deadlines)


def _deadlines_before(views: Views, pos: int) -> _Deadlines:
    """By the carried years and every notice that stood in the ledger before `pos`."""
    return _deadlines(tuple(notice.body for notice in views.every(NOTICE) if notice.pos < pos))


@lru_cache(maxsize=8)
def _deadlines(notices: tuple[str, ...]) -> _Deadlines:
    """Kept from batch to batch: notices are few, and a batch may be a single event."""
    calendar = _SEED
    for body in notices:
        calendar = calendar.with_notice(_decoder.decode(body))
    return _Deadlines(calendar)


def _notice(event: events.HolidaysNoticed) -> Notice:
    return Notice(year=event.year, off=event.off, working=event.working, source=event.source, edition=event.edition)


_SEED: Final = seed_calendar()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Notice)
