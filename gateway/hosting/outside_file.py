"""The file `outside.json` of a node's folder: how far the node is known outside, whatever its database says."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from domain.divisions import Division
from sync.exchange.outside import Outside
from sync.trust.keys import replace_private

OUTSIDE: Final = "outside.json"


class OutsideFile:
    """See sync.exchange.outside.Keeper. Safe for threads; the file is replaced whole.

    Deliberately not in a backup: what a backup holds asks its superior anyway.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / OUTSIDE
        self._lock = threading.Lock()
        self._kept = Outside()
        if self._path.exists():
            self._kept = msgspec.json.decode(self._path.read_bytes(), type=Outside)

    @property
    def kept(self) -> Outside:
        """As it stands."""
        return self._kept

    def log_leaves(self, log: str, size: int) -> None:
        """On the disk on return."""
        with self._lock:
            self._keep(self._kept.with_log(log, size))

    def numbers_leave(self, upto: Mapping[Division, int]) -> None:
        """On the disk on return."""
        with self._lock:
            self._keep(self._kept.with_numbers(upto))

    def forget(self) -> None:
        """The node asks its superior now; what leaves from here on counts."""
        with self._lock:
            self._keep(Outside())

    def _keep(self, outside: Outside) -> None:
        if outside != self._kept:
            replace_private(self._path, msgspec.json.encode(outside))
            self._kept = outside
