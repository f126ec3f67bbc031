"""What a node knew when stays provable, and costs nothing while nothing happens."""

from collections.abc import Iterator

import psycopg
import pytest

from domain.context import Envelope
from domain.events import Actor, EventId, HeadsNoted, StreamId, decode
from gateway import accounts
from gateway.casework.head_notes import EVERY_S, HeadNotes
from gateway.casework.journal import Journal
from gateway.casework.store_postgres import PostgresCasework
from gateway.hosting.clock import HeldClock
from gateway.hosting.ids import Ids
from gateway.hosting.postgres_server import PostgresServer
from sync.ledger.reader import Reader
from sync.trust.keys import CommandSecret
from tests.sync.hierarchy import CITY, COUNTY, NEIGHBOUR, TOWNSHIP, VILLAGE, Hierarchy, Node, hierarchy

LINE = (CITY, COUNTY, TOWNSHIP, VILLAGE, NEIGHBOUR)


class Noting:
    """Every node of a hierarchy, noting heads by the test's clock."""

    def __init__(self, nodes: Hierarchy) -> None:
        self.nodes = nodes
        self.readers = {node.division: Reader(node.dsn, max_connections=1) for node in nodes.nodes.values()}
        self.notes = [self._of(node) for node in nodes.nodes.values()]

    def _of(self, node: Node) -> HeadNotes:
        ids = Ids(node.division)

        def envelope(now_us: int) -> Envelope:
            id_ = EventId(ids.fresh(now_us))
            return Envelope(
                id=id_,
                stream=StreamId(id_),
                version=1,
                case=None,
                node=node.division,
                actor=Actor(account=id_, role="system", unit=f"{node.division}.office"),
                occurred_us=now_us,
                recorded_us=now_us,
                cause=(),
                law=None,
                sealed=(),
            )

        accounts.prepare(node.dsn)
        reader = self.readers[node.division]
        journal = Journal(HeldClock(node.clock), node.writer.append, CommandSecret(bytes(32)))
        store = PostgresCasework(lambda: psycopg.connect(node.dsn, autocommit=True))
        return HeadNotes(reader, store, journal, envelope, node.clock.elapsed_s)

    def minutes_pass(self, count: int) -> None:
        for _ in range(count):
            self.nodes.clock.pass_s(EVERY_S)
            for notes in self.notes:
                notes.look()
            self.nodes.settle()

    def sizes(self) -> list[int]:
        return [reader.head().pos for reader in self.readers.values()]

    def noted(self, node: Node) -> list[dict[str, int]]:
        """Every note of a node: log -> size."""
        events = [decode(row.body) for row in self.readers[node.division].read(0, 10_000) if row.via == 0]
        return [{head.log: head.size for head in event.heads} for event in events if isinstance(event, HeadsNoted)]


@pytest.fixture
def noting(postgres: PostgresServer) -> Iterator[Noting]:
    with hierarchy(postgres, "noting", *LINE) as nodes:
        nodes.settle()
        found = Noting(nodes)
        yield found
        for reader in found.readers.values():
            reader.close()


def test_the_ledgers_of_a_quiet_city_do_not_grow(noting: Noting) -> None:
    noting.nodes[VILLAGE].chat(2)
    noting.nodes.settle()
    noting.minutes_pass(3)
    at_rest = noting.sizes()

    noting.minutes_pass(20)

    assert noting.sizes() == at_rest
    assert noting.nodes.all_secured()


def test_a_note_names_only_the_logs_that_grew_since_the_last_one(noting: Noting) -> None:
    township, village, neighbour = noting.nodes[TOWNSHIP], noting.nodes[VILLAGE], noting.nodes[NEIGHBOUR]
    noting.minutes_pass(2)
    assert noting.noted(township) == [{village.origin: 1, neighbour.origin: 1}]
    village.chat(3)
    noting.nodes.settle()

    noting.minutes_pass(2)

    assert noting.noted(township)[1:] == [{village.origin: 4}]
    assert noting.noted(village) == []
