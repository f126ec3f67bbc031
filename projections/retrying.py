"""Takes in what is parked once its cause is mended, or leaves it out for good; other views follow a judgement."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from projections.authority import Authority, decided_late, facts_for
from projections.catalogue import PROJECTIONS
from projections.following import make_anew, positions
from projections.parking import fold_or_park
from projections.projection import Projection, ReadAfter
from projections.refold import fold_case
from projections.views import ParkedKey, Views


class NotParked(Exception):
    """Nothing of this key is parked in this projection. Look at the list again: it may have been retried."""

    def __init__(self, projection: str, key: UUID) -> None:
        super().__init__(
            f"{projection} 中没有搁置 {key}，请重新查看清单 / {projection} holds nothing of {key}; list again"
        )


def retry(live: Views, read_after: ReadAfter, projection: Projection, key: UUID) -> ParkedKey | None:
    """Fold the parked events of `key` once more, in one transaction; returns what is parked now, None if nothing.

    Events that concern every case (a holiday notice) and came in the meantime are folded for this case again. What
    waited in other views until it is judged here is tried there, too; where the judgement changes what they had folded,
    they fold the case anew. Where what waited concerns every case itself, the view is made anew, to be filled again by
    whoever follows. Raises NotParked.
    """
    with live.transaction():
        if not _retry(live, read_after, projection, key):
            raise NotParked(projection.name, key)
        return _waiting(live, projection, key)


def skip(
    live: Views, read_after: ReadAfter, projection: Projection, key: UUID, reason: str, account: UUID
) -> ParkedKey | None:
    """Leave out the first parked event of `key` for good, noting who decided so and why, and retry the rest.

    Rebuilds leave it out too. Returns what is parked now, None if nothing. Raises NotParked.
    """
    with live.transaction():
        _lock(live, projection)
        first = live.unpark_first(projection.name, key)
        if first is None:
            raise NotParked(projection.name, key)
        live.skip(projection.name, msgspec.structs.replace(first, reason=reason), account)
        _retry(live, read_after, projection, key)
        return _waiting(live, projection, key)


def _lock(live: Views, projection: Projection) -> int:
    """Hold the runner off, which takes the same row before it folds; how far it is."""
    return positions(live, [projection], lock=True).get(projection.name, 0)


def _waiting(live: Views, projection: Projection, key: UUID) -> ParkedKey | None:
    return next((each for each in live.parked() if (each.projection, each.key) == (projection.name, key)), None)


def _retry(live: Views, read_after: ReadAfter, projection: Projection, key: UUID) -> bool:
    """Whether anything of `key` was parked in `projection`."""
    pos = _lock(live, projection)
    if projection.name == Authority.name:
        freed = live.unpark(projection.name, key)
        _judge(live, read_after, projection, key, freed)
        for other in PROJECTIONS:
            if other.name != Authority.name:
                _retry(live, read_after, other, key)
        return bool(freed)
    was_parked, shared = key in live.waiting(projection.name, [key]), projection.shared_after(live, 0)
    fold_case(live, read_after, projection, key, decided_late(live, 1, pos, key), pos)
    if projection.shared_after(live, 0) != shared:
        make_anew(live, projection)
    return was_parked


def _judge(live: Views, read_after: ReadAfter, judge: Projection, key: UUID, freed: Sequence[int]) -> None:
    """Go on with the case where it had stopped, at its first event that waited."""
    rows = [read_after(pos - 1, 1)[0] for pos in freed]
    if rows:
        fold_or_park(live, judge, facts_for(live, judge, rows), only=key)
