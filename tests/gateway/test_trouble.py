"""What a node's parts wait out, and what ends them loudly."""

import psycopg
import pytest

from gateway.hosting.trouble import passes
from sync.exchange.channel import ChannelDown
from sync.exchange.store import NotStorable
from sync.ledger.append import LedgerUnavailable


@pytest.mark.parametrize(
    "trouble", [ChannelDown("away"), LedgerUnavailable("away"), psycopg.OperationalError("away")], ids=repr
)
def test_a_database_or_a_channel_that_is_away_is_waited_for(trouble: BaseException) -> None:
    assert passes(trouble)


@pytest.mark.parametrize(
    "trouble",
    [
        psycopg.errors.ProgramLimitExceeded("too long for an index"),
        psycopg.errors.UniqueViolation("there already"),
        NotStorable("too long"),
        LookupError("a fault of the program"),
    ],
    ids=repr,
)
def test_what_will_be_refused_again_is_not(trouble: BaseException) -> None:
    assert not passes(trouble)
