"""Today's duties of a unit: each running clock of its cases with its colour, its article and how it was counted."""

import msgspec

from domain.events import CaseId, Unit
from gateway.node import Node
from gateway.reading.case_view import ClockView, clock_view, deadline_of
from projections import duties
from projections.moment import Moment


class DutyView(msgspec.Struct, frozen=True, kw_only=True):
    """One duty. number, matter_class, category: the case's, null where its registration is not known here."""

    case: CaseId
    number: str | None
    matter_class: str | None
    category: str | None
    clock: ClockView


class DutyList(msgspec.Struct, frozen=True, kw_only=True):
    """The soonest due first."""

    duties: list[DutyView]


def duties_of(node: Node, unit: Unit) -> list[DutyView]:
    """What runs for the unit now, the soonest due first."""
    at, calendar = Moment(as_of_us=node.clock.now_us(), pos=node.reader.head().pos), node.around.calendar()
    with node.pool.connection() as conn:
        found = duties.of_unit(conn, unit, at)
    return [
        DutyView(
            case=CaseId(duty.case_id),
            number=duty.number,
            matter_class=duty.matter_class,
            category=duty.category,
            clock=clock_view(
                deadline_of(duty.rule, duty.start_us, calendar, duty.fixed, duty.extra_days), duty.unit, at.as_of_us
            ),
        )
        for duty in found
    ]
