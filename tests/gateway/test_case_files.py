from uuid import UUID, uuid4

import msgspec
import pytest

from domain.divisions import Division
from domain.events import CaseId, EventId, StreamId, encode, tag_of
from domain.ids import new_id
from gateway.casework.case_files import CaseFiles
from sync.exchange.leaf import UNREADABLE
from sync.ledger.append import Learned
from sync.ledger.reader import Reader, register_log
from sync.ledger.rows import FROM_BELOW, Row
from sync.proofs.merkle import leaf_hash
from tests.domain.examples import examples
from tests.gateway.conftest import VILLAGE, Office
from tests.gateway.hostile import api, refused
from tests.gateway.test_api import file_case

pytestmark = pytest.mark.usefixtures("listening")


class Watched(Reader):
    """A reader that remembers how many rows of each case it was made to read."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, max_connections=1)
        self.rows_read: list[int] = []

    def read_case(self, case_id: UUID, after_pos: int = 0) -> list[Row]:
        found = super().read_case(case_id, after_pos)
        self.rows_read.append(len(found))
        return found


def test_a_case_of_which_no_event_can_be_read_is_answered_as_one_that_is_not_here(lone: Office) -> None:
    case, body = CaseId(uuid4()), b"from a newer program, or nonsense"
    with lone.node.pool.connection() as conn:
        log_id = register_log(conn, f"test.example/{VILLAGE}/1", VILLAGE, 1)
    row = Learned(log_id, 0, uuid4(), 1, UNREADABLE, case, body, leaf_hash(body))
    lone.node.writer.run(lambda _, intake: intake.learn(FROM_BELOW, [row])).result(10)
    assert lone.node.files.get(case) is None
    clerk = api(lone, "clerk")
    refused(clerk.get(f"/api/cases/{case}"), 404, "not_found")
    refused(clerk.give({"command": "accept", "case": str(case), "leg": str(uuid4())}), 404, "not_found")


def test_what_bears_another_nodes_id_stands_in_nobodys_place_though_it_was_learned_first(
    lone: Office,
) -> None:
    author, stranger = Division("410221100000"), Division("410223000000")
    case = CaseId(new_id(author, 1, 1))
    true = msgspec.structs.replace(
        next(examples()), id=EventId(case), stream=StreamId(case), case=case, node=author, unit=f"{author}.office"
    )
    false = msgspec.structs.replace(true, node=stranger, unit=f"{stranger}.office")
    for event in (false, true):
        with lone.node.pool.connection() as conn:
            log_id = register_log(conn, f"test.example/{event.node}/1", event.node, 1)
        body = encode(event)
        row = Learned(log_id, 0, case, 1, tag_of(event), case, body, leaf_hash(body))
        lone.node.writer.run(lambda _, intake, row=row: intake.learn(FROM_BELOW, [row])).result(10)

    known = lone.node.files.get(case)

    assert known is not None
    assert (known.file.registered, known.events) == (true, (true,))
    assert known.places[true.id].log_id == log_id


def test_cases_are_kept_up_to_so_many_bytes_and_the_least_recently_used_goes_first(lone: Office) -> None:
    first, second, third = (CaseId(UUID(file_case(api(lone, "clerk")).case)) for _ in range(3))
    reader = Watched(lone.node.dsn)
    known = lone.node.files.get(first)
    assert known is not None
    files = CaseFiles(reader, held_bytes=int(2.5 * known.size_bytes))
    sizes = [files.get(case) is not None for case in (first, second, first, second)]
    assert sizes == [True] * 4
    assert all(reader.rows_read[:2]), "each is folded once"
    assert reader.rows_read[2:] == [0, 0], "and then there is nothing to read of it"

    files.get(third)
    files.get(second)
    files.get(first)

    assert reader.rows_read[5] == 0, "the one used last before is still there"
    assert reader.rows_read[6] > 0, "the one used least lately had to go"
    files.get(first)
    assert reader.rows_read[7] == 0
    reader.close()


def test_a_case_larger_than_all_that_may_be_kept_is_kept_while_it_is_used(lone: Office) -> None:
    case = CaseId(UUID(file_case(api(lone, "clerk")).case))
    reader = Watched(lone.node.dsn)
    files = CaseFiles(reader, held_bytes=1)
    assert files.get(case) == files.get(case)
    assert reader.rows_read[1] == 0
    reader.close()
