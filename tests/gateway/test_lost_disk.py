"""A village loses its disk, keys and all: enrolled anew it has back what the county held, and goes on."""

from pathlib import Path
from uuid import uuid4

import psycopg

from domain.events import ShardOpened, read
from gateway.hosting import config, founding
from gateway.hosting.postgres_server import PostgresServer
from gateway.node import Node
from sync.exchange.succession import ENDED
from tests.gateway.conftest import COUNTY, VILLAGE, changed, database, opened, running_town, settings, wait_until
from tests.gateway.test_api import registration
from tests.gateway.test_freezing import log, secured


def frozen(node: Node, origin: str) -> str | None:
    with psycopg.connect(node.dsn) as conn:
        query = "select frozen from tree join log on log.id = log_id where origin = %s"
        ((why,),) = conn.execute(query, (origin,)).fetchall()
        return None if why is None else str(why)


def test_a_village_without_disk_and_keys_goes_on_in_the_next_shard_with_what_its_county_held(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_town(postgres, tmp_path) as town:
        first, county = town.village.node.config.origin, town.county.node
        done = town.village.api("clerk").give(registration())
        assert done.status_code == 201, done.text
        wait_until(lambda: secured(town.village))
        held = log(county, first)
        channel = town.village.node.config.channel
        town.village.node.stop()

        name = f"again_{uuid4().hex[:8]}"
        anew = changed(settings(postgres, VILLAGE, "葛岗村", 0, COUNTY), channel=channel)
        anew = changed(anew, node=changed(anew.node, shard=2), database=config.Database(dsn=database(postgres, name)))
        request = founding.found(tmp_path / "again", anew)
        founding.install(tmp_path / "again", county.admit(request))
        again = opened(tmp_path / "again")
        try:
            wait_until(lambda: not again.node.probation.is_on and bool(log(again.node, again.node.config.origin)), 120)
            opening = read(log(again.node, again.node.config.origin)[0])
            assert isinstance(opening, ShardOpened)
            assert (opening.before, opening.size, opening.why) == (first, len(held), "lost")
            assert log(again.node, first) == held
            page = again.browser("operator").get("/node").text
            assert "磁盘丢失" in page
            assert f'<span class="number">{len(held)}</span>' in page, "up to where the shard before is back"
            wait_until(lambda: len(again.api("clerk").get("/api/cases", scope="filed").json()["cases"]) == 1, 60)
            more = again.api("clerk").give(registration())
            assert more.status_code == 201, more.text
            wait_until(lambda: secured(again), 120)
            assert log(county, again.node.config.origin) == log(again.node, again.node.config.origin)
            assert frozen(county, first) == ENDED
            numbers = {case["number"] for case in again.api("clerk").get("/api/cases", scope="filed").json()["cases"]}
            assert len(numbers) == 2, "no paper number is given twice"
            assert [fault.kind for fault in county.links.faults()] == []
        finally:
            again.node.stop()
