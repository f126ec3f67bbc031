"""A village is dead: who took its cases over reads them through the escrow, opened by two persons, and not without."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from typer.testing import CliRunner

from domain.case import CaseFile
from domain.commands import ConfirmErasure, OrderErasure
from domain.context import alone
from domain.divisions import Division
from domain.events import Actor, CaseId, EscrowFounded, EscrowOpened, Grant, KeyGranted, encode, read
from gateway.__main__ import app
from gateway.casework.escrow_office import keep_waiting, leave_approvals, require_lawful
from gateway.enrolling import RequestRefused, enrol_child
from gateway.escrowing import (
    approve_request,
    in_words,
    open_escrow,
    read_approval,
    request_keys,
)
from gateway.hosting import config, founding
from gateway.hosting.outside_witness import WitnessConfig, build_witness, found_witness, write_config
from gateway.hosting.postgres_server import PostgresServer
from sync.ledger.append import Append, NewEvent
from sync.proofs.note import parse_note, parse_vkey, verify
from sync.proofs.signed_policy import read_signed
from sync.sealed.acts import PartsBeside
from sync.sealed.sealing import Recipient, digest_text
from sync.trust.escrow import new_escrow, write_share
from sync.trust.escrow_request import MAX_AGE_US, EscrowRefused, read_request
from sync.trust.keys import CommandId, load_keys
from tests.domain.test_sealed import SUBJECT, ended, sealed_case
from tests.gateway.conftest import (
    COUNTY,
    VILLAGE,
    Api,
    Office,
    changed,
    database,
    free_port,
    opened,
    serve,
    settings,
    wait_until,
)
from tests.gateway.test_api import Filed, file_case
from tests.given import LIUZHUANG
from tests.given import City as Tree
from tests.given import office as unit_of
from tests.sync.chance import Chance
from tests.sync.test_escrow_request import REQUEST

CITY = Division("410200000000")
NUMBER = 950
MADE_UP = [f"{VILLAGE}{number:020x}" for number in range(1, 46)]
"""Subjects that nothing is sealed for."""


class Line(NamedTuple):
    """City, county and village; the village takes cases in and then dies."""

    folder: Path
    city: Office
    county: Office
    village: Office

    @property
    def root(self) -> Path:
        return self.folder / "city"

    def share(self, holder: str) -> Path:
        return self.root / f"escrow-share-{holder}.json"


@pytest.fixture(scope="module")
def line(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("line")
    witness = WitnessConfig(name="audit.test.example/witness", port=free_port())
    outside = config.OutsideWitness(
        url=f"http://127.0.0.1:{witness.port}", key=found_witness(folder / "witness", witness)
    )
    upper, lower = (config.ChannelEnd(dsn=database(postgres, f"channel_{NUMBER}_{n}")) for n in (1, 2))
    city = changed(
        settings(postgres, CITY, "开封市信访局", NUMBER), channel=config.Channels(down=upper), witness=outside
    )
    founding.found_root(folder / "city", city, time.time_ns() // 1000)
    log_key = load_keys(folder / "city" / founding.KEYS).log.verifier.vkey
    write_config(folder / "witness", changed(witness, logs=(log_key,)))
    for name, division, above, ends in (
        ("county", COUNTY, "city", config.Channels(up=upper, down=lower)),
        ("village", VILLAGE, "county", config.Channels(up=lower)),
    ):
        parent = {"city": CITY, "county": COUNTY}[above]
        request = founding.found(
            folder / name, changed(settings(postgres, division, name, NUMBER, parent), channel=ends)
        )
        founding.install(folder / name, enrol_child(folder / above, request))
    stop_witness = serve(build_witness(folder / "witness"), witness.port)
    offices = [opened(folder / name) for name in ("city", "county", "village")]
    yield Line(folder, *offices)
    for office in reversed(offices):
        office.node.stop()
    stop_witness()


@pytest.fixture(scope="module")
def filed(line: Line) -> list[Filed]:
    """Cases of a village that never speaks again, all of which the county has taken over, as the city knows."""
    cases = [file_case(line.village.api("clerk")) for _ in range(4)]
    for office in (line.city, line.county):
        wait_until(lambda office=office: all(office.node.desk.file(CaseId(UUID(one.case))) for one in cases))  # type: ignore[misc]
    escrow = line.city.node.links.directory().escrow
    assert escrow is not None
    give_nothing(line.village, cases[3], recipient_of(line.county))
    for subject in MADE_UP:
        give_nothing(line.village, cases[3], escrow, subject, "escrow")
    last = CaseId(UUID(cases[3].case))
    wait_until(lambda: len((line.city.node.desk.file(last) or CaseFile(case=last)).keys) > len(MADE_UP))
    line.village.node.stop()
    leader = line.county.api("leader")
    for one in (cases[0], cases[1], cases[3]):
        unit = f"{COUNTY}.office"
        taken = {"command": "take_over", "case": one.case, "leg": one.leg, "unit": unit, "reason": "村节点损毁"}
        assert leader.give(taken).status_code == 201
        case = CaseId(UUID(one.case))
        wait_until(lambda case=case: holder(line.city, case) == COUNTY)  # type: ignore[misc]
    return cases


def says(office: Office, event: KeyGranted) -> None:
    """A grant that the node's own program would never write: nothing that opens lies beside it."""
    new = NewEvent(event.stream, event.version, "key.granted.v0", event.case, encode(event))
    with office.node.journal.turn() as turn:
        beside = [PartsBeside(event.stream, 1, [bytes(80)])]
        answer = turn.append(Append([new], CommandId(uuid4()), b"junk", b"", beside))
    answer.result(60)


def give_nothing(office: Office, filed: Filed, to: Recipient, subject: str = "", purpose: str = "handle") -> None:
    """subject: of the registration where none is named."""
    file = office.node.desk.file(CaseId(UUID(filed.case)))
    assert file is not None
    assert file.registered is not None
    node = office.node
    actor = Actor(account=UUID(int=0), role="system", unit=node.office)
    now_us = node.journal.now_us()
    envelope = alone(node.ids.fresh(now_us), node.here, actor, now_us, file.case)
    said = {"custodian": to.division, "recipient_key": to.key_id, "wrapped": digest_text(bytes(80)), "purpose": purpose}
    grant = msgspec.convert(said, Grant)
    says(office, KeyGranted(**envelope, subject=subject or file.registered.sealed[0].subject, grants=(grant,)))


def recipient_of(office: Office) -> Recipient:
    return office.node.around.recipient(office.node.here)


def holder(office: Office, case: CaseId) -> Division | None:
    file = office.node.desk.file(case)
    return file.present_leg.node if file and file.present_leg else None


def reads(api: Api, filed: Filed) -> dict[str, Any]:
    body = {"events": [filed.registered], "purpose": "handle"}
    answer = api.http.post(f"/api/cases/{filed.case}/read", json=body, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def huiyin(*words: object, typed: str = "") -> str:
    """What the command line says to this, when it does it."""
    done = CliRunner().invoke(app, [str(word) for word in words], input=f"{typed}\n")
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def asks(line: Line, one: Filed, name: str = "request") -> Path:
    """The request of the city's supervisor."""
    out = line.folder / name
    request_keys(line.root, UUID(one.case), "", "holder_gone", "supervisor", out)
    return out


def approved(line: Line, request: Path, *shares: Path) -> list[Path]:
    outs = []
    for at, share in enumerate(shares):
        outs.append(line.folder / f"{request.name}-approval-{at}-{uuid4()}")
        approve_request(request, share, outs[-1], lambda: "麦田一九七八")
    return outs


def logged(office: Office, *shapes: type) -> list[Any]:
    rows = office.node.reader.fetch("select body from ledger order by pos")
    found = [read(bytes(body)) for (body,) in rows]
    return [event for event in found if isinstance(event, shapes)]


def refused(line: Line, reason: str, approvals: list[Path]) -> None:
    """By the running node, in words; and nothing is recorded."""
    before = len(logged(line.city, EscrowOpened, KeyGranted))
    with pytest.raises(RequestRefused) as told:
        open_escrow(line.root, approvals)
    given = [read_approval(file) for file in approvals]
    with pytest.raises(EscrowRefused) as refusal:
        line.city.node.escrow.open(given)
    assert refusal.value.reason == reason
    assert str(told.value) == str(refusal.value)
    assert len(logged(line.city, EscrowOpened, KeyGranted)) == before


@pytest.fixture(scope="module")
def through(line: Line, filed: list[Filed]) -> Filed:
    """The first case, which the county could not read, and whose keys two officers have given to it."""
    one, handler = filed[0], line.county.api("handler")
    assert reads(handler, one)["withheld"][0]["why"] == "no_key"
    request, mine, plain = line.folder / "request", line.folder / "mine.share", line.share("second")
    first, second = (line.folder / f"request-approval-{holder}" for holder in ("first", "second"))
    why = ("--ground", "holder_gone", "--by", "supervisor")

    huiyin("escrow", "lock", line.share("first"), "--out", mine, typed="麦田一九七八")
    asked = huiyin("escrow", "request", line.root, "--case", one.case, *why, "--out", request)
    for share, out in ((mine, first), (plain, second)):
        shown = huiyin("escrow", "approve", request, "--share", share, "--out", out, typed="麦田一九七八")
        assert in_words(request) in shown
    said = huiyin("escrow", "open", line.root, "--approval", first, "--approval", second)

    assert one.case in asked
    assert COUNTY in said
    return one


def test_the_taker_over_reads_a_dead_villages_case_through_the_escrow_and_not_without(
    line: Line, filed: list[Filed], through: Filed
) -> None:
    handler, one = line.county.api("handler"), through
    wait_until(lambda: bool(reads(handler, one)["texts"]))
    assert reads(handler, one)["texts"][one.registered]["petitioner.name"] == "张桂兰"


def test_both_persons_stand_in_the_log_before_the_key_and_anybody_can_check_their_signatures(
    line: Line, through: Filed
) -> None:
    events = logged(line.city, EscrowFounded, EscrowOpened, KeyGranted)
    founded = next(event for event in events if isinstance(event, EscrowFounded))
    (taken,) = [event for event in events if isinstance(event, EscrowOpened) and str(event.case) == through.case]
    officers = [parse_vkey(founded.first), parse_vkey(founded.second)]
    signed = verify(parse_note(taken.request.encode()), officers)
    assert {one.verifier for one in signed} == set(officers)
    assert (taken.receiver, taken.ground, taken.actor.role) == (COUNTY, "holder_gone", "supervisor")
    after = events[events.index(taken) + 1]
    assert isinstance(after, KeyGranted)
    assert [(one.custodian, one.purpose) for one in after.grants] == [(COUNTY, "handle")]
    assert after.cause[0].id == taken.id
    shown = line.city.api("auditor").get(f"/api/cases/{taken.case}/timeline").json()
    assert "escrow.opened.v0" in str(shown)


def test_the_receiver_learns_of_the_opening_too(line: Line, through: Filed) -> None:
    assert through.case
    wait_until(lambda: bool(logged(line.county, EscrowOpened)))


class PowerCut(Exception):
    """The process dies here."""


def dies(*_: object) -> None:
    raise PowerCut


def test_one_person_the_same_person_twice_a_wrong_share_or_a_replay_opens_nothing(
    line: Line, filed: list[Filed]
) -> None:
    request = asks(line, filed[1], "second")
    first, second = approved(line, request, line.share("first"), line.share("second"))
    again = approved(line, request, line.share("first"))
    refused(line, "one_person", [first])
    refused(line, "one_person", [first, first])
    refused(line, "one_person", [first, *again])
    stranger = line.folder / f"stranger-{uuid4()}.json"
    write_share(stranger, new_escrow(Chance(5))[1])
    with pytest.raises(EscrowRefused):
        approve_request(request, stranger, line.folder / "never", lambda: "")
    other = approved(line, asks(line, filed[1], "third"), line.share("second"))
    refused(line, "another_request", [first, *other])
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(line.city.node.escrow, "_grant", dies)
        given = [read_approval(file) for file in (first, second)]
        with pytest.raises(PowerCut):
            line.city.node.escrow.open(given)
    recorded = len(logged(line.city, EscrowOpened))
    assert COUNTY in open_escrow(line.root, [first, second]), "what broke off after it was recorded is gone on with"
    assert len(logged(line.city, EscrowOpened)) == recorded
    refused(line, "opened_before", [first, second])


def test_grants_with_nothing_in_them_keep_the_escrow_shut_for_nobody(line: Line, filed: list[Filed]) -> None:
    one, handler = filed[3], line.county.api("handler")
    assert not reads(handler, one)["texts"]

    request = asks(line, one, "flooded")
    said = open_escrow(line.root, approved(line, request, line.share("first"), line.share("second")))

    assert "1 keys" in said
    assert "39 copies do not open" in said
    wait_until(lambda: bool(reads(handler, one)["texts"]))
    rest = read_request(asks(line, one, "rest").read_text())
    assert len(rest.subjects) == 40
    assert {*rest.subjects} >= {*MADE_UP[39:]}, "those that were not asked for yet come first"


def test_an_opening_that_breaks_off_keeps_the_approvals_that_the_command_left(line: Line, filed: list[Filed]) -> None:
    request = asks(line, filed[3], "left")
    order = read_request(request.read_text()).order
    given = [read_approval(file) for file in approved(line, request, line.share("first"), line.share("second"))]
    leave_approvals(line.root, order, given)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(line.city.node.escrow, "_record", dies)
        with pytest.raises(PowerCut):
            line.city.node.escrow.open_waiting(order)
    with pytest.raises(EscrowRefused) as refusal:
        line.city.node.escrow.open_waiting(order)
    assert refusal.value.reason == "no_copy", "it was gone on with, and this time nothing opens"
    with pytest.raises(EscrowRefused) as refusal:
        line.city.node.escrow.open_waiting(order)
    assert refusal.value.reason == "unknown", "answered for good"


def test_the_one_time_key_of_a_request_does_not_outlive_it(line: Line, filed: list[Filed]) -> None:
    young = read_request(asks(line, filed[3], "young").read_text())
    for age_us, is_kept in ((MAX_AGE_US - 3_600_000_000, True), (MAX_AGE_US + 1, False)):
        order = uuid4()
        old = msgspec.structs.replace(young, order=order, made_us=line.city.node.journal.now_us() - age_us)
        keep_waiting(line.root, old, X25519PrivateKey.generate())
        leave_approvals(line.root, order, [])
        line.city.node.escrow.forget_stale()
        assert len(list((line.root / "escrow").glob(f"{order}*"))) == 2 * is_kept
    assert (line.root / "escrow" / f"{young.order}.json").exists()


def test_a_request_that_this_node_never_made_or_of_a_holder_without_the_matter_is_refused(
    line: Line, filed: list[Filed], through: Filed
) -> None:
    for login, case, receiver, reason in (
        ("clerk", filed[2].case, "", "not_leader"),
        ("supervisor", str(uuid4()), "", "case_unknown"),
        ("supervisor", filed[2].case, COUNTY, "not_for_duty"),
        ("supervisor", through.case, "", "nothing_to_open"),
    ):
        with pytest.raises(EscrowRefused) as refusal:
            request_keys(line.root, UUID(case), receiver, "holder_gone", login, line.folder / "never")
        assert refusal.value.reason == reason
    with pytest.raises(EscrowRefused) as refusal:
        request_keys(line.folder / "county", UUID(filed[2].case), "", "holder_gone", "leader", line.folder / "never")
    assert refusal.value.reason == "not_founded"
    assert not (line.folder / "never").exists()


def test_a_policy_goes_to_the_root_to_be_signed_and_back_by_the_command_line(line: Line) -> None:
    draft, note = line.folder / "draft", line.folder / "policy.note"
    huiyin("policy", "show", line.folder / "county", "--out", draft)
    key = re.search(r"\S+\+[0-9a-f]{8}\+\S+", huiyin("policy", "sign", line.root, "--draft", draft, "--out", note))
    assert "第 1 号" in huiyin("policy", "install", line.folder / "county", note)
    assert key is not None
    signed = read_signed(note.read_text("utf-8"), [parse_vkey(key[0])])
    assert (signed.serial, signed.text) == (1, draft.read_text("utf-8"))


def test_nothing_personal_and_no_key_stands_in_what_is_carried_about(line: Line, through: Filed) -> None:
    assert through.case
    carried = [path.read_bytes() for path in line.folder.iterdir() if path.is_file() and "request" in path.name]
    assert carried
    shares = [msgspec.json.decode(line.share(holder).read_bytes())["share"] for holder in ("first", "second")]
    for content in carried:
        assert "张桂兰".encode() not in content
        assert not any(share.encode() in content for share in shares)
    assert not list((line.root / "escrow").glob(".*"))


def test_what_was_erased_is_not_brought_back_through_the_escrow() -> None:
    city = Tree.of()
    case = sealed_case(city)
    asked = msgspec.structs.replace(REQUEST, case=case, subjects=(SUBJECT,), receiver=LIUZHUANG)
    file = city.file(case, LIUZHUANG)
    require_lawful(file, asked)
    ended(city, case)
    first, second = (city.at(unit_of(LIUZHUANG), "leader", who) for who in ("first", "second"))
    (ordered,) = first.does(OrderErasure(case=case, subject=SUBJECT, ground="retention_ended"))
    second.does(ConfirmErasure(case=case, erasure=ordered.id))
    with pytest.raises(EscrowRefused) as refusal:
        require_lawful(city.file(case, LIUZHUANG), asked)
    assert refusal.value.reason == "erased"
