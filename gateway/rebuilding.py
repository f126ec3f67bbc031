"""`huiyin projections rebuild`: builds views beside the live ones, compares them, or puts them in their place."""

from collections.abc import Callable
from pathlib import Path

from gateway.hosting.databases import database_of
from projections import rebuild as build
from projections.catalogue import PROJECTIONS
from sync.ledger.connections import connect
from sync.ledger.reader import Reader


class ViewUnknown(ValueError):
    """There is no view of this name. Use one of those listed."""

    def __init__(self, name: str) -> None:
        known = ", ".join(projection.name for projection in PROJECTIONS)
        super().__init__(f"没有视图 {name}，可用：{known} / there is no view {name}; there are: {known}")


def rebuild(folder: Path, name: str | None, *, check_only: bool, tell: Callable[[str], None]) -> int:
    """Rebuild one view or all, the node running or not. Exit code 1 where a check found a difference."""
    chosen = [projection for projection in PROJECTIONS if name in (None, projection.name)]
    if not chosen:
        raise ViewUnknown(str(name))
    is_equal = True
    with database_of(folder) as dsn, connect(dsn, autocommit=True) as conn:
        reader = Reader(dsn)
        try:
            for projection in chosen:
                work = build.check if check_only else build.switch
                built = work(conn, reader.read, projection)
                is_equal = is_equal and built.difference is None
                verdict = "一致 / equal" if built.difference is None else f"不一致 / differs: {built.difference}"
                tell(f"{projection.name}: 至 {built.pos} 位 / up to position {built.pos}: {verdict}")
        finally:
            reader.close()
    return 0 if is_equal else 1
