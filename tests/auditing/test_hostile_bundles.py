"""Bundles as nobody should hand them over: spoiled anywhere, full of traps; a named answer and never a traceback."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.auditing.bundle import FILES, FORMAT, MANIFEST, Bundle, BundleUnreadable, FaultLine, FileLine
from gateway.auditing.manifest import digest_of, read_manifest
from gateway.auditing.trusting import PinInvalid, Pins, pins_from
from gateway.auditing.verifying import Report, verify_bundles
from sync.proofs.note import Signer, sign_note
from tests.auditing.conftest import Made, quiet
from tests.auditing.forging import Parts, audited, found

FILES_OF_A_BUNDLE = [
    "manifest", "files.jsonl", "certificates.jsonl", "logs.jsonl", "above.jsonl", "order.jsonl", "faults.jsonl",
    "openings.jsonl", "logs/{}/checkpoint", "logs/{}/checkpoints.jsonl", "logs/{}/policy",
]  # fmt: skip


def tried(folder: Path, root: str) -> Report | None:
    """The report, or None where the bundle was refused by name."""
    try:
        (report,), _ = verify_bundles([folder], Pins(root), quiet)
    except BundleUnreadable:
        return None
    return report


def signed_again(folder: Path, signer: Signer) -> None:
    """A manifest that fits whatever lies there, by whoever has the node's key."""
    manifest, _ = read_manifest(Bundle(folder))
    lines = [
        msgspec.json.encode(FileLine(path, entry.stat().st_size, digest_of(folder / path))) + b"\n"
        for path, entry in Bundle(folder).walk()
        if path not in (MANIFEST, FILES)
    ]
    (folder / FILES).write_bytes(b"".join(lines))
    digest = sha256(b"".join(lines)).hexdigest()
    manifest = msgspec.structs.replace(manifest, files=len(lines), files_sha256=digest)
    text = f"{FORMAT}\n{msgspec.json.encode(manifest).decode()}\n"
    (folder / MANIFEST).write_bytes(sign_note(text, signer).to_bytes())


def paths(folder: Path) -> list[str]:
    return [path for path, _ in Bundle(folder).walk()]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_bundle_that_was_spoiled_anywhere_is_never_sound_and_never_a_traceback(
    made: Made, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spoiled") / "b"
    shutil.copytree(made.county, folder)
    path = folder / data.draw(st.sampled_from(paths(folder)))
    before = path.read_bytes()
    path.write_bytes(spoiled(before, data))
    report = tried(folder, made.root)
    if path.read_bytes() != before:
        assert report is None or not report.is_sound
    shutil.rmtree(folder)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_node_signs_as_its_bundle_is_answered_by_name(
    made: Made, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("signed") / "b"
    shutil.copytree(made.county, folder)
    names = [path for path in paths(folder) if path not in (MANIFEST, FILES)]
    path = folder / data.draw(st.sampled_from(names))
    path.write_bytes(spoiled(path.read_bytes(), data))
    signed_again(folder, made.keys.county)
    tried(folder, made.root)
    shutil.rmtree(folder)


def spoiled(content: bytes, data: st.DataObject) -> bytes:
    """Some bytes flipped, cut, doubled or put in, anywhere."""
    at = data.draw(st.integers(0, max(0, len(content) - 1)))
    match data.draw(st.sampled_from(["flip", "cut", "double", "insert", "digit", "empty"])):
        case "flip" if content:
            return content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "double":
            return content[:at] + content[at : at + 200] + content[at:]
        case "insert":
            return content[:at] + data.draw(st.binary(min_size=1, max_size=20)) + content[at:]
        case "digit":
            return content.replace(b"1", data.draw(st.sampled_from([b"9223372036854775808", b"-1", b"1e9", b'"'])), 1)
        case _:
            return b""


@pytest.mark.parametrize("name", FILES_OF_A_BUNDLE)
def test_a_file_that_is_missing_is_found(made: Made, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made.county, folder)
    (folder / name.format("410221100201-1")).unlink()
    report = tried(folder, made.root)
    assert report is None if name == MANIFEST else report is not None and not report.is_sound


def test_files_that_nobody_listed_are_found(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made.county, folder)
    (folder / "a").write_text("in front of all")
    (folder / "logs" / "x").write_text("in between")
    (folder / "zz").write_text("behind all")
    report = tried(folder, made.root)
    assert report is not None
    assert [one.detail for one in report.findings if one.code == "file_extra"] == ["a", "logs/x", "zz"]


def test_40_a_link_out_of_the_folder_is_refused_and_not_followed(made: Made, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    for name in ("link", "logs/410221100201-1/policy"):
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(made.county, folder)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(secret)
        with pytest.raises(BundleUnreadable):
            verify_bundles([folder], Pins(made.root), quiet)


def test_40_a_pipe_in_the_bundle_is_refused_and_not_waited_for(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made.county, folder)
    os.mkfifo(folder / "pipe")
    with pytest.raises(BundleUnreadable):
        verify_bundles([folder], Pins(made.root), quiet)


def test_40_a_manifest_that_is_a_link_is_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made.county, folder)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).symlink_to(made.county / MANIFEST)
    with pytest.raises(BundleUnreadable):
        verify_bundles([folder], Pins(made.root), quiet)


@pytest.mark.parametrize("folder", ["../evil", "/etc", "a/b", "..", "", "x" * 101])
def test_40_a_log_listed_with_a_folder_elsewhere_is_not_read(made: Made, tmp_path: Path, folder: str) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.county, bundle)
    lists = bundle / "logs.jsonl"
    lists.write_text(lists.read_text().replace("410221100201-1", folder))
    signed_again(bundle, made.keys.county)
    findings = found(audited(bundle, made.root))
    assert ("file_unreadable", "", 1) in findings


def test_a_log_listed_twice_is_found(made: Made, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.county, bundle)
    lists = bundle / "logs.jsonl"
    lists.write_text(lists.read_text() * 2)
    signed_again(bundle, made.keys.county)
    assert ("file_unreadable", "", None) in found(audited(bundle, made.root))


def test_62_partial_tiles_of_another_width_or_spelling_are_found(made: Made, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.county, bundle)
    (tile,) = (bundle / "logs/410221100201-1/tile/0").glob("000.p/*")
    tile.rename(tile.with_name("0"))
    signed_again(bundle, made.keys.county)
    assert ("file_unreadable", "410221100201", 0) in found(audited(bundle, made.root))


def test_62_a_tile_longer_than_its_width_is_found(made: Made, tmp_path: Path) -> None:
    for folder in ("0", "entries"):
        bundle = tmp_path / folder
        shutil.copytree(made.county, bundle)
        (tile,) = (bundle / f"logs/410221100201-1/tile/{folder}").glob("000.p/*")
        tile.write_bytes(tile.read_bytes() + bytes(32))
        signed_again(bundle, made.keys.county)
        assert ("file_unreadable", "410221100201", 0) in found(audited(bundle, made.root))


def test_61_a_file_much_longer_than_it_can_be_costs_no_memory(made: Made, tmp_path: Path) -> None:
    for name in ("logs/410221100201-1/policy", "certificates.jsonl", "logs/410221100201-1/checkpoint"):
        bundle = tmp_path / name.replace("/", "-")
        shutil.copytree(made.county, bundle)
        with (bundle / name).open("r+b") as file:
            file.truncate(1 << 30)
        assert not audited_without_hashing(bundle, made)


def audited_without_hashing(bundle: Path, made: Made) -> bool:
    """Its size alone says that it is another file, so nothing of it is read in one piece."""
    report = tried(bundle, made.root)
    return report is not None and report.is_sound


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "g" * 64, "０" * 64])
def test_46_a_fingerprint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PinInvalid):
        pins_from(text, [])


def test_a_fingerprint_may_be_written_as_people_do() -> None:
    assert pins_from(" AB:" + "0" * 62, []).root == "ab" + "0" * 62


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(BundleUnreadable):
            verify_bundles([folder], Pins(), quiet)


@pytest.mark.parametrize("change", ["format", "spelling", "lines"])
def test_a_manifest_of_another_format_or_spelling_is_refused(made: Made, tmp_path: Path, change: str) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.county, bundle)
    _, note = read_manifest(Bundle(bundle))
    text = {
        "format": note.text.replace("v0", "v1", 1),
        "spelling": note.text.replace('"division":', '"division": '),
        "lines": note.text + "more\n",
    }[change]
    (bundle / MANIFEST).write_bytes(sign_note(text, made.keys.county).to_bytes())
    with pytest.raises(BundleUnreadable):
        verify_bundles([bundle], Pins(made.root), quiet)


def test_a_list_shorter_than_was_signed_for_is_found(made: Made, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(made.county, bundle)
    manifest, _ = read_manifest(Bundle(bundle))
    manifest = msgspec.structs.replace(manifest, files=manifest.files + 1)
    text = f"{FORMAT}\n{msgspec.json.encode(manifest).decode()}\n"
    (bundle / MANIFEST).write_bytes(sign_note(text, made.keys.county).to_bytes())
    assert found(audited(bundle, made.root)) == {("file_altered", "", None)}


def test_of_many_findings_of_one_kind_twenty_are_told_and_the_rest_is_counted(made: Made, tmp_path: Path) -> None:
    parts = Parts.of(made.county)
    parts.faults = parts.faults + [
        msgspec.structs.replace(one, subject=f"{n}") for n in range(30) for one in (fault_line(),)
    ]
    report = audited(parts.write(tmp_path / "b", made.keys.county), made.root)
    kept = [one for one in report.findings if one.code == "fault_kept"]
    assert len(kept) == 20
    assert report.untold == (("fault_kept", "", len(parts.faults) - 20),)


def fault_line() -> FaultLine:
    return FaultLine("gap", "", "", "", b"", 1, 0, 0, None)


def test_a_manifest_that_is_a_folder_is_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made.county, folder)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    with pytest.raises(BundleUnreadable):
        verify_bundles([folder], Pins(made.root), quiet)
