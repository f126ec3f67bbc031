"""The projection `cases`: how each event changes the case ledger, the claims, custody, and names."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from domain import events
from projections.case_rows import CASE_FILE, CLAIM, NODE, UNIT, CaseRow, ClaimRow, NodeRow, Status, UnitRow
from projections.custody import (
    CUSTODY,
    CustodyEvent,
    CustodyRow,
    end,
    lapse,
    last,
    node_of,
    object_to,
    of_leg,
    pass_on,
    present,
    reopen,
)
from projections.projection import Fact, topics_of
from projections.store import Rows, Store
from projections.tables import FOREVER
from projections.views import Views


class Cases:
    """See Projection."""

    name = "cases"
    edition = 4
    tables = (CASE_FILE, CLAIM, CUSTODY)
    other_tables = (NODE, UNIT)

    def __init__(self) -> None:
        self.topics = topics_of((*_OF_A_CASE, *_NAMES))

    def fold(self, batch: Sequence[Fact], store: Store) -> None:
        """An event of a case whose registration this node never learned moves custody only."""
        store.load(fact.case_id for fact in batch)
        rows = _CaseTables(store.rows(CASE_FILE), store.rows(CLAIM), store.rows(CUSTODY))
        for fact in batch:
            shape = type(fact.event)
            if shape in _OF_A_CASE:
                _OF_A_CASE[shape](rows, fact, fact.event)
            elif shape in _NAMES:
                _NAMES[shape](store.views, fact.pos, fact.event)

    def shared_after(self, views: Views, pos: int) -> list[int]:
        """None: a name concerns no case."""
        return []


class _CaseTables(NamedTuple):
    files: Rows[CaseRow]
    claims: Rows[ClaimRow]
    custody: Rows[CustodyRow]


def _registered(rows: _CaseTables, fact: Fact, event: events.Registered) -> None:
    if rows.files.of(fact.case_id):
        return
    row = CaseRow(
        case_id=fact.key,
        number=event.number,
        channel=event.channel,
        matter_class=event.matter_class,
        category=event.category,
        issue_region=event.issue_region,
        received_on=event.received_on,
        person_count=event.person_count,
        filing_node=event.node,
        filing_unit=event.unit,
        registered_us=event.recorded_us,
        status="registered",
        ending=None,
        holder_node=node_of(event.unit),
        holder_unit=event.unit,
        leg_count=0,
        withdrawn_us=None,
        closed_us=None,
        rated_office=None,
        rated_unit=None,
        last_pos=fact.pos,
        last_known_us=fact.known_us,
    )
    rows.files.add(row)
    for claim in event.claims:
        _raise_claim(rows, fact, claim)


def _corrected(rows: _CaseTables, fact: Fact, event: events.RegistrationCorrected) -> None:
    for row in _changed(rows, fact):
        row.matter_class, row.category, row.issue_region = event.matter_class, event.category, event.issue_region


def _rated(rows: _CaseTables, fact: Fact, event: events.Rated) -> None:
    for row in _changed(rows, fact):
        row.rated_office, row.rated_unit = event.office, event.unit


def _withdrawn(rows: _CaseTables, fact: Fact, event: events.Withdrawn) -> None:
    for row in _changed(rows, fact):
        row.withdrawn_us = event.occurred_us if row.withdrawn_us is None else row.withdrawn_us
        if row.status != "closed":
            row.status = "withdrawn"


def _amended(rows: _CaseTables, fact: Fact, event: events.ClaimAmended) -> None:
    if event.change == "dropped":
        _settle_claims(rows, fact, {event.claim})
    if not _raise_claim(rows, fact, event.claim):
        return
    ended = last(rows.custody, fact.case_id)
    if ended is not None and ended.gone_pos != FOREVER and not _is_withdrawn(rows, fact):
        reopen(rows.custody, ended, fact.pos, event.occurred_us)
        _set_status(rows, fact, "received")


def _moved(rows: _CaseTables, fact: Fact, event: CustodyEvent) -> None:
    """A case of which this node only knows later parts has custody, and no file."""
    row = pass_on(rows.custody, fact, event)
    if row is None:
        return
    _set_status(rows, fact, "registered" if row.mode == "registered" else "received")
    for file in rows.files.of(fact.case_id):
        file.leg_count += 1
        file.holder_unit, file.holder_node = row.unit, row.node


def _ruled(rows: _CaseTables, fact: Fact, event: events.ObjectionRuled) -> None:
    if event.next_leg is not None:
        _moved(rows, fact, event)
        return
    row = present(rows.custody, fact.case_id)
    pass_on(rows.custody, fact, event)
    if row is not None and row.leg == event.leg and row.objection is None:
        _set_status(rows, fact, "received")


def _objected(rows: _CaseTables, fact: Fact, event: events.Objected) -> None:
    object_to(rows.custody, fact.key, event)
    _becomes("disputed")(rows, fact, event)


def _lapsed(rows: _CaseTables, fact: Fact, event: events.ObjectionLapsed) -> None:
    lapse(rows.custody, fact.key, event)
    _becomes("received")(rows, fact, event)


def _closed(rows: _CaseTables, fact: Fact, event: events.Closed) -> None:
    """The case ends once its holder has closed, and no claim stands or the petitioner has withdrawn."""
    if of_leg(rows.custody, fact.key, event.leg, event.node) is not None:
        _settle_claims(rows, fact, set(event.claims))
    holder = _written_by_holder(rows, fact, event)
    still_stands = any(row.gone_pos == FOREVER for row in rows.claims.of(fact.case_id))
    if holder is None or (still_stands and not _is_withdrawn(rows, fact)):
        return
    end(rows.custody, holder, fact.pos, event.recorded_us)  # backdating a closing clears no lateness
    _set_status(rows, fact, "closed")
    for row in rows.files.of(fact.case_id):
        row.ending, row.closed_us = event.ending, event.occurred_us


def _is_withdrawn(rows: _CaseTables, fact: Fact) -> bool:
    return any(row.withdrawn_us is not None for row in rows.files.of(fact.case_id))


def _becomes(status: Status) -> "_Change":
    """What the present holder writes moves the case; what an earlier one still writes does not."""

    def change(rows: _CaseTables, fact: Fact, event: Any) -> None:
        if _written_by_holder(rows, fact, event) is not None:
            _set_status(rows, fact, status)

    return change


def _written_by_holder(rows: _CaseTables, fact: Fact, event: Any) -> CustodyRow | None:
    row = present(rows.custody, fact.case_id)
    return row if row is not None and row.leg == event.leg and row.node == event.node else None


def _raise_claim(rows: _CaseTables, fact: Fact, claim: UUID) -> bool:
    """Whether it is a claim that was not known before."""
    if any(row.claim == claim for row in rows.claims.of(fact.case_id)):
        return False
    at_us = 0 if fact.event is None else fact.event.occurred_us
    rows.claims.add(ClaimRow(fact.key, claim, fact.pos, at_us, FOREVER, FOREVER))
    return True


def _settle_claims(rows: _CaseTables, fact: Fact, settled: Collection[UUID]) -> None:
    at_us = 0 if fact.event is None else fact.event.occurred_us
    for row in rows.claims.of(fact.case_id):
        if row.claim in settled and row.gone_pos == FOREVER:
            row.gone_pos, row.gone_us = fact.pos, at_us
            rows.claims.touch(row)


def _set_status(rows: _CaseTables, fact: Fact, status: Status) -> None:
    for row in _changed(rows, fact):
        row.status = status
        if status != "closed":
            row.ending = row.closed_us = None


def _changed(rows: _CaseTables, fact: Fact) -> list[CaseRow]:
    """The case's row, noted as changed; none where this node never learned the registration."""
    found = rows.files.of(fact.case_id)
    for row in found:
        row.last_pos, row.last_known_us = fact.pos, fact.known_us
        rows.files.touch(row)
    return found


_Change = Callable[[_CaseTables, Fact, Any], None]

_OF_A_CASE: Mapping[type[Any], _Change] = {
    events.Registered: _registered,
    events.RegistrationCorrected: _corrected,
    events.ClaimAmended: _amended,
    events.Withdrawn: _withdrawn,
    events.Rated: _rated,
    events.LegOpened: _moved,
    events.TakenOver: _moved,
    events.ObjectionRuled: _ruled,
    events.HandedOver: _becomes("handed_over"),
    events.Objected: _objected,
    events.ObjectionLapsed: _lapsed,
    events.Accepted: _becomes("accepted"),
    events.Declined: _becomes("declined"),
    events.OpinionIssued: _becomes("answered"),
    events.Replied: _becomes("answered"),
    events.Closed: _closed,
}


def _node_opened(views: Views, pos: int, event: events.NodeOpened) -> None:
    views.merge(NODE, [NodeRow(event.node, event.name, event.parent, pos)])


def _child_enrolled(views: Views, pos: int, event: events.ChildEnrolled) -> None:
    views.merge(NODE, [NodeRow(event.division, event.name, event.node, pos)])


def _node_moved(views: Views, pos: int, event: events.NodeMoved) -> None:
    views.merge(NODE, [NodeRow(event.division, event.name, event.parent, pos)])


def _unit_opened(views: Views, pos: int, event: events.UnitOpened) -> None:
    views.merge(UNIT, [UnitRow(event.unit, event.name, node_of(event.unit), pos)])


_NAMES: Mapping[type[Any], Callable[[Views, int, Any], None]] = {
    events.NodeOpened: _node_opened,
    events.ChildEnrolled: _child_enrolled,
    events.NodeMoved: _node_moved,
    events.UnitOpened: _unit_opened,
}
