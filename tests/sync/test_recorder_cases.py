"""The library's own test cases, run over the ledger."""

from collections.abc import Iterator

import pytest
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.tests import persistence as cases  # by module: pytest would collect the cases by name

from sync.ledger.recorders import LedgerFactory, LedgerRecorder


class OnLedger:
    """Each test gets an empty migrated database and a recorder made by the library's configuration."""

    recorder: LedgerRecorder

    @pytest.fixture(autouse=True)
    def _open(self, database: str) -> Iterator[None]:
        factory = InfrastructureFactory.construct(
            {"PERSISTENCE_MODULE": "sync.ledger.recorders", "LEDGER_DSN": database}
        )
        assert isinstance(factory, LedgerFactory)
        self.recorder = factory.process_recorder()
        yield
        factory.close()

    def create_recorder(self) -> LedgerRecorder:
        return self.recorder


class TestApplicationRecorder(OnLedger, cases.ApplicationRecorderTestCase[LedgerRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(OnLedger, cases.TrackingRecorderTestCase):
    pass


class TestProcessRecorder(OnLedger, cases.ProcessRecorderTestCase):
    pass


class TestNonInterleavingNotificationIDs(OnLedger, cases.NonInterleavingNotificationIDsBaseCase):
    pass
