"""Bundles with more leaves than one tile, more cases than memory holds, and findings that are told in words."""

import shutil
from pathlib import Path

import pytest

from bench.audit import make
from gateway.auditing.bundle import LOGS, Bundle, LogLine
from gateway.auditing.findings import Findings
from gateway.auditing.heads import Heads
from gateway.auditing.leaves import LogCheck, Tiles
from gateway.auditing.spill import BATCH_ROWS, Spill, States
from gateway.auditing.telling import in_words
from gateway.auditing.trusting import Pins
from gateway.auditing.verifying import verify_bundles
from gateway.auditing.writing import LogWriter
from sync.proofs.merkle import leaf_hash
from sync.trust.certificates import Directory
from tests.auditing.conftest import quiet
from tests.auditing.forging import audited, found

EVENTS = 6_100


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A made-up county of twenty villages with 301 leaves each, and its pin."""
    folder = tmp_path_factory.mktemp("large") / "b"
    return folder, make(folder, EVENTS)


def copied(county: tuple[Path, str], folder: Path) -> tuple[Path, Path]:
    """The bundle once more, and the folder of its second log's tiles."""
    shutil.copytree(county[0], folder)
    line = list(Bundle(folder).lines(LOGS, LogLine))[1]
    return folder, folder / f"logs/{line.folder}/tile"


def test_70_logs_of_more_than_one_tile_are_sound(county: tuple[Path, str]) -> None:
    report = audited(*county)
    assert found(report) == set()
    assert report.leaves == 4 + 20 * 301


@pytest.mark.parametrize(("tile", "index"), [("0/000", 3), ("0/001.p/45", 256 + 3), ("1/000.p/1", 0)])
def test_a_hash_that_is_false_in_any_tile_is_named_by_the_first_leaf_under_it(
    county: tuple[Path, str], tmp_path: Path, tile: str, index: int
) -> None:
    folder, tiles = copied(county, tmp_path / "b")
    path = tiles / tile
    data = bytearray(path.read_bytes())
    data[32 * (index % 256)] ^= 1
    path.write_bytes(data)
    findings = {(code, place) for code, _, place in found(audited(folder, county[1]))}
    assert ("tile_mismatch", index) in findings


def test_where_entries_are_missing_the_log_is_read_no_further(county: tuple[Path, str], tmp_path: Path) -> None:
    folder, tiles = copied(county, tmp_path / "b")
    (tiles / "entries/001.p/45").unlink()
    findings = {(code, place) for code, _, place in found(audited(folder, county[1]))}
    assert ("file_unreadable", 256) in findings
    assert not [code for code, _ in findings if code == "root_mismatch"]


def test_where_tiles_cannot_be_read_a_noted_head_is_not_called_false(county: tuple[Path, str], tmp_path: Path) -> None:
    folder, tiles = copied(county, tmp_path / "b")
    (tiles / "1/000.p/1").unlink()
    (tiles / "0/000").unlink()
    codes = {code for code, _, _ in found(audited(folder, county[1]))}
    assert "noted_otherwise" not in codes
    assert "file_unreadable" in codes


def test_tiles_of_tiles_are_compared_too(tmp_path: Path) -> None:
    """65,536 leaves fill a tile of level 1, and begin one of level 2."""
    size = 65_536 + 300
    line = LogLine("bench.example/410221000000/1", "x", size, None)
    folder = tmp_path / "logs" / "x"
    folder.mkdir(parents=True)
    writer = LogWriter(folder)
    leaves = [number.to_bytes(4) for number in range(size)]
    for leaf in leaves:
        writer.add(leaf, leaf_hash(leaf))
    writer.finish(None)
    assert sorted(path.name for path in (folder / "tile").iterdir()) == ["0", "1", "2", "entries"]

    def checked() -> dict[str, int]:
        findings = Findings()
        with Spill() as spill:
            tiles = Tiles(Bundle(tmp_path))
            LogCheck(0, line, Heads(), Directory("0" * 64), tiles, spill, findings).run(quiet)
        return {code: count for (code, _), count in findings.counts.items()}

    assert checked() == {"not_canonical": size}
    for tile in ("2/000.p/1", "1/000", "1/001.p/1"):
        path = folder / "tile" / tile
        whole = path.read_bytes()
        path.write_bytes(bytes(32) + whole[32:])
        assert checked() == {"not_canonical": size, "tile_mismatch": 1}, tile
        path.write_bytes(whole)


def test_more_cases_than_memory_holds_are_kept_all_the_same() -> None:
    with Spill() as spill:
        states = States(spill, int, in_memory=10)
        for number in range(1_000):
            states.put(number.to_bytes(16), number)
        states.put((3).to_bytes(16), -3)
        assert [states.get(number.to_bytes(16)) for number in (0, 3, 500, 999)] == [0, -3, 500, 999]
        assert states.get(bytes(15) + b"\xff\xff") is None
        for number in range(1_000):
            states.put(number.to_bytes(16), number + 1)
        assert [states.get(number.to_bytes(16)) for number in (0, 3, 500, 999)] == [1, 4, 501, 1_000]


def test_what_waits_to_be_written_is_bounded_and_there_when_it_is_asked_for() -> None:
    with Spill() as spill:
        for number in range(BATCH_ROWS + 5):
            spill.put("insert into noted values (?, ?, ?, ?, ?)", (0, number, None, 0, 0))
        assert list(spill.ask("select count(*), max(size) from noted")) == [(BATCH_ROWS + 5, BATCH_ROWS + 4)]


def test_in_words_every_kind_is_told_once_with_how_many_there_are(county: tuple[Path, str], tmp_path: Path) -> None:
    folder, tiles = copied(county, tmp_path / "b")
    for number in range(30):
        (tiles / f"extra{number}").write_text("x")
    reports, between = verify_bundles([county[0], folder], Pins(county[1]), quiet)
    said = "\n".join(in_words(reports, between))
    assert "… file_extra : 另有 10 项 / 10 more" in said
    assert "各证据包之间 / between the bundles: 0" in said
    assert "opened by" not in said
