from uuid import uuid4

from domain.events import CaseId
from sync.append import Learned
from sync.leaf import UNREADABLE
from sync.ledger import FROM_BELOW, register_log
from sync.merkle import leaf_hash
from tests.gateway.conftest import VILLAGE, Office
from tests.gateway.hostile import api, refused


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
