"""Commands as people give them, from the case file to the flushed event, beside commits and the stock recorder."""

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

from bench.append import Rate, database, rate, raw_inserts, stock_recorder
from bench.report import Line
from domain.commands import AddMaterial, AnyCommand, Claim, Petitioner, Register
from domain.divisions import division as valid_division
from domain.divisions import tier_of
from domain.events import Actor, CaseId, ClaimId
from gateway.casework.desk import Recorded
from gateway.hosting import config, founding
from gateway.hosting.outside_witness import WitnessConfig, found_witness
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.trust.keys import CommandId

HERE = valid_division("410221000000")
THREADS = (1, 16)


def measure(server: PostgresServer) -> Iterator[Line]:
    """Each command is decided on its case file, its text sealed, and answered once it is flushed."""
    single = raw_inserts(server, 1)
    stock = {threads: stock_recorder(server, threads) for threads in THREADS}
    yield Line("database: 1 row a commit", limit=single.per_s, p99_ms=single.p99_ms)
    with tempfile.TemporaryDirectory(prefix="huiyin-bench-node-") as folder:
        node = _node(server, Path(folder))
        try:
            for threads in THREADS:
                for name, worker in (("add material", _adds), ("register, 3 events and a key", _registers)):
                    ours: Rate = rate([worker(node) for _ in range(threads)])
                    path = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
                    yield Line(path, single.per_s, stock[threads].per_s, ours.per_s, ours.p99_ms, stock[threads].p99_ms)
        finally:
            node.stop()


def _node(server: PostgresServer, folder: Path) -> Node:
    """A root whose writer and desk run; nothing follows its ledger."""
    key = found_witness(folder / "witness", WitnessConfig(name="audit.bench.example/witness", port=9))
    settings = config.NodeConfig(
        node=config.Identity(division=HERE, name="杞县信访局", tier=tier_of(HERE), trust_domain="bench.example"),
        database=config.Database(dsn=database(server)),
        witness=config.OutsideWitness(url="http://127.0.0.1:9", key=key),
    )
    founding.found_root(folder / "node", settings, time.time_ns() // 1000)
    node = Node(folder / "node")
    node.open()
    return node


def _registers(node: Node) -> Callable[[], int]:
    def register() -> int:
        _give(node, _registration())
        return 1

    return register


def _adds(node: Node) -> Callable[[], int]:
    case = _give(node, _registration()).case

    def add() -> int:
        _give(node, AddMaterial(case=CaseId(UUID(str(case))), note="补充了验收单编号和照片，邻居可以作证。"))
        return 1

    return add


def _registration() -> Register:
    return Register(
        channel="visit",
        matter_class="claim_petition",
        category="020000",
        issue_region=HERE,
        received_on=date(2026, 1, 5),
        petitioner=Petitioner(name="张桂兰", phone="13900000000"),
        title="大棚补偿",
        body="修路占用大棚，补偿至今没有发放。",
        claims=(Claim(claim=ClaimId(uuid4()), text="兑现补偿"),),
    )


def _give(node: Node, command: AnyCommand) -> Recorded:
    return node.desk.do(command, Actor(account=UUID(int=9), role="clerk", unit=node.office), CommandId(uuid4()))
