"""What the real nodes export is sound, and says what an auditor has to know about it."""

from pathlib import Path

from tests.auditing.conftest import Made
from tests.auditing.forging import Parts, audited, found


def test_what_real_nodes_export_is_sound(made: Made) -> None:
    for folder in (made.county, made.plain, made.alone, made.village):
        report = audited(folder, made.root)
        assert found(report) == set(), folder
        assert report.is_sound
        assert report.leaves > 5


def test_a_bundle_that_was_taken_apart_and_put_together_again_is_sound(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.county)
    assert found(audited(parts.write(tmp_path / "again", made.keys.county), made.root)) == set()
