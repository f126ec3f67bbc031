"""Every durable write that a node makes while it runs: what it is in the program, and what has it made.

The first words of each are those of its row in docs/guarantees.md.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from tests.crash import deeds
from tests.crash.deeds import Deed
from tests.crash.dying import Blow, Side, Victim
from tests.crash.history import History
from tests.crash.offices import Name, Offices, wait_until


class Point(NamedTuple):
    """One write. words: of the statement, or of the file, as `Blow.write` has them. deed: what brings it about.

    quick: how `make test` strikes it; `make crash` strikes every one on both sides, the process and then its database.
    """

    row: str
    name: Name
    words: str
    deed: Deed
    quick: tuple[Side, Victim] | None = None

    def __str__(self) -> str:
        return f"{self.row}, {self.name}: {self.words}".replace(" ", "_")


POINTS: Final = (
    Point("a command", "village", "insert into command (id", deeds.register, ("after", "process")),
    Point("a second writer starts", "village", "update head set writer", deeds.start_village),
    Point(
        "a writer takes up its place again after a lost connection",
        "village",
        "update head set epoch",
        deeds.register_without_database,
    ),
    Point("own events become leaves", "village", "insert into checkpoint", deeds.register, ("before", "process")),
    Point("a frame is published", "village", "insert into channel.record", deeds.register),
    Point("what leaves a node is noted", "village", "file outside.json", deeds.register),
    Point("a frame is taken in", "county", "select %b::bigint + n, g, q", deeds.register, ("before", "database")),
    Point("a frame is taken in", "county", "update child set down_acked", deeds.register),
    Point("a downward letter is numbered", "county", "insert into down", deeds.register),
    Point("a letter is taken in", "village", "insert into cosignature", deeds.register, ("after", "process")),
    Point("a letter is taken in", "village", "select %b::bigint + n, g, q", deeds.hand_down),
    Point("a lane is cleared", "county", "delete from channel.record", deeds.register),
    Point("a view moves", "village", "update views.position set pos", deeds.register, ("before", "process")),
    Point("a view moves", "county", "update views.position set pos", deeds.register),
    Point(
        "a view is made anew for a newer program",
        "village",
        "insert into views.position values",
        deeds.start_with_older("board"),
    ),
    Point(
        "events are judged otherwise, by a newer program or by `authority` built anew",
        "village",
        "insert into views.position values",
        deeds.start_with_older("authority"),
    ),
    Point("the witness's memory", "county", "insert into checkpoint", deeds.register),
    Point("the witness's memory", "witness", "file .json", deeds.register_at_county, ("after", "process")),
    Point("an erasure", "village", "delete from beside using doomed", deeds.erase, ("after", "process")),
    Point("an erasure", "county", "delete from beside using doomed", deeds.erase),
    Point("an enrolment", "county", "insert into certificate", deeds.enrol),
    Point("an enrolment", "county", "update web.enrolling set", deeds.enrol, ("before", "process")),
    Point("an account is opened, a session begins", "village", "insert into web.session", deeds.sign_in),
    Point("an account is opened, a session begins", "village", "insert into web.account", deeds.open_account),
    Point("what a node does by itself", "village", "update web.steward set pos", deeds.register),
    Point(
        "what a node does by itself",
        "village",
        "insert into web.objection_watch",
        deeds.hand_down,
        ("before", "process"),
    ),
    Point("what a node does by itself", "county", "insert into web.organ_item", deeds.send_letter),
    Point("what a node does by itself", "county", "insert into web.erased_case", deeds.erase),
    Point("the escrow is opened", "county", "file .approvals.json", deeds.open_escrow),
    Point("a shard ends", "village", "update head set log_id", deeds.freeze, ("after", "process")),
    Point("a lost disk comes back", "county", "insert into giving_back", deeds.lose_disk, ("after", "process")),
    Point("a lost disk comes back", "county", "update giving_back set pos", deeds.lose_disk),
)

ELSEWHERE: Final = MappingProxyType(
    {
        "a backup": "test_a_backup_killed_anywhere_leaves_no_file_or_a_whole_one",
        "a restore": "test_a_restore_killed_half_way_leaves_nothing_that_looks_like_a_node",
        "keys, configuration, request, enrolment": "test_41_a_command_killed_at_any_file_operation_is_simply_repeated",
        "the operator's word on the clock": "test_41_a_command_killed_at_any_file_operation_is_simply_repeated",
        "another recipient key": "test_48_a_rotation_killed_half_way_leaves_the_old_key_or_both",
    }
)
"""Rows whose writes a command makes and not a running node, and the test that kills it there."""

_BY_ROW: Final = {
    "a command": "ledger head command beside onward paper_number log",
    "own events become leaves": "tree tile checkpoint tracking",
    "a frame is taken in": "certificate fault parked enclosure child",
    "a downward letter is numbered": "down",
    "a letter is taken in": "cosignature latest_cosignature unread",
    "an account is opened, a session begins": "account session attempt administration auditor_token",
    "what a node does by itself": "steward steward_later objection_watch organ_item erased_case",
    "an enrolment": "enrolling",
    "a restore": "held",
    "a lost disk comes back": "giving_back",
}
TABLES: Final = MappingProxyType({table: row for row, tables in _BY_ROW.items() for table in tables.split()})
"""Every table of a node, and the row of the transaction that writes it first of all."""

FIRST_START_ROWS: Final = ("the tables of a newer program",)

FIRST_START: Final = (
    Blow("file /data", "before"),
    Blow("file /data", "after"),
    Blow("insert into migration", "before"),
    Blow("insert into migration", "after"),
    Blow("insert into migration", "before"),
    Blow("insert into migration", "after"),
    Blow("insert into log", "before"),
    Blow("insert into log", "after"),
    Blow("insert into ledger", "before"),
    Blow("insert into ledger", "after"),
    Blow("insert into views.position values", "before"),
)
"""Where a node is killed that is started for the first time, again and again, until it has all it needs."""


def strike(offices: Offices, history: History, point: Point, side: Side, victim: Victim = "process") -> None:
    """Have the process killed there, or its database; return once everything stands as if nothing had been."""
    service = offices.services[point.name]
    deaths = service.deaths
    service.order(Blow(point.words, side, victim))
    try:
        point.deed(offices, history)
        wait_until(service.is_struck, f"{point} {side} was never come by")
    finally:
        service.take_back()
    if victim == "process":
        wait_until(lambda: service.deaths > deaths, "it died of it")
    offices.wait_until_ready()
    history.check()
