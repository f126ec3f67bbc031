"""Two bundles of two tiers: what one of them hides, cuts or tells otherwise, the other one shows."""

from pathlib import Path

import msgspec

from gateway.auditing.trusting import Pins
from gateway.auditing.verifying import verify_bundles
from tests.auditing.conftest import Made, quiet
from tests.auditing.forging import Parts
from tests.gateway.conftest import COUNTY, VILLAGE


def between(made: Made, *folders: Path) -> set[tuple[str, str, int | None]]:
    """What the bundles tell differently."""
    _, findings = verify_bundles(folders, Pins(made.root), quiet)
    return {(one.code, one.log.split("/")[1], one.index) for one in findings}


def test_bundles_of_two_tiers_agree(made: Made) -> None:
    assert between(made, made.county, made.village) == set()
    assert between(made, made.village, made.county) == set()
    assert between(made, made.plain, made.county, made.alone) == set(), "earlier ones, and parts, are no other history"


def test_two_histories_of_one_log_are_found_at_the_first_leaf_that_differs(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.village)
    log = parts.log(VILLAGE)
    log.leaves[5], log.leaves[6] = log.leaves[6], log.leaves[5]
    parts.sign_again(log, made.keys)
    other = parts.write(tmp_path / "other", made.keys.log(log.line.origin))
    assert between(made, made.county, other) == {("split_view", VILLAGE, 5)}


def later_county(made: Made, folder: Path, parts: Parts) -> Path:
    """The county's bundle, which says that it was made long after the village's."""
    made_us = parts.manifest.made_us + 3_600_000_000
    parts.manifest = msgspec.structs.replace(parts.manifest, made_us=made_us)
    return parts.write(folder, made.keys.county)


def test_66_a_village_that_the_county_hides_is_found_by_the_countys_own_cosignature(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.county)
    number = parts.number(VILLAGE)
    parts.order = [run for run in parts.order if run.log != number]
    parts.openings = [line for line in parts.openings if line.log != number]
    log = parts.log(VILLAGE)
    log.line = msgspec.structs.replace(log.line, folder=None, size=0)
    folder = later_county(made, tmp_path / "hidden", parts)
    assert between(made, folder, made.village) == {("log_hidden", VILLAGE, None)}


def test_a_village_that_the_county_froze_is_found_by_the_countys_own_cosignature(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.county)
    log = parts.log(VILLAGE)
    log.heads = log.heads[:1]
    (size,) = log.sizes()
    del log.leaves[size:]
    log.newest = log.heads[0]
    parts.reorder()
    folder = later_county(made, tmp_path / "frozen", parts)
    assert between(made, made.village, folder) == {("log_cut", VILLAGE, size)}


def test_a_cosignature_given_after_the_other_bundle_was_made_is_no_reproach(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.county)
    log = parts.log(VILLAGE)
    log.heads = log.heads[:1]
    (size,) = log.sizes()
    del log.leaves[size:]
    log.newest = log.heads[0]
    parts.reorder()
    parts.manifest = msgspec.structs.replace(parts.manifest, made_us=1)
    folder = parts.write(tmp_path / "early", made.keys.county)
    assert between(made, made.village, folder) == set()


def test_of_a_bundle_whose_heads_cannot_be_read_nothing_is_concluded_about_others(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.village)
    parts.log(VILLAGE).heads[:0] = ["no note"]
    folder = parts.write(tmp_path / "spoiled", made.keys.log(parts.log(VILLAGE).line.origin))
    assert between(made, made.county, folder) == set()
    parts.log(COUNTY)
