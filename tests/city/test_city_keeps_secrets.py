"""What persons wrote stands nowhere in clear, and a denunciation reaches nobody but the organ that it is for."""

import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from uuid import uuid4

import httpx2
import msgspec
import psycopg
import pytest
from psycopg import sql

from domain.divisions import Division
from gateway.demo.city import PASSWORD
from gateway.demo.scripted_day import CITY, COUNTY, GEGANG_VILLAGE, YUHUANG_VILLAGE, office
from gateway.demo.story import Denounce, MixedLetter, RateByReceipt
from tests.city.conftest import Town
from tests.city.living import Living, registration

pytestmark = [pytest.mark.city, pytest.mark.timeout(900)]

LETTER = "反映村会计虚报工程量，账页照片另附。"


def texts(town: Town) -> set[str]:
    """Everything that persons wrote on that day, and who they were."""
    commands = [one.act.command for one in town.answered]
    apart = [command.denunciation for command in commands if isinstance(command, MixedLetter)]
    found = {command.text for command in (*commands, *apart) if isinstance(command, Denounce)}
    for command in commands:
        if isinstance(command, MixedLetter):
            found.update(command.register.texts().values())
        elif not isinstance(command, Denounce | RateByReceipt):
            found.update(command.texts().values())
    return found


def pieces(text: str) -> set[str]:
    """Each of its lines, and their beginnings and ends, should it have been cut somewhere."""
    return {piece for line in text.splitlines() for piece in (line, line[:10], line[-10:])}


def spellings(text: str) -> Iterator[bytes]:
    """How a careless program may have written it."""
    plain = text.encode()
    yield plain
    yield text.encode("unicode_escape")
    yield plain.hex().encode()


def dump(dsn: str, target: Path, form: str = "binary") -> None:
    """Every column of every row of every table, the long ones unpacked, at the end of one file."""
    with psycopg.connect(dsn) as conn, target.open("ab") as file:
        tables = conn.execute(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for table in tables:
            query = sql.SQL("copy {} to stdout (format {})").format(sql.Identifier(*table), sql.SQL(form))
            with conn.cursor().copy(query) as rows:
                for data in rows:
                    file.write(data)


def found_in(folder: Path, wanted: set[bytes], scratch: Path) -> set[str]:
    """The files below `folder` in which one of `wanted` occurs."""
    patterns = scratch / f"wanted-{uuid4()}"
    patterns.write_bytes(b"\n".join(sorted(wanted)) + b"\n")
    command = ["grep", "-rlaF", "-f", str(patterns), str(folder)]
    run = subprocess.run(
        command, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=False
    )
    assert run.returncode in (0, 1), run.stderr
    return {str(Path(line).relative_to(folder)) for line in run.stdout.splitlines()}


@pytest.fixture(scope="module")
def laid_open(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every database holds, and every node's metrics, as files."""
    folder = tmp_path_factory.mktemp("laid-open")
    living = town.living
    living.settle()
    for division, member in living.members.items():
        dump(living.city.dsn(member), folder / division)
        (folder / f"{division}.metrics").write_text(httpx2.get(living.url(division, "/metrics")).text, "utf-8")
    dump(living.city.server.dsn("channel"), folder / "channel")
    return folder


def test_what_persons_wrote_stands_in_clear_in_no_table_no_metric_and_no_channel(
    town: Town, laid_open: Path, tmp_path: Path
) -> None:
    personal = texts(town)
    assert {"李保田", "13900000001", "温室大棚补贴多年未兑现"} < personal
    assert len(personal) > 60
    wanted = set(chain.from_iterable(spellings(piece) for text in personal for piece in pieces(text)))
    assert found_in(laid_open, wanted, tmp_path) == set()


def test_what_persons_wrote_stands_in_clear_in_no_file_of_the_city_logs_and_database_included(
    town: Town, tmp_path: Path
) -> None:
    with psycopg.connect(town.living.city.server.dsn(), autocommit=True) as conn:
        conn.execute("checkpoint")
    wanted = set(chain.from_iterable(spellings(piece) for text in texts(town) for piece in pieces(text)))
    assert found_in(town.living.city.folder, wanted, tmp_path) == set()


def test_the_search_for_clear_text_does_find_what_is_written_in_clear(
    living: Living, laid_open: Path, tmp_path: Path
) -> None:
    name = set(spellings(living.members[CITY].name))
    assert found_in(laid_open, name, tmp_path) >= set(living.members)
    assert any(file.startswith("postgres/") for file in found_in(living.city.folder, name, tmp_path))
    with living.person(YUHUANG_VILLAGE, "clerk") as clerk:
        done = clerk.give(registration(YUHUANG_VILLAGE, "寻找测试", living.today()))
        assert done.status_code == 201, done.text
    number = next(event["number"] for event in done.json()["events"] if "number" in event)
    living.settle()
    dump(living.city.dsn(living.members[CITY]), tmp_path / "city")
    assert found_in(tmp_path, set(spellings(number)), tmp_path.parent) == {"city"}


# --- denunciations


@pytest.fixture(scope="module")
def denounced(town: Town) -> str:
    """The id of a letter against an official of a village, typed at the county."""
    with town.living.visitor(COUNTY) as http:
        form = {
            "accused_unit": office(YUHUANG_VILLAGE),
            "text": LETTER,
            "contact": "13900000009",
        }
        done = http.post("/api/denunciations", json=form, headers={"Idempotency-Key": str(uuid4())})
    assert done.status_code == 201, done.text
    town.living.settle()
    return str(done.json()["item"])


def on_the_desk_of(living: Living, division: Division) -> set[str]:
    return {str(item) for (item,) in living.rows(division, "select item from web.organ_item")}


def place_of(living: Living, division: Division, item: str) -> str:
    """Where the node's desk would open its first leaf that bears this id; where it holds none, its very first leaf."""
    rows = living.rows(division, "select log_id, seq, body from ledger where topic = 'sealed.item.v0' order by pos")
    found = (f"/sealed/{log_id}/{seq}" for log_id, seq, body in rows if item.encode() in bytes(body))
    return next(found, "/sealed/1/0")


def sealed_items(living: Living, division: Division) -> int:
    return int(living.rows(division, "select count(*) from ledger where topic = 'sealed.item.v0'")[0][0])


def test_a_letter_against_a_village_official_waits_on_the_desk_of_the_managing_organ_alone(
    living: Living, denounced: str
) -> None:
    assert [one for one in living.members if denounced in on_the_desk_of(living, one)] == [COUNTY]


def test_a_letter_may_be_typed_in_any_village_and_waits_on_the_same_desk(living: Living) -> None:
    with living.visitor(GEGANG_VILLAGE) as http:
        form = {"accused_unit": office(YUHUANG_VILLAGE), "text": LETTER}
        done = http.post("/api/denunciations", json=form, headers={"Idempotency-Key": str(uuid4())})
    assert done.status_code == 201, done.text
    living.settle()
    assert [one for one in living.members if done.json()["item"] in on_the_desk_of(living, one)] == [COUNTY]


def test_not_a_row_of_it_reaches_the_nodes_below(living: Living, denounced: str, tmp_path: Path) -> None:
    query = (
        "select ledger.body, beside.body from ledger join beside using (log_id, seq)"
        " where topic = 'sealed.item.v0' and position(convert_to(%s, 'UTF8') in ledger.body) > 0"
    )
    ((body, ciphertext),) = living.rows(COUNTY, query, denounced)
    event = msgspec.json.decode(body)
    marks = {denounced.encode(), event["id"].encode(), event["ciphertext"].encode(), ciphertext[:24].hex().encode()}
    for division in (COUNTY, *living.below(COUNTY)):
        for form in ("text", "binary"):  # ids as people write them, and the bytes of events as they are
            dump(living.city.dsn(living.members[division]), tmp_path / division, form)
    assert found_in(tmp_path, marks, tmp_path.parent) == {COUNTY}


def test_its_leaf_tells_neither_kind_nor_organ_and_its_size_nothing(living: Living, denounced: str) -> None:
    letters = living.rows(
        CITY, "select ledger.body, octet_length(beside.body) from ledger join beside using (log_id, seq)"
        " where topic = 'sealed.item.v0' and part = 0",
    )  # fmt: skip
    assert len(letters) > 2, "those of the day are there too"
    assert {size for _, size in letters} == {64 * 1024}
    assert len({len(body) for body, _ in letters}) == 1
    of_others = [body for body, _ in letters if f'"node":"{YUHUANG_VILLAGE}"'.encode() not in body]
    assert of_others, "what the village itself wrote are decoys, and name it as their author"
    assert not [body for body in of_others if office(YUHUANG_VILLAGE).encode() in body]


def test_only_the_appointed_person_opens_it_and_the_opening_is_recorded_as_quietly(
    living: Living, denounced: str
) -> None:
    before, waiting = sealed_items(living, COUNTY), on_the_desk_of(living, COUNTY)
    own = {"origin": living.url(COUNTY), "sec-fetch-site": "same-origin"}
    for login, wanted in (("leader", 404), ("supervisor", 404), ("auditor", 404), ("discipline", 200)):
        with living.visitor(COUNTY) as http:
            signed_in = http.post("/login", data={"login": login, "password": PASSWORD}, headers=own)
            assert signed_in.status_code == 303, signed_in.text
            listed = http.get("/sealed")
            assert listed.status_code == wanted, login
            assert (denounced in listed.text) == (wanted == 200)
            csrf = listed.text.partition('name="csrf" value="')[2].partition('"')[0]
            opened = http.post(place_of(living, COUNTY, denounced), data={"csrf": csrf}, headers=own)
            if wanted == 200:
                assert opened.status_code == 200, opened.text
                assert "反映村会计虚报工程量" in opened.text
            else:
                assert opened.status_code in (403, 404)
                assert "反映村会计" not in opened.text
    living.settle()
    assert sealed_items(living, COUNTY) > before, "a note, sealed like the letter itself"
    assert on_the_desk_of(living, COUNTY) == waiting, "but no letter"


def test_the_organs_above_and_below_hold_a_letter_that_their_own_desks_cannot_open(
    living: Living, denounced: str
) -> None:
    for division in (CITY, GEGANG_VILLAGE):
        own = {"origin": living.url(division), "sec-fetch-site": "same-origin"}
        with living.visitor(division) as http:
            http.post("/login", data={"login": "discipline", "password": PASSWORD}, headers=own)
            listed = http.get("/sealed")
            assert listed.status_code == 200
            assert denounced not in listed.text
            csrf = http.get("/duties").text.partition('name="csrf" value="')[2].partition('"')[0]
            opened = http.post(place_of(living, division, denounced), data={"csrf": csrf}, headers=own)
            assert opened.status_code == 404, opened.text
