"""A node before its outside witness: what it holds otherwise, forgot or dates wrongly is a fault with its evidence."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import msgspec
import psycopg
import pytest
from fastapi import FastAPI, Response

from gateway.hosting.config import OutsideWitness
from gateway.hosting.outside_witness import (
    FileStore,
    LogNameDoubtful,
    WitnessConfig,
    build_witness,
    found_witness,
    held_of,
    watch,
)
from gateway.hosting.postgres_server import PostgresServer
from gateway.hosting.witness_client import FRESH_S, LATE_S, WitnessClient, WitnessTrouble
from sync.exchange.channel import ChannelDown
from sync.exchange.status import own_status
from sync.proofs.note import ED25519, Ed25519Signer, SignatureLine, cosign, parse_note, parse_vkey
from sync.proofs.tree import OWN_LOG
from sync.proofs.witness import MAX_SKEW_S, RolledBack, Witnessed, proves_rollback
from tests.gateway.conftest import free_port, serve
from tests.sync.hierarchy import CITY, Node, hierarchy
from tests.sync.test_witness import LOG, LOG_KEY, Log

STRANGER = Ed25519Signer("audit.example/w", 0x04, b"s" * 32)


@pytest.fixture
def root(postgres: PostgresServer) -> Iterator[Node]:
    with hierarchy(postgres, "witnessed", CITY) as nodes:
        yield nodes[CITY]


class Audit:
    """An audit office's witness, which a test may stop, start again and put back; it goes by the node's clock."""

    def __init__(self, root: Node, folder: Path, name: str = "audit.example/w") -> None:
        self.root = root
        self.folder = folder
        self.settings = WitnessConfig(name=name, port=free_port(), logs=(root.signer.verifier.vkey,))
        self.key = found_witness(folder, self.settings)
        self._stop = serve(build_witness(folder, root.clock), self.settings.port)

    @property
    def outside(self) -> OutsideWitness:
        return OutsideWitness(url=f"http://127.0.0.1:{self.settings.port}", key=self.key)

    def stop(self) -> None:
        self._stop()
        self._stop = lambda: None

    def start(self) -> None:
        self._stop = serve(build_witness(self.folder, self.root.clock), self.settings.port)

    def state(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "cosigned").iterdir()}

    def put_back(self, state: dict[str, bytes]) -> None:
        """What a restore from an old backup does."""
        self.stop()
        for path in (self.folder / "cosigned").iterdir():
            path.unlink()
        for name, content in state.items():
            (self.folder / "cosigned" / name).write_bytes(content)
        self.start()


@pytest.fixture
def audit(root: Node, tmp_path: Path) -> Iterator[Audit]:
    found = Audit(root, tmp_path / "witness")
    yield found
    found.stop()


@pytest.fixture
def outside(audit: Audit) -> OutsideWitness:
    return audit.outside


def client_of(node: Node, outside: OutsideWitness) -> WitnessClient:
    return WitnessClient(outside, node.store, node.clock.now_us, elapsed_s=node.clock.elapsed_s)


def asks(node: Node, outside: OutsideWitness, times: int = 3, client: WitnessClient | None = None) -> WitnessClient:
    """A client, fresh if none is given, that has asked so often, whatever the answers."""
    client = client or client_of(node, outside)
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


# --- a witness that was put back


def grown(root: Node, audit: Audit, times: int) -> None:
    for _ in range(times):
        root.chat(2)
        root.clock.pass_s(60)
        asks(root, audit.outside)


def test_a_witness_that_was_put_back_is_a_fault_that_a_third_party_can_check_and_learns_the_log_again(
    root: Node, audit: Audit
) -> None:
    grown(root, audit, 2)
    old = audit.state()
    grown(root, audit, 2)
    audit.put_back(old)
    root.clock.pass_s(60)

    client = asks(root, audit.outside)

    assert root.faults() == {"witness_rolled_back": "audit.example/w"}
    shown = msgspec.json.decode(evidence(root, "witness_rolled_back"), type=RolledBack)
    log, witness = root.signer.verifier, parse_vkey(audit.key)
    assert proves_rollback(shown, log, witness)
    assert not proves_rollback(RolledBack(shown.later, shown.earlier, shown.held), log, witness)
    assert not proves_rollback(RolledBack(shown.earlier, shown.earlier, 0), log, witness)
    assert not proves_rollback(shown, log, STRANGER.verifier)
    assert not proves_rollback(shown, LOG_KEY.verifier, witness)
    assert not proves_rollback(RolledBack(shown.earlier, "", 0), log, witness)
    assert held_of(audit.folder) == [(root.origin, root.size(), root.clock.at_us // 1_000_000)]
    assert client.standing() == "agrees"


def test_a_witness_that_lost_all_its_memory_is_a_fault_too_though_it_has_signed_no_proof(
    root: Node, audit: Audit
) -> None:
    root.chat(3)
    asks(root, audit.outside)
    audit.put_back({})

    asks(root, audit.outside)

    shown = msgspec.json.decode(evidence(root, "witness_rolled_back"), type=RolledBack)
    assert (shown.held, shown.later) == (0, "")
    assert not proves_rollback(shown, root.signer.verifier, parse_vkey(audit.key))
    assert "holds 0 leaves" in root.query("select detail from fault where kind = 'witness_rolled_back'")[0][0]


def test_a_witness_goes_on_after_a_restart_where_it_stood(root: Node, audit: Audit) -> None:
    grown(root, audit, 1)
    audit.stop()
    root.chat(2)
    client = asks(root, audit.outside)
    assert client.standing() == "unanswered"
    audit.start()
    asks(root, audit.outside)
    assert root.faults() == {}
    assert root.exchange.cosigned_size(client.name) == root.size()


# --- freshness


def test_a_quiet_log_is_cosigned_again_every_hour_and_two_missed_are_an_alarm(root: Node, audit: Audit) -> None:
    root.chat(2)
    client = client_of(root, audit.outside)
    root.exchange.pump_seal()

    def signed_us() -> int:
        with root.store.transaction() as tx:
            return client.status(tx, is_demanded=True).signed_us

    def is_late() -> bool:
        with root.store.transaction() as tx:
            return client.status(tx, is_demanded=True).is_late

    assert client.ask()
    first_us = signed_us()
    root.clock.pass_s(FRESH_S - 1)
    assert not client.ask()
    root.clock.pass_s(1)
    assert client.ask(), "the same head, under a newer time"
    assert signed_us() == first_us + FRESH_S * 1_000_000
    with root.store.transaction() as tx:
        assert tx.cosigned_size(OWN_LOG, client.name) == root.size()
    audit.stop()
    for passed_s, late in ((FRESH_S, False), (LATE_S - FRESH_S, False), (1, True)):
        root.clock.pass_s(passed_s)
        with pytest.raises(WitnessTrouble):
            client.ask()
        assert is_late() is late
    audit.start()
    assert client.ask()
    assert not is_late()
    client.close()


def test_a_node_that_starts_again_knows_how_long_its_witness_has_been_silent(root: Node, audit: Audit) -> None:
    root.chat(2)
    asks(root, audit.outside).close()
    root.clock.pass_s(LATE_S + 1)
    client = client_of(root, audit.outside)
    with root.store.transaction() as tx:
        assert client.status(tx, is_demanded=False).is_late
    client.close()


# --- (51), (58): what is not stored


class Liar:
    """Something that listens where the witness should."""

    def __init__(self, answer: Callable[[], Response]) -> None:
        self.app = FastAPI()
        self.port = free_port()
        self.app.post("/add-checkpoint")(answer)
        self.stop = serve(self.app, self.port)


def cosignatures(node: Node) -> int:
    return int(
        node.query("select (select count(*) from cosignature) + (select count(*) from latest_cosignature)")[0][0]
    )


ANSWERS = {
    400: "请核对双方版本",
    403: "重新登记",
    404: "请其登记日志公钥",
    422: "见故障",
    429: "稍后再试",
    500: "见证方答复 500",
    503: "时钟",
}
NO_COSIGNATURES = [b"", b"\xff", "— audit.example/w AAAA\n".encode(), b"x" * 100_000, b"409\n"]


def test_51_whatever_a_witness_answers_the_trouble_is_said_in_words_and_nothing_is_kept(
    root: Node, audit: Audit
) -> None:
    said = [Response(b"no\n", status) for status in ANSWERS] + [Response(body, 200) for body in NO_COSIGNATURES]
    liar = Liar(lambda: said.pop(0))
    root.chat(1)
    root.exchange.pump_seal()
    client = client_of(root, OutsideWitness(url=f"http://127.0.0.1:{liar.port}", key=audit.key))
    for word in (*ANSWERS.values(), *("" for _ in NO_COSIGNATURES)):
        with pytest.raises(WitnessTrouble) as told:
            client.ask()
        assert word in told.value.zh
        with root.store.transaction() as tx:
            shown = client.status(tx, is_demanded=True)
        assert (shown.trouble_zh, shown.trouble_en) == (told.value.zh, told.value.en)
        assert cosignatures(root) == 0
    liar.stop()
    with pytest.raises(WitnessTrouble, match="cannot be reached"):
        client.ask()
    client.close()


def test_51_a_forged_line_under_the_witnesss_name_and_key_id_is_not_stored(root: Node, audit: Audit) -> None:
    root.chat(1)
    root.exchange.pump_seal()
    key_id = parse_vkey(audit.key).key_id
    forged = msgspec.structs.replace(_line(root, STRANGER), key_id=key_id)
    liar = Liar(lambda: Response(str(forged).encode(), 200))
    client = client_of(root, OutsideWitness(url=f"http://127.0.0.1:{liar.port}", key=audit.key))
    with pytest.raises(WitnessTrouble, match="does not verify"):
        client.ask()
    assert cosignatures(root) == 0
    client.close()
    liar.stop()


def _line(root: Node, signer: Ed25519Signer, ahead_s: int = 0) -> SignatureLine:
    with root.store.transaction() as tx:
        note = tx.newest_note(OWN_LOG)
    assert note is not None
    return cosign(parse_note(note.encode()).text, signer, root.clock.at_us // 1_000_000 + ahead_s)


def test_58_a_cosignature_from_the_future_or_of_a_time_before_the_last_is_not_stored(root: Node) -> None:
    root.chat(1)
    root.exchange.pump_seal()
    ahead = {"s": MAX_SKEW_S + 1}
    liar = Liar(lambda: Response(str(_line(root, STRANGER, ahead["s"])).encode(), 200))
    client = client_of(root, OutsideWitness(url=f"http://127.0.0.1:{liar.port}", key=STRANGER.verifier.vkey))
    with pytest.raises(WitnessTrouble, match="has not come"):
        client.ask()
    assert cosignatures(root) == 0
    ahead["s"] = MAX_SKEW_S
    assert client.ask()
    ahead["s"] = MAX_SKEW_S - 1
    root.chat(1)
    root.exchange.pump_seal()
    with pytest.raises(WitnessTrouble, match="earlier time"):
        client.ask()
    with root.store.transaction() as tx:
        assert tx.cosigned_size(OWN_LOG, client.name) == root.size() - 1
    ahead["s"] = MAX_SKEW_S
    assert client.ask()
    client.close()
    liar.stop()


# --- the witness's own side


def test_58_a_witness_whose_clock_went_back_signs_no_earlier_time_and_beyond_ten_minutes_nothing(
    root: Node, audit: Audit
) -> None:
    grown(root, audit, 1)
    at_us, at_s = root.clock.at_us, root.clock.at_us // 1_000_000
    root.chat(1)
    root.clock.at_us = at_us - MAX_SKEW_S * 1_000_000
    client = asks(root, audit.outside)
    assert held_of(audit.folder) == [(root.origin, root.size(), at_s)]
    root.chat(1)
    root.clock.at_us -= 1_000_000
    client = client_of(root, audit.outside)
    root.exchange.pump_seal()
    with pytest.raises(WitnessTrouble, match="clock"):
        client.ask()
    assert held_of(audit.folder) == [(root.origin, root.size() - 1, at_s)]
    client.close()


def test_57_whoever_races_the_witness_moves_forward_alone_and_never_back(tmp_path: Path) -> None:
    settings = WitnessConfig(name="audit.example/w", port=free_port(), logs=(LOG_KEY.verifier.vkey,))
    found_witness(tmp_path, settings)
    stop = serve(build_witness(tmp_path), settings.port)
    url = f"http://127.0.0.1:{settings.port}/add-checkpoint"
    log, answers = Log(), list[tuple[int, int]]()

    def race(sizes: list[int]) -> None:
        with httpx2.Client() as http:
            for size in sizes:
                status = http.post(url, content=log.request(5, size)).status_code
                answers.append((status, size))

    assert httpx2.post(url, content=log.request(0, 5)).status_code == 200
    runners = [threading.Thread(target=race, args=(list(range(at, 40, 4)),)) for at in (6, 7, 8, 9)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    stop()
    won = [size for status, size in answers if status == 200]
    assert len(won) == 1, "of those who said that it holds 5, one has moved it"
    assert {status for status, _ in answers} == {200, 409}
    assert held_of(tmp_path)[0][:2] == (LOG, won[0])


def test_57_the_memory_on_disk_moves_from_what_was_seen_or_not_at_all(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    first, second, third = (Witnessed(size, bytes([size]) * 32, b"note", size) for size in (1, 2, 3))
    assert store.replace_witnessed(LOG, None, first)
    assert not store.replace_witnessed(LOG, None, second)
    assert store.replace_witnessed(LOG, first, third)
    assert not store.replace_witnessed(LOG, first, second)
    assert FileStore(tmp_path).witnessed(LOG) == third


@pytest.mark.parametrize(
    "name",
    [
        LOG.upper(),
        LOG + "/",
        LOG.replace("/1", "//1"),
        LOG.replace("/1", "/l"),
        LOG.replace("e", "е"),
        "Audit.example/w",
    ],
)
def test_59_a_log_whose_name_could_be_taken_for_another_one_is_not_watched(tmp_path: Path, name: str) -> None:
    found_witness(tmp_path, WitnessConfig(name="audit.example/w", port=9))
    watch(tmp_path, LOG_KEY.verifier.vkey)
    with pytest.raises(LogNameDoubtful):
        watch(tmp_path, Ed25519Signer(name, ED25519, b"x" * 32).verifier.vkey)
    watch(tmp_path, Ed25519Signer(LOG, ED25519, b"x" * 32).verifier.vkey)
    watch(tmp_path, Ed25519Signer(LOG.replace("/1", "/2"), ED25519, b"y" * 32).verifier.vkey)
    assert [name for name, *_ in held_of(tmp_path)] == [LOG, LOG.replace("/1", "/2")]
