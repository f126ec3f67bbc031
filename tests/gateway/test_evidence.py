"""What a lie leaves on a running node: on its page, as a file for auditor and operator, and judged by a stranger."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.__main__ import app
from gateway.evidencing import judge_file, list_evidence
from gateway.hosting import founding
from gateway.hosting.postgres_server import PostgresServer
from sync.exchange.channel import up_lane
from sync.exchange.channel_postgres import PostgresChannel
from sync.exchange.evidence import name_of
from sync.exchange.wire import Frame, encode
from sync.ledger.reader import Reader
from sync.proofs.merkle import Frontier, leaf_hash
from sync.proofs.note import Checkpoint, sign_note
from sync.trust.keys import load_keys
from tests.gateway.conftest import VILLAGE, Office, Town, running_town, wait_until


@pytest.fixture(scope="module")
def town(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A county, and a village that has signed two histories of its log before anybody asks."""
    folder = tmp_path_factory.mktemp("lied")
    with running_town(postgres, folder) as both:
        wait_until(lambda: both.village.node.status().lag == 0)
        lie(both.village, folder / "village")
        wait_until(lambda: bool(both.county.node.links.faults()))
        yield both


def lie(village: Office, folder: Path) -> None:
    """Another first leaf, signed with the village's true key."""
    origin = village.node.links.exchange.station.origin
    reader = Reader(village.node.dsn, max_connections=1)
    leaves = [row.body for row in reader.read(0, 1_000) if row.via == 0]
    reader.close()
    other = [leaves[0].replace(b"node.opened.v0", b"node.opened.v1"), *leaves[1:]]
    frontier, _ = Frontier().extend([leaf_hash(leaf) for leaf in other])
    text = Checkpoint(origin, frontier.size, frontier.root()).text()
    note = sign_note(text, load_keys(folder / founding.KEYS).log).to_bytes().decode()
    channel = PostgresChannel(village.node.config.channel.up.dsn)  # type: ignore[union-attr]
    channel.publish(up_lane(VILLAGE), [encode(Frame(origin, 0, note, other, []))])
    channel.close()


def subject(town: Town) -> str:
    return town.village.node.links.exchange.station.origin


def test_the_page_of_the_county_shows_which_child_lied_and_gives_the_evidence_to_those_who_may(town: Town) -> None:
    page = town.county.browser("operator").get("/node").text
    assert "签署了两份历史，已停收" in page
    assert "fork" in page
    assert subject(town) in page
    link = page.partition('href="/node/evidence?')[2].partition('"')[0].replace("&amp;", "&")
    for role in ("operator", "auditor"):
        given = town.county.browser(role).get(f"/node/evidence?{link}")
        assert given.status_code == 200
        assert name_of("fork", subject(town)) in given.headers["content-disposition"]
    told = judge_file(given.content, root(town), [])
    assert told.exit_code == 0
    assert told.text.startswith(f"已证实：{subject(town)} ")


def test_who_may_not_take_evidence_is_refused_and_what_is_not_kept_is_not_found(town: Town) -> None:
    query = f"/node/evidence?kind=fork&subject={subject(town)}"
    assert town.county.client().get(query).status_code in (303, 401)
    assert town.county.browser("clerk").get(query).status_code == 403
    assert 'href="/node/evidence' not in town.county.browser("clerk").get("/node").text
    assert town.county.browser("auditor").get("/node/evidence?kind=fork&subject=nothing").status_code == 404


def test_evidence_leaves_the_node_by_command_and_convicts_for_a_stranger_with_the_pin(
    town: Town, tmp_path: Path
) -> None:
    county = town.county.node.folder
    (line,) = list_evidence(county, tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    assert file.name in line
    assert f"定责 / convicts: {subject(town)}" in line
    run = CliRunner().invoke(app, ["verify", "evidence", str(file), "--root", root(town)])
    assert (run.exit_code, run.stdout.split("：")[0]) == (0, "已证实")


def test_the_commands_exit_tells_a_proof_from_a_trace_and_both_from_what_cannot_be_read(
    town: Town, tmp_path: Path
) -> None:
    data = town.county.node.links.evidence("fork", subject(town))
    assert data is not None
    said = json.loads(data)
    changed = {
        "other root": (data, "0" * 64),
        "no contradiction": (json.dumps(said | {"evidence": "AAAA"}).encode(), root(town)),
        "no certificates": (json.dumps(said | {"certificates": []}).encode(), root(town)),
    }
    for told in (judge_file(*given, []) for given in changed.values()):
        assert told.exit_code == 1
        assert told.text.startswith("不能定责：")
    for name, spoilt in {"half": data[:-9], "other": b"[]", "more": json.dumps(said | {"x": 1}).encode()}.items():
        (tmp_path / name).write_bytes(spoilt)
        run = CliRunner().invoke(app, ["verify", "evidence", str(tmp_path / name), "--root", root(town)])
        assert run.exit_code == 2, name
    assert CliRunner().invoke(app, ["verify", "evidence", str(tmp_path / "none"), "--root", root(town)]).exit_code == 2
    assert CliRunner().invoke(app, ["verify", "evidence", str(tmp_path / "half")]).exit_code == 2
    assert CliRunner().invoke(app, ["verify", "evidence", str(tmp_path / "half"), "--root", "x"]).exit_code == 2


def test_evidence_is_judged_by_a_published_policy_as_well(town: Town) -> None:
    data = town.county.node.links.evidence("fork", subject(town))
    assert data is not None
    published = town.village.client().get("/policy").text
    assert judge_file(data, None, [published]).exit_code == 0
    assert judge_file(data, None, [town.county.client().get("/policy").text]).exit_code == 1


def test_what_a_file_of_evidence_says_of_itself_moves_no_cursor(town: Town) -> None:
    data = town.county.node.links.evidence("fork", subject(town))
    assert data is not None
    hostile = json.loads(data) | {"detail": "\x1b[2J\u202e", "kind": "\x07", "by": "\r"}
    assert all(
        sign.isprintable() or sign == "\n" for sign in judge_file(json.dumps(hostile).encode(), root(town), []).text
    )


def root(town: Town) -> str:
    return town.county.node.links.exchange.trust.directory.root_fingerprint
