"""Reads the ledger for a rebuild from another thread: one page ahead of what is being folded."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from projections.rebuild import Page


def ahead(read: Callable[[int], Page], pos: int) -> Iterator[Page]:
    """See `projections.rebuild.Pages`; `read` is called from another thread."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, pos)
        while rows := coming.result():
            coming = reader.submit(read, rows[-1].pos)
            yield rows
