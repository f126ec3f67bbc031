"""The files of a log: paths, hash tiles and bundles against the words of C2SP tlog-tiles, and everything malformed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.proofs.merkle import MAX_SIZE, MemoryHashes, Prover, leaf_hash, node_hash
from sync.proofs.tiles import (
    MAX_BUNDLE_BYTES,
    MAX_ENTRY_BYTES,
    MAX_TILE_BYTES,
    TileHashes,
    TileInvalid,
    TilePath,
    check_bundle,
    entry_bundle,
    hash_tile,
    parse_entry_bundle,
    parse_hash_tile,
    parse_tile_path,
    tile_paths,
    tile_width,
)

SIZE = 70_000
ENTRIES = [b"%d" % number for number in range(SIZE)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


@pytest.fixture(scope="module")
def stored() -> MemoryHashes:
    return MemoryHashes(LEAVES)


def subtree(leaves: list[bytes]) -> bytes:
    """Root of a complete subtree."""
    while len(leaves) > 1:
        leaves = [node_hash(left, right) for left, right in zip(leaves[::2], leaves[1::2], strict=True)]
    return leaves[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (TilePath(0, 0), "tile/0/000"),
        (TilePath(0, 1_234_067), "tile/0/x001/x234/067"),
        (TilePath(0, 1_234_067, 8), "tile/0/x001/x234/067.p/8"),
        (TilePath(3, 1000), "tile/3/x001/000"),
        (TilePath(63, 999, 255), "tile/63/999.p/255"),
        (TilePath(None, 42, 1), "tile/entries/042.p/1"),
        (TilePath(0, MAX_SIZE >> 8), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_a_path_is_written_as_the_specification_says_and_read_back(path: TilePath, text: str) -> None:
    assert str(path) == text
    assert parse_tile_path(text) == path


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, MAX_SIZE >> 8), st.integers(1, 256))
def test_every_path_reads_back(level: int | None, index: int, width: int) -> None:
    path = TilePath(level, index, width)
    assert parse_tile_path(str(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/100/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/x1/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/08",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/1000",
        "tile/0/000.p/-1",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1\n",
        "tile/0/000\n",
        " tile/0/000",
        "/tile/0/000",
        "tile//0/000",
        "tile/0/٠٠٠",
        "tile/٠/000",
        "tile/0/../000",
        "tile/0/%30%30%30",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/" + "x001/" * 20 + "000",
        "tile/entries",
        "tile/Entries/000",
        "tile/entries/000.p/256",
        "entries/000",
        "checkpoint",
    ],
)
def test_every_other_spelling_of_a_path_is_refused(text: str) -> None:
    with pytest.raises(TileInvalid):
        parse_tile_path(text)


def test_a_tree_has_the_tiles_that_the_specification_counts_for_it() -> None:
    paths = list(tile_paths(70_000))
    by_level = {level: [it.width for it in paths if it.level == level] for level in (None, 0, 1, 2, 3)}
    assert by_level[0] == by_level[None] == [256] * 273 + [112]
    assert by_level[1] == [256, 17]
    assert by_level[2] == [1]
    assert by_level[3] == []
    assert list(map(str, tile_paths(256))) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert list(map(str, tile_paths(1))) == ["tile/entries/000.p/1", "tile/0/000.p/1"]
    assert list(tile_paths(0)) == []


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000])
def test_what_a_grown_tree_adds_and_what_it_had_are_all_its_tiles(size: int) -> None:
    whole = set(tile_paths(size))
    for before in {0, 1, 200, 256, 300, size // 2, size - 1, size} - {0, size} | {0, size}:
        if before <= size:
            kept = {path for path in tile_paths(before) if path.width == tile_width(path.level, path.index, size)}
            added = list(tile_paths(size, after=before))
            assert set(added) | kept == whole
            assert set(added) & kept == set()
            assert len(set(added)) == len(added)


def test_a_tile_holds_the_hashes_that_the_specification_names(stored: MemoryHashes) -> None:
    assert hash_tile(stored, TilePath(0, 2)) == b"".join(LEAVES[512:768])
    assert hash_tile(stored, TilePath(0, 273, 112)) == b"".join(LEAVES[69_888:])
    assert hash_tile(stored, TilePath(0, 273, 5)) == b"".join(LEAVES[69_888:69_893])
    pairs = [subtree(LEAVES[number * 256 : number * 256 + 256]) for number in range(273)]
    assert hash_tile(stored, TilePath(1, 1, 17)) == b"".join(pairs[256:])
    assert hash_tile(stored, TilePath(2, 0, 1)) == subtree(pairs[:256])
    assert len(hash_tile(stored, TilePath(1, 0))) == MAX_TILE_BYTES == 8192


@pytest.mark.parametrize(
    "path",
    [
        TilePath(0, 273),
        TilePath(0, 273, 113),
        TilePath(0, 274, 1),
        TilePath(1, 1, 18),
        TilePath(3, 0, 1),
        TilePath(None, 0),
        TilePath(0, 0, 0),
        TilePath(0, 0, 257),
        TilePath(0, -1),
        TilePath(-1, 0),
        TilePath(64, 0),
        TilePath(0, (MAX_SIZE >> 8) + 1),
    ],
)
def test_a_tile_that_the_tree_has_not_is_not_made(stored: MemoryHashes, path: TilePath) -> None:
    with pytest.raises(TileInvalid):
        hash_tile(stored, path)


def test_widths_follow_from_the_size() -> None:
    assert tile_width(0, 273, 70_000) == 112
    assert tile_width(None, 273, 70_000) == 112
    assert tile_width(1, 1, 70_000) == 17
    assert tile_width(0, 0, 70_000) == 256
    assert tile_width(2, 1, 70_000) == tile_width(0, 274, 70_000) == 0


@pytest.mark.parametrize("width", [1, 2, 255, 256])
def test_tiles_and_bundles_read_back(stored: MemoryHashes, width: int) -> None:
    assert parse_hash_tile(hash_tile(stored, TilePath(0, 0, width)), width) == tuple(LEAVES[:width])
    entries = (b"", b"\x00", b"\xff" * MAX_ENTRY_BYTES, *ENTRIES[:253])[:width]
    assert parse_entry_bundle(entry_bundle(entries), width) == entries


def test_a_bundle_is_entries_behind_their_lengths() -> None:
    assert entry_bundle([b"ab", b"", b"c" * 258]) == b"\x00\x02ab" + b"\x00\x00" + b"\x01\x02" + b"c" * 258
    assert len(entry_bundle([b"x" * MAX_ENTRY_BYTES] * 256)) == MAX_BUNDLE_BYTES


@pytest.mark.parametrize("entries", [[], [b""] * 257, [b"x" * (MAX_ENTRY_BYTES + 1)], [b"", b"x" * 65_536]])
def test_a_bundle_that_cannot_be_is_not_made(entries: list[bytes]) -> None:
    with pytest.raises(TileInvalid):
        entry_bundle(entries)


@pytest.mark.parametrize("width", [0, 257, -1])
def test_an_impossible_width_is_refused(width: int) -> None:
    for parse in (parse_hash_tile, parse_entry_bundle):
        with pytest.raises(TileInvalid, match="1 to 256"):
            parse(b"", width)


@pytest.mark.parametrize("size_bytes", [0, 1, 31, 33, 63, 95, 97, 128])
def test_a_tile_of_another_length_than_its_width_is_refused(size_bytes: int) -> None:
    with pytest.raises(TileInvalid, match="3 hashes have 96"):
        parse_hash_tile(bytes(size_bytes), 3)


def test_a_bundle_cut_anywhere_or_with_anything_behind_it_is_refused() -> None:
    bundle = entry_bundle([b"abc", b"", b"defg"])
    for cut in range(len(bundle)):
        with pytest.raises(TileInvalid, match=r"cut short|instead of 3"):
            parse_entry_bundle(bundle[:cut], 3)
    for extra in (b"\x00", b"\x00\x00", b"\x00\x01x", b"\xff\xff"):
        with pytest.raises(TileInvalid, match=r"cut short|more in the bundle"):
            parse_entry_bundle(bundle + extra, 3)
    for width in (1, 2, 4, 256):
        with pytest.raises(TileInvalid, match=r"more in the bundle|instead of"):
            parse_entry_bundle(bundle, width)


def test_reading_a_bundle_stops_at_its_width_however_many_entries_follow() -> None:
    class Counted(bytes):
        taken = 0

        def __getitem__(self, key: object) -> bytes:  # type: ignore[override]
            Counted.taken += 1
            return super().__getitem__(key)  # type: ignore[index, return-value]

    with pytest.raises(TileInvalid, match="more in the bundle"):
        parse_entry_bundle(Counted(bytes(2_000_000)), 256)
    assert Counted.taken < 1000


def test_a_bundle_beside_a_tile_that_hashed_something_else_is_refused() -> None:
    check_bundle(ENTRIES[:7], LEAVES[:7])
    with pytest.raises(TileInvalid, match="entry 3 "):
        check_bundle([*ENTRIES[:3], b"edited", *ENTRIES[4:7]], LEAVES[:7])
    with pytest.raises(TileInvalid, match="7 entries stand beside 6 hashes"):
        check_bundle(ENTRIES[:7], LEAVES[:6])
    with pytest.raises(TileInvalid, match="6 entries stand beside 7 hashes"):
        check_bundle(ENTRIES[:6], LEAVES[:7])


@pytest.mark.parametrize("size", [1, 200, 256, 257, 600, 65_536, 65_537, SIZE])
def test_proofs_out_of_the_files_are_those_out_of_the_store(stored: MemoryHashes, size: int) -> None:
    files = {str(path): hash_tile(stored, path) for path in tile_paths(size) if path.level is not None}
    from_files = Prover(TileHashes(lambda path: files[str(path)], size), size)
    from_store = Prover(stored, size)
    assert from_files.root() == from_store.root()
    for number in sorted({0, size // 3, size - 1}):
        assert from_files.inclusion(number) == from_store.inclusion(number)
        assert from_files.consistency(number) == from_store.consistency(number)


def no_tile(path: TilePath) -> bytes:
    raise AssertionError(path)


@pytest.mark.parametrize(
    "ask",
    [
        lambda it: it.leaf_hashes(0, 301),
        lambda it: it.leaf_hashes(255, 257),
        lambda it: it.leaf_hashes(300, 301),
        lambda it: it.leaf_hashes(5, 5),
        lambda it: it.tile_hashes(1, 0, 2),
        lambda it: it.tile_hashes(2, 0, 1),
    ],
)
def test_hashes_that_no_tile_of_the_tree_has_are_not_asked_for(ask: Callable[[TileHashes], object]) -> None:
    with pytest.raises(TileInvalid, match="are not in one tile"):
        ask(TileHashes(no_tile, 300))


def test_a_tile_of_the_wrong_length_gives_no_hashes(stored: MemoryHashes) -> None:
    cut = TileHashes(lambda path: hash_tile(stored, path)[:-1], 300)
    with pytest.raises(TileInvalid, match="hashes have"):
        cut.leaf_hashes(256, 300)


@given(st.binary(max_size=2000), st.integers(-1, 300))
def test_no_bytes_make_a_reader_of_bundles_or_tiles_fail_otherwise(data: bytes, width: int) -> None:
    for parse in (parse_entry_bundle, parse_hash_tile):
        try:
            found = parse(data, width)
        except TileInvalid:
            continue
        assert len(found) == width
        if parse is parse_entry_bundle:
            assert entry_bundle(found) == data
        else:
            assert b"".join(found) == data


@given(st.text(alphabet="tile/ns.px0123456789xentr", max_size=40))
def test_no_text_makes_the_reader_of_paths_fail_otherwise(text: str) -> None:
    try:
        path = parse_tile_path(text)
    except TileInvalid:
        return
    assert str(path) == text
