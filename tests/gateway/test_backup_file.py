import io
import os
import struct
import time
from hashlib import sha256

import pytest

from gateway.backup.backup_file import (
    CHUNK_BYTES,
    BackupDamaged,
    BackupNewer,
    BackupRefused,
    Cost,
    NotABackup,
    PassphraseWeak,
    PassphraseWrong,
    SealedReader,
    SealedWriter,
)

PASSPHRASE = "green wheat 1978"
CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
HEADER_BYTES = 16 + 24 + 32 + 8
SEALED_CHUNK_BYTES = CHUNK_BYTES + 16
CONTENT = os.urandom(3 * CHUNK_BYTES + 1000)


def sealed(content: bytes = CONTENT, passphrase: str = PASSPHRASE) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, passphrase, CHEAP)
    for start in range(0, len(content), 100_000):
        writer.write(content[start : start + 100_000])
    writer.finish()
    return file.getvalue()


def opened(data: bytes, size_bytes: int = len(CONTENT), passphrase: str = PASSPHRASE) -> bytes:
    reader = SealedReader(io.BytesIO(data), passphrase)
    content = reader.read(size_bytes)
    reader.expect_end()
    return content


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    body = data[HEADER_BYTES:]
    starts = range(0, len(body), SEALED_CHUNK_BYTES)
    return data[:HEADER_BYTES], [body[start : start + SEALED_CHUNK_BYTES] for start in starts]


@pytest.mark.parametrize(
    "size_bytes", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(CONTENT)]
)
def test_what_was_sealed_comes_back(size_bytes: int) -> None:
    assert opened(sealed(CONTENT[:size_bytes]), size_bytes) == CONTENT[:size_bytes]


def test_it_can_be_read_in_any_portions() -> None:
    reader = SealedReader(io.BytesIO(sealed()), PASSPHRASE)
    parts = [reader.read(size) for size in (1, CHUNK_BYTES, 3, CHUNK_BYTES * 2, 996)]
    reader.expect_end()
    assert b"".join(parts) == CONTENT


def test_a_changed_byte_anywhere_is_refused() -> None:
    data = sealed()
    places = [*range(HEADER_BYTES + 40), *range(HEADER_BYTES + 40, len(data), len(data) // 50), len(data) - 1]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 0x01
        with pytest.raises(BackupRefused) as refusal:
            opened(bytes(changed))
        assert place < 16 or refusal.type is BackupDamaged, place


def test_a_file_cut_anywhere_is_refused() -> None:
    data = sealed()
    borders = [HEADER_BYTES + number * SEALED_CHUNK_BYTES for number in range(4)]
    for size in [0, 10, 15, 17, HEADER_BYTES - 1, *borders, *(border + 1 for border in borders), len(data) - 1]:
        with pytest.raises(BackupRefused):
            opened(data[:size])


@pytest.mark.parametrize(
    "order", [[0, 1, 3], [1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 1, 2, 2, 3], [0, 1, 2, 3, 3], [0, 2, 3]]
)
def test_chunks_dropped_moved_or_doubled_are_refused(order: list[int]) -> None:
    header, parts = chunks(sealed())
    content = SealedReader(io.BytesIO(header + b"".join(parts)), PASSPHRASE).read(len(CONTENT))
    assert content == CONTENT, "the parts are cut where the chunks are"
    with pytest.raises(BackupDamaged):
        opened(header + b"".join(parts[number] for number in order))


def test_bytes_added_at_the_end_are_refused() -> None:
    with pytest.raises(BackupDamaged):
        opened(sealed() + b"\0")


def test_a_chunk_of_another_file_under_the_same_passphrase_is_refused() -> None:
    header, parts = chunks(sealed())
    _, others = chunks(sealed())
    with pytest.raises(BackupDamaged):
        opened(header + others[0] + b"".join(parts[1:]))


def test_a_file_that_was_never_finished_is_refused() -> None:
    file = io.BytesIO()
    SealedWriter(file, PASSPHRASE, CHEAP).write(CONTENT)
    with pytest.raises(BackupDamaged):
        opened(file.getvalue(), 2 * CHUNK_BYTES)


def test_content_left_unread_is_no_end() -> None:
    with pytest.raises(BackupDamaged):
        opened(sealed(), len(CONTENT) - 1)


def test_another_passphrase_is_told_from_a_damaged_file() -> None:
    with pytest.raises(PassphraseWrong):
        opened(sealed(), passphrase="green wheat 1979")


def test_the_same_words_composed_in_another_way_open_it() -> None:
    assert opened(sealed(passphrase="caf\u00e9 au lait 12"), passphrase="cafe\u0301 au lait 12") == CONTENT


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(PassphraseWeak):
        SealedWriter(io.BytesIO(), "hunter2", CHEAP)


def test_two_files_of_the_same_content_share_no_byte_to_compare() -> None:
    assert chunks(sealed())[1][0][:32] != chunks(sealed())[1][0][:32]


@pytest.mark.parametrize(
    "cost",
    [
        (0xFFFF_FFFF, 1, 1),
        (1024 * 1024 + 1, 1, 1),
        (64, 0xFFFF, 1),
        (8 * 17, 1, 17),
        (0, 1, 1),
        (64, 0, 1),
        (64, 1, 0),
    ],
)
def test_a_crafted_header_cannot_eat_memory_or_hours(cost: tuple[int, int, int]) -> None:
    header = b"huiyin-backup/1\n" + struct.pack(">IHH16s", *cost, bytes(16)) + bytes(32)
    began_s = time.monotonic()
    with pytest.raises(BackupDamaged):
        opened(header + sha256(header).digest()[:8] + bytes(100))
    assert time.monotonic() - began_s < 10


def test_other_files_and_newer_ones_are_named() -> None:
    with pytest.raises(NotABackup):
        opened(b"PK\x03\x04" + bytes(200))
    with pytest.raises(BackupNewer):
        opened(b"huiyin-backup/2\n" + bytes(200))
