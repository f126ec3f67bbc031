"""The tables of the projection `cases`: one row per case as it stands, its claims, and the names of nodes and units."""

from datetime import date
from typing import Final, Literal
from uuid import UUID

from projections.tables import FOREVER, Row, Shared, SharedRow, Table

Status = Literal[
    "registered",
    "received",
    "handed_over",
    "disputed",
    "accepted",
    "answered",
    "declined",
    "withdrawn",
    "closed",
]


class CaseRow(Row, gc=False, eq=False):
    """One case as this node knows it; moments are UTC microseconds. a closed case names its last holder."""

    number: str
    channel: str
    matter_class: str
    category: str
    issue_region: str
    received_on: date
    person_count: int
    filing_node: str
    filing_unit: str
    registered_us: int
    status: Status
    ending: str | None
    holder_node: str
    holder_unit: str
    leg_count: int
    withdrawn_us: int | None
    closed_us: int | None
    rated_office: str | None
    rated_unit: str | None
    last_pos: int
    last_known_us: int


class ClaimRow(Row, gc=False, eq=False):
    """A claim, from being raised to being closed or dropped, by position and by UTC microseconds."""

    claim: UUID
    opened_pos: int
    opened_us: int
    gone_pos: int
    gone_us: int
    known_pos: int = 0
    void_pos: int = FOREVER


class NodeRow(SharedRow, frozen=True, gc=False):
    """A node by name; parent: its superior's division, null at the root. named_pos: the event that says so."""

    division: str
    name: str
    parent: str | None
    named_pos: int


class UnitRow(SharedRow, frozen=True, gc=False):
    """An office by name, and the division of its node. named_pos: the event that says so."""

    unit: str
    name: str
    node: str
    named_pos: int


CASE_FILE: Final = Table("case_file", CaseRow, key=("case_id",))
CLAIM: Final = Table("claim", ClaimRow, key=("case_id", "claim", "void_pos"))
NODE: Final = Shared("node", NodeRow, key=("division",), newest="named_pos")
UNIT: Final = Shared("unit", UnitRow, key=("unit",), newest="named_pos")
