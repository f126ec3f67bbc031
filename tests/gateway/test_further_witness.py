"""A node with a second witness outside the line of command: real nodes, real witnesses, receipts under the policy."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from domain.events import CaseId
from gateway.hosting import config, founding, policies
from gateway.hosting.config import FurtherWitness, OutsideWitness, PolicyChoice
from gateway.hosting.further_witnesses import FIRST_DELAY_S, FurtherWitnesses, forget_gone
from gateway.hosting.outside_witness import WitnessConfig, build_witness, found_witness, held_of, write_config
from gateway.hosting.postgres_server import PostgresServer
from gateway.policing import draft_of
from gateway.reading.health import health
from sync.exchange.faults import ROLLED_BACK, Fault
from sync.proofs.note import COSIGNATURE_V1, Ed25519Signer, parse_note
from sync.proofs.policy import check_checkpoint, parse_policy
from sync.proofs.receipt import Proven, ReceiptInvalid, verify_receipt
from sync.proofs.signed_policy import read_signed
from sync.proofs.tree import OWN_LOG
from sync.trust.certificates import verify_chain
from sync.trust.keys import load_keys
from tests.gateway.conftest import COUNTY, Office, changed, free_port, opened, running_town, serve, settings, wait_until
from tests.gateway.test_api import registration
from tests.gateway.test_witness_client import Audit
from tests.sync.hierarchy import CITY, TOWNSHIP, VILLAGE, Hierarchy, hierarchy


class Offices(NamedTuple):
    """A root whose log two audit offices have to cosign. stop: by the name of an office."""

    office: Office
    folder: Path
    note: str


@pytest.fixture(scope="module")
def offices(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offices]:
    folder = tmp_path_factory.mktemp("two")
    ports = {name: free_port() for name in ("outside", "audit")}
    keys = {
        name: found_witness(folder / name, WitnessConfig(name=f"{name}.example/w", port=port))
        for name, port in ports.items()
    }
    further = FurtherWitness(name="audit", url=f"http://127.0.0.1:{ports['audit']}", key=keys["audit"])
    own = changed(
        settings(postgres, COUNTY, "杞县信访局", 900),
        witness=OutsideWitness(url=f"http://127.0.0.1:{ports['outside']}", key=keys["outside"]),
        policy=PolicyChoice(witnesses=(further,)),
    )
    node = folder / "node"
    founding.found_root(node, own, time.time_ns() // 1000)
    signer = load_keys(node / founding.KEYS).log
    stops = []
    for name, port in ports.items():
        settled = WitnessConfig(name=f"{name}.example/w", port=port, logs=(signer.verifier.vkey,))
        write_config(folder / name, settled)
        stops.append(serve(build_witness(folder / name), port))
    given = founding.enrolment(node)
    directory = verify_chain(given.certificates, given.root_fingerprint)
    now_us = time.time_ns() // 1000
    note = policies.issue(node, signer, directory, draft_of(node), now_us, lambda _: 0)
    policies.install(node, config.load(node), directory, note, lambda _: 0)
    office = opened(node)
    yield Offices(office, folder, note)
    office.node.stop()
    for stop in stops:
        stop()


def test_a_receipt_shows_the_log_and_both_witnesses_and_nothing_less_convinces(offices: Offices) -> None:
    node, clerk = offices.office.node, offices.office.api("clerk")
    case = CaseId(UUID(clerk.give(registration()).json()["case"]))
    wait_until(lambda: node.links.secured_size() == node.status().log_size)
    data = node.receipts.of(case).data
    publisher = load_keys(offices.folder / "node" / founding.KEYS).log.verifier

    served = offices.office.client().get("/policy").text
    assert served == offices.note
    report = verify_receipt(data, served, publisher=publisher)
    assert isinstance(report.shows, Proven)
    assert {one.verifier.name for one in report.shows.cosigned} == {"outside.example/w", "audit.example/w"}
    policy = read_signed(served, [publisher]).text
    other = policy.replace("group further 1 audit", f"witness peer {PEER}\ngroup further 2 audit peer")
    with pytest.raises(ReceiptInvalid):
        verify_receipt(data, other)


PEER = Ed25519Signer("peer.example/w", COSIGNATURE_V1, b"p" * 32).verifier.vkey


def test_status_page_and_metrics_show_each_witness(offices: Offices) -> None:
    node = offices.office.node
    wait_until(lambda: node.links.secured_size() == node.status().log_size)
    shown = health(node).status
    assert [(one.name, one.is_demanded, one.is_late, one.trouble_zh) for one in shown.witnesses] == [
        ("outside.example/w", True, False, ""),
        ("audit.example/w", True, False, ""),
    ]
    assert all(one.cosigned_size == shown.log_size and one.signed_us for one in shown.witnesses)
    page = offices.office.browser("operator").get("/node").text
    assert "audit.example/w" in page
    metrics = offices.office.client().get("/metrics").text
    assert 'huiyin_witness_late{witness="audit.example/w"} 0.0' in metrics
    assert f'huiyin_witness_cosigned_size{{witness="outside.example/w"}} {float(shown.log_size)}' in metrics
    assert held_of(offices.folder / "audit")[0][1] == shown.log_size


# --- below the root, under a clock that the test moves


@pytest.fixture
def line(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "further", CITY, TOWNSHIP, VILLAGE) as nodes:
        yield nodes


def test_a_village_has_a_witness_of_its_own_which_signs_only_what_its_superior_holds(
    line: Hierarchy, tmp_path: Path
) -> None:
    village = line[VILLAGE]
    audit = Audit(village, tmp_path / "audit")
    further = FurtherWitness(name="audit", url=audit.outside.url, key=audit.key)
    up = village.exchange.witness_name()
    asking = FurtherWitnesses([further], village.store, lambda: up, line.clock.now_us, line.clock.elapsed_s)
    (client,) = asking.clients

    def signed() -> int:
        with village.store.transaction() as tx:
            return tx.cosigned_size(OWN_LOG, client.name)

    village.chat(3)
    village.exchange.pump_seal()
    asking.round()
    assert signed() == 0, "the superior has not cosigned it yet"
    line.heal(line.all_secured)
    acknowledged = village.size()
    village.chat(2)
    village.exchange.pump_seal()
    asking.round()
    assert signed() == acknowledged < village.size()
    line.heal(line.all_secured)
    asking.round()
    assert signed() == village.size()
    with village.store.transaction() as tx:
        head = tx.head_at(OWN_LOG, village.size())
        lines = "".join(tx.cosignature_lines(OWN_LOG, village.size()))
    assert head is not None
    policy = parse_policy(
        f"log {village.signer.verifier.vkey}\nwitness up {line[TOWNSHIP].cosigner.verifier.vkey}\n"
        f"witness audit {audit.key}\ngroup both all up audit\nquorum both\n"
    )
    check_checkpoint(policy, parse_note((head.note + lines).encode()))
    asking.close()
    audit.stop()


def test_a_witness_that_does_not_answer_is_asked_ever_more_rarely_and_holds_up_no_other(
    line: Hierarchy, tmp_path: Path
) -> None:
    village = line[VILLAGE]
    dead, alive = (Audit(village, tmp_path / name, f"{name}.example/w") for name in ("dead", "alive"))
    dead.stop()
    witnesses = [
        FurtherWitness(name="dead", url=dead.outside.url, key=dead.key),
        FurtherWitness(name="alive", url=alive.outside.url, key=alive.key),
    ]
    up = village.exchange.witness_name()
    asking = FurtherWitnesses(witnesses, village.store, lambda: up, line.clock.now_us, line.clock.elapsed_s)
    tried: list[float] = []
    ask = asking.clients[0].ask
    asking.clients[0].ask = lambda: (tried.append(line.clock.at_s), ask())[1]  # type: ignore[method-assign]
    line.heal(line.all_secured)
    begun = line.clock.at_s
    for _ in range(60):
        asking.round()
        line.clock.pass_s(1)
    assert tried[0] == begun
    assert [after - before for before, after in pairwise(tried)] == [FIRST_DELAY_S, 2.0, 4.0, 8.0, 16.0]
    with village.store.transaction() as tx:
        assert tx.cosigned_size(OWN_LOG, asking.clients[1].name) == village.size()
        assert asking.clients[0].status(tx, is_demanded=True).trouble_zh
    asking.close()
    alive.stop()


def test_the_fault_of_a_witness_that_was_put_back_stands_until_nobody_asks_it_any_more(line: Hierarchy) -> None:
    village = line[VILLAGE]
    with village.store.transaction() as tx:
        tx.fault([Fault(ROLLED_BACK, name, "", "", b"") for name in ("kept.example/w", "gone.example/w")], 1)
    forget_gone(village.store, ["kept.example/w"], line.clock.now_us())
    assert village.faults() == {ROLLED_BACK: "kept.example/w"}


def test_receipts_from_the_time_of_a_retired_outside_witness_stay_proofs(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_town(postgres, tmp_path) as town:
        node, key = tmp_path / "county", found_witness(tmp_path / "next", WitnessConfig(name="next.example/w", port=1))
        early = _received(town.county)
        town.county.node.stop()

        port, was = free_port(), config.load(node).witness
        assert was is not None
        log_key = load_keys(node / founding.KEYS).log.verifier.vkey
        write_config(tmp_path / "next", WitnessConfig(name="next.example/w", port=port, logs=(log_key,)))
        stop = serve(build_witness(tmp_path / "next"), port)
        after = OutsideWitness(url=f"http://127.0.0.1:{port}", key=key, before=(was.key,))
        config.write(node, changed(config.load(node), witness=after))
        again = opened(node)
        try:
            late = _received(again)
            policy = again.node.policy()
            assert verify_receipt(early, policy).leaf
            assert verify_receipt(late, policy).leaf
            assert [fault.kind for fault in again.node.links.faults()] == []
            forgotten = "".join(line for line in policy.splitlines(keepends=True) if was.key not in line)
            with pytest.raises(ReceiptInvalid):
                verify_receipt(early, forgotten)
        finally:
            again.node.stop()
            stop()


def _received(office: Office) -> bytes:
    """The receipt of a case filed there, once it is a proof."""
    done = office.api("clerk").give(registration())
    assert done.status_code == 201, done.text
    case = CaseId(UUID(done.json()["case"]))
    wait_until(lambda: office.node.receipts.of(case).is_proof)
    return office.node.receipts.of(case).data
