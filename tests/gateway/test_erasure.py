"""What two persons erase is gone at every custodian, stays gone, and leaves a case that can still be worked on."""

import time
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import msgspec

from domain.divisions import Division
from domain.events import (
    Actor,
    AnyEvent,
    CaseId,
    ErasureConfirmed,
    ErasureOrdered,
    EventId,
    KeyGranted,
    StreamId,
    encode,
    tag_of,
)
from gateway.app import build_app
from gateway.backup.backup import make_backup
from gateway.backup.backup_file import Cost
from gateway.backup.restore import Changes, restore_backup
from gateway.evidencing import judge_file
from gateway.hosting.config import Database
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.exchange.wire import Beside, Enclosure, Frame, decode_item, decode_record, items_of
from sync.exchange.wire import encode as encode_record
from sync.ledger.append import Append, NewEvent
from sync.sealed.acts import PartsBeside
from sync.sealed.sealing import DataKey, grant_key
from tests.gateway.conftest import COUNTY, PASSWORD, VILLAGE, Api, Office, Town, running_town, wait_until
from tests.gateway.test_api import Filed, file_case, registration

OTHER = Division("410221199201")


def read(api: Api, case: str, *events: str) -> Any:
    answer = api.http.post(
        f"/api/cases/{case}/read",
        json={"events": events, "purpose": "handle"},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def end(office: Office, case: str, leg: str) -> None:
    handler = office.api("handler")
    assert handler.give({"command": "accept", "case": case, "leg": leg}).status_code == 201
    closed = handler.give({"command": "close", "case": case, "leg": leg, "ending": "agreement"})
    assert closed.status_code == 201, closed.text


def subject_of(office: Office, filed: Filed) -> str:
    known = office.node.desk.file(CaseId(UUID(filed.case)))
    assert known is not None
    assert known.registered is not None
    return known.registered.sealed[0].subject


def erase(office: Office, filed: Filed) -> str:
    subject = subject_of(office, filed)
    order = {"command": "order_erasure", "case": filed.case, "subject": subject, "ground": "subject_request"}
    ordered = office.api("leader").give(order)
    assert ordered.status_code == 201, ordered.text
    erasure = ordered.json()["events"][0]["erasure"]
    agreed = office.api("supervisor").give({"command": "confirm_erasure", "case": filed.case, "erasure": erasure})
    assert agreed.status_code == 201, agreed.text
    return subject


def kept(office: Office, case: str, subject: str) -> int:
    """Keys and ciphertexts of a subject that lie at a node."""
    query = (
        "select count(*) from ledger join beside using (log_id, seq)"
        " where case_id = %b and position(%b::text in convert_from(ledger.body, 'UTF8')) > 0"
    )
    return int(office.node.reader.fetch(query, (UUID(case), subject))[0][0])


def erasures(office: Office, case: str) -> Any:
    return office.api("leader").get(f"/api/cases/{case}").json()["erasures"]


def learned(office: Office, case: str) -> bool:
    return office.api("leader").get(f"/api/cases/{case}").status_code == 200


def test_an_erasure_is_complete_when_every_custodian_above_and_below_has_signed(town: Town) -> None:
    filed = file_case(town.village.api("clerk"))
    end(town.village, filed.case, filed.leg)
    wait_until(lambda: learned(town.county, filed.case))
    subject = erase(town.village, filed)
    for office in town:
        wait_until(lambda office=office: kept(office, filed.case, subject) == 0)
        wait_until(lambda office=office: erasures(office, filed.case)[0]["waiting_for"] == [])
    (erasure,) = erasures(town.village, filed.case)
    assert erasure["complete_us"] > time.time_ns() // 1000, "the longest kept backup has its time, too"


def test_what_waits_in_frames_is_destroyed_too_also_what_came_after_the_erasure(town: Town) -> None:
    filed, other = (file_case(town.village.api("clerk")) for _ in range(2))
    end(town.village, filed.case, filed.leg)
    wait_until(lambda: learned(town.county, filed.case) and learned(town.county, other.case))
    frames = [frame_of(town.village, one.case) for one in (filed, other)]
    for number, frame in enumerate(frames):
        park(town.county, number, frame)

    subject = erase(town.village, filed)

    wait_until(lambda: parked(town.county, 0).beside == [])
    assert parked(town.county, 0).entries == frames[0].entries
    assert parked(town.county, 1) == frames[1]
    wait_until(lambda: kept(town.county, filed.case, subject) == 0)
    park(town.county, 2, frames[0])
    erasing = town.county.node.steward._erasing
    erasing.learned(erasing.waiting())
    assert parked(town.county, 2).beside == []
    assert parked(town.county, 1) == frames[1]


def test_what_a_child_has_not_read_yet_loses_what_is_erased(town: Town) -> None:
    filed, other = (file_case(town.village.api("clerk")) for _ in range(2))
    end(town.village, filed.case, filed.leg)
    wait_until(lambda: learned(town.county, filed.case) and learned(town.county, other.case))
    frames = [frame_of(town.village, one.case) for one in (filed, other)]
    letters = [
        Enclosure([OTHER], frame.log, at, body, [], "", [one for one in frame.beside if one.seq == at])
        for frame in frames
        for at, body in enumerate(frame.entries)
    ]
    with town.county.node.pool.connection() as conn:
        conn.execute("insert into child (division, down_size, down_acked, heard_us) values (%s, 1, 0, 0)", (OTHER,))
        conn.execute("insert into down values (%s, 1, %s, 0)", (OTHER, encode_record(list(letters))))

    subject = erase(town.village, filed)

    wait_until(lambda: kept(town.county, filed.case, subject) == 0)
    erased = len(frames[0].entries)
    wait_until(lambda: all(letter.beside == [] for letter in unread(town.county)[:erased]))
    assert [letter.body for letter in unread(town.county)] == [letter.body for letter in letters]
    assert unread(town.county)[erased:] == letters[erased:]


def unread(office: Office) -> list[Enclosure]:
    """What lies there for a child that is away."""
    with office.node.pool.connection() as conn:
        ((data,),) = conn.execute("select items from down where child = %s", (OTHER,)).fetchall()
    found = [decode_item(raw) for raw in items_of(bytes(data))]
    return [one for one in found if isinstance(one, Enclosure)]


def frame_of(office: Office, case: str) -> Frame:
    """What an office said of a case, with all that lies beside it, as if it came in one frame."""
    rows = office.node.reader.fetch("select seq, body from ledger where case_id = %b and via = 0", (UUID(case),))
    parts = office.node.reader.fetch(
        "select seq, part, beside.body from ledger join beside using (log_id, seq) where case_id = %b and via = 0",
        (UUID(case),),
    )
    place = {seq: number for number, (seq, _) in enumerate(rows)}
    beside = [Beside(place[seq], part, bytes(body)) for seq, part, body in parts]
    assert beside
    return Frame("nobody.example/0/1", 0, "", [bytes(body) for _, body in rows], beside)


def park(office: Office, first: int, frame: Frame) -> None:
    moved = msgspec.structs.replace(
        frame,
        first=first * 100,
        beside=[msgspec.structs.replace(one, seq=one.seq + first * 100) for one in frame.beside],
    )
    with office.node.pool.connection() as conn:
        conn.execute(
            "insert into parked (log, first, lane, reason, wants_log, wants_size, record, at_us)"
            " values (%s, %s, %s, 'gap', 'never', 1, %s, 0)",
            (frame.log, first, VILLAGE, encode_record(moved)),
        )


def parked(office: Office, first: int) -> Frame:
    with office.node.pool.connection() as conn:
        ((record,),) = conn.execute("select record from parked where first = %s", (first,)).fetchall()
    frame = decode_record(bytes(record))
    assert isinstance(frame, Frame)
    back = [msgspec.structs.replace(one, seq=one.seq - first * 100) for one in frame.beside]
    return msgspec.structs.replace(frame, first=0, beside=back)


def test_a_key_that_is_given_on_after_the_erasure_stays_nowhere(town: Town) -> None:
    filed = file_case(town.village.api("clerk"))
    end(town.village, filed.case, filed.leg)
    subject = erase(town.village, filed)
    for office in town:
        wait_until(lambda office=office: learned(office, filed.case) and kept(office, filed.case, subject) == 0)
    give_on(town.village, filed.case, subject, COUNTY)
    number = town.village.node.reader.head().pos
    wait_until(lambda: steward_at(town.village) >= number)
    assert kept(town.village, filed.case, subject) == 0
    granted = "select count(*) from ledger where case_id = %b and topic = 'key.granted.v0'"
    wait_until(lambda: town.county.node.reader.fetch(granted, (UUID(filed.case),))[0][0] == 2)
    wait_until(lambda: kept(town.county, filed.case, subject) == 0)
    wait_until(lambda: parts_missing(town.county) == 0)
    wait_until(lambda: len(kept_keys(town.county.node)) == 1)
    town.county.node.links.heal("kept_key", kept_keys(town.county.node))


def test_who_gives_on_a_key_that_it_signed_to_have_destroyed_is_convicted_by_its_own_two_leaves(town: Town) -> None:
    county = town.county.node
    filed = file_case(town.village.api("clerk"))
    end(town.village, filed.case, filed.leg)
    subject = erase(town.village, filed)
    wait_until(lambda: learned(town.county, filed.case) and kept(town.village, filed.case, subject) == 0)
    assert not kept_keys(county)

    give_on(town.village, filed.case, subject, COUNTY)

    wait_until(lambda: len(kept_keys(county)) == 1)
    (leaf,) = kept_keys(county)
    data = county.links.evidence("kept_key", leaf)
    assert data is not None
    told = judge_file(data, county.links.exchange.trust.directory.root_fingerprint, [])
    assert told.exit_code == 0
    assert town.village.node.links.exchange.station.origin in told.text.partition("\n")[0]
    county.links.heal("kept_key", [leaf])


def kept_keys(node: Node) -> list[str]:
    return [fault.subject for fault in node.links.faults() if fault.kind == "kept_key"]


def test_a_superior_keeps_an_open_matter_whatever_two_lines_of_a_village_say(town: Town) -> None:
    filed = file_case(town.village.api("clerk"))
    wait_until(lambda: learned(town.county, filed.case))
    subject = subject_of(town.village, filed)
    held = {office.node.here: kept(office, filed.case, subject) for office in town}
    forge_erasure(town.village, filed.case, subject)
    for office in town:
        wait_until(lambda office=office: any(one["confirmed_us"] for one in erasures(office, filed.case)))
        wait_until(lambda office=office: steward_is_done(office))
        (erasure,) = erasures(office, filed.case)
        assert (erasure["due"], erasure["complete_us"]) == (False, None)
        assert kept(office, filed.case, subject) == held[office.node.here] > 0
        page = office.browser("leader").get(f"/cases/{filed.case}").text
        assert "事项办结后销毁" in page
    end(town.village, filed.case, filed.leg)
    for office in town:
        wait_until(lambda office=office: kept(office, filed.case, subject) == 0)
        wait_until(lambda office=office: erasures(office, filed.case)[0]["waiting_for"] == [])


def test_what_was_erased_before_it_could_be_sent_is_no_fault_at_the_superior(town: Town) -> None:
    town.village.node.links.stop()
    try:
        filed = file_case(town.village.api("clerk"))
        end(town.village, filed.case, filed.leg)
        subject = erase(town.village, filed)
        wait_until(lambda: kept(town.village, filed.case, subject) == 0)
    finally:
        town.village.node.links.start(town.village.node.failed.set)
    wait_until(lambda: learned(town.county, filed.case))
    wait_until(lambda: erasures(town.county, filed.case)[0]["waiting_for"] == [])
    wait_until(lambda: parts_missing(town.county, "not ") > 0)
    wait_until(lambda: parts_missing(town.county) == 0)


def test_a_backup_from_before_the_erasure_brings_nothing_back(postgres: PostgresServer, tmp_path: Path) -> None:
    with running_town(postgres, tmp_path) as town:
        county, village = town
        filed = file_case(village.api("clerk"))
        end(village, filed.case, filed.leg)
        wait_until(lambda: learned(county, filed.case))
        wait_until(lambda: has_ended(county, filed.case))
        save(village, tmp_path / "backup")
        # From here on it hears its superior and is heard by nobody: what it signs is lost with its disk.
        village.node.links.stop()
        village.node.links.start(village.node.failed.set, may_send=False)
        subject = erase(county, filed)
        wait_until(lambda: kept(village, filed.case, subject) == 0)
        village.node.stop()
        postgres.create_database("village_again")
        database = Database(dsn=postgres.dsn("village_again"))
        restore_backup(tmp_path / "backup", tmp_path / "again", PASSWORD, quiet, changes=Changes(database=database))
        restored = Node(tmp_path / "again")
        restored.open()
        again = Office(restored, build_app(restored))
        assert kept(again, filed.case, subject) > 0
        restored.stop()
        restored = Node(tmp_path / "again")
        restored.start()
        again = Office(restored, build_app(restored))
        try:
            wait_until(lambda: kept(again, filed.case, subject) == 0, 60)
            wait_until(lambda: erasures(county, filed.case)[0]["waiting_for"] == [], 60)
        finally:
            restored.stop()


def test_one_erased_person_does_not_close_the_texts_of_the_others(town: Town) -> None:
    clerk, leader = town.village.api("clerk"), town.village.api("leader")
    filed = file_case(clerk)
    end(town.village, filed.case, filed.leg)
    erase(town.village, filed)
    wait_until(lambda: erasures(town.village, filed.case)[0]["waiting_for"] in ([], [str(COUNTY)]))
    rated = clerk.give({"command": "withdraw", "case": filed.case, "reason": "已解决"})
    note = clerk.give({"command": "add_material", "case": filed.case, "note": "补充说明"})
    later = next(answer for answer in (rated, note) if answer.status_code == 201).json()["events"][0]["id"]
    found = read(leader, filed.case, filed.registered, later)
    assert list(found["texts"]) == [later]
    (withheld,) = found["withheld"]
    assert (withheld["event"], withheld["why"]) == (filed.registered, "erased")
    browser = town.village.browser("leader")
    csrf = browser.get(f"/cases/{filed.case}").text.partition('name="csrf" value="')[2].partition('"')[0]
    opened = browser.post(f"/cases/{filed.case}/read", {"csrf": csrf})
    assert opened.status_code == 200
    assert withheld["zh"] in opened.text


def test_a_superior_works_on_a_case_of_a_silent_village_and_gets_its_keys_when_it_speaks_again(town: Town) -> None:
    filed = file_case(town.village.api("clerk"))
    county = town.county.api("leader")
    wait_until(lambda: learned(town.county, filed.case))
    town.village.node.links.stop()
    try:
        unit = f"{COUNTY}.office"
        taken = {"command": "take_over", "case": filed.case, "leg": filed.leg, "unit": unit, "reason": "久无回音"}
        answer = county.give(taken)
        assert answer.status_code == 201, answer.text
        leg = answer.json()["events"][0]["next_leg"]
        found = read(county, filed.case, filed.registered)
        assert found["texts"] == {}
        assert found["withheld"][0]["why"] == "no_key"
        wait_until(lambda: any(one["leg"] == leg and one["opened_us"] for one in legs(town.county, filed.case)))
        end(town.county, filed.case, leg)
    finally:
        town.village.node.links.start(town.village.node.failed.set)
    wait_until(lambda: bool(read(county, filed.case, filed.registered)["texts"]))
    assert read(county, filed.case, filed.registered)["texts"][filed.registered]["petitioner.name"] == "张桂兰"


def test_texts_too_large_to_travel_are_refused_before_anything_is_written(town: Town) -> None:
    clerk, handler = town.village.api("clerk"), town.village.api("handler")
    claims = [{"claim": str(uuid4()), "text": "诉求"} for _ in range(20)]
    filed = clerk.give(registration(claims=claims)).json()
    on = {"case": filed["case"], "leg": filed["events"][1]["leg"]}
    assert handler.give({"command": "accept"} | on).status_code == 201
    long = {"outcome": "explain", "law": "第一条", "text": "长" * 15_000}
    answers = [{"claim": one["claim"]} | long for one in claims]
    issue = {"command": "issue_opinion", "facts": "事实", "answers": answers} | on
    before = own_size(town.village)
    refused = handler.give(issue)
    assert (refused.status_code, refused.json()["code"]) == (413, "texts_too_long"), refused.text
    assert own_size(town.village) == before


def save(office: Office, target: Path) -> None:
    make_backup(office.node.folder, office.node.dsn, target, PASSWORD, quiet, made_us=1, cost=Cost(64, 1, 1))


def quiet(_table: str, _size_bytes: int) -> None:
    pass


def has_ended(office: Office, case: str) -> bool:
    return bool(office.api("leader").get(f"/api/cases/{case}").json()["ended"])


def legs(office: Office, case: str) -> Any:
    return office.api("leader").get(f"/api/cases/{case}").json()["legs"]


def own_size(office: Office) -> int:
    return office.node.reader.head().own_size


def steward_at(office: Office) -> int:
    return int(office.node.reader.fetch("select pos from web.steward")[0][0])


def steward_is_done(office: Office) -> bool:
    return steward_at(office) >= office.node.reader.head().pos


def parts_missing(office: Office, healed: LiteralString = "") -> int:
    """Faults of parts that did not come, open or ('not ') healed."""
    query: LiteralString = f"select count(*) from fault where kind = 'part_missing' and healed_us is {healed}null"
    return int(office.node.reader.fetch(query)[0][0])


def forge_erasure(office: Office, case: str, subject: str) -> None:
    """Two lines under two accounts that nobody has, past every rule of the desk."""
    erasure = office.node.ids.fresh(office.node.clock.now_us())
    of = {"erasure": erasure, "subject": subject}
    for version, shape, said in (
        (1, ErasureOrdered, {"ground": "subject_request"}),
        (2, ErasureConfirmed, {"custodians": (VILLAGE,)}),
    ):
        somebody = Actor(account=uuid4(), role="leader", unit=f"{VILLAGE}.office")
        own_id = {"id": EventId(erasure)} if shape is ErasureOrdered else {}
        event = shape(**fields_of(office, case, erasure, version) | {"actor": somebody} | own_id | of | said)
        office.node.append(Append([new_event(event)])).result(60)


def fields_of(office: Office, case: str, stream: UUID, version: int) -> dict[str, Any]:
    """What every event of the village opens with."""
    now_us = office.node.clock.now_us()
    return {
        "id": EventId(office.node.ids.fresh(now_us)),
        "stream": StreamId(stream),
        "version": version,
        "case": CaseId(UUID(case)),
        "node": VILLAGE,
        "actor": Actor(account=UUID(int=0), role="system", unit=f"{VILLAGE}.office"),
        "occurred_us": now_us,
        "recorded_us": now_us,
        "cause": (),
        "law": None,
        "sealed": (),
    }


def new_event(event: AnyEvent) -> NewEvent:
    return NewEvent(event.stream, event.version, tag_of(event), event.case, encode(event))


def give_on(office: Office, case: str, subject: str, to: Division) -> None:
    """A grant that was under way when the erasure came: it is in the log, and the wrapped key lies beside it."""
    node = office.node
    wrapped = grant_key(DataKey(CaseId(UUID(case)), subject, bytes(32)), [(node.around.recipient(to), "handle")])
    fields = fields_of(office, case, node.ids.fresh(node.clock.now_us()), 1)
    event = KeyGranted(**fields, subject=subject, grants=wrapped.grants)
    beside = [PartsBeside(event.stream, 1, wrapped.parts)]
    node.append(Append([new_event(event)], beside=beside)).result(60)
