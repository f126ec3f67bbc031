"""What has an office make each of its durable writes."""

import os
import signal
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from domain.divisions import Division, tier_of
from gateway.hosting import founding
from gateway.hosting.config import ChannelEnd, Channels, Database, Identity, NodeConfig
from tests.city.living import huiyin
from tests.crash.history import History
from tests.crash.offices import COUNTY, PASSWORD, VILLAGE, Name, Offices, wait_until

Deed = Callable[[Offices, History], object]


def registration(title: str = "大棚补偿") -> dict[str, Any]:
    """A small matter."""
    return {
        "command": "register",
        "channel": "visit",
        "matter_class": "claim_petition",
        "category": "020000",
        "issue_region": VILLAGE,
        "received_on": "2026-03-02",
        "petitioner": {"name": "张桂兰", "phone": "13900000000"},
        "title": title,
        "body": "修路占用大棚。",
        "claims": [{"claim": str(uuid4()), "text": "补偿大棚"}],
    }


def register(offices: Offices, history: History, name: Name = "village") -> dict[str, Any]:
    """A matter registered: the answer."""
    return history.give(name, "clerk", registration())


def register_at_county(offices: Offices, history: History) -> dict[str, Any]:
    """The same at the county."""
    return register(offices, history, "county")


def register_without_database(offices: Offices, history: History) -> dict[str, Any]:
    """The same at the village, whose database has just died under it."""
    pid = int((offices.village.folder / "postgres" / "data" / "postmaster.pid").read_text("ascii").split()[0])
    os.kill(pid, signal.SIGKILL)
    return register(offices, history)


def case_and_leg(answer: dict[str, Any]) -> dict[str, str]:
    """What a command about the matter names."""
    return {"case": answer["case"], "leg": next(event["leg"] for event in answer["events"] if "leg" in event)}


def open_account(offices: Offices, history: History) -> None:
    """An operator opens an account, and whoever it is for signs in; asked again, the login is taken."""
    login = f"clerk{uuid4().hex[:8]}"
    new = {"login": login, "name": "新人", "password": PASSWORD, "role": "clerk", "unit": f"{VILLAGE}.office"}
    status = offices.ask("village", "operator", "/api/admin/accounts", new)
    assert status in {201, 409}, status
    assert offices.ask("village", "operator", "/api/admin/accounts", new) == 409
    offices.sign_in("village", login)


def sign_in(offices: Offices, history: History) -> None:
    """Somebody signs in at the village."""
    offices.sign_in("village", "leader")


def erase(offices: Offices, history: History) -> None:
    """A matter that has ended is erased by two persons; every custodian destroys."""
    registered = register(offices, history)
    on = case_and_leg(registered)
    subject = registered["events"][0]["sealed"][0]["subject"]
    history.give("village", "handler", {"command": "accept"} | on)
    history.give("village", "handler", {"command": "close", "ending": "agreement"} | on)
    order = {"command": "order_erasure", "case": on["case"], "subject": subject, "ground": "subject_request"}
    (ordered,) = history.give("village", "leader", order)["events"]
    confirm = {"command": "confirm_erasure", "case": on["case"], "erasure": ordered["erasure"]}
    history.give("village", "supervisor", confirm)

    def is_complete() -> bool:
        erasures = offices.get("county", "leader", f"/api/cases/{on['case']}")["erasures"]
        return bool(erasures) and erasures[0]["waiting_for"] == []

    wait_until(is_complete, "the erasure is signed by every custodian")
    for name in ("county", "village"):
        query = (
            "select count(*) from ledger join beside using (log_id, seq)"
            " where case_id = %s and position(%s in convert_from(ledger.body, 'UTF8')) > 0"
        )
        with offices.database(name) as conn:
            assert conn.execute(query, (on["case"], subject)).fetchone() == (0,), f"something is left at {name}"


def send_letter(offices: Offices, history: History) -> None:
    """A sealed letter about the village is filed there and comes to the desk of the county."""
    before = letters(offices)
    letter = {"accused_unit": f"{VILLAGE}.office", "text": "一封密件"}
    key = str(uuid4())
    first = offices.visit("village", "/api/denunciations", letter, key)
    wait_until(lambda: letters(offices) == before + 1, "the letter is on the desk")
    assert offices.visit("village", "/api/denunciations", letter, key) == first


def letters(offices: Offices) -> int:
    """How many letters lie on the county's desk."""
    with offices.database("county") as conn:
        ((count,),) = conn.execute("select count(*) from web.organ_item").fetchall()
    return int(count)


def hand_down(offices: Offices, history: History) -> None:
    """The county hands a matter down; the village opens the leg by itself, and then objects."""
    on = case_and_leg(register(offices, history, "county"))
    to = {"command": "hand_over", "to": f"{VILLAGE}.office", "mode": "transfer", "reason": "属地办理"}
    handed = history.give("county", "handler", to | on)
    leg = next(event["next_leg"] for event in handed["events"] if "next_leg" in event)

    def is_open() -> bool:
        with offices.database("village") as conn:
            query = "select count(*) from ledger where via = 0 and topic = 'leg.opened.v0' and case_id = %s"
            return conn.execute(query, (on["case"],)).fetchone() == (1,)

    wait_until(is_open, "the village opens the leg")
    history.give("village", "handler", {"command": "object", "case": on["case"], "leg": leg, "reason": "不归本村"})

    def is_watched() -> bool:
        with offices.database("village") as conn:
            return conn.execute("select 1 from web.objection_watch where case_id = %s", (on["case"],)).rowcount == 1

    wait_until(is_watched, "the village knows when its objection ends")


def enrol(offices: Offices, history: History) -> None:
    """A new village is enrolled by the command line while the county runs; asked again, it is given the same."""
    with offices.database("county") as conn:
        ((number,),) = conn.execute("select count(*) from certificate").fetchall()
    division = Division(f"410221100{202 + number}")
    folder = offices.folder / division
    settings = NodeConfig(
        node=Identity(
            division=division, name="新村", tier=tier_of(division), trust_domain="test.example", parent=COUNTY
        ),
        channel=Channels(up=ChannelEnd(dsn=offices.dsn("county"))),
        database=Database(dsn="unused"),
    )
    founding.found(folder, settings)
    request, bundle = folder / founding.REQUEST, folder / "bundle.json"
    asked = ("node", "enrol", str(offices.county.folder), "--request", str(request), "--out", str(bundle))

    def is_granted() -> bool:
        return huiyin(*asked).returncode == 0

    wait_until(is_granted, "the county signs")
    first = bundle.read_bytes()
    assert is_granted()
    assert bundle.read_bytes() == first
    founding.install_from(folder, bundle)
    with offices.database("county") as conn:
        query = (
            "select count(*) from ledger where topic = 'node.enrolled.v0' and via = 0"
            " and position(%s in convert_from(body, 'UTF8')) > 0"
        )
        assert conn.execute(query, (division,)).fetchone() == (1,), "enrolled once"


def start_village(offices: Offices, history: History) -> None:
    """The village is stopped and started."""
    offices.restart("village")


def start_with_older(view: str) -> Deed:
    """The village is stopped, and started by a program that folds this view otherwise than the one before."""

    def deed(offices: Offices, history: History) -> None:
        offices.village.stop()
        with offices.stopped_database("village") as conn:
            conn.execute("update views.position set shape = 'of an older program' where projection = %s", (view,))
        offices.village.start()

    return deed


def freeze(offices: Offices, history: History) -> None:
    """The village's year ends: its log goes on in the next shard."""
    register(offices, history)
    offices.village.stop()
    offices.village.insist("node", "freeze", str(offices.village.folder))
    offices.village.start()
    offices.wait_until_ready()
    register(offices, history)


def lose_disk(offices: Offices, history: History) -> None:
    """The village loses its disk once everything of it is above, and has it all back.

    Which commands it had been given is lost with the disk: they are repeated before.
    """
    register(offices, history)
    history.check()
    shard = offices.lose_disk()

    def is_opened() -> bool:
        with offices.database("village") as conn:
            query = "select 1 from ledger join log on log.id = log_id where origin like %s limit 1"
            return conn.execute(query, (f"%/{VILLAGE}/{shard}",)).rowcount == 1

    wait_until(is_opened, "the village has its own back and goes on")
    register(offices, history)


def open_escrow(offices: Offices, history: History) -> None:
    """The village is gone with the key of a matter; the county takes over, and two officers give it the key."""
    registered = register(offices, history)
    on = case_and_leg(registered)
    history.settle()
    offices.village.stop()
    try:
        history.give(
            "county", "leader", {"command": "take_over", "unit": f"{COUNTY}.office", "reason": "村节点损毁"} | on
        )
        _open_escrow(offices, on["case"])
    finally:
        offices.village.start()


def _open_escrow(offices: Offices, case: str) -> None:
    request, *approvals = (offices.folder / f"{case}.{what}" for what in ("request", "first", "second"))
    asked = ("--case", case, "--ground", "holder_gone", "--by", "supervisor", "--out", str(request))
    county = str(offices.county.folder)
    wait_until(lambda: ended("escrow", "request", county, *asked) == 0, "the escrow is asked")
    for holder, out in zip(("first", "second"), approvals, strict=True):
        share = offices.county.folder / f"escrow-share-{holder}.json"
        assert ended("escrow", "approve", str(request), "--share", str(share), "--out", str(out)) == 0
    given = [word for out in approvals for word in ("--approval", str(out))]
    wait_until(lambda: ended("escrow", "open", county, *given) == 0 or _is_granted(offices, case), "it is opened")
    assert _is_granted(offices, case)


def ended(*words: str) -> int:
    """With what exit code a command ends."""
    return huiyin(*words).returncode


def _is_granted(offices: Offices, case: str) -> bool:
    """Whether the county has opened the escrow for this matter, once, and has then given itself the key, once."""
    query = "select topic from ledger where via = 0 and case_id = %s order by pos"
    with offices.database("county") as conn:
        topics = [topic for (topic,) in conn.execute(query, (case,))]
    opened = topics.index("escrow.opened.v0") if "escrow.opened.v0" in topics else len(topics)
    return (topics[opened:].count("escrow.opened.v0"), topics[opened:].count("key.granted.v0")) == (1, 1)
