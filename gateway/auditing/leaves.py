"""One log read from its first leaf to its last: hashed again, compared with every signed head, each leaf looked at."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Final

from domain.events import AnyEvent
from gateway.auditing.bundle import Bundle, FileUnreadable, LogLine, folder_of
from gateway.auditing.findings import Findings
from gateway.auditing.heads import Heads, Window
from gateway.auditing.spill import Spill
from sync.exchange.leaf import CERTIFYING, Leaf, certificate_in, read_leaf
from sync.proofs.merkle import TILE_WIDTH, Frontier, TileRun, leaf_hash
from sync.proofs.tiles import (
    MAX_BUNDLE_BYTES,
    MAX_TILE_BYTES,
    TileHashes,
    TileInvalid,
    TilePath,
    parse_entry_bundle,
    parse_hash_tile,
    tile_paths,
    tile_width,
)
from sync.trust.certificates import Directory
from sync.trust.statements import MAX_SKEW_US

LAGS: Final = 21
"""Of so many heads the middle one tells how long a log's leaves are usually on their way."""

CACHED_BYTES: Final = 64 << 20

_VERSION: Final = "insert into version values (?, ?, ?, ?, ?)"


class Tiles:
    """The tiles of one bundle's logs. Raises FileUnreadable, TileInvalid."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._entries: OrderedDict[tuple[str, int], tuple[bytes, ...]] = OrderedDict()
        self._held_bytes = 0

    def entries(self, log: LogLine, index: int) -> tuple[bytes, ...]:
        """The leaves of bundle number `index`: up to 256."""
        path = TilePath(None, index, tile_width(None, index, log.size))
        return parse_entry_bundle(self._read(log, path, MAX_BUNDLE_BYTES), path.width)

    def leaf(self, log: LogLine, seq: int) -> bytes:
        """One leaf; its bundle is held for the next ones, in bounded memory."""
        key = (log.origin, seq // TILE_WIDTH)
        held = self._entries.get(key)
        if held is None:
            held = self._entries[key] = self.entries(log, key[1])
            self._held_bytes += sum(map(len, held))
            while self._held_bytes > CACHED_BYTES and len(self._entries) > 1:
                _, left = self._entries.popitem(last=False)
                self._held_bytes -= sum(map(len, left))
        else:
            self._entries.move_to_end(key)
        return held[seq % TILE_WIDTH]

    def tile(self, log: LogLine, level: int, index: int) -> tuple[bytes, ...]:
        """The hashes of a tile."""
        path = TilePath(level, index, tile_width(level, index, log.size))
        return parse_hash_tile(self._read(log, path, MAX_TILE_BYTES), path.width)

    def is_part(self, log: LogLine, path: TilePath) -> bool:
        """Whether a partial tile or bundle of a smaller tree holds what the log's own of that place begins with."""
        limit_bytes = MAX_BUNDLE_BYTES if path.level is None else MAX_TILE_BYTES
        parse = parse_entry_bundle if path.level is None else parse_hash_tile
        whole = self.entries(log, path.index) if path.level is None else self.tile(log, path.level, path.index)
        return parse(self._read(log, path, limit_bytes), path.width) == whole[: path.width]

    def hashes(self, log: LogLine) -> TileHashes:
        """All of a log's hashes."""
        return TileHashes(lambda path: self._read(log, path, MAX_TILE_BYTES), log.size)

    def _read(self, log: LogLine, path: TilePath, limit_bytes: int) -> bytes:
        return self._bundle.read(f"{folder_of(log)}/{path}", limit_bytes)


class LogCheck:
    """Goes through one log once. statements: leaf index and text of every certificate and revocation in it."""

    def __init__(
        self,
        number: int,
        log: LogLine,
        heads: Heads,
        directory: Directory,
        tiles: Tiles,
        spill: Spill,
        found: Findings,
        *,
        is_simulated: bool = False,
    ) -> None:
        """number: the log's place in logs.jsonl. is_simulated: its times are those of a demonstration."""
        self._is_simulated = is_simulated
        self._number, self._log, self._heads = number, log, heads
        self._directory, self._tiles, self._spill, self._found = directory, tiles, spill, found
        self._frontier = Frontier()
        self._next_head = 0
        self._is_sound = True
        self._levels: list[list[bytes]] = []
        self._windows: Iterator[Window] = heads.windows()
        self._window = next(self._windows)
        self._recorded_us = 0
        self._lags_us: deque[int] = deque(maxlen=LAGS)
        self._tolerance_us = 0
        self._code = int(directory.division_of(log.origin) or 0)
        self.statements: list[tuple[int, str]] = []

    def run(self, progress: Callable[[int], None]) -> None:
        """Read, hash, compare, look. progress: told how many leaves were done."""
        for index in range(-(-self._log.size // TILE_WIDTH)):
            start = index * TILE_WIDTH
            try:
                entries = self._tiles.entries(self._log, index)
            except (FileUnreadable, TileInvalid) as error:
                self._found.add("file_unreadable", self._log.origin, start, str(error))
                return
            hashes = [leaf_hash(entry) for entry in entries]
            self._compare_tile(0, index, hashes)
            self._grow(start, hashes)
            for place, entry in enumerate(entries):
                self._look(start + place, read_leaf(entry, self._log.origin, self._directory))
            progress(len(entries))
        self._compare_partial_tiles()
        self._compare_shown()

    # --- hashes -------------------------------------------------------------------------------------------------

    def _grow(self, start: int, hashes: Sequence[bytes]) -> None:
        """Append up to each signed head in turn, and compare the root there."""
        done = 0
        while done < len(hashes):
            upto = len(hashes)
            if self._next_head < len(self._heads.sizes):
                upto = min(upto, self._heads.sizes[self._next_head] - start)
            self._frontier, runs = self._frontier.extend(hashes[done:upto])
            for run in runs:
                self._keep(run)
            done = upto
            self._compare_root()

    def _compare_root(self) -> None:
        number = self._next_head
        if number >= len(self._heads.sizes) or self._heads.sizes[number] != self._frontier.size:
            return
        self._next_head += 1
        if self._is_sound and self._frontier.root() != self._heads.root(number):
            self._is_sound = False  # every later root is another one, too
            last_good = self._heads.sizes[number - 1] if number else 0
            self._found.add("root_mismatch", self._log.origin, last_good, f"at size {self._frontier.size}")

    def _keep(self, run: TileRun) -> None:
        while len(self._levels) < run.level:
            self._levels.append([])
        level = self._levels[run.level - 1]
        level += run.hashes
        whole = len(level) // TILE_WIDTH
        first = run.start + len(run.hashes) - len(level)
        for number in range(whole):
            at = number * TILE_WIDTH
            self._compare_tile(run.level, first // TILE_WIDTH + number, level[at : at + TILE_WIDTH])
        del level[: whole * TILE_WIDTH]

    def _compare_partial_tiles(self) -> None:
        for level, hashes in filter(itemgetter(1), enumerate(self._levels, start=1)):
            total = self._log.size >> 8 * level
            self._compare_tile(level, total // TILE_WIDTH, hashes)

    def _compare_shown(self) -> None:
        """Of a `checkpoint` before the last head: the partial tiles that its size asks for."""
        for path in tile_paths(min(self._heads.shown_size, self._log.size)):
            if path.width == tile_width(path.level, path.index, self._log.size):
                continue
            start = path.start << 8 * (path.level or 0)
            try:
                if not self._tiles.is_part(self._log, path):
                    self._found.add("tile_mismatch", self._log.origin, start, str(path))
            except (FileUnreadable, TileInvalid) as error:
                self._found.add("file_unreadable", self._log.origin, start, str(error))

    def _compare_tile(self, level: int, index: int, hashes: Sequence[bytes]) -> None:
        start = index * TILE_WIDTH << 8 * level
        try:
            stored = self._tiles.tile(self._log, level, index)
        except (FileUnreadable, TileInvalid) as error:
            self._found.add("file_unreadable", self._log.origin, start, str(error))
            return
        if tuple(hashes) != stored:
            place = next(n for n, (one, other) in enumerate(zip(hashes, stored, strict=True)) if one != other)
            self._found.add("tile_mismatch", self._log.origin, start + (place << 8 * level), f"level {level}")

    # --- leaves -------------------------------------------------------------------------------------------------

    def _look(self, seq: int, leaf: Leaf) -> None:
        if leaf.fault is not None:
            self._found.add("not_canonical", self._log.origin, seq, leaf.fault)
            return
        if leaf.event is None:
            self._found.add("unknown_type", self._log.origin, seq, leaf.topic)
        else:
            self._look_at_times(seq, leaf.event)
        if leaf.topic in CERTIFYING and (text := certificate_in(leaf.event)) is not None:
            self.statements.append((seq, text))
        if leaf.version > 0:
            self._spill.put(_VERSION, (leaf.stream.bytes, leaf.version, self._code, self._number, seq))

    def _look_at_times(self, seq: int, event: AnyEvent) -> None:
        while seq >= self._window.end:
            self._next_window()
        recorded_us, origin = event.recorded_us, self._log.origin
        from_us = self._window.from_us - self._tolerance_us
        if recorded_us < self._recorded_us:
            self._found.add("recorded_backwards", origin, seq, f"{recorded_us} µs after {self._recorded_us} µs")
        elif self._is_simulated:
            pass  # a demonstration's clock leaps while things are on their way
        elif recorded_us < from_us:
            early_s = (from_us - recorded_us) // 1_000_000
            self._found.add("backdated", origin, seq, f"{early_s} s too early")
        elif recorded_us > self._window.to_us:
            late_s = (recorded_us - self._window.to_us) // 1_000_000
            self._found.add("postdated", origin, seq, f"{late_s} s too late")
        elif event.occurred_us < from_us:
            self._found.add("claimed_earlier", origin, seq)
        self._recorded_us = max(self._recorded_us, recorded_us)

    def _next_window(self) -> None:
        """On to the leaves under the next cosigned head. What its heads usually take from the last leaf to the witness,
        this log's leaves may be older than the cosignature in front of them: they were on their way by then."""
        if self._recorded_us:
            self._lags_us.append(max(0, self._window.to_us - MAX_SKEW_US - self._recorded_us))
            self._tolerance_us = 2 * sorted(self._lags_us)[len(self._lags_us) // 2]
        self._window = next(self._windows)


def check_streams(spill: Spill, logs: Sequence[LogLine], found: Findings) -> None:
    """Every stream has one writer, and its versions go 1, 2, 3, … in the order of its leaves."""
    stream, wanted, author, place = b"", 1, 0, (0, -1)
    rows = spill.ask("select stream, version, author, log, seq from version order by stream, version, log, seq")
    for one, version, code, log, seq in rows:
        origin = logs[log].origin
        if one != stream:
            stream, wanted, author, place = one, 1, code, (log, -1)
        if code != author:
            found.add("two_writers", origin, seq, f"stream {one.hex()}")
            continue
        if version > wanted:
            found.add("version_gap", origin, seq, f"stream {one.hex()}: {wanted} to {version - 1} are missing")
        elif version < wanted:
            found.add("version_twice", origin, seq, f"stream {one.hex()}, version {version}")
        if log == place[0] and seq < place[1]:
            found.add("version_order", origin, seq, f"stream {one.hex()}, version {version}")
        wanted, place = max(wanted, version + 1), (log, seq)
