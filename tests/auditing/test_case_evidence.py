"""The evidence of one case: whoever pins the root checks all of it, and nothing in it can be altered."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from uuid import UUID

import msgspec
import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.events import Accepted, read
from gateway.__main__ import main
from gateway.auditing.bundle import BundleUnreadable
from gateway.auditing.excerpting import OpeningsAbsent, excerpt
from gateway.auditing.judging import Judged, judge
from gateway.auditing.trusting import Pins
from gateway.dossier.deriving import _ticked, derive
from gateway.dossier.evidence import read_evidence, read_manifest
from gateway.dossier.making import NothingProven, finish
from gateway.dossier.setting import set_pdf
from gateway.dossier.shape import (
    COVER,
    FILES,
    LINKS,
    MANIFEST,
    OPENINGS,
    README,
    STEPS,
    Dossier,
    DossierUnreadable,
    Files,
    LinkLine,
    OpeningLine,
    StepLine,
    event_file,
    lines_of,
    read_files,
    read_lines,
    zipped,
)
from sync.proofs.note import parse_note, sign_note
from sync.proofs.tlog_proof import parse_tlog_proof
from tests.auditing.conftest import Made
from tests.auditing.forging import Parts
from tests.auditing.test_hostile_bundles import spoiled
from tests.auditing.test_replay import handed_up

Change = Callable[[Files], None]


@pytest.fixture(scope="module")
def case(made: Made) -> UUID:
    return handed_up(made.county)


@pytest.fixture(scope="module")
def plain(made: Made, case: UUID) -> Files:
    return excerpt(made.county, case, with_texts=False)


@pytest.fixture(scope="module")
def opened(made: Made, case: UUID) -> Files:
    return excerpt(made.county, case, with_texts=True)


@pytest.fixture(scope="module")
def signed(made: Made, opened: Files) -> Files:
    """As the county itself makes it."""
    return resigned(made, opened)


def resigned(made: Made, files: Files) -> Files:
    """With a list and a manifest that fit, signed with the county's key."""
    dossier, _ = read_manifest(files)
    dossier = msgspec.structs.replace(dossier, excerpt_of=None)
    return remade(files, dossier, lambda text: sign_note(text, made.keys.county))


def remade(files: Files, dossier: Dossier, sign: Callable[[str], object] | None) -> Files:
    """As whoever lists every file again, and makes what is made from the evidence again, too, where that can be."""
    kept = {name: data for name, data in files.items() if name not in (FILES, MANIFEST)}
    basis = {name: data for name, data in kept.items() if not name.endswith((".pdf", ".json", ".txt"))}
    made = derive(read_evidence(dossier, basis), basis)
    return finish(dossier, basis | made, sign)  # type: ignore[arg-type]


def found(files: Files, made: Made, tmp_path: Path, *, against: Path | None = None) -> Judged:
    path = tmp_path / "case.zip"
    path.write_bytes(zipped(files))
    return judge(path, Pins(made.root), against)


def codes(judged: Judged) -> set[str]:
    return {one.code for one in judged.findings if one.severity != "notice"}


def test_the_evidence_that_a_node_signs_is_sound_from_the_root_alone(made: Made, signed: Files, tmp_path: Path) -> None:
    judged = found(signed, made, tmp_path)
    assert codes(judged) == set()
    assert judged.steps >= 8
    assert judged.cosigned >= judged.steps - 1, "that the texts were read was recorded last, perhaps not cosigned yet"
    assert "excerpt" not in {one.code for one in judged.findings}


def test_an_excerpt_is_proven_step_by_step_and_says_that_it_is_one(made: Made, plain: Files, tmp_path: Path) -> None:
    judged = found(plain, made, tmp_path)
    assert judged.is_sound
    assert "excerpt" in {one.code for one in judged.findings}
    compared = found(plain, made, tmp_path, against=made.county)
    assert compared.is_sound


def test_the_same_case_out_of_the_same_bundle_is_the_same_bytes(made: Made, case: UUID, plain: Files) -> None:
    assert zipped(excerpt(made.county, case, with_texts=False)) == zipped(plain)


def test_a_folder_is_as_good_as_the_zip(made: Made, plain: Files, tmp_path: Path) -> None:
    with zipfile.ZipFile(BytesIO(zipped(plain))) as archive:
        archive.extractall(tmp_path / "folder")
    assert judge(tmp_path / "folder", Pins(made.root)).is_sound


def test_what_is_sealed_stands_in_it_only_where_it_was_asked_for(plain: Files, opened: Files) -> None:
    said = "张桂兰"
    assert not any(said.encode() in data for data in plain.values())
    assert said not in "".join(words_in(plain[COVER]))
    assert said in "".join(words_in(opened[COVER]))
    assert any(said.encode() in data for data in opened.values())


def words_in(pdf: bytes) -> list[str]:
    """The text of each page."""
    document = pypdfium2.PdfDocument(pdf)
    return [page.get_textpage().get_text_range() for page in document]


def test_the_cover_tells_the_case_in_chinese_with_the_hash_of_every_file(made: Made, case: UUID, signed: Files) -> None:
    text = "".join("".join(words_in(signed[COVER])).split())
    for said in (
        "卷宗封面",
        "案号",
        "登记日期",
        "杞县信访局",
        "葛岗村",
        "转送或交办",
        "大棚补偿",
        made.root,
        str(case),
    ):
        assert said in text, said
    for name, data in signed.items():
        if name not in (COVER, FILES, MANIFEST):
            assert sha256(data).hexdigest() in text, name


def test_what_the_fonts_cannot_show_is_named_by_its_number_and_nothing_turns_the_text_around() -> None:
    said = {"title": "函", "number": "", "addressee": "张𠮷\u202e\x1b[2J", "rows": [], "sections": [], "remedy": ""}
    pdf = set_pdf("paper", said | {"seal_of": "", "issued_on": "", "check": ""}, 0)
    assert "张［U+20BB7］［U+202E］［U+001B］[2J" in "".join(words_in(pdf))


def test_the_ground_that_was_chosen_can_be_told_from_the_others(made: Made) -> None:
    """The fonts have no ticked box: as one empty box and another, every ground would look the same."""
    assert _ticked("☑ 不属于") == "【√】 不属于"
    assert _ticked("☐ 已终结") == "【　】 已终结"
    said = {"title": "", "number": "", "addressee": "", "rows": [], "remedy": "", "seal_of": "", "issued_on": ""}
    paragraphs = [_ticked("☑ 甲"), _ticked("☐ 乙")]
    pdf = set_pdf("paper", said | {"check": "", "sections": [{"heading": "依据", "paragraphs": paragraphs}]}, 0)
    assert "【√】" in "".join(words_in(pdf))
    assert "U+" not in "".join(words_in(pdf))


def test_words_are_never_read_as_markup() -> None:
    said = {"title": "#panic()", "number": "$x$", "addressee": "*a* `b` \\ //", "rows": [["#1", "= 2"]], "sections": []}
    pdf = set_pdf("paper", said | {"remedy": "", "seal_of": "", "issued_on": "", "check": ""}, 0)
    text = "".join(words_in(pdf))
    assert "#panic()" in text
    assert "*a* `b`" in text


def test_each_proof_is_a_tlog_proof_of_the_leaf_beside_it(signed: Files) -> None:
    steps = read_lines(signed[STEPS], StepLine)
    for number, line in enumerate(steps, 1):
        proof = parse_tlog_proof(signed[event_file(number, "tlog-proof")])
        assert (proof.extra, proof.index) == (signed[event_file(number, "leaf")], line.seq)


def test_any_file_with_a_byte_turned_or_gone_is_found(made: Made, signed: Files, tmp_path: Path) -> None:
    for number, name in enumerate(sorted(signed)):
        data = signed[name]
        at = len(data) * (number % 7) // 7
        altered = data[:-1] if number % 3 == 0 else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            assert codes(found(signed | {name: altered}, made, tmp_path)), name
        except DossierUnreadable:
            assert name == MANIFEST
    for name in sorted(signed.keys() - {MANIFEST}):
        without = {one: data for one, data in signed.items() if one != name}
        assert "file_missing" in codes(found(without, made, tmp_path)), name
    assert "file_extra" in codes(found(signed | {"events/9999.txt": b"x"}, made, tmp_path))


def test_another_cover_is_found_even_where_the_list_was_made_to_fit(
    made: Made, plain: Files, signed: Files, tmp_path: Path
) -> None:
    """Of an excerpt nobody signs the list: the cover is made again from the evidence."""
    dossier, _ = read_manifest(plain)
    for name, data in ((COVER, signed[COVER]), (README, b"nothing happened\n"), (event_file(1, "json"), b"{}\n")):
        forged = finish(dossier, {k: v for k, v in plain.items() if k not in (FILES, MANIFEST)} | {name: data}, None)
        judged = found(forged, made, tmp_path)
        assert codes(judged) == {"cover_false"}, name
        assert name in {one.detail for one in judged.findings}


def without_step(files: Files, number: int) -> Files:
    """Without one step, those behind it moved up."""
    steps = read_lines(files[STEPS], StepLine)
    gone = steps.pop(number - 1)
    steps = [msgspec.structs.replace(line, order=line.order - (line.order > gone.order)) for line in steps]
    kept = {name: data for name, data in files.items() if not name.startswith(("events/", "papers/"))}
    for new in range(1, len(steps) + 1):
        old = new if new < number else new + 1
        for kind in ("leaf", "tlog-proof"):
            kept[event_file(new, kind)] = files[event_file(old, kind)]
    kept.pop(OPENINGS, None)
    return kept | {STEPS: lines_of(list(steps))}


def number_of(files: Files, shape: type) -> int:
    count = len(read_lines(files[STEPS], StepLine))
    return next(n for n in range(1, count + 1) if isinstance(read(files[event_file(n, "leaf")]), shape))


def test_a_step_left_out_in_the_middle_is_a_gap_and_one_at_the_end_is_found_in_the_bundle(
    made: Made, plain: Files, tmp_path: Path
) -> None:
    dossier, _ = read_manifest(plain)
    middle = remade(without_step(plain, 2), dossier, None)
    assert codes(found(middle, made, tmp_path)) & {"version_gap", "without_right"}
    count = len(read_lines(plain[STEPS], StepLine))
    cut = remade(without_step(plain, count), dossier, None)
    assert "step_left_out" in codes(found(cut, made, tmp_path, against=made.county))
    excused = remade(without_step(plain, count), msgspec.structs.replace(dossier, left_out=1), None)
    assert "step_left_out" in codes(found(excused, made, tmp_path, against=made.county))
    other = found(plain, made, tmp_path, against=made.village)
    assert "excerpt_other" in codes(other)


def test_a_node_cannot_be_made_to_have_said_less(made: Made, signed: Files, tmp_path: Path) -> None:
    """Whoever lists the files again has no key to sign with."""
    dossier, note = read_manifest(signed)
    assert note is not None
    cut = {name: data for name, data in signed.items() if name not in (FILES, MANIFEST, OPENINGS)}
    forged = finish(msgspec.structs.replace(dossier, openings=False), cut, None)
    assert "manifest_unsigned" in codes(found(forged, made, tmp_path))
    forged[MANIFEST] = signed[MANIFEST]
    assert "file_altered" in codes(found(forged, made, tmp_path))


def test_an_altered_event_does_not_stand_under_its_checkpoint(made: Made, plain: Files, tmp_path: Path) -> None:
    dossier, _ = read_manifest(plain)
    leaf = plain[event_file(1, "leaf")]
    altered = leaf.replace(b'"channel":"visit"', b'"channel":"phone"')
    assert altered != leaf
    proof = msgspec.structs.replace(parse_tlog_proof(plain[event_file(1, "tlog-proof")]), extra=altered)
    files = plain | {event_file(1, "leaf"): altered, event_file(1, "tlog-proof"): proof.to_bytes()}
    assert "root_mismatch" in codes(found(remade(files, dossier, None), made, tmp_path))


def test_a_checkpoint_without_its_cosignature_makes_nothing_secured(made: Made, plain: Files, tmp_path: Path) -> None:
    dossier, _ = read_manifest(plain)
    files = dict(plain)
    for name, data in plain.items():
        if name.endswith("tlog-proof"):
            proof = parse_tlog_proof(data)
            text, _, lines = proof.checkpoint.partition(b"\n\n")
            own = text + b"\n\n" + lines.split(b"\n")[0] + b"\n"
            files[name] = msgspec.structs.replace(proof, checkpoint=own).to_bytes()
    judged = found(remade(files, dossier, None), made, tmp_path)
    assert judged.cosigned == 0
    assert "not_yet_cosigned" in {one.code for one in judged.findings}
    assert "仅由作者签名" in "".join(words_in(remade(files, dossier, None)[COVER]))


def test_checkpoints_that_do_not_continue_each_other_are_found(made: Made, plain: Files, tmp_path: Path) -> None:
    dossier, _ = read_manifest(plain)
    links = read_lines(plain[LINKS], LinkLine)
    if not links:
        pytest.skip("every step of this case stands under one checkpoint")
    spoiled = [msgspec.structs.replace(link, path=(*reversed(link.path), bytes(32))) for link in links]
    assert "root_mismatch" in codes(found(remade(plain | {LINKS: lines_of(spoiled)}, dossier, None), made, tmp_path))
    cut = found(remade(plain | {LINKS: b""}, dossier, None), made, tmp_path)
    assert "heads_not_linked" in {one.code for one in cut.findings}


def test_an_event_of_another_case_is_found(made: Made, case: UUID, plain: Files, tmp_path: Path) -> None:
    other = next(
        event.case
        for log in Parts.of(made.county).logs
        for leaf in log.leaves
        if (event := read(leaf)).case not in (None, case)
    )
    assert other is not None
    dossier, _ = read_manifest(excerpt(made.county, other, with_texts=False))
    forged = remade(plain, dossier, None)
    assert "leaf_foreign" in codes(found(forged, made, tmp_path))


def test_an_opening_swapped_left_out_or_not_asked_for_is_found(made: Made, signed: Files, tmp_path: Path) -> None:
    lines = read_lines(signed[OPENINGS], OpeningLine)
    first = lines[0]
    other = [msgspec.structs.replace(one, value="别人说的话") for one in first.openings]
    for changed, code in (
        ([msgspec.structs.replace(first, openings=tuple(other)), *lines[1:]], "opening_wrong"),
        (lines[1:], "opening_missing"),
        ([*lines, msgspec.structs.replace(first, part=7)], "opening_unasked"),
        ([msgspec.structs.replace(first, openings=(), withheld="erased"), *lines[1:]], "opening_missing"),
    ):
        forged = resigned(made, signed | {OPENINGS: lines_of(list(changed))})
        assert code in codes(found(forged, made, tmp_path))


def test_a_root_that_is_not_the_pinned_one_convinces_nobody(made: Made, signed: Files, tmp_path: Path) -> None:
    path = tmp_path / "case.zip"
    path.write_bytes(zipped(signed))
    assert codes(judge(path, Pins("0" * 64))) >= {"root_other"}
    assert "root_not_pinned" in {one.code for one in judge(path, Pins()).findings}


def test_a_paper_is_set_from_its_event(made: Made, tmp_path: Path) -> None:
    """Of the case that the village accepted and ended."""
    accepted = next(
        event.case
        for log in Parts.of(made.county).logs
        for leaf in log.leaves
        if isinstance(event := read(leaf), Accepted) and event.case is not None
    )
    files = excerpt(made.county, accepted, with_texts=False)
    (paper,) = [data for name, data in files.items() if name.startswith("papers/")]
    text = "".join(words_in(paper))
    assert "受理告知书" in text
    assert "（原文未打开）" in text
    assert found(files, made, tmp_path).is_sound


@pytest.mark.parametrize("spoil", ["zip", "name", "twice", "no manifest", "manifest"])
def test_what_is_no_evidence_at_all_is_unreadable(plain: Files, tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "case.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in plain.items():
            if not (spoil == "no manifest" and name == MANIFEST):
                archive.writestr(name, b"x" if spoil == "manifest" and name == MANIFEST else data)
        if spoil == "name":
            archive.writestr("../../etc/passwd", b"x")
    if spoil == "zip":
        path.write_bytes(path.read_bytes()[:-200] + bytes(200))
    if spoil == "twice":
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr(COVER, b"x")
    with pytest.raises(DossierUnreadable):
        judge(path, Pins())


def test_a_bundle_without_openings_has_none_to_give(made: Made, case: UUID) -> None:
    with pytest.raises(OpeningsAbsent):
        excerpt(made.plain, case, with_texts=True)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["huiyin", "audit", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_command_takes_a_case_out_of_a_bundle_and_verifies_it(
    made: Made, case: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "case.zip"
    assert run(monkeypatch, "case", str(made.county), str(case), "--out", str(out)) == 0
    assert run(monkeypatch, "verify", str(out), "--root", made.root, "--against", str(made.county)) == 0
    assert "verdict: sound" in capsys.readouterr().out
    files = read_files(out)
    out.write_bytes(zipped(files | {COVER: files[COVER] + b"\n"}))
    assert run(monkeypatch, "verify", str(out), "--root", made.root) == 1
    said = capsys.readouterr().out
    assert "file_altered" in said
    assert "cover_false" in said
    assert run(monkeypatch, "verify", str(out), "--root", made.root, "--json") == 1
    assert msgspec.json.decode(capsys.readouterr().out)["verdict"] == "tampered"
    out.write_bytes(zipped({name: data for name, data in files.items() if name != MANIFEST}))
    assert run(monkeypatch, "verify", str(out), "--root", made.root) == 2


def test_what_cannot_be_taken_is_refused_by_name(
    made: Made, case: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "case.zip")
    assert run(monkeypatch, "case", str(made.plain), str(case), "--out", out, "--openings") == 2
    assert run(monkeypatch, "case", str(made.plain), "x", "--out", out) == 2
    assert run(monkeypatch, "case", str(tmp_path), str(case), "--out", out) == 2
    assert run(monkeypatch, "case", str(made.plain), str(UUID(int=1)), "--out", out) == 2
    assert "no event of the case" in capsys.readouterr().err
    assert not (tmp_path / "case.zip").exists()
    assert run(monkeypatch, "case", str(made.plain), str(case), "--out", str(tmp_path)) == 2


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_evidence_that_was_spoiled_anywhere_is_never_sound_and_never_a_traceback(
    made: Made, signed: Files, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(signed)))
    altered = spoiled(signed[name], data)
    path = tmp_path_factory.mktemp("spoiled") / "case.zip"
    path.write_bytes(zipped(signed | {name: altered}))
    try:
        judged = judge(path, Pins(made.root))
    except DossierUnreadable:
        return
    assert altered == signed[name] or not judged.is_sound


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_somebody_lists_as_evidence_is_answered_by_name(
    made: Made, opened: Files, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    dossier, _ = read_manifest(opened)
    name = data.draw(st.sampled_from(sorted(opened.keys() - {FILES, MANIFEST})))
    kept = {one: it for one, it in opened.items() if one not in (FILES, MANIFEST)}
    path = tmp_path_factory.mktemp("listed") / "case.zip"
    path.write_bytes(zipped(finish(dossier, kept | {name: spoiled(opened[name], data)}, None)))
    with suppress(DossierUnreadable):
        judge(path, Pins(made.root))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_file_that_is_given_as_evidence_ends_in_a_traceback(
    plain: Files, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("zip") / "case.zip"
    path.write_bytes(spoiled(zipped(plain), data))
    with suppress(DossierUnreadable):
        judge(path, Pins())


def test_times_beyond_every_calendar_are_no_traceback(made: Made, plain: Files, tmp_path: Path) -> None:
    """A cosignature's time is eight bytes of whoever signs it; its line is read before it is verified."""
    dossier, _ = read_manifest(plain)
    name = event_file(1, "tlog-proof")
    proof = parse_tlog_proof(plain[name])
    note = parse_note(proof.checkpoint)
    lines = [
        msgspec.structs.replace(line, signature=b"\xff" * 8 + line.signature[8:]) if len(line.signature) > 64 else line
        for line in note.signatures
    ]
    late = msgspec.structs.replace(note, signatures=tuple(lines))
    altered = msgspec.structs.replace(proof, checkpoint=late.to_bytes()).to_bytes()
    assert codes(found(remade(plain | {name: altered}, dossier, None), made, tmp_path)) >= {"signature_false"}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_case_out_of_a_spoiled_bundle_is_made_or_refused_by_name(
    made: Made, case: UUID, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spoiled") / "b"
    shutil.copytree(made.county, folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(paths))
    path.write_bytes(spoiled(path.read_bytes(), data))
    with suppress(BundleUnreadable, NothingProven, OpeningsAbsent):
        excerpt(folder, case, with_texts=data.draw(st.booleans()))
    shutil.rmtree(folder)
