"""A village whose township is dead is placed below the county while it holds a case, and nothing is lost."""

from pathlib import Path

import msgspec
import pytest

from domain.divisions import Division
from gateway.casework.orders import Move, TakeBack
from gateway.enrolling import RequestRefused, enrol_child, move, take_back
from gateway.hosting import config, founding
from gateway.hosting.founding import BundleInvalid, ChannelNeeded
from gateway.hosting.postgres_server import PostgresServer
from sync.proofs.receipt import verify_receipt
from tests.gateway.conftest import COUNTY, changed, database, opened, running_town, settings, wait_until
from tests.gateway.test_rotation import filed, proof, secured

TOWNSHIP, NEIGHBOUR = Division("410221100000"), Division("410221100202")


def test_a_village_below_a_dead_township_is_placed_below_the_county_with_its_open_case(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_town(postgres, tmp_path) as town:
        dead = changed(
            settings(postgres, TOWNSHIP, "葛岗镇", 901, COUNTY),
            channel=config.Channels(up=config.ChannelEnd(dsn=database(postgres, "channel_901"))),
        )
        founding.install(tmp_path / "dead", enrol_child(tmp_path / "county", founding.found(tmp_path / "dead", dead)))
        nowhere = config.ChannelEnd(dsn=database(postgres, "channel_902"))
        lonely = changed(settings(postgres, NEIGHBOUR, "小岗村", 902, TOWNSHIP), channel=config.Channels(up=nowhere))
        request = founding.found(tmp_path / "lonely", lonely)
        founding.install(tmp_path / "lonely", enrol_child(tmp_path / "county", request))
        office = opened(tmp_path / "lonely")
        case = filed(office)
        assert not secured(office), "nobody hears it"
        office.node.stop()

        with pytest.raises(RequestRefused, match="placed elsewhere"):
            take_back(tmp_path / "county", TakeBack(TOWNSHIP, "abolished", COUNTY))
        given = move(tmp_path / "county", Move(NEIGHBOUR, COUNTY))
        assert move(tmp_path / "county", Move(NEIGHBOUR, COUNTY)) == given, "asked again, the same"
        bundle = tmp_path / "bundle.json"
        bundle.write_bytes(msgspec.json.encode(given))
        assert founding.is_elsewhere(tmp_path / "lonely", bundle)
        with pytest.raises(ChannelNeeded):
            founding.install_elsewhere(tmp_path / "lonely", bundle, "")
        with pytest.raises(BundleInvalid):
            founding.install_elsewhere(tmp_path / "village", bundle, "x")
        channel = config.load(tmp_path / "county").channel.down
        assert channel is not None
        founding.install_elsewhere(tmp_path / "lonely", bundle, channel.dsn)
        assert config.load(tmp_path / "lonely").node.parent == COUNTY

        office = opened(tmp_path / "lonely")
        try:
            wait_until(lambda: secured(office))
            assert verify_receipt(proof(office, case), office.node.policy()).leaf
            reader = town.county.api("leader")
            wait_until(lambda: reader.get(f"/api/cases/{case}").status_code == 200)
            take_back(tmp_path / "county", TakeBack(TOWNSHIP, "abolished", COUNTY))
            assert town.county.node.links.directory().revocation(TOWNSHIP) is not None
            assert not town.county.node.around.is_known(TOWNSHIP), "nothing is sealed to it any more"
            assert f"{TOWNSHIP}.office" not in dict(town.county.node.around.units()), "and nothing is handed to it"
            supervisor = town.county.api("supervisor")
            assert TOWNSHIP in supervisor.get("/api/board").json()["ended"]
            assert "密钥已收回" in town.county.browser("supervisor").get("/board").text
            filed(office)
            wait_until(lambda: secured(office))
        finally:
            office.node.stop()
