import hashlib
import os
import traceback
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from domain.divisions import Division
from sync.proofs.note import COSIGNATURE_V1, ED25519, Ed25519Signer
from sync.sealed.sealing import recipient_key_id
from sync.trust.keys import (
    KeyFileExists,
    KeyFileExposed,
    KeyFileMalformed,
    KeyFileMissing,
    KeyFileRefused,
    KeyFileReused,
    generate_keys,
    load_keys,
    replace_private,
    rotate_recipient,
    write_private,
)

ORIGIN = "huiyin.example/410221100201/1"
VILLAGE = Division("410221100201")
FILES = ["log.skey", "witness.skey", "intake.skey", "recipient-0001.pem", "command.secret"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate_keys(tmp_path / "keys", ORIGIN)
    return tmp_path / "keys"


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}


def test_a_new_node_gets_keys_that_only_their_owner_can_read(folder: Path) -> None:
    assert modes(folder) == {
        "keys": 0o700,
        "log.skey": 0o600,
        "witness.skey": 0o600,
        "intake.skey": 0o600,
        "recipient-0001.pem": 0o600,
        "command.secret": 0o600,
    }


def test_a_lax_umask_does_not_open_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        generate_keys(tmp_path / "keys", ORIGIN)
    finally:
        os.umask(before)
    assert set(modes(tmp_path / "keys").values()) == {0o600, 0o700}


def test_each_signing_key_carries_its_name_and_kind(folder: Path) -> None:
    keys = load_keys(folder)
    assert [(key.verifier.name, key.verifier.kind) for key in (keys.log, keys.witness, keys.intake)] == [
        (ORIGIN, ED25519),
        ("huiyin.example/410221100201/witness", COSIGNATURE_V1),
        ("huiyin.example/410221100201/intake", ED25519),
    ]
    assert len({key.verifier.public_key for key in (keys.log, keys.witness, keys.intake)}) == 3


def test_loading_gives_the_keys_that_were_made(tmp_path: Path) -> None:
    made = generate_keys(tmp_path / "keys", ORIGIN)
    loaded = load_keys(tmp_path / "keys")
    assert loaded.log.sign(b"m") == made.log.sign(b"m")
    assert loaded.recipient.public == made.recipient.public
    assert loaded.recipient.key_id == recipient_key_id(made.recipient.public)


def test_keys_are_never_overwritten(folder: Path) -> None:
    before = (folder / "log.skey").read_bytes()
    with pytest.raises(KeyFileExists):
        generate_keys(folder, ORIGIN)
    assert (folder / "log.skey").read_bytes() == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["keys"]


def test_an_empty_folder_that_was_prepared_is_used(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    generate_keys(tmp_path / "keys", ORIGIN)
    assert modes(tmp_path / "keys")["keys"] == 0o700


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_file_that_others_can_read_is_refused(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    with pytest.raises(KeyFileExposed) as refusal:
        load_keys(folder)
    assert refusal.value.path == folder / name


def test_a_key_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(KeyFileExposed):
        load_keys(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_key_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(KeyFileMissing) as refusal:
        load_keys(folder)
    assert refusal.value.path == folder / name


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileMissing):
        load_keys(tmp_path / "keys")


@pytest.mark.parametrize("content", [b"", b"PRIVATE+KEY+x", b"\xff\xfe", b"\0" * 100, b"a" * 5000])
@pytest.mark.parametrize("name", ["log.skey", "recipient-0001.pem", "command.secret"])
def test_a_malformed_key_file_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(KeyFileMalformed):
        load_keys(folder)


def test_a_folder_or_a_pipe_in_place_of_a_key_is_refused(folder: Path) -> None:
    (folder / "log.skey").unlink()
    os.mkfifo(folder / "log.skey", 0o600)
    with pytest.raises(KeyFileMalformed):
        load_keys(folder)


def test_a_witness_key_in_place_of_the_log_key_is_refused(folder: Path) -> None:
    (folder / "log.skey").write_bytes((folder / "witness.skey").read_bytes())
    with pytest.raises(KeyFileMalformed):
        load_keys(folder)


def test_one_key_for_two_uses_is_refused(folder: Path) -> None:
    (folder / "intake.skey").write_bytes((folder / "log.skey").read_bytes())
    with pytest.raises(KeyFileReused) as refusal:
        load_keys(folder)
    assert refusal.value.path.name == "intake.skey"


def test_a_recipient_key_of_another_algorithm_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "recipient-0001.pem").write_bytes((folder / "log.skey").read_bytes())
    with pytest.raises(KeyFileMalformed):
        load_keys(folder)


def test_a_truncated_key_is_refused_and_nothing_of_it_is_told(folder: Path) -> None:
    secret = (folder / "log.skey").read_bytes()
    (folder / "log.skey").write_bytes(secret[:-6])
    with pytest.raises(KeyFileMalformed) as refusal:
        load_keys(folder)
    told = "".join(traceback.format_exception(refusal.value)) + repr(chain_of(refusal.value))
    assert secret.decode().split("+")[-1][:12] not in told


def test_after_a_rotation_the_newest_key_is_advertised_and_the_older_one_is_kept(folder: Path) -> None:
    old = load_keys(folder).recipient
    new = rotate_recipient(folder)
    keys = load_keys(folder)
    assert [key.key_id for key in keys.recipients] == [new.key_id, old.key_id]
    assert keys.recipient.public == new.public
    assert modes(folder)["recipient-0002.pem"] == 0o600


def test_a_rotation_that_stopped_half_way_leaves_the_old_key(folder: Path) -> None:
    (folder / ".tmp-half").write_bytes(b"-----BEGIN")
    assert load_keys(folder).recipient.number == 1
    assert rotate_recipient(folder).number == 2


def test_two_rotations_at_once_never_share_a_file(folder: Path) -> None:
    write_private(folder / "recipient-0002.pem", b"the other one was first")
    with pytest.raises(KeyFileExists):
        write_private(folder / "recipient-0002.pem", b"this one came second")
    assert (folder / "recipient-0002.pem").read_bytes() == b"the other one was first"
    assert not list(folder.glob(".*"))


def test_a_device_takes_the_place_of_a_file(folder: Path) -> None:
    device = Ed25519Signer(ORIGIN, ED25519, b"\7" * 32)
    (folder / "log.skey").unlink()
    keys = load_keys(folder, {"log": device})
    assert keys.log is device
    assert rotate_recipient(folder).number == 2


def test_no_key_is_printed(folder: Path) -> None:
    keys = load_keys(folder)
    private = keys.recipient.private.private_bytes_raw()
    seed = (folder / "log.skey").read_text().split("+")[-1].strip()
    secret = (folder / "command.secret").read_text().strip()
    told = f"{keys!r} {keys} {keys.recipient!r} {msgspec.structs.asdict(keys)}"
    assert secret not in told
    assert repr(bytes.fromhex(secret)) not in told
    assert private.hex() not in told
    assert repr(private) not in told
    assert seed not in told
    with pytest.raises(TypeError):
        msgspec.json.encode(keys)


def test_every_refusal_names_the_file_and_speaks_chinese_first() -> None:
    for refusal in KeyFileRefused.__subclasses__():
        text = str(refusal(Path("/keys/log.skey")))  # type: ignore[call-arg]
        assert text.startswith("/keys/log.skey：")
        assert " / /keys/log.skey: " in text


def chain_of(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(b"longer than the new one")
    path.chmod(0o644)
    replace_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        replace_private(tmp_path / "taken", b"new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["node.toml", "taken"]


def test_a_command_is_recognised_by_a_digest_that_nobody_without_the_secret_can_compute(
    folder: Path, tmp_path: Path
) -> None:
    guess, one, other = b"13900000001", UUID(int=1), UUID(int=2)
    digest = load_keys(folder).commands.digest(one, guess)
    assert load_keys(folder).commands.digest(one, guess) == digest, "also after a restart, or from a backup"
    assert digest not in (hashlib.sha256(guess).digest(), hashlib.sha256(one.bytes + guess).digest())
    assert load_keys(folder).commands.digest(other, guess) != digest, "nor does it show who sent the same twice"
    assert generate_keys(tmp_path / "others", ORIGIN).commands.digest(one, guess) != digest
