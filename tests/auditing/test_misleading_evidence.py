"""What somebody hands to a court who holds a true excerpt and wants another story told by it."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.auditing.telling_case import in_words
from gateway.dossier.evidence import read_evidence, read_manifest
from gateway.dossier.making import finish
from gateway.dossier.shape import (
    COVER,
    FILES,
    LINKS,
    LOGS,
    MANIFEST,
    OPENINGS,
    STEPS,
    DossierUnreadable,
    Files,
    LogLine,
    OpeningLine,
    StepLine,
    lines_of,
    read_files,
    read_lines,
    zipped,
)
from sync.proofs.policy import Group, Witness, format_policy
from sync.proofs.signed_policy import parse_either
from sync.sealed.commitment import Opening
from tests.auditing.conftest import Made
from tests.auditing.test_case_evidence import case, codes, found, opened, plain, remade, without_step, words_in
from tests.gateway.conftest import COUNTY, VILLAGE

__all__ = ["case", "opened", "plain"]


def listed_again(files: Files, **said: object) -> Files:
    """As whoever lists the files again, and makes nothing again."""
    dossier, _ = read_manifest(files)
    kept = {name: data for name, data in files.items() if name not in (FILES, MANIFEST)}
    return finish(msgspec.structs.replace(dossier, **said), kept, None)


def made_again(files: Files, **said: object) -> Files:
    """With a cover that fits."""
    dossier, _ = read_manifest(files)
    return remade(files, msgspec.structs.replace(dossier, **said), None)


@pytest.mark.parametrize("name", ["papers/0001.PDF", "Cover.pdf.html", OPENINGS])
def test_a_page_that_no_evidence_makes_is_found_even_where_list_and_cover_name_it(
    made: Made, plain: Files, tmp_path: Path, name: str
) -> None:
    forged = made_again(plain | {name: b"<h1>the court is told otherwise</h1>"})
    assert codes(found(forged, made, tmp_path)) == {"file_foreign"}


def twice(lines: list[OpeningLine]) -> list[OpeningLine]:
    """A text more in front of the true ones of the same part: the paper of that step would be addressed to it."""
    last = lines[-1]
    name = Opening(path="petitioner.name", salt=last.openings[0].salt, value="虚构之人")
    return [*lines[:-1], msgspec.structs.replace(last, openings=(name,)), last]


def withheld(lines: list[OpeningLine]) -> list[OpeningLine]:
    """A text that is said to be erased, and shown."""
    return [msgspec.structs.replace(lines[0], withheld="erased"), *lines[1:]]


@pytest.mark.parametrize("change", [twice, withheld])
def test_no_text_is_shown_that_is_not_the_one_checked(
    made: Made, opened: Files, tmp_path: Path, change: Callable[[list[OpeningLine]], list[OpeningLine]]
) -> None:
    lines = change(read_lines(opened[OPENINGS], OpeningLine))
    forged = listed_again(opened | {OPENINGS: lines_of(list(lines))})
    assert "file_unreadable" in codes(found(forged, made, tmp_path))


def test_evidence_without_a_step_is_none(made: Made, plain: Files, tmp_path: Path) -> None:
    kept = {name: data for name, data in plain.items() if not name.startswith(("events/", "papers/"))}
    assert "file_unreadable" in codes(found(listed_again(kept | {STEPS: b"", LINKS: b""}), made, tmp_path))


def test_a_log_is_named_once(made: Made, plain: Files, tmp_path: Path) -> None:
    logs = read_lines(plain[LOGS], LogLine)
    forged = listed_again(plain | {LOGS: lines_of([*logs, LogLine(logs[0].origin, has_policy=False)])})
    assert "file_unreadable" in codes(found(forged, made, tmp_path))


@pytest.mark.parametrize(
    "said", [{"name": "最高机关\n\n核验结果：完整"}, {"division": "110000000000"}, {"origin": "x/1/1"}]
)
def test_nobody_is_named_as_the_maker_whose_certificate_says_otherwise(
    made: Made, plain: Files, tmp_path: Path, said: dict[str, str]
) -> None:
    assert "maker_false" in codes(found(made_again(plain, **said), made, tmp_path))


def said_from_above(files: Files) -> Files:
    """Every step as if it had come from above, whence only what a node has to know comes."""
    steps = [msgspec.structs.replace(line, via=2) for line in read_lines(files[STEPS], StepLine)]
    return files | {STEPS: lines_of(list(steps))}


def test_a_step_left_out_in_the_middle_is_found_whatever_the_list_says_of_where_the_others_came_from(
    made: Made, plain: Files, tmp_path: Path
) -> None:
    cut = made_again(said_from_above(without_step(plain, 2)), below=False)
    assert codes(found(cut, made, tmp_path)) >= {"version_gap", "without_right"}
    village = {"division": VILLAGE, "name": "葛岗村", "origin": f"test.example/{VILLAGE}/1"}
    whole = found(made_again(said_from_above(plain), **village, below=False), made, tmp_path)
    assert codes(whole) == set()
    cut = made_again(said_from_above(without_step(plain, 2)), **village, below=False)
    assert codes(found(cut, made, tmp_path)) >= {"version_gap"}


def test_an_effect_that_is_said_to_have_been_learned_before_its_cause_is_found(
    made: Made, plain: Files, tmp_path: Path
) -> None:
    """The county opened its leg because the village had handed the matter over."""
    steps = read_lines(plain[STEPS], StepLine)
    at = next(number for number, line in enumerate(steps) if line.via == 0)
    steps = [msgspec.structs.replace(line, order=0 if n == at else n + (n < at)) for n, line in enumerate(steps)]
    assert "effect_before_cause" in codes(found(made_again(plain | {STEPS: lines_of(list(steps))}), made, tmp_path))
    steps = read_lines(plain[STEPS], StepLine)
    steps[2], steps[3] = (msgspec.structs.replace(steps[n], order=steps[5 - n].order) for n in (2, 3))
    assert "order_broken" in codes(found(made_again(plain | {STEPS: lines_of(list(steps))}), made, tmp_path))


def test_the_cover_calls_nothing_cosigned_that_lacks_a_witness_of_its_policy(
    made: Made, plain: Files, tmp_path: Path
) -> None:
    """At the root, where two outside witnesses are asked for and one has signed."""
    policy = parse_either(plain["logs/0/policy"].decode(), accept_simulated_clock=True)
    dossier, _ = read_manifest(plain)
    directory = read_evidence(dossier, plain).directory
    other = Witness("other", directory.witnesses(directory.division_of(policy.log.name) or COUNTY)[0])
    both = Group("both", 2, (policy.witnesses[0].name, other.name))
    asking = msgspec.structs.replace(policy, witnesses=(policy.witnesses[0], other), groups=(both,), quorum="both")
    files = made_again(plain | {"logs/0/policy": format_policy(asking).encode()})
    judged, evidence = found(files, made, tmp_path), read_evidence(dossier, files)
    assert judged.cosigned < judged.steps
    assert judged.cosigned == sum(any(evidence.cosigners(one)) for one in evidence.steps)


def test_the_verdict_says_what_it_does_not_cover(made: Made, plain: Files, tmp_path: Path) -> None:
    """A cover that another edition has set is compared with nothing."""
    judged = found(listed_again(plain | {COVER: b"%PDF-1.7 the court is told otherwise"}, setter="x 9"), made, tmp_path)
    assert judged.is_sound
    assert "do not rely on them" in list(in_words(judged))[-1]
    alone = msgspec.structs.replace(judged, cosigned=judged.steps - 1, findings=())
    assert list(in_words(alone))[-1].endswith("1 steps on the word of their author alone")
    whole = msgspec.structs.replace(judged, cosigned=judged.steps, findings=())
    assert list(in_words(whole))[-1].endswith("verdict: sound")


def test_the_cover_of_an_excerpt_does_not_say_that_nothing_was_left_out(plain: Files) -> None:
    said = "".join("".join(words_in(plain[COVER])).split())
    assert "各流有无断号" in said
    assert "缺失" not in said
    assert "leftout" not in said


def test_a_file_that_is_a_page_to_one_program_and_a_zip_to_another_is_refused(tmp_path: Path) -> None:
    path, packed = tmp_path / "case.zip", zipped({MANIFEST: b"x"})
    path.write_bytes(packed)
    assert read_files(path) == {MANIFEST: b"x"}
    path.write_bytes(b"<html>the court is told otherwise</html>" + packed)
    with pytest.raises(DossierUnreadable, match="before or behind"):
        read_files(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, b"x")
        archive.comment = b"<html>the court is told otherwise</html>"
    with pytest.raises(DossierUnreadable, match="before or behind"):
        read_files(path)
