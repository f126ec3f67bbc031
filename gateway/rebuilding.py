"""`huiyin projections`: builds views beside the live ones to compare or replace them, or takes in what is parked."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.hosting.databases import database_of
from projections import rebuild as build
from projections import retrying
from projections.catalogue import PROJECTIONS
from projections.following import prepare
from projections.pages_ahead import ahead
from projections.projection import Projection
from projections.retrying import NotParked
from projections.views import ParkedKey
from projections.views_postgres import PostgresViews
from sync.ledger.connections import connect
from sync.ledger.reader import Reader


class ViewUnknown(ValueError):
    """There is no view of this name. Use one of those listed."""

    def __init__(self, name: str) -> None:
        known = ", ".join(projection.name for projection in PROJECTIONS)
        super().__init__(f"没有视图 {name}，可用：{known} / there is no view {name}; there are: {known}")


def rebuild(folder: Path, name: str | None, *, check_only: bool, tell: Callable[[str], None]) -> int:
    """Rebuild one view or all, the node running or not. Exit code 1 where a check found a difference."""
    chosen = _chosen(name)
    is_equal = True
    with database_of(folder) as dsn, connect(dsn, autocommit=True) as conn:
        reader = Reader(dsn)
        try:
            for projection in chosen:
                work = build.check if check_only else build.switch
                built = work(PostgresViews(conn), reader.read, projection, ahead)
                is_equal = is_equal and built.difference is None
                verdict = "一致 / equal" if built.difference is None else f"不一致 / differs: {built.difference}"
                tell(f"{projection.name}: 至 {built.pos} 位 / up to position {built.pos}: {verdict}")
        finally:
            reader.close()
    return 0 if is_equal else 1


def retry(folder: Path, name: str | None, *, tell: Callable[[str], None]) -> int:
    """Fold what is parked in one view or all once more, the node running or not. Exit code 1 where something stays.

    What the view `authority` judges anew, the other views take up with it.
    """
    chosen = _chosen(name)
    with database_of(folder) as dsn, connect(dsn, autocommit=True) as conn:
        reader, views = Reader(dsn), PostgresViews(conn)
        try:
            prepare(views, PROJECTIONS)
            for projection in chosen:
                for waiting in [each for each in views.parked() if each.projection == projection.name]:
                    _retry_key(views, reader, projection, waiting, tell)
        finally:
            reader.close()
        staying = [each for each in views.parked() if name in (None, each.projection)]
    if not staying:
        tell("没有搁置的事项 / nothing is parked")
    return 1 if staying else 0


def _retry_key(
    views: PostgresViews, reader: Reader, projection: Projection, was: ParkedKey, tell: Callable[[str], None]
) -> None:
    with suppress(NotParked):  # the running node has taken it in meanwhile
        still = retrying.retry(views, reader.read, projection, was.key)
        verdict = "已恢复 / taken in" if still is None else f"仍搁置 / still parked: {still.reason}"
        tell(f"{projection.name} {was.key}: {verdict}")


def _chosen(name: str | None) -> list[Projection]:
    chosen = [projection for projection in PROJECTIONS if name in (None, projection.name)]
    if not chosen:
        raise ViewUnknown(str(name))
    return chosen
