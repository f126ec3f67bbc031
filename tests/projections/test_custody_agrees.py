import random

import psycopg
import pytest

from domain import events
from domain.case import CaseFile, evolve
from projections import cases
from projections.tables import FOREVER
from tests.projections.conftest import Follow
from tests.projections.stories import Ledger, a_busy_office


@pytest.mark.parametrize("seed", range(3))
def test_who_answers_is_who_the_domain_says_whatever_happened(
    follow: Follow, ledger: Ledger, conn: psycopg.Connection, seed: int
) -> None:
    told = a_busy_office(random.Random(seed), cases=60)
    ledger.append(told)
    follow()
    files: dict[events.CaseId, CaseFile] = {}
    for event in told:
        assert event.case is not None
        files[event.case] = evolve(files.get(event.case), event)
    for case_id, file in files.items():
        row = cases.case(conn, case_id)
        assert row is not None
        lasting = conn.execute(
            "select unit from views.custody where case_id = %s and least(gone_pos, void_pos) = %s", (case_id, FOREVER)
        ).fetchall()
        history = "\n".join(str(event) for event in told if event.case == case_id)
        assert row.holder_unit == file.accountable, history
        assert (row.status == "closed", len(lasting)) == (file.is_ended, 0 if file.is_ended else 1), history
