"""A village's node with another recipient key: others wrap to it from then on, and what was wrapped before opens."""

from pathlib import Path
from uuid import uuid4

import msgspec

from gateway.enrolling import enrol_child
from gateway.hosting import founding
from gateway.hosting.postgres_server import PostgresServer
from gateway.serving import shown
from sync.trust.certificates import RENEWAL_US
from tests.gateway.conftest import COUNTY, VILLAGE, Api, Office, Town, opened, running_town, wait_until
from tests.gateway.test_api import registration


def texts(api: Api, case: str) -> dict[str, str]:
    """What the registration's sealed texts say to this reader."""
    body = {"events": [case], "purpose": "handle"}
    answer = api.http.post(f"/api/cases/{case}/read", json=body, headers={"Idempotency-Key": str(uuid4())}).json()
    assert not answer["withheld"]
    return dict(answer["texts"][case])


def test_the_status_says_from_90_days_before_when_the_certificate_runs_out(town: Town) -> None:
    node = town.village.node
    own = node.links.directory().division(VILLAGE)
    assert own is not None
    ends_us = own.certificate.valid_to_us
    assert node.status().certificate_ends_us == 0
    assert founding.told_us(ends_us, ends_us - RENEWAL_US - 1) == 0
    soon = msgspec.structs.replace(node.status(), certificate_ends_us=founding.told_us(ends_us, ends_us - RENEWAL_US))
    assert "renew its certificate, which runs out on 20" in shown([soon])


def recipient_id(office: Office) -> str:
    known = office.node.links.directory().division(VILLAGE)
    assert known is not None
    return known.certificate.keys.recipient_id


def test_a_rotated_recipient_key_is_used_from_then_on_and_old_texts_still_open(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_town(postgres, tmp_path) as town:
        clerk = town.village.api("clerk")
        old = clerk.give(registration(body="换钥之前")).json()["case"]
        before = recipient_id(town.county)
        town.village.node.stop()
        request = founding.renew(tmp_path / "village", new_recipient_key=True)
        founding.install(tmp_path / "village", enrol_child(tmp_path / "county", request))
        village = opened(tmp_path / "village")
        try:
            handler = village.api("handler")
            assert texts(handler, old)["body"] == "换钥之前"
            after = recipient_id(town.county)
            assert after not in (before, "")
            assert recipient_id(village) == after == village.node._keys.recipient.key_id
            given = town.county.api("clerk").give(registration(body="换钥之后", issue_region=COUNTY)).json()
            leg = next(event["leg"] for event in given["events"] if "leg" in event)
            handed = town.county.api("clerk").give(
                {
                    "command": "hand_over",
                    "case": given["case"],
                    "leg": leg,
                    "to": f"{VILLAGE}.office",
                    "mode": "transfer",
                    "reason": "属地办理",
                }
            )
            assert handed.status_code == 201, handed.text
            granted = [grant for event in handed.json()["events"] for grant in event.get("grants", ())]
            assert [one["recipient_key"] for one in granted if one["custodian"] == VILLAGE] == [after]
            wait_until(lambda: handler.get(f"/api/cases/{given['case']}").status_code == 200)
            wait_until(lambda: texts(handler, given["case"])["body"] == "换钥之后")
        finally:
            village.node.stop()
