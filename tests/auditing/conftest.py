"""A county and a village that live for a moment, and the bundles that the real export makes of them."""

import itertools
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI

from domain.commands import (
    Accept,
    AnyCommand,
    Claim,
    Close,
    ConfirmErasure,
    HandOver,
    OrderErasure,
    Petitioner,
    Register,
)
from domain.events import Actor, CaseId, ClaimId, LegOpened, Registered, Role
from gateway.accounts import Account
from gateway.auditing.exporting import export_bundle
from gateway.auditing.reading_texts import NodeTexts
from gateway.casework.head_notes import EVERY_S, HeadNotes
from gateway.casework.store_postgres import PostgresCasework
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.sealed.commitment import Opening
from sync.trust.keys import CommandId
from tests.auditing.forging import Keys
from tests.gateway.conftest import VILLAGE, Office, Town, running_town, wait_until


class Made(NamedTuple):
    """The bundles of one town: of the county, with and without what is below and sealed, and of the village.

    root: the pin; keys: those of both nodes, as a thief would have them; lost: what the village's erased case had said.
    """

    county: Path
    plain: Path
    alone: Path
    village: Path
    root: str
    keys: Keys
    lost: list[Opening]


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


def give(node: Node, command: AnyCommand, role: Role = "clerk", account: int = 1) -> Any:
    """Carry out a command as somebody of the node's office."""
    actor = Actor(account=UUID(int=account), role=role, unit=node.office)
    return node.desk.do(command, actor, CommandId(uuid4()))


def registered(node: Node) -> tuple[Registered, LegOpened]:
    """A case, and its first leg."""
    command = Register(
        channel="visit",
        matter_class="claim_petition",
        category="020000",
        issue_region=VILLAGE,
        received_on=date(2026, 1, 5),
        petitioner=Petitioner(name="张桂兰", phone="13900000000"),
        title="大棚补偿",
        body="修路占用大棚，补偿\x1b[2J至今没有发放。",
        claims=(Claim(claim=ClaimId(uuid4()), text="补偿大棚"),),
    )
    first, second = give(node, command).events[:2]
    return first, second


def ended(node: Node) -> Registered:
    """A case that was handled to its end."""
    case, leg = registered(node)
    give(node, Accept(case=CaseId(case.id), leg=leg.leg), "handler")
    give(node, Close(case=CaseId(case.id), leg=leg.leg, ending="agreement"), "handler")
    return case


def erase(node: Node, case: Registered) -> None:
    """Two persons have it erased."""
    subject, id_ = case.sealed[0].subject, CaseId(case.id)
    (ordered,) = give(node, OrderErasure(case=id_, subject=subject, ground="subject_request"), "leader", 2).events
    give(node, ConfirmErasure(case=id_, erasure=ordered.erasure), "supervisor", 3)


def started(folder: Path) -> Office:
    """A node that runs, without accounts: making them costs more than all that happens here."""
    node = Node(folder)
    node.start()
    return Office(node, FastAPI())


def live(town: Town) -> list[Opening]:
    """What people did in the town; returns what is erased by then."""
    village, county = town.village.node, town.county.node
    for _ in range(2):
        registered(village)
    ended(village)
    gone = ended(village)
    lost = village.readings.openings(CaseId(gone.id), gone.id)
    erase(village, gone)
    case, leg = registered(village)
    given = HandOver(case=CaseId(case.id), leg=leg.leg, to=county.office, mode="transfer", reason="属其职责")
    give(village, given, "handler")
    registered(county)
    wait_until(lambda: is_quiet(town) and is_destroyed(county, gone.id) and is_destroyed(village, gone.id))
    clock = itertools.count(0.0, EVERY_S + 1)
    store = PostgresCasework(county.pool.connection)
    HeadNotes(county.reader, store, county.journal, county.casework.own_envelope, lambda: next(clock)).look()
    wait_until(lambda: is_quiet(town))
    return lost


def is_destroyed(node: Node, case: UUID) -> bool:
    query = "select 1 from ledger where case_id = %b and topic = 'key.destroyed.v0' and via = 0"
    return bool(node.reader.fetch(query, (case,)))


def is_quiet(town: Town) -> bool:
    """Whether all that anybody said is known and cosigned."""
    seen = [office.node.status() for office in town]
    return all(one.cosigned_size == one.log_size for one in seen) and town.county.node.reader.head().pos >= sum(
        one.log_size for one in seen
    )


def export(node: Node, out: Path, *, below: bool = True, opened: bool = False) -> None:
    """As the command does it, here of a node that runs."""
    account = Account(
        id=UUID(int=4), login="auditor", name="审计", role="auditor", unit=node.office, discipline=False,
        created_us=0, closed_us=None,
    )  # fmt: skip
    texts = NodeTexts(node, account) if opened else None
    export_bundle(node.folder, out, node.clock.now_us(), quiet, below=below, texts=texts, dsn=node.dsn)


@pytest.fixture(scope="session")
def made(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("audit")
    with running_town(postgres, folder, started) as town:
        lost = live(town)
        county, village = town.county.node, town.village.node
        export(county, folder / "plain")
        export(county, folder / "alone", below=False)
        for node, out in ((village, folder / "v"), (county, folder / "c")):
            export(node, out, opened=True)
            wait_until(lambda: is_quiet(town))
        root = county.around.directory().root_fingerprint
        yield Made(folder / "c", folder / "plain", folder / "alone", folder / "v", root, Keys(folder), lost)
