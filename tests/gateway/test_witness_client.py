"""The root before its outside witness: a witness that holds something else is a fault with a name and its evidence."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.hosting.config import OutsideWitness
from gateway.hosting.outside_witness import WitnessConfig, build_witness, found_witness, write_config
from gateway.hosting.postgres_server import PostgresServer
from gateway.hosting.witness_client import WitnessClient
from sync.exchange.channel import ChannelDown
from sync.exchange.status import own_status
from tests.gateway.conftest import free_port, serve
from tests.sync.hierarchy import CITY, Node, hierarchy


@pytest.fixture
def root(postgres: PostgresServer) -> Iterator[Node]:
    with hierarchy(postgres, "witnessed", CITY) as nodes:
        yield nodes[CITY]


@pytest.fixture
def outside(root: Node, tmp_path: Path) -> Iterator[OutsideWitness]:
    settings = WitnessConfig(name="audit.example/w", port=free_port(), logs=(root.signer.verifier.vkey,))
    key = found_witness(tmp_path / "witness", settings)
    write_config(tmp_path / "witness", settings)
    stop = serve(build_witness(tmp_path / "witness"), settings.port)
    yield OutsideWitness(url=f"http://127.0.0.1:{settings.port}", key=key)
    stop()


def asks(node: Node, outside: OutsideWitness, times: int = 3) -> WitnessClient:
    """A fresh client that has asked so often, whatever the answers."""
    client = WitnessClient(outside, node.store, node.clock.now_us)
    for _ in range(times):
        node.exchange.pump_seal()
        try:
            client.ask()
        except ChannelDown as told:
            assert "witness" in str(told)  # noqa: PT017  what matters is what stands in the faults afterwards
    client.close()
    return client


def evidence(node: Node, kind: str) -> str:
    ((kept,),) = node.query("select evidence from fault where kind = %s", (kind,))
    return bytes(kept).decode()


def forked(node: Node, outside: OutsideWitness, postgres: PostgresServer) -> None:
    """The node is put back to what it was before the last that its witness has cosigned."""
    name = str(psycopg.conninfo.conninfo_to_dict(node.dsn)["dbname"])
    asks(node, outside)
    node.crash()
    postgres.create_database(f"{name}_backup", template=name)
    node.start()
    versions = dict(node.versions)
    node.chat(3)
    asks(node, outside)
    node.crash()
    node.versions = versions
    node.dsn = postgres.dsn(f"{name}_backup")
    node.start()


def test_a_witness_that_cosigns_leaves_no_fault(root: Node, outside: OutsideWitness) -> None:
    root.chat(3)
    client = asks(root, outside)
    assert client.standing() == "agrees"
    assert root.faults() == {}
    assert root.exchange.cosigned_size(client.name) == root.size()


def test_a_root_behind_its_witness_is_a_named_fault(
    root: Node, outside: OutsideWitness, postgres: PostgresServer
) -> None:
    forked(root, outside, postgres)
    client = asks(root, outside)
    assert root.faults() == {"behind": root.origin}
    assert client.standing() == "behind"


@pytest.mark.parametrize("more", [3, 5])
def test_a_root_that_forked_is_a_named_fault_with_both_sides_words_kept(
    root: Node, outside: OutsideWitness, postgres: PostgresServer, more: int
) -> None:
    forked(root, outside, postgres)
    root.chat(more)

    client = asks(root, outside)

    assert root.faults() == {"differs_above": root.origin}
    assert client.standing() == "differs"
    kept = evidence(root, "differs_above")
    assert f"\n{root.origin}\n{root.size()}\n" in kept, "the own signed checkpoint"
    assert "\n409\n" in kept or "\n422\n" in kept, "the answer"
    with root.store.transaction() as tx:
        assert own_status(tx, client.name).open_faults == 1
