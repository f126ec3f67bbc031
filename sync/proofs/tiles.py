"""A log as plain files that anybody can check: C2SP tlog-tiles, its paths, hash tiles and entry bundles.

Every path and every file has one reading; what another program might read differently is refused, not repaired.
No I/O happens here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from struct import pack

import msgspec

from sync.proofs.merkle import HASH_BYTES, MAX_SIZE, TILE_HEIGHT, TILE_WIDTH, HashReader, leaf_hash

CHECKPOINT = "checkpoint"
"""Where the newest signed head lies, beside the folder of tiles."""

MAX_ENTRY_BYTES = 65_535
PREFIX_BYTES = 2
MAX_TILE_BYTES = TILE_WIDTH * HASH_BYTES
MAX_BUNDLE_BYTES = TILE_WIDTH * (PREFIX_BYTES + MAX_ENTRY_BYTES)
MAX_LEVEL = 63

_MAX_INDEX = MAX_SIZE >> TILE_HEIGHT
_MAX_PATH_CHARS = 64
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII)


class TileInvalid(Exception):
    """A path names no tile, or bytes are not the tile or bundle they should be. Nothing in them may be used.

    What to do next: fetch it again; if it comes back the same, keep it as evidence against whoever served it.
    """

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"日志分片无效：{zh}，请重新获取 / tile invalid: {en}; fetch it again from its source")
        self.zh = zh
        self.en = en


class TilePath(msgspec.Struct, frozen=True, order=True):
    """Which file of a log: level 0 to 63 of a hash tile, or None for a bundle of entries; its index in that level.

    width: how many hashes or entries it holds, 1 to 256; below 256 it is partial.
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def start(self) -> int:
        """Number, within its level, of the first hash or entry it holds."""
        return self.index * TILE_WIDTH

    @property
    def end(self) -> int:
        """Number, within its level, of the first one that it does not hold."""
        return self.start + self.width

    def __str__(self) -> str:
        groups = [f"{self.index % 1000:03}"]
        rest = self.index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        folder = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{folder}/{'/'.join(groups)}{partial}"


def parse_tile_path(text: str) -> TilePath:
    """The inverse of `str(path)`: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`. Raises: TileInvalid."""
    found = _PATH.fullmatch(text) if len(text) <= _MAX_PATH_CHARS else None
    if found is None:
        raise TileInvalid("路径写法不对", "this is no path of a tile")
    folder, groups, width = found.groups()
    path = TilePath(
        None if folder == "entries" else int(folder),
        int(groups.replace("x", "").replace("/", "")),
        TILE_WIDTH if width is None else int(width),
    )
    _check_path(path)
    if str(path) != text:  # a leading zero or an empty group, or a full tile spelled as a partial one
        raise TileInvalid("路径写法不唯一", "the path of a tile has one spelling only")
    return path


def tile_width(level: int | None, index: int, size: int) -> int:
    """How many hashes (or entries, for None) the tile holds in a tree of `size` leaves: 0 where it has no such tile."""
    complete = size >> TILE_HEIGHT * (level or 0)
    return max(0, min(TILE_WIDTH, complete - index * TILE_WIDTH))


def tile_paths(size: int, after: int = 0) -> Iterator[TilePath]:
    """Every file of a tree of `size` leaves that a tree of `after` leaves has not: bundles, then tiles by level."""
    for level in (None, *range(_levels(size))):
        height = TILE_HEIGHT * (level or 0)
        for index in range((after >> height) // TILE_WIDTH, -(-(size >> height) // TILE_WIDTH)):
            width = tile_width(level, index, size)
            if width != tile_width(level, index, after):
                yield TilePath(level, index, width)


def hash_tile(hashes: HashReader, path: TilePath) -> bytes:
    """The bytes of a hash tile: its hashes, 32 bytes each, in order.

    The tree must have them all. Raises: TileInvalid for an impossible path, or where fewer are stored.
    """
    _check_path(path)
    if path.level is None:
        raise TileInvalid("这是条目包而不是哈希分片", "this is a bundle of entries, not a tile of hashes")
    if path.level == 0:
        found = hashes.leaf_hashes(path.start, path.end)
    else:
        found = hashes.tile_hashes(path.level, path.start, path.end)
    if len(found) != path.width:
        raise TileInvalid("没有这样的分片", f"there is no {path}: {len(found)} of its {path.width} hashes are held")
    return b"".join(found)


def parse_hash_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """The hashes of a tile of this width, 1 to 256. Raises: TileInvalid."""
    _check_width(width)
    if len(data) != width * HASH_BYTES:
        raise TileInvalid("哈希分片长度不对", f"{len(data)} bytes, but {width} hashes have {width * HASH_BYTES}")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """1 to 256 entries, each behind its length as big-endian uint16. Raises: TileInvalid for more, or longer ones."""
    _check_width(len(entries))
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise TileInvalid("条目过长", f"an entry is longer than {MAX_ENTRY_BYTES} bytes")
    return b"".join(pack(">H", len(entry)) + entry for entry in entries)


def parse_entry_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle of this width, 1 to 256. Raises: TileInvalid if it has fewer, more, or a cut one."""
    _check_width(width)
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + PREFIX_BYTES
        at = start + int.from_bytes(data[start - PREFIX_BYTES : start], "big")
        if at > len(data) or start > len(data):
            raise TileInvalid("条目包被截断", f"entry {len(entries)} of the bundle is cut short")
        if len(entries) == width:
            raise TileInvalid("条目包过长", f"there is more in the bundle than its {width} entries")
        entries.append(data[start:at])
    if len(entries) != width:
        raise TileInvalid("条目包缺条目", f"the bundle holds {len(entries)} entries instead of {width}")
    return tuple(entries)


def check_bundle(entries: Sequence[bytes], hashes: Sequence[bytes]) -> None:
    """Return if the entries of a bundle are those under the level-0 tile of the same path.

    Raises: TileInvalid, naming the first that is not by its place in the bundle.
    """
    if len(entries) != len(hashes):
        raise TileInvalid("条目包与哈希分片宽度不同", f"{len(entries)} entries stand beside {len(hashes)} hashes")
    for place, (entry, digest) in enumerate(zip(entries, hashes, strict=True)):
        if leaf_hash(entry) != digest:
            raise TileInvalid("条目与哈希分片不符", f"entry {place} of the bundle is not what its tile has hashed")


class TileHashes:
    """A HashReader over the tiles of one tree of `size` leaves, wherever they come from.

    fetch: the bytes of a tile, asked for once for each call here; what it raises passes through. Raises: TileInvalid.
    Tiles are not compared with the root here: a proof made from false ones does not verify.
    """

    def __init__(self, fetch: Callable[[TilePath], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size

    def leaf_hashes(self, start: int, end: int) -> Sequence[bytes]:
        """Leaf hashes [start, end), which lie in one tile."""
        return self.tile_hashes(0, start, end)

    def tile_hashes(self, level: int, start: int, end: int) -> Sequence[bytes]:
        """Hashes [start, end) of the complete subtrees of 256**level leaves, which lie in one tile."""
        index = start // TILE_WIDTH
        width = tile_width(level, index, self._size)
        if not start < end <= index * TILE_WIDTH + width:
            raise TileInvalid("所求哈希不在此树", f"hashes [{start}, {end}) of level {level} are not in one tile")
        held = parse_hash_tile(self._fetch(TilePath(level, index, width)), width)
        return held[start - index * TILE_WIDTH : end - index * TILE_WIDTH]


def _levels(size: int) -> int:
    """How many levels of hash tiles a tree of `size` leaves has."""
    return -(-size.bit_length() // TILE_HEIGHT)


def _check_path(path: TilePath) -> None:
    if not (path.level is None or 0 <= path.level <= MAX_LEVEL) or not 0 <= path.index <= _MAX_INDEX:
        raise TileInvalid("层级或序号越界", f"a level is at most {MAX_LEVEL}, an index at most {_MAX_INDEX}")
    _check_width(path.width)


def _check_width(width: int) -> None:
    if not 1 <= width <= TILE_WIDTH:
        raise TileInvalid("分片宽度须为1至256", f"a tile or bundle holds 1 to {TILE_WIDTH}, not {width}")
